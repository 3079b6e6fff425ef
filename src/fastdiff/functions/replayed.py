"""A program in place of a function: recorded from NumPy code, or a C function. Replayed without the GIL."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from ..kernels import backend
from .base import Function, Lanes, Sampled
from .compiling import Tape
from .point import Directions
from .program import TABLE_ENTRIES, Program, Rows

_HERE = np.ones(1)  # the stencil that is f itself, one step away


class Replayed(Function):
    """Lanes are points times directions, point by point; each direction is a variant of the program.

    `inputs` are what `Program.bind` gives. `variants` holds for each direction the rows that it moves, `lengths`
    (directions, moved rows, points) by how much; None is by one.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        program: Program,
        inputs: list[NDArray[float64]],
        variants: Sequence[Rows],
        lengths: NDArray[float64] | None,
        engine: str,
        threads: int | None,
    ) -> None:
        super().__init__(f, args)
        self.program, self.inputs, self.variants, self.lengths = program, inputs, variants, lengths
        self.engine, self.threads = engine, threads
        self.shape, self.outputs = program.outputs.shape, program.outputs.size
        self.count, self.points = len(variants), inputs[0].shape[1]
        self._known: tuple[int, int, Sampled] | None = None
        self._single: dict[tuple[int, bool], Tape] = {}
        self._whole: dict[bool, Tape] = {}

    by_direction = False  # differences come as (points, directions, outputs), direction by direction in memory

    @property
    def along_axes(self) -> bool:
        return self.lengths is None

    def centre(self, lanes: slice) -> Sampled:
        first, last = lanes.start // self.count, -(-lanes.stop // self.count)
        if self._known is None or self._known[:2] != (first, last):
            values = np.empty((last - first, self.program.outputs.size))
            self.program.evaluate([a[:, first:last] for a in self.inputs], values, self.threads)
            self.nfev += last - first
            self._known = first, last, values
        if self.count == 1:
            return self._known[2]
        found: Sampled = self._known[2][np.arange(lanes.start, lanes.stop) // self.count - first]
        return found

    @property
    def alike(self) -> bool:  # type: ignore[override]
        varied = [a for i, a in zip(self.program.inputs, self.inputs) if i.captured is not None or a.strides[1]]
        return self.program.elementwise and len(varied) == 1

    def parts(self, count: int) -> list[Function] | None:
        if self.makes_rounds:
            list(self._tapes(None, values=False))  # once for all
        parts: list[Function] = [copy(self) for _ in range(count)]
        for part in parts:
            part.nfev, part.threads = 0, 1
        return parts

    @property
    def makes_rounds(self) -> bool:  # type: ignore[override]
        """Of lanes that are one number which moves by its parameter, and have one output."""
        return self.count == 1 and self.outputs == 1 and self.lengths is None and backend.NAME == "compiled"

    def rounds(self, span: slice, *arguments: Any) -> tuple[int, int, int]:
        ((_, tape),) = self._tapes(None, values=False)
        reached, late, odd, nfev = backend.rounds(tape, self.inputs, span.start, span.stop, *arguments)
        self.nfev += nfev
        return reached, late, odd

    def sample_nodes(self, lanes: Lanes, offsets: Sequence[float], h: NDArray[float64], out: NDArray[float64]) -> None:
        if self.count > 1 or out.shape[2] > 1:
            super().sample_nodes(lanes, offsets, h, out)
            return
        self.nfev += out.shape[0] * out.shape[1]
        inputs = [a[:, lanes] for a in self.inputs]
        lengths = None if self.lengths is None else self.lengths[:, :, lanes]
        ((_, tape),) = self._tapes(None, values=False)
        self.program.sample(tape, inputs, h[None], np.array(offsets), out.transpose(0, 2, 1), direction=lengths)

    def sample(self, lanes: Lanes, steps: NDArray[Any]) -> Sampled:
        self.nfev += len(steps)
        if isinstance(lanes, slice):
            return self._range(lanes.start, lanes.stop, steps)
        size = self.program.outputs.size
        if self.count == 1:
            out = np.empty((len(steps), size))
            self._difference(lanes, steps[None], _HERE, _HERE, 1.0, 0, out.T[None])
            return out
        begin, end = int(lanes.min()), int(lanes.max()) + 1
        if 2 * len(lanes) > end - begin:
            every = np.zeros(end - begin)
            every[lanes - begin] = steps
            return self._range(begin, end, every)[lanes - begin]
        out = np.empty((len(steps), size))
        point, direction = np.divmod(lanes, self.count)
        for v in np.unique(direction).tolist():
            which = np.flatnonzero(direction == v)
            part = np.empty((1, size, len(which)))
            self._difference(point[which], steps[which][None], _HERE, _HERE, 1.0, 0, part, slice(v, v + 1))
            out[which] = part[0].T
        return out

    def _range(self, begin: int, end: int, steps: NDArray[float64]) -> Sampled:
        """Lanes begin..end, as part of all lanes of their points."""
        first, last = begin // self.count, -(-end // self.count)
        before = begin - first * self.count
        every = steps
        if len(steps) < (last - first) * self.count:
            every = np.zeros((last - first) * self.count)
            every[before : before + len(steps)] = steps
        out = np.empty((last - first, self.count, self.program.outputs.size))
        h = every.reshape(last - first, self.count).T
        self._difference(slice(first, last), h, _HERE, _HERE, 1.0, 0, out.transpose(1, 2, 0))
        return out.reshape(len(every), out.shape[2])[before : before + len(steps)]

    def difference(
        self, offsets: NDArray[float64], weights: NDArray[float64], divisor: float, n: int, h: NDArray[float64] | float
    ) -> Sampled:
        moved = int(np.count_nonzero(offsets))
        self.nfev += moved * self.points * self.count + (moved < len(offsets)) * self.points
        if self.by_direction:  # each direction in an array of its own
            out = np.empty((self.count, self.program.outputs.size, self.points)).transpose(2, 0, 1)
        else:
            out = np.empty((self.points, self.count, self.program.outputs.size))
        step = h.reshape(self.points, self.count).T if isinstance(h, np.ndarray) else h
        self._difference(slice(0, self.points), step, offsets, weights, divisor, n, out.transpose(1, 2, 0))
        return out if self.by_direction else out.reshape(self.points * self.count, out.shape[2])

    def _difference(
        self,
        points: slice | NDArray[intp],
        h: NDArray[float64] | float,
        offsets: NDArray[float64],
        weights: NDArray[float64],
        divisor: float,
        n: int,
        out: NDArray[float64],
        directions: slice | None = None,
    ) -> None:
        inputs = [a[:, points] for a in self.inputs]
        lengths = None if self.lengths is None else self.lengths[:, :, points]
        for part, tape in self._tapes(directions, values=not offsets.all()):
            self.program.difference(
                tape, inputs, h[part] if isinstance(h, np.ndarray) and directions is None else h,
                offsets, weights, divisor, n, out[part] if directions is None else out,
                direction=None if lengths is None else lengths[part], threads=self.threads,
            )  # fmt: skip

    def _tapes(self, directions: slice | None, values: bool) -> Iterator[tuple[slice, Tape]]:
        """The program for these directions, or for all, as many at a time as its tables may hold."""
        if directions is not None:
            key = (directions.start, values)
            if key not in self._single:
                self._single[key] = self.program.tape(self.variants[directions], values=values)
            yield directions, self._single[key]
            return
        block = max(1, TABLE_ENTRIES // (self.program.rows + 1))
        for first in range(0, self.count, block):
            part = slice(first, min(first + block, self.count))
            if self.count <= block:
                if values not in self._whole:
                    self._whole[values] = self.program.tape(self.variants, values=values)
                yield part, self._whole[values]
            else:
                yield part, self.program.tape(self.variants[part], values=values)


def elementwise(
    f: Callable[..., Any],
    args: Sequence[Any],
    program: Program,
    xs: Sequence[NDArray[float64]],
    moves: Sequence[float | NDArray[float64]],
    engine: str,
    threads: int | None,
) -> Replayed:
    """Lanes are the elements of the broadcast arguments; see `Elementwise`."""
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    moved = [j for j, move in enumerate(moves) if isinstance(move, np.ndarray) or move != 0.0]
    lengths = None
    if len(moved) > 1 or not isinstance(moves[moved[0]], float) or moves[moved[0]] != 1.0:
        size = int(np.prod(shape))
        lengths = np.stack([np.broadcast_to(np.reshape(moves[j], -1), size) for j in moved])[None]
    inputs = program.bind(xs, shape)
    return Replayed(f, args, program, inputs, [program.arguments[moved]], lengths, engine, threads)


def partials(
    f: Callable[..., Any],
    args: Sequence[Any],
    program: Program,
    xs: Sequence[NDArray[float64]],
    engine: str,
    threads: int | None,
) -> Replayed:
    """Lanes are the elements of the broadcast arguments times the arguments: each moves alone."""
    inputs = program.bind(xs, np.broadcast_shapes(*(x.shape for x in xs)))
    function = Replayed(f, args, program, inputs, list(program.arguments[:, None]), None, engine, threads)
    function.by_direction = True
    return function


def of_points(
    f: Callable[..., Any],
    args: Sequence[Any],
    program: Program,
    points: NDArray[float64],
    directions: Directions,
    engine: str,
    threads: int | None,
) -> Replayed:
    """Lanes are points (b, d) times directions; see `OfPoints`."""
    rows = program.arguments
    inputs = program.bind([points], points.shape[:1])
    if directions.axes is None or directions.lengths is None:
        return Replayed(f, args, program, inputs, list(rows[:, None]), None, engine, threads)
    lengths = directions.lengths.transpose(1, 2, 0)
    lengths = np.broadcast_to(lengths, (*lengths.shape[:2], len(points)))
    return Replayed(f, args, program, inputs, list(rows[directions.axes]), lengths, engine, threads)
