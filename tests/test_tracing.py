"""Protects recording: what NumPy code gives when recorded is what it gives when called, or recording says why not."""

import itertools
import random
import sys
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastdiff
from fastdiff.functions.recording import record
from fastdiff.functions.tracing import Untraceable

# numba is a test dependency where it exists for that Python: see pyproject.toml
needs_numba = pytest.mark.skipif(sys.version_info >= (3, 14), reason="numba does not support this Python")

RNG = np.random.default_rng(3)
MATRIX = RNG.standard_normal((4, 6))
VECTOR = RNG.standard_normal(6)
NARROW = np.full(6, 100, np.int8)
GENERATOR, DRAW = np.random.default_rng(8), random.gauss


def bits(a):
    return np.where(np.isnan(a), np.nan, np.asarray(a, float)).tobytes()


def assert_same(f, point, batch=37):
    """The recording gives the bits of f on each of a batch of points."""
    program = record(f, [np.shape(point)])
    points = np.asarray(point) + np.random.default_rng(5).standard_normal((batch, *np.shape(point)))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = np.array([f(p.copy() if p.ndim else p[()]) for p in points])
        got = program(points)
        one = program(points[0])
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if program.inexact:
        assert np.allclose(got, want, rtol=1e-13, atol=1e-13)
    else:
        assert bits(got) == bits(want)
        assert bits(one) == bits(want[0])


def fill(x):
    out = np.empty_like(x)
    out[0] = x[1] * 2
    out[1:-1] = x[2:] - x[:-2]
    out[-1] = 3.0
    view = out[1:3]
    view *= 2
    out += 1
    return out


def masked(x):
    y = x * 2
    y[y < 0] = 0.5
    return y


def loop(x):
    total = 0.0
    for i in range(len(x) - 1):
        total += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return total


def lorenz(y):
    a, b, c = y[:3]
    return np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])


