"""Protects what the operators promise: values, error bars, counted evaluations, shapes, dtypes, untouched arguments."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scenarios import EPS, ONE_VARIABLE, SCENARIOS, TASKS, Scenario, Task, Watched, check, check_form, tasks

import fastdiff
from fastdiff import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials
from fastdiff.stencils import Stencil

SIDES = ("central", "forward", "backward")


# --- every scenario through every operator -------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_scenario(task):
    check(task)


# One-sided stencils have larger error constants, and a floor of their own.
SIDED = [
    (t, method)
    for t in TASKS
    for method in ("forward", "backward")
    if t.order < 3
    and t.scenario.eps == EPS
    and (t.kind, method) not in {("point", "forward"), ("vectorized", "backward")}
]


@pytest.mark.parametrize(("task", "method"), SIDED, ids=str)
def test_scenario_one_sided(task, method):
    check(task, method=method, slack=1e5, useful=1e7)


FIRST = [t for t in TASKS if t.scenario.analytic and t.order == 1 and t.f != t.scenario.one_number]


@pytest.mark.parametrize("task", [t for t in FIRST if not t.scenario.complex_valued], ids=str)
def test_scenario_complex(task):
    results, points = task.results(method="complex", full_output=True)
    truths = task.truth if task.operator == "partials" else [task.truth]
    for r, truth in zip(results, truths):
        check_form(task, r, truth)
        off = np.abs(r.value - truth)
        assert (off <= r.error).all(), f"the error bar {r.error} does not hold {off}"
        # As good as f itself: rounding inside f moves x by its roundoff, and a tiny imaginary part may underflow.
        moved = np.abs(task.scenario.points).max() / np.min(task.scenario.length)
        assert (off <= 16 * EPS * (1 + moved) * np.abs(truth).max() + 1e-323 / r.h).all()
        assert np.all(r.converged)
    assert sum(r.nfev for r in results) == points
    plain, points = task.run(method="complex")
    for value, r in zip(plain if isinstance(plain, tuple) else [plain], results):
        np.testing.assert_array_equal(value, r.value)
    if task.kind == "elementwise":
        assert points == task.x[0].size * len(results)  # one evaluation a derivative


@pytest.mark.parametrize("task", [t for t in FIRST if t.scenario.complex_valued], ids=str)
def test_complex_values_have_no_complex_step(task):
    """Their imaginary part is not the derivative's."""
    for full_output in (False, True):
        with pytest.raises(TypeError, match="method='complex' needs an f that is real for real x"):
            task.run(method="complex", full_output=full_output)


ORDINARY = [
    t
    for t in TASKS
    if np.min(t.scenario.length) >= 0.2 and np.abs(t.scenario.points).max() <= 1e3 and t.order <= 2
]  # fmt: skip


@pytest.mark.parametrize("task", ORDINARY, ids=str)
def test_scenario_scaled(task):
    """One round: cheap, and good where the scale of f is that of x; the form, the count and the value are the same."""
    results, points = task.results(h="scaled", full_output=True)
    truths = task.truth if task.operator == "partials" else [task.truth]
    for r, truth in zip(results, truths):
        check_form(task, r, truth)
        off = np.abs(r.value - truth)
        assert (off <= r.error).all(), f"the error bar {r.error} does not hold {off}"
        assert (off <= 1e-3 * np.abs(truth) + 1e8 * task.reach).all()
    assert sum(r.nfev for r in results) == points
    plain, points = task.run(h="scaled")
    for value, r in zip(plain if isinstance(plain, tuple) else [plain], results):
        np.testing.assert_array_equal(value, r.value)
    assert points < sum(r.nfev for r in results)


def test_the_runner_notices():
    """A wrong value, a narrow error bar, a lost evaluation, a changed x, another dtype: each fails the check."""
    scenario = ONE_VARIABLE[0]
    good = tasks(scenario)[0]
    check(good)

    def spoilt(change):
        def call(f, x, full_output=False, **options):
            r = good.call(f, x, full_output=True, **options)
            r = change(r, f, x)
            return r if full_output else r.value

        return Task(
            *[getattr(good, n) for n in ("scenario", "operator", "kind", "f")], call, good.x, good.truth, 1, good.reach
        )

    def changed(**fields):
        return lambda r, f, x: fastdiff.Result(**{**r.__dict__, **{k: v(r) for k, v in fields.items()}})

    def called_again(r, f, x):
        f(x[:1].copy())
        return r

    for change in (
        changed(value=lambda r: r.value * (1 + 1e-6)),
        changed(error=lambda r: r.error * 1e-9),
        changed(error=lambda r: r.error * 1e9),
        changed(nfev=lambda r: r.nfev + 1),
        changed(converged=lambda r: ~r.converged),
        changed(value=lambda r: r.value.astype(np.float32)),
        changed(value=lambda r: r.value[:, None]),
        called_again,
    ):
        with pytest.raises(AssertionError):
            check(spoilt(change))
    check(spoilt(lambda r, f, x: r))


def test_the_scenarios_stress_different_things():
    assert len({s.name for s in SCENARIOS}) == len(SCENARIOS) == len({s.stresses for s in SCENARIOS})
    assert {t.operator.split("-")[0] for t in TASKS} == {
        *("derivative1", "derivative2", "derivative3", "partials", "mixed_partial"),
        *("gradient", "jacobian", "jvp", "hessian", "hvp"),
    }


# --- the textbook quotients, bit for bit ---------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
steps = st.floats(1e-8, 1e3)
FUNCTIONS = {
    "exp": lambda x: np.exp(x / 1e6),
    "sin": np.sin,
    "cubic": lambda x: x * (x * x - 3.0),
    "1/x": lambda x: 1 / (x * x + 1),
}


def textbook(f, x, h, method):
    return {
        "central": lambda: (f(x + h) - f(x - h)) / (2 * h),
        "forward": lambda: (f(x + h) - f(x)) / h,
        "backward": lambda: (f(x) - f(x - h)) / h,
    }[method]()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("method", SIDES)
@given(x=hnp.arrays(float, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), elements=numbers), h=steps)
def test_textbook_equality(name, method, x, h):
    f = FUNCTIONS[name]
    expected = textbook(f, x[()], h, method)
    np.testing.assert_array_equal(derivative(f, x, method, h), expected, strict=True)
    r = derivative(f, x, method, h, full_output=True)
    np.testing.assert_array_equal(r.value, expected, strict=True)
    np.testing.assert_array_equal(r.h, np.full(x.shape, h)[()])
    if x.ndim == 0:
        assert derivative(f, float(x), method, h) == expected
        scalar = derivative(lambda t: float(f(t)), float(x), method, h)
        assert scalar == textbook(lambda t: float(f(np.float64(t))), float(x), h, method)


