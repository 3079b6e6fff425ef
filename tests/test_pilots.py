"""Protects what many elements learn from a few, noise and first steps: fewer evaluations, and results no worse for it."""

from math import frexp, sqrt

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import ndtr

from fastdiff import derivative, gradient, partials
from fastdiff.kernels import _numpy, backend
from fastdiff.lanes import OCTAVES
from fastdiff.pilots import MANY

RANDOM = np.random.default_rng(7)
UNIFORM, NORMAL = RANDOM.uniform(-10, 10, MANY), RANDOM.normal(size=MANY)
KNOTS, HEIGHTS = np.linspace(-10, 10, 41), RANDOM.normal(size=41)


def hermite(x, order):
    """A cubic with other coefficients between each two knots, and its derivative; the slope at all knots is zero."""
    i = np.clip(np.searchsorted(KNOTS, x) - 1, 0, len(KNOTS) - 2)
    width, rise = KNOTS[i + 1] - KNOTS[i], HEIGHTS[i + 1] - HEIGHTS[i]
    t = (x - KNOTS[i]) / width
    return HEIGHTS[i] + rise * t * t * (3 - 2 * t) if order == 0 else 6 * rise * t * (1 - t) / width


def in_parts(f, x, **options):
    """Value, error bar and evaluations from calls too small to learn anything."""
    parts = [derivative(f, part, full_output=True, **options) for part in np.array_split(x, 2)]
    return (
        np.concatenate([p.value for p in parts]),
        np.concatenate([p.error for p in parts]),
        sum(p.nfev for p in parts),
    )


@pytest.mark.parametrize(
    ("f", "slope", "x", "saved"),
    [
        (lambda x: np.log(1 + np.exp(x)), lambda x: 1 / (1 + np.exp(-x)), NORMAL, 0.15),
        (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x), UNIFORM, 0.2),
        (lambda x: 1e6 + np.sin(x), np.cos, NORMAL, 0.25),
        (lambda x: np.sin(20 * x), lambda x: 20 * np.cos(20 * x), UNIFORM, 0.3),
    ],
    ids=["softplus", "bell", "offset", "fast"],
)
def test_fewer_evaluations_of_smooth_functions(f, slope, x, saved):
    whole = derivative(f, x, full_output=True)
    _, error, nfev = in_parts(f, x)
    assert whole.nfev < (1 - saved) * nfev
    assert (np.abs(whole.value - slope(x)) <= whole.error).mean() > 0.999
    growth = np.log2(whole.error / error)
    assert np.median(growth) < 1
    assert np.quantile(growth, 0.99) < 5
    assert whole.converged.all()


def scattered(x):
    """Uniform in [-1/2, 1/2], a fixed function of the bits of x that looks like noise."""
    bits = np.ascontiguousarray(x).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((bits ^ (bits >> np.uint64(32))) >> np.uint64(11)) / 2.0**53 - 0.5


def test_rounding_inside_f_is_heard():
    """1 + exp(x) is rounded to 1e-16, which is 1e-12 of the result at x = -10: more than one bar in fifty is too small where
    each point has to guess it."""
    whole = derivative(lambda x: np.log(1 + np.exp(x)), UNIFORM, full_output=True)
    truth = 1 / (1 + np.exp(-UNIFORM))
    value, error, nfev = in_parts(lambda x: np.log(1 + np.exp(x)), UNIFORM)
    assert (np.abs(value - truth) > error).mean() > 0.02
    assert (np.abs(whole.value - truth) > whole.error).mean() < 0.0005
    assert np.median(whole.error) < 1.5 * np.median(error)
    assert np.median(np.abs(whole.value - truth)) < 1.1 * np.median(np.abs(value - truth))
    assert whole.nfev < min(nfev, 6.2 * UNIFORM.size)


