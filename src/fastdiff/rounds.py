"""The engine for automatic steps: lanes go round with a step each until the step control accepts them.

The engine asks the function for samples at the nodes of many lanes, hands them to the control kernel, and repeats with
the lanes that are not done. It knows neither what an operator makes of the estimates nor how the function is called.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

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
LATE = 6000  # elements that make it worth while to go on with those that need more rounds than most
UNUSUAL = 2000  # lanes that the engine takes where a function that makes its own rounds has come to an unusual one
# Rounds that ask for judgements, with the arguments of the kernel `control`, and go on when they are made.
Judgement = tuple[Any, ...]
Judgements = Generator[Judgement, None, None]
_VALUE, _STATUS = steps.RESULTS.index("value"), steps.RESULTS.index("status")
_UNLIMITED = np.full((3, 1), float(steps.LARGEST))  # log2 of the largest steps where there are no bounds
_PLACES = (0, 1, -1, steps.CLOSE)  # the sides in the order of the kernel `next_round`


def estimate(function: Function, lanes: Lanes, scheme: Scheme, whole: bool = True) -> Estimates:
    """Derivatives along every lane at steps found automatically; unless `whole` nothing but values."""
    count = lanes.count
    outputs = function.outputs
    if outputs is None:
        outputs = function.centre(slice(0, count if count <= TILE else 1)).shape[1] if count else 1
    if count == 0 or outputs == 0:
        nothing = np.zeros((count, outputs))
        return Estimates(nothing, nothing, nothing, nothing.astype(intp))
    size = max(TILE // outputs, 1)
    if count <= size or not function.divisible:
        size = count
    found = np.empty((len(steps.RESULTS) if whole else 1, count, outputs))
    tiles = -(-count // size)
    workers = min(function.threads or available_cpus(), tiles)
    length = size * -(-tiles // (4 * workers))  # of a span: some for each thread, as one may be slower than another
    spans = [slice(at, min(at + length, count)) for at in range(0, count, length)]
    parts = function.parts(len(spans)) if workers > 1 else None
    beside = parts is None and workers > 1 and backend.NAME == "compiled"
    if parts is None:  # f is called by this thread alone
        spans, workers = [slice(0, count)], 1

    def work(i: int) -> None:
        with np.errstate(all="ignore"):  # threads do not inherit it
            _span(parts[i] if parts else function, lanes, spans[i], size, scheme, found, beside)

    threads.each(work, len(spans), workers)
    if parts:
        function.nfev += sum(part.nfev for part in parts)
    if not whole:
        unknown = np.broadcast_to(np.nan, found[0].shape)
        running = np.broadcast_to(intp(steps.RUNNING), found[0].shape)
        return joined(found[0], unknown, unknown, running, function.is_complex)
    error, value, step, status = found
    np.copyto(error, np.inf, where=np.isnan(value))
    backend.powers(step, step)
    return joined(value, error, step, status.astype(intp), function.is_complex)


def _span(
    function: Function, lanes: Lanes, span: slice, size: int, scheme: Scheme, found: NDArray[float64], beside: bool
) -> None:
    """The first round in tiles of that size; the few lanes that go on after it go on together."""
    left, outputs, whole = span.stop - span.start, found.shape[2], len(found) > 1
    kept = slice(None) if whole else slice(_VALUE, _VALUE + 1)  # rows of the results
    rooms = [_Room(min(size, left), outputs, scheme) for _ in range(2 if beside else 1)]
    spare: list[_Batch] = []
    late: _Batch | None = None
    enough = max(LATE // outputs, 1)
    most = min(enough + size, left)
    replayed = function.makes_rounds and not isinstance(lanes.unit, np.ndarray)
    caps = _caps(lanes.part(span), scheme) if replayed else _UNLIMITED

    def gathering() -> _Batch:
        nonlocal late
        if late is None:
            late = spare.pop() if spare else _Batch.late(most, outputs, lanes, scheme, whole)
        return late

    def ready() -> bool:
        """Whether many lanes are late, or all have begun."""
        return late is not None and (late.count >= enough or not left)

    def gathered() -> Judgements:
        """Later rounds of the lanes that are late, when it is time."""
        nonlocal late
        if late is None or not ready():
            return
        own, late = late, None
        yield from _later_rounds(function, own, scheme)
        for row, late_row in zip(found, own.results[kept]):
            _put(row, own.which[: own.count], late_row[: own.count])
        own.count = 0
        spare.append(own)

    def tile(which: slice, room: _Room) -> Judgements:
        nonlocal left
        batch = yield from _first_round(function, lanes.part(which), which, scheme, room, whole)
        going = np.count_nonzero(batch.results[_STATUS] == steps.RUNNING)
        if 2 * going > batch.results[_STATUS].size:  # they have company enough
            yield from _later_rounds(function, batch, scheme)
        elif going:
            to = gathering()
            to.count = backend.gather(batch.arrays, to.arrays, which.start, to.which, to.count)
        found[:, which] = batch.results[kept]
        rooms.append(room)
        left -= batch.count
        yield from gathered()

    def tasks() -> Iterator[Judgements]:
        nonlocal left
        at = span.start
        while at < span.stop:
            if replayed:
                left_over = slice(at, span.stop)
                reached = _rounds(function, lanes, left_over, scheme, found, gathering(), enough, caps, span.start)
                left -= reached - at
                at = reached
                if ready():
                    yield gathered()
                    continue
            which = slice(at, min(at + (UNUSUAL if replayed else size), span.stop))
            at = which.stop
            yield tile(which, rooms.pop())

    _do(tasks(), beside)


def _rounds(
    function: Function,
    lanes: Lanes,
    span: slice,
    scheme: Scheme,
    found: NDArray[float64],
    late: "_Batch",
    enough: int,
    caps: NDArray[float64],
    first_cap: int,
) -> int:
    """All rounds of usual lanes, by functions that make them faster than the engine, up to an unusual one, or until enough
    are late: where that is."""
    levels = [(level.table, np.array(level.offsets)) for level in scheme.levels[scheme.first_side]]
    reached, late.count = function.rounds(
        span, levels, function.eps, lanes.scale, late.unit, scheme.unit, scheme.close, caps, first_cap, scheme.first_side,
        late.whole, found, late.arrays, late.which, late.count, enough,
    )  # fmt: skip
    return reached


def _put(row: NDArray[float64], at: NDArray[intp] | slice, values: NDArray[float64]) -> None:
    """row[at] = values, both (lanes, outputs): single columns much faster."""
    if row.shape[1] == 1:
        row[:, 0][at] = values[:, 0]
    else:
        row[at] = values


def _do(tasks: Iterator[Judgements], beside: bool) -> None:
    """Do all tasks in this thread and, if `beside`, judge in another one what they want judged when it is not busy; the next
    task begins meanwhile. No more than two are under way."""
    if not beside:
        for task in tasks:
            for arguments in task:
                backend.control(*arguments)
        return
    other = backend.Beside()
    thread = Thread(target=other.serve, daemon=True)
    thread.start()
    current, waiting = next(tasks, None), None
    try:
        while current is not None:
            wanted = next(current, None)
            if wanted is not None and not other.done():
                backend.control(*wanted)
                continue
            if wanted is not None:
                other.begin(*wanted)
                current, waiting = waiting, current
            else:
                current = None
            current = current or next(tasks, None)
            if current is None and waiting is not None:
                other.wait()
                current, waiting = waiting, None
    finally:
        other.end()
        thread.join()


class _Room:
    """Room for the samples, the state and the results of lanes; see `control`."""

    def __init__(self, lanes: int, outputs: int, scheme: Scheme) -> None:
        nodes = max(level.size for levels in scheme.levels.values() for level in levels)
        self._samples, self._results = np.empty(nodes * lanes * outputs), np.empty(len(steps.RESULTS) * lanes * outputs)
        self._state = np.empty((lanes, outputs, len(steps.FIELDS)))

    def of(self, lanes: int) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64]]:
        """Samples, state and results of so many."""
        outputs = self._state.shape[1]
        samples = self._samples[: self._samples.size // len(self._state) * lanes]
        results = self._results[: len(steps.RESULTS) * lanes * outputs]
        return samples.reshape(-1, lanes, outputs), self._state[:lanes], results.reshape(-1, lanes, outputs)


@dataclass
class _Batch:
    """`count` lanes that go round together, at `which` places among all, and what is known of them; see `control`. The
    arrays may have room for more."""

    count: int
    which: Any  # slice or numbers
    scale: NDArray[float64]
    k: NDArray[float64]
    unit: NDArray[float64]
    caps: NDArray[float64]
    samples: NDArray[float64]
    state: NDArray[float64]
    results: NDArray[float64]
    whole: bool  # more than values is wanted

    @classmethod
    def late(cls, room: int, outputs: int, lanes: Lanes, scheme: Scheme, whole: bool) -> "_Batch":
        """Room for so many."""
        room = max(room, 2)  # arrays of one number hold for all lanes
        samples, state, results = _Room(room, outputs, scheme).of(room)
        unit = np.empty(room) if isinstance(lanes.unit, np.ndarray) else _unit(lanes, scheme)
        caps = _UNLIMITED if lanes.room is None else np.empty((3, room))
        scale, k = np.empty((2, room))
        return cls(0, np.empty(room, intp), scale, k, unit, caps, samples, state, results, whole)

    @property
    def arrays(self) -> tuple[NDArray[float64], ...]:
        """All but `which`, for the kernel `gather`."""
        return self.scale, self.k, self.unit, self.state, self.caps, self.samples, self.results


def _among(which: slice | NDArray[intp], chosen: NDArray[intp]) -> NDArray[intp]:
    """The places of the chosen lanes of a batch among all."""
    return chosen + which.start if isinstance(which, slice) else which[chosen]


def _first_round(
    function: Function, lanes: Lanes, which: slice, scheme: Scheme, room: _Room, whole: bool
) -> Generator[Judgement, None, _Batch]:
    """A tile's lanes after their first round."""
    centre = function.centre(which)
    count = len(centre)
    scale = lanes.scale
    k, least, unit, side, caps, usual = first_steps(lanes, scheme)
    samples, state, results = room.of(count)
    samples[0] = centre
    batch = _Batch(count, which, scale, k, unit, caps, samples, state, results, whole)
    h = np.empty(count)
    if usual and _finite(centre):
        backend.powers(k, h)
        yield from _judge(function, batch, scheme, _PLACES.index(scheme.first_side), 0, None, h, True)
        return batch
    k[:] = np.where((scale == 0) & (centre == 0).all(axis=1), np.maximum(k - scheme.closer_at_root, least), k)
    lost = np.zeros(count)  # the status of lanes that end before they begin
    lost[_of_side(caps, side, count) < least] = steps.NO_ROOM
    lost[~(np.isfinite(centre).any(axis=1) & np.isfinite(scale))] = steps.NOT_FINITE_HERE
    error, value, log_step, status = results
    i = np.flatnonzero(lost)
    value[i], error[i], log_step[i], status[i] = np.nan, np.inf, 0.0, lost[i, None]
    order, counts = _by_kind(lost, side, k - least < scheme.close)
    backend.powers(k[order], h[: order.size])
    yield from _round(function, batch, scheme, order, counts, h, True)
    return batch


