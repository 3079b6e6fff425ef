"""First steps that many lanes learn from a few of them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps
from .functions import Function
from .lanes import OCTAVES, Lanes, octaves
from .rounds import ERROR, STATUS, Batch, Room, first_round, judged, later_rounds, next_round
from .steps import Scheme

MANY = 2**17  # lanes, from which on it is worth while
PILOTS, LEAST_PILOTS = 1024, 8  # elements that are tried, and lanes of an octave from which something is learned
ATTEMPTS = 4  # first steps that are tried
GAIN, LOSS = (
    0.05,
    2.0,
)  # what another one has to bring: lanes that end at once; and may cost: octaves of their error bars
_GOLDEN = (5**0.5 - 1) / 2
_TINY = 2.0**-1022


def with_first_steps(function: Function, lanes: Lanes, scheme: Scheme, outputs: int) -> Lanes:
    """The lanes with first steps at which most of them end in their first round, with error bars that are hardly larger.

    Some of them, the pilots, try the usual first step; where many want to go on with another one, the pilots whose scale
    lies in the same octave try that. Which lanes are pilots follows from the number of lanes alone.
    """
    count = max(PILOTS // outputs, LEAST_PILOTS)
    # spread evenly, without a pattern that the lanes could have, too
    which = np.sort((np.arange(1, count + 1) * _GOLDEN % 1.0 * lanes.count).astype(intp))
    octave, room = octaves(lanes.scale[which]), Room(count, outputs, scheme)
    first, share = np.repeat(scheme.first, OCTAVES), np.zeros(OCTAVES)
    best, usual = first.copy(), np.zeros(count)

    def total(of_each: NDArray[Any]) -> NDArray[float64]:
        """The sum in each octave."""
        return np.bincount(octave, of_each, OCTAVES).astype(float64, copy=False)

    with np.errstate(all="ignore"):
        for attempt in range(ATTEMPTS):
            pilots = replace(lanes.part(which), first=first)
            batch = judged(first_round(function, pilots, which, scheme, room, True))
            status, k = batch.results[STATUS], batch.k.copy()
            ends, goes_on = (status == steps.CONVERGED).all(axis=1), (status == steps.RUNNING).any(axis=1)
            if attempt == 0 and np.count_nonzero(goes_on) <= GAIN * count:
                break
            next_round(batch, scheme, np.arange(batch.count), batch.count)
            # where more nodes are wanted at the same step, a smaller one may do without
            move = np.where(batch.k == k, -1.0, batch.k - k) * goes_on
            ended, going = total(ends), total(goes_on)
            known = ended + going >= LEAST_PILOTS
            tries = known & (going > GAIN * (ended + going))
            better = known & (ended > (share + GAIN) * (ended + going))
            if attempt == 0:
                if tries.any():
                    judged(later_rounds(function, batch, scheme))
                usual = _bars(batch)
            else:
                better &= total(np.clip(_bars(batch) - usual, -4.0, 4.0) * ends) <= LOSS * ended
            best[better], share[better] = first[better], (ended / (ended + going))[better]
            first[tries] += np.rint(total(move) / going)[tries]
            again = tries[octave]
            which, octave, usual = which[again], octave[again], usual[again]
            if not which.size:
                break
    return lanes if (best == scheme.first).all() else replace(lanes, first=best)


def _bars(batch: Batch) -> NDArray[float64]:
    """log2 of the error bars of lanes, the mean over their outputs."""
    log: NDArray[float64] = np.log2(np.maximum(batch.results[ERROR], _TINY)).mean(axis=1)
    return log