@pytest.mark.parametrize("size", [1e-9, 1e-5])
def test_noise_is_heard(size):
    def f(x):
        return np.exp(x / 5) + size * scattered(x)

    whole, (value, error, nfev) = derivative(f, NORMAL, full_output=True), in_parts(f, NORMAL)
    off, off_parts = (np.abs(v - np.exp(NORMAL / 5) / 5) for v in (whole.value, value))
    assert whole.nfev < 0.6 * nfev
    assert (off > whole.error).mean() < 0.002
    assert np.median(off) < 1.3 * np.median(off_parts)
    assert np.quantile(off, 0.99) < np.quantile(off_parts, 0.99)
    assert np.median(whole.error) < 1.3 * np.median(error)


def test_elements_where_f_is_nan_do_not_keep_others_from_hearing_the_noise():
    x = RANDOM.uniform(1.0, 1.9, MANY)
    r = derivative(lambda x: np.where(x > 1.005, np.exp(x / 5) + 1e-9 * scattered(x), np.nan), x, full_output=True)
    good = np.isfinite(r.value)
    assert 0.99 < good.mean() < 1.0
    assert r.nfev < 8 * good.sum()  # 13 where no noise is heard
    assert (np.abs(r.value - np.exp(x / 5) / 5) <= r.error)[good].mean() > 0.999


def test_elements_far_below_the_noise_of_others_do_not_believe_it():
    """Prices of options that are in the money have noise of 1e-15; one of 1e-80 has its own."""
    s, year, v = RANDOM.uniform(20, 180, MANY), 0.05, 0.1

    def d_of(s):
        return (np.log(s / 100) + (0.02 + v * v / 2) * year) / (v * np.sqrt(year))

    def price(s):
        return s * ndtr(d_of(s)) - 100 * np.exp(-0.02 * year) * ndtr(d_of(s) - v * np.sqrt(year))

    delta, (value, error, nfev) = derivative(price, s, full_output=True), in_parts(price, s)
    off, off_parts = (np.abs(v - ndtr(d_of(s))) for v in (delta.value, value))
    assert delta.nfev < 1.05 * nfev
    assert (off[delta.converged] <= delta.error[delta.converged]).mean() > 0.98
    assert off[delta.converged].max() <= 2 * off_parts[np.isfinite(error)].max()
    assert (~delta.converged).mean() < 0.001


@pytest.mark.parametrize("decades", [1, 2, 4])
def test_noise_that_differs_within_an_octave(decades):
    x = RANDOM.uniform(1, 2, MANY)

    def f(x):
        return np.sin(x) + 1e-9 * 10 ** (decades * (x - 1)) * scattered(x)

    whole, (value, error, _) = derivative(f, x, full_output=True), in_parts(f, x)
    missed, missed_parts = np.abs(whole.value - np.cos(x)) > whole.error, np.abs(value - np.cos(x)) > error
    assert missed.mean() < max(missed_parts.mean(), 0.02)
    assert missed[x > 1.9].mean() < max(1.2 * missed_parts[x > 1.9].mean(), 0.03)


def test_what_is_too_fast_for_the_first_step_is_no_noise():
    def f(x):
        return np.sin(1e6 * x)

    whole, (value, error, nfev) = derivative(f, UNIFORM, full_output=True), in_parts(f, UNIFORM)
    good = np.isfinite(error)
    assert good.mean() > 0.999
    assert (np.abs(whole.value - value) <= whole.error + error)[good].mean() > 0.999
    assert np.median(whole.error) < 2 * np.median(error)
    assert whole.nfev < 0.6 * nfev


def test_no_evaluation_is_saved_at_the_price_of_digits():
    """Inside of its pieces a cubic is exact at large steps, beside the knots it ends in one round at small ones."""
    whole = derivative(lambda x: hermite(x, 0), UNIFORM, full_output=True)
    value, error, _ = in_parts(lambda x: hermite(x, 0), UNIFORM)
    off = [np.median(np.abs(found - hermite(UNIFORM, 1))) for found in (whole.value, value)]
    assert off[0] < 4 * off[1]
    assert np.median(whole.error) < 4 * np.median(error)


