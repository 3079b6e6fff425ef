"""Compiles programs for replay: what is computed again when inputs are perturbed, and where every row lies.

Most rows depend on few of the inputs. So what depends on what is kept as lists, and compiling takes time like the number
of rows that change, summed over the variants.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

from ..kernels import backend

if TYPE_CHECKING:
    from .program import Loop, Program, Rows, Step

SCALARS, DOUBLES, BOOLS, INPUTS = range(4)  # the spaces of csrc/fastdiff.h
LOOP, ADD, MATRIX, CALL = range(4)  # and its instructions

L1_BYTES, L2_BYTES = 32 << 10, 1 << 20  # what a tile may take of a first and of a second cache
LEAST_LANES, MOST_LANES = 256, 2048  # a tile with fewer lanes goes to the second cache; one with more gains nothing

SHARED, SHARED_WORDS = 64, 1 << 14  # tapes that are kept for programs to come, and how long one may be


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
class Dependence:
    """The variants that each row changes with: count[row] of them, ascending, in `pool` from start[row] on. One row more
    stands for constants."""

    start: Rows
    count: Rows
    pool: Rows

    def pairs(self, rows: Rows) -> tuple[Rows, Rows]:
        """Positions in `rows`, and for each in turn the variants that it changes with."""
        index = np.where(rows < 0, len(self.start) - 1, rows)
        count = self.count[index]
        return np.repeat(np.arange(rows.size), count), self.pool[_spans(self.start[index], count)]


def _spans(start: Rows, count: Rows) -> Rows:
    """The numbers start[i], start[i] + 1, ... of every span, one after the other."""
    ends = np.cumsum(count)
    spans: Rows = np.repeat(start - (ends - count), count) + np.arange(ends[-1] if len(ends) else 0)
    return spans


def dependence(program: Program, variants: Sequence[Rows]) -> Dependence:
    """What changes when the rows of each variant do."""
    many = max(len(variants), 1)
    start, count = np.zeros((2, program.rows + 1), int64)
    pool, used = np.empty(1024, int64), 0

    def add(values: Rows) -> int:
        nonlocal pool, used
        begin, used = used, used + values.size
        if used > pool.size:
            pool = np.concatenate([pool, np.empty(2 * used - pool.size, int64)])
        pool[begin:used] = values
        return begin

    def union(s: Rows, c: Rows, t: Rows, d: Rows) -> tuple[Rows, Rows]:
        """The spans s, c joined with the spans t, d: mostly one of them."""
        s, c, both = np.where(c == 0, t, s), np.where(c == 0, d, c), (c > 0) & (d > 0) & ((s != t) | (c != d))
        if both.any():
            i = np.flatnonzero(both)
            values = pool[np.concatenate([_spans(s[i], c[i]), _spans(t[i], d[i])])]
            items = np.concatenate([np.repeat(np.arange(i.size), c[i]), np.repeat(np.arange(i.size), d[i])])
            found = np.unique(items * many + values)
            c[i] = np.bincount(found // many, minlength=i.size)
            s[i] = add(found % many) + np.cumsum(c[i]) - c[i]
        return s, c

    moved = np.concatenate([np.empty(0, int64), *variants])
    of = np.repeat(np.arange(len(variants)), [len(rows) for rows in variants])
    order = np.argsort(moved, kind="stable")
    rows, begins, sizes = np.unique(moved[order], return_index=True, return_counts=True)
    start[rows], count[rows] = add(of[order]) + begins, sizes
    for step in program.steps:
        operands = [np.where(rows < 0, program.rows, rows) for rows in step.operands]
        if step.whole:
            needed = np.ones((1, operands[0].size), bool) if step.matrix is None else step.matrix != 0
            patterns, which = np.unique(needed, axis=0, return_inverse=True)
            spans = []
            for pattern in patterns:
                read = operands[0][pattern]
                found = np.unique(pool[_spans(start[read], count[read])])
                spans.append((add(found), found.size))
            each = np.array(spans, int64)[np.broadcast_to(which.ravel(), step.items)]
            start[step.out[0]], count[step.out[0]] = each.T
            continue
        for group in step.groups():
            s, c = start[operands[0][group]], count[operands[0][group]]
            for rows in operands[1:]:
                s, c = union(s, c, start[rows[group]], count[rows[group]])
            for out in step.out:
                start[out[group]], count[out[group]] = s, c
    return Dependence(start, count, pool[:used])


_shared: dict[Hashable, Tape] = {}


def compiled(program: Program, variants: Sequence[Rows], values: bool) -> Tape:
    """The tape of a program with these variants; see `Program.tape`.

    Programs that differ in their constants alone, or in the C function that is their only step, share one, so that a
    function that is recorded at every call is compiled at the first.
    """
    layout = _layout(program)
    key = None if layout is None else (layout, values, *(rows.tobytes() for rows in variants))
    found = None if key is None else _shared.get(key)
    native = [step.loop for step in program.steps if _calls_c(step)]
    if found is not None:
        loops = native or found.loops
        return replace(found, scalars=program.constants, loops=loops, bound=backend.bind_loops(loops))
    tape = _Compiler(program, variants, values).tape()
    if key is not None and tape.code.size + tape.words.size + tape.output.size <= SHARED_WORDS:
        if len(_shared) >= SHARED:
            _shared.clear()
        _shared[key] = replace(tape, scalars=np.empty(0), loops=[] if native else tape.loops, bound=None)
    return tape


def _calls_c(step: Step) -> bool:
    return not isinstance(step.loop, (tuple, str))


def _layout(program: Program) -> Hashable | None:
    """All that a tape depends on but the variants and the constants; None where a matrix of the user's is a part of it, or
    it would be long."""
    if any(step.matrix is not None for step in program.steps):
        return None
    if program.rows + sum(rows.size for s in program.steps for rows in (*s.operands, *s.out)) > SHARED_WORDS:
        return None
    steps = tuple(
        (
            s.name,
            None if _calls_c(s) else s.loop,
            s.call,
            s.single,
            s.levels,
            *(rows.tobytes() for rows in (*s.operands, *s.out)),
            len(s.out),
        )
        for s in program.steps
    )
    inputs = tuple(i.rows.tobytes() for i in program.inputs)
    return steps, inputs, program.outputs.tobytes(), program.bool_rows.tobytes()


@dataclass(frozen=True)
class _Work:
    """Items to be executed: parallel arrays, sorted by step, variant (0 is the base), item."""

    variant: Rows
    step: Rows
    item: Rows

    def of(self, step: int) -> slice:
        return slice(*np.searchsorted(self.step, [step, step + 1]))


class _Compiler:
    """Makes a tape: what the base computes, what each variant computes again, and where everything lies."""

    def __init__(self, program: Program, variants: Sequence[Rows], values: bool) -> None:
        self.program, self.variants, self.values = program, [np.asarray(v, int64) for v in variants], values
        self.loops: list[Loop] = []
        self.matrices: list[NDArray[float64]] = []
        self.constant_slot: dict[int, int] = {}

    def tape(self) -> Tape:
        p = self.program
        self.changes = dependence(p, self.variants)
        outputs = p.outputs.ravel()
        base_live = self._base_live(outputs)
        work = self._work(base_live)
        self._place(work, outputs)
        code, begins, counts = self._code(work)

        count = len(self.variants)
        every = np.repeat(np.arange(count + 1), outputs.size), np.tile(outputs, count + 1)
        places = np.stack(self._located(*every), axis=-1).reshape(count + 1, -1)
        words: list[int] = []
        table = []
        for v, rows in enumerate(self.variants, 1):
            moves = len(words)
            to = self._slots(np.full(rows.size, v), rows).tolist()
            for element, (row, slot) in enumerate(zip(rows.tolist(), to, strict=True)):
                words += [int(self.space[row]), int(self.slot[row]), slot, element]
            table.append([begins[v], counts[v], moves, rows.size, len(words)])
            words += places[v].tolist()
        return Tape(
            code=np.array(code, int64),
            instructions=counts[0],
            loops=self.loops,
            bound=backend.bind_loops(self.loops),
            scalars=p.constants,
            matrices=np.concatenate([np.empty(0), *(m.ravel() for m in self.matrices)]),
            output=places[0].reshape(-1, 2).copy(),
            constant=np.array([[s, c] for c, s in self.constant_slot.items()], int64).reshape(-1, 2),
            variant=np.array(table, int64).reshape(-1, 5),
            words=np.array(words, int64),
            input_row=self.input_row,
            doubles=self.doubles.size,
            bools=self.bools.size,
        )

    def _index(self, rows: Rows) -> Rows:
        """Rows as an index into tables whose last entry stands for constants."""
        return np.where(rows < 0, self.program.rows, rows)

    def _base_live(self, outputs: Rows) -> NDArray[np.bool_]:
        """Rows that the base computes: those that a variant reads and does not change, and what they are made of."""
        p, count, all_ = self.program, self.changes.count, len(self.variants)
        live = np.zeros(p.rows + 1, bool)
        outputs = self._index(outputs)
        live[outputs] = self.values or not self.variants or count[outputs] < all_
        for step in p.steps:
            changed = count[step.out[0]]
            for rows in map(self._index, step.operands):
                # what changes an operand changes the result, so fewer changes are other ones
                if not step.whole:
                    live[rows[count[rows] < changed]] = True
                elif changed.any():
                    live[rows[count[rows] < all_]] = True
        live[-1] = False
        self.kept = live[:-1].copy()
        for step in reversed(p.steps):
            for group in reversed(step.groups()):
                wanted = np.logical_or.reduce([live[out[group]] for out in step.out])
                for rows in map(self._index, step.operands):
                    live[rows[group][wanted] if not step.whole else rows[: rows.size * wanted.any()]] = True
        live[-1] = False
        return live

    def _work(self, base_live: NDArray[np.bool_]) -> _Work:
        parts: list[tuple[Rows, Rows, Rows]] = [(np.empty(0, int64),) * 3]
        for s, step in enumerate(self.program.steps):
            base = np.flatnonzero(np.logical_or.reduce([base_live[rows] for rows in step.out]))
            if step.call and base.size:
                base = np.arange(step.items)
            item, variant = self.changes.pairs(step.out[0])
            order = np.lexsort((item, variant))
            item, variant = np.concatenate([base, item[order]]), np.concatenate([0 * base, variant[order] + 1])
            parts.append((variant, np.full(variant.size, s), item))
        return _Work(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    # --- where rows lie: in the base, at `space` and `slot`; what a variant changes, at `moved_slot` by `moved_key` ---

    def _find(self, variant: Rows, rows: Rows) -> tuple[NDArray[np.bool_], Rows]:
        """Whether a variant changes a row, and where that stands among all that is changed."""
        key = (variant - 1) * self.program.rows + rows
        at = np.minimum(np.searchsorted(self.moved_key, key), max(self.moved_key.size - 1, 0))
        if not self.moved_key.size:
            return np.zeros(key.shape, bool), at
        return (variant > 0) & (self.moved_key[at] == key), at

    def _slots(self, variant: Rows, rows: Rows) -> Rows:
        changed, at = self._find(variant, rows)
        return np.where(changed, self.moved_slot[at], self.slot[rows]) if self.moved_slot.size else self.slot[rows]

    def _located(self, variant: Rows, rows: Rows) -> tuple[Rows, Rows]:
        """Space and slot of each row; of constants, their number."""
        constant = rows < 0
        plain = np.where(constant, 0, rows)
        if not self.program.rows:
            return np.full(rows.shape, SCALARS), -1 - rows
        changed, at = self._find(variant, plain)
        space, slot = self.space[plain], self.slot[plain]
        if self.moved_slot.size:
            slot = np.where(changed, self.moved_slot[at], slot)
            space = np.where(changed & (space != BOOLS), DOUBLES, space)
        return np.where(constant, SCALARS, space), np.where(constant, -1 - rows, slot)

    def _put(self, variant: Rows, rows: Rows, slots: Rows) -> None:
        changed, at = self._find(variant, rows)
        self.moved_slot[at[changed]] = slots[changed]
        self.slot[rows[~changed]] = slots[~changed]

    def _place(self, work: _Work, outputs: Rows) -> None:
        """Room for every row of the base and of each variant."""
        p = self.program
        count = len(self.variants) + 1
        self.space = np.full(p.rows, DOUBLES, int64)
        self.space[p.bool_rows] = BOOLS
        self.slot = np.full(p.rows, -1, int64)
        row, variant = self.changes.pairs(np.arange(p.rows))
        self.moved_key = np.sort(variant * p.rows + row)
        self.moved_slot = np.full(self.moved_key.size, -1, int64)
        self.doubles, self.bools = _Slots(0), _Slots(0)

        whole = any(step.whole for step in p.steps)
        self.input_row = []
        for number, given in enumerate(p.inputs):
            if given.rows.size == 1 and not whole:
                self.input_row.append(-1)
                self.space[given.rows.ravel()] = INPUTS + number
                self.slot[given.rows.ravel()] = 0
            else:
                begin = self.doubles.take(given.rows.size)
                self.input_row.append(begin)
                self.slot[given.rows.ravel()] = begin + np.arange(given.rows.size)
        points = [step.operands[0].size + step.items for step in p.steps if step.call]
        self.scratch = self.doubles.take(max(points)) if points else 0
        self.as_scalar = [[self._constant(step, k) for k in range(len(step.operands))] for step in p.steps]

        last = self._last(work, outputs)
        # blocks, in order of time
        steps = len(p.steps)
        key = work.variant * (steps + 1) + work.step
        self.order = order = np.argsort(key, kind="stable")
        blocks, begins = np.unique(key[order], return_index=True)
        ends = np.append(begins, key.size)[1:]
        first_out = np.empty(key.size, int64)  # the row that the first result of each item is
        for s, step in enumerate(p.steps):
            here = work.of(s)
            first_out[here] = step.out[0][work.item[here]]

        spaces = [BOOLS if p.bool_rows[step.out[0][0]] else DOUBLES for step in p.steps]
        room = {DOUBLES: self.doubles, BOOLS: self.bools}
        dying: list[tuple[int, int, int, int]] = []  # step, space, begin, rows
        after_base: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        slots = np.empty(key.size, int64)
        current, v = -1, 0

        def take(space: int, rows: int, end: int) -> int:
            begin = room[space].take(rows)
            if end < steps:  # else to the end of the variant
                heapq.heappush(dying, (end, space, begin, rows))
            return begin

        def free(now: int) -> None:
            while dying and dying[0][0] < now:
                _, space, begin, rows = heapq.heappop(dying)
                room[space].give(begin, rows)

        def begin_variant(number: int) -> None:
            """Variants use the same room, one after the other, behind what the base keeps."""
            nonlocal room, dying, after_base
            if number == 1:
                free(steps)
                after_base = {k: (r.size, list(r.free)) for k, r in room.items()}
            self.doubles.size = max(self.doubles.size, room[DOUBLES].size)
            self.bools.size = max(self.bools.size, room[BOOLS].size)
            if number:
                room, dying = {k: _Slots(*after_base[k]) for k in room}, []
                rows = self.variants[number - 1]
                self._put(
                    np.full(rows.size, number),
                    rows,
                    take(DOUBLES, rows.size, last[number][steps]) + np.arange(rows.size),
                )

        for block, begin, end in zip(blocks.tolist(), begins.tolist(), ends.tolist(), strict=True):
            v, s = divmod(block, steps + 1)
            while current < v:
                current += 1
                begin_variant(current)
            free(s)
            until = max(last[v][s], s)
            slots[begin:end] = take(spaces[s], end - begin, until) + np.arange(end - begin)
            for out in p.steps[s].out[1:]:
                rows = out[work.item[order[begin:end]]]
                self._put(np.full(rows.size, v), rows, take(spaces[s], rows.size, until) + np.arange(rows.size))
        while current < count:
            current += 1
            if current < count:
                begin_variant(current)
        self.doubles.size = max(self.doubles.size, room[DOUBLES].size)
        self.bools.size = max(self.bools.size, room[BOOLS].size)
        self._put(work.variant[order], first_out[order], slots)

    def _last(self, work: _Work, outputs: Rows) -> list[list[int]]:
        """When the results of each step, and last of all the inputs, are read for the last time, by variant."""
        p = self.program
        steps = len(p.steps)
        last = np.zeros((len(self.variants) + 1, steps + 1), int64)
        maker = np.full(p.rows, steps, int64)
        for s, step in enumerate(p.steps):
            for out in step.out:
                maker[out] = s
        for s, step in enumerate(p.steps):
            here = work.of(s)
            variant, item = work.variant[here], work.item[here]
            for rows in step.operands:
                if step.whole:
                    makers = np.unique(maker[rows[rows >= 0]])
                    last[np.unique(variant)[:, None], makers] = s
                else:
                    read = rows[item]
                    own = read >= 0
                    last[variant[own], maker[read[own]]] = s
        kept = outputs[outputs >= 0]
        last[1:, maker[kept]] = steps
        last[0, maker[self.kept.nonzero()[0]]] = steps
        if self.values or not self.variants:
            last[0, maker[kept]] = steps
        found: list[list[int]] = last.tolist()
        return found

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
            for k, rows in enumerate([*(() if step.whole else step.operands), *step.out]):
                read = rows[item]
                space[here, k], slot[here, k] = self._located(variant, read)
                constant = np.flatnonzero(read < 0)
                if constant.size and not self.as_scalar[s][k]:  # it has rows of its own
                    number, which = np.unique(-1 - read[constant], return_inverse=True)
                    space[constant + here.start, k] = DOUBLES
                    slot[constant + here.start, k] = np.array([self.constant_slot[c] for c in number.tolist()])[which]

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
                columns = step.operands[0]
                found, constants = self._slots(np.full(columns.size, v), np.maximum(columns, 0)), columns < 0
                places = found.tolist()
                for c in np.flatnonzero(constants).tolist():
                    places[c] = self.constant_slot[-1 - int(columns[c])]
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
