"""Runs terms over arrays: threads by slabs, and conversion of input a slab at a time."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import available_cpus
from ..kernels import backend
from ..threads import each
from .lines import BLOCK, Line, Rule

PER_THREAD = 1 << 18  # results that are worth a thread: below that, starting it costs more than it does
PORTIONS = 8  # parts of the work for each thread
SLAB = 1 << 16  # results of a slab where the input is converted
STREAM = 1 << 25  # bytes of result from which on storing past the caches pays
SHORT = 16  # an innermost axis of fewer points is not the direction to run in


class Job(NamedTuple):
    """One derivative along one axis: `a` of any real type, `out` (float64 or float32) differing at most in that axis.

    With `add` the result is added to that of the job before, which has the same `out`.
    """

    a: NDArray[Any]
    out: NDArray[Any]
    axis: int
    line: Line
    add: bool = False


class Term(NamedTuple):
    """What the kernels take; see fd_grid_term in csrc/fastdiff.h."""

    a: NDArray[Any]
    out: NDArray[Any]
    axis: int
    rule: Rule
    add: bool


def run(jobs: list[Job], threads: int | None) -> None:
    """All jobs, of one shape of result, in one pass."""
    out = jobs[0].out
    if out.size == 0:
        return
    if threads is None:
        threads = out.size * len(jobs) // PER_THREAD
        threads = 1 if threads < 2 else min(threads, available_cpus())
    count = min(threads, out.size)
    stream = sum(job.out.nbytes for job in jobs if not job.add) >= STREAM
    cut = out.shape.index(max(out.shape))
    length = out.shape[cut]
    bulky = any(job.axis == cut and job.line.bulky for job in jobs)
    if not bulky and not any(map(_foreign, jobs)):
        terms = terms_of(jobs, cut, 0, length)
        parts = 1 if count == 1 else min(PORTIONS * count, out.size)
        each(lambda part: backend.sweep(terms, stream, part, parts), parts, count)
        return
    rows = max(1, min(length, SLAB * length // out.size))
    if bulky:
        rows = min(rows, BLOCK)
    slabs = range(0, length, rows)

    def work(k: int) -> None:
        backend.sweep(terms_of(jobs, cut, slabs[k], min(slabs[k] + rows, length)), stream, 0, 1)

    each(work, len(slabs), count)


def _foreign(job: Job) -> bool:
    """Whether the kernels cannot read the input where it lies."""
    a = job.a
    return a.dtype != job.out.dtype or not a.dtype.isnative or not a.flags.aligned


def terms_of(jobs: list[Job], cut: int, begin: int, end: int) -> tuple[Term, ...]:
    """The jobs for the results [begin, end) along axis `cut`."""
    converted: dict[object, tuple[NDArray[Any], int]] = {}
    terms = []
    for job in jobs:
        a, line, dtype = job.a, job.line, job.out.dtype
        out = _along(job.out, cut, begin, end)
        on_cut = job.axis == cut
        if _foreign(job):
            place = (a.__array_interface__["data"], a.shape, a.strides)
            if place not in converted:
                converted[place] = _converted([other for other in jobs if other.a.shape == a.shape], a, cut, begin, end)
            a, low = converted[place]
            rule = (
                line.rule(begin, end, dtype, wrap=False).shifted(low) if on_cut else line.rule(0, line.results, dtype)
            )
            a = a if on_cut else _along(a, cut, begin - low, end - low)
        else:
            rule = line.rule(begin, end, dtype) if on_cut else line.rule(0, line.results, dtype)
            a = a if on_cut else _along(a, cut, begin, end)
        terms.append(Term(a, out, job.axis, rule, job.add))
    return _ordered(terms)


def _converted(jobs: list[Job], a: NDArray[Any], cut: int, begin: int, end: int) -> tuple[NDArray[Any], int]:
    """The samples that any of the jobs needs for the results [begin, end), as the kernels want them; and the first."""
    low, high = begin, end
    for job in jobs:
        if job.axis == cut:
            first, last = job.line.span(begin, end)
            low, high = (min(low, first), max(high, last)) if len(jobs) > 1 else (first, last)
    if low < 0 or high > a.shape[cut]:
        a = np.take(a, range(low, high), axis=cut, mode="wrap")
    else:
        a = _along(a, cut, low, high)
    return np.require(a, jobs[0].out.dtype, ["C", "ALIGNED"]), low


def _along(a: NDArray[Any], axis: int, begin: int, end: int) -> NDArray[Any]:
    if begin == 0 and end == a.shape[axis]:
        return a
    return a[(*(slice(None),) * axis, slice(begin, end))]


def _ordered(terms: list[Term]) -> tuple[Term, ...]:
    """With the dimensions in the order of memory, the one with the smallest strides last."""
    first = terms[0]
    if first.out.ndim == 1:
        return tuple(terms)
    strides = [max(abs(first.out.strides[d]), abs(first.a.strides[d])) for d in range(first.out.ndim)]
    axes = {term.axis for term in terms}
    order = sorted((d for d in range(first.out.ndim) if first.out.shape[d] > 1 or d in axes), key=lambda d: -strides[d])
    if len(terms) == 1 and len(order) > 1 and order[-1] == first.axis and first.out.shape[first.axis] < SHORT:
        order[-2:] = order[:-3:-1]
    rest = tuple(d for d in range(first.out.ndim) if d not in order)
    found = []
    for term in terms:
        a, out = (x.transpose(*rest, *order)[(0,) * len(rest)] for x in (term.a, term.out))
        found.append(Term(a, out, order.index(term.axis), term.rule, term.add))
    return tuple(found)
