"""The engine for automatic steps: lanes go round with a step each until the step control accepts them.

The engine asks the function for samples at the nodes of many lanes, hands them to the control kernel, and repeats with
the lanes that are not done. It knows neither what an operator makes of the estimates nor how the function is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps, threads
from .config import available_cpus
from .functions import Function
from .kernels import backend
from .lanes import Estimates, Lanes, joined, largest_exponent
from .steps import Scheme

TILE = 16000  # elements (lanes times outputs) that go round together: what they need stays in cache
_PLACES = (0, 1, -1, steps.CLOSE)  # the sides in the order of the kernel `next_round`


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
    tiles = -(-count // size)
    workers = min(function.threads or available_cpus(), tiles)
    length = size * -(-tiles // (2 * workers))  # of a span: two for each thread, as one may be slower than another
    spans = [slice(at, min(at + length, count)) for at in range(0, count, length)]
    parts = function.parts(len(spans)) if workers > 1 else None
    if parts is None:
        spans, workers = [slice(0, count)], 1

    def work(i: int) -> None:
        with np.errstate(all="ignore"):  # threads do not inherit it
            _span(parts[i] if parts else function, lanes, spans[i], size, scheme, results)

    threads.each(work, len(spans), workers)
    if parts:
        function.nfev += sum(part.nfev for part in parts)
    error, value, step, status = results
    np.copyto(error, np.inf, where=np.isnan(value))
    backend.powers(step, step)
    return joined(value, error, step, status.astype(intp), function.is_complex)


def _span(function: Function, lanes: Lanes, span: slice, size: int, scheme: Scheme, results: NDArray[float64]) -> None:
    """The first round in tiles of that size; the few lanes that go on after it go on together."""
    late: list[_Batch] = []
    for at in range(span.start, span.stop, size):
        which = slice(at, min(at + size, span.stop))
        tile = _first_round(function, lanes.part(which), which, scheme, results[:, which])
        if tile is not None:
            late.append(tile)
        if late and (which.stop == span.stop or sum(batch.count for batch in late) >= size):
            batch = _Batch.of(late)
            _later_rounds(function, batch, scheme)
            results[:, batch.which] = batch.results
            late = []


@dataclass(frozen=True)
class _Batch:
    """Lanes that go round together, at `which` places among all, and what is known of them; see `control`."""

    which: slice | NDArray[intp]
    scale: NDArray[float64]
    k: NDArray[float64]
    unit: NDArray[float64]
    least: NDArray[float64]
    caps: NDArray[float64]
    samples: NDArray[float64]
    state: NDArray[float64]
    results: NDArray[float64]

    @property
    def count(self) -> int:
        return len(self.scale)

    def part(self, chosen: NDArray[intp]) -> "_Batch":
        """Some of the lanes."""
        which = _among(self.which, chosen)
        caps, samples, results = (_columns(a, chosen) for a in (self.caps, self.samples, self.results))
        scale, k, unit, least = (a[chosen] for a in (self.scale, self.k, self.unit, self.least))
        return _Batch(which, scale, k, unit, least, caps, samples, self.state[chosen], results)

    @classmethod
    def of(cls, batches: "list[_Batch]") -> "_Batch":
        """All of their lanes, none of them a slice."""
        if len(batches) == 1:
            return batches[0]

        which, scale, k, unit, least, state = (
            np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("which", "scale", "k", "unit", "least", "state")
        )
        caps, samples, results = (
            np.concatenate([getattr(batch, name) for batch in batches], axis=1)
            for name in ("caps", "samples", "results")
        )
        return cls(which, scale, k, unit, least, caps, samples, state, results)


def _among(which: slice | NDArray[intp], chosen: NDArray[intp]) -> NDArray[intp]:
    """The places of the chosen lanes of a batch among all."""
    return chosen + which.start if isinstance(which, slice) else which[chosen]


def _columns(rows: NDArray[float64], chosen: NDArray[intp]) -> NDArray[float64]:
    """rows[:, chosen], in C order; much faster where the rest of the axes is one number."""
    out = np.empty((len(rows), len(chosen), *rows.shape[2:]))
    if out[:1, :1].size > 1:
        return np.take(rows, chosen, axis=1, out=out)
    for row, taken in zip(rows.reshape(rows.shape[:2]), out.reshape(out.shape[:2])):
        taken[...] = row[chosen]
    return out


def _first_round(
    function: Function, lanes: Lanes, which: slice, scheme: Scheme, results: NDArray[float64]
) -> _Batch | None:
    """The results of a tile's lanes after their first round, and the lanes that go on."""
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
    if lost.any():
        i = np.flatnonzero(lost)
        error, value, log_step, status = results
        value[i], error[i], log_step[i], status[i] = np.nan, np.inf, 0.0, lost[i, None]
    state = np.empty((count, outputs, len(steps.FIELDS)))
    samples = np.empty((max(level.size for s in scheme.levels.values() for level in s), count, outputs))
    samples[0] = centre
    batch = _Batch(which, scale, k, unit, least, caps, samples, state, results)
    order, counts = _by_kind(lost, side, k - least < scheme.close)
    h = np.empty(len(order))
    backend.powers(k[order], h)
    _round(function, batch, scheme, order, counts, h, True)
    going = order[: sum(_next_round(batch, scheme, len(order), order, np.empty(count)))]
    return batch.part(going) if going.size else None


