"""f on straight lines through the point, and its derivatives along them by the operators."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .. import operators
from ..arguments import room
from ..assembly import room_along
from .frameworks import as_array
from .parameters import Parameters

_STEP = 2.0**-11  # of the size of x, to begin with


class Spent(Exception):
    """f would have been evaluated more often than `Lines.most` allows."""


class Lines:
    """f around one point, as a function of vectors (d,) that gives float64 values (outputs,)."""

    def __init__(
        self, f: Callable[..., Any], parameters: Parameters, args: Sequence[Any], bounds: Any, vectorized: bool
    ) -> None:
        if not callable(f):
            raise TypeError(f"f must be callable, got {type(f).__name__}")
        self.f, self.parameters, self.args, self.vectorized = f, parameters, tuple(args), bool(vectorized)
        self.z = parameters.vector
        self.bounds = None if bounds is None else _flat_bounds(bounds, parameters)
        self.space = np.stack(room(self.bounds, self.z))  # how far each entry may go up and down
        self.nfev = 0
        self.eps = parameters.eps
        self.most: int | None = None  # evaluations, in total
        self._here: NDArray[Any] | None = None

    def call(self, z: NDArray[Any]) -> NDArray[Any]:
        """f at a vector (d,), or at many (k, d), as NumPy array."""
        count = len(z) if z.ndim > 1 else 1
        if self.most is not None and self.nfev + count > self.most:
            raise Spent
        self.nfev += count
        value = as_array(self.f(self.parameters.build(z), *self.args))
        if value.dtype.kind == "c":
            raise TypeError("f must return real values, got complex ones")
        if value.dtype.kind == "f":
            self.eps = max(self.eps, float(np.finfo(value.dtype).eps))
            if value.dtype == np.float64 and self.parameters.eps > 1e-10 and _is_single(value):
                value = value.astype(np.float32)  # float(loss) of a model in float32
        return value

    @property
    def here(self) -> NDArray[Any]:
        """f at the point."""
        if self._here is None:
            with np.errstate(all="ignore"):
                value = self.call(self.z[None] if self.vectorized else self.z)
            if self.vectorized and value.shape[:1] != (1,):
                raise ValueError(
                    f"with vectorized=True f must return shape (1, ...) for one point, got shape {value.shape}"
                )
            self._here = value[0] if self.vectorized else value
        return self._here

    def at(self, v: NDArray[float64], t: NDArray[float64]) -> NDArray[float64]:
        """f at x + t v: (len(t), outputs), nan where it is out of bounds."""
        forward, backward = self.reach(v)
        inside = (t <= forward) & (-t <= backward)
        out = np.full((len(t), self.here.size), np.nan)
        with np.errstate(all="ignore"):
            if self.vectorized and inside.any():
                out[inside] = self.call(self.z + t[inside, None] * v).reshape(inside.sum(), -1)
            else:
                for i in np.flatnonzero(inside):
                    out[i] = self.call(self.z + t[i] * v).reshape(-1)
        return np.where(np.isfinite(out), out, np.nan)

    @property
    def left(self) -> int:
        """Evaluations that may still be made."""
        return sys.maxsize if self.most is None else self.most - self.nfev

    def scale(self, v: NDArray[float64]) -> float:
        """The length along v at which the first entry changes by its own size; 0 where one is zero."""
        moved = v != 0
        return float((np.abs(self.z[moved]) / np.abs(v[moved])).min(initial=np.inf)) if moved.any() else 0.0

    def reach(self, v: NDArray[float64]) -> tuple[float, float]:
        forward, backward = room_along(self.space, v)
        return float(forward), float(backward)

    def options(self) -> dict[str, Any]:
        return {"bounds": self.bounds, "vectorized": self.vectorized, "full_output": True}

    def look(self, v: NDArray[float64]) -> "Look":
        """The derivative along v as the operators find it."""
        try:
            return Look.of(operators.jvp(self.call, self.z, v, **self.options()))
        except Spent:
            return Look.none(self.here.size)


@dataclass(frozen=True)
class Look:
    """Derivatives (outputs,) along one line, with error bars and steps."""

    value: NDArray[float64]
    error: NDArray[float64]
    step: NDArray[float64]
    converged: NDArray[np.bool_]
    reason: str

    def typical_step(self, lines: Lines, v: NDArray[float64]) -> float:
        """Where to begin with differences: at the operators' step, or in their absence at a share of the entries' sizes."""
        known = self.step[np.isfinite(self.step) & (self.step > 0)]
        if known.size:
            return float(np.median(known))
        moved = (v != 0) & (lines.z != 0)
        size = np.median(np.abs(lines.z[moved] / v[moved])) if moved.any() else 1.0 / np.abs(v).max()
        return float(2.0 ** np.floor(np.log2(size))) * _STEP

    @classmethod
    def none(cls, outputs: int) -> "Look":
        """What is known of a line that nobody has looked along."""
        nothing = np.full(outputs, np.nan)
        return cls(nothing, nothing + np.inf, nothing, nothing > 0, "")

    @classmethod
    def of(cls, found: Any, factor: float = 1.0) -> "Look":
        value, error, step, converged = (np.ravel(a) for a in (found.value, found.error, found.h, found.converged))
        return cls(value / factor, error / factor, step * factor, converged, found.reason)


def _is_single(value: NDArray[Any]) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all((value.astype(np.float32) == value) | np.isnan(value)))


def _flat_bounds(bounds: Any, parameters: Parameters) -> tuple[NDArray[float64], NDArray[float64]]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be a pair (lo, hi), got {bounds!r:.80}") from None
    flat = []
    for name, bound in (("bounds[0]", low), ("bounds[1]", high)):
        if np.ndim(as_array(bound) if not isinstance(bound, dict | list | tuple) else 1) == 0 and not isinstance(
            bound, dict
        ):
            flat.append(np.full(len(parameters), float(bound)))
        elif parameters.plain:
            shape = parameters.leaves[0].shape
            try:
                flat.append(np.broadcast_to(np.asarray(bound, float64), shape).reshape(-1))
            except ValueError:
                raise ValueError(f"{name} must broadcast with x of shape {shape}, got {np.shape(bound)}") from None
        else:
            flat.append(parameters.flattened(bound, name))
    return flat[0], flat[1]
