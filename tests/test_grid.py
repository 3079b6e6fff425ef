"""Protects derivatives of sampled data: the right value, at the promised order, inside and at the edges."""

import sys
import threading
import tracemalloc
from fractions import Fraction
from math import factorial

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastdiff
from fastdiff import grid
from fastdiff.kernels import backend

EPS = np.finfo(float).eps
RNG = np.random.default_rng(5)
ALL_N = range(1, 7)
ALL_ACCURACY = range(2, 13, 2)
BOUNDARIES = ["one-sided", "periodic", "trim"]


def uneven(count, seed=3):
    """Coordinates with random gaps between 1/2 and 3/2, times 2**-3 so that fractions stay short."""
    gaps = np.random.default_rng(seed).integers(8, 25, count - 1) / 128
    return np.concatenate([[0.0], np.cumsum(gaps)])


# --- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaced", ["uniform", "uneven"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("accuracy", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("n", ALL_N)
def test_every_row_has_its_order_in_exact_arithmetic(n, accuracy, boundary, spaced):
    """Moments of the weights about each point: zero up to the order, n! at the derivative, and then no longer zero."""
    count = 2 * (n + accuracy) + 3
    x = np.arange(count) / 8 if spaced == "uniform" else uneven(count)
    period = float(x[-1] + 0.125)
    options = {"period": period} if boundary == "periodic" else {}
    rows = grid.matrix(count, x, n=n, accuracy=accuracy, boundary=boundary, **options).toarray()
    reach = (count - len(rows)) // 2 if boundary == "trim" else 0
    orders = []
    for i, row in enumerate(rows):
        centre = i + (rows.shape[1] - len(rows)) // 2 if spaced == "uniform" else i + reach + (count - len(rows)) % 2
        nodes = [Fraction(v) - Fraction(x[centre]) for v in x]
        if boundary == "periodic":
            half = Fraction(period) / 2
            nodes = [t - 2 * half if t > half else t + 2 * half if t < -half else t for t in nodes]
        used = [(Fraction(w), t) for w, t in zip(row, nodes, strict=True) if w]
        size = [sum(abs(w * t**k) for w, t in used) for k in range(n + accuracy + 1)]
        moments = [sum(w * t**k for w, t in used) for k in range(n + accuracy + 1)]
        for k in range(n + accuracy):
            assert abs(moments[k] - (factorial(n) if k == n else 0)) <= 2000 * EPS * size[k], (i, k)
        orders.append(abs(moments[-1]) > 1e6 * EPS * size[-1])
    if boundary == "one-sided":
        assert orders[0]
        assert orders[-1]


def spaced_axis(spaced, boundary, count):
    """Coordinates from 0 to about 1 (periodic: short of 1), and what to tell as the spacing.

    "mapped" is smoothly uneven, "ragged" repeats eight gaps of random length.
    """
    u = np.arange(count) / (count if boundary == "periodic" else count - 1)
    if spaced == "uniform":
        return u, u[1]
    if spaced == "mapped":
        x = u + 0.05 * (np.sin(2 * np.pi * u + 1) - np.sin(1))
    else:
        x = u + np.resize(np.diff(uneven(9)) - 0.125, count) * 4 * u[1]
        x -= x[0]
    return x, x


