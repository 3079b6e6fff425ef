"""A Python function of many points: f takes (k, d) and returns (k,) or (k, ...)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Lanes, Sampled, numeric
from .point import OfPoints, indices

CHUNK = 2**19  # coordinates handed to f in one call: 4 MiB


class VectorizedFunction(OfPoints):
    """f of many points: called with as many as fit a fixed memory."""

    engine = "vectorized"
    _known: tuple[int, int, Sampled] | None = None

    def centre(self, lanes: slice) -> Sampled:
        first, last, which = self.points_of(lanes)
        if self._known is None or self._known[:2] != (first, last):
            value = self._call(self.points[first : last + 1].copy())
            self._known = (first, last, np.array(self.read(value, last + 1 - first)))
        found: Sampled = self._known[2][which]
        return found

    def sample(self, lanes: Lanes, steps: NDArray[Any]) -> Sampled:
        which = indices(lanes)
        rows = max(1, CHUNK // max(self.points.shape[1], 1))
        parts = []
        for i in range(0, len(which), rows):
            value = self._call(self.directions.moved(self.points, which[i : i + rows], steps[i : i + rows]))
            count = len(value)
            part = value.reshape(count, -1) if steps.dtype.kind == "c" else self.read(value, count)
            if count == len(which):
                return part
            parts.append(part.copy())  # f may return the same array again
        return np.concatenate(parts)

    def _call(self, points: NDArray[Any]) -> NDArray[Any]:
        count = len(points)
        self.nfev += count
        value = numeric(self.call(points))
        expected = f"({count},)" if self.scalar_valued else f"({count}, ...)"
        if value.ndim == 0 or len(value) != count or (self.scalar_valued and value.size != count):
            raise ValueError(
                f"with vectorized=True f was called with shape {points.shape} and must return shape {expected}, "
                f"got {value.shape}"
            )
        if self.scalar_valued:
            value = value.reshape(count)
        self.same_shape(value.shape[1:])
        return value