@given(hnp.arrays(float, (2, 3), elements=numbers), hnp.arrays(float, 3, elements=steps), st.sampled_from(SIDES))
def test_textbook_equality_step_by_step(x, h, method):
    expected = textbook(np.sin, x, h, method)
    np.testing.assert_array_equal(derivative(np.sin, x, method, h), expected)
    np.testing.assert_array_equal(partials(np.sin, x, method=method, h=h)[0], expected)
    for vectorized in (False, True):
        options = {"vectorized": vectorized}
        g = gradient(lambda x: np.sin(x).sum(axis=-1), x, method, h, **options)
        r = gradient(lambda x: np.sin(x).sum(axis=-1), x, method, h, **options, full_output=True)
        np.testing.assert_array_equal(r.value, g)
        np.testing.assert_array_equal(r.h, np.broadcast_to(h, x.shape))
        for i in range(3):
            e = np.eye(3)[i] * h

            def moved(t, i=i):
                return np.sin(t).sum(axis=-1)

            up, here, down = (moved(np.where(e != 0, x + s * e, x)) for s in (1.0, 0.0, -1.0))
            wanted = {
                "central": (up - down) / (2 * h[i]),
                "forward": (up - here) / h[i],
                "backward": (here - down) / h[i],
            }
            np.testing.assert_array_equal(g[:, i], wanted[method])
        jac = jacobian(np.sin, x, method, h, **options)
        np.testing.assert_array_equal(jac[:, np.arange(3), np.arange(3)], expected)
        assert np.count_nonzero(jac) <= 6


@given(numbers, st.floats(1e-3, 10), st.integers(1, 4))
def test_textbook_second_derivative(x, h, n):
    def f(x):
        return np.cos(x)

    second = (f(x + h) - 2 * f(x) + f(x - h)) / h**2
    np.testing.assert_allclose(derivative(f, x, h=h, n=2), second, rtol=0, atol=8 * EPS / h**2)


@given(st.integers(-50, 50), st.integers(-4, 4))
def test_quotients_of_exact_numbers_are_exact(x, e):
    """Where every sample and sum is exact in float64, so is the derivative: no rounding of our own."""
    h = 2.0**e
    for n, accuracy in ((1, 2), (1, 4), (2, 2), (2, 4), (3, 2), (4, 2)):
        p = n + accuracy - 1 + accuracy % 2  # the stencil is exact on this degree
        p = min(p, 4)
        exact = Fraction(math.perm(p, n)) * Fraction(x) ** (p - n)
        found = derivative(lambda t, p=p: np.float64(t) ** p, float(x), h=h, n=n, accuracy=accuracy)
        assert (
            abs(Fraction(float(found)) - exact) <= Fraction(1, 2**44) * (1 + abs(Fraction(x)) ** p) / Fraction(h) ** n
        )


# --- given steps: order of accuracy, Richardson, exactness on polynomials ------------------------------------------

CONVERGENCE = [
    (n, a, m)
    for n in (1, 2, 3, 4, 5)
    for a in (1, 2, 3, 4, 6)
    for m in SIDES
    if (a % 2 == 0 if m == "central" else n + a < 10)
]
CONVERGENCE += [(1, 8, "central"), (2, 8, "central"), (7, 2, "central"), (10, 2, "central"), (7, 1, "forward")]


@pytest.mark.parametrize(("n", "accuracy", "method"), CONVERGENCE)
def test_the_error_falls_with_the_order(n, accuracy, method):
    """The slope of log(error) over log(h), at the smallest steps at which roundoff does not show."""
    h = 2.0 ** -np.arange(0.0, 12.0, 0.5)
    weight = sum(abs(float(w)) for w in Stencil.standard(n, accuracy, method).rows[-1])
    error = np.abs(derivative(np.exp, np.full(h.shape, 0.3), method, h, n=n, accuracy=accuracy) - math.exp(0.3))
    clear = np.flatnonzero(error > 300 * EPS * weight / h**n)
    i = clear[-1]
    slope = 2 * math.log2(error[i - 1] / error[i])
    assert abs(slope - accuracy) < 0.4, slope
    assert i >= 2


@pytest.mark.parametrize("accuracy", [1, 3, 5])
def test_odd_accuracy_of_central_stencils_is_the_even_one_above(accuracy):
    for n in (1, 2, 3):
        assert derivative(np.exp, 1.0, h=0.1, n=n, accuracy=accuracy) == derivative(
            np.exp, 1.0, h=0.1, n=n, accuracy=accuracy + 1
        )


@pytest.mark.parametrize("method", SIDES)
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_richardson_is_the_tableau(n, levels, method):
    """Neville's tableau carried out on plain quotients at h, h/2, ..., in ordinary arithmetic."""
    x, h = 0.7, 0.5
    column = [derivative(np.exp, x, method, h / 2**k, n=n) for k in range(levels + 1)]
    order = 2 if method == "central" else 1
    for _ in range(levels):
        column = [(2**order * fine - coarse) / (2**order - 1) for coarse, fine in zip(column, column[1:])]
        order += 2 if method == "central" else 1
    found = derivative(np.exp, x, method, h, n=n, richardson=levels)
    np.testing.assert_allclose(found, column[0], rtol=1e-12 * 10 ** (n + levels))
    plain = derivative(np.exp, x, method, h, n=n)
    assert abs(found - math.exp(x)) < 0.25 * abs(plain - math.exp(x))


