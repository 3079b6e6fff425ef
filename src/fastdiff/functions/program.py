"""Recorded functions: straight-line programs over rows, and what is replayed of them when inputs are perturbed.

A *row* is one number for every lane. Rows are counted from zero in the order in which they come into being: inputs and
results of steps. A negative row -1 - c is constant number c. A value of shape S is an array of rows of shape S, so
that indexing, reshaping, stacking and the like are book-keeping and cost nothing when the program runs.

Every row knows what it depends on. So when one input of many is perturbed, only the rows that depend on it are computed
again: a *variant* of the program, which reads all else from the base, computed once a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy import float64, int64
from numpy.typing import ArrayLike, NDArray

from ..kernels import backend
from . import threads as _threads

Rows = NDArray[int64]


class Native(Protocol):
    """A function in machine code: `words` are the fd_native of csrc/fastdiff.h; the rest is for the NumPy backend."""

    words: NDArray[np.intp]

    def fill(self, x: NDArray[float64], out: NDArray[float64]) -> None: ...
    def at_points(self, points: NDArray[float64], outputs: int) -> NDArray[float64]: ...


Loop = tuple[np.ufunc, int] | str | Native  # a ufunc and the number of its inner loop, or an inner loop of our own

SCALARS, DOUBLES, BOOLS, INPUTS = range(4)  # the spaces of csrc/fastdiff.h
LOOP, ADD, MATRIX, CALL = range(4)  # and its instructions

L1_BYTES, L2_BYTES = 32 << 10, 1 << 20  # what a tile may take of a first and of a second cache
LEAST_LANES, MOST_LANES = 256, 2048  # a tile with fewer lanes goes to the second cache; one with more gains nothing
TABLE_ENTRIES = 1 << 24  # variants * rows that are planned at a time


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


@dataclass(frozen=True)
class Tape:
    """What csrc/program.c replays; see csrc/fastdiff.h. Immutable, so threads share it."""

    code: Rows
    instructions: int
    loops: list[Loop]
    bound: Any
    scalars: NDArray[float64]
    matrices: NDArray[float64]
    output: Rows
    constant: Rows
    variant: Rows
    words: Rows
    input_row: list[int]
    doubles: int
    bools: int

    @property
    def tile(self) -> int:
        """Lanes at a time: as many as the first cache holds, or the second where that is too few."""
        lane = 8 * self.doubles + self.bools + 8
        small = L1_BYTES // lane
        if small >= LEAST_LANES:
            return min(small & -64, MOST_LANES)
        return max(16, min(L2_BYTES // lane & -16, LEAST_LANES))


class _Slots:
    """Room for blocks of rows; freed room is used again."""

    def __init__(self, size: int, free: Sequence[tuple[int, int]] = ()) -> None:
        self.size = size
        self.free = list(free)

    def take(self, n: int) -> int:
        for i, (begin, room) in enumerate(self.free):
            if room >= n:
                if room == n:
                    del self.free[i]
                else:
                    self.free[i] = (begin + n, room - n)
                return begin
        if self.free and self.free[-1][0] + self.free[-1][1] == self.size:
            begin, _ = self.free.pop()
        else:
            begin = self.size
        self.size = begin + n
        return begin

    def give(self, begin: int, n: int) -> None:
        self.free.append((begin, n))
        self.free.sort()
        joined: list[tuple[int, int]] = []
        for start, room in self.free:
            if joined and joined[-1][0] + joined[-1][1] == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((start, room))
        self.free = joined


@dataclass(frozen=True)
class _Work:
    """Items to be executed: parallel arrays, sorted by variant (0 is the base), step, item."""

    variant: Rows
    step: Rows
    item: Rows

    def of(self, step: int) -> slice:  # only before sorting by variant
        return slice(*np.searchsorted(self.step, [step, step + 1]))


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

    def _spread(self, variants: Sequence[Rows]) -> NDArray[np.uint64]:
        """For each row, one bit a variant: does the row change when the inputs of the variant do? One row more, all
        zero, stands for constants."""
        bits = np.zeros((self.rows + 1, (len(variants) + 63) // 64), np.uint64)
        for v, rows in enumerate(variants):
            bits[rows, v // 64] |= np.uint64(1 << v % 64)
        for step in self.steps:
            operands = [np.where(rows < 0, self.rows, rows) for rows in step.operands]
            if step.whole:
                seen = np.unpackbits(bits[operands[0]].view(np.uint8), axis=1, bitorder="little")
                matrix = np.ones((step.items, len(operands[0]))) if step.matrix is None else step.matrix
                hit = ((matrix != 0).astype(float) @ seen > 0).astype(np.uint8)
                bits[step.out[0]] = np.packbits(hit, axis=1, bitorder="little").view(np.uint64)
                continue
            for group in step.groups():
                changed = bits[operands[0][group]]
                for rows in operands[1:]:
                    changed = changed | bits[rows[group]]
                for out in step.out:
                    bits[out[group]] = changed
        return bits

    def pattern(self) -> tuple[Rows, Rows]:
        """Which output depends on which input: (outputs, inputs), one pair an entry, both flat, sorted by output.

        Examples
        --------
        >>> import fastdiff
        >>> program = fastdiff.trace(lambda x: x[1:] * x[0], [1.0, 2.0, 3.0])
        >>> [pair.tolist() for pair in program.pattern()]
        [[0, 0, 1, 1], [0, 1, 0, 2]]
        """
        rows = self.arguments
        pairs = []
        for begin in range(0, rows.size, 1024):
            bits = self._spread(list(rows[begin : begin + 1024, None]))
            out = np.where(self.outputs.ravel() < 0, self.rows, self.outputs.ravel())
            found = np.nonzero(np.unpackbits(bits[out].view(np.uint8), axis=1, bitorder="little"))
            pairs.append((found[0], found[1] + begin))
        out, arguments = (np.concatenate(part) for part in zip(*pairs, strict=True))
        order = np.lexsort((arguments, out))
        return out[order], arguments[order]

    @cached_property
    def arguments(self) -> Rows:
        """The rows of all arguments, flat."""
        return np.concatenate([i.rows.ravel() for i in self.inputs if i.captured is None])

    # --- compiling ---

    def tape(self, variants: Sequence[Rows] = (), *, values: bool = True) -> Tape:
        """The program with these variants: variant v perturbs the rows variants[v].

        Compiling takes memory and time like variants * rows; with more than TABLE_ENTRIES of them take the variants in
        blocks.

        With `values` the base computes the outputs too, as sampling at offset zero needs.
        """
        key = (values, *(rows.tobytes() for rows in variants))
        found = self._tapes.get(key)
        if found is None:
            if len(self._tapes) > 8:
                self._tapes.clear()
            found = self._tapes[key] = _Compiler(self, variants, values).tape()
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
            tape = self.tape()
            inputs = self.bind(arguments, batch)

            def work(lo: int, hi: int) -> None:
                backend.evaluate(tape, inputs, lo, hi, tape.tile, out.T)

            _threads.run(work, lanes, threads, grain=max(4 * tape.tile, 1 << 14))
        result = out.reshape(batch + self.outputs.shape)
        if self.truth:
            return result.astype(bool)[()]
        return result[()]

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
        h: NDArray[float64],
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

        out is (variants, outputs, lanes) with any strides. Cut by lanes, or by variants where lanes are few.
        """
        variants, _, lanes = out.shape

        def by_lanes(lo: int, hi: int) -> None:
            backend.difference(
                tape, inputs, h, direction, offsets, weights, divisor, n, 0, variants, lo, hi, tape.tile, out
            )

        def by_variants(first: int, last: int) -> None:
            backend.difference(
                tape, inputs, h, direction, offsets, weights, divisor, n, first, last, 0, lanes, tape.tile, out
            )

        work = offsets.size * (tape.code.size + 1)  # words of code for a tile, a measure of its cost
        if lanes >= 4 * tape.tile:
            _threads.run(by_lanes, lanes, threads, grain=max(2 * tape.tile, (1 << 16) // max(work, 1)))
        else:
            _threads.run(by_variants, variants, threads, grain=max(1, variants * (1 << 14) // (lanes * work)))

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


class _Compiler:
    """Makes a tape: what the base computes, what each variant computes again, and where everything lies."""

    def __init__(self, program: Program, variants: Sequence[Rows], values: bool) -> None:
        self.program, self.variants, self.values = program, [np.asarray(v, int64) for v in variants], values
        self.loops: list[Loop] = []
        self.matrices: list[NDArray[float64]] = []
        self.constant_slot: dict[int, int] = {}

    def tape(self) -> Tape:
        p = self.program
        changed = self._changed()
        outputs = p.outputs.ravel()
        base_live = self._base_live(changed, outputs)
        work = self._work(changed, base_live)
        self._place(work, changed, outputs)
        code, begins, counts = self._code(work)

        words: list[int] = []
        table = []
        for v, rows in enumerate(self.variants, 1):
            moves = len(words)
            for element, row in enumerate(rows.tolist()):
                words += [int(self.space[0, row]), int(self.slot[0, row]), int(self.slot[v, row]), element]
            table.append([begins[v], counts[v], moves, rows.size, len(words)])
            words += self._locate(v, outputs)
        base_outputs = np.array(self._locate(0, outputs), int64).reshape(-1, 2)
        offsets = np.cumsum([0, *(m.size for m in self.matrices)])
        assert len(offsets) == len(self.matrices) + 1
        return Tape(
            code=np.array(code, int64),
            instructions=counts[0],
            loops=self.loops,
            bound=backend.bind_loops(self.loops),
            scalars=p.constants,
            matrices=np.concatenate([np.empty(0), *(m.ravel() for m in self.matrices)]),
            output=base_outputs,
            constant=np.array([[s, c] for c, s in self.constant_slot.items()], int64).reshape(-1, 2),
            variant=np.array(table, int64).reshape(-1, 5),
            words=np.array(words, int64),
            input_row=self.input_row,
            doubles=self.doubles.size,
            bools=self.bools.size,
        )

    def _changed(self) -> NDArray[np.bool_]:
        """[variant, row]; one column more stands for constants."""
        if not self.variants:
            return np.zeros((0, self.program.rows + 1), bool)
        bits = self.program._spread(self.variants)
        return (
            np.unpackbits(bits.view(np.uint8), axis=1, count=len(self.variants), bitorder="little")
            .astype(bool)
            .T.copy()
        )

    def _index(self, rows: Rows) -> Rows:
        """Rows as an index into tables whose last column stands for constants."""
        return np.where(rows < 0, self.program.rows, rows)

    def _base_live(self, changed: NDArray[np.bool_], outputs: Rows) -> NDArray[np.bool_]:
        """Rows that the base computes."""
        p = self.program
        live = np.zeros(p.rows + 1, bool)
        outputs = self._index(outputs)
        if self.values or not self.variants:
            live[outputs] = True
        if self.variants:
            live[outputs] |= ~changed[:, outputs].all(axis=0)
        for step in p.steps:
            for rows in map(self._index, step.operands):
                if step.whole:
                    again = changed[changed[:, step.out[0]].any(axis=1)]
                    live[rows] |= ~again[:, rows].all(axis=0)
                else:
                    live[rows[(changed[:, step.out[0]] & ~changed[:, rows]).any(axis=0)]] = True
        live[-1] = False
        self.kept = live.copy()
        for step in reversed(p.steps):
            for group in reversed(step.groups()):
                wanted = np.logical_or.reduce([live[out[group]] for out in step.out])
                for rows in map(self._index, step.operands):
                    live[rows[group][wanted] if not step.whole else rows[: rows.size * wanted.any()]] = True
        live[-1] = False
        return live

    def _work(self, changed: NDArray[np.bool_], base_live: NDArray[np.bool_]) -> _Work:
        parts: list[tuple[Rows, Rows, Rows]] = []
        for s, step in enumerate(self.program.steps):
            out = [base_live[rows] for rows in step.out]
            here = np.concatenate([np.logical_or.reduce(out)[None], changed[:, step.out[0]]])
            if step.call:
                here |= here.any(axis=1, keepdims=True)
            variant, item = np.nonzero(here)
            parts.append((variant, np.full(variant.size, s), item))
        variant, step_, item = (
            (np.concatenate([np.empty(0, int64), *part]) for part in zip(*parts, strict=True))
            if parts
            else (np.empty(0, int64),) * 3
        )
        return _Work(variant, step_, item)

    def _place(self, work: _Work, changed: NDArray[np.bool_], outputs: Rows) -> None:
        """Room for every row of the base and of each variant: tables `space` and `slot`, [variant, row]."""
        p = self.program
        count = len(self.variants) + 1
        self.space = np.full((count, p.rows), DOUBLES, np.int8)
        self.space[:, p.bool_rows] = BOOLS
        self.slot = np.full((count, p.rows), -1, np.int32)
        self.doubles, self.bools = _Slots(0), _Slots(0)

        matrix = any(step.whole for step in p.steps)
        self.input_row = []
        for number, given in enumerate(p.inputs):
            if given.rows.size == 1 and not matrix:
                self.input_row.append(-1)
                self.space[:, given.rows.ravel()] = INPUTS + number
                self.slot[:, given.rows.ravel()] = 0
            else:
                begin = self.doubles.take(given.rows.size)
                self.input_row.append(begin)
                self.slot[:, given.rows.ravel()] = begin + np.arange(given.rows.size)
        points = [step.operands[0].size + step.items for step in p.steps if step.call]
        self.scratch = self.doubles.take(max(points)) if points else 0
        self.as_scalar: list[list[bool]] = []
        for step in p.steps:
            self.as_scalar.append([self._constant(step, k) for k in range(len(step.operands))])

        # when is the block of (variant, step) read for the last time?
        steps = len(p.steps)
        maker = np.full(p.rows, steps, int64)
        for s, step in enumerate(p.steps):
            for out in step.out:
                maker[out] = s
        last = np.zeros((count, steps + 1), int64)
        for s, step in enumerate(p.steps):
            here = work.of(s)
            variant, item = work.variant[here], work.item[here]
            for rows in step.operands:
                if step.whole:
                    for v in np.unique(variant):
                        np.maximum.at(last[v], maker[rows[rows >= 0]], s)
                    continue
                read = rows[item]
                own = read >= 0
                np.maximum.at(last, (variant[own], maker[read[own]]), s)
        for v in range(count):
            ends = outputs[outputs >= 0]
            if v == 0:
                last[0, maker[self.kept[: p.rows].nonzero()[0]]] = steps
                if self.values or not self.variants:
                    last[0, maker[ends]] = steps
            else:
                last[v, maker[ends]] = steps

        # blocks, in order of time
        key = work.variant * (steps + 1) + work.step
        order = np.argsort(key, kind="stable")
        self.order = order
        blocks, begins = np.unique(key[order], return_index=True)
        ends_ = np.append(begins, key.size)[1:]
        sizes = ends_ - begins
        first_out = np.empty(key.size, int64)  # the row that the first result of each item is
        for s, step in enumerate(p.steps):
            here = work.of(s)
            first_out[here] = step.out[0][work.item[here]]
        variant_sorted, item_sorted = work.variant[order], work.item[order]
        self.space[1:] = np.where(changed[:, :-1] & ~p.bool_rows, DOUBLES, self.space[0])

        spaces = [BOOLS if p.bool_rows[step.out[0][0]] else DOUBLES for step in p.steps]
        many = [len(step.out) > 1 for step in p.steps]
        lasts = last.tolist()
        at = [0] * blocks.size
        variants, steps_ = (blocks // (steps + 1)).tolist(), (blocks % (steps + 1)).tolist()
        room = {DOUBLES: self.doubles, BOOLS: self.bools}
        dying: list[list[tuple[_Slots, int, int]]] = [[] for _ in range(steps + 1)]
        done, current = 0, 0
        after_base = {k: (r.size, list(r.free)) for k, r in room.items()}

        def enter(v: int) -> None:
            """Variants use the same room, one after the other, behind what the base keeps."""
            nonlocal room, dying, done
            room = {k: _Slots(*after_base[k]) for k in room}
            dying, done = [[] for _ in range(steps + 1)], 0
            rows = self.variants[v - 1]
            begin = room[DOUBLES].take(rows.size)
            self.slot[v, rows] = begin + np.arange(rows.size)
            dying[lasts[v][steps]].append((room[DOUBLES], begin, rows.size))

        def leave(v: int) -> None:
            nonlocal after_base
            if v == 0:
                for ended in dying[done:steps]:
                    for slots, begin, n in ended:
                        slots.give(begin, n)
                after_base = {k: (r.size, list(r.free)) for k, r in room.items()}
            self.doubles.size = max(self.doubles.size, room[DOUBLES].size)
            self.bools.size = max(self.bools.size, room[BOOLS].size)

        for i, (v, s, n) in enumerate(zip(variants, steps_, sizes.tolist(), strict=True)):
            while current < v:
                leave(current)
                current += 1
                enter(current)
            for ended in dying[done:s]:
                for slots, begin, size in ended:
                    slots.give(begin, size)
            done = s
            slots = room[spaces[s]]
            end = max(lasts[v][s], s)
            at[i] = slots.take(n)
            dying[end].append((slots, at[i], n))
            if many[s]:
                items = item_sorted[begins[i] : ends_[i]]
                for out in p.steps[s].out[1:]:
                    begin = slots.take(n)
                    self.slot[v, out[items]] = begin + np.arange(n)
                    dying[end].append((slots, begin, n))
        while current < count - 1:
            leave(current)
            current += 1
            enter(current)
        leave(current)
        self.slot[variant_sorted, first_out[order]] = (
            np.repeat(at, sizes) + np.arange(key.size) - np.repeat(begins, sizes)
        )
        self.slot[1:] = np.where(changed[:, :-1], self.slot[1:], self.slot[0])

    def _constant(self, step: Step, k: int) -> bool:
        """Whether constants of an operand are read with stride zero; otherwise they get rows of their own."""
        rows = step.operands[k]
        constants = rows[rows < 0]
        if not constants.size:
            return True
        plain = isinstance(step.loop, tuple) and step.loop[0] is np.power  # its loop looks at the stride
        full = step.whole or (step.levels is not None and step.name in ("sum", "cumsum"))
        if not full and ((step.single and step.single[k]) or (not plain and (constants == rows[0]).all())):
            return True
        for c in np.unique(-1 - constants).tolist():
            if c not in self.constant_slot:
                self.constant_slot[c] = self.doubles.take(1)
        return False

    def _locate(self, variant: int, rows: Rows) -> list[int]:
        """Space and slot of each row."""
        found = []
        for row in rows.tolist():
            if row < 0:
                found += [SCALARS, -1 - row]
            else:
                found += [int(self.space[variant, row]), int(self.slot[variant, row])]
        return found

    def _loop(self, loop: Loop) -> int:
        if loop not in self.loops:
            self.loops.append(loop)
        return self.loops.index(loop)

    def _code(self, work: _Work) -> tuple[list[int], list[int], list[int]]:
        """Instructions, and for each variant where they begin and how many there are."""
        p = self.program
        total = work.item.size
        width = max([len(s.operands) + len(s.out) for s in p.steps], default=1)
        space = np.zeros((total, width), np.int8)
        slot = np.zeros((total, width), int64)
        group = np.zeros(total, int64)
        for s, step in enumerate(p.steps):
            here = work.of(s)
            variant, item = work.variant[here], work.item[here]
            if step.levels is not None:
                group[here] = np.searchsorted(step.levels, item, side="right")
            columns: list[Rows] = [] if step.whole else list(step.operands)
            for k, rows in enumerate([*columns, *step.out]):
                read = rows[item]
                constant = read < 0
                row = np.where(constant, 0, read)
                space[here, k] = self.space[variant, row]
                slot[here, k] = self.slot[variant, row]
                if constant.any():
                    number = -1 - read[constant]
                    if self.as_scalar[s][k]:
                        found_space, found_slot = SCALARS, number
                    else:
                        lookup = np.zeros(len(p.constants), int64)
                        for c, at in self.constant_slot.items():
                            lookup[c] = at
                        found_space, found_slot = DOUBLES, lookup[number]
                    space[here, k] = np.where(constant, found_space, space[here, k])
                    slot[np.arange(here.start, here.stop)[constant], k] = found_slot

        order = self.order
        variant, step_, item = work.variant[order], work.step[order], work.item[order]
        space, slot, group = space[order], slot[order], group[order]
        fresh = np.ones(total, bool)  # a new instruction begins
        fresh[1:] = (variant[1:] != variant[:-1]) | (step_[1:] != step_[:-1]) | (space[1:] != space[:-1]).any(axis=1)
        moved = np.where((space[1:] == SCALARS) | (space[1:] >= INPUTS), 0, 1)
        # a new run begins; columns that a step does not use say nothing about it
        pad = np.array([len(s.operands) * (not s.whole) + len(s.out) for s in p.steps] or [0])
        used = np.arange(width) < pad[step_][:, None] if total else np.zeros((0, width), bool)
        broken = fresh.copy()
        broken[1:] |= (((slot[1:] - slot[:-1]) != moved) & used[1:]).any(axis=1)
        broken[1:] |= group[1:] != group[:-1]
        # several rows read from one direct input, or one row next to another with stride zero: one row at a time
        broken |= ((space >= INPUTS) & used).any(axis=1)

        code: list[int] = []
        begins, counts = [0] * (len(self.variants) + 1), [0] * (len(self.variants) + 1)
        seen = -1
        starts = np.flatnonzero(fresh)
        ends = np.append(starts, total)[1:]
        runs = np.flatnonzero(broken)
        lengths = np.diff(np.append(runs, total))
        first_run = np.searchsorted(runs, starts)
        last_run = np.searchsorted(runs, ends)
        slots = slot[runs].tolist()
        spaces = space[starts].tolist()
        lengths_ = lengths.tolist()
        variants, steps = variant[starts].tolist(), step_[starts].tolist()
        for i, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            v, step = variants[i], p.steps[steps[i]]
            while seen < v:
                seen += 1
                begins[seen] = len(code)
            counts[v] += 1
            if step.whole:
                columns_ = step.operands[0]
                places = []
                for row in columns_.tolist():
                    places.append(int(self.slot[v, row]) if row >= 0 else self.constant_slot[-1 - row])
                if step.matrix is None:
                    code += [CALL, self._loop(step.loop), len(places), b - a, self.scratch, *places]
                    code += slot[a:b, 0].tolist()
                    continue
                offset = sum(m.size for m in self.matrices)
                for j, m in enumerate(self.matrices):
                    if m is step.matrix:
                        offset = sum(k.size for k in self.matrices[:j])
                        break
                else:
                    self.matrices.append(step.matrix)
                code += [MATRIX, offset, len(places), b - a, *places]
                code += np.stack([item[a:b], slot[a:b, 0]], axis=1).ravel().tolist()
                continue
            k = pad[steps[i]]
            count = int(last_run[i] - first_run[i])
            if step.name in ("sum", "cumsum") and spaces[i][:k] == [DOUBLES] * 3 and 3 * count > b - a:
                code += [ADD, b - a, *slot[a:b, :3].ravel().tolist()]
                continue
            code += [LOOP, self._loop(step.loop), int(k), count, *spaces[i][:k]]
            for r in range(first_run[i], last_run[i]):
                code.append(lengths_[r])
                code += slots[r][:k]
        while seen < len(self.variants):
            seen += 1
            begins[seen] = len(code)
        return code, begins, counts
