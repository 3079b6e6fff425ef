"""Second derivatives: every entry of a Hessian, or random pairs of directions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .. import operators
from .claims import Claim, Matrix, largest_and_norm
from .lines import Lines, Look
from .parameters import Parameters
from .search import TOGETHER, Finding, Outcome, axis, halved, passing, random_direction, worst_first
from .verdict import CORRECT, INCONCLUSIVE, NARROW, WRONG, Judged, Tolerance

_PAIRS = 3  # of random directions, when nobody says how many
_LOOKS = ((1.375, 1.0), (0.8125, 1.6875))  # factors of the two directions, for samples at other points


@dataclass(frozen=True)
class Pair:
    """One comparison along two directions."""

    given: NDArray[float64]
    look: Look
    floor: NDArray[float64]
    largest: NDArray[float64]  # of what adds up to `given`

    @property
    def excess(self) -> NDArray[float64]:
        """By how many bars the given derivative is off; 0 where no bar is known."""
        look = self.look
        with np.errstate(all="ignore"):
            off = np.abs(self.given - look.value) / (look.error + self.floor)
        return np.where(look.converged, np.nan_to_num(off), 0.0)


def bilinear(lines: Lines, u: NDArray[float64], v: NDArray[float64], a: float = 1.0, b: float = 1.0) -> Look:
    """The second derivative along u and v."""
    along, across = lines.reach(a * u), lines.reach(b * v)

    def f(s: NDArray[float64], t: NDArray[float64]) -> NDArray[float64]:
        # Called with numbers, or with arrays of them.
        moves = np.stack(np.broadcast_arrays(s, t), axis=-1)
        values = [lines.call(z[None] if lines.vectorized else z) for z in lines.z + moves.reshape(-1, 2) @ sides]
        return np.reshape(values, moves.shape[:-1])

    sides = np.stack((a * u, b * v))
    room = [(-0.5 * back, 0.5 * forth) for forth, back in (along, across)]
    bounds = None if lines.bounds is None else room
    found = operators.mixed_partial(f, 0.0, 0.0, orders=(1, 1), bounds=bounds, full_output=True)  # type: ignore[arg-type]
    return Look.of(found, a * b)


def _second_look(
    lines: Lines, u: NDArray[float64], v: NDArray[float64], given: float, floor: float, first: Look
) -> Judged:
    """A contradiction needs two looks that contradict the given value, and not each other."""
    looks = [first, *(bilinear(lines, u, v, a, b) for a, b in _LOOKS)]
    good = [look for look in looks if look.converged[0] and np.isfinite(look.value[0])]
    if not good:
        return Judged(INCONCLUSIVE, given, float(first.value[0]), float(first.error[0]), reason=first.reason)
    best = min(good, key=lambda look: float(look.error[0]))
    value, error = float(best.value[0]), float(best.error[0])
    off = [abs(given - float(look.value[0])) for look in good]
    fits = [o <= float(look.error[0]) + floor for o, look in zip(off, good)]
    narrow = [float(look.error[0]) <= NARROW * max(abs(given), abs(float(look.value[0]))) for look in good]
    if any(fit and sharp for fit, sharp in zip(fits, narrow)):
        return Judged(CORRECT, given, value, error)
    against = [o > 2.0 * float(look.error[0]) + floor for o, look in zip(off, good)]
    apart = max(abs(float(look.value[0]) - value) for look in good)
    if sum(against) >= 2 and not any(fits) and apart <= 0.25 * min(off):
        return Judged(WRONG, given, value, error)
    reason = first.reason or "second derivatives from different samples do not agree"
    return Judged(INCONCLUSIVE, given, value, max(error, apart), reason=reason)


def every_entry(lines: Lines, claim: Claim, limit: Tolerance) -> Outcome:
    """All entries of a Hessian (d, d)."""
    found = operators.hessian(lines.call, lines.z, **lines.options())
    d = len(lines.z)
    assert isinstance(claim.here, Matrix)
    given = claim.here.dense()
    value, error, good = (np.reshape(a, (d, d)) for a in (found.value, found.error, found.converged))
    floor = limit.floor(given, value)
    with np.errstate(all="ignore"):
        ok = good & (np.abs(given - value) <= error + floor)
        excess = np.where(good, np.nan_to_num(np.abs(given - value) / (error + floor), nan=np.inf), 1.0) * ~ok
        size = np.where(lines.z == 0, 1.0, np.abs(lines.z))
        unit = size[:, None] * size
        weight = float((np.maximum(np.abs(np.nan_to_num(given)), np.abs(np.nan_to_num(value))) * unit).max())
        if not given.any():  # nothing curves: bars are narrow beside what f does
            slope = operators.gradient(lines.call, lines.z, **lines.options()).value
            weight = max(weight, float(np.abs(np.nan_to_num(slope) * size).max()))
        vague = ok & (error * unit > NARROW * weight) & (given != value)
    open_ = ~ok | vague
    findings: list[Finding] = []
    order = [divmod(int(k), d) for k in np.argsort(-excess, axis=None, kind="stable") if open_.flat[k]]
    for count, (i, j) in enumerate(order):
        settled = any(f.judged.verdict != CORRECT for f in findings)
        if count >= TOGETHER and settled:
            clear = good[i, j] and excess[i, j] > 4.0 and any(f.judged.verdict == WRONG for f in findings)
            reason = "" if clear else (found.reason or "the error bar is too wide")
            one = Judged(WRONG if clear else INCONCLUSIVE, given[i, j], value[i, j], error[i, j], reason=reason)
        else:
            at = np.array([value[i, j]]), np.array([error[i, j]]), np.array([1.0]), np.array([good[i, j]])
            first = Look(*at, found.reason)
            one = _second_look(lines, axis(d, i), axis(d, j), float(given[i, j]), float(floor[i, j]), first)
            if one.verdict == WRONG and abs(one.given - one.estimated) <= 8.0 * claim.noise(axis(d, j))[i]:
                one = Judged(CORRECT, one.given, one.estimated, abs(one.given - one.estimated))
        findings.append(Finding(one, i, j, second=i))
    shown = worst_first(findings)
    for i, j in np.argwhere(~open_)[:8].tolist():
        shown.append(Finding(Judged(CORRECT, given[i, j], value[i, j], error[i, j]), i, j, second=i))
    passes = passing(~open_, error, floor, findings)
    return Outcome(tuple(shown), given.size, 0, limit.resolution(passes * unit, np.full(given.shape, weight)))


def random_pairs(
    lines: Lines, claim: Claim, limit: Tolerance, parameters: Parameters, count: int | None, seed: int
) -> Outcome:
    """u H v for random u and v, and v H u, as f's Hessian is symmetric; where one fails, the entry to blame."""
    rng = np.random.default_rng(seed)
    findings: list[Finding] = []
    done, resolution = 0, 0.0

    def probe(u: NDArray[float64], v: NDArray[float64], hv: NDArray[float64]) -> Pair:
        look = bilinear(lines, u, v)
        given = np.array([u @ hv])
        parts = largest_and_norm(np.abs(u * hv)[None])
        return Pair(given, look, limit.along(parts), parts[0])

    for k in range(count or _PAIRS):
        u, v = (random_direction(rng, parameters, lines, True) for _ in range(2))
        done += 1
        for left, right in ((u, v), (v, u)):
            hv = claim.along(right)
            one = probe(left, right, hv)
            given = float(one.given[0])
            ok = bool(one.look.converged[0]) and abs(given - one.look.value[0]) <= one.look.error[0] + one.floor[0]
            sharp = one.look.error[0] <= NARROW * max(abs(given), abs(one.look.value[0])) or given == one.look.value[0]
            if ok and sharp:
                judged = Judged(CORRECT, given, float(one.look.value[0]), float(one.look.error[0]))
            else:
                judged = _second_look(lines, left, right, given, float(one.floor[0]), one.look)
            if judged.verdict == CORRECT:
                resolution = max(resolution, limit.resolution(judged.error + one.floor, one.largest))
            findings.append(Finding(judged, 0, label=f"directions {2 * k + 1} and {2 * k + 2}"))
            if judged.verdict == WRONG:
                blamed = _blame(lines, left, right, claim, one, limit, hv, probe)
                return Outcome(tuple(worst_first([*blamed, *findings])), 2 * done, 2 * done, resolution)
    return Outcome(tuple(worst_first(findings)), 2 * done, 2 * done, resolution)


def _blame(
    lines: Lines,
    u: NDArray[float64],
    v: NDArray[float64],
    claim: Claim,
    one: Pair,
    limit: Tolerance,
    hv: NDArray[float64],
    probe: Callable[[NDArray[float64], NDArray[float64], NDArray[float64]], Pair],
) -> list[Finding]:
    """Halve u to the row, then v to the column."""
    rows, _, one = halved(u, np.flatnonzero(u), one, lambda part: probe(part, v, hv))
    if len(rows) > 1:
        return []
    i = int(rows[0])
    e = axis(len(u), i)

    def along_row(part: NDArray[float64]) -> Pair:
        return probe(e, part, claim.along(part))

    columns, _, _ = halved(v, np.flatnonzero(v), one, along_row)
    if len(columns) > 1:
        return []
    j = int(columns[0])
    one = along_row(axis(len(v), j))
    floor = float(limit.floor(one.given, one.look.value)[0])
    judged = _second_look(lines, e, axis(len(v), j), float(one.given[0]), floor, one.look)
    return [Finding(judged, i, j, second=i)]
