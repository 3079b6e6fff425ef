"""How good are automatic first derivatives? `python bench/accuracy.py [--peers] [--hard] [--verbose] [--lucky] [--raw]`

For every case of `cases.py` this measures

- *attainable* error: the 4-point central stencil (x±h, x±2h) in float64 at every h = 2**k from far below to far above
  both 1 and |x|, against the exact derivative. A single h can be right by luck: its error crosses zero, or all samples
  round the same way. So no step counts for less than the rounding of its samples leaves on average (eps/4 times the
  largest of them over h), the level of a step is the median of it and its two neighbours, and the attainable error is
  the least level; `--lucky` leaves out the rounding, `--raw` takes the least error itself. None is less than eps *
  scale. The scale is |truth|, unless that is zero to rounding (at most 8 eps |f(x)| / s, with s = max(1, |x|)): then it
  is the largest |f| at x-s, x and x+s, over s;
- *within*: share of cases whose actual error is at most 10 times the attainable one;
- *covered*: share whose reported error is at least the actual one (no allowance);
- *nfev*: evaluations of f, one per point, counted by wrapping it; median, mean, most;
- *bar/error*: median of reported over actual error, where the actual one is not zero;
- *silent*: finite, called converged, yet wrong by over 1% of scale. *hidden* ("!"): the error bar hides it, too.

On `HARD` cases a converged, finite answer is silent where no derivative exists, or if it is off by over 1%; hidden if
the error bar does not cover it either.

A solver is a function `solve(f, x) -> (value, error, nfev, converged)`; its exceptions are failures, neither within nor
covered. It may claim more evaluations than were counted (a recorded f is not called), fewer is a failure; None claims
nothing.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

import numpy as np
from cases import CASES, HARD, Case, Function

Answer = tuple[float, float, int | None, bool]
Solver = Callable[[Function, float], Answer]

EPS = float(np.finfo(np.float64).eps)
DIGIT = 10.0
WRONG = 0.01


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run without NumPy's and anybody else's warnings."""

    def silenced(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    silenced.__doc__, silenced.__name__ = function.__doc__, function.__name__
    return silenced


@quiet
def scale(case: Case) -> float:
    """What errors are relative to: |truth|, or the size of f over the size of x where the truth is zero to rounding."""
    assert case.truth is not None
    s = max(1.0, abs(case.x))
    here, *beside = np.abs(np.asarray(case.f(case.x + s * np.array([0.0, -1.0, 1.0])), dtype=np.float64))
    if abs(case.truth) > 8 * EPS * here / s:
        return abs(case.truth)
    return max(float(v) for v in (here, *beside) if isfinite(v)) / s


@quiet
def sweep(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps 2**k, the actual errors of the 4-point central stencil there (inf where it is not finite), and what rounding
    of the samples leaves on average."""
    exponent = int(np.frexp(case.x)[1]) if case.x else 0
    k = np.arange(max(min(exponent, 0) - 120, -1060), min(max(exponent, 0) + 40, 1000))
    h = np.ldexp(1.0, k)
    h = h[case.x + h != case.x]
    nodes = case.x + np.multiply.outer([-2.0, -1.0, 1.0, 2.0], h)
    samples = np.asarray(case.f(nodes), dtype=np.float64)
    a, b, c, d = samples
    error = np.abs(((2 / 3) * (c - b) - (d - a) / 12) / h - case.truth)
    return h, np.where(np.isfinite(error), error, inf), EPS / 4 * np.abs(samples).max(axis=0) / h


@quiet
def attainable(case: Case, luck: str = "none") -> float:
    """The least error any step gives: of one step ("raw"), of three neighbouring ones in the median ("lucky"), or none of
    them below its rounding."""
    _, error, rounding = sweep(case)
    if luck == "none":
        error = np.fmax(error, rounding)
    if luck != "raw":
        padded = np.concatenate(([inf], error, [inf]))
        error = np.median(np.stack((padded[:-2], padded[1:-1], padded[2:])), axis=0)
    return max(float(error.min()), EPS * float(scale(case)))


@dataclass(frozen=True)
class Outcome:
    """One solver on one case."""

    case: Case
    value: float
    bar: float
    nfev: int
    converged: bool
    attainable: float
    scale: float
    failure: str = ""

    @property
    def error(self) -> float:
        if self.case.truth is None or not isfinite(self.value):
            return inf
        return abs(self.value - self.case.truth)

    @property
    def within(self) -> bool:
        return self.error <= DIGIT * self.attainable

    @property
    def covered(self) -> bool:
        return isfinite(self.value) and self.error <= self.bar

    @property
    def wrong(self) -> bool:
        """Off by over 1%, or an answer where there is none."""
        return self.error > WRONG * self.scale

    @property
    def silent(self) -> bool:
        """Wrong, yet finite and called converged."""
        return self.wrong and self.converged and isfinite(self.value)

    @property
    def hidden(self) -> bool:
        """Silent, and the error bar does not say so either."""
        return self.silent and not self.covered

    def __str__(self) -> str:
        if self.failure:
            return f"  {self.case.name:44.44} {self.failure:.90}"
        truth = nan if self.case.truth is None else self.case.truth
        return (
            f"{'!' if self.hidden else ' '} {self.case.name:44.44} {self.value:12.5g} truth {truth:12.5g} "
            f"error {self.error:8.1e} bar {self.bar:8.1e} attainable {self.attainable:8.1e} nfev {self.nfev:3d}"
            f"{'' if self.converged else ' not converged'}"
        )


@dataclass(frozen=True)
class Report:
    """A solver on many cases."""

    outcomes: list[Outcome]
    seconds: float

    def share(self, what: str) -> float:
        return len(self.chosen(what)) / len(self.outcomes)

    @property
    def nfev(self) -> np.ndarray:
        return np.array([o.nfev for o in self.outcomes if not o.failure] or [0])

    @property
    def ratio(self) -> float:
        ratios = [o.bar / o.error for o in self.outcomes if isfinite(o.error) and o.error > 0]
        return float(np.median(ratios)) if ratios else nan

    def chosen(self, what: str) -> list[Outcome]:
        return [o for o in self.outcomes if getattr(o, what)]

    def by_stress(self) -> dict[str, Report]:
        groups: defaultdict[str, list[Outcome]] = defaultdict(list)
        for o in self.outcomes:
            groups[o.case.stress].append(o)
        return {stress: Report(group, nan) for stress, group in groups.items()}

    def line(self, name: str) -> str:
        n = self.nfev
        return (
            f"{name:26.26} {len(self.outcomes):5d} {self.share('within'):7.1%} {self.share('covered'):8.1%} "
            f"{np.median(n):6.0f} {n.mean():6.1f} {n.max():5d} {self.ratio:10.2g} {self.share('converged'):10.1%} "
            f"{len(self.chosen('silent')):7d} {len(self.chosen('hidden')):7d} {len(self.chosen('failure')):7d} "
            f"{self.seconds:7.2f}"
        )


HEADER = (
    f"{'solver':26} cases  within  covered   nfev   mean   max  bar/error  converged  silent  hidden  failed seconds"
)


class Counter:
    """f, counting the points it is evaluated at."""

    def __init__(self, f: Function) -> None:
        self.f, self.points = f, 0

    def __call__(self, x: Any) -> Any:
        self.points += int(getattr(x, "size", 1))  # x may be a stand-in that only records
        return self.f(x)


_LEVELS: dict[tuple[Case, str], tuple[float, float]] = {}


def _levels(case: Case, luck: str) -> tuple[float, float]:
    """(attainable, scale), kept so that many solvers share the sweep."""
    key = (case, luck)
    if key not in _LEVELS:
        _LEVELS[key] = (nan, 0.0) if case.truth is None else (attainable(case, luck), scale(case))
    return _LEVELS[key]


@quiet
def evaluate(cases: Iterable[Case], solve: Solver, luck: str = "none") -> Report:
    """Run a solver over the cases."""
    cases = list(cases)
    levels = [_levels(case, luck) for case in cases]
    outcomes = []
    begin = time.perf_counter()
    for case, level in zip(cases, levels, strict=True):
        f = Counter(case.f)
        try:
            value, bar, claimed, converged = solve(f, case.x)
            nfev = f.points if claimed is None else max(claimed, f.points)
            failure = "" if claimed in (None, nfev) else f"claims {claimed} evaluations, made {f.points}"
        except ImportError:
            raise
        except Exception as e:  # whatever a peer raises is a failure of the peer
            value, bar, nfev, converged, failure = nan, nan, f.points, False, f"{type(e).__name__}: {e}".splitlines()[0]
        outcomes.append(Outcome(case, float(value), float(bar), nfev, bool(converged), *level, failure))
    return Report(outcomes, time.perf_counter() - begin)


# --- solvers -------------------------------------------------------------------------------------------------------


def fastdiff_solver(f: Function, x: float) -> Answer:
    import fastdiff

    r = fastdiff.derivative(f, x, full_output=True)
    return float(r.value), float(r.error), int(r.nfev), bool(r.converged)


def scipy_solver(f: Function, x: float) -> Answer:
    from scipy.differentiate import derivative

    r = derivative(f, x)
    return float(r.df), float(r.error), int(r.nfev), bool(r.success)


def numdifftools_solver(f: Function, x: float) -> Answer:
    import numdifftools

    value, bar = numdifftools.Derivative(f, full_output=True)(x)[:2]
    bar = getattr(bar, "error_estimate", bar)  # an info object before 0.11
    return float(value), float(bar), None, isfinite(float(value))


def jacobi_solver(f: Function, x: float) -> Answer:
    from jacobi import jacobi

    if x and not 1e-45 < abs(x) < 1e150:
        raise ArithmeticError("not run: its fit of squared steps under- or overflows, and LAPACK hangs or fails")
    value, bar = jacobi(f, x)
    return float(value), float(bar), None, isfinite(float(value))


PEERS: dict[str, Solver] = {
    "scipy.differentiate": scipy_solver,
    "numdifftools": numdifftools_solver,
    "jacobi": jacobi_solver,
}


def show(name: str, report: Report, hard: bool, verbose: bool) -> None:
    """The table's line; the silent cases; if verbose, shares by stress and everything not within a digit."""
    print(f"\n{HEADER}\n{report.line(name)}")
    listed = report.chosen("hidden" if hard else "silent")
    print(f"wrong by over 1% while called converged: {len(listed)}", *listed, sep="\n")
    if verbose:
        print(HEADER, *(group.line(stress) for stress, group in report.by_stress().items()), sep="\n")
        print("failed:", *report.chosen("failure"), sep="\n")
        if not hard:
            lost = [o for o in report.outcomes if not ((o.within and o.covered) or o.silent or o.failure)]
            print("over a digit off, or not covered:", *lost, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="run the peers too")
    parser.add_argument("--hard", action="store_true", help="run the hard cases too")
    parser.add_argument("--verbose", action="store_true", help="shares by kind of stress, and every lost case")
    parser.add_argument(
        "--lucky",
        dest="luck",
        action="store_const",
        const="lucky",
        default="none",
        help="attainable: whatever three neighbouring steps reach, below their rounding too",
    )
    parser.add_argument(
        "--raw", dest="luck", action="store_const", const="raw", help="attainable: the least error of any single step"
    )
    parser.add_argument("--no-fastdiff", action="store_true", help="peers only")
    args = parser.parse_args()

    solvers: dict[str, Solver] = {} if args.no_fastdiff else {"fastdiff": fastdiff_solver}
    if args.peers or args.no_fastdiff:
        solvers |= PEERS
    reports: dict[str, Report] = {}
    for name, solve in solvers.items():
        reports[name] = evaluate(CASES, solve, args.luck)
        show(name, reports[name], False, args.verbose)
        if args.hard:
            hard = f"{name} (hard)"
            reports[hard] = evaluate(HARD, solve, args.luck)
            show(hard, reports[hard], True, args.verbose)
    print(f"\n{HEADER}", *(report.line(name) for name, report in reports.items()), sep="\n")


if __name__ == "__main__":
    main()