POINTWISE = {
    "rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "loop": loop,
    "lorenz": lorenz,
    "fill": fill,
    "masked": masked,
    "scalar power": lambda x: x[0] ** 2 + x[1] ** 1.7 + 2 ** x[2],
    "array power": lambda x: x**2 + x**0.5 + x**3 + x**-1 + 2.0**x + x**x + x**2.0,
    "power by array": lambda x: np.power(x, np.full(6, 2.0)) + x ** np.array([2.0]),
    "mean var std": lambda x: np.mean(x) + np.var(x) + x.std(ddof=1),
    "sum axis": lambda x: (
        np.outer(x, VECTOR).sum(axis=0) + np.sum(np.outer(x, VECTOR), axis=1) + x.reshape(2, 3).T.sum()
    ),
    "sum of transposed": lambda x: np.exp(x.reshape(2, 3).T).sum(axis=0, keepdims=True),
    "prod": lambda x: np.prod(x) + np.cumsum(x),
    "extremes": lambda x: x.max() - np.min(x) + np.ptp(x),
    "where": lambda x: np.where(x > 0, x, np.exp(x)) + np.where(x[0] > 0, x, 1.0),
    "logic": lambda x: ((x > 0) & (x < 1) | ~(x != 0.5)) * x + np.logical_or(x > 0, x) * 2.0,
    "clip": lambda x: np.clip(x, -0.5, 0.5) + x.clip(0, None) + np.clip(x, None, 1),
    "truth values": lambda x: x > 0.25,
    "select": lambda x: np.select([x < 0, x < 1], [x * 2, x**2], default=7.0),
    "moves": lambda x: np.concatenate([np.roll(x, 2), np.flip(x), np.tile(x[:2], 2), [1.0, 2.0], np.repeat(x[1:3], 2)]),
    "stacks": lambda x: np.vstack([x, 2 * x]).T @ np.array([1.0, 0.0]),
    "fancy": lambda x: x[[3, 1, 1]] * x[np.array([0, 2, 4])] + x[..., None][np.newaxis, ::2, 0],
    "mask of constants": lambda x: x[np.array([True, False] * 3)],
    "diff": lambda x: np.diff(x, 2) + np.diff(x[1:], prepend=0.0)[:4],
    "matmul": lambda x: MATRIX @ np.sin(x),
    "matmul from the left": lambda x: np.sin(x) @ MATRIX.T,
    "dot": lambda x: np.dot(x, x) + x @ VECTOR,
    "norm": lambda x: np.linalg.norm(x) + np.linalg.norm(x, 1) + np.linalg.norm(x, np.inf),
    "einsum": lambda x: np.einsum("ij,j,k->ik", MATRIX, x, x),
    "quadratic form": lambda x: x @ np.diag(VECTOR) @ x,
    "two outputs": lambda x: np.modf(x)[0] + np.divmod(x, 0.75)[1] + x % 0.3 + x // 0.4,
    "constants": lambda x: np.arange(6) * x + np.float32(0.1) + True,
    "constant result": lambda x: np.zeros_like(x),
    "list result": lambda x: [x[0], 1.0, x[1] * 2],
    "isinstance": lambda x: x.sum() if isinstance(x, np.ndarray) else 0.0,
    "out": lambda x: np.add(x, 1, out=np.empty_like(x)),
    "negative strides": lambda x: np.sqrt(abs(x[::-1].reshape(2, 3))).T.copy().ravel() + (x[::-1] > 0),
    "polyval": lambda x: np.polyval([1.0, -2.0, 0.5], x) + np.sinc(x),
    "all": lambda x: np.where(np.all(x > -9), x, 0 * x),
    "signed zero": lambda x: 1 / np.sum(np.floor(x[:1]) * 0.0),
    "large sum": lambda x: np.sum(np.outer(x, np.linspace(0, 1, 200))) + np.sum(np.outer(x, np.ones(33)), axis=0)[0],
    "fast axis": lambda x: np.multiply.outer(np.ones(3), np.outer(x, np.linspace(1, 2, 7))).sum(axis=(0, 2)),
    "slow axes": lambda x: np.multiply.outer(np.ones(3), np.outer(x, np.linspace(1, 2, 7))).sum(axis=(0, 1)),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_one_point(name):
    assert_same(POINTWISE[name], RNG.standard_normal(6))


def test_scipy_special():
    from scipy import special

    assert_same(
        lambda x: special.ndtr(x) + special.erf(x) * special.jv(2, x) + special.eval_legendre(3, x), np.zeros(6)
    )
    assert_same(lambda x: special.xlogy(abs(x), 2.0) + special.expit(x).sum(), np.zeros(6))


@needs_numba
def test_numba_ufuncs():
    import numba

    @numba.vectorize(["float64(float64, float64)"])
    def eager(a, b):
        return a * b + 1

    @numba.vectorize
    def lazy(a):
        return a * a + 1

    assert_same(lambda x: eager(x, 2.0) + lazy(x), np.zeros(6))


@needs_numba
def test_ufuncs_of_one_name_are_not_confused():
    import numba

    def scaled(factor):
        @numba.vectorize(["float64(float64)"])
        def f(a):
            return factor * a

        return f

    two, three = scaled(2.0), scaled(3.0)
    assert_same(lambda x: two(x) + three(x), np.zeros(6))


REFUSED = {
    "branch": (lambda x: x if x[0] > 0 else -x, "branch"),
    "float": (lambda x: float(x[0]), "Python number"),
    "plain array": (lambda x: MATRIX.dot(x), "plain array"),
    "into a plain array": (lambda x: np.eye(3).__setitem__(0, x[0]), "Python number|plain array"),
    "argmax": (lambda x: x[np.argmax(x)], "numpy.argmax"),
    "median": (lambda x: np.median(x), "numpy.median"),
    "printed": (lambda x: f"{x}", "text"),
    "sort": (lambda x: np.sort(x), "numpy.sort"),
    "argument modified": (lambda x: x.__setitem__(0, 1.0), "modifies its argument"),
    "argument modified in place": (lambda x: x.__iadd__(1.0), "modifies its argument"),
    "complex": (lambda x: x * 1j, "complex"),
    "caught": (lambda x: _caught(x), "branch"),
    "index": (lambda x: np.arange(9)[x > 0], "plain array|index"),
    "generalized": (lambda x: np.linalg.inv(np.outer(x, x)), "inv"),
    "backwards": (lambda x: np.exp(x[::-1]), "backwards"),
    "integer": (lambda x: x.astype(int), "int64"),
    "own error": (lambda x: x[17], "IndexError"),
    "no array": (lambda x: None, "NoneType|object"),
    "whole numbers beyond float64": (lambda x: np.where(x > 9, 2**62, 1) * 2 * x, "2\\*\\*53"),
    "whole numbers that grow": (lambda x: (np.where(x > 9, 2**30, 1) ** 2) * x, "2\\*\\*53"),
    "whole numbers that are cut": (lambda x: set_where(np.where(x > 0, 1, 2), x > 9, 0.5) * x, "whole numbers"),
    "whole numbers divided": (lambda x: (x > 0) * 7 // (x < 9) * x, "whole numbers"),
    "narrow whole numbers in a stack": (lambda x: np.stack([x > 1, NARROW])[0] * x, "int8"),
    "single precision": (lambda x: np.where(x > 0, np.float32(0.1), np.float32(0.2)) * x, "float32"),
}


def set_where(a, mask, value):
    a[mask] = value
    return a


def _caught(x):
    try:
        return x if x[0] > 0 else -x
    except Exception:
        return x


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_operation(name):
    f, text = REFUSED[name]
    with pytest.raises(Untraceable, match=text):
        record(f, [(6,)])


def test_refusals_name_the_line():
    with pytest.raises(Untraceable, match=r"test_tracing\.py:\d+: .*float\(x\[0\]\)"):
        record(REFUSED["float"][0], [(6,)])


# --- elementwise functions ---

X = RNG.standard_normal((5, 40)) * 3
A = RNG.standard_normal((5, 1))
B = RNG.standard_normal(40).astype(np.float32)
MASK, COUNTS = RNG.random((5, 40)) < 0.5, RNG.integers(-3, 9, 40)

ELEMENTWISE = {
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "captured": lambda x: A * np.sin(x) + x**2 * B,
    "captured mask": lambda x: np.where(MASK, x, -x) + MASK * np.exp(x) + np.where((x > 0) & ~MASK, A, x**2),
    "captured in a comparison": lambda x: np.select([B > 0.5, MASK], [x, x**2], np.sin(x)),
    "captured whole numbers": lambda x: x**COUNTS + COUNTS * x + np.where(COUNTS == 2, x, COUNTS / 7),
    "power": lambda x: abs(x) ** 0.5 + abs(x) ** 1.3 + x**3 + 2**x,
    "in place": lambda x: np.add(y := np.sin(x), 1, out=y),
    "where": lambda x: np.where(x > A, x, 0.0) + np.clip(x, -1, A),
    "constant": lambda x: 3.0 + 0 * np.ones_like(x),
    "compare": lambda x: (x > 0) * x + np.heaviside(x, 0.5),
    "whole numbers": lambda x: np.where(x > 0, 1, -1) * np.exp(x) + (3 * (x > 1) - 2) / 7,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name):
    f = ELEMENTWISE[name]
    program = fastdiff.trace(f, X, elementwise=True)
    assert bits(program(X)) == bits(f(X.copy()))


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: x / x.sum(), "sum"),
        (lambda x: x[::-1], "index"),
        (lambda x: x * np.ones(x.shape), "shape"),
        (lambda x: x * len(x), "length"),
        (lambda x: x * np.ones((7, 5, 40)), "shape"),
        (lambda x: np.sort(x), "sort"),
        (lambda x: np.roll(x, 1), "roll"),
        (lambda x: np.ldexp(x, COUNTS), "captured array of integers"),
        (lambda x: np.where(MASK[:, :7], x, 0.0), "shape"),
    ],
)
def test_elementwise_refusals(f, text):
    with pytest.raises(ValueError, match=text):
        fastdiff.trace(f, X, elementwise=True)


