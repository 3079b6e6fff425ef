"""A slope along a line from differences at halving steps, extrapolated; and the kink that both sides of the point show.

With d(t) = (f(x + t v) - f(x - t v)) / 2t less the given slope, and e(t) = (f(x + t v) + f(x - t v) - 2 f(x)) / 2t:
where f is smooth, d(t) is a series in t**2 whose constant term is the error of the given slope, and e(t) one in odd powers,
without a constant term. So the remainder t d(t) falls like t where the slope is wrong, and like t**3 where it is right.
At a kink e(t) has a constant term, half the jump of the slope; and where the kink lies beside the point, too near for any
step to stay before it, so has d(t), of the same size.

Constant terms are extrapolated from every window of neighbouring steps (Richardson). Each has a bar: what the next lower
order makes of it, and roundoff, which is measured. The narrowest bar counts.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .lines import Lines

FIRST = 6  # steps to begin with
_MORE = 2  # steps to go on by
_MOST = 64  # steps
_ABOVE = 17.0  # the largest of the first, in steps of the operators; odd, so that nodes are not theirs
_FARTHEST = 1100.0  # of all, likewise
_WINDOW = 7  # steps that an extrapolation takes at most
_SEEN = 4.0  # roundoffs that a bar has room for
_CAUTION = 2.0  # truncation errors that it has room for
_KINK = 2.0  # bars that a kink has to rise above
_REFUTING = 4  # smallest steps that have to agree on the given slope, against all others
_TINY = 2.0**-16  # steps of the operators: where roundoff is measured
BOTH_SIDES, EVEN, ONE_SIDE = (2, 2), (1, 2), (1, 1)  # series in t: the first power, and from one to the next


@dataclass(frozen=True)
class Term:
    """Constant terms (outputs,), their bars, and of the steps they are from the first and the last.

    `rough` is the part of the bar that is roundoff's, `trusted` the largest step up to which the series converges.
    """

    value: NDArray[float64]
    bar: NDArray[float64]
    rough: NDArray[float64]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    trusted: NDArray[np.intp]


@dataclass(frozen=True)
class Reading:
    """What a ladder says (outputs,): by how much the slope is above the given one, and half the jump of the slope.

    `change` is how much f changes within the largest step that was used, per length of that step.
    """

    gap: NDArray[float64]
    bar: NDArray[float64]
    kink: NDArray[float64]
    blur: NDArray[float64]  # the bar of the kink; infinite where f has values on one side only
    change: NDArray[float64]

    @property
    def kinked(self) -> NDArray[np.bool_]:
        return np.asarray(np.abs(self.kink) > _KINK * self.blur)


class Ladder:
    """Values of f at x + t v and x - t v for halving t."""

    def __init__(self, lines: Lines, v: NDArray[float64], step: float, noise: NDArray[float64] | None = None) -> None:
        self.lines, self.v, self.step = lines, v, step
        self.useful = step  # where one along a similar line had better begin
        self.here = lines.here.astype(float64).reshape(-1)
        self.noise = roundoff(lines, v, step) if noise is None else noise
        self.t = np.empty(0)
        self.up = self.down = np.empty((0, self.here.size))
        self._add(_ABOVE * step * 0.5 ** np.arange(FIRST), below=True)

    def _add(self, t: NDArray[Any], below: bool) -> bool:
        """Sample at more steps, if there is room for them."""
        least, farthest = 8.0 * self.lines.eps * self.lines.scale(self.v), _FARTHEST * self.step
        t = t[(t >= least) & (t <= farthest) & (t <= max(self.lines.reach(self.v)))]
        if not t.size or self.t.size + t.size > _MOST or 2 * t.size > self.lines.left:
            return False
        new = t, self.lines.at(self.v, t), self.lines.at(self.v, -t)
        old = self.t, self.up, self.down
        self.t, self.up, self.down = (np.concatenate((a, b) if below else (b, a)) for a, b in zip(old, new))
        return True

    def read(self, given: NDArray[float64], enough: NDArray[float64]) -> Reading:
        """What follows for given slopes (outputs,), with more steps where those taken leave bars wider than `enough`."""
        while True:
            slope, kink = self._terms(given)
            way = self._way(slope, kink, enough)
            if way == 0 or not self._go(way):
                break
        reach = self.t[slope.first]
        self.useful = float(np.median(reach)) / _ABOVE
        within = self.t[:, None] <= reach
        with np.errstate(all="ignore"):
            moved = np.where(within, np.fmax(np.abs(self.up - self.here), np.abs(self.down - self.here)), 0.0)
        return Reading(slope.value, slope.bar, kink.value, kink.bar, np.nan_to_num(moved).max(axis=0) / reach)

    def _go(self, way: int) -> bool:
        end, factor = (self.t[-1], 0.5) if way < 0 else (self.t[0], 2.0)
        t = end * factor ** np.arange(1, _MORE + 1)
        return self._add(t if way < 0 else t[::-1], below=way < 0)

    def _way(self, slope: Term, kink: Term, enough: NDArray[float64]) -> int:
        """Where to go on: to smaller steps, -1, to larger ones, 1, or nowhere, 0."""
        end = len(self.t) - 1
        with np.errstate(all="ignore"):
            seen = np.abs(kink.value) > _KINK * kink.bar
            # smaller steps may stay before it
            near = seen & (np.abs(kink.value) * self.t[-1] > 4.0 * _SEEN * self.noise)
            open_ = ~(slope.bar <= enough)
            truncated = ~(slope.rough > 0.5 * slope.bar)
            gap = np.abs(slope.value)  # a kink has to be ruled out as the reason for it
            unknown = (gap > 2.0 * slope.bar) & (gap > enough) & (4.0 * kink.bar > gap) & (kink.rough < 0.5 * kink.bar)
            if (near | unknown | (open_ & truncated & (slope.last == end))).any():
                return -1
            return int((open_ & ~truncated & ~seen & (slope.first == 0)).any())

    def _terms(self, given: NDArray[float64]) -> tuple[Term, Term]:
        """The constant terms of d(t) and e(t)."""
        t = self.t[:, None]
        with np.errstate(all="ignore"):
            size = np.fmax(np.abs(self.up), np.abs(self.down))
            rough = np.fmax(np.fmax(self.noise, _half_unit(size, self.lines.eps)), self._quantum())
            slope = constant((self.up - self.down) / (2.0 * t) - given, rough / np.sqrt(2.0) / t, BOTH_SIDES)
            even = (self.up / 2 + self.down / 2 - self.here) / t
            kink = constant(even, np.hypot(rough / np.sqrt(2.0), self.noise) / t, EVEN, slope.trusted)
            lacking = ~np.isfinite(slope.bar)
            for side, sign in ((self.up, 1.0), (self.down, -1.0)):
                if lacking.any():
                    other = constant(sign * (side - self.here) / t - given, np.hypot(rough, self.noise) / t, ONE_SIDE)
                    slope = Term(*(np.where(lacking, a, b) for a, b in zip(vars(other).values(), vars(slope).values())))
                    lacking = ~np.isfinite(slope.bar)
        return slope, kink

    def _quantum(self) -> NDArray[float64]:
        """The least change of f where its values come in steps, as those of a rounded function do; else 0."""
        found = np.zeros(self.here.size)
        for side in (self.up, self.down):
            moved = np.abs(side - self.here)
            least = np.where(moved > 0, moved, np.inf).min(axis=0, initial=np.inf)
            steps = moved / least
            whole = np.abs(steps - np.rint(steps)) < 0.01
            stairs = (moved == 0).any(axis=0) & (whole | np.isnan(moved)).all(axis=0) & (steps > 1.5).any(axis=0)
            found = np.where(stairs & np.isfinite(least), np.fmax(found, least), found)
        return found

    def order(self, given: float, i: int) -> float:
        """The power of t with which the remainder of output i falls, where it is least and not roundoff; nan if nowhere."""
        with np.errstate(all="ignore"):
            off = np.abs((self.up[:, i] - self.down[:, i]) / (2.0 * self.t) - given)
            rough = np.fmax(self.noise[i], _half_unit(np.abs(self.up[:, i]), self.lines.eps)) / self.t
            seen = np.flatnonzero(off > _SEEN * rough)
            if len(seen) < 2 or seen[-1] != seen[-2] + 1:
                return float("nan")
            return float(1.0 + np.log2(off[seen[-2]] / off[seen[-1]]))

    def refutes(self, given: NDArray[float64], gap: NDArray[float64]) -> NDArray[np.bool_]:
        """Whether the given slope is there after all, at steps so small that only units of the last digit hide it.

        Goes down to them: what looks like a slope at larger steps has jumped over something then.
        """
        while self._go(-1):
            pass
        with np.errstate(all="ignore"):
            t = self.t[:, None]
            off = (self.up - self.down) / (2.0 * t) - given
            clear = 8.0 * _half_unit(np.abs(self.here), self.lines.eps) / t < 0.3 * np.abs(gap)
            last = len(clear) - 1 - np.argmax(clear[::-1], axis=0)
            rows = np.maximum(last - np.arange(_REFUTING)[:, None], 0)
            gone = np.fmax.reduce(np.abs(np.take_along_axis(off, rows, axis=0)), axis=0) <= 0.3 * np.abs(gap)
        return np.asarray(gone & clear.any(axis=0))


def roundoff(lines: Lines, v: NDArray[float64], step: float) -> NDArray[float64]:
    """Roundoff in values of f (outputs,), from third differences of close neighbours, which know nothing else."""
    here = lines.here.astype(float64).reshape(-1)
    reach = 2 if lines.most is not None else 4
    tiny = max(step * _TINY, 16.0 * lines.eps * lines.scale(v))
    beside = lines.at(v, tiny * np.array([k for k in range(-reach, reach + 1) if k]))
    samples = np.insert(beside, reach, np.where(np.isfinite(here), here, np.nan), axis=0)
    with np.errstate(all="ignore"):
        third = np.abs(np.diff(samples, 3, axis=0))
        unit = np.fmax(np.fmax.reduce(third, axis=0, initial=0.0), 1e-300)  # squares may overflow
        known = np.isfinite(third).sum(axis=0)
        heard = unit * np.sqrt(np.nansum(np.square(third / unit), axis=0) / (20.0 * np.maximum(known, 1)))
        heard *= 1.0 + 3.0 / np.maximum(known, 1)  # the fewer they are, the likelier they are small by chance
        return np.asarray(np.fmax(heard, _half_unit(np.abs(here), lines.eps)))


def _half_unit(size: NDArray[float64], eps: float) -> NDArray[float64]:
    """Half a unit of the last digit."""
    with np.errstate(all="ignore"):
        return np.asarray(np.fmax(0.5 * eps * np.exp2(np.floor(np.log2(size))), 5e-324))


@cache
def _weights(series: tuple[int, int]) -> list[NDArray[float64]]:
    """Of 1, 2, 3, ... neighbouring steps, largest first: those that leave of a series in t the constant term alone."""
    rows = [np.ones(1)]
    for k in range(_WINDOW - 1):
        c = 2.0 ** (series[0] + k * series[1])
        rows.append((c * np.append(0.0, rows[-1]) - np.append(rows[-1], 0.0)) / (c - 1.0))
    return rows


def constant(
    values: NDArray[float64], rough: NDArray[float64], series: tuple[int, int], first: NDArray[np.intp] | None = None
) -> Term:
    """The constant term of a series in t, known at halving t (steps, outputs) with some roundoff, from `first` on."""
    steps, outputs = values.shape
    at, end = np.arange(outputs), np.full(outputs, steps - 1)
    trusted = np.maximum(_trusted(values, rough), 0 if first is None else first)
    best = [np.full(outputs, x) for x in (np.nan, np.inf, np.nan)] + [end, end]
    unit = np.fmax(np.fmax.reduce(rough, axis=0, initial=0.0), 1e-300)  # squares may overflow
    lower, before = values, np.zeros(values.shape)
    for count, w in enumerate(_weights(series)[:steps], 1):
        windows = steps - count + 1
        value = sum((w[i] * values[i : i + windows] for i in range(count)), np.zeros(()))
        if count > 1:
            noise = sum((np.square(w[i] * (rough[i : i + windows] / unit)) for i in range(count)), np.zeros(()))
            noise = _SEEN * unit * np.sqrt(noise)
            # What the window's largest step changes. It tells how far off the value is if it is less than what the next
            # largest changed, by far; if not, that one does. It may be small by chance, but not so much less than that
            # of the window without its least step; and the next window is nearer by more than roundoff then.
            change = np.abs(value - lower[1:])
            without, smaller = before[:windows], before[1 : windows + 1]
            apart = np.where(4.0 * change > smaller, np.maximum(change, smaller), change)
            apart = np.maximum(apart, without * 2.0 ** (-series[1] * (count - 1)))
            apart[:-1] = np.maximum(apart[:-1], np.abs(np.diff(value, axis=0)) - noise[1:])
            before = change
            bar = _CAUTION * apart + noise
            bar = np.where(np.isnan(bar) | (np.arange(windows)[:, None] < trusted), np.inf, bar)
            k = np.argmin(bar, axis=0)
            better = bar[k, at] < best[1]
            found = value[k, at], bar[k, at], noise[k, at], k, k + count - 1
            best = [np.where(better, new, old) for new, old in zip(found, best)]
        lower = value
    # Differences that grow towards smaller steps down to the least belong to a series that does not converge.
    best[1] = np.where(trusted > steps - 3, np.inf, best[1])
    value, bar, noise, start, last = best
    return Term(value, bar, noise, start, last, trusted)


def _trusted(values: NDArray[float64], rough: NDArray[float64]) -> NDArray[np.intp]:
    """The largest step (outputs,) up to which the values come apart ever more, as a series does that converges.

    Where they do not, they have jumped over a kink, or over whole periods, and may agree by accident.
    """
    apart = np.abs(np.diff(values, axis=0))
    limit = _SEEN * np.hypot(rough[1:], rough[:-1])
    largest, on = np.zeros(values.shape[1]), np.ones(values.shape[1], bool)
    trusted = np.full(values.shape[1], len(values) - 1)
    for k in reversed(range(len(apart))):
        on &= apart[k] + limit[k] >= largest  # False for nan, too
        trusted[on] = k
        largest = np.fmax(largest, apart[k] - limit[k])
    return trusted
