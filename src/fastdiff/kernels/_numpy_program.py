"""csrc/program.c in NumPy: recorded programs, with NumPy's own calls in place of their inner loops."""

from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

_LOOP, _ADD, _MATRIX, _CALL = range(4)
_SCALARS, _DOUBLES, _BOOLS, _INPUTS = range(4)


def _where(choice: Any, a: Any, b: Any, out: Any) -> None:
    out[...] = np.where(choice, a, b)


def _copy(a: Any, out: Any) -> None:
    np.copyto(out, a)


def _power(a: Any, b: Any, out: Any) -> None:
    a, b, _ = np.broadcast_arrays(a, b, out)
    out[...] = np.array([x**y for x, y in zip(a.ravel(), b.ravel(), strict=True)]).reshape(out.shape)


def _number(a: Any, out: Any) -> None:
    np.copyto(out, a)


def _truth(a: Any, out: Any) -> None:
    np.not_equal(a, 0, out=out)


_OWN = {"where": _where, "copy": _copy, "power": _power, "number": _number, "truth": _truth}


def bind_loops(loops: list[Any]) -> Any:
    """What `Tape.bound` holds: for each loop a function of its operands, with the types that belong to them."""
    bound = []
    for loop in loops:
        if isinstance(loop, str):
            bound.append((_OWN[loop], 0, "?ddd" if loop == "where" else "?d" if loop == "number" else "ddd"))
        elif not isinstance(loop, tuple):
            bound.append((loop.fill, 0, "dd"))
        else:
            ufunc, number = loop
            bound.append((ufunc, ufunc.nout, ufunc.types[number].replace("->", "")))
    return bound


class _Replay:
    """The rows of one tile."""

    def __init__(self, tape: Any, inputs: list[NDArray[float64]], lo: int, hi: int) -> None:
        self.tape, self.n = tape, hi - lo
        self.doubles = np.empty((tape.doubles, hi - lo))
        self.bools = np.empty((tape.bools, hi - lo), bool)
        self.inputs = [a[:, lo:hi] for a in inputs]
        for a, row in zip(self.inputs, tape.input_row, strict=True):
            if row >= 0:
                self.doubles[row : row + len(a)] = a
        for row, constant in tape.constant.tolist():
            self.doubles[row] = tape.scalars[constant]
        self.run(0, tape.instructions)

    def rows(self, space: int, row: int, count: int, char: str = "d") -> Any:
        if space == _SCALARS:
            return self.tape.scalars[row : row + 1].view({"d": float64, "?": bool, "l": np.int64}[char])[0]
        if space >= _INPUTS:
            return self.inputs[space - _INPUTS][0]
        part = (self.doubles if space == _DOUBLES else self.bools)[row : row + count]
        return part.reshape(-1)

    def run(self, at: int, instructions: int) -> None:
        code = self.tape.code
        for _ in range(instructions):
            kind = code[at]
            if kind == _LOOP:
                number, operands, runs = code[at + 1 : at + 4].tolist()
                spaces = code[at + 4 : at + 4 + operands].tolist()
                function, nout, chars = self.tape.bound[number]
                at += 4 + operands
                for _ in range(runs):
                    count, *rows = code[at : at + 1 + operands].tolist()
                    a = [self.rows(s, r, count, c) for s, r, c in zip(spaces, rows, chars, strict=False)]
                    if nout:
                        function(*a[:-nout], out=tuple(a[-nout:]))
                    else:
                        function(*a)
                    at += 1 + operands
            elif kind == _ADD:
                items = int(code[at + 1])
                for a, b, out in code[at + 2 : at + 2 + 3 * items].reshape(-1, 3).tolist():
                    np.add(self.doubles[a], self.doubles[b], out=self.doubles[out])
                at += 2 + 3 * items
            elif kind == _CALL:
                number, d, m, _ = code[at + 1 : at + 5].tolist()
                rows = code[at + 5 : at + 5 + d + m]
                self.doubles[rows[d:]] = self.tape.bound[number][0].__self__.at_points(self.doubles[rows[:d]].T, m).T
                at += 5 + d + m
            else:
                offset, columns, items = code[at + 1 : at + 4].tolist()
                at += 4
                sources = code[at : at + columns].tolist()
                at += columns
                index, out = code[at : at + 2 * items].reshape(-1, 2).T
                place = offset + index * columns
                total = np.zeros((items, self.n))
                for k, row in enumerate(sources):
                    total += self.tape.matrices[place + k, None] * self.doubles[row]
                self.doubles[out] = total
                at += 2 * items

    def outputs(self, places: NDArray[Any], out: NDArray[float64]) -> None:
        for o, (space, row) in enumerate(places.tolist()):
            out[o] = self.rows(space, row, 1)

    def moved(self, variant: int) -> Any:
        """The input that a variant perturbs; None if there are several."""
        _, _, moves, count, _ = self.tape.variant[variant].tolist()
        space, row, _, _ = self.tape.words[moves : moves + 4].tolist()
        return np.broadcast_to(self.rows(space, row, 1), self.n) if count == 1 else None

    def variant(
        self, variant: int, h: NDArray[float64], direction: NDArray[float64] | None, t: float, lo: int
    ) -> NDArray[Any]:
        """Run a variant at x + t * h, h for the lanes of the tile; gives the places of its outputs."""
        tape = self.tape
        if t == 0:
            return np.asarray(tape.output)
        code, instructions, moves, count, output = tape.variant[variant].tolist()
        for space, row, to, element in tape.words[moves : moves + 4 * count].reshape(-1, 4).tolist():
            step = t * h
            if direction is not None:
                step = step * direction[variant, element, lo : lo + self.n]
            np.add(self.rows(space, row, 1), step, out=self.doubles[to])
        self.run(code, instructions)
        return np.asarray(tape.words[output : output + 2 * len(tape.output)].reshape(-1, 2))


