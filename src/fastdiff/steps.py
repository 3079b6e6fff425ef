"""Step control: the nodes of a lane, the tables that its control reads, and what its verdict means.

Where a lane starts and how it goes on are the kernels `start`, `control` and `next_round` (csrc/control.c, and the same in
kernels/_numpy.py); `rounds` drives them. The control looks at the Taylor coefficients c_1, c_2, ... of the polynomial
through a lane's samples, scaled by powers of the step h. Where h suits the function they fall geometrically down to the
roundoff of the samples. From that one picture follow

- the truncation error: the first coefficient that the stencil does not resolve, extrapolated from those it does;
- the roundoff: the unit roundoff of f times the largest sample times the norm of the weights;
- noise: high coefficients that stand above roundoff and do not fall, neither along the row nor with h;
- the next step: the power of two at which truncation and roundoff would meet;
- the verdict "not smooth": no decay at any step.

All of it is done in logarithms to base two that are cut to piecewise linear ones, so that compiled and NumPy kernels
agree to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import factorial, frexp, sqrt

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .stencils import Row, Stencil, moment, rounded, taylor_rows

# Fields of the state of one lane and output, in the order in which the kernels keep them. Once it is done they mean nothing:
# what came out lies in the rows of RESULTS.
FIELDS = (
    "lo hi sigma zeros leap shrink probed rounds floor "  # bracket of log2 h, noise, counters, roundoff at the start
    "prev_k prev_c1 prev_c2 prev_value prev_error prev_flags first_k rough "  # the last round, for comparison
    "error value k spread_first spread_least last_value "  # the best estimate so far
    "status want_k want_level want_side"
).split()
FIELD = {name: i for i, name in enumerate(FIELDS)}
RESULTS = ("error", "value", "k", "status")  # what is reported of each, row by row

# Values of "status".
(
    RUNNING,
    CONVERGED,
    NOT_FINITE_HERE,
    NOT_FINITE,
    NOT_SMOOTH,
    STALLED,
    EXHAUSTED,
    NO_ROOM,
    TOO_COARSE,
    NOT_ANALYTIC,
    NO_BAR,
) = range(11)
REASONS = {
    CONVERGED: "",
    NOT_FINITE_HERE: "x or f(x) is not finite",
    NOT_FINITE: "f is not finite at points that the stencil needs",
    NOT_SMOOTH: "no step gives samples that look smooth: a kink, a jump, the edge of the domain, or noise as large as f's change",
    STALLED: "no step balances truncation error and roundoff",
    EXHAUSTED: "the error was still falling after the last round",
    NO_ROOM: "the bounds leave no room for a step",
    TOO_COARSE: "the given step is too large for f: a stencil of higher order gives something else",
    NOT_ANALYTIC: "the complex step contradicts a real difference: f is not analytic, or noisy",
    NO_BAR: "the result or its error bar is beyond the range of numbers",
}

SMALLEST = -1060  # exponents of steps stay inside the normal range with room for offsets
LARGEST = 1000
_ABSENT = -5000.0  # log2 of a contamination that is exactly zero


def log2(x: float) -> float:
    """The piecewise linear logarithm of the kernels."""
    mantissa, exponent = frexp(abs(x))
    return exponent + (2 * mantissa - 2) if x else _ABSENT


@dataclass(frozen=True)
class Level:
    """One set of nodes and all that the control needs to know of it. `offsets[0]` is 0, the point itself."""

    offsets: tuple[float, ...]
    table: NDArray[float64]  # see `pack`
    highest: NDArray[float64]  # weights of the highest coefficient of samples less that at the point, of norm one

    @property
    def size(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class Scheme:
    """What lanes of one kind run through: nodes by side and level of refinement.

    Sides are 0 central, +1 forward, -1 backward, and CLOSE: central with whole offsets, where h is so small beside x that
    x + t * h holds no others.
    """

    n: int
    levels: dict[int, tuple[Level, ...]]
    first_side: int

    @property
    def close(self) -> float:
        """Octaves above the least step up to which lanes are CLOSE."""
        return CLOSE_BITS if CLOSE in self.levels else -np.inf

    @property
    def closer_at_root(self) -> float:
        """Octaves by which the first step is smaller where x and f(x) are zero: there roundoff shrinks along with h, so
        that it costs first derivatives nothing."""
        return 8.0 if self.n == 1 else 0.0

    @property
    def unit(self) -> int:
        """log2 of the first step where the scale of f along the lane is one: a little below the best step there."""
        aimed_power, missed = self.levels[self.first_side][0].table[5:7]
        return round((-52.0 - float(missed)) / float(aimed_power) - 1.6)

    @property
    def first(self) -> NDArray[float64]:
        """`unit` as the array of one number that the kernel `start` takes."""
        return _array_of(float(self.unit))


@cache
def _array_of(number: float) -> NDArray[float64]:
    array = np.array([number])
    array.flags.writeable = False
    return array


# Intermediate results such as 1 + x are rounded alike at points on a lattice, and look smooth there. A point off any
# lattice tells: its offset has as many bits as x + t * h holds at the usual steps, CLOSE_BITS above the least one.
_OFF_LATTICE = Fraction(242802151, 2**26)
CLOSE = 2
CLOSE_BITS = 25.0

SIDES = {"central": 0, "forward": 1, "backward": -1}


@cache
def scheme(n: int, method: str, accuracy: int | None, richardson: int | None) -> Scheme:
    """The node sets for the n-th derivative; see `Stencil` for the meaning of accuracy and richardson."""
    sides = {+1: _one_sided(n, accuracy), -1: _one_sided(n, accuracy, -1)}
    if method == "central":
        sides[0] = _central(n, accuracy, richardson)
        if n == 1 and accuracy is None and not richardson:
            sides[CLOSE] = _central(1, None, None, Fraction(4))
    elif richardson:
        sides[SIDES[method]] = _extrapolated(Stencil.standard(n, accuracy, method).richardson(richardson))
    return Scheme(n, sides, SIDES[method])


@dataclass(frozen=True)
class Plain:
    """Textbook stencils by side, each with one of higher order that tells its error."""

    n: int
    stencils: dict[int, tuple[Stencil, Stencil]]
    first_side: int


@cache
def plain(n: int, method: str, accuracy: int | None, richardson: int | None) -> Plain:
    """The stencils for one round at a given step; to the sides for lanes that bounds cut off."""
    stencils = {}
    for name, side in SIDES.items():
        stencil = Stencil.standard(n, accuracy, name)
        if name == method and richardson:
            stencil = stencil.richardson(richardson)
        stencils[side] = (stencil, Stencil.standard(n, stencil.order + 2, name))
    return Plain(n, stencils, SIDES[method])


def _central(n: int, accuracy: int | None, richardson: int | None, far: Fraction = _OFF_LATTICE) -> tuple[Level, ...]:
    if richardson:
        return _extrapolated(Stencil.standard(n, accuracy, "central").richardson(richardson))
    if accuracy is not None:
        value = Stencil.standard(n, accuracy, "central")
        reach = max(int(max(value.offsets)), (n + 1) // 2 + 1)
        return _levels(n, [_pairs(range(1, reach + 1))], value)
    reach = (n + 1) // 2 + (1 if n <= 2 else 2)
    base = _pairs(range(1, reach + 1))
    if n == 1:  # six points settle most functions
        return _levels(n, [[*base, far], [*base, far, -far]])
    return _levels(n, [base, [*base, -(reach + 2), reach + 2]])


def _one_sided(n: int, accuracy: int | None, sign: int = 1) -> tuple[Level, ...]:
    if accuracy is not None:
        value = Stencil.standard(n, accuracy, "forward" if sign > 0 else "backward")
        return _levels(n, [[sign * i for i in range(1, max(n + accuracy, n + 4))]], value)
    return _levels(n, [[sign * i for i in (*range(1, n + 4), n + 5)]])


def _extrapolated(stencil: Stencil) -> tuple[Level, ...]:
    finest = min(abs(t) for t in stencil.offsets if t)
    whole = Stencil(
        stencil.n,
        tuple(t / finest for t in stencil.offsets),
        tuple(tuple(w * finest**stencil.n for w in row) for row in stencil.rows),
    )
    return _levels(stencil.n, [sorted((t for t in whole.offsets if t), key=lambda t: (abs(t), t))], whole)


def _pairs(distances: Sequence[int]) -> list[int]:
    return [sign * i for i in distances for sign in (-1, 1)]


def _levels(n: int, sets: Sequence[Sequence[Fraction | int]], value: Stencil | None = None) -> tuple[Level, ...]:
    nodes = [(Fraction(0), *map(Fraction, offsets)) for offsets in sets]
    rows = [_value_row(n, offsets, value) for offsets in nodes]
    target = 1 if len(nodes) > 2 else 0  # the level that the next step is aimed at
    aim = _first_missed(nodes[target], rows[target], n)
    packed = []
    for i, (offsets, row) in enumerate(zip(nodes, rows)):
        pairs = tuple(t for t in offsets if -t in offsets)
        fallback = _value_row(n, pairs, None) if n < len(pairs) < len(offsets) else None
        later = [
            (len(nodes[j]) - len(offsets), _missed(nodes[j], rows[j]), _noise_gain(nodes[j], rows[j]))
            for j in range(i + 1, len(nodes))
        ]
        top = np.array(rounded(taylor_rows(offsets)[-1]))
        highest = top[1:] / np.sqrt(top @ top)
        packed.append(Level(tuple(rounded(offsets)), pack(n, offsets, row, fallback, later, aim), highest))
    return tuple(packed)


def _value_row(n: int, offsets: Row, value: Stencil | None) -> Row:
    if value is None:
        return tuple(factorial(n) * w for w in taylor_rows(offsets)[n])
    best = dict(zip(value.offsets, value.rows[-1]))
    return tuple(best.get(t, Fraction(0)) for t in offsets)


def _norm(row: Row) -> float:
    return log2(sqrt(sum(float(w) ** 2 for w in row)))


def _missed(offsets: Row, row: Row) -> float:
    """log2 of what the row makes of the first power of t that the nodes cannot resolve, or of the next ones, which are
    taken to be smaller by four each."""
    m = len(offsets)
    return log2(float(max(abs(moment(offsets, row, m + i)) / 4**i for i in range(3))))


def _first_missed(offsets: Row, row: Row, n: int) -> tuple[int, float]:
    """The first power of t beyond n that the row does not cancel, and log2 of what it makes of it."""
    p = n + 1
    while moment(offsets, row, p) == 0:
        p += 1
    return p, log2(float(moment(offsets, row, p)))


def _noise_gain(offsets: Row, row: Row) -> float:
    """log2 of the noise in the value over that in the highest coefficient."""
    return _norm(row) - _norm(taylor_rows(offsets)[-1])


MAX_NODES = 40
HEADER = 18  # numbers before the arrays of a packed level


def pack(
    n: int,
    offsets: Row,
    row: Row,
    fallback: Row | None,
    later: Sequence[tuple[int, float, float]],
    aim: tuple[int, float],
) -> NDArray[float64]:
    """A level as the flat table that the kernels read. With m nodes and M = m - 1:

    0 M, 1 n, 2 log2 norm of the value row, 3 log2 of what it misses beyond M, 4 log2 of the decay that counts as none,
    5 and 6 the power of t that the aimed level misses and log2 of what it makes of it, 7 whether there is a fallback
    row, 8 what that makes of t**M, 9 how many levels follow, 10 to 15 for the next two of them the nodes they add, log2 of
    what they miss, and of the noise in their value over that in their highest coefficient, 16 log2 of the relative
    roundoff that no step beats, 17 nothing; then, each [1..M] as the point itself has offset 0 and is subtracted from the
    samples: offsets, value row, fallback row, log2 norms of the Taylor rows, log2 of what the value row makes of t**q, and
    the Taylor rows themselves [M][M].

    The fallback is the symmetric row of the level before: exact on even functions, and preferred where the difference
    to the value row is roundoff.
    """
    m = len(offsets)
    last = m - 1
    if m > MAX_NODES:
        raise ValueError(f"this derivative takes {m} points at once; at most {MAX_NODES} are supported")
    taylor = taylor_rows(offsets)
    norms = [_norm(taylor[q]) for q in range(1, m)]
    spare = fallback or ()
    before = offsets[: len(spare)]
    header = [
        last,
        n,
        _norm(row),
        _missed(offsets, row),
        (norms[-1] - norms[0]) / (last - 1) - 0.7 if last > 1 else 2.0,
    ]
    header += [*aim, float(fallback is not None), abs(float(moment(before, spare, last))), len(later)]
    header += [v for triple in [*later, (0, 0.0, 0.0), (0, 0.0, 0.0)][:2] for v in triple]
    header += [log2(float(max(map(abs, offsets)))) * n + _norm(row) - 50.5, 0.0]
    assert len(header) == HEADER
    arrays = [
        rounded(offsets[1:]),
        rounded(row[1:]),
        rounded([*spare[1:], *[Fraction(0)] * (m - max(len(spare), 1))]),
        norms,
        [log2(float(moment(offsets, row, q))) if q > n else _ABSENT for q in range(1, m)],
        *(rounded(taylor[q][1:]) for q in range(1, m)),
    ]
    return np.array(header + [v for array in arrays for v in array], dtype=float64)


def thumb_exponent(scale: NDArray[float64], n: int, order: int) -> NDArray[float64]:
    """log2 of the rule-of-thumb step: eps**(1/(n + order)) times the scale of x, at least that of 1."""
    exponent = np.frexp(np.maximum(np.abs(scale), 1.0))[1] - 1.0
    return exponent + round(-52.0 / (n + order))
