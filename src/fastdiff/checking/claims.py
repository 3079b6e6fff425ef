"""The derivative to be checked, as a linear map at one point: what it makes of a direction, and how exact it is itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .parameters import Parameters

_NEIGHBOURS = 3


class Matrix:
    """Rows of derivatives (outputs, d), dense or of scipy.sparse."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self.rows, np.ndarray)

    def along(self, v: NDArray[float64]) -> NDArray[float64]:
        with np.errstate(all="ignore"):
            return np.asarray(self.rows @ v, dtype=float64).reshape(-1)

    def parts(self, v: NDArray[float64]) -> tuple[NDArray[float64], NDArray[float64]]:
        """Of the contributions of all entries to `along`: the largest, and the root of the sum of squares."""
        if self.is_sparse:
            each = abs(self.rows).multiply(np.abs(v)[None])
            largest = np.asarray(each.max(axis=1).todense()).reshape(-1)
            unit = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)  # squares may overflow
            each = each.multiply(1.0 / unit[:, None])
            return largest, unit * np.sqrt(np.asarray(each.multiply(each).sum(axis=1)).reshape(-1))
        with np.errstate(over="ignore"):
            return largest_and_norm(np.abs(self.rows * v))

    def not_finite(self) -> list[tuple[int, int]]:
        """Up to eight entries that are nan or infinite."""
        if self.is_sparse:
            entries = self.rows.tocoo()
            bad = np.flatnonzero(~np.isfinite(entries.data))[:8]
            return [(int(entries.row[k]), int(entries.col[k])) for k in bad]
        return [(int(i), int(j)) for i, j in np.argwhere(~np.isfinite(self.rows))[:8]]

    def dense(self) -> NDArray[float64]:
        return np.asarray(self.rows.toarray() if self.is_sparse else self.rows, dtype=float64)


def largest_and_norm(parts: NDArray[float64]) -> tuple[NDArray[float64], NDArray[float64]]:
    """Of rows of sizes (m, d): the largest (m,), and the root of the sum of squares."""
    largest = parts.max(axis=1)
    unit = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)  # squares may overflow
    return largest, unit * np.sqrt(np.square(parts / unit[:, None]).sum(axis=1))


class Map:
    """A derivative that is known by what it makes of directions."""

    def __init__(self, call: Callable[[NDArray[float64]], NDArray[float64]]) -> None:
        self.call = call

    def along(self, v: NDArray[float64]) -> NDArray[float64]:
        return self.call(v)

    def parts(self, v: NDArray[float64]) -> tuple[NDArray[float64], NDArray[float64]]:
        size = np.abs(self.along(v))
        return size, size

    def not_finite(self) -> list[tuple[int, int]]:
        return []


class Claim:
    """The derivative as it was given: `here` at the point, and near it where it can be asked for there."""

    def __init__(self, at: Callable[[NDArray[float64]], Matrix | Map], parameters: Parameters, fixed: bool) -> None:
        self.here = at(parameters.vector)
        self._at, self._parameters, self._fixed = at, parameters, fixed
        self._beside: list[Matrix | Map] | None = None

    def along(self, v: NDArray[float64]) -> NDArray[float64]:
        return self.here.along(v)

    def noise(self, v: NDArray[float64]) -> NDArray[float64]:
        """How much `along` changes when x does by a few roundoffs: no derivative is known better than that."""
        here = self.along(v)
        if self._fixed:
            return np.zeros(here.shape)
        if self._beside is None:
            rng = np.random.default_rng(0)
            z = self._parameters.vector
            eps = np.concatenate(
                [np.full(leaf.stop - leaf.start, np.finfo(leaf.dtype).eps) for leaf in self._parameters.leaves]
            )
            steps = rng.choice([-3.0, -2.0, 2.0, 3.0], (_NEIGHBOURS, len(z))) * eps
            self._beside = [self._at(z * (1.0 + step)) for step in steps]
        found = [np.abs(near.along(v) - here) for near in self._beside]
        return np.asarray(np.nan_to_num(np.max(found, axis=0), nan=0.0, posinf=0.0))
