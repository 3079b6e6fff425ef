"""Which derivatives are compared: every entry, or random directions and, where one fails, ever smaller parts of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from .. import operators
from .claims import Claim, Matrix
from .ladder import FIRST
from .lines import Lines, Look
from .parameters import Parameters, named
from .verdict import (
    COARSE,
    CORRECT,
    INCONCLUSIVE,
    NARROW,
    SHARP,
    WRONG,
    Judged,
    Line,
    Tolerance,
    judge,
    look_along,
    look_on,
    shortened,
)  # fmt: skip

DIRECTIONS = 4  # when nobody says how many
ENOUGH = 58  # evaluations of a default number of directions; f is called twice more by frameworks
_FOR_ALL = ENOUGH - 2 * FIRST  # of these for first looks: one second look is left then
_FOR_FIRST = _FOR_ALL - 2 * FIRST  # along the first direction
_FOR_LOOK = 7  # by the operators: one round
_SMALL = 1e-3  # share of what matters most, below which a derivative need not be seen sharply
TOGETHER = 8  # lines looked at a second time, before it is asked whether that suffices
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
    """All that was found, worst first; how much was compared; by how much what agreed may be off, relative to the largest
    derivatives."""

    findings: tuple[Finding, ...]
    compared: int
    directions: int
    resolution: float


def every_entry(lines: Lines, claim: Claim, limit: Tolerance, scalar: bool) -> Outcome:
    """All entries of a Jacobian (outputs, d), or of a gradient."""
    operator = operators.gradient if scalar else operators.jacobian
    found = operator(lines.call, lines.z, **lines.options())
    d = len(lines.z)
    value, error, step, good = (
        np.array(a).reshape(-1, d) for a in (found.value, found.error, found.h, found.converged)
    )
    assert isinstance(claim.here, Matrix)
    given = claim.here.dense()
    with np.errstate(all="ignore"):
        unit = np.where(lines.z == 0, 1.0, np.abs(lines.z))
        known = np.where(good, np.nan_to_num(np.abs(value)), 0.0)
        weight = np.where(np.isfinite(given), np.maximum(np.abs(given), known), 0.0) * unit
        most = weight.max(axis=1, keepdims=True) / unit  # a derivative that would matter as much as any
    floor = limit.floor(given, np.where(good, value, 0.0), most)
    enough = SHARP * np.maximum(floor, _SMALL * limit.share * most)
    along = []
    for j in range(d):
        look = Look(value[:, j], error[:, j], step[:, j], good[:, j], found.reason)
        along.append(look_along(lines, axis(d, j), given[:, j], floor[:, j], NARROW * most[:, j], enough[:, j], look))
    value, error = (np.stack(columns, axis=1) for columns in ([a.value for a in along], [a.error for a in along]))
    ok = np.stack([a.correct for a in along], axis=1)
    excess = np.where(ok, 0.0, np.stack([a.excess for a in along], axis=1))
    findings: list[Finding] = []
    order = np.argsort(-excess.max(axis=0, initial=0.0), kind="stable")
    columns = [j for j in order.tolist() if not ok[:, j].all()]
    unclear = [j for j in columns if not good[~ok[:, j], j].all()]  # some of what no bar is known for, too
    columns = [*dict.fromkeys([*columns[: TOGETHER - 2], *unclear[:2], *columns])]
    for count, j in enumerate(columns):
        if count >= TOGETHER and any(f.judged.verdict != CORRECT for f in findings):
            break
        outputs = np.flatnonzero(~ok[:, j])
        outputs = outputs[np.argsort(-excess[outputs, j], kind="stable")]
        judged = judge(lines, claim, along[j], outputs)
        findings += [Finding(one, i, j) for one, i in zip(judged, outputs.tolist())]
    if lines.eps > COARSE:  # steps that rise above roundoff pass kinks; where some are seen, there are others
        jump = max(2.0 * float(np.abs(a.reading.kink[a.bent]).max(initial=0.0)) for a in along)
        findings = [replace(f, judged=_among_kinks(f.judged, jump)) for f in findings]
    looked = {(f.output, f.entry) for f in findings}
    wrong_somewhere = any(f.judged.verdict == WRONG for f in findings)
    for at in np.argwhere(~ok)[:_LISTED].tolist():
        i, j = int(at[0]), int(at[1])
        if (i, j) not in looked:  # like those that were looked at
            clear = wrong_somewhere and excess[i, j] > 4.0 and not along[j].bent[i]
            verdict = WRONG if clear else INCONCLUSIVE
            reason = "" if clear else (shortened(found.reason) or "the error bar is too wide")
            findings.append(Finding(Judged(verdict, given[i, j], value[i, j], error[i, j], reason=reason), i, j))
    shown = worst_first(findings)
    agreed = np.argwhere(ok)
    by_size = np.argsort(-(weight / np.maximum(weight.max(axis=1, keepdims=True), 1e-300))[ok], kind="stable")
    for i, j in agreed[by_size[:8]].tolist():
        shown.append(Finding(Judged(CORRECT, given[i, j], value[i, j], error[i, j]), i, j))
    resolution = limit.resolution(passing(ok, error, floor, findings) * unit, weight.max(axis=1, keepdims=True))
    return Outcome(tuple(shown), given.size, 0, resolution)


def passing(
    ok: NDArray[np.bool_], error: NDArray[float64], floor: NDArray[float64], findings: list[Finding]
) -> NDArray[float64]:
    """What entries (outputs, d) that agreed may be off by: their bar where they are `ok`, or what a second look found, and
    the floor."""
    passes = np.where(ok, error + floor, 0.0)
    for f in findings:
        if f.judged.verdict == CORRECT:
            passes[f.output, f.entry] = f.judged.error + floor[f.output, f.entry]
    return passes


def _among_kinks(judged: Judged, jump: float) -> Judged:
    """An entry that is off by no more than what kinks change the slopes of others by may be off for one that was not seen."""
    if judged.verdict == WRONG and abs(judged.given - judged.estimated) <= jump:
        return replace(judged, verdict=INCONCLUSIVE, reason="kinks nearby change other slopes by as much")
    return judged


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


class Contrast(Protocol):
    """A comparison along some part of a direction."""

    @property
    def excess(self) -> NDArray[float64]:
        """By how many bars each output is off."""
        ...


Compared = TypeVar("Compared", bound=Contrast)


@dataclass(frozen=True)
class Probe:
    """One comparison along a direction, and at most the sum of the sizes of all parts of the given derivatives."""

    line: Line
    total: NDArray[float64]
    largest: NDArray[float64]  # of all parts

    @property
    def excess(self) -> NDArray[float64]:
        return self.line.excess

    def within(self, i: int, limit: Tolerance) -> bool:
        """Whether errors below the tolerance in every entry can add up to this one."""
        line = self.line
        off = abs(line.given[i] - line.value[i])
        return bool(off <= line.error[i] + limit.share * self.total[i])

    def judged(self, i: int) -> Judged:
        line = self.line
        return Judged(CORRECT, float(line.given[i]), float(line.value[i]), float(line.error[i]))


def random_directions(
    lines: Lines, claim: Claim, limit: Tolerance, parameters: Parameters, count: int | None, seed: int
) -> Outcome:
    """Directional derivatives along random directions; where they fail, the arrays and entries that are to blame.

    Without a wish for their number, as many as few evaluations allow: the operators look along the first only, and not
    for long; the step and the roundoff found there serve for the others. More are spent only on what looks wrong.
    """
    rng = np.random.default_rng(seed)
    findings: list[Finding] = []
    vague: list[Finding] = []  # said nothing, which is no matter if other directions do
    resolved = np.zeros(lines.here.size, bool)
    resolution, done = 0.0, 0
    sparing = count is None
    first: Line | None = None

    def probe(v: NDArray[float64], like: Line | None = None, most: int | None = None) -> Probe:
        given, parts = claim.along(v), claim.here.parts(v)
        lines.most = None if most is None else lines.nfev + _FOR_LOOK
        look = lines.look(v) if like is None else Look.none(given.size)
        lines.most = most
        enough = SHARP * limit.share * parts[0]
        line = look_along(lines, v, given, limit.along(parts), NARROW * parts[1], enough, look, like)
        return Probe(line, parts[1] * np.sqrt(np.count_nonzero(v)), parts[0])

    for k in range(count or DIRECTIONS):
        relative = k % 2 == 0 or parameters.eps > COARSE  # in float32 steps that suit small entries leave large ones
        v = random_direction(rng, parameters, lines, relative)
        if sparing:
            if lines.nfev + 2 * FIRST > _FOR_ALL:
                break
            one = probe(v, first, _FOR_FIRST if first is None else _FOR_ALL)
            lines.most = _FOR_ALL
            one = replace(one, line=look_on(one.line))
        else:
            one = probe(v)
        line = one.line
        first = first or line
        lines.most = ENOUGH if sparing else None
        done += 1
        label = f"direction {k + 1}"
        ok = line.correct
        resolved |= ok
        outputs = np.flatnonzero(~ok)
        outputs = outputs[np.argsort(-one.excess[outputs], kind="stable")][:TOGETHER]
        doubtful = judge(lines, claim, line, outputs)
        lines.most = None
        if any(j.verdict == WRONG for j in doubtful):
            blamed = list(_blame(lines, claim, parameters, v, one, limit, probe))
            if not any(f.judged.verdict == WRONG for f in blamed):
                fine = bool(blamed) and all(f.judged.verdict == CORRECT for f in blamed)
                doubtful = [
                    _unblamed(j, fine and one.within(i, limit)) if j.verdict == WRONG else j
                    for j, i in zip(doubtful, outputs.tolist())
                ]
            findings += blamed
        passes = np.where(ok, line.error + line.floor, 0.0)  # what a derivative that agreed may be off by
        for judged, i in zip(doubtful, outputs.tolist()):
            if judged.verdict == CORRECT:
                resolved[i], passes[i] = True, judged.error + line.floor[i]
            further = not relative or (sparing and k > 0)  # there may be too few evaluations left for it
            soft = judged.verdict == INCONCLUSIVE and further and not judged.reason.startswith("kink")
            (vague if soft else findings).append(Finding(judged, i, label=label))
        for i in np.flatnonzero(ok)[: 8 if k == 0 else 2].tolist():
            findings.append(Finding(one.judged(i), i, label=label))
        resolution = max(resolution, limit.resolution(passes, one.largest))
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
        judged = judge(lines, claim, one.line, np.array([i]))[0]
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
            entry = _as_entry(probe(e).line, limit)
            judged = (
                replace(one, line=entry).judged(i) if entry.correct[i] else judge(lines, claim, entry, np.array([i]))[0]
            )
            yield Finding(judged, i, j)
            continue
        block = confirm(which, one)
        if block is not None:
            first = named(*parameters.entry(int(which[0])))
            yield replace(block, label=f"{len(which)} entries from {first}")


def _as_entry(line: Line, limit: Tolerance) -> Line:
    """With the tolerance of single entries."""
    return replace(line, floor=limit.floor(line.given, line.value))


def halved(
    v: NDArray[float64], which: NDArray[intp], one: Compared, probe: Callable[[NDArray[float64]], Compared]
) -> tuple[NDArray[intp], int, Compared]:
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