def test_elementwise_on_a_number():
    assert fastdiff.trace(np.exp, 1.0, elementwise=True)(2.0) == np.exp(2.0)


def test_hidden_state_is_noticed():
    calls = itertools.count()
    with pytest.raises(ValueError, match="does not reproduce"):
        fastdiff.trace(lambda x: x + next(calls), 1.0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: random.random(),
        lambda: np.random.normal(),  # noqa: NPY002
        lambda: DRAW(),
        lambda: GENERATOR.random(),
        lambda: GENERATOR.normal(size=1)[0],
        partial(lambda generator: generator.random(), GENERATOR),
        partial(lambda *, generator: generator.random(), generator=GENERATOR),
        lambda generator=GENERATOR: generator.random(),
    ],
)
def test_nothing_is_drawn(draw):
    states = [str(s) for s in (random.getstate(), np.random.get_state(), GENERATOR.bit_generator.state)]  # noqa: NPY002
    with pytest.raises(ValueError, match=r"draws random numbers at .*test_tracing"):
        fastdiff.trace(lambda x: x + draw(), 1.0)
    after = [str(s) for s in (random.getstate(), np.random.get_state(), GENERATOR.bit_generator.state)]  # noqa: NPY002
    assert after == states


def test_numbers_of_a_generator_of_its_own_are_constants():
    def f(x):
        return np.random.default_rng(3).normal(size=6) * x + random.Random(2).random()

    assert_same(f, np.zeros(6))


