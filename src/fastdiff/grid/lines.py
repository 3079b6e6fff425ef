"""One axis of a grid: where its samples lie, and the weights that make derivatives of them."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import frexp, isfinite, ldexp
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from ..kernels import backend
from ..stencils import Stencil

MAX_DERIVATIVE = 6
MAX_ACCURACY = 12
BOUNDARIES = ("one-sided", "periodic", "trim")
UNITS = {"W": 604800.0, "D": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
BLOCK = 1 << 14  # coordinates looked at in one go, so that nothing as long as the axis is allocated


@dataclass(frozen=True)
class Rule:
    """How results along an axis come from its samples; see fd_grid_rule in csrc/fastdiff.h."""

    n: int
    head: int
    tail: int
    index: NDArray[np.intp]
    weights: NDArray[Any] | None
    origin: int
    odd: bool
    central: NDArray[Any]
    first: int = 0
    table: NDArray[Any] | None = None

    def shifted(self, by: int) -> "Rule":
        """The same rule for samples that begin at sample `by`."""
        return replace(self, index=self.index - by, origin=self.origin - by) if by else self

    def cast(self, dtype: np.dtype[Any]) -> "Rule":
        """With weights of the type of the data."""
        if dtype == float64:
            return self
        with np.errstate(over="ignore"):
            central = self.central.astype(dtype)
            weights, table = (None if w is None else w.astype(dtype) for w in (self.weights, self.table))
        if not all(np.isfinite(w).all() for w in (central, weights, table) if w is not None):
            raise ValueError(f"spacing is too small for this derivative of {dtype} data: its weights overflow")
        return replace(self, central=central, weights=weights, table=table)


class Coordinates:
    """Positions of samples as float64, a block at a time: exact differences also for integers and times."""

    def __init__(self, raw: NDArray[Any], unit: str | None, what: str) -> None:
        if raw.dtype.kind == "M":
            if unit not in UNITS:
                raise ValueError(
                    f"{what} holds datetime64 coordinates: unit must say in what time the derivative is measured, one of "
                    f"{', '.join(map(repr, UNITS))}; got {unit!r}"
                )
            if np.isnat(raw).any():
                raise ValueError(f"{what} holds NaT")
            step, count = np.datetime_data(raw.dtype)
            if step not in UNITS:
                raise TypeError(f"{what} is {raw.dtype}: months and years differ in length; convert to 'datetime64[s]'")
            self.scale = count * UNITS[step] / UNITS[unit] if UNITS[step] * count >= UNITS[unit] else 1.0
            self.divide = 1.0 if self.scale != 1.0 else round(UNITS[unit] / (count * UNITS[step]))
            raw = raw.view(np.int64) if raw.dtype.isnative else raw.astype(raw.dtype.newbyteorder("=")).view(np.int64)
        else:
            if unit is not None:
                raise ValueError(
                    f"unit={unit!r} goes with datetime64 coordinates or a timedelta64 spacing; {what} is {raw.dtype}"
                )
            if raw.dtype.kind not in "iuf":
                raise TypeError(f"{what} must hold real numbers or datetime64, got {raw.dtype}")
            self.scale = self.divide = 1.0
        self.raw = raw
        self.n = len(raw)
        self.zero = 0
        if raw.dtype.kind in "iu":
            low, high = int(raw.min()), int(raw.max())
            self.zero = low if high - low < 2**63 else 0

    def get(self, begin: int, end: int) -> NDArray[float64]:
        raw = self.raw[begin:end]
        if raw.dtype.kind in "iu" and self.zero:
            raw = raw.astype(np.uint64 if raw.dtype.kind == "u" else np.int64)
            raw = raw - raw.dtype.type(self.zero)
        found = raw.astype(float64, copy=False)
        if self.scale != 1.0:
            found = found * self.scale
        if self.divide != 1.0:
            found = found / self.divide
        return np.ascontiguousarray(found)


def seconds(step: np.timedelta64, unit: str | None) -> float:
    """A timedelta64 in the unit."""
    if unit not in UNITS:
        raise ValueError(f"spacing is a timedelta64: unit must be one of {', '.join(map(repr, UNITS))}, got {unit!r}")
    name, count = np.datetime_data(step.dtype)
    if np.isnat(step) or name not in UNITS:
        raise ValueError(f"spacing must be a timedelta64 of fixed length, got {step!r}")
    return int(step.astype(np.int64)) * count * UNITS[name] / UNITS[unit]


@lru_cache(256)
def uniform_weights(offset: int, points: int, n: int, h: float) -> NDArray[float64]:
    """Of samples 0 .. points - 1 for derivative n at sample `offset`, from exact rational weights, rounded once."""
    stencil = Stencil.on(range(-offset, points - offset), n)
    exact = {int(t) + offset: w for t, w in zip(stencil.offsets, stencil.rows[-1], strict=True)}
    return np.array([_scaled(exact[j], n, h) if j in exact else 0.0 for j in range(points)])


def _scaled(exact: Any, n: int, h: float) -> float:
    from fractions import Fraction

    try:
        return float(exact / Fraction(h) ** n)
    except OverflowError:
        raise ValueError(f"spacing {h!r} is too small for derivative {n}: its weights overflow") from None


@lru_cache(256)
def central_weights(n: int, accuracy: int, h: float) -> NDArray[float64]:
    """Of the samples at 1, 2, ... to the right."""
    stencil = Stencil.standard(n, accuracy)
    return np.array([_scaled(w, n, h) for t, w in zip(stencil.offsets, stencil.rows[-1], strict=True) if t > 0])


def node_weights(
    nodes: NDArray[float64], at: int, n: int, scale: float, out: NDArray[float64] | None = None
) -> NDArray[float64]:
    """Weights of nodes (points, count) for derivative n at node `at`; `scale`: see fd_grid_kernels."""
    out = np.empty(nodes.shape) if out is None else out
    backend.weights(nodes, at, n, scale, out)
    if not np.isfinite(out).all():
        raise ValueError(f"spacing is too small or too uneven for derivative {n}: its weights overflow")
    return out


@dataclass(frozen=True, eq=False)
class Line:
    """Derivative n of the samples along one axis. Everything has been checked; `coordinates` None means uniform.

    On a uniform axis the inner points have a central stencil of the even order next to `accuracy`. On a non-uniform one
    an order costs a point, and derivatives of even order get no order for symmetry.
    """

    samples: int
    n: int
    accuracy: int
    boundary: str
    h: float = 1.0
    coordinates: Coordinates | None = None
    scale: float = 1.0  # a power of two that brings the least distance of coordinates near 1
    period: float = 0.0
    drop: tuple[int, int] = (0, 0)  # results left out at the two ends of a one-sided line
    sign: float = 1.0  # what the derivative is multiplied with
    # what follows from these:
    uniform: bool = field(init=False)
    points: int = field(init=False)  # samples of a stencil to one side
    width: int = field(init=False)  # samples of a stencil inside,
    reach: tuple[int, int] = field(init=False)  # to the left and to the right of the point
    needed: int = field(init=False)  # fewest samples that will do
    start: int = field(init=False)  # the sample that the first result lies on
    results: int = field(init=False)
    bulky: bool = field(init=False)  # a rule for the whole axis is better not held at once
    _whole: dict[np.dtype[Any], Rule] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        uniform, trim = self.coordinates is None, self.boundary == "trim"
        even = self.accuracy + self.accuracy % 2
        width = 2 * ((self.n + 1) // 2 - 1 + even // 2) + 1 if uniform else self.n + even
        points = self.n + self.accuracy
        self.__dict__.update(  # not by assignment, which being frozen forbids
            uniform=uniform,
            points=points,
            width=width,
            reach=(width // 2, width - 1 - width // 2),
            needed=points if self.boundary == "one-sided" else width,
            start=width // 2 if trim else self.drop[0],
            results=self.samples - width + 1 if trim else self.samples - sum(self.drop),
            bulky=not uniform and self.samples > 2 * BLOCK,
        )

    def next_order(self) -> "Line":
        """The line of the same results with two more orders; on a trimmed one it turns sideways where it must."""
        better = replace(self, accuracy=self.accuracy + 2)
        if self.boundary == "trim":
            better = replace(better, boundary="one-sided", drop=self.reach)
        return better

    def negated(self) -> "Line":
        """Minus this derivative."""
        return replace(self, sign=-self.sign)

    def matching(self, other: "Line") -> "Line":
        """With the results of a line of another derivative, which are no more."""
        if self.boundary != "trim" or self.reach == other.reach:
            return self
        drop = other.reach
        return replace(self, boundary="one-sided", drop=drop)

    def sizes(self) -> NDArray[float64]:
        """For each result the sum of the absolute weights: what it makes of errors in the samples."""
        blocks = []
        for begin in range(0, self.results, BLOCK):
            rule = self.rule(begin, min(begin + BLOCK, self.results), np.dtype(float64))
            block = np.full(rule.n, 2 * np.abs(rule.central).sum() * (1 if self.n % 2 else 2))
            if rule.table is not None:
                block = np.abs(rule.table).sum(axis=0)
            if rule.weights is not None:
                ends = np.abs(rule.weights).sum(axis=1)
                block[: rule.head], block[rule.n - rule.tail :] = ends[: rule.head], ends[rule.head :]
            blocks.append(block)
        return np.concatenate(blocks)

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The samples that results [begin, end) need; on a periodic axis beyond its ends."""
        left, right = self.reach
        low, high = begin + self.start - left, end + self.start + right
        if self.boundary == "periodic":
            return low, high
        low = min(low, self.samples - self.points) if self.boundary == "one-sided" else low
        high = max(high, self.points) if self.boundary == "one-sided" else high
        return max(low, 0), min(high, self.samples)

    def rule(self, begin: int, end: int, dtype: np.dtype[Any], wrap: bool = True) -> Rule:
        """For results [begin, end). Not `wrap`: samples beyond the ends of a periodic axis will be there."""
        whole = self.uniform and begin == 0 and end == self.results and wrap
        found = self._whole.get(dtype) if whole else None
        if found is None:
            found = self._rule(begin, end, wrap).cast(dtype)
            if whole:
                self._whole[dtype] = found
        return found

    def _rule(self, begin: int, end: int, wrap: bool) -> Rule:
        left, right = self.reach
        begin, end = begin + self.start, end + self.start  # as samples from here on
        central = central_weights(self.n, self.accuracy + self.accuracy % 2, self.h) if self.uniform else np.empty(0)
        head = tail = 0
        if self.boundary == "one-sided" or (self.boundary == "periodic" and wrap):
            # points whose inner stencil would leave the axis; where it is that short, the axis is halved
            stop = min(left, (self.samples + 1) // 2)
            resume = max(stop, self.samples - right)
            head = max(0, min(stop, end) - begin)
            tail = max(0, end - max(resume, begin))
        rows = [self._edge(i) for i in (*range(begin, begin + head), *range(end - tail, end))]
        index = np.array([k for k, _ in rows], np.intp) if rows else np.empty((0, 0), np.intp)
        weights = table = None
        if rows and not (self.boundary == "periodic" and self.uniform):
            weights = np.array([w for _, w in rows])
        if not self.uniform:
            table = np.empty((self.width, end - begin))
            low, high = begin + head, end - tail
            table[:, :head] = table[:, end - begin - tail :] = 0.0  # never read
            if low < high:
                x = self._positions(low - left, high + right)
                nodes = np.ndarray((self.width, high - low), float64, x, 0, x.strides * 2)  # it slides along x
                node_weights(nodes, left, self.n, self.scale, table[:, low - begin : high - begin])
        if self.sign < 0:
            central, weights, table = -central, None if weights is None else -weights, None if table is None else -table
        odd = self.n % 2 == 1
        return Rule(end - begin, head, tail, index, weights, begin, odd, central, -left, table)

    def _edge(self, i: int) -> tuple[NDArray[np.intp], NDArray[float64]]:
        left, right = self.reach
        if self.boundary == "periodic":
            if self.uniform:
                offsets = [0, *(sign * j for j in range(1, left + 1) for sign in (1, -1))]
                return np.array([(i + j) % self.samples for j in offsets], np.intp), np.empty(0)
            index = np.arange(i - left, i + right + 1)
            return index % self.samples, self.weights_at(index, i)
        first = 0 if i < self.samples - right else self.samples - self.points
        index = np.arange(first, first + self.points)
        return index, self.weights_at(index, i)

    def weights_at(self, index: NDArray[np.intp], i: int) -> NDArray[float64]:
        """Of consecutive samples, for the derivative at sample i."""
        if self.uniform:
            return uniform_weights(i - int(index[0]), len(index), self.n, self.h)
        x = self._positions(int(index[0]), int(index[-1]) + 1)
        return node_weights(x[:, np.newaxis], i - int(index[0]), self.n, self.scale)[:, 0]

    def _positions(self, begin: int, end: int) -> NDArray[float64]:
        """Of samples [begin, end), those beyond the ends a period on."""
        assert self.coordinates is not None
        if begin >= 0 and end <= self.samples:
            return self.coordinates.get(begin, end)
        parts = [self.coordinates.get(max(begin, 0), min(end, self.samples))]
        if begin < 0:
            parts.insert(0, self.coordinates.get(self.samples + begin, self.samples) - self.period)
        if end > self.samples:
            parts.append(self.coordinates.get(0, end - self.samples) + self.period)
        return np.concatenate(parts)


def make_line(
    samples: int,
    spacing: Any,
    n: int,
    accuracy: int,
    boundary: str,
    period: Any,
    unit: str | None,
    what: str,
    axis: int,
) -> Line:
    """The checked line. `what` names the spacing in messages, `axis` the axis."""
    h, coordinates = 1.0, None
    if isinstance(spacing, np.timedelta64):
        h = seconds(spacing, unit)
    elif np.ndim(spacing) == 0:
        if unit is not None:
            raise ValueError(
                f"unit={unit!r} goes with datetime64 coordinates or a timedelta64 spacing; {what} is {spacing!r}"
            )
        array = np.asarray(spacing)
        if array.dtype.kind == "m":
            h = seconds(array[()], unit)  # type: ignore[arg-type]
        elif array.dtype.kind not in "iuf":
            raise TypeError(f"{what} must be a real number or a 1-D array of coordinates, got {spacing!r}")
        else:
            h = float(array)
    else:
        raw = np.asarray(spacing)
        if raw.ndim != 1 or len(raw) != samples:
            raise ValueError(
                f"{what} must be a number or 1-D coordinates of length {samples}, as axis {axis} has; got shape {raw.shape}"
            )
        coordinates = Coordinates(raw, unit, what) if samples else None
    if not isfinite(h) or h == 0:
        raise ValueError(f"{what} must be finite and not zero, got {h!r}")
    scale = 1.0
    if coordinates is not None:
        h, least, equal = _examined(coordinates, what)
        coordinates, scale = (None, 1.0) if equal else (coordinates, _scale(least))
    line = Line(samples, n, accuracy, boundary, h, coordinates, scale)
    if period is not None:
        line = _closed(line, period, what)
    elif boundary == "periodic" and not line.uniform:
        raise ValueError(f"period must be given where {what} is non-uniform and boundary is 'periodic'")
    if samples < line.needed:
        raise ValueError(
            f"axis {axis} has {samples} points; derivative {n} with accuracy {accuracy} and boundary {boundary!r} "
            f"needs at least {line.needed}"
        )
    return line


def _examined(coordinates: Coordinates, what: str) -> tuple[float, float, bool]:
    """The first distance, the size of the least one, and whether all are the same."""
    if coordinates.n == 1 and not np.isfinite(coordinates.get(0, 1)).all():
        raise ValueError(f"{what} must be finite, but holds {coordinates.get(0, 1)[0]} among its coordinates")
    step, least, equal = 1.0, np.inf, True
    for begin in range(0, coordinates.n - 1, BLOCK):
        x = coordinates.get(begin, min(begin + BLOCK, coordinates.n - 1) + 1)
        with np.errstate(all="ignore"):
            gaps = x[1:] - x[:-1]
        low, high = float(np.minimum.reduce(gaps)), float(np.maximum.reduce(gaps))
        step = float(gaps[0]) if begin == 0 else step
        if not (low > 0 and high < np.inf if step > 0 else high < 0 and low > -np.inf):
            _complain(x, gaps, begin, step > 0, what)
        least = min(least, low if step > 0 else -high)
        equal = equal and low == high == step
    return step, least, equal


def _scale(distance: float) -> float:
    """The power of two that brings it near 1."""
    return ldexp(1.0, min(-frexp(abs(distance))[1], 1023))


def _complain(x: NDArray[float64], gaps: NDArray[float64], begin: int, rising: bool, what: str) -> None:
    if not np.isfinite(x).all():
        raise ValueError(f"{what} must be finite, but holds {x[~np.isfinite(x)][0]} among its coordinates")
    wrong = np.flatnonzero(~(gaps > 0) if rising else ~(gaps < 0))
    at = int(wrong[0]) if len(wrong) else int(np.flatnonzero(~np.isfinite(gaps))[0])
    raise ValueError(
        f"{what} must be strictly monotonic, with distances in the range of numbers, but goes {x[at]} to {x[at + 1]} at "
        f"index {begin + at}"
    )


def _closed(line: Line, period: Any, what: str) -> Line:
    """With the period, on which a uniform axis may turn out not to be one."""
    if line.boundary != "periodic":
        raise ValueError(f"period goes with boundary='periodic', got boundary={line.boundary!r}")
    if isinstance(period, bool) or np.ndim(period) != 0 or np.asarray(period).dtype.kind not in "iuf":
        raise TypeError(f"period must be a real number, got {period!r}")
    length = float(period)
    coordinates = line.coordinates
    if coordinates is None:
        whole = abs(line.h) * line.samples
        if abs(length - whole) <= 1e-12 * whole:
            return line
        coordinates = Coordinates(np.arange(line.samples) * line.h, None, what)
    ends = coordinates.get(0, 1)[0], coordinates.get(line.samples - 1, line.samples)[0]
    if not np.isfinite(length) or length <= abs(ends[1] - ends[0]):
        raise ValueError(
            f"period must be longer than the {abs(ends[1] - ends[0])} from the first to the last sample, got {period!r}"
        )
    # coordinates that were equidistant have no scale yet
    scale = line.scale if line.coordinates is not None else _scale(line.h)
    return replace(line, coordinates=coordinates, scale=scale, period=length if ends[1] > ends[0] else -length)