def evaluate(tape: Any, inputs: list[NDArray[float64]], lo: int, hi: int, tile: int, out: NDArray[float64]) -> None:
    """out[output, lane] for lanes lo..hi, `tile` of them at a time."""
    with np.errstate(all="ignore"):
        for begin in range(lo, hi, tile):
            end = min(begin + tile, hi)
            _Replay(tape, inputs, begin, end).outputs(tape.output, out[:, begin:end])


def samples(
    tape: Any,
    inputs: list[NDArray[float64]],
    h: NDArray[float64],
    direction: NDArray[float64] | None,
    variant: int,
    offsets: NDArray[float64],
    lo: int,
    hi: int,
    out: NDArray[float64],
) -> None:
    """out[node, output, lane] for one tile, the lanes lo..hi, of one variant at the offsets times h."""
    with np.errstate(all="ignore"):
        replay = _Replay(tape, inputs, lo, hi)
        for t, samples in zip(offsets.tolist(), out, strict=True):
            replay.outputs(replay.variant(variant, h[variant, lo:hi], direction, t, lo), samples)


def difference(
    tape: Any,
    inputs: list[NDArray[float64]],
    h: NDArray[float64] | None,
    unit: float,
    direction: NDArray[float64] | None,
    offsets: NDArray[float64],
    weights: NDArray[float64],
    divisor: float,
    n: int,
    first: int,
    last: int,
    lo: int,
    hi: int,
    tile: int,
    out: NDArray[float64],
) -> None:
    """out[variant, output, lane] = sum(weights * samples) / (divisor * h * ... * h), n factors, for variants first..last
    and lanes lo..hi; nan where it is not finite, but for n zero. See csrc/fastdiff.h."""
    with np.errstate(all="ignore"):
        for begin in range(lo, hi, tile):
            end = min(begin + tile, hi)
            replay = _Replay(tape, inputs, begin, end)
            samples, total = np.empty((2, len(tape.output), end - begin))
            for v in range(first, last):
                at = replay.moved(v) if direction is None else None
                step = _thumb(at, unit) if h is None else h[v, begin:end]
                for i, (t, weight) in enumerate(zip(offsets.tolist(), weights.tolist(), strict=True)):
                    replay.outputs(replay.variant(v, step, direction, t, begin), samples)
                    samples *= weight
                    total[...] = samples if i == 0 else total + samples
                denominator = np.full(end - begin, divisor)
                for _ in range(n):
                    denominator *= step
                value = total / denominator
                if n:
                    value[~np.isfinite(value)] = np.nan
                    if at is not None:
                        value[:, ~np.isfinite(at)] = np.nan
                out[v, :, begin:end] = value


def _thumb(x: Any, unit: float) -> NDArray[float64]:
    with np.errstate(all="ignore"):
        return np.asarray(unit * np.exp2(np.frexp(np.maximum(np.abs(x), 1.0))[1] - 1.0))