@pytest.mark.parametrize("method", SIDES)
@pytest.mark.parametrize("richardson", [None, 1, 2, 4])
@pytest.mark.parametrize("accuracy", [None, 2, 5, 8, 16])
def test_automatic_steps_with_any_stencil(accuracy, richardson, method):
    if accuracy == 16 and richardson:
        return  # more points than a stencil may have
    x = np.array([0.5, 2.0, 30.0])
    r = derivative(np.log, x, method, accuracy=accuracy, richardson=richardson, full_output=True)
    off = np.abs(r.value - 1 / x)
    assert (off <= r.error).all()
    assert (off <= 1e-4 / x).all()
    assert (r.error <= 1e-2 / x).all()
    assert r.converged.all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.integers(-8, 8), st.sampled_from(SIDES), st.integers(1, 4)
)
def test_stencils_are_exact_on_polynomials(coefficients, x, method, n):
    """Degree below n + accuracy: no truncation error, and whole numbers at whole steps are summed without roundoff."""
    accuracy = max(len(coefficients) - n, 1)
    exact = sum(c * math.perm(k, n) * x ** (k - n) for k, c in enumerate(coefficients) if k >= n)

    def f(t):
        return sum(c * np.float64(t) ** k for k, c in enumerate(coefficients))

    for h in (1.0, 2.0):
        found = derivative(f, float(x), method, h, n=n, accuracy=accuracy)
        assert abs(found - exact) <= 1e-9 * (1 + abs(exact))


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(float, 4, elements=st.floats(-8, 8).filter(lambda c: c == 0 or abs(c) > 1e-3)),
    st.floats(-4, 4),
    st.sampled_from(SIDES),
)
def test_automatic_steps_are_exact_on_polynomials(coefficients, x, method):
    p = np.polynomial.Polynomial(coefficients)
    r = derivative(p, x, method, full_output=True)
    size = np.abs(coefficients).sum() * max(1.0, abs(x)) ** 3
    off = abs(r.value - p.deriv()(x))
    assert off <= r.error + 64 * EPS * size
    assert off <= 1e-9 * size + 1e-300
    assert r.error <= 1e-6 * size + 1e-300


factors = st.floats(-100, 100).filter(lambda a: a == 0 or abs(a) > 1e-6)


@settings(max_examples=40, deadline=None)
@given(factors, factors, hnp.arrays(float, 3, elements=st.floats(-3, 3)))
def test_linearity(a, b, x):
    """Of given steps up to rounding, of automatic ones up to their error bars."""

    def both(t):
        return a * np.sin(t) + b * np.exp(t)

    given_step = derivative(both, x, h=0.01)
    parts = a * derivative(np.sin, x, h=0.01) + b * derivative(np.exp, x, h=0.01)
    np.testing.assert_allclose(given_step, parts, rtol=0, atol=1e-12 * (abs(a) + 21 * abs(b)))
    r, s, e = (derivative(f, x, full_output=True) for f in (both, np.sin, np.exp))
    bar = r.error + abs(a) * s.error + abs(b) * e.error + 8 * EPS * (abs(a) + 21 * abs(b))
    assert (np.abs(r.value - a * s.value - b * e.value) <= bar).all()


# --- shapes, dtypes, arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [None, "scaled", 0.125])
@pytest.mark.parametrize("method", [*SIDES, "complex"])
def test_scalars_and_arrays_of_one(method, h):
    """A number, an array of no dimensions and arrays of one element: same value, each its own shape."""
    values = {}
    for x in (0.5, np.float64(0.5), np.array(0.5), np.array([0.5]), np.array([[0.5]])):
        r = derivative(np.sin, x, method, h, full_output=True)
        for a in (r.value, r.error, r.h, r.converged):
            assert np.shape(a) == np.shape(x)
            assert isinstance(a, np.generic) == (np.ndim(x) == 0)
        assert r.value.dtype == np.float64
        values[np.asarray(r.value).item()] = None
        values[np.asarray(derivative(np.sin, x, method, h)).item()] = None
    assert len(values) == 1


@pytest.mark.parametrize("operator", [derivative, lambda f, x: gradient(lambda x: f(x).sum(), x)])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.float16, np.float32, np.longdouble, bool])
def test_f_always_gets_float64(operator, dtype):
    seen = set()

    def f(x):
        seen.add(np.asarray(x).dtype)
        return np.exp(x)

    x = np.array([0, 1, 1], dtype)
    found = operator(f, x)
    assert seen == {np.dtype(float)}
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.exp(x.astype(float)), rtol=1e-9)


def test_lists_tuples_and_odd_arrays():
    x = np.arange(1.0, 7.0)
    truth = 2 * x
    np.testing.assert_allclose(derivative(lambda x: x * x, x.tolist()), truth, rtol=1e-9)
    np.testing.assert_allclose(derivative(lambda x: x * x, tuple(x)), truth, rtol=1e-9)
    np.testing.assert_allclose(derivative(lambda x: x * x, np.repeat(x, 2)[::2]), truth, rtol=1e-9)
    np.testing.assert_allclose(derivative(lambda x: x * x, x[::-1]), truth[::-1], rtol=1e-9)
    np.testing.assert_allclose(
        derivative(lambda x: x * x, np.asfortranarray(x.reshape(2, 3))), truth.reshape(2, 3), rtol=1e-9
    )
    np.testing.assert_allclose(derivative(lambda x: x * x, x.astype(">f8")), truth, rtol=1e-9)
    np.testing.assert_allclose(
        derivative(lambda x: x * x, np.broadcast_to(3.0, (2, 2))), np.full((2, 2), 6.0), rtol=1e-9
    )
    fixed = x.copy()
    fixed.flags.writeable = False
    np.testing.assert_allclose(derivative(lambda x: x * x, fixed), truth, rtol=1e-9)
    np.testing.assert_allclose(gradient(lambda x: (x * x).sum(), fixed), truth, rtol=1e-9)


