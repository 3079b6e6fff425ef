"""Grids with missing samples: near them, stencils turn sideways or shrink instead of spreading what is not there.

The sweep runs as if all were there; results whose inner stencil touches a missing sample are then computed again. A
run of valid samples is treated like a grid of its own: one-sided stencils at its ends, all of its samples if it is
shorter than they are, and no result if it has not even n + 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lines import Line, node_weights, uniform_weights

SLAB = 1 << 16  # results looked at in one go

Index = tuple[NDArray[np.intp], ...]


@dataclass(frozen=True)
class Part:
    """One derivative of a sum. Axes other than its own are cut to the results already."""

    a: NDArray[Any]
    valid: NDArray[np.bool_]
    axis: int
    line: Line


def repair(parts: list[Part], out: NDArray[Any], short: float = np.nan) -> None:
    """Replaces the results of the sum in `out` that missing samples touch; `short` goes where a stencil had to shrink.

    Where a run is too short for any derivative, and at missing samples, the result is nan. `short` nan: the shrunken
    stencil's result.
    """
    if out.size == 0:
        return
    cut = int(np.argmax(out.shape))
    rows = max(1, SLAB * out.shape[cut] // out.size)
    for begin in range(0, out.shape[cut], rows):
        window = (*(slice(None),) * cut, slice(begin, min(begin + rows, out.shape[cut])))
        _repair_slab(parts, out[window], cut, begin, short)


def _repair_slab(parts: list[Part], out: NDArray[Any], cut: int, begin: int, short: float) -> None:
    runs = [_runs(part, out.shape, cut, begin) for part in parts]
    touched = np.zeros(out.shape, bool)
    for part, (here, left, right) in zip(parts, runs, strict=True):
        reach = part.line.reach
        touched |= ~here | (left < reach[0]) | (right < reach[1])
    where = np.nonzero(touched)
    if len(where[0]) == 0:
        return
    total: Any = None
    for part, (here, left, right) in zip(parts, runs, strict=True):
        found = np.full(len(where[0]), np.nan, out.dtype)
        at = tuple(k + begin if d == cut else k for d, k in enumerate(where))
        with np.errstate(all="ignore"):
            for chosen, start, count, shrunk in _windows(part.line, here[where], left[where], right[where]):
                value = _estimate(part, tuple(k[chosen] for k in at), start, count, out.dtype)
                found[chosen] = short if shrunk and not np.isnan(short) else value
            if part.line.sign < 0:
                found = -found
            total = found if total is None else total + found
    out[where] = total


def _runs(
    part: Part, shape: tuple[int, ...], cut: int, begin: int
) -> tuple[NDArray[np.bool_], NDArray[np.int8], NDArray[np.int8]]:
    """Per result: whether its sample is there, and how many are, without a gap, to the left and to the right.

    Counted up to the length of a stencil.
    """
    line, axis = part.line, part.axis
    most = max(line.points, line.width) - 1
    valid = part.valid
    if axis != cut:
        valid = valid[(*(slice(None),) * cut, slice(begin, begin + shape[cut]))]
    first = line.start + (begin if axis == cut else 0)
    wanted = np.arange(first - most, first + shape[axis] + most)
    around = np.take(valid, wanted % line.samples, axis=axis)
    if line.boundary != "periodic":
        inside = (wanted >= 0) & (wanted < line.samples)
        around = around & inside.reshape(-1, *(1,) * (valid.ndim - axis - 1))

    def shifted(by: int) -> NDArray[np.bool_]:
        return around[(*(slice(None),) * axis, slice(most + by, most + by + shape[axis]))]

    counts = []
    for sign in (-1, 1):
        alive = np.ones(shape, bool)
        count = np.zeros(shape, np.int8)
        for j in range(1, most + 1):
            alive &= shifted(sign * j)
            count += alive
        counts.append(count)
    return shifted(0), counts[0], counts[1]


def _windows(
    line: Line, here: NDArray[np.bool_], left: NDArray[np.int8], right: NDArray[np.int8]
) -> Iterator[tuple[NDArray[np.bool_], int, int, bool]]:
    """Which points take the samples from `start` (relative to the point) on, how many, and whether fewer than due."""
    points = line.points
    both = left + right + 1
    inner = here & (left >= line.reach[0]) & (right >= line.reach[1])
    if inner.any():
        yield inner, -line.reach[0], line.width, False
    rest = here & ~inner
    long = rest & (both >= points)
    for k in range(line.reach[0]):
        chosen = long & (left == k)
        if chosen.any():
            yield chosen, -k, points, False
    for k in range(line.reach[1]):
        chosen = long & (left >= line.reach[0]) & (right == k)
        if chosen.any():
            yield chosen, k + 1 - points, points, False
    for count in range(line.n + 1, points):
        for k in range(count):
            chosen = rest & (both == count) & (left == k)
            if chosen.any():
                yield chosen, -k, count, True


def _estimate(part: Part, at: Index, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The derivative at the given results, from `count` samples."""
    line, axis = part.line, part.axis
    centre = at[axis] + line.start
    samples = [centre + start + j for j in range(count)]
    real = np.dtype(dtype.char.lower() if dtype.kind == "c" else dtype)
    weights: Any
    if line.uniform:
        weights = uniform_weights(-start, count, line.n, line.h).astype(real)
    else:
        assert line.coordinates is not None
        x = line.coordinates.get(0, line.samples)
        nodes = np.array([x[k % line.samples] + line.period * (k // line.samples) for k in samples])
        weights = node_weights(nodes, -start, line.n, line.scale).astype(real)
    total: Any = None
    for weight, k in zip(weights, samples, strict=True):
        term = weight * part.a[(*at[:axis], k % line.samples, *at[axis + 1 :])].astype(dtype)
        total = term if total is None else total + term
    return np.asarray(total)
