"""Recorded functions: straight-line programs over rows, and what is replayed of them when inputs are perturbed.

A *row* is one number for every lane. Rows are counted from zero in the order in which they come into being: inputs and
results of steps. A negative row -1 - c is constant number c. A value of shape S is an array of rows of shape S, so
that indexing, reshaping, stacking and the like are book-keeping and cost nothing when the program runs.

Every row knows what it depends on. So when one input of many is perturbed, only the rows that depend on it are computed
again: a *variant* of the program, which reads all else from the base, computed once a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy import float64, int64
from numpy.typing import ArrayLike, NDArray

from .. import threads as _threads
from ..kernels import backend
from .compiling import Tape, compiled, dependence

Rows = NDArray[int64]


class Native(Protocol):
    """A function in machine code: `words` are the fd_native of csrc/fastdiff.h, `inner_loop` the address of one that takes
    its place, or zero; the rest is for the NumPy backend."""

    words: NDArray[np.intp]
    inner_loop: int

    def fill(self, x: NDArray[float64], out: NDArray[float64]) -> None: ...
    def at_points(self, points: NDArray[float64], outputs: int) -> NDArray[float64]: ...


Loop = tuple[np.ufunc, int] | str | Native  # a ufunc and the number of its inner loop, or an inner loop of our own

LEAST_WORK = 1 << 20  # words of code times lanes for which a thread is started: some tenths of a millisecond
TABLE_ENTRIES = 1 << 26  # variants * rows that are planned at a time


@dataclass(frozen=True)
class Step:
    """One operation on items: item i reads `operands[k][i]` and writes `out[k][i]`.

    `levels` cuts a step whose items depend on each other (a sum) into runs of items that do not. `single[k]` says that
    NumPy sees one number there, to be read with stride zero as NumPy would. With a `matrix` the step is out = matrix @
    operands[0]. A `call` gives its operands, as one point, to a native function.
    """

    name: str
    loop: Loop
    operands: tuple[Rows, ...]
    out: tuple[Rows, ...]
    single: tuple[bool, ...] = ()
    levels: tuple[int, ...] | None = None
    matrix: NDArray[float64] | None = None
    call: bool = False

    @property
    def whole(self) -> bool:
        """Each result depends on all operands, which are as many as they like."""
        return self.call or self.matrix is not None

    @property
    def items(self) -> int:
        return self.out[0].size

    def groups(self) -> list[slice]:
        """Runs of items that do not depend on each other, in order."""
        if self.levels is None:
            return [slice(0, self.items)]
        return [slice(a, b) for a, b in zip(self.levels, (*self.levels[1:], self.items), strict=True)]


@dataclass(frozen=True)
class Input:
    """An argument, or an array that the function captured and that runs along with the lanes."""

    name: str
    rows: Rows
    captured: NDArray[float64] | None = None


@dataclass
class Program:
    """A function as a list of steps, recorded by `fastdiff.trace`.

    `print` lists the steps; calling it evaluates it, with NumPy's own results, on one point or a batch. Programs are
    immutable: any number of threads may use one.
    """

    inputs: list[Input]
    steps: list[Step]
    constants: NDArray[float64]
    bool_rows: NDArray[np.bool_]
    outputs: Rows
    truth: bool = False  # the function returns truth values
    elementwise: bool = False
    inexact: bool = False  # holds a product of arrays, whose order of summation is not NumPy's
    _tapes: dict[Any, Tape] = field(default_factory=dict, repr=False)

    # --- what depends on what ---

    @property
    def rows(self) -> int:
        return self.bool_rows.size

    def pattern(self) -> tuple[Rows, Rows]:
        """Which output depends on which input: (outputs, inputs), one pair an entry, both flat, sorted by output.

        Examples
        --------
        >>> import fastdiff
        >>> program = fastdiff.trace(lambda x: x[1:] * x[0], [1.0, 2.0, 3.0])
        >>> [pair.tolist() for pair in program.pattern()]
        [[0, 0, 1, 1], [0, 1, 0, 2]]
        """
        found = dependence(self, list(self.arguments[:, None]))
        return found.pairs(self.outputs.ravel())

    @property
    def arguments(self) -> Rows:
        """The rows of all arguments, flat."""
        return np.concatenate([i.rows.ravel() for i in self.inputs if i.captured is None])

    # --- compiling ---

    def tape(self, variants: Sequence[Rows] = (), *, values: bool = True) -> Tape:
        """The program with these variants: variant v perturbs the rows variants[v].

        Compiling takes memory and time like the number of rows that the variants change, all in all; where these may be
        more than TABLE_ENTRIES take the variants in blocks.

        With `values` the base computes the outputs too, as sampling at offset zero needs.
        """
        key = (values, *(rows.tobytes() for rows in variants))
        found = self._tapes.get(key)
        if found is None:
            if len(self._tapes) > 8:
                self._tapes.clear()
            found = self._tapes[key] = compiled(self, variants, values)
        return found

    # --- running ---

    def __call__(self, *arrays: ArrayLike, threads: int | None = None) -> Any:
        """Evaluate: each array has the shape of its argument, or leading batch axes before it."""
        arguments = [np.asarray(a, float64) for a in arrays]
        names = [i for i in self.inputs if i.captured is None]
        if len(arguments) != len(names):
            raise TypeError(f"this program takes {len(names)} arrays, got {len(arguments)}")
        batches = []
        for a, i in zip(arguments, names, strict=True):
            if a.shape[a.ndim - i.rows.ndim :] != i.rows.shape or a.ndim < i.rows.ndim:
                raise ValueError(f"argument {i.name} has shape {a.shape}; the program was recorded for {i.rows.shape}")
            batches.append(a.shape[: a.ndim - i.rows.ndim])
        batch = np.broadcast_shapes(*batches)
        lanes = int(np.prod(batch))
        out = np.empty((lanes, self.outputs.size))
        if lanes:
            self.evaluate(self.bind(arguments, batch), out, threads)
        result = out.reshape(batch + self.outputs.shape)
        if self.truth:
            return result.astype(bool)[()]
        return result[()]

    def evaluate(self, inputs: list[NDArray[float64]], out: NDArray[float64], threads: int | None = None) -> None:
        """The outputs of every lane, into out (lanes, outputs); `inputs` come from `bind`."""
        tape = self.tape()

        def work(lo: int, hi: int) -> None:
            backend.evaluate(tape, inputs, lo, hi, tape.tile, out.T)

        _threads.run(work, len(out), threads, grain=max(4 * tape.tile, LEAST_WORK // (tape.code.size + 1)))

    def bind(self, arguments: Sequence[NDArray[float64]], batch: tuple[int, ...]) -> list[NDArray[float64]]:
        """Each input as (elements, lanes), a view where that is possible. Arguments have leading batch axes that
        broadcast to `batch`; captured arrays broadcast to it."""
        lanes = int(np.prod(batch))
        given = iter(arguments)
        bound = []
        for i in self.inputs:
            a = next(given) if i.captured is None else i.captured
            if a.size == i.rows.size:  # the same for all lanes
                bound.append(np.broadcast_to(a.reshape(-1, 1), (i.rows.size, lanes)))
            else:
                bound.append(np.broadcast_to(a, batch + i.rows.shape).reshape(lanes, i.rows.size).T)
        return bound

    def sample(
        self,
        tape: Tape,
        inputs: list[NDArray[float64]],
        h: NDArray[float64],
        offsets: NDArray[float64],
        out: NDArray[float64],
        *,
        variant: int = 0,
        lo: int = 0,
        direction: NDArray[float64] | None = None,
    ) -> None:
        """Sample lanes lo.. of one variant at x + t * h for every offset t: out[node, output, lane].

        `inputs` come from `bind`, h is (variants, lanes), offsets (nodes,), out (nodes, outputs, lanes of the tile)
        and C-contiguous. With a direction (variants, elements, lanes) the samples lie at x + (t * h) * direction.
        Releases the GIL and touches nothing but `out`.
        """
        backend.samples(tape, inputs, h, direction, variant, offsets, lo, lo + out.shape[2], out)

    def difference(
        self,
        tape: Tape,
        inputs: list[NDArray[float64]],
        h: NDArray[float64] | float,
        offsets: NDArray[float64],
        weights: NDArray[float64],
        divisor: float,
        n: int,
        out: NDArray[float64],
        *,
        direction: NDArray[float64] | None = None,
        threads: int | None = None,
    ) -> None:
        """The plain difference sum(weights * samples) / (divisor * h**n) of every variant, output and lane.

        out is (variants, outputs, lanes) with any strides. h is (variants, lanes), or a number: the rule of thumb at
        scale one, for variants of one row each. What is not finite becomes nan, but for n = 0. Cut by lanes, or by
        variants where lanes are few.
        """
        variants, _, lanes = out.shape
        step, unit = (h, 0.0) if isinstance(h, np.ndarray) else (None, h)

        def part(first: int, last: int, lo: int, hi: int) -> None:
            backend.difference(
                tape, inputs, step, unit, direction, offsets, weights, divisor, n, first, last, lo, hi, tape.tile, out
            )

        cost = offsets.size * (tape.code.size + 1)  # words of code for a tile, a measure of what it takes
        if lanes >= 4 * tape.tile:
            grain = max(2 * tape.tile, LEAST_WORK // cost)
            _threads.run(lambda lo, hi: part(0, variants, lo, hi), lanes, threads, grain)
        elif lanes:
            grain = max(1, variants * LEAST_WORK // (lanes * cost))
            _threads.run(lambda first, last: part(first, last, 0, lanes), variants, threads, grain)

    # --- printing ---

    def __str__(self) -> str:
        names: list[tuple[int, int, str]] = []  # first row, rows, name
        for i in self.inputs:
            names.append((int(i.rows.flat[0]), i.rows.size, i.name))
        lines = []
        for number, step in enumerate(self.steps):
            name = f"v{number}"
            size = f"  # {step.items} of them" if step.items > 1 and step.levels is None else ""
            if step.levels is None:
                shown = ", ".join(self._describe(rows, names) for rows in step.operands)
                if step.matrix is not None:
                    shown = f"{step.matrix.shape} matrix, {shown}"
            else:
                inner = np.unique(np.concatenate([rows[~np.isin(rows, step.out[0])] for rows in step.operands]))
                shown = self._describe(inner[inner >= 0], names)
            lines.append(f"{name} = {step.name}({shown}){size}")
            for k, out in enumerate(step.out):
                results = out
                if step.levels is not None and step.name != "cumsum":  # without partial results
                    results = out[~np.isin(out, np.concatenate(step.operands))]
                if results.size and results[-1] - results[0] + 1 == results.size:
                    names.append((int(results[0]), results.size, name))
                names.append((int(out.min()), int(out.max() - out.min()) + 1, name if k == 0 else f"{name}.{k}"))
        heads = ", ".join(f"{i.name}{list(i.rows.shape) if i.rows.ndim else ''}" for i in self.inputs)
        lines.append(f"return {self._describe(self.outputs.ravel(), names)}")
        return "\n".join([f"program({heads}):", *(f"    {line}" for line in lines)])

    def _describe(self, rows: Rows, names: list[tuple[int, int, str]]) -> str:
        if not rows.size:
            return "[]"
        if (rows == rows[0]).all():
            rows = rows[:1]
        if rows[0] < 0 and rows.size == 1:
            return f"{self.constants[-1 - rows[0]]:.6g}"
        if (rows < 0).all():
            return f"{rows.size} constants"
        begin, size, name = next((b, n, s) for b, n, s in names if b <= rows.max() < b + n)
        if rows.min() < begin:
            return f"[{rows.size} values]"
        if size == 1:
            return name
        if rows.size == 1:
            return f"{name}[{rows[0] - begin}]"
        jumps = np.unique(np.diff(rows))
        if jumps.size != 1:
            return f"{name}[{rows.size} of them]"
        if jumps[0] == 1 and rows.size == size:
            return name
        jump = f":{jumps[0]}" if jumps[0] != 1 else ""
        return f"{name}[{rows[0] - begin}:{rows[-1] - begin + 1}{jump}]"