def test_f_may_write_into_what_it_is_given():
    """Arrays of its own each time, writable, also where x is not and where a direction leaves most of it alone."""

    def f(*x):
        value = sum((c * c).sum(axis=-1) if point else c * c for c in x)
        for c in x:
            if isinstance(c, np.ndarray):
                c += 1e9
        return value

    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    point = False
    for h in (None, "scaled", 0.25):
        np.testing.assert_allclose(derivative(f, x, h=h), 2 * x, rtol=1e-8)
        for found, truth in zip(partials(f, x, 2 * x, h=h), (2 * x, 4 * x)):
            np.testing.assert_allclose(found, truth, rtol=1e-8)
        point = True
        for vectorized in (False, True):
            np.testing.assert_allclose(gradient(f, x, h=h, vectorized=vectorized), 2 * x, rtol=1e-8)
            np.testing.assert_allclose(hessian(f, x, h=h, vectorized=vectorized), 2 * np.eye(2), atol=1e-5)
            np.testing.assert_allclose(jvp(f, x, [1.0, 1.0], h=h, vectorized=vectorized), 6.0, rtol=1e-8)
        point = False
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_f_may_return_its_argument_or_one_buffer():
    np.testing.assert_allclose(derivative(lambda x: x, np.array([1.0, 2.0])), [1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(jacobian(lambda x: x, [1.0, 2.0]), np.eye(2), atol=1e-12)
    for vectorized in (False, True):
        buffers = {}

        def f(x, buffers=buffers):
            out = buffers.setdefault(x.shape, np.empty(x.shape))
            return np.multiply(x, x, out=out)

        np.testing.assert_allclose(jacobian(f, [1.0, 3.0], vectorized=vectorized), [[2, 0], [0, 6]], atol=1e-9)
        np.testing.assert_allclose(derivative(f, np.array([1.0, 3.0, 50.0])), [2, 6, 100], rtol=1e-9)


def test_args():
    x = np.array([0.5, 1.0])

    def f(x, a, b):
        return a * x**b

    np.testing.assert_allclose(derivative(f, x, args=(3.0, 2)), 6 * x, rtol=1e-9)
    np.testing.assert_allclose(derivative(f, x, args=[3.0, 2]), 6 * x, rtol=1e-9)
    np.testing.assert_allclose(derivative(f, 0.5, args=(3.0, 2)), 3.0, rtol=1e-9)
    np.testing.assert_allclose(partials(f, x, 3.0, args=(2,))[1], x**2, rtol=1e-9)
    np.testing.assert_allclose(mixed_partial(f, x, 3.0, orders=(1, 1), args=(2,)), 2 * x, rtol=1e-6)
    for vectorized in (False, True):
        options = {"args": (3.0, 2), "vectorized": vectorized}

        def g(x, a, b):
            return (a * x**b).sum(axis=-1)

        np.testing.assert_allclose(gradient(g, x, **options), 6 * x, rtol=1e-9)
        np.testing.assert_allclose(jacobian(f, x, **options), np.diag(6 * x), atol=1e-9)
        np.testing.assert_allclose(hessian(g, x, **options), 6 * np.eye(2), atol=1e-5)
        np.testing.assert_allclose(jvp(g, x, x, **options), 6 * (x @ x), rtol=1e-9)
        np.testing.assert_allclose(hvp(g, x, x, **options), 6 * x, rtol=1e-5)


def test_functions_of_math():
    for f, slope in ((math.sin, math.cos), (math.exp, math.exp), (math.atan, lambda x: 1 / (1 + x * x))):
        for x in (1, 0.5, np.float64(0.5), np.array(0.5), np.int64(2)):
            assert abs(derivative(f, x) - slope(x)) < 1e-9 * abs(slope(x))
    kinds = set()
    derivative(lambda x: (kinds.add(type(x)), math.sin(x))[1], 0.5)
    assert all(issubclass(kind, float) for kind in kinds)
    assert abs(gradient(lambda x: math.hypot(x[0], x[1]), [3.0, 4.0])[0] - 0.6) < 1e-10
    with pytest.raises(TypeError):
        derivative(math.sin, [1.0, 2.0])


def test_results_of_f_in_many_forms():
    """A point function may return a float, a list, an array of no dimensions or of one element."""
    for wrap in (
        float,
        np.float64,
        np.array,
        np.float32,
        lambda v: [v],
        lambda v: np.array([v]),
        lambda v: np.array([[v]]),
    ):
        rtol = 1e-3 if wrap is np.float32 else 1e-9
        np.testing.assert_allclose(gradient(lambda x, w=wrap: w(x @ x), [1.0, 2.0]), [2.0, 4.0], rtol=rtol)
    np.testing.assert_allclose(jacobian(lambda x: [x[0] * x[1], x[0]], [1.0, 2.0]), [[2, 1], [1, 0]], atol=1e-9)
    np.testing.assert_allclose(jacobian(lambda x: (x[0], [x[1]][0]), [1.0, 2.0]), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(jacobian(lambda x: x[0] * x[1], [1.0, 2.0]), [2, 1], rtol=1e-9)


def test_values_of_f_that_change_their_form():
    """Floats at some points, arrays at others: what was evaluated is counted all the same."""
    calls = []

    def f(x):
        calls.append(x)
        return float(x @ x) if x[0] > 0 else np.array(x @ x)

    x = np.array([[1.0, 2.0], [-1.0, 2.0], [3.0, -4.0]])
    r = gradient(f, x, full_output=True)
    np.testing.assert_allclose(r.value, 2 * x, rtol=1e-9)
    assert r.nfev == len(calls)
    calls.clear()
    later = gradient(lambda x: np.array(x @ x) if len(calls) > 3 else (calls.append(1), float(x @ x))[1], x[0])
    np.testing.assert_allclose(later, 2 * x[0], rtol=1e-9)
    values = []

    def g(x):
        values.append(x)
        return np.sin(x) if len(values) > 2 else math.sin(x)

    r = derivative(g, 1.0, full_output=True)
    assert abs(r.value - math.cos(1.0)) < 1e-9
    assert r.nfev == len(values)


# --- single precision and complex values ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda f: lambda x: np.float32(f(x)), lambda f: lambda x: np.float16(f(x))])
def test_step_and_error_are_sized_for_what_f_returns(wrap):
    x = np.array([0.5, 1.0, 2.0])
    double, single = (derivative(g, x, full_output=True) for g in (np.exp, wrap(np.exp)))
    assert (single.h > 8 * double.h).all()
    assert (single.error > 1e3 * double.error).all()
    assert (np.abs(single.value - np.exp(x)) <= single.error).all()
    assert single.value.dtype == np.float64
    for operator in (gradient, jacobian):
        r = operator(lambda x: wrap(np.exp)(x[0] * x[1]), [0.5, 2.0], full_output=True)
        assert (np.abs(r.value - [2 * np.e, 0.5 * np.e]) <= r.error).all()
        assert (r.h > 8 * operator(lambda x: np.exp(x[0] * x[1]), [0.5, 2.0], full_output=True).h).all()


@pytest.mark.parametrize("h", [None, "scaled", 0.01])
@pytest.mark.parametrize("x", [0.5, np.array([0.5, -1.0])], ids=np.shape)
def test_complex_values(x, h):
    for n in (1, 2):
        r = derivative(lambda x: np.exp(2j * x), x, h=h, n=n, full_output=True)
        truth = (2j) ** n * np.exp(2j * np.asarray(x))
        assert r.value.dtype == np.complex128
        assert r.error.dtype == r.h.dtype == np.float64
        assert (np.abs(r.value - truth) <= r.error).all()
        np.testing.assert_allclose(r.value, truth, rtol=1e-3)
        real, imag = (derivative(lambda x, p=p: p(np.exp(2j * x)), x, h=h, n=n) for p in (np.real, np.imag))
        np.testing.assert_allclose(r.value, real + 1j * imag, rtol=1e-6)


def test_complex_values_of_single_precision():
    r = derivative(lambda x: np.exp(2j * x).astype(np.complex64), np.array([0.5]), full_output=True)
    assert r.value.dtype == np.complex128
    assert np.abs(r.value - 2j * np.exp(1j)) <= r.error
    assert r.error > 1e-7


def test_complex_values_everywhere():
    x = np.array([0.4, 1.2])
    truth = np.array([1j * np.exp(0.4j) * 1.2, np.exp(0.4j)])
    for vectorized in (False, True):

        def f(x):
            return np.exp(1j * x[..., 0]) * x[..., 1]

        np.testing.assert_allclose(gradient(f, x, vectorized=vectorized), truth, rtol=1e-8)
        np.testing.assert_allclose(jacobian(f, x, vectorized=vectorized), truth, rtol=1e-8)
        np.testing.assert_allclose(jvp(f, x, [1.0, -1.0], vectorized=vectorized), truth[0] - truth[1], rtol=1e-8)
        second = np.array([[-np.exp(0.4j) * 1.2, 1j * np.exp(0.4j)], [1j * np.exp(0.4j), 0]])
        np.testing.assert_allclose(hessian(f, x, vectorized=vectorized), second, atol=1e-5)
        np.testing.assert_allclose(hvp(f, x, [1.0, -1.0], vectorized=vectorized), second @ [1.0, -1.0], atol=1e-5)
    np.testing.assert_allclose(
        mixed_partial(lambda a, b: np.exp(1j * a) * b, *x, orders=(1, 1)), second[0, 1], atol=1e-5
    )


def test_the_complex_step_says_when_f_is_not_analytic():
    r = derivative(lambda x: x * np.conj(x) + 0j, np.array([1.5, -2.0]), "complex", full_output=True)
    assert not r.converged.any()
    assert (np.abs(r.value - [3.0, -4.0]) <= r.error).all()
    assert "not analytic" in r.reason
    good = derivative(lambda x: x * x + 0j, np.array([1.5, -2.0]), "complex", full_output=True)
    assert good.converged.all()
    np.testing.assert_allclose(good.value, [3.0, -4.0], rtol=1e-15)


# --- functions that capture arrays of x's shape --------------------------------------------------------------------

SHAPES = [((3, 5), (5,)), ((3, 5), (3, 1)), ((3, 5), (3, 5)), ((7,), (7,)), ((2, 3, 4), (3, 4)), ((1, 6), (6,)), ((1,), (1,)), ((9, 1), (9, 1)), ((8, 8), (8,)), ((16,), (16,)), ((3, 9), (9,))]  # fmt: skip


def hard_somewhere(a, x):
    """Most elements are done at once; one goes on alone."""
    return a * np.where(x > 5.9, np.sin(1e4 * x), np.sin(x))


@pytest.mark.parametrize("h", [None, "scaled", 0.125])
@pytest.mark.parametrize(("shape", "captured"), SHAPES, ids=str)
def test_captured_arrays(shape, captured, h):
    rng = np.random.default_rng(1)
    for constant in (False, True):
        a = np.full(captured, 3.0) if constant else rng.uniform(1, 2, captured)
        x = np.linspace(0.5, 6.0, math.prod(shape)).reshape(shape)
        truth = a * np.where(x > 5.9, 1e4 * np.cos(1e4 * x), np.cos(x))
        watched = Watched(lambda x, a=a: hard_somewhere(a, x), "elementwise")
        r = derivative(watched, x, h=h, full_output=True)
        assert r.nfev == watched.points
        assert r.value.shape == shape
        easy = x <= 5.7
        np.testing.assert_allclose(r.value[easy], truth[easy], rtol=1e-6 if h is None else 1e-2)
        if h is None:
            assert (np.abs(r.value - truth) <= r.error).all()
            np.testing.assert_allclose(r.value, truth, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("bounds", [None, (0.0, 6.0)])
def test_captured_arrays_with_lanes_on_different_sides(bounds):
    """Bounds send the elements at the edges to one side, so f is asked about parts of them from the first."""
    x = np.array([0.0, 1.0, 2.0, 3.0, 6.0])
    a = np.array([1.0, -2.0, 3.0, -4.0, 5.0])
    for h in (None, "scaled", 0.25):
        for f in (lambda x: a * x * x, lambda x: np.stack([v * w * w for v, w in zip(a, x, strict=True)])):
            for full_output in (False, True):
                found = derivative(f, x, h=h, bounds=bounds, full_output=full_output)
                if h != 0.25 or bounds is None:
                    value = found.value if full_output else found
                    np.testing.assert_allclose(value, 2 * a * x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2,), (3,), (9,), (10,), (4, 4), (3, 5)])
def test_functions_that_tell_elements_apart(shape):
    """Sorting, position and length: such an f never gives the same for a part, and is never trusted with one."""
    x = np.linspace(0.5, 6.0, math.prod(shape)).reshape(shape)
    position = np.arange(1.0, x.size + 1).reshape(shape)

    def by_position(x):
        return hard_somewhere(np.arange(1.0, x.size + 1).reshape(x.shape), x)

    def by_length(x):
        return hard_somewhere(float(x.size), x)

    for f, a in ((by_position, position), (by_length, float(x.size))):
        r = derivative(f, x, full_output=True)
        truth = a * np.where(x > 5.9, 1e4 * np.cos(1e4 * x), np.cos(x))
        np.testing.assert_allclose(r.value, truth, rtol=1e-4, atol=1e-7)
        assert (np.abs(r.value - truth) <= r.error).all()


def test_only_unfinished_elements_are_evaluated_again():
    sizes = []

    def f(x):
        sizes.append(x.size)
        return hard_somewhere(1.0, x)

    x = np.append(np.linspace(0.5, 5.0, 300), 6.0)
    derivative(f, x)
    assert max(sizes) == 301
    assert sizes[-1] < 10
    assert sizes.count(301) < 8
    for vectorized in (False, True):
        points = []

        def g(x, points=points):
            points.append(np.atleast_2d(x))
            return hard_somewhere(1.0, x).sum(axis=-1)

        r = gradient(g, x[-40:].reshape(-1, 2)[:, ::-1], vectorized=vectorized, full_output=True)
        seen = np.concatenate(points)
        assert r.nfev == len(seen)
        assert len(seen[-1:]) == 1
        assert (seen[-1] > 5.0).any()  # the last point asked about is the hard one's


# --- several arguments ---------------------------------------------------------------------------------------------


def test_partials_broadcast():
    a, b = np.array([[1.0], [2.0], [3.0]]), np.array([0.5, 1.5])
    found = partials(lambda a, b: np.sin(a) * b**2, a, b)
    assert isinstance(found, tuple)
    np.testing.assert_allclose(found[0], np.cos(a) * b**2, rtol=1e-9)
    np.testing.assert_allclose(found[1], np.sin(a) * 2 * b, rtol=1e-9)
    results = partials(lambda a, b: np.sin(a) * b**2, a, b, full_output=True)
    for r, value in zip(results, found):
        np.testing.assert_array_equal(r.value, value)
        assert r.value.shape == r.error.shape == r.h.shape == r.converged.shape == (3, 2)
    seen = set()
    partials(lambda a, b: (seen.add((np.shape(a), np.shape(b))), np.sin(a) * b**2)[1], a, b, h=0.1)
    assert seen <= {((3, 2), (2,)), ((3, 1), (3, 2))}, "the argument that does not move keeps its shape"
    scalars = partials(math.atan2, 1.0, 2.0)
    np.testing.assert_allclose(scalars, [0.4, -0.2], rtol=1e-9)
    assert all(isinstance(v, np.float64) for v in scalars)
    np.testing.assert_allclose(partials(lambda a: a**2, 3.0), [6.0], rtol=1e-9)


def test_partials_of_higher_order_and_bounds_of_each():
    x, y = np.array([1.0, 2.0]), 0.0
    found = partials(lambda x, y: x**3 * np.exp(y), x, y, n=2)
    np.testing.assert_allclose(found[0], 6 * x, rtol=1e-6)
    np.testing.assert_allclose(found[1], x**3, rtol=1e-6)
    least = {"x": [], "y": []}

    def f(x, y):
        least["x"].append(np.min(x))
        least["y"].append(np.min(y))
        return x**3 * np.exp(y)

    for bounds in (((1.0, 5.0), (0.0, 1.0)), ((1.0, 5.0), None), (None, (0.0, 1.0))):
        least["x"].clear()
        least["y"].clear()
        found = partials(f, x, y, bounds=bounds)
        np.testing.assert_allclose(found[0], 3 * x**2, rtol=1e-7)
        np.testing.assert_allclose(found[1], x**3, rtol=1e-7)
        assert (min(least["x"]) >= 1.0) == (bounds[0] is not None)
        assert (min(least["y"]) >= 0.0) == (bounds[1] is not None)


@pytest.mark.parametrize("orders", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (0, 2), (2, 0)])
def test_mixed_partial(orders):
    x, y = np.array([[0.3], [1.0]]), np.array([0.5, -1.0, 2.0])
    p, q = orders
    waves = [np.sin, np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v)]
    truth = waves[p](x) * 2.0**q * np.exp(2 * y)
    r = mixed_partial(lambda x, y: np.sin(x) * np.exp(2 * y), x, y, orders=orders, full_output=True)
    assert r.value.shape == (2, 3)
    off = np.abs(r.value - truth)
    size = 2.0**q * np.exp(2 * y) + 0 * x
    assert (off <= r.error).all()
    assert (off <= 10.0 ** (2 * sum(orders) - 11) * size).all()
    np.testing.assert_array_equal(mixed_partial(lambda x, y: np.sin(x) * np.exp(2 * y), x, y, orders=orders), r.value)


