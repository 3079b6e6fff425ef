"""A Python function of one point: f takes (d,) and returns a number or an array."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from .base import Function, Lanes, Sampled, numeric


class OfPoints(Function):
    """f of points (b, d): lanes are points times directions, point by point."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        points: NDArray[float64],
        directions: "Directions",
        scalar_valued: bool,
    ) -> None:
        super().__init__(f, args)
        self.points = points  # (b, d)
        self.directions = directions
        self.scalar_valued = scalar_valued

    def points_of(self, lanes: slice) -> tuple[int, int, NDArray[intp]]:
        """The first point of the lanes, the last, and for each lane its point counted from the first."""
        count = self.directions.count
        first, last = lanes.start // count, (lanes.stop - 1) // count
        return first, last, np.arange(lanes.start, lanes.stop) // count - first


def indices(lanes: Lanes) -> NDArray[intp]:
    return np.arange(lanes.start, lanes.stop) if isinstance(lanes, slice) else lanes


class PointFunction(OfPoints):
    """f of one point at a time: called once for each node of each lane."""

    engine = "python"
    _known: tuple[int, NDArray[Any]] | None = None

    def centre(self, lanes: slice) -> Sampled:
        first, last, which = self.points_of(lanes)
        values = [self._at(i) for i in range(first, last + 1)]
        found: Sampled = self.read(np.stack(values), len(values))[which]
        return found

    def _at(self, i: int) -> NDArray[Any]:
        if self._known is not None and self._known[0] == i:
            return self._known[1]
        value = self._call(self.points[i].copy())
        self._known = (i, value)
        return value

    def sample(self, lanes: Lanes, steps: NDArray[Any]) -> Sampled:
        values = [
            self._call(self.directions.moved(self.points, np.array([lane]), step)[0])
            for lane, step in zip(indices(lanes), steps[:, None])
        ]
        stacked = np.stack(values)
        return stacked.reshape(len(values), -1) if steps.dtype.kind == "c" else self.read(stacked, len(values))

    def _call(self, point: NDArray[Any]) -> NDArray[Any]:
        self.nfev += 1
        value = numeric(self.call(point))
        if self.scalar_valued and value.ndim:
            if value.size != 1:
                raise ValueError(
                    f"f must return a scalar for one point of shape {point.shape}, got shape {value.shape}; "
                    "use jacobian for vector-valued f, or vectorized=True if f takes many points"
                )
            value = value.reshape(())
        self.same_shape(value.shape)
        return value.copy()  # f may return the same array again


class Directions:
    """Directions in the space of the points: lane = point * count + direction.

    A direction moves the coordinates `axes` (count, k) by `lengths` (points or 1, count, k) for each unit of its
    parameter. Without them the directions are the unit vectors. Coordinates that do not move keep every bit.
    """

    def __init__(self, count: int, axes: NDArray[intp] | None = None, lengths: NDArray[float64] | None = None) -> None:
        self.count = count
        self.axes = axes
        self.lengths = lengths

    def moved(self, points: NDArray[float64], lanes: NDArray[intp], steps: NDArray[Any]) -> NDArray[Any]:
        """New points (lanes, d)."""
        which, direction = np.divmod(lanes, self.count)
        at = points[which].astype(np.result_type(points, steps), copy=False)
        if self.axes is None or self.lengths is None:
            at[np.arange(len(lanes)), direction] += steps
            return at
        lengths = self.lengths[which if len(self.lengths) > 1 else 0, direction]
        at[np.arange(len(lanes))[:, None], self.axes[direction]] += steps[:, None] * lengths
        return at