VECTORIZED = {
    "columns": lambda x: x[:, 0] ** 2 * np.sin(x[:, 1]) + x[:, -1] ** 1.7,
    "last axis": lambda x: np.sum(x**2, axis=-1) + np.mean(x, axis=1),
    "transposed": lambda x: np.sum(x.T * VECTOR[:, None], axis=0),
    "rows of a stack": lambda x: np.stack([np.sin(x[:, i % 6]) for i in range(20)]).sum(axis=0),
    "vector": lambda x: np.stack([x[:, 0] * x[:, 1], np.exp(x[:, 2])], axis=1),
    "unpacked": lambda x: (lambda a, b, c, *rest: a * b - c)(*x.T),
    "rosenbrock": lambda x: np.sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1),
}


@pytest.mark.parametrize("name", VECTORIZED)
def test_vectorized(name):
    f = VECTORIZED[name]
    points = RNG.uniform(0.1, 2.0, (50, 6))
    program = fastdiff.trace(f, points[0], vectorized=True)
    assert bits(program(points)) == bits(f(points.copy()))


def test_mixed_points_are_noticed():
    for f in (lambda x: x[:, 0] - x[:, 0].mean(), lambda x: x[:, 0] / len(x), lambda x: np.cumsum(x[:, 0])):
        with pytest.raises(ValueError, match=r"does not reproduce|first axis"):
            fastdiff.trace(f, np.arange(1.0, 7.0), vectorized=True)


# --- random expressions ---

UNARY = [
    np.exp,
    np.log,
    np.sin,
    np.tanh,
    np.sqrt,
    np.square,
    np.abs,
    np.negative,
    np.floor,
    np.arctan,
    np.sign,
    np.cbrt,
]
BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.hypot, np.arctan2, np.power, np.fmod]


@st.composite
def expressions(draw):
    """A list of operations on a growing list of arrays, each of 6 numbers or of one."""
    return [
        (draw(st.integers(0, 9)), draw(st.integers(0, 99)), draw(st.integers(0, 99)), draw(st.integers(0, 99)))
        for _ in range(draw(st.integers(1, 12)))
    ]


def interpret(operations, x):
    values = [x, 0.5 * x, VECTOR, 1.5]
    for kind, which, i, j in operations:
        a, b = values[i % len(values)], values[j % len(values)]
        if kind <= 2:
            v = UNARY[which % len(UNARY)](a.copy() if np.ndim(a) else a)
        elif kind <= 5:
            v = BINARY[which % len(BINARY)](*(v.copy() if np.ndim(v) else v for v in (a, b)))
        elif kind == 6:
            v = np.where(a > b, a, b + 1)
        elif kind == 7:
            v = [np.sum, np.mean, np.max, np.prod, np.std][which % 5](a * np.ones(6))
        elif kind == 8:
            a = a.copy() if np.ndim(a) else a
            v = [lambda a: a**2, lambda a: a**0.5, lambda a: 2**a, lambda a: abs(a) ** 2.5][which % 4](a)
        else:
            c = a * np.ones(6)
            v = [
                c[::-1] * 1,
                np.roll(c, 2),
                c.reshape(2, 3).T.ravel(),
                np.concatenate([c[3:], c[:3]]),
                c[1] * c,
                np.cumsum(c),
            ][which % 6]
        values.append(v)
    return values[-1] * np.ones(6) + x * 0


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions(), st.integers(0, 2**32 - 1))
def test_random_expressions(operations, seed):
    points = np.random.default_rng(seed).standard_normal((11, 6)) * 2
    with np.errstate(all="ignore"):
        want = np.array([interpret(operations, p) for p in points])
        program = record(lambda x: interpret(operations, x), [(6,)])
        assert bits(program(points)) == bits(want)