def test_mixed_partial_of_three():
    found = mixed_partial(lambda x, y, z: x * np.sin(y) * np.exp(z), 2.0, 0.5, 1.0, orders=(1, 1, 1))
    np.testing.assert_allclose(found, np.cos(0.5) * np.e, rtol=1e-5)
    found = mixed_partial(lambda x, y, z: x * np.sin(y) * np.exp(z), 2.0, 0.5, 1.0, orders=[1, 0, 1])
    np.testing.assert_allclose(found, np.sin(0.5) * np.e, rtol=1e-6)


def test_mixed_partial_with_given_steps_is_exact_on_low_degrees():
    """Products of low degree have no truncation error; only sums of samples are left."""
    for orders in ((1, 1), (2, 1), (1, 2)):
        p, q = orders
        truth = math.perm(p, p) * math.perm(q, q)
        found = mixed_partial(lambda x, y, p=p, q=q: x**p * y**q, 2.0, 3.0, orders=orders, h=0.5)
        np.testing.assert_allclose(found, truth, rtol=1e-11)
    np.testing.assert_allclose(
        mixed_partial(lambda x, y: x * y, np.array([2.0, 3.0]), 3.0, orders=(1, 1), h=np.array([0.5, 0.25])),
        [1, 1],
        rtol=1e-12,
    )


