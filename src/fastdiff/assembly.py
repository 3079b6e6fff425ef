"""What the operators share: points and their lanes, runs of the engine added up, and results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import ArrayLike, NDArray

from . import steps
from .arguments import Bounds, Options, broadcast, check_callable, real, room
from .differences import complex_step, differences, one_round, shortcut
from .estimation import estimate
from .functions import Choice, Directions, Function
from .lanes import Estimates, Lanes


@dataclass(frozen=True)
class Result:
    """A derivative with what is known of it. Arrays have the shape of `value`.

    Attributes
    ----------
    value : scalar or ndarray
        The derivative, float64, or complex128 where f returns complex values; nan where there is none.
    error : scalar or ndarray
        Estimate of abs(value - truth) that is meant to hold; inf where there is no reliable derivative.
    h : scalar or ndarray
        The step used, in units of x; for `jvp` the t of x + t v. The smallest where several play together.
    nfev : int
        Points at which f was evaluated, in total.
    converged : bool or ndarray of bool
        Whether the error is as small as f's noise allows. With a given step: whether a stencil of higher order agrees.
    engine : str
        How f was called: "python"; "vectorized" for many points at once; "traced", NumPy code that was recorded and
        replayed in C; "native", a C function.
    reason : str
        Why f could not be recorded, where that was tried, and why some elements did not converge.
    """

    value: Any
    error: Any
    h: Any
    nfev: int
    converged: Any
    engine: str
    reason: str


def room_along(space: NDArray[float64], moves: NDArray[float64]) -> NDArray[float64]:
    """How far directions may go: space (2, ..., axes) up and down each axis, moves (..., axes)."""
    size = np.abs(moves)
    with np.errstate(all="ignore"):
        forward = np.where(moves >= 0, space[0], space[1]) / size
        backward = np.where(moves >= 0, space[1], space[0]) / size
    still = size == 0
    top = np.finfo(float64).max
    return np.stack([np.where(still, top, r).min(axis=-1, initial=top) for r in (forward, backward)])


def choice(f: Callable[..., Any], args: Sequence[Any], checked: Options, arguments: int = 1) -> Choice:
    """How f is called, of which so many arguments will move one after the other."""
    engine = "python" if checked.method == "complex" and checked.engine == "auto" else checked.engine
    return Choice(f, args, engine, checked.threads, arguments, checked.h is None)


class Points:
    """f and a batch of points (..., d)."""

    def __init__(
        self,
        f: Callable[..., Any],
        x: ArrayLike,
        args: Sequence[Any],
        bounds: Bounds | None,
        vectorized: bool,
        scalar_valued: bool,
        checked: Options,
    ) -> None:
        check_callable(f)
        self.choice = choice(f, args, checked)
        self.x = real("x", x)
        if self.x.ndim == 0:
            raise ValueError("x must have the point along its last axis, got a scalar; derivative takes scalars")
        self.vectorized, self.scalar_valued = vectorized, scalar_valued
        self.batch, self.d = self.x.shape[:-1], self.x.shape[-1]
        self.points = self.x.reshape(-1, self.d) if self.x.size else np.zeros((int(np.prod(self.batch)), self.d))
        self._bounds = bounds
        # Not by cached_property: before Python 3.12 it has one lock for all objects, which a forked child may inherit.
        self._space: NDArray[float64] | None = None
        if bounds is not None:
            self.space  # noqa: B018  # so that bad bounds are an error before f is called

    @property
    def space(self) -> NDArray[float64]:
        """How far each coordinate may go up and down: (2, points, d)."""
        if self._space is None:
            self._space = np.stack([r.reshape(self.points.shape) for r in room(self._bounds, self.x)])
        return self._space

    def function(self, directions: Directions) -> Function:
        return self.choice.of_points(self.points, directions, self.vectorized, self.scalar_valued)

    @property
    def free(self) -> bool:
        """Without bounds."""
        return self._bounds is None

    def axes(self) -> Directions:
        return Directions(self.d)

    def lanes_along_axes(self) -> Lanes:
        x = self.points.reshape(-1)
        return Lanes.along_axes(x, None if self._bounds is None else self.space.reshape(2, -1))

    def vectors(self, name: str, v: ArrayLike) -> NDArray[float64]:
        vector = broadcast(name, real(name, v), self.x.shape)
        if not np.isfinite(vector).all():
            raise ValueError(f"{name} must be finite")
        return vector.reshape(self.points.shape)

    def lanes_along(self, vectors: NDArray[float64]) -> Lanes:
        """One lane a point: its scale is the smallest share of a coordinate that a unit of the parameter moves."""
        size = np.abs(vectors)
        with np.errstate(all="ignore"):
            share = np.where(self.points == 0, 1.0, np.abs(self.points)) / size
        scale = np.where(size == 0, np.inf, share).min(axis=-1, initial=np.inf)
        scale = np.where(np.isfinite(scale), scale, 1.0)
        scale = np.where(np.isfinite(self.points).all(axis=-1), scale, np.nan)
        return Lanes(scale, room_along(self.space, vectors), 1.0 / np.maximum(size.max(axis=-1, initial=0.0), 1e-300))

    def step(self, checked: Options) -> NDArray[float64] | None:
        if not isinstance(checked.h, np.ndarray):
            return None
        return broadcast("h", checked.h, self.x.shape).reshape(-1)

    def step_along(self, checked: Options) -> NDArray[float64] | None:
        if not isinstance(checked.h, np.ndarray):
            return None
        return broadcast("h", checked.h, self.batch).reshape(-1)


@dataclass(frozen=True)
class Quadratic:
    """Second derivatives along directions, (points, directions) each, with what is known of them."""

    value: NDArray[Any]
    error: NDArray[float64]
    step: NDArray[float64]
    status: NDArray[intp]

    @classmethod
    def of(cls, found: Estimates, b: int, count: int) -> "Quadratic":
        def shaped(a: NDArray[Any]) -> NDArray[Any]:
            return a[:, 0].reshape(b, count)

        return cls(shaped(found.value), shaped(found.error), shaped(found.step), shaped(found.status))

    def times(self, factor: NDArray[float64]) -> "Quadratic":
        with np.errstate(all="ignore"):
            return Quadratic(self.value * factor, self.error * np.abs(factor), self.step, self.status)

    def take(self, i: NDArray[intp]) -> "Quadratic":
        return Quadratic(self.value[:, i], self.error[:, i], self.step[:, i], self.status[:, i])

    def minus(self, *others: "Quadratic") -> "Quadratic":
        value, error, step, status = self.value, self.error, np.full(self.step.shape, np.inf), self.status
        with np.errstate(all="ignore"):
            for other in others:
                value, error = value - other.value, error + other.error
                step, status = np.minimum(step, other.step), np.maximum(status, other.status)
        return Quadratic(value, error, self.step * step, status)

    def matrix(self, mixed: "Quadratic", i: NDArray[intp], j: NDArray[intp]) -> "Quadratic":
        b, d = self.value.shape
        parts: list[Any] = []
        for own, both in ((getattr(self, name), getattr(mixed, name)) for name in ("value", "error", "step", "status")):
            full = np.empty((b, d, d), np.result_type(own, both))
            full[:, np.arange(d), np.arange(d)] = own
            full[:, i, j] = full[:, j, i] = both
            parts.append(full)
        return Quadratic(*parts)


class Total:
    """Runs the engine for one call of an operator, adds up what it cost, and makes the result."""

    nfev = 0
    engine, engine_reason = "python", ""
    converged: NDArray[np.bool_] | None = None
    seed: Any = None  # the first value of f, where it is known already

    def __init__(self, checked: Options) -> None:
        self.checked = checked
        self.statuses: set[int] = set()

    def begin(self, function: Function | None) -> None:
        """Count what it took to find out that this is the function."""
        if function:
            self.nfev, self.engine_reason = self.nfev + function.nfev, function.reason

    def quick(self, run: Callable[[], Any], shape: tuple[int, ...]) -> Any:
        """The result of a small problem, or None where the engine has to take over."""
        with np.errstate(all="ignore"):
            found = run()
        if type(found) is int:  # a later point has a value that is no float: all of them once more
            self.nfev += -found - 1
            return None
        if type(found) is float64:
            return found
        if type(found) is np.ndarray:
            return found.reshape(shape)
        if type(found) is not tuple:
            self.seed = found
            return None
        value, error, k, status, nfev = found
        self.nfev += nfev
        if not self.checked.full_output:
            return value if type(value) is float64 else value.reshape(shape)
        self.merge(np.asarray(status, intp))
        return self.result(np.asarray(value), np.asarray(error), np.exp2(k), shape)

    def solve(
        self,
        function: Function,
        lanes: Lanes | Callable[[], Lanes],
        h: NDArray[float64] | None,
        free: bool = False,
        last: bool = False,
    ) -> Estimates:
        """`free` says that there are no bounds, `last` that the result is nothing but what is found here. Lanes that are to
        be made on demand may not be needed."""
        c = self.checked
        if self.seed is not None:
            function.seed(self.seed.value)
            self.seed = None
        with np.errstate(all="ignore"):  # f is called where nobody asked for it; what is not finite is reported
            if function.engine in ("traced", "native") and free and c.h is not None and not c.full_output:
                plain = steps.plain(c.n, c.method, c.accuracy, c.richardson)
                return shortcut(function, lanes, plain, h)
            lanes = lanes() if callable(lanes) else lanes
            if c.method == "complex":
                found = complex_step(function, lanes, h, c.full_output)
            elif c.h is None:
                found = estimate(
                    function, lanes, steps.scheme(c.n, c.method, c.accuracy, c.richardson), c.full_output or not last
                )
            else:
                plain = steps.plain(c.n, c.method, c.accuracy, c.richardson)
                found = one_round(function, lanes, plain, h, c.full_output)
        self.nfev += function.nfev
        self.engine, self.engine_reason = function.engine, function.reason
        return found

    def partials(self, chosen: Choice, points: Sequence[NDArray[float64]]) -> tuple[Any, ...] | None:
        """Plain differences in each argument at once, where there is something to gain by that."""
        c = self.checked
        if c.h is None or c.full_output or c.method == "complex":
            return None
        function = chosen.partials(points)
        if function is None:
            return None
        shape = np.broadcast_shapes(*(x.shape for x in points))
        h = None
        if isinstance(c.h, np.ndarray):
            every = broadcast("h", c.h, shape).reshape(-1, 1)
            h = np.broadcast_to(every, (every.size, len(points)))
        value = differences(function, steps.plain(c.n, c.method, c.accuracy, c.richardson), h)
        return tuple(value[:, j, 0].reshape(shape)[()] for j in range(len(points)))

    def merge(self, status: NDArray[intp]) -> None:
        if not self.checked.full_output:
            return
        good = status.reshape(-1) == steps.CONVERGED
        self.converged = good if self.converged is None else self.converged & good
        # np.unique would import numpy.ma
        self.statuses.update(np.flatnonzero(np.bincount(status.ravel())).tolist())

    def result(
        self, value: NDArray[Any], error: NDArray[float64], step: NDArray[float64], shape: tuple[int, ...]
    ) -> Any:
        shaped = value.reshape(shape)
        if not self.checked.full_output:
            return shaped[()]
        assert self.converged is not None
        error = self._bounded(value, error)
        reasons = [self.engine_reason, *(steps.REASONS[status] for status in sorted(self.statuses))]
        return Result(
            shaped[()], error.reshape(shape)[()], step.reshape(shape)[()], self.nfev,
            self.converged.reshape(shape)[()], self.engine, "; ".join(filter(None, reasons)),
        )  # fmt: skip

    def _bounded(self, value: NDArray[Any], error: NDArray[float64]) -> NDArray[float64]:
        """The error, inf where it or the value left the range of numbers on the way: that is no convergence."""
        if error.size == 1 and error.item() < np.inf and abs(value.item()) < np.inf:  # as nearly all of them
            return error
        with np.errstate(all="ignore"):
            lost = np.logical_not((error < np.inf) & (np.abs(value) < np.inf))
        if lost.any():
            error = np.where(lost, np.inf, error)
            lost = lost.reshape(self.converged.shape)  # type: ignore[union-attr]
            if (lost & self.converged).any():
                self.converged = self.converged & ~lost
                self.statuses.add(steps.NO_BAR)
        return error

    def spread(self, found: Estimates, batch: tuple[int, ...], shape: tuple[int, ...], last: tuple[int, ...]) -> Any:
        """Lanes (points, directions) with several outputs each: the outputs go before the directions."""
        outputs = int(np.prod(shape))
        count = int(np.prod(last))
        points = int(np.prod(batch))

        def arranged(a: NDArray[Any]) -> NDArray[Any]:
            a = a if a.shape[1] == outputs else np.broadcast_to(a[:, :1], (a.shape[0], outputs))
            return np.ascontiguousarray(a.reshape(points, count, outputs).swapaxes(1, 2)).reshape(-1)

        if not self.checked.full_output:
            return arranged(found.value).reshape((*batch, *shape, *last))[()]
        self.merge(arranged(found.status))
        step = arranged(found.step)
        return self.result(arranged(found.value), arranged(found.error), step, (*batch, *shape, *last))

    # Directions built from steps that suit each of their sides: along them the engine starts at one.

    def balanced(self, space: NDArray[float64]) -> Lanes:
        c = self.checked
        unit = 0 if c.h is not None else steps.scheme(c.n, c.method, c.accuracy, c.richardson).unit
        count = space.shape[1]
        return Lanes(np.zeros(count), space, 2.0**-unit)

    def unit_step(self, count: int) -> NDArray[float64] | None:
        return np.ones(count) if isinstance(self.checked.h, np.ndarray) else None

    def own_lengths(self, axes: Estimates, at: Points) -> NDArray[float64]:
        x = at.points
        given = at.step(self.checked)
        given = None if given is None else given.reshape(x.shape)
        return _length(axes.step[:, 0].reshape(x.shape), x, given, self.checked)

    def line_lengths(self, line: Estimates, lanes: Lanes, at: Points) -> NDArray[float64]:
        return _length(line.step[:, 0], lanes.scale, at.step_along(self.checked), self.checked)

    def lengths(
        self, run: Callable[[Lanes], Estimates], x: NDArray[float64], space: NDArray[float64], shape: tuple[int, ...]
    ) -> NDArray[float64]:
        c = self.checked
        if isinstance(c.h, np.ndarray):
            return broadcast("h", c.h, shape).reshape(-1, 1)
        if c.h == "scaled":
            return _length(np.ones(x.shape), x, None, c)[:, None]
        found = run(Lanes.along_axes(x, space))
        return _length(found.step[:, 0], x, None, c)[:, None]


def _length(
    step: NDArray[float64], x: NDArray[float64], given: NDArray[float64] | None, checked: Options
) -> NDArray[float64]:
    """The length of a side: the step given, or found; never far beyond the scale of x, where f may be something else."""
    if given is not None:
        return given
    scale = np.frexp(np.maximum(np.abs(x), 1.0))[1] - 1.0
    return np.exp2(scale) if checked.h == "scaled" else np.minimum(step, np.exp2(scale - 2.0))