def width_of(n, accuracy, spaced):
    """Samples of an inner stencil, as documented."""
    even = accuracy + accuracy % 2
    return 2 * ((n + 1) // 2 - 1 + even // 2) + 1 if spaced == "uniform" else n + even


def errors_of_monomials(n, accuracy, boundary, spaced, count):
    """Distance of neighbours, error and promised order at the first, the second, the middle and the last result.

    At a point c the function is (x - c)**(n + order), whose n-th derivative there is zero and whose error is that of the
    leading term alone. All products scale alike with the spacing, so no roundoff hides the order, however high.
    """
    x, spacing = spaced_axis(spaced, boundary, count)
    options = {"period": 1.0} if boundary == "periodic" and spaced != "uniform" else {}
    even, width = accuracy + accuracy % 2, width_of(n, accuracy, spaced)
    left, right = width // 2, width - 1 - width // 2
    low, high = (left, count - 1 - right) if boundary == "trim" else (0, count - 1)
    at = np.array([low, low + 1, count // 2, high])
    edge = boundary == "one-sided"
    orders = np.where([edge, edge and left > 1, False, edge and right > 0], accuracy, even)
    t = x - x[at, np.newaxis]
    if boundary == "periodic":
        t -= np.round(t)
    f = t ** (n + orders[:, np.newaxis])
    values = grid.derivative(f, spacing, n=n, accuracy=accuracy, boundary=boundary, **options)
    return np.diff(x)[np.minimum(at, count - 2)], np.abs(values[np.arange(4), at - low]), orders


# Odd accuracies are not mapped: where a stencil happens to be centred, smooth spacing makes it better than promised.
@pytest.mark.parametrize(
    ("spaced", "accuracy"),
    [*((s, p) for s in ("uniform", "ragged") for p in range(1, 13)), *(("mapped", p) for p in ALL_ACCURACY)],
)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("n", ALL_N)
def test_errors_fall_with_the_promised_power_of_the_spacing(n, accuracy, boundary, spaced):
    coarse, fine = (1600, 6400) if spaced == "mapped" else (800, 3200)
    one = boundary != "periodic"
    (h, error, orders), (h_fine, error_fine, _) = (
        errors_of_monomials(n, accuracy, boundary, spaced, count + one) for count in (coarse, fine)
    )
    np.testing.assert_allclose(np.log(error / error_fine) / np.log(h / h_fine), orders, rtol=0, atol=0.2)


def observed(n, accuracy, boundary, spaced):
    """Orders at the first, a middle and the last result (periodic: the worst one) for an exponential or a sine.

    From the finest grids that roundoff does not reach, by a fit that leaves room for the next term of the error.
    """
    k = 4 * np.pi if boundary == "periodic" else 4.0

    def f(x, m):
        return k**m * (np.sin(k * x + 0.4 + m * np.pi / 2) if boundary == "periodic" else np.exp(k * x))

    counts = sorted({round((2 * accuracy + 12) * 1.15**j) for j in range(30)})
    found, clear = [], []
    for count in counts:
        x, spacing = spaced_axis(spaced, boundary, count)
        options = {"n": n, "accuracy": accuracy, "boundary": boundary}
        if boundary == "periodic" and spaced != "uniform":
            options["period"] = 1.0
        got = grid.derivative(f(x, 0), spacing, **options)
        noise = 50 * EPS * np.abs(grid.matrix(count, spacing, **options)) @ np.abs(f(x, 0))
        low = width_of(n, accuracy, spaced) // 2 if boundary == "trim" else 0
        x = x[low : low + len(got)]
        error, scale = np.abs(got - f(x, n)), np.abs(f(x, n + accuracy))
        middle = len(got) // 2
        places = [slice(None)] if boundary == "periodic" else [slice(1), slice(middle - 1, middle + 2), slice(-1, None)]
        found.append([error[p].max() / scale[p].max() for p in places])
        clear.append([error[p].max() > noise[p].max() for p in places])
    h, orders = 1 / np.array(counts), []
    for errors, good in zip(np.array(found).T, np.array(clear).T, strict=True):
        stop = len(h) if good.all() else int(np.argmin(good))
        used = slice(max(0, stop - 8), stop)
        assert stop >= 5, "roundoff takes over before the order shows"
        next_term = accuracy * h[used] if boundary != "periodic" else (accuracy * h[used]) ** 2
        terms = np.stack([np.ones_like(h[used]), np.log(h[used]), next_term], axis=1)
        orders.append(np.linalg.lstsq(terms, np.log(errors[used]))[0][1])
    return np.array(orders)


# the highest accuracy at which float64 leaves room for five grids, by n - 1
ROOM = {
    ("one-sided", "uniform"): (8, 6, 6, 6, 4, 4),
    ("trim", "uniform"): (8, 6, 6, 6, 4, 4),
    ("periodic", "uniform"): (12, 10, 10, 8, 8, 8),
    ("one-sided", "mapped"): (4, 4, 4, 2, 2, 0),
    ("trim", "mapped"): (4, 4, 4, 2, 2, 0),
    ("periodic", "mapped"): (10, 10, 8, 8, 6, 6),
}


@pytest.mark.parametrize(
    ("boundary", "spaced", "n", "accuracy"),
    [(*key, n, p) for key, most in ROOM.items() for n in ALL_N for p in range(2, most[n - 1] + 1, 2)],
)
def test_observed_order(boundary, spaced, n, accuracy):
    np.testing.assert_allclose(observed(n, accuracy, boundary, spaced), accuracy, rtol=0, atol=0.2)


def test_observed_order_can_tell():
    assert observed(1, 2, "one-sided", "uniform").max() < 2.5
    assert observed(1, 4, "one-sided", "uniform").min() > 3.5
    h, error, _ = errors_of_monomials(1, 4, "one-sided", "uniform", 801)
    wrong = np.abs(np.gradient(spaced_axis("uniform", "one-sided", 801)[0] ** 3, h[0])[0])
    assert wrong > 1e3 * error[0]  # np.gradient's first order at the edge, beside the fourth


def test_against_mpmath():
    with mpmath.workdps(40):
        x = np.linspace(0.5, 1.5, 41)
        f = np.array([float(mpmath.gamma(v)) for v in x])
        for n, accuracy, tolerance in ((1, 8, 1e-8), (2, 8, 1e-6), (1, 12, 1e-10), (3, 6, 1e-3)):
            true = [float(mpmath.diff(mpmath.gamma, v, n)) for v in x]
            got = grid.derivative(f, x, n=n, accuracy=accuracy)
            np.testing.assert_allclose(got[8:-8], true[8:-8], rtol=0, atol=tolerance)


def test_vector_calculus_against_sympy():
    x, y, z = sympy.symbols("x y z")
    v = [sympy.sin(x) * y * z, x**2 * sympy.cos(y), sympy.exp(z / 2) * x * y]
    f = sympy.sin(x) * sympy.cos(y) * sympy.exp(z / 2)
    axes = [np.linspace(0, 1, 31), np.linspace(0, 0.8, 25), np.linspace(0, 0.9, 28)]
    mesh = np.meshgrid(*axes, indexing="ij")

    def sample(expression):
        return np.broadcast_to(sympy.lambdify((x, y, z), expression, "numpy")(*mesh), mesh[0].shape)

    c, s = [sample(p) for p in v], sample(f)
    symbols = (x, y, z)
    near = {"rtol": 0, "atol": 2e-8}
    h = [a[1] - a[0] for a in axes]
    for got, want in zip(grid.gradient(s, *axes, accuracy=8), symbols, strict=True):
        np.testing.assert_allclose(got, sample(f.diff(want)), **near)
    np.testing.assert_allclose(grid.laplacian(s, *h, accuracy=8), sample(sum(f.diff(u, 2) for u in symbols)), **near)
    div = sum(p.diff(u) for p, u in zip(v, symbols, strict=True))
    np.testing.assert_allclose(grid.divergence(c, *h, accuracy=8), sample(div), **near)
    curl = (v[2].diff(y) - v[1].diff(z), v[0].diff(z) - v[2].diff(x), v[1].diff(x) - v[0].diff(y))
    for got, want in zip(grid.curl(c, *h, accuracy=8), curl, strict=True):
        np.testing.assert_allclose(got, sample(want), **near)
    hessian = grid.hessian(s, *h, accuracy=8)
    for i, u in enumerate(symbols):
        for j, w in enumerate(symbols):
            np.testing.assert_allclose(hessian[i, j], sample(f.diff(u, w)), rtol=0, atol=2e-7)


# --- np.gradient -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (4,), (257,), (5, 6), (40, 50), (4, 5, 6), (3, 3, 3, 4), (5000, 3), (3, 5000)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_equals_np_gradient_of_edge_order_2(shape, offset):
    a = RNG.standard_normal(shape) + offset
    for axis in range(a.ndim):
        for h in (1.0, 0.1, -3.7, 1e-9, 1e9):
            got, want = grid.derivative(a, h, axis), np.gradient(a, h, axis=axis, edge_order=2)
            assert np.all(np.abs(got - want) <= 2 * np.spacing(np.abs(want)))
        x = np.cumsum(RNG.uniform(0.5, 1.5, shape[axis]))
        np.testing.assert_array_equal(grid.derivative(a, x, axis), np.gradient(a, x, axis=axis, edge_order=2))
    spacing = [0.3] * (a.ndim - 1) + [np.cumsum(RNG.uniform(0.5, 1.5, shape[-1]))]
    got, want = grid.gradient(a, *spacing), np.gradient(a, *spacing, edge_order=2)
    for g, w in zip(got, want, strict=True) if a.ndim > 1 else [(got, want)]:
        assert np.all(np.abs(g - w) <= 2 * np.spacing(np.abs(w)))


def test_accuracy_1_is_np_gradient_by_default():
    a = RNG.standard_normal((6, 7))
    for got, want in zip(grid.gradient(a, 0.5, accuracy=1), np.gradient(a, 0.5), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(grid.gradient([1.0, 4.0], accuracy=1), np.gradient([1.0, 4.0]))


def test_calling_convention_of_np_gradient():
    a = np.arange(24.0).reshape(4, 6)
    assert isinstance(grid.gradient(a), tuple)
    assert isinstance(grid.gradient(a, axis=0), np.ndarray)
    assert isinstance(grid.gradient(a, axis=(0,)), np.ndarray)
    assert len(grid.gradient(a, axis=())) == 0
    np.testing.assert_array_equal(grid.gradient(a, axis=(1, 0))[0], np.gradient(a, axis=1))
    np.testing.assert_array_equal(grid.gradient(a, axis=-1), np.gradient(a, axis=-1))
    np.testing.assert_array_equal(grid.gradient(a, 2.0)[1], np.gradient(a, 2.0)[1])
    np.testing.assert_allclose(
        grid.gradient(a, 2.0, [0, 1, 2, 4, 5, 8])[1][0], np.gradient(a[0], [0, 1, 2, 4, 5, 8], edge_order=2)
    )


@pytest.mark.parametrize("dtype", ["u1", "i1", "u8", "i8", "i4", ">i2", "?"])
def test_integers_do_not_wrap(dtype):
    a = np.array([5, 4, 3, 2, 1]).astype(dtype)
    np.testing.assert_array_equal(grid.derivative(a), np.gradient(a.astype(float), edge_order=2))
    if a.dtype.kind != "b":
        top = np.iinfo(dtype).max
        x = np.array([0, 1, top], dtype=dtype)
        np.testing.assert_array_equal(
            grid.derivative([1.0, 2.0, 4.0], x), np.gradient([1.0, 2.0, 4.0], x.astype(float), edge_order=2)
        )


def test_large_integer_coordinates_are_exact():
    x = 2**60 + np.array([0, 3, 4, 9, 11])
    np.testing.assert_allclose(grid.derivative((x - x[0]) * 2.0, x), 2.0, rtol=1e-15)


# --- properties ------------------------------------------------------------------------------------------------------

floats = st.floats(-1e3, 1e3, allow_subnormal=False)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), n=st.integers(1, 3), accuracy=st.integers(1, 6), boundary=st.sampled_from(BOUNDARIES))
def test_linear(data, n, accuracy, boundary):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=10, max_side=14))
    axis = data.draw(st.integers(0, len(shape) - 1))
    a, b = (data.draw(hnp.arrays(float, shape, elements=floats)) for _ in range(2))
    options = {"axis": axis, "n": n, "accuracy": accuracy, "boundary": boundary}
    left = grid.derivative(3 * a - b, **options)
    right = 3 * grid.derivative(a, **options) - grid.derivative(b, **options)
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-8)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 4),
    accuracy=st.integers(1, 8),
    gaps=st.lists(st.floats(0.5, 1.5), min_size=13, max_size=30),
    descending=st.booleans(),
)
def test_exact_on_polynomials(n, accuracy, gaps, descending):
    x = np.cumsum(gaps) / 10
    if descending:
        x = x[::-1]
    degree = n + accuracy - 1
    p = np.polynomial.Polynomial(np.random.default_rng(degree).standard_normal(degree + 1))
    f = p(x)
    got = grid.derivative(f, x, n=n, accuracy=accuracy)
    size = np.abs(grid.matrix(len(x), x, n=n, accuracy=accuracy).toarray()) @ (
        np.polynomial.Polynomial(np.abs(p.coef))(np.abs(x))
    )
    np.testing.assert_array_less(np.abs(got - p.deriv(n)(x)), 1e4 * EPS * size + 1e-300)