# --- points: batches, outputs of any shape, products ---------------------------------------------------------------


def cubic(x):
    return (x**3).sum(axis=-1) + x[..., 0] * x[..., -1]


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_batches(batch, d, vectorized):
    x = np.random.default_rng(2).uniform(0.5, 2.0, (*batch, d))
    options = {"vectorized": vectorized}
    grad = 3 * x**2
    grad[..., 0] += x[..., -1]
    grad[..., -1] += x[..., 0]
    hess = 6 * x[..., None] * np.eye(d)
    hess[..., 0, -1] += 1
    hess[..., -1, 0] += 1
    v = np.linspace(1.0, -0.5, d)
    for found, truth, atol in (
        (gradient(cubic, x, **options), grad, 1e-9),
        (jacobian(cubic, x, **options), grad, 1e-9),
        (hessian(cubic, x, **options), hess, 1e-5),
        (jvp(cubic, x, v, **options), grad @ v, 1e-9),
        (hvp(cubic, x, v, **options), hess @ v, 1e-5),
        (jvp(cubic, x, np.broadcast_to(v, x.shape).copy(), **options), grad @ v, 1e-9),
    ):
        assert found.shape == truth.shape
        np.testing.assert_allclose(found, truth, atol=atol)
    both = gradient(cubic, x, **options, full_output=True)
    for a in (both.value, both.error, both.h, both.converged):
        assert a.shape == x.shape


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1, ::-1][::-1, ::-1], lambda x: x.T.copy().T])
def test_the_order_in_memory_does_not_matter(layout):
    x = np.random.default_rng(4).normal(size=(3, 4))
    other = layout(x)
    np.testing.assert_array_equal(
        gradient(lambda p: float(np.sum(p**3)), other), gradient(lambda p: float(np.sum(p**3)), x)
    )
    np.testing.assert_allclose(gradient(lambda p: float(np.sum(p**3)), other), 3 * x**2, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(derivative(np.exp, other), derivative(np.exp, x))
    np.testing.assert_array_equal(
        gradient(lambda p: np.sum(p**3, axis=1), other, vectorized=True, h=1e-5),
        gradient(lambda p: np.sum(p**3, axis=1), x, vectorized=True, h=1e-5),
    )


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("outputs", [(), (1,), (3,), (2, 2), (2, 1, 3)])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_jacobians_of_any_shape(batch, outputs, vectorized):
    d = 2
    rng = np.random.default_rng(3)
    a = rng.uniform(-1, 1, (*outputs, d))
    x = rng.uniform(0.5, 2.0, (*batch, d))

    def f(x):
        return (np.sin(x).reshape(*x.shape[:-1], *(1,) * len(outputs), d) * a).sum(axis=-1)

    truth = np.cos(x).reshape(*batch, *(1,) * len(outputs), d) * a
    r = jacobian(f, x, vectorized=vectorized, full_output=True)
    assert r.value.shape == r.error.shape == r.h.shape == r.converged.shape == (*batch, *outputs, d)
    np.testing.assert_allclose(r.value, truth, rtol=1e-8)
    assert (np.abs(r.value - truth) <= r.error).all()
    v = np.array([1.0, -2.0])
    product = jvp(f, x, v, vectorized=vectorized)
    assert product.shape == (*batch, *outputs)
    np.testing.assert_allclose(product, truth @ v, atol=1e-9)
    given_step = jacobian(f, x, h=0.01, vectorized=vectorized)
    np.testing.assert_allclose(given_step, truth, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(float, (5, 2), elements=st.floats(0.1, 3)), st.integers(0, 4), st.sampled_from([None, "scaled", 0.01])
)
def test_shifting_the_batch_shifts_the_result(x, shift, h):
    """A point's result depends on no other point, bit for bit."""

    def f(x):
        return np.sqrt(x[..., 0]) * x[..., 1] + x[..., 1] ** 2

    for vectorized in (False, True):
        options = {"h": h, "vectorized": vectorized}
        for operator in (gradient, jacobian, hessian, partial(jvp, v=[1.0, 2.0]), partial(hvp, v=[1.0, 2.0])):
            found = operator(f, x, **options)
            np.testing.assert_array_equal(
                operator(f, np.roll(x, shift, axis=0), **options), np.roll(found, shift, axis=0)
            )
            np.testing.assert_array_equal(operator(f, x[shift], **options), found[shift])
    elementwise = derivative(lambda x: x * x - 3 * x, x, h=h)
    np.testing.assert_array_equal(
        derivative(lambda x: x * x - 3 * x, np.roll(x, shift, axis=0), h=h), np.roll(elementwise, shift, axis=0)
    )
    np.testing.assert_array_equal(derivative(lambda x: x * x - 3 * x, x[shift], h=h), elementwise[shift])


def test_point_and_vectorized_agree():
    """Exact functions of whole numbers: the two ways to call f differ in nothing but the calls."""
    x = np.array([[1.0, 2.0], [3.0, -4.0]])

    def f(x):
        return x[..., 0] * x[..., 1] + x[..., 0] ** 2

    for operator in (gradient, jacobian, hessian, partial(jvp, v=[1.0, 2.0]), partial(hvp, v=[1.0, 2.0])):
        for h in (None, "scaled", 0.5):
            np.testing.assert_array_equal(operator(f, x, h=h), operator(f, x, h=h, vectorized=True))


@pytest.mark.parametrize("method", SIDES)
@pytest.mark.parametrize("h", [None, "scaled", 2.0**-8])
def test_hessians_are_symmetric(h, method):
    x = np.array([[0.5, 1.5, -1.0], [2.0, 0.1, 0.3]])

    def f(x):
        return np.exp(x[..., 0] * x[..., 1]) + np.sin(x[..., 1] * x[..., 2]) * x[..., 0]

    for vectorized in (False, True):
        r = hessian(f, x, method, h, vectorized=vectorized, full_output=True)
        for a in (r.value, r.error, r.h, r.converged):
            np.testing.assert_array_equal(a, np.swapaxes(a, 1, 2))
        p, q, s = x.T
        e, c, w = np.exp(p * q), np.cos(q * s), np.sin(q * s)
        rows = [
            [q * q * e, e + p * q * e + s * c, q * c],
            [0 * p, p * p * e - s * s * w * p, p * c - q * s * w * p],
            [0 * p, 0 * p, -q * q * w * p],
        ]
        truth = np.moveaxis(np.array(rows), -1, 0)
        truth = np.triu(truth) + np.swapaxes(np.triu(truth, 1), 1, 2)
        assert (np.abs(r.value - truth) <= r.error).all()
        np.testing.assert_allclose(r.value, truth, atol=1e-6 if h is None else 1e-2 if method == "central" else 0.5)


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("h", [None, "scaled", 2.0**-7])
def test_products_are_products(h, vectorized):
    """jvp is J v and hvp is H v, within the error bars of both sides."""
    rng = np.random.default_rng(4)
    x = rng.uniform(0.5, 1.5, (3, 4))

    def f(x):
        return np.exp(x[..., 0] * x[..., 1]) + (x[..., 2:] ** 3).sum(axis=-1) * x[..., 0]

    def g(x):
        return np.sin(x * x[..., :1])

    options = {"h": h, "vectorized": vectorized, "full_output": True}
    for v in (np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0, -2.0, 0.5, 0.25]), rng.normal(size=(3, 4))):
        full, product = jacobian(g, x, **options), jvp(g, x, v, **options)
        w = np.broadcast_to(v, x.shape)
        expected = np.einsum("bmd,bd->bm", full.value, w)
        bar = np.einsum("bmd,bd->bm", full.error, np.abs(w)) + product.error
        assert (np.abs(product.value - expected) <= bar).all()
        np.testing.assert_allclose(product.value, expected, atol=1e-8 if h is None else 1e-2)
        full, product = hessian(f, x, **options), hvp(f, x, v, **options)
        expected = np.einsum("bij,bj->bi", full.value, w)
        bar = np.einsum("bij,bj->bi", full.error, np.abs(w)) + product.error
        assert (np.abs(product.value - expected) <= bar).all()
        np.testing.assert_allclose(product.value, expected, atol=1e-5 if h is None else 0.1)


