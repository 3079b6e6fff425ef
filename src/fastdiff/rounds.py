"""Rounds of a batch of lanes: each has a step, and goes round until the step control accepts it.

Rounds ask the function for samples at the nodes of many lanes, have the control kernel judge them, and repeat with the
lanes that are not done. They know neither what an operator makes of the estimates nor how the function is called.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps
from .functions import Function
from .kernels import backend
from .lanes import Lanes, largest_exponent
from .steps import Scheme

# Rounds that ask for judgements, with the arguments of the kernel `control`, and go on when they are made.
Judgement = tuple[Any, ...]
Judgements = Generator[Judgement, None, None]
ERROR, VALUE, STATUS = (steps.RESULTS.index(row) for row in ("error", "value", "status"))
UNLIMITED = np.full((3, 1), float(steps.LARGEST))  # log2 of the largest steps where there are no bounds
_PLACES = (0, 1, -1, steps.CLOSE)  # the sides in the order of the kernel `next_round`


def judged(judgements: Generator[Judgement, None, Any]) -> Any:
    """What comes of rounds, with every judgement made at once."""
    while True:
        try:
            backend.control(*next(judgements))
        except StopIteration as end:
            return end.value


class Room:
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
class Batch:
    """`count` lanes that go round together, at `which` places among all, and what is known of them; see `control`. The
    arrays may have room for more."""

    count: int
    which: Any  # slice or numbers
    scale: NDArray[float64]
    k: NDArray[float64]
    unit: NDArray[float64]
    caps: NDArray[float64]
    noise: NDArray[float64] | None  # known before the first round
    samples: NDArray[float64]
    state: NDArray[float64]
    results: NDArray[float64]
    whole: bool  # more than values is wanted

    @classmethod
    def late(cls, room: int, outputs: int, lanes: Lanes, scheme: Scheme, whole: bool) -> "Batch":
        """Room for so many."""
        room = max(room, 2)  # arrays of one number hold for all lanes
        samples, state, results = Room(room, outputs, scheme).of(room)
        unit = np.empty(room) if isinstance(lanes.unit, np.ndarray) else _unit(lanes, scheme)
        caps = UNLIMITED if lanes.room is None else np.empty((3, room))
        scale, k = np.empty((2, room))
        return cls(0, np.empty(room, intp), scale, k, unit, caps, None, samples, state, results, whole)

    @property
    def arrays(self) -> tuple[NDArray[float64], ...]:
        """All but `which`, for the kernel `gather`."""
        return self.scale, self.k, self.unit, self.state, self.caps, self.samples, self.results


def _among(which: slice | NDArray[intp], chosen: NDArray[intp]) -> NDArray[intp]:
    """The places of the chosen lanes of a batch among all."""
    return chosen + which.start if isinstance(which, slice) else which[chosen]


def first_round(
    function: Function, lanes: Lanes, which: slice | NDArray[intp], scheme: Scheme, room: Room, whole: bool
) -> Generator[Judgement, None, Batch]:
    """A tile's lanes after their first round."""
    centre = function.centre(which) if isinstance(which, slice) else function.sample(which, np.zeros(len(which)))
    count = len(centre)
    scale = lanes.scale
    k, least, unit, side, caps, usual = first_steps(lanes, scheme)
    samples, state, results = room.of(count)
    samples[0] = centre
    noise = None
    if lanes.noise is not None:
        noise = np.empty(count)
        backend.by_octave(scale, lanes.noise, noise)
    batch = Batch(count, which, scale, k, unit, caps, noise, samples, state, results, whole)
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


def later_rounds(function: Function, batch: Batch, scheme: Scheme) -> Judgements:
    order, going = np.arange(batch.count), batch.count
    while going:
        counts, h = next_round(batch, scheme, order, going)
        going = sum(counts)
        yield from _round(function, batch, scheme, order, counts, h, False)


def next_round(batch: Batch, scheme: Scheme, order: NDArray[intp], going: int) -> tuple[list[int], NDArray[float64]]:
    """How many lanes of each kind go on, of the first `going` in order, and their steps; sorts them, and changes `batch.k`."""
    h, work = np.empty(going), np.empty(going, intp)
    counts = backend.next_round(
        batch.state, batch.results[STATUS], batch.scale, scheme.close, going, batch.k, order, work, h
    )
    return counts, h


def _round(
    function: Function,
    batch: Batch,
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
    batch: Batch,
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
    if fresh and batch.noise is not None:
        backend.believe(nodes.highest, batch.samples, batch.noise, chosen)
    yield (
        nodes.table, batch.samples, function.eps, batch.scale, batch.k, batch.unit, batch.caps, batch.noise,
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
        put(old, chosen, new)


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
    over = scheme.first
    if lanes.first is not None:
        over = k
        backend.by_octave(lanes.scale, lanes.first, k)
    usual = backend.start(lanes.scale, unit, over, scheme.close, k, least)
    if lanes.room is None:
        return k, least, unit, scheme.first_side, UNLIMITED, usual
    caps = caps_of(lanes, scheme)
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
    backend.start(one, np.zeros(one.size), scheme.first, scheme.close, unit, unused)
    return unit


def caps_of(lanes: Lanes, scheme: Scheme) -> NDArray[float64]:
    """log2 of the largest steps by side, of every lane or one for all."""
    if lanes.room is None:
        return UNLIMITED
    return np.stack([_cap(lanes.room, scheme, side) for side in (0, 1, -1)])


def _cap(room: NDArray[float64], scheme: Scheme, side: int) -> NDArray[float64]:
    if side not in scheme.levels:
        return np.full(room.shape[1], -np.inf)
    offsets = [t for level in scheme.levels[side] for t in level.offsets]
    return largest_exponent(room, max(offsets), -min(offsets))


def put(row: NDArray[float64], at: NDArray[intp] | slice, values: NDArray[float64]) -> None:
    """row[at] = values, both (lanes, outputs): single columns much faster."""
    if row.shape[1] == 1:
        row[:, 0][at] = values[:, 0]
    else:
        row[at] = values
