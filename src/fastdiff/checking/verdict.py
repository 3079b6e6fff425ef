"""The verdict on one derivative along one line.

Two looks at f bound it: that of the operators, and that of a ladder of differences, which also sees kinks. A derivative is
correct where both have room for it and one of them not much more. Bars hold almost always, not always, so a contradiction
is looked at again, by a ladder of other steps: a derivative is wrong where both ladders contradict it and each other they
do not, where there is no kink to explain it, and the operators do not speak for it. All else is inconclusive.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .. import steps
from .claims import Claim
from .ladder import Ladder, Reading
from .lines import Lines, Look

CORRECT, WRONG, INCONCLUSIVE = "correct", "wrong", "inconclusive"

NARROW = 0.05  # a bar of this share of the derivative says something about it
_OTHER = 1.375  # the factor of the steps of a second ladder: nodes at other points
_CHANGE = 100.0  # bars by which f has to change over the steps used, for a derivative near zero to be called zero
_JITTER = 8.0  # the given derivative's own noise may be off by this factor
COARSE = 1e-10  # unit roundoffs of float32 and less are larger
_ONE_OF_MANY = 0.01  # share of the tolerance of an entry that counts along a direction of many
_LARGEST = 0.1  # part of the largest that counts for small entries then
SHARP = 0.25  # of the least difference that counts: down to there bars are narrowed, where f allows


@dataclass(frozen=True)
class Judged:
    """One derivative: what was given, what was found, and what follows."""

    verdict: str
    given: float
    estimated: float
    error: float
    order: float = float("nan")
    reason: str = ""


@dataclass(frozen=True)
class Tolerance:
    """What a difference has to exceed beside the error bar: a share of the derivative, and of its parts."""

    share: float
    eps: float
    asked: bool

    def floor(
        self, given: NDArray[float64], found: NDArray[float64], most: NDArray[float64] | float = 0.0
    ) -> NDArray[float64]:
        """Of single entries. In float32 they are not exact to a share of their own, but to one of the largest, `most`."""
        size = np.maximum(np.abs(given), np.abs(np.nan_to_num(found)))
        return np.asarray(self.share * np.maximum(size, most * _LARGEST if self.eps > COARSE else 0.0))

    def along(self, parts: tuple[NDArray[float64], NDArray[float64]]) -> NDArray[float64]:
        """Of sums of many entries, whose largest part and root of the sum of squares are given.

        No more than their roundoff, and little beside the tolerance of the largest, so that an error in one of many
        entries stands out; but what a caller allows with `rtol` may add up.
        """
        largest, norm = parts
        if self.asked:
            return np.asarray(self.share * largest + 4.0 * self.share * norm)
        return np.asarray(np.maximum(64.0 * self.eps * norm, _ONE_OF_MANY * self.share * largest))

    def resolution(self, passes: NDArray[float64], most: NDArray[float64]) -> float:
        """What derivatives that pass may be off by, in units of the largest of their output: no less than the share that
        always may. 0 where all are zero."""
        with np.errstate(all="ignore"):
            share = passes / most
        return max(self.share, float(share[np.isfinite(share)].max(initial=0.0))) if (most > 0).any() else 0.0


def tolerance(rtol: float | None, eps: float) -> Tolerance:
    default = float(np.sqrt(eps))
    return Tolerance(max(rtol or 0.0, default), eps, rtol is not None and rtol > default)


def shortened(reason: str) -> str:
    """The engine's reason, as it fits a table."""
    return "f is not smooth near x, or noisy" if steps.REASONS[steps.NOT_SMOOTH] in reason else reason


