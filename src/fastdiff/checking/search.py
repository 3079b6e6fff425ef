"""Which derivatives are compared: every entry, or random directions and, where one fails, ever smaller parts of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from .. import operators
from .claims import Claim, Matrix
from .lines import BRIEF_COST, Lines, Look
from .parameters import Parameters, named
from .verdict import CORRECT, INCONCLUSIVE, NARROW, WRONG, Judged, Tolerance, agrees, flat, judge, narrow, shortened

DIRECTIONS = 4  # when nobody says how many
_SINGLE = 1e-10  # float32 and coarser have a larger unit roundoff
_ENOUGH = 60  # evaluations that a default number of directions stays within, after the first
_BRIEF_BAR = 1e-2  # share of the derivative that a brief look alone has to settle
_TOGETHER = 8  # lines looked at a second time, before it is asked whether that suffices
_LISTED = 1000  # entries that are wrong or unclear in a report
_FOUND = 3  # wrong entries to be tracked down
_BLOCKS = 64  # arrays to be compared one by one when a direction fails


@dataclass(frozen=True)
class Finding:
    """A judgement and what it is about: outputs by number, entries of x by number, or a direction."""

    judged: Judged
    output: int
    entry: int | None = None  # of x; None: a direction
    label: str = ""  # for directions and blocks
    second: int | None = None  # the other entry of x, in second derivatives


@dataclass(frozen=True)
class Outcome:
    """All that was found, worst first; how much was compared; the widest error bar of what agreed, relative to the
    largest derivatives."""

    findings: tuple[Finding, ...]
    compared: int
    directions: int
    resolution: float


def every_entry(lines: Lines, claim: Claim, limit: Tolerance, scalar: bool) -> Outcome:
    """All entries of a Jacobian (outputs, d), or of a gradient."""
    operator = operators.gradient if scalar else operators.jacobian
    found, bent = lines.watching_axes(lambda: operator(lines.call, lines.z, **lines.options()))
    d = len(lines.z)
    value, error, step, good = (
        np.array(a).reshape(-1, d) for a in (found.value, found.error, found.h, found.converged)
    )
    assert isinstance(claim.here, Matrix)
    given = claim.here.dense()
    floor = limit.floor(given, value)
    units = np.eye(d) if d <= 200 else None

    def unit_vector(j: int) -> NDArray[float64]:
        return units[j] if units is not None else axis(d, j)

    def column(j: int) -> Look:
        return Look(value[:, j], error[:, j], step[:, j], good[:, j], found.reason)

    with np.errstate(all="ignore"):
        close = good & (np.abs(given - value) > floor)
    for j in np.flatnonzero(close.any(axis=0)).tolist():
        better = lines.sharpened(unit_vector(j), column(j), given[:, j], floor[:, j])
        value[:, j], error[:, j], step[:, j] = better.value, better.error, better.step
    every = Look(value, error, step, good, found.reason)
    ok = agrees(every, given, floor) & ~every.close(given, floor)
    sharp = narrow(error, given, value)
    with np.errstate(all="ignore"):
        unit = np.where(lines.z == 0, 1.0, np.abs(lines.z))
        weight = np.where(np.isfinite(given), np.maximum(np.abs(given), np.abs(np.nan_to_num(value))), 0.0) * unit
        small = error * unit <= NARROW * weight.max(axis=1, keepdims=True)
    vague = ok & ~sharp & ~small
    matters = NARROW * weight.max(axis=1, keepdims=True) / unit
    for j in np.flatnonzero(vague.any(axis=0)).tolist():
        vague[:, j] &= ~flat(lines, unit_vector(j), column(j))
    # What only seems to be bent at the point is looked at like what does not agree, and passes if it is not.
    open_ = ~ok | vague | bent
    findings: list[Finding] = []
    with np.errstate(all="ignore"):
        excess = np.abs(given - value) / (error + floor)
    excess = np.where(good, np.nan_to_num(excess, nan=np.inf), 1.0) * open_
    order = np.argsort(-excess.max(axis=0, initial=0.0), kind="stable")
    columns = [j for j in order.tolist() if open_[:, j].any()]
    unclear = [j for j in columns if not good[open_[:, j], j].all()]  # some of what no bar is known for, too
    columns = [*dict.fromkeys([*columns[: _TOGETHER - 2], *unclear[:2], *columns])]
    for count, j in enumerate(columns):
        if count >= _TOGETHER and any(f.judged.verdict != CORRECT for f in findings):
            break
        outputs = np.flatnonzero(open_[:, j])
        outputs = outputs[np.argsort(-excess[outputs, j], kind="stable")]
        judged = judge(lines, claim, unit_vector(j), given[:, j], column(j), floor[:, j], outputs, matters[:, j])
        findings += [Finding(one, i, j) for one, i in zip(judged, outputs.tolist())]
    looked = {(f.output, f.entry) for f in findings}
    wrong_somewhere = any(f.judged.verdict == WRONG for f in findings)
    for at in np.argwhere(open_)[:_LISTED].tolist():
        i, j = int(at[0]), int(at[1])
        if (i, j) not in looked:  # like those that were looked at
            clear = wrong_somewhere and good[i, j] and excess[i, j] > 4.0
            verdict = WRONG if clear else INCONCLUSIVE
            reason = "" if clear else (shortened(found.reason) or "the error bar is too wide")
            findings.append(Finding(Judged(verdict, given[i, j], value[i, j], error[i, j], reason=reason), i, j))
    shown = worst_first(findings)
    best = np.where(ok & ~vague, error, 0.0)
    agreed = np.argwhere(ok & ~vague)
    by_size = np.argsort(-(weight / np.maximum(weight.max(axis=1, keepdims=True), 1e-300))[ok & ~vague], kind="stable")
    for i, j in agreed[by_size[:8]].tolist():
        shown.append(Finding(Judged(CORRECT, given[i, j], value[i, j], error[i, j]), i, j))
    with np.errstate(all="ignore"):
        resolution = np.nan_to_num((best * unit).max(axis=1) / weight.max(axis=1), nan=0.0, posinf=0.0)
    return Outcome(tuple(shown), given.size, 0, float(resolution.max(initial=0.0)))


def axis(d: int, j: int) -> NDArray[float64]:
    e = np.zeros(d)
    e[j] = 1.0
    return e


def worst_first(findings: list[Finding]) -> list[Finding]:
    rank = {WRONG: 0, INCONCLUSIVE: 1, CORRECT: 2}

    def size(f: Finding) -> float:
        share = abs(f.judged.given - f.judged.estimated) / max(abs(f.judged.given), abs(f.judged.estimated), 1e-300)
        return -share if np.isfinite(share) else -np.inf

    return sorted(findings, key=lambda f: (rank[f.judged.verdict], f.entry is None, size(f)))


def random_direction(
    rng: np.random.Generator, parameters: Parameters, lines: Lines, relative: bool
) -> NDArray[float64]:
    """Every entry moves, up or down, by a share of its own size or, if not `relative`, of that of its array.

    Lengths are short dyadic numbers, so that points along the direction are exact in float32, too, and differ, so
    that equal errors in two entries do not cancel.
    """
    z = parameters.vector
    overall = float(np.sqrt(np.mean(np.square(z)))) or 1.0
    size = np.empty(len(z))
    for leaf in parameters.leaves:
        part = z[leaf.start : leaf.stop]
        rms = float(np.sqrt(np.mean(np.square(part)))) if part.size else 0.0
        typical = rms if np.isfinite(rms) and rms > 0 else overall if np.isfinite(overall) else 1.0
        own = np.where(part == 0, typical, np.abs(part)) if relative else np.full(part.shape, typical)
        size[leaf.start : leaf.stop] = own
    size = np.exp2(np.floor(np.log2(np.clip(np.nan_to_num(size, nan=1.0, posinf=1.0), 2.0**-1000, 2.0**1000))))
    v = size * rng.integers(16, 32, len(z)) / 16.0 * rng.choice([-1.0, 1.0], len(z))
    up, down = lines.space
    inside = np.where((up <= 0) & (v > 0) | (down <= 0) & (v < 0), -v, v)
    return np.asarray(inside * ((up > 0) | (down > 0)))


def _contradiction(look: Look, given: NDArray[float64], floor: NDArray[float64]) -> NDArray[float64]:
    """By how many bars each output is off; 0 where no bar is known."""
    with np.errstate(all="ignore"):
        return np.where(look.converged, np.nan_to_num(np.abs(given - look.value) / (look.error + floor)), 0.0)


@dataclass(frozen=True)
class Probe:
    """One comparison along a direction: the given derivatives, the look at f, and the tolerance, per output."""

    given: NDArray[float64]
    look: Look
    floor: NDArray[float64]
    total: NDArray[float64]  # at most the sum of the sizes of all parts

    @property
    def excess(self) -> NDArray[float64]:
        return _contradiction(self.look, self.given, self.floor)

    def within(self, i: int, limit: Tolerance) -> bool:
        """Whether errors below the tolerance in every entry can add up to this one."""
        off = abs(self.given[i] - self.look.value[i])
        return bool(off <= self.look.error[i] + limit.share * self.total[i])

    def judged(self, i: int, verdict: str) -> Judged:
        return Judged(verdict, float(self.given[i]), float(self.look.value[i]), float(self.look.error[i]))


def random_directions(
    lines: Lines, claim: Claim, limit: Tolerance, parameters: Parameters, count: int | None, seed: int
) -> Outcome:
    """Directional derivatives along random directions; where they fail, the arrays and entries that are to blame."""
    rng = np.random.default_rng(seed)
    findings: list[Finding] = []
    vague: list[Finding] = []  # said nothing, which is no matter if other directions do
    resolved = np.zeros(lines.here.size, bool)
    resolution, done, most = 0.0, 0, 0

    def probe(v: NDArray[float64]) -> Probe:
        given, parts = claim.along(v), claim.here.parts(v)
        floor = limit.along(parts)
        look = lines.sharpened(v, lines.look(v), given, floor)
        return Probe(given, look, floor, parts[1] * np.sqrt(np.count_nonzero(v)))

    # Without a wish, no more evaluations than are left beside a brief second look.
    sparing = _ENOUGH - BRIEF_COST - 2 if count is None else None
    for k in range(count or DIRECTIONS):
        if sparing is not None and done and lines.nfev + most > sparing:
            break
        relative = k % 2 == 0 or parameters.eps > _SINGLE  # in float32 steps that suit small entries leave large ones
        v = random_direction(rng, parameters, lines, relative)
        before = lines.nfev
        lines.most = sparing
        one = probe(v)
        lines.most = None
        given, look = one.given, one.look
        if done and sparing is not None and not np.isfinite(look.error).any() and lines.nfev >= sparing - 8:
            break  # cut short
        most = max(most, lines.nfev - before)
        done += 1
        label = f"direction {k + 1}"
        ok = agrees(look, given, one.floor) & ~look.close(given, one.floor)
        sharp = narrow(look.error, given, look.value)
        if (ok & ~sharp).any():
            sharp |= flat(lines, v, look)
        ok &= sharp & ~np.asarray(look.bent)
        resolved |= ok
        outputs = np.flatnonzero(~ok)
        outputs = outputs[np.argsort(-one.excess[outputs], kind="stable")][:_TOGETHER]
        matters = NARROW * claim.here.parts(v)[1]
        doubtful = []
        fits = agrees(look, given, one.floor)[outputs]
        hope = fits | ~look.converged[outputs]  # else it may be an error, which takes more
        if sparing is not None and outputs.size and hope.all() and lines.nfev + BRIEF_COST <= _ENOUGH:
            doubtful = judge(lines, claim, v, given, look, one.floor, outputs, matters, brief=True)
            sure = [
                j.verdict == CORRECT and (fit or j.error <= _BRIEF_BAR * abs(j.given)) for j, fit in zip(doubtful, fits)
            ]
            doubtful = doubtful if all(sure) else []
        if not doubtful:
            doubtful = judge(lines, claim, v, given, look, one.floor, outputs, matters)
        if any(j.verdict == WRONG for j in doubtful):
            blamed = list(_blame(lines, claim, parameters, v, one, limit, probe))
            if not any(f.judged.verdict == WRONG for f in blamed):
                fine = bool(blamed) and all(f.judged.verdict == CORRECT for f in blamed)
                doubtful = [_unblamed(j, fine) if j.verdict == WRONG else j for j in doubtful]
            findings += blamed
        for judged, i in zip(doubtful, outputs.tolist()):
            resolved[i] |= judged.verdict == CORRECT
            soft = judged.verdict == INCONCLUSIVE and not relative and not judged.reason.startswith("kink")
            (vague if soft else findings).append(Finding(judged, i, label=label))
        for i in np.flatnonzero(ok)[: 8 if k == 0 else 2].tolist():
            j = Judged(CORRECT, float(given[i]), float(look.value[i]), float(look.error[i]))
            findings.append(Finding(j, i, label=label))
        with np.errstate(all="ignore"):
            share = look.error / np.maximum(np.abs(given), np.abs(look.value))
        resolution = max(resolution, float(np.nan_to_num(share[ok], posinf=0.0).max(initial=0.0)))
        if any(f.judged.verdict == WRONG for f in findings):
            break
    if not any(f.judged.verdict == WRONG for f in findings):
        for f in vague:
            if not resolved[f.output]:
                findings.append(f)
    return Outcome(tuple(worst_first(findings)), done, done, resolution)


def _unblamed(judged: Judged, fine: bool) -> Judged:
    """A direction that is wrong where no part of it is: correct if no entry is off by more than the tolerance."""
    if fine:
        return replace(judged, verdict=CORRECT, error=max(judged.error, abs(judged.given - judged.estimated)))
    return replace(judged, verdict=INCONCLUSIVE, reason="wrong along the direction, but no part of it is")


def masked(v: NDArray[float64], which: NDArray[intp]) -> NDArray[float64]:
    part = np.zeros(v.shape)
    part[which] = v[which]
    return part


def _blame(
    lines: Lines,
    claim: Claim,
    parameters: Parameters,
    v: NDArray[float64],
    whole: Probe,
    limit: Tolerance,
    probe: Callable[[NDArray[float64]], Probe],
) -> Iterator[Finding]:
    """Entries and arrays that are wrong, found by halving a direction along which the derivative is."""

    def confirm(which: NDArray[intp], one: Probe) -> Finding | None:
        """What a second look says of a part of the direction: correct, too, where errors too small to count add up."""
        i = int(np.argmax(one.excess))
        part = masked(v, which)
        judged = judge(lines, claim, part, one.given, one.look, one.floor, np.array([i]), 0.0 * one.floor)[0]
        if judged.verdict == WRONG and one.within(i, limit):
            return Finding(replace(judged, verdict=CORRECT, error=abs(judged.given - judged.estimated)), i)
        return Finding(judged, i) if judged.verdict != INCONCLUSIVE else None

    leaves = [leaf for leaf in parameters.leaves if v[leaf.start : leaf.stop].any()]
    suspects: list[tuple[NDArray[intp], Probe]] = [(np.flatnonzero(v), whole)]
    if 1 < len(leaves) <= _BLOCKS:
        parts = [leaf.start + np.flatnonzero(v[leaf.start : leaf.stop]) for leaf in leaves]
        probes = [probe(masked(v, part)) for part in parts]
        guilty = [k for k, p in enumerate(probes) if p.excess.max() > 2.0]
        guilty.sort(key=lambda k: -float(probes[k].excess.max()))
        confirmed = []
        for k in guilty:
            array = confirm(parts[k], probes[k])
            if array is not None and array.judged.verdict == WRONG:
                confirmed.append((parts[k], probes[k]))
                yield replace(array, label=f"{leaves[k].path}, as a whole")
        suspects = confirmed or suspects
    for which, one in suspects[:_FOUND]:
        which, i, one = halved(v, which, one, probe)
        if len(which) == 1:
            j = int(which[0])
            e = axis(len(v), j)
            entry = probe(e)
            floor = limit.floor(entry.given, entry.look.value)
            judged = entry.judged(i, CORRECT)
            if not agrees(entry.look, entry.given, floor)[i]:
                judged = judge(lines, claim, e, entry.given, entry.look, floor, np.array([i]), 0.0 * floor)[0]
            yield Finding(judged, i, j)
            continue
        block = confirm(which, one)
        if block is not None:
            first = named(*parameters.entry(int(which[0])))
            yield replace(block, label=f"{len(which)} entries from {first}")


def halved(
    v: NDArray[float64], which: NDArray[intp], one: Probe, probe: Callable[[NDArray[float64]], Probe]
) -> tuple[NDArray[intp], int, Probe]:
    """The smallest part of the direction that contradicts, the output that does, and the comparison."""
    while len(which) > 1:
        halves = [which[: len(which) // 2], which[len(which) // 2 :]]
        probes = [probe(masked(v, half)) for half in halves]
        k = int(np.argmax([p.excess.max() for p in probes]))
        if probes[k].excess.max() <= 2.0:
            break
        which, one = halves[k], probes[k]
    return which, int(np.argmax(one.excess)), one


def entries_not_finite(lines: Lines, claim: Claim) -> list[Finding]:
    """Entries of the given derivative that are nan or infinite, next to what f says of them."""
    findings = []
    for i, j in claim.here.not_finite():
        look = lines.look(axis(len(lines.z), j))
        given = claim.along(axis(len(lines.z), j))[i] if isinstance(claim.here, Matrix) else np.nan
        known = bool(look.converged[i]) and bool(np.isfinite(look.value[i]))
        verdict, reason = (
            (WRONG, "given is not finite") if known else (INCONCLUSIVE, shortened(look.reason) or "not finite")
        )
        one = Judged(verdict, float(given), float(look.value[i]), float(look.error[i]), reason=reason)
        findings.append(Finding(one, i, j))
    return findings
