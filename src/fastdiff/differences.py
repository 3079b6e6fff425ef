"""Differences at steps that are given, or follow a rule of thumb: one round, plain stencils; and the complex step."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from . import steps
from .estimation import estimate
from .functions import Function
from .kernels import backend
from .lanes import ROOM, Estimates, Lanes, joined, largest_exponent
from .stencils import Row, Stencil, rounded
from .steps import Plain


def one_round(
    function: Function,
    lanes: Lanes,
    plain: Plain,
    h: NDArray[float64] | None,
    with_error: bool,
) -> Estimates:
    """The plain stencil at given steps (lanes,) or, with h None, at rule-of-thumb ones.

    Where the bounds do not admit it, a one-sided stencil takes its place. The error is estimated from a stencil of
    higher order, whose further points cost evaluations of f.
    """
    thumb = h is None
    usual = plain.stencils[plain.first_side]
    if h is None:
        h = np.exp2(steps.thumb_exponent(lanes.scale, plain.n, usual[0].order))
    h = np.ascontiguousarray(h)  # kernels take it as it is
    here = np.isfinite(lanes.scale)
    if lanes.count and lanes.room is None and here.all():
        value, error, status = _one_side(function, slice(0, lanes.count), usual, h, h, with_error)
    else:
        value, error, status, h = _by_side(function, lanes, plain, h, here, thumb, with_error)
    step = np.repeat(h[:, None], value.shape[1], axis=1) if with_error else np.broadcast_to(h[:, None], value.shape)
    return joined(value, error, step, status, function.is_complex)


def _by_side(
    function: Function,
    lanes: Lanes,
    plain: Plain,
    h: NDArray[float64],
    here: NDArray[np.bool_],
    thumb: bool,
    with_error: bool,
) -> tuple[NDArray[float64], NDArray[float64], NDArray[intp], NDArray[float64]]:
    """Value, error, status and step of lanes that do not all take the same stencil at their step."""
    side, h, blocked = _side_that_fits(lanes, plain, h, thumb)
    lost = np.where(blocked, steps.NO_ROOM, np.where(here, steps.RUNNING, steps.NOT_FINITE_HERE))
    h = np.where(here, h, 1.0) if thumb else h
    outputs, parts = 1, []
    for s in sorted(plain.stencils):
        here = (side == s) & (lost == steps.RUNNING)
        if not here.any():
            continue
        pair = plain.stencils[s]
        # The stencil that tells the error reaches farther: where it does not fit, it is taken at a smaller step.
        fits = _fits(lanes, pair[1], h) if with_error else here
        for group, closer in ((here & fits, 1.0), (here & ~fits, _extent(pair[0]) / _extent(pair[1]))):
            if group.any():
                chosen = np.flatnonzero(group)
                which = slice(0, lanes.count) if chosen.size == lanes.count else chosen
                parts.append((chosen, _one_side(function, which, pair, h[chosen], closer * h[chosen], with_error)))
                outputs = parts[-1][1][0].shape[1]
    if lost.any():
        chosen = np.flatnonzero(lost)
        nothing = np.full((chosen.size, outputs), np.nan)
        parts.append((chosen, (nothing, np.full_like(nothing, np.inf), np.repeat(lost[chosen, None], outputs, 1))))
    if not parts:
        parts = [(np.zeros(0, intp), (np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1), intp)))]
    if len(parts) == 1:
        value, error, status = parts[0][1]
    else:
        order = np.argsort(np.concatenate([chosen for chosen, _ in parts]))
        value, error, status = (np.concatenate([part[i] for _, part in parts])[order] for i in range(3))
    return value, error, status, h


def differences(function: Function, plain: Plain, h: NDArray[float64] | None) -> NDArray[float64]:
    """The values of `one_round` without bounds, of a function that has them at less cost; h None is the rule of thumb."""
    stencil = plain.stencils[plain.first_side][0]
    offsets, weights, denominator = textbook(stencil)
    step = h if h is not None else float(np.exp2(steps.thumb_exponent(np.ones(1), plain.n, stencil.order)[0]))
    return function.difference(np.array(rounded(offsets)), weights, denominator, stencil.n, step)


def shortcut(
    function: Function, lanes: Lanes | Callable[[], Lanes], plain: Plain, h: NDArray[float64] | None
) -> Estimates:
    """These values as estimates, of which nothing else is known."""
    if function.along_axes:
        value = differences(function, plain, h)
    else:
        lanes = lanes() if callable(lanes) else lanes
        here = np.isfinite(lanes.scale)
        if h is None:
            order = plain.stencils[plain.first_side][0].order
            h = np.where(here, np.exp2(steps.thumb_exponent(lanes.scale, plain.n, order)), 1.0)
        value = differences(function, plain, h)
        if not here.all():
            value[~here] = np.nan
    nothing = np.broadcast_to(np.nan, value.shape)
    return Estimates(value, nothing, nothing, np.broadcast_to(np.intp(steps.CONVERGED), value.shape))


def _extent(stencil: Stencil) -> float:
    return float(max(map(abs, stencil.offsets)))


def _reach(stencil: Stencil) -> tuple[float, float]:
    """How many steps forward and backward the stencil needs."""
    return max(float(max(stencil.offsets)), 0.0), max(-float(min(stencil.offsets)), 0.0)


def _fits(lanes: Lanes, stencil: Stencil, h: NDArray[float64]) -> NDArray[np.bool_]:
    forward, backward = _reach(stencil)
    if lanes.room is None:
        return np.ones(h.shape, bool)
    inside: NDArray[np.bool_] = np.logical_and(
        forward * h <= lanes.room[0] * ROOM, backward * h <= lanes.room[1] * ROOM
    )
    return inside


def _side_that_fits(
    lanes: Lanes, plain: Plain, h: NDArray[float64], thumb: bool
) -> tuple[NDArray[intp], NDArray[float64], NDArray[np.bool_]]:
    """The side of each lane, its step, and where there is none: smaller than wished for only a rule of thumb."""
    side = np.full(lanes.count, plain.first_side, dtype=intp)
    left = ~_fits(lanes, plain.stencils[plain.first_side][0], h)
    for s in (1, -1):
        if left.any():
            turn = left & _fits(lanes, plain.stencils[s][0], h)
            side[turn] = s
            left &= ~turn
    if left.any() and not thumb:
        i = np.flatnonzero(left)[0]
        raise ValueError(f"h={h[i]:g} is too large for the bounds: the points that the stencil needs lie outside")
    blocked = np.zeros(lanes.count, dtype=bool)
    if left.any():
        assert lanes.room is not None  # else every step fits
        caps = np.stack([largest_exponent(lanes.room, *_reach(plain.stencils[s][0])) for s in (1, -1)])
        cap = caps.max(axis=0)
        first, least = np.empty((2, lanes.count))
        backend.start(lanes.scale, cap, np.zeros(1), 0, first, least)
        blocked = left & (cap < least)
        side = np.where(left, np.where(caps[0] >= caps[1], 1, -1), side)
        h = np.where(blocked, 1.0, np.where(left, np.exp2(np.maximum(cap, steps.SMALLEST)), h))
    return side, h, blocked


def _one_side(
    function: Function,
    which: slice | NDArray[intp],
    pair: tuple[Stencil, Stencil],
    h: NDArray[float64],
    finer_h: NDArray[float64],
    with_error: bool,
) -> tuple[NDArray[float64], NDArray[float64], NDArray[intp]]:
    """Value, error and status of lanes; the error from the finer stencil at `finer_h`, at best the same points."""
    stencil, finer = pair
    same = with_error and bool(finer_h is h or (finer_h == h).all())
    samples = _samples(function, which, {*stencil.offsets, *(finer.offsets if same else ())}, h)
    value = _combined(stencil, samples, h)
    finite = np.isfinite(value)
    if not with_error and finite.all():
        nothing, good = np.broadcast_to(np.nan, value.shape), np.broadcast_to(intp(steps.CONVERGED), value.shape)
        return value, nothing, good
    status = np.where(finite, intp(steps.CONVERGED), intp(steps.NOT_FINITE))
    value = np.where(finite, value, np.nan)
    if not with_error:
        return value, np.where(finite, np.nan, np.inf), status
    nearer = samples if same else _samples(function, which, {*finer.offsets}, finer_h)
    truncation = np.abs(value - _combined(finer, nearer, finer_h))
    roundoff = _roundoff(function, stencil, samples, h)
    if not same:
        roundoff = roundoff + _roundoff(function, finer, nearer, finer_h)
    error = 2.0 * truncation + 8.0 * roundoff
    vague = (truncation > 0.1 * np.abs(value)) & (truncation > 4.0 * roundoff) & (status == steps.CONVERGED)
    return value, np.where(np.isfinite(error), error, np.inf), np.where(vague, steps.TOO_COARSE, status)


@dataclass(frozen=True)
class _Samples:
    """Samples (offsets, lanes, outputs) at these offsets, the farthest forward first."""

    offsets: Row
    rows: NDArray[float64]

    def at(self, offsets: Row) -> NDArray[float64]:
        """Those at some of the offsets."""
        return self.rows if offsets == self.offsets else self.rows[[self.offsets.index(t) for t in offsets]]


def _samples(function: Function, which: slice | NDArray[intp], offsets: set[Fraction], h: NDArray[float64]) -> _Samples:
    order, found = tuple(sorted(offsets, reverse=True)), None
    for i, t in enumerate(order):
        if t == 0:
            centre = function.centre(
                slice(0, which.stop) if isinstance(which, slice) else slice(0, int(which.max()) + 1)
            )
            sample = centre if isinstance(which, slice) else centre[which]
        else:
            sample = function.sample(which, float(t) * h)
        if found is None:
            found = np.empty((len(order), *sample.shape))
        found[i] = sample  # f may return the same array again
    assert found is not None
    return _Samples(order, found)


def _roundoff(function: Function, stencil: Stencil, samples: _Samples, h: NDArray[float64]) -> NDArray[float64]:
    largest = np.abs(samples.at(textbook(stencil)[0])).max(axis=0)
    weight = sum(abs(float(w)) for w in stencil.rows[-1])
    found: NDArray[float64] = function.eps * largest * weight / (h**stencil.n)[:, None]
    return found


def complex_step(function: Function, lanes: Lanes, h: NDArray[float64] | None, with_error: bool) -> Estimates:
    """First derivatives of analytic f from its imaginary part: no difference, hence no cancellation.

    The error bar is that of rounding unless a real difference, taken for it, contradicts: then f is not analytic, or
    not as complex input goes through it.
    """
    every = slice(0, lanes.count)
    if h is None:
        scale = np.where(lanes.scale == 0, lanes.unit, lanes.scale)
        k = np.frexp(scale)[1] - 60.0
        k = np.maximum(k, np.minimum(k + 33.0, -960.0))  # close to the least numbers the imaginary part needs its bits
        h = np.exp2(np.clip(k, steps.SMALLEST, steps.LARGEST))
    samples = np.array(function.sample(every, 1j * h))
    if samples.dtype.kind != "c":
        raise TypeError(
            f"method='complex' needs an f that returns complex values for complex x, got dtype {samples.dtype}"
        )
    if (np.abs(samples.imag) > 2.0**-30 * np.abs(samples.real)).any():  # unusual: is that f, or its derivative?
        centre = function.centre(every)
        if function.is_complex and (centre[:, 1::2] != 0).any():
            raise TypeError("method='complex' needs an f that is real for real x, got complex values there")
    value = samples.imag / h[:, None]
    finite = np.isfinite(value) & np.isfinite(lanes.scale)[:, None]
    value = np.where(finite, value, np.nan)
    status = np.where(finite, steps.CONVERGED, steps.NOT_FINITE).astype(intp)
    error = np.where(finite, np.nan, np.inf)
    if with_error:
        rough = estimate(function, lanes, steps.scheme(1, "central", None, None))
        function.is_complex = False
        # Rounding inside f acts like a rounded x.
        condition = np.abs(lanes.scale[:, None] * value) / np.maximum(np.abs(samples.real), 1e-300)
        error = 8.0 * function.eps * (1.0 + np.minimum(condition, 1e12)) * np.abs(value)
        error = error + np.abs(samples.real) * 2.0**-1000 + 5e-324 / h[:, None]
        contradicted = np.abs(value - rough.value) > 16.0 * rough.error + error
        error = np.where(finite, np.where(contradicted, np.abs(value - rough.value) + rough.error, error), np.inf)
        status = np.where(finite & contradicted, steps.NOT_ANALYTIC, status)
    return Estimates(value, error, np.repeat(h[:, None], value.shape[1], axis=1), status)


def _combined(stencil: Stencil, samples: _Samples, h: NDArray[float64]) -> NDArray[float64]:
    offsets, weights, denominator = textbook(stencil)
    used = samples.at(offsets)
    count, outputs = used.shape[1:]
    out = np.empty(count * outputs)
    steps_each = np.repeat(h, outputs) if outputs != 1 else h
    backend.combine(used.reshape(len(offsets), -1), weights, denominator, steps_each, stencil.n, out)
    return out.reshape(count, outputs)


@cache
def textbook(stencil: Stencil) -> tuple[Row, NDArray[float64], float]:
    """Offsets, weights and denominator as the textbooks write them: the farthest point forward comes first, and weights
    are whole numbers where float64 holds them."""
    offsets, row = zip(*sorted(zip(stencil.offsets, stencil.rows[-1]), reverse=True))
    denominator = int(np.lcm.reduce([w.denominator for w in row]))
    whole = [w * denominator for w in row]
    if max(abs(w) for w in whole) < 2**53:
        return offsets, np.array(rounded(whole)), float(denominator)
    return offsets, np.array(rounded(row)), 1.0
