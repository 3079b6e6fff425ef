"""The engine: lanes go round with a step each until the step control accepts them.

A lane is a point and a direction. The engine asks the function for samples at the nodes of many lanes, hands them to the
control kernel, and repeats with the lanes that are not done. It knows neither what an operator makes of the estimates
nor how the function is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps, threads
from .config import available_cpus
from .functions import Function
from .kernels import backend
from .stencils import Row, Stencil, rounded
from .steps import Plain, Scheme

TILE = 16000  # elements (lanes times outputs) that go round together: what they need stays in cache
_PLACES = (0, 1, -1, steps.CLOSE)  # the sides in the order of the kernel `next_round`
_ROOM = 1.0 - 2.0**-50  # so that a node computed in floating point stays inside the bounds


@dataclass(frozen=True)
class Lanes:
    """Where the lanes are. `scale` (lanes,): the size of x along each, in units of the lane's parameter; 0 is unknown.

    `room` (2, lanes): how far each may go forward and backward; None: as far as numbers go. `unit`: the parameter at
    which a lane has moved by about one, a number or one for each lane.
    """

    scale: NDArray[float64]
    room: NDArray[float64] | None
    unit: float | NDArray[float64] = 1.0

    @property
    def count(self) -> int:
        return len(self.scale)

    def part(self, which: slice) -> "Lanes":
        return Lanes(
            self.scale[which],
            None if self.room is None else self.room[:, which],
            self.unit[which] if isinstance(self.unit, np.ndarray) else self.unit,
        )


@dataclass(frozen=True)
class Estimates:
    """What came out, per lane and output: `value` real or complex, the rest float64 or int."""

    value: NDArray[Any]
    error: NDArray[float64]
    step: NDArray[float64]
    status: NDArray[intp]


def estimate(function: Function, lanes: Lanes, scheme: Scheme) -> Estimates:
    """Derivatives along every lane at steps found automatically."""
    count = lanes.count
    outputs = function.centre(slice(0, count if count <= TILE else 1)).shape[1] if count else 1
    if count == 0 or outputs == 0:
        nothing = np.zeros((count, outputs))
        return Estimates(nothing, nothing, nothing, nothing.astype(intp))
    size = max(TILE // outputs, 1)
    if count <= size or not function.divisible:
        size = count
    results = np.empty((len(steps.RESULTS), count, outputs))
    tiles = [slice(at, min(at + size, count)) for at in range(0, count, size)]
    workers = min(function.threads or available_cpus(), len(tiles))
    parts = function.parts(len(tiles)) if workers > 1 else None

    def work(i: int) -> None:
        which = tiles[i]
        with np.errstate(all="ignore"):  # threads do not inherit it
            _tile(parts[i] if parts else function, lanes.part(which), which, scheme, results[:, which])

    threads.each(work, len(tiles), workers if parts else 1)
    if parts:
        function.nfev += sum(part.nfev for part in parts)
    error, value, step, status = results
    np.copyto(error, np.inf, where=np.isnan(value))
    backend.powers(step, step)
    return _joined(value, error, step, status.astype(intp), function.is_complex)


def first_steps(
    lanes: Lanes, scheme: Scheme
) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64], NDArray[intp] | int, NDArray[float64]]:
    """log2 of the first step, of the least one and of one for a scale of one, the side, and log2 of the largest steps by
    side, of every lane."""
    k, least, unit, nothing = np.empty((4, lanes.count))
    nothing[...] = 0.0
    one = np.broadcast_to(np.asarray(lanes.unit, float64), (lanes.count,)).copy()
    backend.start(one, nothing, scheme.unit, unit, least)
    backend.start(lanes.scale, unit, scheme.unit, k, least)
    if lanes.room is None:
        return k, least, unit, scheme.first_side, _unlimited(lanes.count)
    side = np.full(lanes.count, scheme.first_side, dtype=intp)
    caps = np.stack([_cap(lanes.room, scheme, s) for s in (0, 1, -1)])
    if scheme.first_side == 0:
        better = np.where(caps[1] >= caps[2], 1, -1)
        cramped = np.minimum(k, caps[0]) < np.minimum(k, np.maximum(caps[1], caps[2])) - 6.0
        side = np.where(cramped, better, side)
    return np.minimum(k, np.take_along_axis(caps, side[None, :], axis=0)[0]), least, unit, side, caps


@lru_cache(maxsize=2)
def _unlimited(count: int) -> NDArray[float64]:
    caps = np.full((3, count), float(steps.LARGEST))
    caps.flags.writeable = False
    return caps


def _cap(room: NDArray[float64], scheme: Scheme, side: int) -> NDArray[float64]:
    if side not in scheme.levels:
        return np.full(room.shape[1], -np.inf)
    offsets = [t for level in scheme.levels[side] for t in level.offsets]
    return largest_exponent(room, max(offsets), -min(offsets))


def largest_exponent(room: NDArray[float64], forward: float, backward: float) -> NDArray[float64]:
    """log2 of the largest power of two with which nodes that far out stay inside the room."""
    cap = np.full(room.shape[1], float(steps.LARGEST))
    for reach, space in ((forward, room[0]), (backward, room[1])):
        if reach > 0:
            with np.errstate(over="ignore", under="ignore"):
                most = space * _ROOM / reach
            cap = np.minimum(cap, np.where(most > 0, np.frexp(most)[1] - 1.0, -np.inf))
    return cap


def _tile(function: Function, lanes: Lanes, which: slice, scheme: Scheme, results: NDArray[float64]) -> None:
    """Round after round until all lanes are done, into `results` (4, lanes, outputs)."""
    centre = function.centre(which)
    count, outputs = centre.shape
    scale = lanes.scale
    k, least, unit, side, caps = first_steps(lanes, scheme)
    if not scale.all():
        k = np.where((scale == 0) & (centre == 0).all(axis=1), k - scheme.closer_at_root, k)
    k = np.maximum(k, least)
    lost = np.zeros(count)  # the status of lanes that end before they begin
    if lanes.room is not None:
        lost[np.take_along_axis(caps, np.broadcast_to(side, (1, count)), axis=0)[0] < least] = steps.NO_ROOM
    if not (np.isfinite(centre).all() and np.isfinite(scale).all()):
        lost[~(np.isfinite(centre).any(axis=1) & np.isfinite(scale))] = steps.NOT_FINITE_HERE

    state = np.empty((count, outputs, len(steps.FIELDS)))
    error, value, log_step, status = results
    if lost.any():
        i = np.flatnonzero(lost)
        value[i], error[i], log_step[i], status[i] = np.nan, np.inf, 0.0, lost[i, None]
    samples = np.empty((max(level.size for s in scheme.levels.values() for level in s), count, outputs))
    samples[0] = centre
    order, counts = _first_round(lost, side, k - least < scheme.close)
    work, h, fresh = np.empty(count, intp), np.empty(count), True
    backend.powers(k[order], h[: len(order)])
    while any(counts):
        end = 0
        for code, number in enumerate(counts):
            if not number:
                continue
            begin, end = end, end + number
            s, at = _PLACES[code // 4], code % 4
            nodes = scheme.levels[s][at]
            known = scheme.levels[s][at - 1].size if at else 1
            chosen = order[begin:end] if number < count or not fresh else None
            _sample(function, which, chosen, nodes.offsets[known:], h[begin:end], samples[known : nodes.size])
            backend.control(
                nodes.table, samples, function.eps, scale, k, unit, least, caps, 0 if s == steps.CLOSE else s, at, fresh,
                state, results, chosen,
            )  # fmt: skip
        counts = backend.next_round(state, status, least, scheme.close, end, k, order, work, h)
        fresh = False


def _sample(
    function: Function,
    which: slice,
    chosen: NDArray[intp] | None,
    offsets: Sequence[float],
    h: NDArray[float64],
    out: NDArray[float64],
) -> None:
    """Samples of all lanes, or of the chosen ones of them, into out (offsets, lanes, outputs)."""
    if chosen is None:
        function.sample_nodes(which, offsets, h, out)
        return
    taken = np.empty((len(offsets), len(chosen), out.shape[2]))
    function.sample_nodes(chosen + which.start, offsets, h, taken)
    for new, old in zip(taken, out):
        if out.shape[2] == 1:  # much faster than rows
            old[:, 0][chosen] = new[:, 0]
        else:
            old[chosen] = new


def _first_round(
    lost: NDArray[float64], side: NDArray[intp] | int, close: NDArray[np.bool_]
) -> tuple[NDArray[intp], list[int]]:
    """The lanes that are not lost, sorted by kind, and how many there are of each; see `next_round`."""
    counts = [0] * 16
    if isinstance(side, int) and not lost.any() and not (side == 0 and close.any()):
        counts[4 * _PLACES.index(side)] = len(lost)
        return np.arange(len(lost)), counts
    place = np.where(np.equal(side, 0), np.where(close, 3, 0), np.where(np.greater(side, 0), 1, 2))
    kept = np.flatnonzero(lost == steps.RUNNING)
    counts[::4] = np.bincount(place[kept], minlength=4).tolist()
    return kept[np.argsort(place[kept], kind="stable")], counts


def _joined(
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


def one_round(
    function: Function,
    lanes: Lanes,
    plain: Plain,
    h: NDArray[float64] | None,
    with_error: bool,
) -> Estimates:
    """The plain stencil at given steps (lanes,) or, with h None, at rule-of-thumb ones.

    Where the bounds do not admit it, a one-sided stencil takes its place. The error is estimated from a stencil of
    higher order, whose further points cost evaluations of f.
    """
    thumb = h is None
    if h is None:
        h = np.exp2(steps.thumb_exponent(lanes.scale, plain.n, plain.stencils[plain.first_side][0].order))
    side, h, blocked = _side_that_fits(lanes, plain, h, thumb)
    here = np.isfinite(lanes.scale)
    lost = np.where(blocked, steps.NO_ROOM, np.where(here, steps.RUNNING, steps.NOT_FINITE_HERE))
    h = np.where(here, h, 1.0) if thumb else h
    outputs, parts = 1, []
    for s in sorted(plain.stencils):
        here = (side == s) & (lost == steps.RUNNING)
        if not here.any():
            continue
        pair = plain.stencils[s]
        # The stencil that tells the error reaches farther: where it does not fit, it is taken at a smaller step.
        fits = _fits(lanes, pair[1], h) if with_error else here
        for group, closer in ((here & fits, 1.0), (here & ~fits, _extent(pair[0]) / _extent(pair[1]))):
            if group.any():
                chosen = np.flatnonzero(group)
                which = slice(0, lanes.count) if chosen.size == lanes.count else chosen
                parts.append((chosen, _one_side(function, which, pair, h[chosen], closer * h[chosen], with_error)))
                outputs = parts[-1][1][0].shape[1]
    if lost.any():
        chosen = np.flatnonzero(lost)
        nothing = np.full((chosen.size, outputs), np.nan)
        parts.append((chosen, (nothing, np.full_like(nothing, np.inf), np.repeat(lost[chosen, None], outputs, 1))))
    if not parts:
        parts = [(np.zeros(0, intp), (np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1), intp)))]
    if len(parts) == 1:
        value, error, status = parts[0][1]
    else:
        order = np.argsort(np.concatenate([chosen for chosen, _ in parts]))
        value, error, status = (np.concatenate([part[i] for _, part in parts])[order] for i in range(3))
    return _joined(value, error, np.repeat(h[:, None], value.shape[1], axis=1), status, function.is_complex)


def differences(function: Function, plain: Plain, h: NDArray[float64] | None) -> NDArray[float64]:
    """The values of `one_round` without bounds, of a function that has them at less cost; h None is the rule of thumb."""
    stencil = plain.stencils[plain.first_side][0]
    offsets, weights, denominator = textbook(stencil)
    step = h if h is not None else float(np.exp2(steps.thumb_exponent(np.ones(1), plain.n, stencil.order)[0]))
    return function.difference(np.array(rounded(offsets)), weights, denominator, stencil.n, step)


def shortcut(
    function: Function, lanes: Lanes | Callable[[], Lanes], plain: Plain, h: NDArray[float64] | None
) -> Estimates:
    """These values as estimates, of which nothing else is known."""
    if function.along_axes:
        value = differences(function, plain, h)
    else:
        lanes = lanes() if callable(lanes) else lanes
        here = np.isfinite(lanes.scale)
        if h is None:
            order = plain.stencils[plain.first_side][0].order
            h = np.where(here, np.exp2(steps.thumb_exponent(lanes.scale, plain.n, order)), 1.0)
        value = differences(function, plain, h)
        if not here.all():
            value[~here] = np.nan
    nothing = np.broadcast_to(np.nan, value.shape)
    return Estimates(value, nothing, nothing, np.broadcast_to(np.intp(steps.CONVERGED), value.shape))


def _extent(stencil: Stencil) -> float:
    return float(max(map(abs, stencil.offsets)))


def _reach(stencil: Stencil) -> tuple[float, float]:
    """How many steps forward and backward the stencil needs."""
    return max(float(max(stencil.offsets)), 0.0), max(-float(min(stencil.offsets)), 0.0)


def _fits(lanes: Lanes, stencil: Stencil, h: NDArray[float64]) -> NDArray[np.bool_]:
    forward, backward = _reach(stencil)
    if lanes.room is None:
        return np.ones(h.shape, bool)
    inside: NDArray[np.bool_] = np.logical_and(
        forward * h <= lanes.room[0] * _ROOM, backward * h <= lanes.room[1] * _ROOM
    )
    return inside


def _side_that_fits(
    lanes: Lanes, plain: Plain, h: NDArray[float64], thumb: bool
) -> tuple[NDArray[intp], NDArray[float64], NDArray[np.bool_]]:
    """The side of each lane, its step, and where there is none: smaller than wished for only a rule of thumb."""
    side = np.full(lanes.count, plain.first_side, dtype=intp)
    left = ~_fits(lanes, plain.stencils[plain.first_side][0], h)
    for s in (1, -1):
        if left.any():
            turn = left & _fits(lanes, plain.stencils[s][0], h)
            side[turn] = s
            left &= ~turn
    if left.any() and not thumb:
        i = np.flatnonzero(left)[0]
        raise ValueError(f"h={h[i]:g} is too large for the bounds: the points that the stencil needs lie outside")
    blocked = np.zeros(lanes.count, dtype=bool)
    if left.any():
        assert lanes.room is not None  # else every step fits
        caps = np.stack([largest_exponent(lanes.room, *_reach(plain.stencils[s][0])) for s in (1, -1)])
        cap = caps.max(axis=0)
        first, least = np.empty((2, lanes.count))
        backend.start(lanes.scale, cap, 0, first, least)
        blocked = left & (cap < least)
        side = np.where(left, np.where(caps[0] >= caps[1], 1, -1), side)
        h = np.where(blocked, 1.0, np.where(left, np.exp2(np.maximum(cap, steps.SMALLEST)), h))
    return side, h, blocked


def _one_side(
    function: Function,
    which: slice | NDArray[intp],
    pair: tuple[Stencil, Stencil],
    h: NDArray[float64],
    finer_h: NDArray[float64],
    with_error: bool,
) -> tuple[NDArray[float64], NDArray[float64], NDArray[intp]]:
    """Value, error and status of lanes; the error from the finer stencil at `finer_h`, at best the same points."""
    stencil, finer = pair
    same = with_error and bool((finer_h == h).all())
    offsets = {*stencil.offsets, *(finer.offsets if same else ())}
    samples = _samples(function, which, offsets, h)
    value = _combined(stencil, samples, h)
    finite = np.isfinite(value)
    status = np.where(finite, steps.CONVERGED, steps.NOT_FINITE).astype(intp)
    value = np.where(finite, value, np.nan)
    if not with_error:
        return value, np.where(finite, np.nan, np.inf), status
    nearer = samples if same else _samples(function, which, {*finer.offsets}, finer_h)
    truncation = np.abs(value - _combined(finer, nearer, finer_h))
    roundoff = _roundoff(function, stencil, samples, h)
    if not same:
        roundoff = roundoff + _roundoff(function, finer, nearer, finer_h)
    error = 2.0 * truncation + 8.0 * roundoff
    vague = (truncation > 0.1 * np.abs(value)) & (truncation > 4.0 * roundoff) & (status == steps.CONVERGED)
    return value, np.where(np.isfinite(error), error, np.inf), np.where(vague, steps.TOO_COARSE, status)


def _samples(
    function: Function, which: slice | NDArray[intp], offsets: set[Fraction], h: NDArray[float64]
) -> dict[Fraction, NDArray[float64]]:
    samples: dict[Fraction, NDArray[float64]] = {}
    for t in sorted(offsets, reverse=True):
        if t == 0:
            centre = function.centre(
                slice(0, which.stop) if isinstance(which, slice) else slice(0, int(which.max()) + 1)
            )
            samples[t] = centre if isinstance(which, slice) else centre[which]
        else:
            samples[t] = np.array(function.sample(which, float(t) * h))  # f may return the same array again
    return samples


def _roundoff(
    function: Function, stencil: Stencil, samples: dict[Fraction, NDArray[float64]], h: NDArray[float64]
) -> NDArray[float64]:
    largest = np.max([np.abs(samples[t]) for t in stencil.offsets], axis=0)
    weight = sum(abs(float(w)) for w in stencil.rows[-1])
    found: NDArray[float64] = function.eps * largest * weight / (h**stencil.n)[:, None]
    return found


def complex_step(function: Function, lanes: Lanes, h: NDArray[float64] | None, with_error: bool) -> Estimates:
    """First derivatives of analytic f from its imaginary part: no difference, hence no cancellation.

    The error bar is that of rounding unless a real difference, taken for it, contradicts: then f is not analytic, or
    not as complex input goes through it.
    """
    every = slice(0, lanes.count)
    if h is None:
        scale = np.where(lanes.scale == 0, lanes.unit, lanes.scale)
        k = np.frexp(scale)[1] - 60.0
        k = np.maximum(k, np.minimum(k + 33.0, -960.0))  # close to the least numbers the imaginary part needs its bits
        h = np.exp2(np.clip(k, steps.SMALLEST, steps.LARGEST))
    samples = np.array(function.sample(every, 1j * h))
    if samples.dtype.kind != "c":
        raise TypeError(
            f"method='complex' needs an f that returns complex values for complex x, got dtype {samples.dtype}"
        )
    if (np.abs(samples.imag) > 2.0**-30 * np.abs(samples.real)).any():  # unusual: is that f, or its derivative?
        centre = function.centre(every)
        if function.is_complex and (centre[:, 1::2] != 0).any():
            raise TypeError("method='complex' needs an f that is real for real x, got complex values there")
    value = samples.imag / h[:, None]
    finite = np.isfinite(value) & np.isfinite(lanes.scale)[:, None]
    value = np.where(finite, value, np.nan)
    status = np.where(finite, steps.CONVERGED, steps.NOT_FINITE).astype(intp)
    error = np.where(finite, np.nan, np.inf)
    if with_error:
        rough = estimate(function, lanes, steps.scheme(1, "central", None, None))
        function.is_complex = False
        # Rounding inside f acts like a rounded x.
        condition = lanes.scale[:, None] * np.abs(value) / np.maximum(np.abs(samples.real), 1e-300)
        error = 8.0 * function.eps * (1.0 + np.minimum(condition, 1e12)) * np.abs(value)
        error = error + np.abs(samples.real) * 2.0**-1000 + 5e-324 / h[:, None]
        contradicted = np.abs(value - rough.value) > 16.0 * rough.error + error
        error = np.where(finite, np.where(contradicted, np.abs(value - rough.value) + rough.error, error), np.inf)
        status = np.where(finite & contradicted, steps.NOT_ANALYTIC, status)
    return Estimates(value, error, np.repeat(h[:, None], value.shape[1], axis=1), status)


def _combined(stencil: Stencil, samples: dict[Fraction, NDArray[float64]], h: NDArray[float64]) -> NDArray[float64]:
    offsets, weights, denominator = textbook(stencil)
    used = np.stack([samples[t] for t in offsets])
    count, outputs = used.shape[1:]
    out = np.empty(count * outputs)
    steps_each = np.repeat(h, outputs) if outputs != 1 else h
    backend.combine(used.reshape(len(offsets), -1), weights, denominator, steps_each, stencil.n, out)
    return out.reshape(count, outputs)


@cache
def textbook(stencil: Stencil) -> tuple[Row, NDArray[float64], float]:
    """Offsets, weights and denominator as the textbooks write them: the farthest point forward comes first, and weights
    are whole numbers where float64 holds them."""
    offsets, row = zip(*sorted(zip(stencil.offsets, stencil.rows[-1]), reverse=True))
    denominator = int(np.lcm.reduce([w.denominator for w in row]))
    whole = [w * denominator for w in row]
    if max(abs(w) for w in whole) < 2**53:
        return offsets, np.array(rounded(whole)), float(denominator)
    return offsets, np.array(rounded(row)), 1.0
