"""What many lanes learn from a few of them: the noise in f, and first steps that suit it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps
from .functions import Function
from .lanes import OCTAVES, Lanes, octaves
from .rounds import ERROR, STATUS, Batch, Room, first_round, first_steps, judged, later_rounds, next_round
from .steps import Scheme

MANY = 2**17  # lanes, from which on it is worth while
CANDIDATES = 2048  # elements of which pilots are taken
PILOTS, LEAST_PILOTS = 128, 8  # lanes of an octave that are tried at most, and from which something is learned
TRIALS = 4  # of first steps
GAIN = 0.05  # share of the lanes that has to end at once for another first step
LOSS, MOST_LOSS = 2.0, 5.0  # octaves by which error bars may grow on average, and of all but a
FEW = 0.01  # of the lanes
QUIET = 6.0  # octaves below the first step at which the highest coefficient is nothing but noise
UNEVEN = 128.0  # times the quietest eighth, from which on the loudest is not the noise of an octave
_MEDIAN, _LOUD = 0.6745, 1.534  # half, and seven eighths, of all normal deviates are smaller
_GOLDEN = (5**0.5 - 1) / 2
_TINY = 2.0**-1022
_SIGNS = OCTAVES // 2  # octaves of either sign

PerGroup = NDArray[Any]  # of pilots in the same octave of the scale


def taught(function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> Lanes:
    """The lanes, told by a few of them, the pilots, of the noise in f, and of first steps at which most end in their first
    round. Nothing is told that makes error bars much larger than those that the pilots have without.

    All goes by the octave of the scale. Which lanes are pilots follows from the scales alone.
    """
    with np.errstate(all="ignore"):
        pilots = _Pilots(function, lanes, scheme, outputs)
        first, noise = np.full(len(pilots.count), scheme.first), np.zeros(len(pilots.count))
        usual = pilots.trial(first, noise, np.ones(len(first), bool))
        known, share, step = usual.count >= LEAST_PILOTS, usual.share, first + usual.wanted
        heard = np.where(known, pilots.noise(usual), 0.0)
        open_ = known & ((share < 1.0 - GAIN) | (heard > 0))
        if not open_.any():
            return lanes
        pilots.usual = pilots.bars(usual)
        for _ in range(TRIALS):
            listens = heard > noise  # the usual first step may do once the noise is known
            tried, told = np.where(listens, first, step), np.maximum(noise, heard)
            found = pilots.trial(tried, told, open_)
            taken = open_ & (found.share > share + np.where(listens, -GAIN, GAIN)) & pilots.alike(found, listens)
            first, noise, share = np.where(taken, [tried, told, found.share], [first, noise, share])
            step = np.where(taken | ~listens, tried + found.wanted, step)
            heard = np.where(taken, heard, 0.0)
            open_ &= (share < 1.0 - GAIN) & (step != tried)
            if not open_.any():
                break
    return pilots.tell(first, noise, known)


@dataclass(frozen=True)
class _Outcome:
    """What came of a trial."""

    count: PerGroup  # of pilots that ended or go on
    share: PerGroup  # of those that ended
    wanted: PerGroup  # octaves by which the others want another step
    among: NDArray[intp]  # which pilots these are
    batch: Batch  # to go on with


class _Pilots:
    """Lanes spread evenly over all, without a pattern that these could have, too, and over their octaves."""

    def __init__(self, function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> None:
        self.function, self.lanes, self.scheme, self.outputs = function, lanes, scheme, outputs
        number = np.arange(1, CANDIDATES // outputs + 1)
        which = np.sort((number * _GOLDEN % 1.0 * lanes.count).astype(intp))
        found = octaves(lanes.scale[which])
        every = np.bincount(found, minlength=OCTAVES)
        self.octave, group = np.flatnonzero(every), (np.cumsum(every > 0) - 1)[found]
        count, order = every[self.octave], np.argsort(group.astype(np.int16), kind="stable")
        rank = np.arange(len(order)) - (np.cumsum(count) - count)[group[order]]
        chosen = np.sort(order[rank % -(-count // PILOTS)[group[order]] == 0])  # so that rare octaves have some, too
        self.which, self.group = which[chosen], group[chosen]
        self.count = np.bincount(self.group)
        self.usual = np.full(len(chosen), np.inf)  # log2 of the error bars

    def table(self, of_groups: PerGroup, elsewhere: NDArray[float64] | float = 0.0) -> NDArray[float64]:
        """What these groups have, as a table of all octaves."""
        table = np.full(OCTAVES, elsewhere)
        table[self.octave] = of_groups
        return table

    def tell(self, first: PerGroup, noise: PerGroup, known: NDArray[np.bool_]) -> Lanes:
        """The lanes with what is known. Where there are too few pilots, as near to zero, the step is that of the next octave
        away from zero, if it was not x that this went by."""
        if (first == self.scheme.first).all() and not noise.any():
            return self.lanes
        every = np.repeat(self.scheme.first, OCTAVES)
        begin = 0
        for octave, step in zip(self.octave[known].tolist(), first[known].tolist()):
            begin = max(begin, octave // _SIGNS * _SIGNS)
            if step != self.scheme.first:
                every[begin : octave + 1] = step + np.arange(octave - begin, -1, -1)
            begin = octave + 1
        return replace(self.lanes, first=every, noise=self.table(noise) if noise.any() else None)

    def trial(self, first: PerGroup, noise: PerGroup, chosen: NDArray[np.bool_]) -> _Outcome:
        """The first round with these first steps, and this noise, of the pilots in the chosen groups."""
        among = np.flatnonzero(chosen[self.group])
        which, group, count = self.which[among], self.group[among], len(self.count)
        lanes = replace(self.lanes.part(which), first=self.table(first, self.scheme.first), noise=self.table(noise))
        room = Room(len(among), self.outputs, self.scheme)
        batch = judged(first_round(self.function, lanes, which, self.scheme, room, True))
        status, k = batch.results[STATUS], batch.k.copy()
        ends, goes_on = (status == steps.CONVERGED).all(axis=1), (status == steps.RUNNING).any(axis=1)
        next_round(batch, self.scheme, np.arange(batch.count), batch.count)  # for batch.k, the steps that they want
        # where more nodes are wanted at the same step, a smaller one may do without
        moves = np.where(batch.k == k, -1.0, batch.k - k)
        ended, going = np.bincount(group[ends], minlength=count), np.bincount(group[goes_on], minlength=count)
        return _Outcome(
            count=ended + going,
            share=ended / np.maximum(ended + going, 1),
            wanted=np.rint(np.bincount(group[goes_on], moves[goes_on], count) / np.maximum(going, 1)),
            among=among,
            batch=batch,
        )

    def bars(self, outcome: _Outcome) -> NDArray[float64]:
        """log2 of the error bars of its pilots in the end, the mean over their outputs."""
        judged(later_rounds(self.function, outcome.batch, self.scheme))
        log: NDArray[float64] = np.log2(np.maximum(outcome.batch.results[ERROR], _TINY)).mean(axis=1)
        return log

    def alike(self, outcome: _Outcome, listens: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the bars of a group are about the usual ones: on average, and of nearly every pilot, but where noise was
        told, without which many a bar is too small."""
        growth, group, count = (
            self.bars(outcome) - self.usual[outcome.among],
            self.group[outcome.among],
            len(self.count),
        )
        compared = np.isfinite(self.usual[outcome.among])  # not where f is not finite, or not smooth
        growth, group = np.clip(growth[compared], -2 * LOSS, None), group[compared]
        mean = np.bincount(group, np.minimum(growth, 2 * LOSS), count) / np.bincount(group, minlength=count)
        worse = np.bincount(group[~(growth <= MOST_LOSS)], minlength=count)
        found: NDArray[np.bool_] = (mean <= LOSS) & (listens | (worse <= FEW * self.count))
        return found

    def noise(self, outcome: _Outcome) -> PerGroup:
        """The noise in f, where it is more than roundoff: from the highest coefficient, at steps so small that nothing else
        is left of it. Zero where that is not known."""
        if self.outputs > 1:
            return np.zeros(len(self.count))
        side = self.scheme.first_side
        level, lanes = self.scheme.levels[side][0], self.lanes.part(self.which)
        centre, noise = outcome.batch.samples[0], np.zeros(len(self.count))
        k, least, _, _, caps, _ = first_steps(lanes, self.scheme)
        usable = (k - QUIET - least >= max(self.scheme.close, 0.0)) & (k <= caps[side])
        usable &= np.isfinite(lanes.scale) & (lanes.scale != 0) & np.isfinite(centre[:, 0])
        samples = np.empty((level.size - 1, *centre.shape))
        h = np.where(usable, np.exp2(k - QUIET), 0.0)
        self.function.sample_nodes(self.which, level.offsets[1:], h, samples)
        # not by @: threads of BLAS wait busily for more, on a processor that the tiles could use
        size = np.abs(sum(w * (row - centre)[:, 0] for w, row in zip(level.highest, samples, strict=True)))
        largest = np.maximum(np.abs(samples).max(axis=0), np.abs(centre))[:, 0]
        usable &= np.isfinite(size)
        group, size = self.group[usable], size[usable]
        over = size / (self.function.eps * largest[usable])  # its own roundoff
        count = np.bincount(group, minlength=len(noise))
        begin, heard = np.cumsum(count) - count, count >= LEAST_PILOTS
        by_size, begin, count = size[np.lexsort((size, group))], begin[heard], count[heard]
        quiet, loud = by_size[begin + count // 8], by_size[begin + 7 * count // 8]  # that one holds for nearly all
        usual = over[np.lexsort((over, group))][begin + count // 2] / _MEDIAN
        noise[heard] = np.where((usual > 1.0) & (loud < UNEVEN * quiet), loud / _LOUD, 0.0)
        return noise