@dataclass(frozen=True)
class Line:
    """The derivatives (outputs,) along one line: those given, and both looks at those of f.

    Differences up to `floor` do not count; errors below `matters` do not, if they cannot be seen. Bars of `enough` need
    not be narrower.
    """

    given: NDArray[float64]
    floor: NDArray[float64]
    matters: NDArray[float64]
    enough: NDArray[float64]
    look: Look
    ladder: Ladder
    reading: Reading

    @property
    def _better(self) -> NDArray[np.bool_]:
        """Where the operators' bar is the narrower one."""
        return np.asarray(self.look.converged & (self.look.error < self.reading.bar))

    @property
    def value(self) -> NDArray[float64]:
        return np.where(self._better, self.look.value, self.anchor + self.reading.gap)

    @property
    def error(self) -> NDArray[float64]:
        return np.where(self._better, self.look.error, self.reading.bar)

    @property
    def anchor(self) -> NDArray[float64]:
        """The slope that the reading is relative to."""
        return np.where(np.isfinite(self.given), self.given, 0.0)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Where the given derivative fits both looks, one of them narrowly, and nothing speaks of a kink."""
        reading, look = self.reading, self.look
        with np.errstate(all="ignore"):
            fits = np.isfinite(self.given) & (np.abs(reading.gap) <= reading.bar + self.floor)
            fits &= ~look.converged | (np.abs(self.given - look.value) <= look.error + self.floor)
            return np.asarray((fits & self.narrow & ~self.bent) | self.beside(reading))

    @property
    def narrow(self) -> NDArray[np.bool_]:
        """Where the bar leaves little room: beside the derivative, beside those that matter more, or beside what f does."""
        error = self.error
        size = np.maximum(np.abs(self.given), np.abs(self.value))
        turns = self.reading.change >= _CHANGE * error
        return np.asarray((error <= NARROW * size) | (error <= self.matters) | turns | (self.given == self.value))

    @property
    def bent(self) -> NDArray[np.bool_]:
        """Where there is a kink that changes the slope by what counts."""
        return np.asarray(self.reading.kinked & (np.abs(self.reading.kink) > self.floor))

    def beside(self, reading: Reading) -> NDArray[np.bool_]:
        """Where the given slope may be that on one side of a kink nearby that changes it by little.

        In float32 that is as much as can be known: steps long enough to rise above roundoff pass kinks of a network of
        ReLUs in nearly every entry. In float64 they need not.
        """
        if self.ladder.lines.eps < COARSE:
            return np.zeros(self.given.shape, bool)
        gap, kink = np.abs(reading.gap), np.abs(reading.kink)
        with np.errstate(all="ignore"):
            small = np.maximum(gap + reading.bar, kink) <= NARROW * np.abs(self.given)
            return np.asarray(small & (gap <= reading.bar + kink + reading.blur))

    @property
    def excess(self) -> NDArray[float64]:
        """By how many bars the given derivative is off."""
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.abs(self.given - self.value) / (self.error + self.floor), nan=0.0)


def look_along(
    lines: Lines,
    v: NDArray[float64],
    given: NDArray[float64],
    floor: NDArray[float64],
    matters: NDArray[float64],
    enough: NDArray[float64],
    look: Look,
    like: Line | None = None,
) -> Line:
    """Both looks at f along v, that of the operators being known; the other goes on to bars of `enough`, if it can.

    Step and roundoff are taken from a line that is `like` this one, if there is one.
    """
    ladder = (
        Ladder(lines, v, look.typical_step(lines, v))
        if like is None
        else Ladder(lines, v, like.ladder.useful, like.ladder.noise)
    )
    anchor = np.where(np.isfinite(given), given, 0.0)
    return Line(given, floor, matters, enough, look, ladder, ladder.read(anchor, enough))


def look_on(line: Line) -> Line:
    """The same with more steps, where its bars are not narrow yet."""
    wanted = np.where(line.narrow, np.inf, 0.5 * NARROW * np.abs(line.anchor))
    return replace(line, reading=line.ladder.read(line.anchor, wanted))


def judge(lines: Lines, claim: Claim, line: Line, outputs: NDArray[np.intp]) -> list[Judged]:
    """Second looks at outputs that the first ones left open. Evaluations are unlimited for what looks wrong."""
    if not outputs.size:
        return []
    given, v = line.anchor, line.ladder.v
    other = Ladder(lines, v, line.ladder.step * _OTHER, None if lines.most is None else line.ladder.noise)
    second = other.read(given, line.enough)
    orders = {i: line.ladder.order(given[i], i) for i in outputs.tolist()}

    def decided(line: Line, floor: NDArray[float64]) -> list[Judged]:
        return [_decide(line, second, i, float(floor[i]), order) for i, order in orders.items()]

    judged = decided(line, line.floor)
    if all(j.verdict == CORRECT for j in judged):
        return judged
    floor = line.floor + _JITTER * claim.noise(v)
    judged = decided(line, floor)
    if lines.most is not None and (_off(line.reading, floor) & _off(second, floor))[outputs].any():
        lines.most = None  # it looks wrong; what it takes to be sure may not end in a check that passes, however
        look = line.look if line.look.converged.any() else lines.look(v)
        line = replace(line, look=look, reading=line.ladder.read(given, line.enough))
        second = other.read(given, line.enough)
        judged = [j if j.verdict == WRONG else old for j, old in zip(decided(line, floor), judged)]
    if any(j.verdict == WRONG for j in judged):
        gone = line.ladder.refutes(given, line.reading.gap)
        for k, i in enumerate(orders):
            if judged[k].verdict == WRONG and gone[i]:
                judged[k] = replace(judged[k], verdict=INCONCLUSIVE, reason="f has another slope at smaller steps")
    return judged


def _off(reading: Reading, floor: NDArray[float64]) -> NDArray[np.bool_]:
    """Where a ladder contradicts the given slope."""
    return np.asarray(np.abs(reading.gap) > 2.0 * reading.bar + floor)


def _decide(line: Line, second: Reading, i: int, floor: float, order: float) -> Judged:
    first, look = line.reading, line.look
    given, estimated, error = float(line.given[i]), float(line.value[i]), float(line.error[i])
    reason = shortened(look.reason) if not look.converged[i] else ""
    known = bool(look.converged[i]) and bool(np.isfinite(look.value[i]))
    if not np.isfinite(given):
        if known:
            return Judged(WRONG, given, estimated, error, reason="given is not finite")
        return Judged(INCONCLUSIVE, given, estimated, error, reason=reason or "not finite")
    for reading in (first, second):
        if line.beside(reading)[i]:
            return Judged(CORRECT, given, given + float(reading.gap[i]), abs(float(reading.gap[i])), order)
    for reading in (first, second):
        if reading.kinked[i] and abs(reading.kink[i]) > line.floor[i]:
            slope, half = given + float(reading.gap[i]), abs(float(reading.kink[i]))
            reason = f"kink: slope {slope - half:.4g} on one side, {slope + half:.4g} on the other"
            return Judged(INCONCLUSIVE, given, slope, half, order, reason)
    gaps, bars = np.array([first.gap[i], second.gap[i]]), np.array([first.bar[i], second.bar[i]])
    off = float(np.abs(gaps).min())
    with np.errstate(all="ignore"):
        kinks = np.array([abs(r.kink[i]) + (r.blur[i] if np.isfinite(r.blur[i]) else 0.0) for r in (first, second)])
        # A slope that f does not follow at the steps that tell may be one of turns too fast to be seen.
        seen = (known and look.error[i] < off) or all(r.change[i] > 4.0 * r.bar[i] for r in (first, second))
        against = (np.abs(gaps) > 2.0 * bars + floor).all() and (np.nan_to_num(kinks) < 0.75 * off).all()
        hidden = "" if seen else "roundoff or noise of f hides the derivative"
        best = float(gaps[np.argmin(bars)])
        same = abs(gaps[0] - gaps[1]) <= bars.sum() + 0.3 * off
        aside = known and abs(given - look.value[i]) <= look.error[i] + floor and look.error[i] < 0.5 * off
        far = known and look.error[i] < off and abs(given + best - look.value[i]) > look.error[i] + 0.3 * off
    if against and same and seen and not aside and not far:
        if not (known and look.error[i] <= bars.min()):
            estimated, error = given + best, float(bars.min())
        return Judged(WRONG, given, estimated, error, order)
    if known and (np.abs(gaps) <= bars + floor).all() and bars.max() < 0.5 * abs(given - look.value[i]):
        known = False  # two that would see what the operators say, and do not
    # Both ladders together know more than each alone.
    share = np.square(bars.min() / bars)
    if np.isfinite(bars).all():
        looks = [(given + float((share * gaps).sum() / share.sum()), float(bars.min()))]
    else:
        looks = [(given + float(g), float(b)) for g, b in zip(gaps, bars) if np.isfinite(b)]
    if known:
        looks.append((float(look.value[i]), float(look.error[i])))
    value, bar = min(looks, key=lambda at: at[1], default=(estimated, float("inf")))
    if not abs(given - value) <= bar + floor:
        return Judged(INCONCLUSIVE, given, value, bar, order, reason or hidden or _mixed(given, value))
    if bar <= max(NARROW * max(abs(given), abs(value)), float(line.matters[i])) or line.narrow[i]:
        return Judged(CORRECT, given, value, max(bar, abs(given - value)), order)
    return Judged(INCONCLUSIVE, given, value, bar, order, reason or "roundoff or noise of f hides the derivative")


def _mixed(given: float, estimated: float) -> str:
    return f"given and estimated differ by {abs(given - estimated):.1e}, at the edge of what roundoff lets be seen"