def test_constants_have_no_derivative_inside():
    a = np.full(50, 0.1)
    for n in ALL_N:
        for accuracy in ALL_ACCURACY:
            assert not grid.derivative(a, 0.3, n=n, accuracy=accuracy, boundary="trim").any()


def test_periodic_derivatives_follow_a_shift_to_the_bit():
    a = RNG.standard_normal((40, 3))
    for n in ALL_N:
        got = grid.derivative(a, 0.1, 0, n=n, accuracy=6, boundary="periodic")
        for shift in (1, 7, 39):
            moved = grid.derivative(np.roll(a, shift, 0), 0.1, 0, n=n, accuracy=6, boundary="periodic")
            np.testing.assert_array_equal(moved, np.roll(got, shift, 0))


@pytest.mark.parametrize("falling", [False, True])
def test_periodic_uneven(falling):
    x = np.sort(RNG.uniform(0, 2 * np.pi, 200)) + 5.0
    x = x[np.concatenate([[True], np.diff(x) > 0.003])]
    x = x[::-1] if falling else x
    got = grid.derivative(np.sin(x), x, accuracy=6, boundary="periodic", period=2 * np.pi)
    np.testing.assert_allclose(got, np.cos(x), rtol=0, atol=1e-4)


def test_period_of_a_uniform_axis_may_be_told():
    a = RNG.standard_normal(12)
    told = grid.derivative(a, 0.1, boundary="periodic", period=1.2)
    np.testing.assert_array_equal(told, grid.derivative(a, 0.1, boundary="periodic"))
    open_gap = grid.derivative(a, 0.1, boundary="periodic", period=1.3)
    assert open_gap[0] != told[0]
    np.testing.assert_allclose(open_gap[3:-3], told[3:-3], rtol=1e-12)


