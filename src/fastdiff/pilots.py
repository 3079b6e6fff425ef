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
_QUARTILE = 0.3186  # a quarter of all normal deviates is smaller
_GOLDEN = (5**0.5 - 1) / 2
_TINY = 2.0**-1022

PerOctave = NDArray[Any]  # of the scale, see `octaves`


def taught(function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> Lanes:
    """The lanes, told by a few of them, the pilots, of the noise in f, and of first steps at which most end in their first
    round. Nothing is told that makes error bars much larger than those that the pilots have without.

    All goes by the octave of the scale. Which lanes are pilots follows from the number of lanes alone.
    """
    with np.errstate(all="ignore"):
        pilots = _Pilots(function, lanes, scheme, outputs)
        first, noise = np.repeat(scheme.first, OCTAVES), np.zeros(OCTAVES)
        best = pilots.trial(first, noise, np.ones(OCTAVES, bool))
        heard = pilots.noise(best)
        if not (best.known & ((best.share < 1.0 - GAIN) | (heard > 0))).any():
            return lanes
        pilots.finish(best)
        if heard.any():
            found = pilots.trial(first, heard, heard > 0)
            taken = found.known & found.alike & (found.share > best.share - GAIN)
            noise[taken] = heard[taken]
            best.take(found, taken)
        wanted = best.wanted
        for _ in range(TRIALS):
            open_ = best.known & (best.share < 1.0 - GAIN) & (wanted != 0)
            if not open_.any():
                break
            tried = np.where(open_, first + wanted, first)
            found = pilots.trial(tried, noise, open_)
            taken = found.known & found.alike & (found.share > best.share + GAIN)
            first[taken] = tried[taken]
            best.take(found, taken)
            wanted = np.where(open_, tried + found.wanted - first, wanted)
    return replace(lanes, first=first, noise=noise if noise.any() else None)


@dataclass
class _Outcome:
    """What came of a trial."""

    known: NDArray[np.bool_]  # whether there were pilots enough
    share: PerOctave  # of the pilots that ended
    wanted: PerOctave  # octaves by which the others want another step
    alike: NDArray[np.bool_]  # whether error bars are about the usual ones
    batch: Batch

    def take(self, other: "_Outcome", where: NDArray[np.bool_]) -> None:
        self.share = np.where(where, other.share, self.share)
        self.wanted = np.where(where, other.wanted, self.wanted)


class _Pilots:
    """Lanes spread evenly over all, without a pattern that these could have, too."""

    def __init__(self, function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> None:
        self.function, self.lanes, self.scheme, self.outputs = function, lanes, scheme, outputs
        count = max(PILOTS // outputs, LEAST_PILOTS)
        self.which = np.sort((np.arange(1, count + 1) * _GOLDEN % 1.0 * lanes.count).astype(intp))
        self.octave = octaves(lanes.scale[self.which])
        self.usual = np.full(count, np.inf)  # log2 of the error bars

    def trial(self, first: PerOctave, noise: PerOctave, chosen: NDArray[np.bool_]) -> _Outcome:
        """The first round with these first steps, and this noise, of the pilots in the chosen octaves."""
        among = np.flatnonzero(chosen[self.octave])
        which, octave = self.which[among], self.octave[among]
        lanes, room = (
            replace(self.lanes.part(which), first=first, noise=noise),
            Room(len(among), self.outputs, self.scheme),
        )
        batch = judged(first_round(self.function, lanes, which, self.scheme, room, True))
        status, k = batch.results[STATUS], batch.k.copy()
        ends, goes_on = (status == steps.CONVERGED).all(axis=1), (status == steps.RUNNING).any(axis=1)
        next_round(batch, self.scheme, np.arange(batch.count), batch.count)
        # where more nodes are wanted at the same step, a smaller one may do without
        moves = np.where(batch.k == k, -1.0, batch.k - k)
        growth = np.clip(_bars(batch) - self.usual[among], -2 * LOSS, 2 * LOSS)
        ended, going = np.bincount(octave[ends], minlength=OCTAVES), np.bincount(octave[goes_on], minlength=OCTAVES)
        return _Outcome(
            known=ended + going >= LEAST_PILOTS,
            share=ended / np.maximum(ended + going, 1),
            wanted=np.rint(np.bincount(octave[goes_on], moves[goes_on], OCTAVES) / np.maximum(going, 1)),
            alike=np.bincount(octave[ends], growth[ends], OCTAVES) <= LOSS * ended,
            batch=batch,
        )

    def finish(self, outcome: _Outcome) -> None:
        """All later rounds of all pilots; their error bars are the usual ones."""
        judged(later_rounds(self.function, outcome.batch, self.scheme))
        self.usual = _bars(outcome.batch)

    def noise(self, outcome: _Outcome) -> PerOctave:
        """The noise in f, where it is more than roundoff: from the highest coefficient, at steps so small that nothing else
        is left of it. Zero where that is not known."""
        level, side = self.scheme.levels[self.scheme.first_side][0], self.scheme.first_side
        lanes, centre, noise = self.lanes.part(self.which), outcome.batch.samples[0], np.zeros(OCTAVES)
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
        octave, size, largest = self.octave[usable], size[usable], largest[usable]
        order = np.lexsort((size, octave))
        found, begin, count = np.unique(octave[order], return_index=True, return_counts=True)
        deviation = size[order][begin + count // 4] / _QUARTILE
        roundoff = self.function.eps * np.bincount(octave, largest, OCTAVES)[found] / count
        heard = (count >= LEAST_PILOTS) & (deviation > roundoff)
        noise[found[heard]] = deviation[heard]
        return noise


def _bars(batch: Batch) -> NDArray[float64]:
    """log2 of the error bars of lanes, the mean over their outputs."""
    log: NDArray[float64] = np.log2(np.maximum(batch.results[ERROR], _TINY)).mean(axis=1)
    return log