def _later_rounds(function: Function, batch: _Batch, scheme: Scheme) -> None:
    order, h, going = np.arange(batch.count), np.empty(batch.count), batch.count
    while going:
        counts = _next_round(batch, scheme, going, order, h)
        going = sum(counts)
        _round(function, batch, scheme, order, counts, h, False)


def _next_round(batch: _Batch, scheme: Scheme, going: int, order: NDArray[intp], h: NDArray[float64]) -> list[int]:
    work = np.empty(going, intp)
    return backend.next_round(batch.state, batch.results[3], batch.least, scheme.close, going, batch.k, order, work, h)


def _round(
    function: Function,
    batch: _Batch,
    scheme: Scheme,
    order: NDArray[intp],
    counts: list[int],
    h: NDArray[float64],
    fresh: bool,
) -> None:
    """Samples and verdicts for the lanes in order, so many of each kind, with these steps."""
    end = 0
    for code, number in enumerate(counts):
        if not number:
            continue
        begin, end = end, end + number
        s, at = _PLACES[code // 4], code % 4
        nodes = scheme.levels[s][at]
        known = scheme.levels[s][at - 1].size if at else 1
        chosen = order[begin:end] if number < batch.count or not fresh else None
        _sample(function, batch.which, chosen, nodes.offsets[known:], h[begin:end], batch.samples[known : nodes.size])
        backend.control(
            nodes.table, batch.samples, function.eps, batch.scale, batch.k, batch.unit, batch.least, batch.caps,
            0 if s == steps.CLOSE else s, at, fresh, batch.state, batch.results, chosen,
        )  # fmt: skip


def _sample(
    function: Function,
    which: slice | NDArray[intp],
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
    function.sample_nodes(_among(which, chosen), offsets, h, taken)
    for new, old in zip(taken, out):
        if out.shape[2] == 1:  # much faster than rows
            old[:, 0][chosen] = new[:, 0]
        else:
            old[chosen] = new


def _by_kind(
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


def first_steps(
    lanes: Lanes, scheme: Scheme
) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64], NDArray[intp] | int, NDArray[float64]]:
    """log2 of the first step, of the least one and of one for a scale of one, the side, and log2 of the largest steps by
    side, of every lane."""
    k, least = np.empty((2, lanes.count))
    one = np.array(lanes.unit, float64, ndmin=1)  # often one number for all
    of_one, unused = np.empty((2, one.size))
    backend.start(one, np.zeros(one.size), scheme.unit, of_one, unused)
    unit = np.broadcast_to(of_one, (lanes.count,)).copy()
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
