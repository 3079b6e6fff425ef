"""The engine for automatic steps: estimates along every lane of a call, in tiles that stay in cache, on several threads."""

from collections.abc import Iterator
from threading import Thread

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps, threads
from .config import available_cpus
from .functions import Function
from .kernels import backend
from .lanes import Estimates, Lanes, joined
from .pilots import MANY, taught
from .rounds import (
    STATUS,
    VALUE,
    Batch,
    Judgements,
    Room,
    caps_of,
    first_round,
    judged,
    later_rounds,
    put,
)
from .steps import Scheme

TILE = 16000  # elements (lanes times outputs) that go round together: what they need stays in cache
LATE = 6000  # elements that make it worth while to go on with those that need more rounds than most


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
    elif count >= MANY and function.alike:
        lanes = taught(function, lanes, scheme, outputs)
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
            part = parts[i] if parts else function
            if part.makes_rounds and not isinstance(lanes.unit, np.ndarray):
                _replayed_span(part, lanes, spans[i], scheme, found, whole)
            else:
                _span(part, lanes, spans[i], size, scheme, found, beside)

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
    rooms = [Room(min(size, left), outputs, scheme) for _ in range(2 if beside else 1)]
    spare: list[Batch] = []
    late: Batch | None = None
    enough = max(LATE // outputs, 1)
    most = min(enough + size, left)

    def gathered() -> Judgements:
        """Later rounds of the lanes that are late, when they are many, or all have begun."""
        nonlocal late
        if late is None or (late.count < enough and left):
            return
        own, late = late, None
        yield from later_rounds(function, own, scheme)
        _keep(found, own)
        own.count = 0
        spare.append(own)

    def tile(which: slice, room: Room) -> Judgements:
        nonlocal left, late
        batch = yield from first_round(function, lanes.part(which), which, scheme, room, whole)
        going = np.count_nonzero(batch.results[STATUS] == steps.RUNNING)
        if 2 * going > batch.results[STATUS].size:  # they have company enough
            yield from later_rounds(function, batch, scheme)
        elif going:
            if late is None:
                late = spare.pop() if spare else Batch.late(most, outputs, lanes, scheme, whole)
            late.count = backend.gather(batch.arrays, late.arrays, which.start, late.which, late.count)
        _keep(found, batch)
        rooms.append(room)
        left -= batch.count
        yield from gathered()

    def tasks() -> Iterator[Judgements]:
        for at in range(span.start, span.stop, size):
            yield tile(slice(at, min(at + size, span.stop)), rooms.pop())

    _do(tasks(), beside)


def _replayed_span(
    function: Function, lanes: Lanes, span: slice, scheme: Scheme, found: NDArray[float64], whole: bool
) -> None:
    """The same by a function that makes rounds itself, faster, but for lanes that have little company, and odd ones."""
    levels = [(level.table, np.array(level.offsets), level.highest) for level in scheme.levels[scheme.first_side]]
    most = min(LATE + TILE, span.stop - span.start)
    late, odd, odds = Batch.late(most, 1, lanes, scheme, whole), np.empty(most, intp), 0
    caps, side = caps_of(lanes.part(span), scheme), scheme.first_side
    over = scheme.first if lanes.first is None else lanes.first
    at = span.start
    while at < span.stop:
        at, late.count, odds = function.rounds(
            slice(at, span.stop), levels, function.eps, lanes.scale, late.unit, over, lanes.noise, scheme.close, caps,
            span.start, side, whole, found, late.arrays, late.which, late.count, odd, odds, LATE,
        )  # fmt: skip
        if late.count >= LATE or at == span.stop:
            judged(later_rounds(function, late, scheme))
            _keep(found, late)
            late.count = 0
        if odds >= LATE or (odds and at == span.stop):
            which = odd[:odds]
            batch = judged(first_round(function, lanes.part(which), which, scheme, Room(odds, 1, scheme), whole))
            judged(later_rounds(function, batch, scheme))
            _keep(found, batch)
            odds = 0


def _keep(found: NDArray[float64], batch: Batch) -> None:
    """Of the results of a batch those rows that are wanted, at its places among all."""
    which = batch.which if isinstance(batch.which, slice) else batch.which[: batch.count]
    for row, of_batch in zip(found, batch.results if batch.whole else batch.results[VALUE : VALUE + 1]):
        put(row, which, of_batch[: batch.count])


def _do(tasks: Iterator[Judgements], beside: bool) -> None:
    """Do all tasks in this thread and, if `beside`, judge in another one what they want judged when it is not busy; the next
    task begins meanwhile. No more than two are under way."""
    if not beside:
        for task in tasks:
            judged(task)
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