def test_products_with_nothing():
    """Along no direction nothing changes: an exact zero, at a point with others that have one."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    v = np.array([[0.0, 0.0], [1.0, 0.0]])
    for vectorized in (False, True):
        options = {"vectorized": vectorized, "full_output": True}
        for r, truth in (
            (jvp(cubic, x, v, **options), [0.0, 31.0]),
            (hvp(cubic, x, v, **options), [[0.0, 0.0], [18.0, 1.0]]),
        ):
            np.testing.assert_array_equal(r.value[0], truth[0])
            assert np.all(r.error[0] < 1e-300)
            assert r.converged.all()
            np.testing.assert_allclose(r.value[1], truth[1], rtol=1e-6)


@pytest.mark.parametrize("length", [1e-8, 1.0, 1e8])
def test_products_scale_with_the_direction(length):
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, -2.0, 0.5])
    for operator, truth in ((jvp, (3 * x**2 + x[::-1] * [1, 0, 1]) @ v), (hvp, 6 * x * v + v[::-1] * [1, 0, 1])):
        r = operator(cubic, x, length * v, full_output=True)
        np.testing.assert_allclose(r.value, length * truth, rtol=1e-5)
        assert (np.abs(r.value - length * truth) <= r.error).all()


def test_vector_valued_f_keeps_the_best_of_each_output():
    """Outputs of different scale at one point: each gets what it would get alone, or close."""

    def f(x):
        return np.array([np.sin(x[0]), np.sin(1e4 * x[0]), 1e-6 * np.exp(x[0])])

    r = jacobian(f, [0.7], full_output=True)
    truth = np.array([[np.cos(0.7)], [1e4 * np.cos(7e3)], [1e-6 * np.exp(0.7)]])
    assert (np.abs(r.value - truth) <= r.error).all()
    np.testing.assert_allclose(r.value, truth, rtol=1e-8)
    assert r.h[1, 0] < r.h[0, 0]


def test_memory_of_many_points_is_bounded():
    """f gets a bounded number of coordinates at a time, however many points there are."""
    most = []

    def f(x):
        most.append(x.size)
        return (x * x).sum(axis=1)

    x = np.ones((20000, 50))
    g = gradient(f, x, h="scaled", vectorized=True)
    assert max(most) <= 2**20
    np.testing.assert_allclose(g[::5000], 2.0, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_huge_and_tiny_values(scale):
    """Scaling f scales everything, up to the ends of the range."""
    x = np.array([0.5, 2.0])
    r = derivative(lambda x: scale * np.sin(x), x, full_output=True)
    assert (np.abs(r.value - scale * np.cos(x)) <= r.error).all()
    np.testing.assert_allclose(r.value, scale * np.cos(x), rtol=1e-9)
    assert r.converged.all()


@pytest.mark.parametrize("e", [-900, -300, 300, 900])
def test_huge_and_tiny_arguments(e):
    """f(x / s) at s times the point, for s a power of two: the same function in other units."""
    s = 2.0**e
    r = derivative(lambda x: np.exp(x / s), s * np.array([0.5, -2.0]), full_output=True)
    truth = np.exp([0.5, -2.0]) / s
    assert (np.abs(r.value - truth) <= r.error).all()
    np.testing.assert_allclose(r.value, truth, rtol=1e-9)


def test_results_say_how_f_was_called():
    assert derivative(np.sin, 1.0, full_output=True).engine == "python"
    assert gradient(cubic, [1.0, 2.0], full_output=True).engine == "python"
    assert gradient(cubic, [1.0, 2.0], vectorized=True, full_output=True).engine == "vectorized"
    for engine in ("auto", "python"):
        for threads in (None, 1, 2):
            assert derivative(np.sin, 1.0, engine=engine, threads=threads) == derivative(np.sin, 1.0)
    vectorized = gradient(cubic, [1.0, 2.0], vectorized=True, engine="vectorized")
    np.testing.assert_array_equal(vectorized, gradient(cubic, [1.0, 2.0], vectorized=True))


def test_the_order_of_a_stencil_is_what_operators_use():
    """`accuracy` picks the stencil, and evaluations are its points."""
    for n, accuracy, method in ((1, None, "central"), (2, 4, "central"), (1, 3, "forward"), (3, 2, "backward")):
        watched = Watched(np.exp, "elementwise")
        derivative(watched, 1.0, method, 0.1, n=n, accuracy=accuracy)
        assert watched.points == len(Stencil.standard(n, accuracy, method).offsets)


def test_scenarios_are_exact():
    """The runner's truths against derivatives written by hand."""
    s = Scenario("", "", lambda m, x, y: m.sin(x) * y**2, [[0.5, 3.0]])
    np.testing.assert_allclose(s.exact(1, 0), 9 * np.cos(0.5), rtol=1e-15)
    np.testing.assert_allclose(s.exact(1, 1), 6 * np.cos(0.5), rtol=1e-15)
    np.testing.assert_allclose(s.exact(0, 2), 2 * np.sin(0.5), rtol=1e-15)


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("options", [{}, {"h": 0.1}, {"h": "scaled"}, {"full_output": True}, {"engine": "traced"}])
def test_functions_without_values(options, vectorized):
    f = (lambda p: p[:, :0]) if vectorized else (lambda p: p[:0])
    for x, batch in ((np.ones(3), ()), (np.ones((2, 3)), (2,))):
        r = jacobian(f, x, vectorized=vectorized, **options)
        assert getattr(r, "value", r).shape == (*batch, 0, 3)
        r = jvp(f, x, np.ones(3), vectorized=vectorized, **options)
        assert getattr(r, "value", r).shape == (*batch, 0)


