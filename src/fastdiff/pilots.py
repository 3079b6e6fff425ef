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
PILOTS, LEAST_PILOTS = 1024, 8  # elements that are tried, and lanes of an octave from which something is learned
TRIALS = 4  # of first steps
GAIN = 0.05  # share of the lanes that has to end at once for another first step
LOSS = 2.0  # octaves by which error bars may grow
QUIET = 6.0  # octaves below the first step at which the highest coefficient is nothing but noise
_MEDIAN = 0.6745  # half of all normal deviates are smaller
_GOLDEN = (5**0.5 - 1) / 2
_TINY = 2.0**-1022
_SIGNS = OCTAVES // 2  # octaves of either sign

PerGroup = NDArray[Any]  # of pilots in the same octave of the scale


def taught(function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> Lanes:
    """The lanes, told by a few of them, the pilots, of the noise in f, and of first steps at which most end in their first
    round. Nothing is told that makes error bars much larger than those that the pilots have without.

    All goes by the octave of the scale. Which lanes are pilots follows from the number of lanes alone.
    """
    with np.errstate(all="ignore"):
        pilots = _Pilots(function, lanes, scheme, outputs)
        first, noise = np.full(len(pilots.count), scheme.first), np.zeros(len(pilots.count))
        usual = pilots.trial(first, noise, pilots.count > 0)
        known, share, step = usual.count >= LEAST_PILOTS, usual.share, first + usual.wanted
        heard = np.where(known, pilots.noise(usual), 0.0)
        open_ = known & ((share < 1.0 - GAIN) | (heard > 0))
        if not open_.any():
            return lanes
        pilots.finish(usual)
        for _ in range(TRIALS):
            listens = heard > noise  # noise that is known may be all that was wanting
            tried, told = np.where(listens, first, step), np.maximum(noise, heard)
            found = pilots.trial(tried, told, open_, listens)
            taken = open_ & found.alike & (found.share > share + np.where(listens, -GAIN, GAIN))
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
    alike: NDArray[np.bool_]  # whether error bars are about the usual ones
    batch: Batch


class _Pilots:
    """Lanes spread evenly over all, without a pattern that these could have, too."""

    def __init__(self, function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> None:
        self.function, self.lanes, self.scheme, self.outputs = function, lanes, scheme, outputs
        number = np.arange(1, max(PILOTS // outputs, LEAST_PILOTS) + 1)
        self.which = np.sort((number * _GOLDEN % 1.0 * lanes.count).astype(intp))
        self.octave, self.group, self.count = np.unique(
            octaves(lanes.scale[self.which]), return_inverse=True, return_counts=True
        )
        self.usual = np.full(len(number), np.inf)  # log2 of the error bars

    def table(self, of_groups: PerGroup, elsewhere: NDArray[float64] | float = 0.0) -> NDArray[float64]:
        """The same for all octaves."""
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

    def trial(
        self, first: PerGroup, noise: PerGroup, chosen: NDArray[np.bool_], to_end: NDArray[np.bool_] | None = None
    ) -> _Outcome:
        """The first round with these first steps, and this noise, of the pilots in the chosen groups. Bars are compared of
        those that end in it, in the groups `to_end` of all, in the end."""
        among = np.flatnonzero(chosen[self.group])
        which, group, count = self.which[among], self.group[among], len(self.count)
        lanes = replace(self.lanes.part(which), first=self.table(first, self.scheme.first), noise=self.table(noise))
        room = Room(len(among), self.outputs, self.scheme)
        batch = judged(first_round(self.function, lanes, which, self.scheme, room, True))
        status, k = batch.results[STATUS], batch.k.copy()
        ends, goes_on = (status == steps.CONVERGED).all(axis=1), (status == steps.RUNNING).any(axis=1)
        next_round(batch, self.scheme, np.arange(batch.count), batch.count)
        # where more nodes are wanted at the same step, a smaller one may do without
        moves = np.where(batch.k == k, -1.0, batch.k - k)
        ended, going = np.bincount(group[ends], minlength=count), np.bincount(group[goes_on], minlength=count)
        wanted = np.bincount(group[goes_on], moves[goes_on], count) / np.maximum(going, 1)
        compared = ends
        if to_end is not None and to_end.any():
            judged(later_rounds(self.function, batch, self.scheme))
            compared = ends | to_end[group]
        growth = np.clip(_bars(batch) - self.usual[among], -2 * LOSS, 2 * LOSS)
        return _Outcome(
            count=ended + going,
            share=ended / np.maximum(ended + going, 1),
            wanted=np.rint(wanted),
            alike=np.bincount(group[compared], growth[compared] - LOSS, count) <= 0.0,
            batch=batch,
        )

    def finish(self, outcome: _Outcome) -> None:
        """All later rounds of all pilots; their error bars are the usual ones."""
        judged(later_rounds(self.function, outcome.batch, self.scheme))
        self.usual = _bars(outcome.batch)

    def noise(self, outcome: _Outcome) -> PerGroup:
        """The noise in f, where it is more than roundoff: from the highest coefficient, at steps so small that nothing else
        is left of it. Zero where that is not known."""
        level, side = self.scheme.levels[self.scheme.first_side][0], self.scheme.first_side
        lanes, centre, noise = self.lanes.part(self.which), outcome.batch.samples[0], np.zeros(len(self.count))
        if self.outputs > 1:
            return noise
        k, least, _, _, caps, _ = first_steps(lanes, self.scheme)
        usable = (k - QUIET - least >= max(self.scheme.close, 0.0)) & (k <= caps[side])
        usable &= np.isfinite(lanes.scale) & (lanes.scale != 0) & np.isfinite(centre[:, 0])
        samples = np.empty((level.size - 1, *centre.shape))
        h = np.where(usable, np.exp2(k - QUIET), 0.0)
        self.function.sample_nodes(self.which, level.offsets[1:], h, samples)
        size = np.abs(level.highest @ (samples - centre)[:, :, 0])
        largest = np.maximum(np.abs(samples).max(axis=0), np.abs(centre))[:, 0]
        usable &= np.isfinite(size)
        group, size, largest = self.group[usable], size[usable], largest[usable]
        order, count = np.lexsort((size, group)), np.bincount(group, minlength=len(noise))
        heard = count >= LEAST_PILOTS
        middle = (np.cumsum(count) - count + count // 2)[heard]
        deviation = size[order][middle] / _MEDIAN
        roundoff = self.function.eps * (np.bincount(group, largest, len(noise)) / count)[heard]
        noise[heard] = np.where(deviation > roundoff, deviation, 0.0)
        return noise


def _bars(batch: Batch) -> NDArray[float64]:
    """log2 of the error bars of lanes, the mean over their outputs."""
    log: NDArray[float64] = np.log2(np.maximum(batch.results[ERROR], _TINY)).mean(axis=1)
    return log
