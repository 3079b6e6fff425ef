"""What the engine is asked and what it answers, lane by lane. A lane is a point and a direction."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps
from .kernels import backend

OCTAVES = 4096  # signs and exponents of float64
ROOM = 1.0 - 2.0**-50  # so that a node computed in floating point stays inside the bounds


@dataclass(frozen=True)
class Lanes:
    """Where the lanes are. `scale` (lanes,): the size of x along each, in units of the lane's parameter; 0 is unknown. Its
    sign does not count.

    `room` (2, lanes): how far each may go forward and backward; None: as far as numbers go. `unit`: the parameter at
    which a lane has moved by about one, a number or one for each lane.

    What is learned of f are tables by octave of the scale: `first`, log2 of the first step over the scale (None: that of
    the scheme), and `noise`, the noise in the values of f (None: not known).
    """

    scale: NDArray[float64]
    room: NDArray[float64] | None
    unit: float | NDArray[float64] = 1.0
    first: NDArray[float64] | None = None
    noise: NDArray[float64] | None = None

    @classmethod
    def along_axes(cls, x: NDArray[float64], room: NDArray[float64] | None) -> "Lanes":
        """Lanes that each move one x (lanes,), by one for each unit of their parameter."""
        return cls(np.ascontiguousarray(x), room)

    @property
    def count(self) -> int:
        return len(self.scale)

    def part(self, which: slice | NDArray[intp]) -> "Lanes":
        return replace(
            self,
            scale=self.scale[which],
            room=None if self.room is None else self.room[:, which],
            unit=self.unit[which] if isinstance(self.unit, np.ndarray) else self.unit,
        )


@dataclass(frozen=True)
class Estimates:
    """What came out, per lane and output: `value` real or complex, the rest float64 or int."""

    value: NDArray[Any]
    error: NDArray[float64]
    step: NDArray[float64]
    status: NDArray[intp]


def joined(
    value: NDArray[float64],
    error: NDArray[float64],
    step: NDArray[float64],
    status: NDArray[intp],
    is_complex: bool,
) -> Estimates:
    """Pairs of outputs made one where f is complex-valued."""
    if is_complex:
        value = np.ascontiguousarray(value).view(np.complex128)
        error = np.hypot(error[:, ::2], error[:, 1::2])
        step, status = step[:, ::2], np.maximum(status[:, ::2], status[:, 1::2])
    return Estimates(value, error, step, status)


def octaves(scale: NDArray[float64]) -> NDArray[intp]:
    """Which entry of tables by octave is that of each scale."""
    found = np.empty(scale.shape)
    backend.by_octave(scale, np.arange(float(OCTAVES)), found)
    return found.astype(intp)


def largest_exponent(room: NDArray[float64], forward: float, backward: float) -> NDArray[float64]:
    """log2 of the largest power of two with which nodes that far out stay inside the room."""
    cap = np.full(room.shape[1], float(steps.LARGEST))
    for reach, space in ((forward, room[0]), (backward, room[1])):
        if reach > 0:
            with np.errstate(over="ignore", under="ignore"):
                most = space * ROOM / reach
            np.minimum(cap, _exponent(most), out=cap)
    return cap


def _exponent(a: NDArray[float64]) -> NDArray[float64]:
    """log2 of the largest power of two that is not larger, of finite numbers that are not negative."""
    exponent = ((a.view(np.int64) >> 52) - 1023).astype(float64)  # several times as fast as np.frexp
    few = np.flatnonzero(a < np.finfo(float64).tiny)
    exponent[few] = np.where(a[few] > 0, np.frexp(a[few])[1] - 1.0, -np.inf)
    return exponent