def _in_order(chosen: NDArray[intp]) -> bool:
    return bool((chosen[1:] > chosen[:-1]).all())


def _finite(a: NDArray[float64]) -> bool:
    """Whether all numbers are finite; mostly their sum tells."""
    return bool(np.isfinite(a.sum()) or np.isfinite(a).all())


def _later_rounds(function: Function, batch: _Batch, scheme: Scheme) -> Judgements:
    order, h, going = np.arange(batch.count), np.empty(batch.count), batch.count
    while going:
        work = np.empty(going, intp)
        counts = backend.next_round(
            batch.state, batch.results[3], batch.scale, scheme.close, going, batch.k, order, work, h
        )
        going = sum(counts)
        yield from _round(function, batch, scheme, order, counts, h, False)


def _round(
    function: Function,
    batch: _Batch,
    scheme: Scheme,
    order: NDArray[intp],
    counts: list[int],
    h: NDArray[float64],
    fresh: bool,
) -> Judgements:
    """Samples and verdicts for the lanes in order, so many of each kind, with these steps."""
    end = 0
    for code, number in enumerate(counts):
        if number:
            begin, end = end, end + number
            yield from _judge(function, batch, scheme, *divmod(code, 4), order[begin:end], h[begin:end], fresh)


def _judge(
    function: Function,
    batch: _Batch,
    scheme: Scheme,
    place: int,
    at: int,
    chosen: NDArray[intp] | None,
    h: NDArray[float64],
    fresh: bool,
) -> Judgements:
    """The same for lanes of one kind, or all, on one side with the nodes of one level."""
    if chosen is not None and len(chosen) == batch.count and isinstance(batch.which, slice) and _in_order(chosen):
        chosen = None
    s = _PLACES[place]
    nodes = scheme.levels[s][at]
    known = scheme.levels[s][at - 1].size if at else 1
    _sample(function, batch.which, chosen, nodes.offsets[known:], h, batch.samples[known : nodes.size])
    yield (
        nodes.table, batch.samples, function.eps, batch.scale, batch.k, batch.unit, batch.caps,
        0 if s == steps.CLOSE else s, at, fresh, batch.whole, batch.state, batch.results, chosen,
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
        _put(old, chosen, new)


def _by_kind(
    lost: NDArray[float64], side: NDArray[intp] | int, close: NDArray[np.bool_]
) -> tuple[NDArray[intp], list[int]]:
    """The lanes that are not lost, sorted by kind, and how many there are of each; see `next_round`."""
    counts = [0] * 16
    place = np.where(np.equal(side, 0), np.where(close, 3, 0), np.where(np.greater(side, 0), 1, 2))
    kept = np.flatnonzero(lost == steps.RUNNING)
    counts[::4] = np.bincount(place[kept], minlength=4).tolist()
    return kept[np.argsort(place[kept], kind="stable")], counts


def first_steps(
    lanes: Lanes, scheme: Scheme
) -> tuple[NDArray[float64], NDArray[float64], NDArray[float64], NDArray[intp] | int, NDArray[float64], bool]:
    """log2 of the first step, of the least one and of one for a scale of one, the side, and log2 of the largest steps by
    side, of every lane; and whether all lanes are as usual, so that nothing else is to be minded."""
    k, least = np.empty((2, lanes.count))
    unit = _unit(lanes, scheme)
    usual = backend.start(lanes.scale, unit, scheme.unit, scheme.close, k, least)
    if lanes.room is None:
        return k, least, unit, scheme.first_side, _UNLIMITED, usual
    caps = _caps(lanes, scheme)
    if usual and (k <= caps[scheme.first_side]).all():
        return k, least, unit, scheme.first_side, caps, True
    side = np.full(lanes.count, scheme.first_side, dtype=intp)
    if scheme.first_side == 0:
        better = np.where(caps[1] >= caps[2], 1, -1)
        cramped = np.minimum(k, caps[0]) < np.minimum(k, np.maximum(caps[1], caps[2])) - 6.0
        side = np.where(cramped, better, side)
    k = np.maximum(np.minimum(k, _of_side(caps, side, lanes.count)), least)
    return k, least, unit, side, caps, False


def _of_side(caps: NDArray[float64], side: NDArray[intp] | int, count: int) -> NDArray[float64]:
    """Of each lane the cap on its side."""
    return np.asarray(np.broadcast_to(caps, (3, count))[np.broadcast_to(side, (count,)), np.arange(count)])


def _unit(lanes: Lanes, scheme: Scheme) -> NDArray[float64]:
    """log2 of the step for a scale of one: one for all lanes, or one for each."""
    one = np.array(lanes.unit, float64, ndmin=1)
    unit, unused = np.empty((2, one.size))
    backend.start(one, np.zeros(one.size), scheme.unit, scheme.close, unit, unused)
    return unit


def _caps(lanes: Lanes, scheme: Scheme) -> NDArray[float64]:
    """log2 of the largest steps by side, of every lane or one for all."""
    if lanes.room is None:
        return _UNLIMITED
    return np.stack([_cap(lanes.room, scheme, side) for side in (0, 1, -1)])


def _cap(room: NDArray[float64], scheme: Scheme, side: int) -> NDArray[float64]:
    if side not in scheme.levels:
        return np.full(room.shape[1], -np.inf)
    offsets = [t for level in scheme.levels[side] for t in level.offsets]
    return largest_exponent(room, max(offsets), -min(offsets))