def test_nan_spreads_only_as_far_as_the_stencil():
    for accuracy in ALL_ACCURACY:
        a = np.zeros((60, 4))
        a[30, 1] = np.nan
        for n in (1, 2):
            reach = (n + 1) // 2 - 1 + accuracy // 2
            bad = np.flatnonzero(np.isnan(grid.derivative(a, axis=0, n=n, accuracy=accuracy)[:, 1]))
            assert set(bad) == set(range(30 - reach, 31 + reach)) - ({30} if n == 1 else set())
            assert np.isnan(grid.derivative(a, axis=0, n=n, accuracy=accuracy)).sum() == len(bad)


# --- multi-axis operators are the sums they say -------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", ">f8", "i4"])
def test_operators_agree_with_each_other(boundary, dtype):
    a = (RNG.standard_normal((19, 20, 21)) * 50).astype(dtype)
    h = (0.5, 0.25, 2.0)
    d = [grid.derivative(a, h[k], k, accuracy=4, boundary=boundary) for k in range(3)]
    dd = [grid.derivative(a, h[k], k, n=2, accuracy=4, boundary=boundary) for k in range(3)]
    cut = 2 if boundary == "trim" else 0

    def inner(x):
        return x[
            tuple(
                slice((n - (m - 2 * cut)) // 2, n - (n - (m - 2 * cut)) // 2)
                for n, m in zip(x.shape, a.shape, strict=True)
            )
        ]

    for got, want in zip(grid.gradient(a, *h, accuracy=4, boundary=boundary), d, strict=True):
        np.testing.assert_array_equal(got, inner(want))
    lap = grid.laplacian(a, *h, accuracy=4, boundary=boundary)
    np.testing.assert_array_equal(lap, (inner(dd[0]) + inner(dd[1])) + inner(dd[2]))
    div = grid.divergence([a, a, a], *h, accuracy=4, boundary=boundary)
    np.testing.assert_array_equal(div, (inner(d[0]) + inner(d[1])) + inner(d[2]))
    curl = grid.curl([a, 2 * a, a], *h, accuracy=4, boundary=boundary)
    np.testing.assert_array_equal(curl[0], inner(d[1]) - 2 * inner(d[2]))
    hessian = grid.hessian(a, *h, accuracy=4, boundary=boundary)
    np.testing.assert_array_equal(hessian[1, 1], inner(dd[1]))
    np.testing.assert_array_equal(hessian[0, 2], hessian[2, 0])
    if boundary != "trim":
        mixed = grid.derivative(d[2], h[0], 0, accuracy=4, boundary=boundary)
        np.testing.assert_array_equal(hessian[0, 2], mixed)
    assert lap.dtype == div.dtype == hessian.dtype == (np.float64 if dtype in (">f8", "i4") else np.dtype(dtype))


def test_divergence_and_curl_take_an_array_with_components_first():
    v = RNG.standard_normal((2, 6, 7))
    np.testing.assert_array_equal(grid.divergence(v), grid.divergence(list(v)))
    np.testing.assert_array_equal(grid.curl(v), grid.derivative(v[1], axis=0) - grid.derivative(v[0], axis=1))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_matrix_is_the_direct_result(boundary):
    a = RNG.standard_normal((14, 15, 3))
    for axis, x in ((0, uneven(14)), (1, 0.2)):
        for n, accuracy in ((1, 2), (2, 4), (3, 3)):
            options = {"n": n, "accuracy": accuracy, "boundary": boundary}
            if boundary == "periodic" and axis == 0:
                options["period"] = float(x[-1] + 0.1)
            want = grid.derivative(a, x, axis, **options)
            got = grid.matrix(a.shape, x, axis, **options) @ a.ravel()
            scale = np.abs(grid.matrix(a.shape, x, axis, **options)) @ np.abs(a).ravel()
            assert np.all(np.abs(got - want.ravel()) <= 50 * EPS * scale)


# --- the error estimate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("accuracy", [2, 4, 6, 8])
@pytest.mark.parametrize("spaced", ["uniform", "uneven"])
def test_error_estimate_covers_the_error(boundary, accuracy, spaced):
    x = np.arange(60) / 8.0 if spaced == "uniform" else uneven(60)
    length = float(x[-1] + 0.125)
    k = 2 * np.pi / length
    options = {"period": length} if boundary == "periodic" else {}
    value, error = grid.derivative(np.sin(2 * k * x), x, accuracy=accuracy, boundary=boundary, error=True, **options)
    drop = (60 - len(value)) // 2
    true = 2 * k * np.cos(2 * k * x[drop : 60 - drop])
    actual = np.abs(value - true)
    assert np.mean(actual <= error) > 0.93
    assert np.median(error) < 10 * np.median(actual) + 1e-12


def test_error_estimate_of_the_other_operators():
    y, x = np.mgrid[0:1:30j, 0:1:31j]
    f = np.sin(2 * x) * np.cos(y)
    h = 1 / 29, 1 / 30
    (_, dx), (_, ex) = grid.gradient(f, *h, error=True)
    assert np.mean(np.abs(dx - 2 * np.cos(2 * x) * np.cos(y)) <= ex) > 0.95
    lap, bar = grid.laplacian(f, *h, error=True)
    assert np.mean(np.abs(lap + 5 * f) <= bar) > 0.9
    div, bar = grid.divergence([f, f], *h, error=True)
    assert np.mean(np.abs(div - (2 * np.cos(2 * x) * np.cos(y) - np.sin(2 * x) * np.sin(y))) <= bar) > 0.9
    curl, bar = grid.curl([f, f], *h, error=True)
    assert np.mean(np.abs(curl - (-np.sin(2 * x) * np.sin(y) - 2 * np.cos(2 * x) * np.cos(y))) <= bar) > 0.9


@pytest.mark.parametrize("boundary", ["one-sided", "trim"])
@pytest.mark.parametrize("accuracy", [2, 4])
@pytest.mark.parametrize("gap", [False, True])
def test_error_estimate_of_the_hessian(boundary, accuracy, gap):
    y, x = np.mgrid[0:1:60j, 0:1:61j]
    f = np.sin(2 * x) * np.cos(y)
    true = np.array([[-f, -2 * np.cos(2 * x) * np.sin(y)], [-2 * np.cos(2 * x) * np.sin(y), -4 * f]])
    where = None
    if gap:
        where = np.ones(f.shape, bool)
        where[30, 31] = False
    got, bar = grid.hessian(f, 1 / 59, 1 / 60, accuracy=accuracy, boundary=boundary, where=where, error=True)
    without = grid.hessian(f, 1 / 59, 1 / 60, accuracy=accuracy, boundary=boundary, where=where)
    np.testing.assert_array_equal(got, without)
    low = [(n - m) // 2 for n, m in zip(f.shape, got.shape[2:], strict=True)]
    true = true[:, :, low[0] : low[0] + got.shape[2], low[1] : low[1] + got.shape[3]]
    assert np.isnan(bar).sum() == np.isnan(got).sum() == (4 if gap else 0)
    for i, j in np.ndindex(2, 2):
        there = ~np.isnan(got[i, j])
        actual = np.abs(got[i, j] - true[i, j])[there]
        assert np.mean(actual <= bar[i, j][there]) > 0.93
        assert np.median(bar[i, j][there]) < 10 * np.median(actual)


# --- time ------------------------------------------------------------------------------------------------------------


def test_datetime_coordinates():
    t = np.datetime64("2024-02-28T23:00", "s") + np.array([0, 30, 90, 200, 201]) * np.timedelta64(1, "s")
    elapsed = np.array([0.0, 30, 90, 200, 201])
    for resolution in ("s", "ms", "us", "ns"):
        for unit, factor in (("s", 1), ("m", 60), ("h", 3600), ("ms", 1e-3), ("D", 86400)):
            got = grid.derivative(elapsed**2, t.astype(f"M8[{resolution}]"), unit=unit)
            np.testing.assert_allclose(got, 2 * elapsed * factor, rtol=1e-12, atol=1e-9)
    days = np.array(["2024-02-28", "2024-02-29", "2024-03-01"], "M8[D]")
    np.testing.assert_array_equal(grid.derivative([0, 24, 48], days, unit="h"), 1.0)
    np.testing.assert_allclose(grid.derivative([0, 1, 2], np.timedelta64(15, "m"), unit="h"), 4.0)
    np.testing.assert_array_equal(grid.gradient([[0, 1, 2]] * 3, 1.0, days, unit="D")[1], 1.0)


# --- memory and threads ----------------------------------------------------------------------------------------------


def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["f8", ">f8", "i4", "f4", "c16"])
@pytest.mark.parametrize("shape", [(1_500_000,), (1500, 1000), (110, 120, 115)])
def test_nothing_as_large_as_the_data_is_allocated(shape, dtype):
    a = np.ones(shape, dtype)
    out = np.empty(shape, dtype if dtype in ("f4", "c16") else "f8")
    x = np.cumsum(RNG.uniform(0.5, 1.5, shape[-1]))
    views = [a, a[::-1], a.T, a[..., ::-1]]
    for n in (1, 2):
        grid.derivative(np.ones(99), n=n, accuracy=4)  # weights are worked out once
    for view in views:
        target = out if view.shape == out.shape else out.T
        room = 0.45 * out.nbytes if backend.NAME == "numpy" or dtype in ("i4", ">f8") else 0.05 * out.nbytes
        assert peak(lambda v=view, t=target: grid.derivative(v, axis=-1, accuracy=4, out=t)) < room
        assert peak(lambda v=view, t=target: grid.laplacian(v, accuracy=4, out=t)) < room
    assert peak(lambda: grid.derivative(a, x, out=out)) < 0.45 * out.nbytes
    assert peak(lambda: grid.derivative(a)) < 1.45 * out.nbytes


def test_peak_sees_a_copy():
    a = np.ones(500_000)
    assert peak(lambda: a + 1) > 0.9 * a.nbytes


def test_any_number_of_threads_gives_the_same_bits():
    a = RNG.standard_normal((70, 80, 90))
    want = grid.gradient(a, accuracy=4, threads=1)
    for count in (2, 3, 7, 50):
        for got, one in zip(grid.gradient(a, accuracy=4, threads=count), want, strict=True):
            np.testing.assert_array_equal(got, one)
        np.testing.assert_array_equal(grid.laplacian(a.astype(">f8"), threads=count), grid.laplacian(a, threads=1))
        np.testing.assert_array_equal(grid.derivative([1.0, 2.0, 4.0], threads=count), [0.5, 1.5, 2.5])


def test_many_callers_at_once():
    a = RNG.standard_normal((200, 300))
    want, wrong = grid.laplacian(a), []

    def call():
        for _ in range(5):
            if not np.array_equal(grid.laplacian(a), want):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_large_result_is_stored_past_the_caches_with_the_same_bits():
    a = RNG.standard_normal((1 << 22) + 11)
    want = np.concatenate([grid.derivative(part)[1:-1] for part in (a[:100_000], a[99_998:])])
    np.testing.assert_array_equal(grid.derivative(a)[1:-1], want)


def test_input_is_never_written():
    a = RNG.standard_normal((30, 30))
    a.flags.writeable = False
    copy = a.copy()
    x = np.sort(RNG.uniform(0, 1, 30))
    x.flags.writeable = False
    for call in (grid.gradient, grid.laplacian, grid.hessian):
        call(a, x, x)
    grid.derivative(a, x, error=True)
    np.testing.assert_array_equal(a, copy)


def test_grid_is_loaded_on_demand():
    import subprocess

    code = "import sys, fastdiff; assert 'fastdiff.grid' not in sys.modules; fastdiff.grid.derivative([1, 2, 4])"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert fastdiff.grid is grid
