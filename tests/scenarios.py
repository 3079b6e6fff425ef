"""Protects every operator at once: functions with exact derivatives as data, and the one runner that checks them all.

A formula is written once against a namespace `m` and used three times: with NumPy (arrays), with `math` (one number)
and with SymPy, whose derivative is evaluated in 60 digits at the exact doubles. Numbers in a formula are whole, so
that all three mean the same. Nothing here is computed by fastdiff.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import sympy

import fastdiff

EPS = 2.0**-52
FUNCTIONS = "exp log sqrt sin cos tan tanh atan cosh".split()

NUMPY = SimpleNamespace(**{name: getattr(np, name) for name in FUNCTIONS}, i=1j)
MATH = SimpleNamespace(**{name: getattr(math, name) for name in FUNCTIONS})
SYMPY = SimpleNamespace(**{name: getattr(sympy, name) for name in FUNCTIONS}, i=sympy.I)


@dataclass(frozen=True, eq=False)
class Scenario:
    """A formula of d coordinates at points (k, d), and what of it is known.

    length: the distance over which f changes by its own size, per point or for all; size: that of f, where it is not
    |f| at the point. Together they say how accurate a derivative can be.
    """

    name: str
    stresses: str
    formula: Callable[..., Any]  # (m, *coordinates) -> a number, or nested lists of numbers
    points: Any
    length: Any = 1.0
    size: float | None = None
    eps: float = EPS  # unit roundoff of what f returns
    analytic: bool = True  # goes through with complex input
    scalar: bool = True  # goes through with math
    dtype: Any = None  # what f rounds its result to
    orders: tuple[int, ...] = (1, 2, 3)
    symbols: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        points = np.asarray(self.points)
        if points.ndim == 1:
            points = points[:, None]
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "symbols", sympy.symbols(f"x:{points.shape[1]}", real=True))

    @property
    def d(self) -> int:
        return self.points.shape[1]

    @cache  # noqa: B019  scenarios live as long as the tests
    def exact(self, *orders: int) -> np.ndarray:
        """The derivative of these orders in each coordinate at each point: (k, *shape of f)."""
        outputs = np.asarray(self.formula(SYMPY, *self.symbols), dtype=object)
        with mpmath.workdps(60):
            found = [self._exact(expr, orders) for expr in outputs.ravel()]
        return np.stack(found, axis=-1).reshape(len(self.points), *outputs.shape)

    def _exact(self, expr: Any, orders: tuple[int, ...]) -> np.ndarray:
        expr = sympy.sympify(expr)
        for symbol, order in zip(self.symbols, orders):
            expr = sympy.diff(expr, symbol, order) if order else expr
        g = sympy.lambdify(self.symbols, expr, "mpmath")
        values = [mpmath.mpmathify(g(*(mpmath.mpf(float(c)) for c in point))) for point in self.points]
        return np.array([complex(v) if isinstance(v, mpmath.mpc) else float(v) for v in values])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.exact(*[0] * self.d).shape[1:]

    @property
    def complex_valued(self) -> bool:
        return self.exact(*[0] * self.d).dtype.kind == "c"

    def unit(self, i: int, order: int = 1) -> tuple[int, ...]:
        return tuple(order * (j == i) for j in range(self.d))

    # What f looks like to each operator.

    def elementwise(self, *coordinates: Any) -> Any:
        value = self.formula(NUMPY, *coordinates)
        return self._rounded(value + 0 * sum(coordinates))  # constants get the shape too

    def one_number(self, *coordinates: float) -> Any:
        return self._rounded(self.formula(MATH, *coordinates))

    def of_point(self, x: Any) -> Any:
        assert x.shape == (self.d,)
        return self._rounded(np.array(self.formula(NUMPY, *x)))

    def of_points(self, x: Any) -> Any:
        assert x.ndim == 2
        assert x.shape[1] == self.d
        value = self.formula(NUMPY, *x.T)

        def stacked(v: Any) -> Any:
            return np.stack([stacked(u) for u in v], axis=1) if isinstance(v, list) else v + 0 * x[:, 0]

        return self._rounded(stacked(value))

    def _rounded(self, value: Any) -> Any:
        return value if self.dtype is None else np.asarray(value).astype(self.dtype)[()]

    def reach(self, order: int, h: Any = None) -> np.ndarray:
        """The error of a good derivative of that total order, (k,): what roundoff leaves of a fourth-order formula."""
        size = np.abs(self.exact(*[0] * self.d)).reshape(len(self.points), -1).max(axis=1)
        size = np.maximum(size, 0.0 if self.size is None else self.size)
        length = np.broadcast_to(np.asarray(self.length, float), len(self.points))
        return self.eps ** (4 / (4 + order)) * size / length**order


# --- the runner ----------------------------------------------------------------------------------------------------


class Watched:
    """f, counting the points it is evaluated at, and optionally spoiling the array it was given."""

    def __init__(self, f: Callable[..., Any], kind: str, spoil: bool = False) -> None:
        self.f, self.kind, self.spoil, self.points = f, kind, spoil, 0

    def __call__(self, *x: Any) -> Any:
        if self.kind == "elementwise":  # counted first: an f that raises was called all the same
            self.points += int(np.prod(np.broadcast_shapes(*(np.shape(c) for c in x))))
        else:
            self.points += len(x[0]) if self.kind == "vectorized" else 1
        value = self.f(*x)
        if self.spoil:
            value = np.array(value)  # in case it is the argument itself
            for c in x:
                if isinstance(c, np.ndarray):
                    c[...] = 1e30
        return value[()] if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class Task:
    """One operator on one scenario in one form: how to call it, and the truth in the shape it has to come in."""

    scenario: Scenario
    operator: str
    kind: str  # "elementwise", "point" or "vectorized"
    f: Callable[..., Any]
    call: Callable[..., Any]  # (f, *x, **options)
    x: tuple[Any, ...]
    truth: np.ndarray
    order: int
    reach: np.ndarray  # broadcasts with truth
    which: int | None = None  # the element of a tuple of results

    def __str__(self) -> str:
        return f"{self.operator}-{self.kind}-{self.scenario.name}".replace(" ", "")

    def run(self, spoil: bool = False, **options: Any) -> tuple[Any, int]:
        watched = Watched(self.f, self.kind, spoil)
        return self.call(watched, *self.x, **options), watched.points

    def results(self, **options: Any) -> tuple[list[Any], int]:
        found, points = self.run(**options)
        return list(found) if isinstance(found, tuple) else [found], points


def tasks(s: Scenario) -> list[Task]:
    """Every operator that applies to the scenario."""
    out = []
    if s.d == 1 and s.shape == ():
        out += _of_one_variable(s)
    if s.d > 1 and s.shape == ():
        out += _of_several_arguments(s)
    out += _of_points(s)
    return out


def _of_one_variable(s: Scenario) -> list[Task]:
    out = []
    x = s.points[:, 0]
    for n in s.orders:
        call = partial(_derivative, n=n)
        truth, reach = s.exact(n), s.reach(n)
        out.append(Task(s, f"derivative{n}", "elementwise", s.elementwise, call, (x,), truth, n, reach))
        if s.scalar:
            first = x[0].item()
            out.append(
                Task(s, f"derivative{n}-scalar", "elementwise", s.one_number, call, (first,), truth[0], n, reach[0])
            )
    truth = s.exact(1)
    out.append(Task(s, "partials", "elementwise", s.elementwise, fastdiff.partials, (x,), truth[None], 1, s.reach(1)))
    return out


def _derivative(f: Any, x: Any, **options: Any) -> Any:
    return fastdiff.derivative(f, x, **options)


def _of_several_arguments(s: Scenario) -> list[Task]:
    xs = tuple(np.ascontiguousarray(c) for c in s.points.T)
    truth = np.stack([s.exact(*s.unit(i)) for i in range(s.d)])
    out = [Task(s, "partials", "elementwise", s.elementwise, fastdiff.partials, xs, truth, 1, s.reach(1))]
    if not s.complex_valued:
        orders = tuple(1 if i < 2 else 0 for i in range(s.d))
        call = partial(fastdiff.mixed_partial, orders=orders)
        out.append(Task(s, "mixed_partial", "elementwise", s.elementwise, call, xs, s.exact(*orders), 2, s.reach(2)))
    return out


def _of_points(s: Scenario) -> list[Task]:
    out = []
    v = np.resize([0.75, -0.5, 0.25, -1.0], s.d)
    if np.ptp(np.log10(np.abs(s.points[0]) + EPS)) > 3:  # each coordinate by a share of its own size
        v = v * np.abs(s.points[0])
    first = np.stack([s.exact(*s.unit(i)) for i in range(s.d)], axis=-1)  # (k, *shape, d)
    inner = (slice(None), *[None] * len(s.shape))
    reach = s.reach(1)
    forms = (("point", s.of_point, {}), ("vectorized", s.of_points, {"vectorized": True}))
    for kind, f, more in forms:
        if s.shape == ():
            call = partial(fastdiff.gradient, **more)
            out.append(Task(s, "gradient", kind, f, call, (s.points,), first, 1, reach[:, None]))
            single = partial(_at_first, fastdiff.gradient, **more)
            out.append(Task(s, "gradient-one", kind, f, single, (s.points,), first[0], 1, reach[0]))
        call = partial(fastdiff.jacobian, **more)
        out.append(Task(s, "jacobian", kind, f, call, (s.points,), first, 1, reach[(*inner, None)]))
        call = partial(fastdiff.jvp, v=v, **more)
        scale = np.abs(v).sum()
        out.append(Task(s, "jvp", kind, f, call, (s.points,), first @ v, 1, scale * reach[inner]))
        if s.shape == () and not s.complex_valued and 2 in s.orders:
            second = np.empty((len(s.points), s.d, s.d))
            for i in range(s.d):
                for j in range(s.d):
                    orders = np.add(s.unit(i), s.unit(j))
                    second[:, i, j] = s.exact(*orders.tolist())
            call = partial(fastdiff.hessian, **more)
            out.append(Task(s, "hessian", kind, f, call, (s.points,), second, 2, s.reach(2)[:, None, None]))
            call = partial(fastdiff.hvp, v=v, **more)
            out.append(Task(s, "hvp", kind, f, call, (s.points,), second @ v, 2, scale * s.reach(2)[:, None]))
    return out


def _at_first(operator: Any, f: Any, x: Any, **options: Any) -> Any:
    return operator(f, x[0], **options)


SLACK = 1000.0  # over what roundoff leaves of a fourth-order formula; a digit lost here is not a wrong derivative
USEFUL = 1e5  # an error bar beyond this many such errors says nothing


def check(task: Task, *, slack: float = SLACK, useful: float = USEFUL, **options: Any) -> None:
    """Everything that has to hold of an operator with automatic steps."""
    before = [np.array(x) for x in task.x]
    results, points = task.results(full_output=True, **options)
    truths = task.truth if task.operator == "partials" else [task.truth]
    assert len(results) == len(truths)
    for r, truth in zip(results, truths):
        check_form(task, r, truth)
        off = np.abs(r.value - truth)
        good = slack * task.reach + 16 * EPS * np.abs(truth)
        assert (off <= good).all(), f"off by {off}, can be {good}, value {r.value}, truth {truth}"
        assert (off <= r.error).all(), f"the error bar {r.error} does not hold {off}"
        assert (r.error <= useful * task.reach + 1e-6 * np.abs(truth)).all(), f"the error bar {r.error} says nothing"
        assert np.all(r.converged), r.reason
        assert r.reason == ""
    assert sum(r.nfev for r in results) == points
    check_repeats(task, results, before, **options)


def check_form(task: Task, r: Any, truth: np.ndarray) -> None:
    """Shapes and dtypes of a Result."""
    expected = np.complex128 if task.scenario.complex_valued else np.float64
    for name, dtype in (("value", expected), ("error", np.float64), ("h", np.float64), ("converged", np.bool_)):
        a = getattr(r, name)
        assert np.shape(a) == np.shape(truth), name
        assert a.dtype == dtype, name
        assert isinstance(a, np.ndarray) == (np.ndim(truth) > 0), name
    assert type(r.nfev) is int
    assert r.engine == ("vectorized" if task.kind == "vectorized" else "python")
    assert np.all(r.error >= 0)


def check_repeats(task: Task, results: list[Any], before: list[np.ndarray], **options: Any) -> None:
    """The same value without full_output and from an f that spoils what it is given; x stays as it was."""
    for spoil in (False, True):
        plain, points = task.run(spoil=spoil, **options)
        for value, r in zip(plain if isinstance(plain, tuple) else [plain], results):
            assert value.dtype == r.value.dtype
            np.testing.assert_array_equal(value, r.value, strict=True)
        assert points <= sum(r.nfev for r in results)
    for x, was in zip(task.x, before):
        np.testing.assert_array_equal(x, was)


# --- the scenarios -------------------------------------------------------------------------------------------------


def _rosenbrock(m: Any, *x: Any) -> Any:
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def _log_sum_exp(m: Any, *x: Any) -> Any:
    return m.log(sum(m.exp(a) for a in x))


ONE_VARIABLE = [
    Scenario("sine", "nothing", lambda m, x: m.sin(x), [0.5, -2.0, 3.0, 100.0]),
    Scenario("whole numbers", "x of integers", lambda m, x: m.exp(x), np.array([0, 1, -2, 5])),
    Scenario("single precision x", "x of float32", lambda m, x: m.cos(x), np.array([0.1, 1.1, -2.2], np.float32)),
    Scenario("fast sine", "a small scale", lambda m, x: m.sin(1000000 * x), [0.1, 1.0, 3.0], 1e-6, 1.0, orders=(1, 2)),
    Scenario(
        "logarithm", "a scale set by x", lambda m, x: m.log(x), [1e-12, 1e-3, 7.0, 1e10], [1e-12, 1e-3, 7.0, 1e10]
    ),
    Scenario("offset", "a large constant", lambda m, x: 1000000 + m.sin(x), [0.0, 1.0, 2.0], orders=(1, 2)),
    Scenario("slow decay", "a large scale", lambda m, x: m.exp(-x / 1000000), [1.0, 1e6, 3e6], 1e6),
    Scenario("near overflow", "huge values", lambda m, x: m.exp(x), [700.0, 705.0], orders=(1, 2)),
    Scenario("near underflow", "tiny values", lambda m, x: m.exp(x), [-600.0, -690.0], orders=(1, 2)),
    Scenario("cube", "a polynomial", lambda m, x: x**3 - 2 * x, [-1.0, 0.5, 2.0, 1e3], [1, 1, 1, 1e3]),
    Scenario("reciprocal", "a pole nearby", lambda m, x: 1 / x, [1e-9, 1.0, -40.0], [1e-9, 1.0, 40.0]),
    Scenario("runge", "poles off the axis", lambda m, x: 1 / (1 + 25 * x * x), [0.2, 1.0, -5.0], [0.2, 1.0, 5.0], 0.04),
    Scenario("step", "a sharp step", lambda m, x: m.tanh(50 * x), [0.01, 0.03, -0.02], 0.02, 1.0),
    Scenario("softplus", "log(1+exp(x))", lambda m, x: m.log(1 + m.exp(x)), [-3.0, 0.25, 4.0]),
    Scenario("root", "an edge of the domain", lambda m, x: m.sqrt(x - 1), [1.001, 2.0, 50.0], [1e-3, 1, 49], scalar=False),
    Scenario("constant", "no change at all", lambda m, x: 7 + 0 * x, [0.0, 3.0], orders=(1, 2)),
    Scenario("line", "no curvature", lambda m, x: 3 * x - 2, [-5.0, 1.0, 1e6], [5, 1, 1e6], 1.0, orders=(1,)),
    Scenario("extremum", "a zero derivative", lambda m, x: m.cos(x), [0.0], orders=(1, 2)),
    Scenario("wave", "complex values", lambda m, x: m.exp(m.i * 3 * x), [0.3, -2.0], 0.5, scalar=False, orders=(1, 2)),
    Scenario(
        "single precision", "float32 values", lambda m, x: m.sin(x), [0.5, 1.0, 3.0], eps=2.0**-23, dtype=np.float32,
        analytic=False, orders=(1, 2),
    ),
]  # fmt: skip

SEVERAL = [
    Scenario("bilinear", "a mixed derivative alone", lambda m, x, y: x * y, [[1.0, 2.0], [-3.0, 0.5]]),
    Scenario("waves", "two coordinates", lambda m, x, y: m.sin(x) * m.cos(2 * y), [[0.3, 1.0], [2.0, -1.0]], 0.5, 1.0),
    Scenario("rosenbrock", "a valley", _rosenbrock, [[-1.2, 1.0, 0.7], [0.9, 1.1, 1.3]], 0.5, 1000.0),
    Scenario("log-sum-exp", "all coordinates", _log_sum_exp, [[0.1, -1.0, 2.0, 0.5]]),
    Scenario("one coordinate", "d = 1", lambda m, x: m.exp(x) * x, [[0.5], [1.5]], orders=(1, 2)),
    Scenario("kinetic", "a square root of squares", lambda m, x, y: m.sqrt(1 + x * x + y * y), [[3.0, -4.0]]),
    Scenario(
        "scales", "coordinates of different size", lambda m, x, y: m.exp(x * 1000000) + m.sin(y / 1000000),
        [[1e-6, 2e6]], 1e-6, orders=(1,),
    ),
    Scenario("polar", "several outputs", lambda m, r, a: [r * m.cos(a), r * m.sin(a)], [[2.0, 0.3], [0.5, -1.0]]),
    Scenario("outer", "outputs in a matrix", lambda m, x, y: [[x * x, x * y, 1 + 0 * x], [y * x, y * y, m.exp(y)]], [[1.5, -2.0]]),
    Scenario("one output", "an output of shape (1,)", lambda m, x, y: [x / y], [[1.0, 3.0], [2.0, 5.0]]),
    Scenario("rotation", "complex outputs", lambda m, x, y: [m.exp(m.i * x) * y, x + m.i * y], [[0.4, 1.2]]),
]  # fmt: skip

SCENARIOS = [*ONE_VARIABLE, *SEVERAL]
TASKS = [task for scenario in SCENARIOS for task in tasks(scenario)]