def test_masked_values_are_none():
    r = derivative(np.ma.log, [-1.0, 1.0, 2.0], full_output=True)
    assert np.isnan(r.value[0])
    assert r.value[1:].round(9).tolist() == [1.0, 0.5]
    assert r.error[0] == np.inf
    assert r.converged.tolist() == [False, True, True]

    def whole(x):
        return np.ma.array(np.zeros(x.shape, int), mask=x < 0)

    assert np.isnan(derivative(whole, [-1.0, 1.0])).tolist() == [True, False]
    assert np.isnan(jacobian(lambda p: np.ma.masked_less(p, 0), [1.0, -1.0])).tolist() == [[False] * 2, [True] * 2]


@pytest.mark.parametrize("call", [
    lambda: hessian(lambda p: (p[0] / 1e-200) * (p[1] / 1e-200), [1e-200, 2e-200], full_output=True),
    lambda: hvp(lambda p: (p**2).sum(), np.ones(3), np.full(3, 1e200), full_output=True),
    lambda: derivative(np.floor, -1e-37, n=10, full_output=True),
    lambda: derivative(np.floor, [-1e-37, 0.5], n=10, full_output=True),
    lambda: derivative(np.abs, 1.7e308, h=0.01, full_output=True),
    lambda: derivative(np.sin, -4e-96, n=5, bounds=(-4.001e-96, -3.9999999e-96), full_output=True),
])  # fmt: skip
def test_what_leaves_the_range_of_numbers_has_no_bar_and_does_not_converge(call):
    r = call()
    known = np.isfinite(r.value) & np.isfinite(r.error)
    assert not np.isnan(r.error).any()
    assert (r.error[~known] == np.inf).all() if r.error.ndim else known or r.error == np.inf
    assert not (r.converged & ~known).any()
    assert not known.all()
    assert r.reason