WHOLE = [
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.maximum, np.less, np.equal, np.power,
    lambda a, b: np.where(a > 1, a, b),
    lambda a, b: np.where(b, 3, a),
    lambda a, b: set_where(a + 0, a > b, b.sum() if np.ndim(b) else b),
    lambda a, b: np.stack([a * np.ones(6, int), b + np.zeros(6, int)]).max(axis=0),
    lambda a, b: np.concatenate([(a + np.zeros(6, int))[:3], (b + np.zeros(6, int))[3:]]),
    lambda a, b: np.concatenate([np.atleast_1d(a)[:1], np.atleast_1d(b)[:1]])[0] * b,
    lambda a, b: np.sum(a) * b,
    lambda a, b: np.square(a) - abs(b),
    lambda a, b: np.logical_and(a, b) + np.sqrt(abs(a)),
    lambda a, b: np.mean(a) + (-b),
    lambda a, b: np.round(a * b),
    lambda a, b: (a + np.zeros(6, int)).reshape(2, 3).T.ravel() * b,
]  # fmt: skip


def with_whole_numbers(operations, x):
    values = [x, x > 0, np.where(x > 0.5, 3, -2), np.where(x > 1, 2**40, 1), 2, 0.5, np.arange(6), np.int8(100)]
    for which, i, j in operations:
        values.append(WHOLE[which](values[i % len(values)], values[j % len(values)]))
    return values[-1] * np.ones(6) + x * 0


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_whole_numbers_are_computed_as_numpy_does_or_not_at_all(operations, seed):
    """Overflow, cut-off fractions and division by zero are not those of float64."""
    points = np.random.default_rng(seed).standard_normal((11, 6)) * 2
    with np.errstate(all="ignore"):
        try:
            want = np.array([with_whole_numbers(operations, p) for p in points])
            program = record(lambda x: with_whole_numbers(operations, x), [(6,)])
        except (Untraceable, TypeError, ValueError):  # what NumPy does not do
            return
        assert bits(program(points)) == bits(want)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_arrays_with_rules_of_their_own_are_not_taken_for_plain_ones():
    matrix = np.matrix([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
    points = np.ones((4, 3))  # where the matrix product and that of elements add up to the same

    def product(p):
        return (p * matrix).sum()

    with pytest.raises(ValueError, match="matrix has rules of its own"):
        fastdiff.gradient(product, points, engine="traced")
    got = fastdiff.gradient(product, np.ones((400, 3)))  # as many as would be recorded
    assert np.allclose(got, np.asarray(matrix.sum(axis=1)).ravel())
    for f in (lambda p: (p @ matrix).sum(), lambda p: np.multiply(matrix, p).sum(), lambda p: (matrix + p).sum()):
        with pytest.raises(ValueError, match="rules of its own"):
            fastdiff.gradient(f, points, engine="traced")
    plain = np.asarray(matrix)
    assert fastdiff.gradient(lambda p: (p * plain).sum(), points, engine="traced", full_output=True).engine == "traced"


@needs_numba
def test_ufuncs_of_more_operands_than_the_core_has_room_for():
    import numba

    names = [f"a{i}" for i in range(20)]
    space = {}
    exec(f"def add({', '.join(names)}): return {' + '.join(names)}", space)
    many = numba.vectorize([numba.float64(*[numba.float64] * 20)])(space["add"])
    with pytest.raises(Untraceable, match="21 operands"):
        record(lambda x: many(*[x] * 20), [()])
    assert record(lambda x: np.add(x, x), [()]).steps
