"""The verdict on one derivative along one line.

The operators' value and error bar decide where the given derivative lies within the bar and the bar is narrow. Bars hold
almost always, not always, so a contradiction is looked at again: by the remainder, which has to fall like t, and by
another difference from other samples, which has to contradict, too. Where the looks do not agree nothing is said.
"""

from dataclasses import dataclass

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .. import steps
from .claims import Claim
from .lines import Lines, Look, Remainder, remainder

CORRECT, WRONG, INCONCLUSIVE = "correct", "wrong", "inconclusive"

NARROW = 0.05  # a bar of this share of the derivative says something about it
_OTHER = 1.375  # the factor of the direction for a second look: nodes at other points
_CHANGE = 100.0  # bars by which f has to change over the steps used, for a derivative near zero to be called zero
_JITTER = 8.0  # the given derivative's own noise may be off by this factor


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

    def floor(self, given: NDArray[float64], found: NDArray[float64]) -> NDArray[float64]:
        """Of single entries."""
        return np.asarray(self.share * np.maximum(np.abs(given), np.abs(np.nan_to_num(found))))

    def along(self, parts: tuple[NDArray[float64], NDArray[float64]]) -> NDArray[float64]:
        """Of sums of many entries, whose largest part and root of the sum of squares are given.

        No more than their roundoff, so that an error in one of many entries stands out; but what a caller allows with
        `rtol` may add up.
        """
        largest, norm = parts
        return np.asarray(self.share * largest + 4.0 * self.share * norm if self.asked else 64.0 * self.eps * norm)


def tolerance(rtol: float | None, eps: float) -> Tolerance:
    default = float(np.sqrt(eps))
    return Tolerance(max(rtol or 0.0, default), eps, rtol is not None and rtol > default)


def shortened(reason: str) -> str:
    """The engine's reason, as it fits a table."""
    return "f is not smooth near x, or noisy" if steps.REASONS[steps.NOT_SMOOTH] in reason else reason


def narrow(error: NDArray[float64], given: NDArray[float64], found: NDArray[float64]) -> NDArray[np.bool_]:
    return np.asarray((error <= NARROW * np.maximum(np.abs(given), np.abs(found))) | (given == found))


def agrees(look: Look, given: NDArray[float64], floor: NDArray[float64]) -> NDArray[np.bool_]:
    """Where the first look suffices: a derivative found, and the given one within its bar."""
    with np.errstate(all="ignore"):
        return np.asarray(look.converged & (np.abs(given - look.value) <= look.error + floor))


def flat(lines: Lines, v: NDArray[float64], look: Look) -> NDArray[np.bool_]:
    """Whether a derivative within its bar of zero is zero because f turns there, and not because roundoff hides it."""
    t = 3.0 * float(np.max(look.step))
    beside = lines.at(v, np.array([t, -t]))
    with np.errstate(all="ignore"):
        change = np.nanmax(np.abs(beside - lines.here.astype(float64).reshape(-1)), axis=0, initial=0.0)
    return np.asarray(change >= _CHANGE * look.error * t)


def judge(
    lines: Lines,
    claim: Claim,
    v: NDArray[float64],
    given: NDArray[float64],
    first: Look,
    floor: NDArray[float64],
    outputs: NDArray[np.intp],
    matters: NDArray[float64],
    brief: bool = False,
) -> list[Judged]:
    """Second looks at outputs along v that the first left open. Errors below `matters` do not, if they cannot be seen.

    Brief ones are for few evaluations. They tell what is correct; what they do not call so is open.
    """
    if not outputs.size:
        return []
    steps = first.step[outputs]
    step = float(np.median(steps[np.isfinite(steps) & (steps > 0)])) if np.isfinite(steps).any() else 1.0
    found = remainder(lines, v, given, step, brief)
    second = None if brief else lines.look(v, _OTHER)
    noise = None
    judged = []
    for i in outputs.tolist():
        one = _decide(
            given[i], floor[i], matters[i], _pick(first, i), _pick(second, i) if second else _NOTHING, found[i]
        )
        if one.verdict == WRONG:
            noise = claim.noise(v) if noise is None else noise
            if abs(one.given - one.estimated) <= one.error + floor[i] + _JITTER * noise[i]:
                one = Judged(CORRECT, one.given, one.estimated, one.error + _JITTER * noise[i], one.order)
        judged.append(one)
    return judged