def test_nothing_is_learned_where_nothing_is_gained():
    value, error, _ = in_parts(np.exp, UNIFORM)
    whole = derivative(np.exp, UNIFORM, full_output=True)
    np.testing.assert_array_equal(whole.value, value)
    np.testing.assert_array_equal(whole.error, error)


@pytest.mark.parametrize("odd", [6, MANY // 8])
@pytest.mark.parametrize("method", ["central", "forward"])
def test_all_ways_to_run_learn_the_same(method, odd):
    x = NORMAL.copy()
    x[RANDOM.choice(MANY, odd, replace=False)] = np.resize([np.nan, 0.0, -0.0, np.inf, 5e-324, 1e300], odd)

    def f(x):
        return np.exp(-x * x) + np.where(x > 1, np.sqrt(x - 1), 0)

    want = derivative(f, x, method, engine="python", threads=1, full_output=True)
    for options in ({"engine": "python", "threads": 2}, {"engine": "traced"}, {"engine": "traced", "threads": 1}):
        got = derivative(f, x, method, full_output=True, **options)
        for field in ("value", "error", "h", "converged"):
            np.testing.assert_array_equal(getattr(got, field), getattr(want, field))
        np.testing.assert_array_equal(derivative(f, x, method, **options), want.value)


def test_bounds_hold():
    lo, hi = UNIFORM - RANDOM.uniform(0, 0.02, MANY), UNIFORM + 0.01

    def f(x):
        assert ((x >= lo.min()) & (x <= hi.max())).all()
        return np.exp(-x * x)

    r = derivative(f, UNIFORM, bounds=(lo, hi), full_output=True)
    truth = -2 * UNIFORM * np.exp(-UNIFORM * UNIFORM)
    assert (np.abs(r.value - truth) <= r.error).mean() > 0.999


def test_nothing_is_learned_where_more_than_one_number_differs():
    """Of the largest coordinate, or of an option of which strike and time differ, some elements say nothing of others."""
    x = RANDOM.normal(size=(MANY // 4, 4))
    whole = gradient(np.max, x, full_output=True)
    parts = [gradient(np.max, p, full_output=True) for p in np.array_split(x, 4)]
    np.testing.assert_array_equal(whole.error, np.concatenate([p.error for p in parts]))
    whole = partials(np.hypot, UNIFORM, NORMAL, full_output=True)
    halves = [partials(np.hypot, x, y, full_output=True) for x, y in zip(np.split(UNIFORM, 2), np.split(NORMAL, 2))]
    np.testing.assert_array_equal(whole[0].error, np.concatenate([p.error for p, _ in halves]))
    weights = NORMAL.copy()
    found = [derivative(lambda x: np.exp(weights * x), UNIFORM, engine=engine) for engine in ("python", "traced")]
    np.testing.assert_array_equal(*found)


scales = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x != 0)
near_root = [
    s * 2.0**k * root for s in (-1, 1) for k in (-1000, 0, 1023) for root in np.nextafter(sqrt(2), [0, sqrt(2), 2])
]


@given(values=st.lists(scales, min_size=1, max_size=40), seed=st.integers(0, 2**32 - 1))
@example(values=near_root, seed=0)
def test_first_steps_by_octave(values, seed):
    """log2 of a first step is what the table says for sign and exponent of scale / sqrt(2), over that exponent."""
    table = np.random.default_rng(seed).integers(-80, 80, OCTAVES).astype(float)
    scale = np.array(values)
    for module in (_numpy, backend):
        k, least = np.empty((2, scale.size))
        module.by_octave(scale, table, k)
        if k.size > 1:  # of one number it is that of all lanes
            module.start(scale, np.zeros(1), k, 0.0, k, least)
        else:
            module.start(scale, np.zeros(1), k.copy(), 0.0, k, least)
        for x, got, floor in zip(values, k, least):
            small = x * 0.7071067811865476
            if abs(small) >= 2.0**-1022:  # exponents below are those of zero
                exponent = frexp(small)[1]
                entry = table[2048 * (x < 0) + exponent + 1023]
                assert got == max(min(max(exponent + entry, -1060), 1000), floor)
            else:
                assert got >= floor