@dataclass(frozen=True)
class _Point:
    value: float
    error: float
    good: bool
    reason: str


_NOTHING = _Point(np.nan, np.inf, False, "")


def _pick(look: Look, i: int) -> _Point:
    value, error = float(look.value[i]), float(look.error[i])
    good = bool(look.converged[i]) and bool(np.isfinite(value)) and error < np.inf
    return _Point(value, error, good, shortened(look.reason))


def _decide(given: float, floor: float, matters: float, first: _Point, second: _Point, rest: Remainder) -> Judged:
    best = min((look for look in (first, second) if look.good), key=lambda look: look.error, default=first)
    estimated, error = best.value, best.error
    if rest.kink is not None:
        low, high = rest.kink
        reason = f"kink: slope {low:.4g} on one side, {high:.4g} on the other"
        return Judged(INCONCLUSIVE, given, (low + high) / 2, (high - low) / 2, rest.order, reason)
    if not np.isfinite(given):
        if best.good:
            return Judged(WRONG, given, estimated, error, reason="given is not finite")
        return Judged(INCONCLUSIVE, given, estimated, error, reason=best.reason or "not finite")

    def contradicts(look: _Point) -> bool:
        return look.good and abs(given - look.value) > 2.0 * look.error + floor

    def fits(look: _Point) -> bool:
        return look.good and abs(given - look.value) <= look.error + floor

    def narrowly(look: _Point) -> bool:
        return look.error <= NARROW * max(abs(given), abs(look.value)) or given == look.value

    if rest.wrong and abs(rest.gap) > floor:
        slope = given + rest.gap
        looks = [look for look in (first, second) if contradicts(look)]
        confirmed = [look for look in looks if abs(look.value - slope) <= look.error + 0.3 * abs(rest.gap)]
        # A look that fits speaks for the given derivative, unless its bar is so wide that it fits anything.
        if confirmed and not any(fits(look) and look.error < abs(rest.gap) for look in (first, second)):
            best = min(confirmed, key=lambda look: look.error)
            return Judged(WRONG, given, best.value, best.error, rest.order)
        return Judged(
            INCONCLUSIVE, given, estimated, max(error, abs(given - slope)), rest.order,
            best.reason or "the remainder says wrong, differences do not agree",
        )  # fmt: skip
    # What the remainder bounds more narrowly than the contradiction is, it refutes.
    against = any(contradicts(look) and rest.bar > 0.5 * abs(given - look.value) for look in (first, second))
    if (rest.right and not (against and np.isnan(rest.order))) or (rest.wrong and abs(rest.gap) <= floor):
        bar = max(rest.bar, floor)
        if (bar <= matters and not against) or bar <= NARROW * abs(given) or (fits(best) and narrowly(best)):
            if best.good and best.error <= bar:
                bar = max(best.error, abs(given - best.value))
                return Judged(CORRECT, given, best.value, bar, rest.order)
            return Judged(CORRECT, given, given, bar, rest.order)
        return Judged(
            INCONCLUSIVE, given, estimated, error, rest.order,
            best.reason or "roundoff or noise of f hides the derivative",
        )  # fmt: skip
    if any(fits(look) and narrowly(look) for look in (first, second)):
        return Judged(CORRECT, given, estimated, max(error, abs(given - estimated)), rest.order)
    if rest.bar <= matters and not against:
        return Judged(CORRECT, given, given, rest.bar, rest.order)
    return Judged(INCONCLUSIVE, given, estimated, error, rest.order, best.reason or _mixed(given, estimated))


def _mixed(given: float, estimated: float) -> str:
    return f"given and estimated differ by {abs(given - estimated):.1e}, at the edge of what roundoff lets be seen"
