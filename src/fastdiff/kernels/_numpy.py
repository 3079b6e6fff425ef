"""The kernels of csrc in NumPy: same functions, same bits, no compiler."""

from itertools import product
from math import prod

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from ._numpy_program import bind_loops as bind_loops
from ._numpy_program import difference as difference
from ._numpy_program import evaluate as evaluate
from ._numpy_program import samples as samples
from ._types import Real, Rule, Terms

NAME = "numpy"
LEVEL = "numpy"
LEVELS: tuple[str, ...] = (LEVEL,)
BUILD_INFO: dict[str, str] = {}


def nodes(x: NDArray[float64], h: NDArray[float64], t: float, out: NDArray[float64]) -> None:
    """out = x + t*h, two roundings. All of one length; out overlaps no input."""
    np.multiply(h, t, out=out)
    np.add(x, out, out=out)


def combine(
    samples: NDArray[float64],
    weights: NDArray[float64],
    denominator: float,
    h: NDArray[float64],
    n: int,
    out: NDArray[float64],
) -> None:
    """out = sum of weights[j] * samples[j], from the left, over denominator * h * ... * h, n times. samples: (m, N)."""
    with np.errstate(all="ignore"):
        np.multiply(samples[0], weights[0], out=out)
        for sample, weight in zip(samples[1:], weights[1:], strict=True):
            out += weight * sample
        scale = np.full(h.shape, float(denominator))
        for _ in range(n):
            scale *= h
        out /= scale


# --- step control; the fields of `state` and the layout of `table` are those of fastdiff.steps ----------------------

_LO, _HI, _SIGMA, _ZEROS, _LEAP, _SHRINK, _PROBED, _ROUNDS, _FLOOR = range(9)
_PREV_K, _PREV_C1, _PREV_C2, _PREV_VALUE, _PREV_ERROR, _PREV_FLAGS, _FIRST_K, _ROUGH = range(9, 17)
_ERROR, _VALUE, _K, _SPREAD_FIRST, _SPREAD_LEAST, _LAST_VALUE = range(17, 23)
_STATUS, _WANT_K, _WANT_LEVEL, _WANT_SIDE, _FIELDS = range(23, 28)
_RUNNING, _CONVERGED, _NOT_FINITE_HERE, _NOT_FINITE, _NOT_SMOOTH, _STALLED, _EXHAUSTED = range(7)
_BAD, _SUSPICIOUS = 1.0, 2.0

_HALF_OCTAVE = np.uint64(0x95F619980C434)  # added to bits: takes numbers above the root of 2 to the next exponent
_SMALLEST, _LARGEST = -1060.0, 1000.0  # log2 of steps
_ROUNDS_MAX = 10
_TOLERANCE = 4.0  # log2 of truncation over roundoff at which a lane is accepted on its last level
_EARLY = 1.0  # the same where other levels follow
_DOUBT = 2.0**-9  # share of the noise told below which a coefficient is seldom nothing but noise
# log2 of the least growth of h that is worth another round; one less where less than half of the digits stand
_GAIN = 6.0
_EXPLORE = 6.0  # log2 of the growth where hardly anything stands above roundoff
_SHALLOW = -8.0  # a fall to the roundoff that tells little of the coefficients after
_LOUD = 5.0  # log2 of how much less the samples may differ at a much smaller step and still be noise
_PROBE = 12  # a probe for noise looks this many octaves below the step at which f changes by as much as the noise
_SAFETY = 4.0  # the error bar is this many times the roundoff,
_SAFETY_TRUNCATION = 2.0  # this many times the truncation error,
# and the roundoff as it would be if the highest coefficient were nothing but noise, the first of these times if no noise is
# known
_VAGUE = 8.5  # log2 of that over the roundoff at which a lane is accepted

_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_HALF = np.int64(0x3FE0000000000000)


def _log2(x: NDArray[float64]) -> NDArray[float64]:
    bits = np.abs(x).view(np.int64)
    mantissa = ((bits & _MANTISSA) | _HALF).view(float64)
    return ((bits >> 52) - 1022).astype(float64) + (2.0 * mantissa - 2.0)


def _exp2(x: NDArray[float64]) -> NDArray[float64]:
    """The inverse of the piecewise linear logarithm."""
    return _times_exp2(1.0, x)


def _times_exp2(y: NDArray[float64] | float, x: NDArray[float64]) -> NDArray[float64]:
    whole = np.floor(x)
    return _scaled(y * (1.0 + (x - whole)), whole)


def _power(exponent: NDArray[float64]) -> NDArray[float64]:
    """2.0**exponent for whole exponents in the normal range."""
    return ((exponent.astype(np.int64) + 1023) << 52).view(float64)


def _scaled(x: NDArray[float64], exponent: NDArray[float64]) -> NDArray[float64]:
    """x * 2**exponent in three factors, so that no factor leaves the normal range before the product does."""
    a = np.clip(exponent, -1000.0, 1000.0)
    b = np.clip(exponent - a, -1000.0, 1000.0)
    c = np.clip(exponent - a - b, -1000.0, 1000.0)
    return x * _power(a) * _power(b) * _power(c)


def _weighed(weights: NDArray[float64], d: list[NDArray[float64]]) -> NDArray[float64]:
    """weights[0] * d[1] + weights[1] * d[2] + ..., from the left: d[0] is the point itself."""
    total: NDArray[float64] = weights[0] * d[1]
    for w, v in zip(weights[1:], d[2:]):
        total = total + w * v
    return total


class _Table:
    """The parts of a packed level; see steps.pack."""

    def __init__(self, table: NDArray[float64]) -> None:
        self.last = last = int(table[0])
        self.n = int(table[1])
        self.norm, self.missed, self.no_decay = table[2], table[3], table[4]
        self.power, self.aim = table[5], table[6]
        self.has_fallback, self.fallback_missed = bool(table[7]), table[8]
        self.exact = table[16]
        self.later = [tuple(table[10 + 3 * i : 13 + 3 * i]) for i in range(min(int(table[9]), 2))]
        parts = table[18:].reshape(5 + last, last)
        self.offsets, self.row, self.fallback, self.norms, self.contamination = parts[:5]
        self.taylor = parts[5:]
        self.one_sided = self.offsets[0] * self.offsets[1] > 0.0


class _Spectrum:
    """What the samples of some lanes say: Taylor coefficients in logarithms, decay, truncation and roundoff.

    All logarithms are of quantities scaled so that the largest sample of the lane lies in [1, 2), times h**n.
    """

    def __init__(self, t: _Table, c: list[NDArray[float64]], unit: NDArray[float64]) -> None:
        last, n = t.last, t.n
        self.unit = lu = _log2(unit)
        size = [lu, *(_log2(v) for v in c[1:])]
        noise = [lu, *(lu + t.norms[q - 1] for q in range(1, last + 1))]
        stands = [lu > lu, *(size[q] > noise[q] + 2.0 for q in range(1, last + 1))]
        two = stands[2] & (size[2] > size[1]) if last >= 2 else stands[0]
        decay = np.full(lu.shape, -5000.0)
        before_top = decay  # the same without the last coefficient
        highest = np.where(stands[1], 1.0, 0.0)
        top, fall = size[n], np.zeros(lu.shape)  # the highest that stands, and how those after it fall
        for q in range(2, last + 1):
            best = np.full(lu.shape, np.inf)
            for j in range(q - 1, 0, -1):
                if j == n:
                    beyond = best
                best = np.where(stands[j], np.minimum(best, (size[q] - size[j]) * (1.0 / (q - j))), best)
            if q >= 3:
                counts = stands[q] & (best < np.inf)
                before_top = decay
                decay = np.where(counts, np.maximum(decay, best), decay)
            highest = np.where(stands[q], float(q), highest)
            if q > n:
                edge = noise[q + 1] - size[q] if q < last else np.full(lu.shape, np.inf)
                alone = (size[q] - size[n]) * (1.0 / (q - n)) if q > n + 1 else edge
                beyond = np.minimum(np.where(beyond < np.inf, beyond, alone), edge)
                top, fall = np.where(stands[q], size[q], top), np.where(stands[q], beyond, fall)
        seen = [lu, *(np.maximum(size[q], noise[q]) for q in range(1, last + 1))]
        slope = np.minimum(np.maximum(decay, -26.0), 2.0)
        below = seen[last - 1] if last > 1 else seen[last]
        following = np.maximum(seen[last], below + slope) + slope
        truncation = t.missed + following
        for q in range(n + 1, last + 1):
            truncation = np.maximum(truncation, t.contamination[q - 1] + seen[q])
        self.size, self.stands, self.two, self.seen = size, stands, two, seen
        self.decay, self.slope, self.following = decay, slope, following
        self.truncation = truncation
        self.roundoff = lu + t.norm
        self.bad = decay > t.no_decay
        # The roundoff if the highest coefficient were nothing but noise; more if the lower ones do not predict it.
        self.doubt = size[last] - t.norms[last - 1] + t.norm
        if last >= 3:
            predicted = np.maximum(size[last - 1] + before_top, size[last - 2] + 2.0 * before_top)
            self.surprise = size[last] > predicted + 2.0
            self.doubt = np.where(self.surprise, self.doubt + 3.0, self.doubt)
        # How far h could grow until the coefficient that the aimed level misses reaches the roundoff. Beyond the highest
        # that stands they fall as those before it, or as it does to the roundoff of the next. The derivative's own says
        # nothing of that where there are others: any line may have been added to f.
        power = int(t.power)
        reached = seen[power] if power <= last else top + (t.power - highest) * np.maximum(fall, -40.0)
        self.growth = np.where(highest > n, (self.roundoff - (t.aim + reached)) * (1.0 / power), 0.0)
        self.fall = fall
        # beyond that, the samples and their roundoff would grow with h
        self.most = np.full(lu.shape, np.inf)
        for q in range(1, last + 1):
            self.most = np.where(stands[q], np.minimum(self.most, (1.0 - size[q]) * (1.0 / q)), self.most)
        # each size in units of the noise, whatever the row's norm
        self.level = [lu, *(size[q] - t.norms[q - 1] - lu for q in range(1, last + 1))]
        self.plateau = np.maximum(self.level[last], self.level[last - 1]) if last > 1 else self.level[last]
        self.highest = highest

    def flat(self, t: _Table, base: bool) -> NDArray[np.bool_]:
        """Whether the high coefficients stand on a plateau, well above roundoff and well below the derivative's: three of
        them, or after the first level, which is looked at for first derivatives only, two, where those before do not
        predict the last."""
        last, n = t.last, t.n
        level = self.level
        if last < 4 or not (base or n == 1):
            return np.zeros(self.unit.shape, bool)
        apart = level[n] - self.plateau > 3.0
        if t.one_sided and last == 5:
            near = np.abs(self.plateau - level[3]) < 4.0
            flat: NDArray[np.bool_] = (self.plateau > 4.0) & apart & near & (self.plateau - level[2] > -4.0)
        else:
            flat = level[last] - level[last - 2] > -4.0
            if not base:
                flat |= (level[last] - level[last - 1] > -4.0) & self.surprise
            flat &= (level[last] > 4.0) & apart
        return flat


def by_octave(scale: NDArray[float64], table: NDArray[float64], out: NDArray[float64]) -> None:
    """Of a table with a number for each sign and octave of a scale, those of these scales.

    The octave is in the top of the bits of scale * sqrt(2), and so goes from one power of two times sqrt(2) to the next, as
    first steps do; the last one and infinity share one.
    """
    out[...] = table[(scale.view(np.uint64) + _HALF_OCTAVE) >> 52]


def start(
    scale: NDArray[float64],
    k_unit: NDArray[float64],
    over: NDArray[float64],
    close: float,
    k: NDArray[float64],
    k_least: NDArray[float64],
) -> bool:
    """log2 of the first and of the least step of lanes whose points have these scales (sizes of x along the lane): that of a
    step which suits functions whose scale is |x|, and one that leaves a few bits of difference between x and its
    neighbours. `over` is log2 of the first step over the scale, one number or one for each lane; where the scale is
    unknown, zero, `k_unit` counts.

    Returns whether all is as usual: scales are known and finite, all first steps at least `close` octaves above the least.
    """
    rounded = _exponent(np.abs(scale) * 0.7071067811865476)
    k_least[...] = _least(scale)
    first = np.where(scale == 0, k_unit, np.minimum(np.maximum(rounded + over, _SMALLEST), _LARGEST))
    np.maximum(first, k_least, out=k)
    return bool(((k - k_least >= close) & (scale != 0) & np.isfinite(scale)).all())


def _least(scale: NDArray[float64]) -> NDArray[float64]:
    return np.maximum(_exponent(np.abs(scale)) - 50.0, _SMALLEST)


def believe(
    weights: NDArray[float64],
    samples: NDArray[float64],
    noise: NDArray[float64],
    which: NDArray[intp] | None = None,
) -> None:
    """What fresh lanes, all or those chosen, believe of the noise (lanes,) that they are told: it is 0 where the highest
    coefficient of their samples (nodes, lanes, 1) is far below it. `weights` are those of this coefficient, of norm one."""
    chosen = slice(None) if which is None else which
    told, size = noise[chosen], np.zeros(noise[chosen].shape)
    with np.errstate(all="ignore"):
        for weight, sample in zip(weights, samples[1:]):
            size += weight * (sample[chosen, 0] - samples[0, chosen, 0])
        noise[chosen] = np.where((np.abs(size) >= _DOUBT * told) & np.isfinite(size), told, 0.0)


def powers(k: NDArray[float64], h: NDArray[float64]) -> None:
    """h = 2.0**k for whole exponents not below the smallest."""
    h[...] = np.ldexp(1.0, k.astype(np.int32))


def _exponent(x: NDArray[float64]) -> NDArray[float64]:
    """What frexp gives for x >= 0, but -1022 for all that is smaller, and 1025 for what is not finite."""
    exponent: NDArray[float64] = ((x.view(np.int64) >> 52) - 1022).astype(float64)
    return exponent


def control(
    table: NDArray[float64],
    samples: NDArray[float64],
    eps: float,
    scale: NDArray[float64],
    k: NDArray[float64],
    k_unit: NDArray[float64],
    caps: NDArray[float64],
    noise: NDArray[float64] | None,
    side: int,
    level: int,
    fresh: bool,
    whole: bool,
    state: NDArray[float64],
    results: NDArray[float64],
    which: NDArray[intp] | None = None,
) -> None:
    """Judges samples (nodes, lanes, outputs) taken at steps 2**k and updates the state of every running element of the
    lanes `which`, or of all. There may be more samples than the level has nodes.

    Afterwards an element is done (status), or says which step, level and side it wants next. Per lane: `scale` the size
    of x along it, `k_unit` log2 of the step where the scale of x is one, `caps[side]` the bound of k; of these two one lane
    stands for all.
    `fresh`: no round has judged these elements; all of them run, and nothing of their state is read; `noise`, by lane, is
    what is known of the noise in f beforehand. Error bar, value, k and status also go into `results` (4, lanes, outputs);
    the state of what is done means nothing. Unless `whole`, only value and status of what is done count.
    """
    lanes = np.arange(len(state)) if which is None else which
    k_unit, caps = np.broadcast_to(k_unit, (len(state),)), np.broadcast_to(caps, (3, len(state)))
    row, output = np.nonzero(fresh | (results[3, lanes] == _RUNNING))
    lane = lanes[row]
    if lane.size:
        t = _Table(table)
        s = _initial(caps[side, lane], 0.0 if noise is None else noise[lane]) if fresh else state[lane, output].T.copy()
        with np.errstate(all="ignore"):
            _control(
                t, samples[: t.last + 1, lane, output], eps, scale[lane], k[lane], k_unit[lane], _least(scale[lane]),
                caps[:, lane], side, level, s,
            )  # fmt: skip
            _give_up(s)
        state[lane, output] = s.T
        results[:, lane, output] = s[[_ERROR, _VALUE, _K, _STATUS]]


def _initial(cap: NDArray[float64], noise: NDArray[float64] | float) -> NDArray[float64]:
    """The state (fields, elements) before their first round; `cap` is log2 of their largest step, `noise` what is known."""
    s = np.zeros((_FIELDS, len(cap)))
    s[[_LO, _FIRST_K]] = -np.inf
    s[[_PREV_K, _FLOOR, _ERROR, _SPREAD_LEAST, _SPREAD_FIRST]] = np.inf
    s[_SIGMA] = noise
    s[_HI], s[_LEAP], s[_SHRINK], s[_VALUE] = cap + 1.0, 4.0, 8.0, np.nan
    return s


def next_round(
    state: NDArray[float64],
    status: NDArray[float64],
    scale: NDArray[float64],
    close: float,
    going: int,
    k: NDArray[float64],
    order: NDArray[intp],
    work: NDArray[intp],
    h: NDArray[float64],
) -> list[int]:
    """What each of the lanes order[:going] does next: what its neediest output wants, the one that asks for the smallest
    step.

    Its kind is four times the place of the side (0 central, 1 forward, 2 backward, 3 central less than `close` octaves
    above the least step) plus the level. The lanes that go on into `order`, sorted by kind and otherwise as they were,
    log2 of their steps into `k` by lane, their steps into `h` in that order. Returns how many there are of each kind.
    """
    active = order[:going]
    running = status[active] == _RUNNING
    on = running.any(axis=1)
    active, running = active[on], running[on]
    want = np.where(running, state[active, :, _WANT_K], np.inf)
    output = np.argmin(want, axis=1) if active.size else np.zeros(0, intp)
    k[active] = state[active, output, _WANT_K]
    side = state[active, output, _WANT_SIDE]
    central = np.where(k[active] - _least(scale[active]) < close, 3, 0)
    place = np.where(side > 0, 1, np.where(side < 0, 2, central))
    kind = 4 * place + state[active, output, _WANT_LEVEL].astype(intp)
    active = active[np.argsort(kind, kind="stable")]
    order[: active.size] = active
    powers(k[active], h[: active.size])
    counts: list[int] = np.bincount(kind, minlength=16).tolist()
    return counts


def gather(
    source: tuple[NDArray[float64], ...],
    to: tuple[NDArray[float64], ...],
    first: int,
    which: NDArray[intp],
    at: int,
) -> int:
    """Copies the lanes that have a running output to those at number `at` and after it; their numbers, the first one being
    `first`, go into `which`. Both are scale, k, k_unit (lanes,), state, caps (3, lanes), samples (nodes, lanes, outputs) and
    results, as `control` has them. Returns the number after the last."""
    chosen = np.flatnonzero((source[-1][3] == _RUNNING).any(axis=1))
    places = slice(at, at + len(chosen))
    which[places] = chosen + first
    for i, (theirs, ours) in enumerate(zip(source, to)):
        whole = i in (2, 4) and theirs.shape[-1] == 1  # one number for all
        if i < 4:
            ours[places if len(ours) > 1 else slice(0)] = theirs if whole else theirs[chosen]
        elif ours.shape[1] > 1:
            ours[:, places] = theirs if whole else theirs[:, chosen]
    return places.stop


def _control(
    t: _Table,
    f: NDArray[float64],
    eps: float,
    scale: NDArray[float64],
    k: NDArray[float64],
    k_unit: NDArray[float64],
    k_least: NDArray[float64],
    caps: NDArray[float64],
    side: int,
    level: int,
    s: NDArray[float64],
) -> None:
    last, n = t.last, t.n
    base = level == 0
    s[_WANT_LEVEL], s[_WANT_SIDE] = 0.0, float(side)
    if base:
        s[_ROUNDS] += 1.0

    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(f), axis=0)
    here = np.isfinite(f[0])
    live = finite.copy()  # the elements that the rest of this function is about

    # Samples scaled by a power of two so that the largest lies in [1, 2), the point's own subtracted.
    safe = np.where(finite, f, 0.0)
    largest = np.abs(safe).max(axis=0)
    exponent = np.clip(((largest.view(np.int64) >> 52) - 1023).astype(float64), -1000.0, 1000.0)
    factor, back = _power(-exponent), _power(exponent)
    centre = safe[0] * factor
    d = [centre, *(safe[i] * factor - centre for i in range(1, last + 1))]
    roundoff = np.maximum(eps * (largest * factor), _power(np.maximum(-1074.0 - exponent, -1022.0)))

    if not finite.all():
        _not_finite(t, f, here, finite, k, k_least, caps, side, base, s)

    zero = finite.copy()
    for v in d[1:]:
        zero &= v == 0.0
    quiet = zero & ~((s[_PREV_FLAGS] >= _SUSPICIOUS) & (s[_PREV_K] < np.inf)) & base
    if quiet.any():
        _no_difference(t, quiet, exponent, back, roundoff, k, k_unit, s)
        live &= ~quiet
    if not live.any():
        return

    c = [centre, *(_weighed(row, d) for row in t.taylor)]
    total = _weighed(t.row, d)

    unscale = exponent - n * k
    if base:
        noisy = _compare(t, c, d, total, zero, live, back, roundoff, unscale, k, caps[side], s)
        live &= ~noisy
    unit = np.maximum(roundoff, s[_SIGMA] * factor)
    spectrum = _Spectrum(t, c, unit)
    flat = spectrum.flat(t, base) & ~spectrum.bad
    # What a smaller step did not show is no noise, but something that the larger step runs into; nor is what shrank with h.
    crossed = (s[_LO] > -np.inf) & (s[_ZEROS] == 0.0)
    if base:
        fell = s[_PREV_K] - k
        top = np.maximum(np.abs(c[last - 1] * back), np.abs(c[last] * back))
        top_then = np.maximum(np.abs(s[_PREV_C1]), np.abs(s[_PREV_C2]))
        shrank = (s[_PREV_K] < np.inf) & (fell >= 2.0) & (np.abs(_log2(top_then) - _log2(top) - fell) < 0.125)
        crossed |= shrank
    crossed &= flat
    flat &= ~crossed
    suspicious = flat & (spectrum.plateau > 16.0) & (s[_PROBED] == 0.0) & (s[_SIGMA] <= 0.0)
    heard = flat & ~suspicious & live
    if not base:
        suspicious[...] = crossed[...] = False
    if heard.any():
        sigma = np.maximum(unit, 0.7 * _exp2(spectrum.plateau + spectrum.unit))
        unit = np.where(heard, sigma, unit)
        s[_SIGMA] = np.where(heard, np.maximum(s[_SIGMA], sigma * back), s[_SIGMA])
        spectrum = _Spectrum(t, c, unit)
    lu = spectrum.unit

    estimate = total
    if t.has_fallback:
        estimate = np.where(t.fallback_missed * np.abs(c[last]) <= unit, _weighed(t.fallback, d), total)
    value = _scaled(estimate, unscale)

    # Nodes that would bring the truncation error below the roundoff, if one of the next levels would.
    excess = spectrum.truncation - spectrum.roundoff
    # Where the highest coefficients are noise, they are no sign of truncation.
    drowned = ~spectrum.stands[last] & ~spectrum.stands[last - 1]
    excess = np.where(drowned, np.minimum(excess, 0.0), excess)
    tolerance = _EARLY if base and t.later else _TOLERANCE
    extend = np.zeros(k.shape, bool)
    for more, missed, gain in t.later:
        slack = _TOLERANCE + (1.0 if more == 1.0 else 0.0)
        reach = missed + spectrum.following + more * spectrum.slope <= spectrum.roundoff + slack
        top = spectrum.following + (more - 1.0) * spectrum.slope
        reach &= top + gain <= spectrum.roundoff + _VAGUE
        extend |= reach
    vague = spectrum.doubt > spectrum.roundoff + _VAGUE
    excess = np.where(vague, np.maximum(excess, spectrum.doubt - spectrum.roundoff - _VAGUE + tolerance), excess)
    extend &= (excess > tolerance) & ~spectrum.bad & ~suspicious

    # The error bar.
    truncation = _exp2(spectrum.truncation + unscale)
    floor = _exp2(spectrum.roundoff + unscale)
    error = _SAFETY * floor
    if n == 1:
        condition = np.minimum(np.abs(scale) * (np.abs(value) / np.where(largest > 0.0, largest, 1.0)), 1e12)
        rounding = _exp2(_log2(roundoff) + t.norm + unscale)
        error = error + _SAFETY * rounding * np.where(condition > 1.0, np.sqrt(condition), 0.0)
    error = error + _SAFETY_TRUNCATION * truncation
    doubt = np.where(spectrum.bad, 0.0, _exp2(spectrum.doubt + unscale))
    error = error + np.where(unit > roundoff, 1.0, _SAFETY) * doubt
    # No decay along the row, or none from the larger step before: the samples do not look smooth at this step.
    rough = spectrum.bad | crossed
    corner, alarm = np.zeros(k.shape, bool), np.zeros(k.shape, bool)
    if base:
        stagnant = (s[_PREV_K] < np.inf) & (fell >= 2.0) & (error >= 0.25 * s[_PREV_ERROR]) & (excess > tolerance)
        stagnant &= ~suspicious
        rough = rough | stagnant
        # Samples that shrink exactly like h, twice, are those of a corner, unless a smaller step has settled beside it.
        corner = stagnant & shrank & (s[_PREV_FLAGS] == _BAD) & (s[_LO] == -np.inf) & live
        # As rough as at a much larger step, and not alike: noise, unless a smaller step resolves it. What was crossed is
        # not rough but in its high coefficients.
        loud = np.abs(d[1])
        for v in d[2:]:
            loud = np.maximum(loud, np.abs(v))
        loud = loud * back
        shaky = live & (rough | suspicious) & (s[_SIGMA] <= 0.0)
        first = shaky & (s[_ROUGH] == 0.0)
        jump = (s[_PREV_FLAGS] != 0.0) & (fell > 0.0)  # the same step at any step
        for then, now in ((s[_PREV_C1], c[last - 1] * back), (s[_PREV_C2], c[last] * back)):
            jump &= np.abs(now - then) <= 0.125 * np.abs(then)
        alarm = shaky & ~first & ~jump & (s[_FIRST_K] - k >= 8.0) & (_log2(s[_ROUGH]) - _log2(loud) < _LOUD)
        alarm &= ~crossed
        s[_SIGMA] = np.where(alarm, np.minimum(s[_SIGMA], -loud), s[_SIGMA])
        s[_ROUGH] = np.where(first, loud, s[_ROUGH])
        resolved = live & ~shaky & (s[_SIGMA] < 0.0) & (spectrum.highest >= 3.0)
        s[_SIGMA] = np.where(resolved, 0.0, s[_SIGMA])
    if n == 1:
        spread = np.zeros(k.shape)
        for i in range(1, last + 1):
            spread = np.maximum(spread, np.abs(d[i] / t.offsets[i - 1] - estimate))
        spread = _scaled(spread, unscale)
    else:
        spread = np.full(k.shape, np.inf)
    torn = live & rough
    s[_SPREAD_LEAST] = np.where(
        torn & (s[_SPREAD_FIRST] < np.inf), np.minimum(s[_SPREAD_LEAST], spread), s[_SPREAD_LEAST]
    )
    s[_SPREAD_FIRST] = np.where(torn & (s[_SPREAD_FIRST] == np.inf), spread, s[_SPREAD_FIRST])
    error = np.where(rough, np.where(error > spread, error, spread), error)  # the spread also where the error is nan
    deaf = (spectrum.highest == 0.0) & (8.0 * s[_SIGMA] >= largest) & (s[_SIGMA] > 0.0)  # nothing but noise
    error = np.where(np.isfinite(value) & ~deaf, error, np.inf)
    # Two rounds that both look smooth and exclude each other: what looks smooth is the rounding of f, not f.
    conflict = np.zeros(k.shape, bool)
    if base:
        apart = np.abs(value - s[_PREV_VALUE])
        calm = live & ~rough & (s[_PREV_K] < np.inf) & (s[_PREV_FLAGS] == 0.0)
        conflict = calm & (apart > 16.0 * (error + s[_PREV_ERROR]))
        if n == 1:  # equal samples at a step where this slope would have shown: a staircase
            least = np.where(d[0] == 0.0, 0.0, np.maximum(s[_SIGMA], 0.0))  # where f is zero noise is no excuse
            seen = np.abs(value) * _power(np.maximum(s[_LO], -1000.0)) > 8.0 * np.maximum(eps * largest, least)
            stairs = live & (s[_ZEROS] > 0.0) & (s[_PREV_K] == np.inf) & seen  # lo is still that step
            low, high = np.minimum.reduce(d[1:]), np.maximum.reduce(d[1:])
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
            jump = np.logical_and.reduce([(v == low) | (v == high) for v in d[1:]]) & ((low == 0.0) | (high == 0.0))
            # f is constant around x: it still is on one side of it, or it is zero, and still is somewhere.
            flat = (d[0] == 0.0) & np.logical_or.reduce([v == 0.0 for v in d[1:]])
            for sign in (1.0, -1.0):
                there = [v == 0.0 for v, offset in zip(d[1:], t.offsets) if offset * sign > 0.0]
                flat |= np.logical_and.reduce(there) if there else False
            stairs &= ~jump & ~flat
            conflict |= stairs
            apart = np.where(stairs, np.maximum(np.abs(value), np.where(np.isnan(apart), 0.0, apart)), apart)
        error = np.where(conflict, apart, error)
        s[_ERROR] = np.where(conflict, np.maximum(s[_ERROR], apart), s[_ERROR])

    s[_FLOOR] = np.where(live & (s[_FLOOR] == np.inf), floor, s[_FLOOR])
    known = live & (s[_SIGMA] > 0.0) & (s[_ERROR] < np.inf)
    if known.any():
        least = _times_exp2(_SAFETY * s[_SIGMA], t.norm - n * np.where(known, s[_K], 0.0))
        s[_ERROR] = np.where(known, np.maximum(s[_ERROR], least), s[_ERROR])
    better = live & (error < s[_ERROR])
    s[_ERROR] = np.where(better, error, s[_ERROR])
    s[_VALUE] = np.where(better, value, s[_VALUE])
    s[_K] = np.where(better, k, s[_K])
    s[_LAST_VALUE] = np.where(live, value, s[_LAST_VALUE])
    if base:
        s[_PREV_K] = np.where(live, k, s[_PREV_K])
        s[_PREV_C1] = np.where(live, c[last - 1] * back, s[_PREV_C1])
        s[_PREV_C2] = np.where(live, c[last] * back, s[_PREV_C2])
        s[_PREV_VALUE] = np.where(live, value, s[_PREV_VALUE])
        s[_PREV_ERROR] = np.where(live, error, s[_PREV_ERROR])
        flags = np.where(rough, _BAD, 0.0) + np.where(suspicious, _SUSPICIOUS, 0.0)
        s[_PREV_FLAGS] = np.where(live, flags, s[_PREV_FLAGS])
        s[_FIRST_K] = np.where(live, np.maximum(s[_FIRST_K], k), s[_FIRST_K])

    # The verdict.
    extend &= live & ~rough
    s[_WANT_LEVEL] = np.where(extend, float(level + 1), s[_WANT_LEVEL])
    s[_WANT_K] = np.where(extend, k, s[_WANT_K])
    nought = (np.abs(value) <= error) & (error <= s[_FLOOR]) & (k < s[_FIRST_K])
    settled = live & ~extend & ((excess <= tolerance) | nought) & ~rough & ~suspicious
    s[_LO] = np.where(settled, np.maximum(s[_LO], k), s[_LO])
    strength = np.where(spectrum.two, spectrum.size[2] if last >= 2 else lu, spectrum.size[1])
    start_at = np.where(spectrum.two, 2.0, 1.0)
    strength = np.maximum(strength - np.where(s[_SIGMA] <= roundoff * back, _log2(roundoff), lu), 0.0)
    highest = spectrum.highest
    steps = np.maximum(highest + 1.0 - start_at, 1.0)
    hopeful = (-strength - t.aim + (t.power - start_at) * strength / steps) * (1.0 / t.power)
    hopeful = np.where(highest < start_at, 8.0, np.where(highest < t.power, hopeful, 0.0))
    faint = (highest == n + 1.0) & ((spectrum.fall > _SHALLOW) | (unit > roundoff))
    hopeful = np.where((highest <= n) | faint, np.maximum(hopeful, _EXPLORE), hopeful)
    growth = np.minimum(np.maximum(spectrum.growth, np.minimum(hopeful, 12.0)), np.minimum(spectrum.most, 24.0))
    growth = np.floor(growth)
    exact = spectrum.roundoff - _log2(total) <= t.exact
    weak = (strength < -0.5 * lu) & (unit <= roundoff)  # noise that was heard hides what a larger step runs into
    gain = np.where(weak, _GAIN - 1.0, _GAIN)
    grow = settled & base & (growth * n >= gain) & (s[_HI] - k >= gain) & ~exact & ~nought
    hasty = highest == n + 2.0  # told by the slope between two coefficients, which is often too steep
    up = np.where((k < k_unit - growth) & (highest < n + 1.0), k_unit, k + growth - np.where(hasty, 1.0, 0.0))
    up = np.where(up >= s[_HI], np.floor((k + s[_HI]) / 2.0), up)
    s[_WANT_K] = np.where(grow, up, s[_WANT_K])
    done = settled & ~grow
    s[_STATUS] = np.where(done, np.where(conflict | deaf, float(_NOT_SMOOTH), float(_CONVERGED)), s[_STATUS])

    shrink = live & ~settled & ~extend
    s[_HI] = np.where(shrink, np.minimum(s[_HI], k), s[_HI])
    probe = shrink & suspicious
    s[_PROBED] = np.where(probe, 1.0, s[_PROBED])
    power = float(last + 1) if level or not t.later else t.power
    short = t.aim + spectrum.following + spectrum.slope if base and t.later else spectrum.truncation
    fall = np.maximum(np.ceil((short - spectrum.roundoff) / power), 2.0)
    fall = np.maximum(fall, np.where(vague, np.ceil((spectrum.doubt - spectrum.roundoff - _VAGUE + 2.0) / last), 2.0))
    fall = np.where(rough, s[_SHRINK], fall)
    s[_SHRINK] = np.where(shrink & ~suspicious & rough, np.minimum(np.floor(1.5 * s[_SHRINK]), 32.0), s[_SHRINK])
    to_noise = np.floor((spectrum.plateau + lu) - (spectrum.size[n] - n * k)) if n == 1 else k - 12.0
    down = np.where(probe, to_noise - _PROBE if n == 1 else to_noise, k - fall)
    _shrunk(shrink, down, k, k_least, s)
    s[_STATUS] = np.where(corner, float(_NOT_SMOOTH), s[_STATUS])

    # Noise was suspected, and nothing smooth has come to light since, or nothing at all down to the least step.
    heard = base & (s[_SIGMA] < 0.0) & (done | (alarm & shrink & (s[_STATUS] == _STALLED)))
    s[_STATUS] = np.where(heard, float(_RUNNING), s[_STATUS])
    s[_SIGMA] = np.where(heard, -s[_SIGMA], s[_SIGMA])
    _start_again(heard, caps[side], s)


def _not_finite(
    t: _Table,
    f: NDArray[float64],
    here: NDArray[np.bool_],
    finite: NDArray[np.bool_],
    k: NDArray[float64],
    k_least: NDArray[float64],
    caps: NDArray[float64],
    side: int,
    base: bool,
    s: NDArray[float64],
) -> None:
    """Turn to the side where f is finite; come closer where neither is."""
    s[_STATUS] = np.where(here, s[_STATUS], float(_NOT_FINITE_HERE))
    off = here & ~finite
    s[_HI] = np.where(off, np.minimum(s[_HI], k), s[_HI])
    right, left = np.ones(k.shape, bool), np.ones(k.shape, bool)
    for i in range(1, t.last + 1):
        good = np.isfinite(f[i])
        if t.offsets[i - 1] > 0:
            right &= good
        else:
            left &= good
    turn = off & (right != left) & (side == 0) & base
    s[_WANT_SIDE] = np.where(turn, np.where(right, 1.0, -1.0), s[_WANT_SIDE])
    turned_cap = np.where(right, caps[1], caps[2])
    s[_WANT_K] = np.where(turn, np.minimum(k, turned_cap), s[_WANT_K])
    s[_PREV_K] = np.where(turn, np.inf, s[_PREV_K])
    s[_FIRST_K] = np.where(turn, -np.inf, s[_FIRST_K])
    closer = off & ~turn
    _shrunk(closer, k - (s[_LEAP] if base else 2.0), k, k_least, s)
    if base:
        s[_LEAP] = np.where(closer, 2.0 * s[_LEAP], s[_LEAP])
    ended = closer & ((s[_STATUS] == _STALLED) | (s[_ROUNDS] >= _ROUNDS_MAX))
    s[_STATUS] = np.where(ended & (s[_ERROR] == np.inf), float(_NOT_FINITE), s[_STATUS])


def _no_difference(
    t: _Table,
    quiet: NDArray[np.bool_],
    exponent: NDArray[float64],
    back: NDArray[float64],
    roundoff: NDArray[float64],
    k: NDArray[float64],
    k_unit: NDArray[float64],
    s: NDArray[float64],
) -> None:
    """Samples that are all equal: h is too small, until a second, much larger one shows the same."""
    s[_LO] = np.where(quiet, np.maximum(s[_LO], k), s[_LO])
    s[_ZEROS] = np.where(quiet, s[_ZEROS] + 1.0, s[_ZEROS])
    error = _exp2(_log2(roundoff) + t.norm + (exponent - t.n * k))
    error = np.where(roundoff * back == 0.0, 0.0, error)
    up = np.where(k < k_unit, np.maximum(k + 12.0, k_unit), k + 8.0)
    up = np.where(up >= s[_HI], np.floor((k + s[_HI]) / 2.0), up)
    # Few roundings make samples of different points zero, but where h is small terms of f cancel, or underflow: f is zero
    # around x if it is at a second step, or a large one. Other equal samples tell how large the derivative may be, until
    # samples differ, at a larger step: then what that says stands.
    nothing = roundoff * back <= 5e-324
    again = (s[_ZEROS] >= 2.0) | (up <= k)
    unknown = (s[_PREV_K] == np.inf) & ((s[_ERROR] == np.inf) | (s[_VALUE] == 0.0))
    better = quiet & np.where(nothing, again | (k >= k_unit), unknown)
    s[_ERROR] = np.where(better, np.where(nothing, error, np.minimum(s[_ERROR], error)), s[_ERROR])
    s[_VALUE] = np.where(better, 0.0, s[_VALUE])
    s[_K] = np.where(better, k, s[_K])
    s[_LAST_VALUE] = np.where(quiet, 0.0, s[_LAST_VALUE])
    ended = quiet & (again | (nothing & (k >= k_unit) & (error <= 2.0**-1000)))
    believed = (s[_ERROR] <= np.abs(s[_VALUE])) | (s[_ERROR] <= 4.0 * _scaled(error, t.n * (k - s[_K])))
    s[_STATUS] = np.where(ended, np.where(believed, float(_CONVERGED), float(_NOT_SMOOTH)), s[_STATUS])
    s[_WANT_K] = np.where(quiet, up, s[_WANT_K])


def _compare(
    t: _Table,
    c: list[NDArray[float64]],
    d: list[NDArray[float64]],
    total: NDArray[float64],
    zero: NDArray[np.bool_],
    live: NDArray[np.bool_],
    back: NDArray[float64],
    roundoff: NDArray[float64],
    unscale: NDArray[float64],
    k: NDArray[float64],
    cap: NDArray[float64],
    s: NDArray[float64],
) -> NDArray[np.bool_]:
    """What this round and the one before at a larger step say of the noise in f, into sigma.

    True where a probe found noise: the element starts again from its first step, knowing it.
    """
    last = t.last
    fell = s[_PREV_K] - k
    compared = live & (s[_PREV_K] < np.inf) & (fell >= 2.0)
    if not compared.any():
        return np.zeros(k.shape, bool)
    fell = np.where(compared, fell, 2.0)
    then = [s[_PREV_C1], s[_PREV_C2]]
    now = [c[last - 1] * back, c[last] * back]
    unnorm = [_exp2(-t.norms[last - 2]), _exp2(-t.norms[last - 1])]
    top = np.maximum(np.abs(now[0]) * unnorm[0], np.abs(now[1]) * unnorm[1])
    top_then = np.maximum(np.abs(then[0]) * unnorm[0], np.abs(then[1]) * unnorm[1])

    probed = compared & (s[_PREV_FLAGS] >= _SUSPICIOUS) & (fell >= 8.0)
    noisy: NDArray[np.bool_] = probed & ((8.0 * top >= top_then) | zero)
    mean = d[1]
    for v in d[2:]:
        mean = mean + v
    mean = mean / (last + 1)
    square = mean * mean
    for v in d[1:]:
        square = square + (v - mean) * (v - mean)
    scatter = np.maximum(np.sqrt(square / last) * back, 0.125 * top_then)
    scatter = np.where(
        zero, np.maximum(scatter, np.minimum(0.125 * s[_ROUGH], 64.0 * top_then)), scatter
    )  # a staircase, of steps less than that
    s[_SIGMA] = np.where(noisy, np.maximum(s[_SIGMA], scatter), s[_SIGMA])

    value = _scaled(total, unscale)
    least = _exp2(_log2(roundoff) + t.norm + unscale)
    calm = (s[_PREV_FLAGS] == 0.0) & (s[_PREV_ERROR] <= 0.015625 * np.abs(s[_PREV_VALUE]))
    calm &= np.abs(value - s[_PREV_VALUE]) <= 8.0 * (s[_PREV_ERROR] + least)
    for i, q in enumerate((last - 1, last)):
        expected = _scaled(then[i], -q * fell)
        extra = np.abs(now[i] - expected)
        ratio = _log2(then[i]) - _log2(now[i])
        kink = np.abs(ratio - fell) < 0.25 * fell  # falls like h: structure, not noise
        heard = 0.7 * extra * unnorm[i]
        # Nor is what would have spoilt an estimate from a smaller step, which is better than that.
        denied = (s[_LO] > -np.inf) & (s[_ZEROS] == 0.0)
        denied &= _times_exp2(heard, t.norm - t.n * s[_K]) > 2.0 * s[_ERROR]
        noise = compared & ~probed & calm & (np.abs(expected) <= extra) & ~kink & ~denied
        news = noise & (s[_SIGMA] == 0.0) & (heard > 4.0 * (roundoff * back))  # it was noise that larger steps showed
        s[_HI] = np.where(news, cap + 1.0, s[_HI])
        s[_SIGMA] = np.where(noise, np.maximum(s[_SIGMA], heard), s[_SIGMA])

    _start_again(noisy, cap, s)
    return noisy


def _start_again(who: NDArray[np.bool_], cap: NDArray[float64], s: NDArray[float64]) -> None:
    """From the first step, with the noise that is known by now."""
    s[_WANT_K] = np.where(who, s[_FIRST_K], s[_WANT_K])
    s[_LO] = np.where(who & (s[_ZEROS] == 0.0), -np.inf, s[_LO])
    s[_HI] = np.where(who, cap + 1.0, s[_HI])
    s[_PREV_K] = np.where(who, np.inf, s[_PREV_K])
    s[_ERROR] = np.where(who, np.inf, s[_ERROR])


def _shrunk(
    who: NDArray[np.bool_],
    down: NDArray[float64],
    k: NDArray[float64],
    k_least: NDArray[float64],
    s: NDArray[float64],
) -> None:
    """Ask for the smaller step, inside the bracket; where there is none left, stop: with what a smaller step has settled."""
    down = np.maximum(down, k_least)
    down = np.where(down <= s[_LO], np.ceil((k + s[_LO]) / 2.0) + 0.0, down)
    stuck = who & ((down <= s[_LO]) | (down >= k))
    settled = (s[_LO] > -np.inf) & (s[_ZEROS] == 0.0) & (s[_SIGMA] >= 0.0) & (s[_ERROR] < np.abs(s[_VALUE]))
    s[_STATUS] = np.where(stuck, np.where(settled, float(_CONVERGED), float(_STALLED)), s[_STATUS])
    s[_WANT_K] = np.where(who, down, s[_WANT_K])


def _give_up(s: NDArray[float64]) -> None:
    """End what has had all its rounds, and widen the error bar of what ends without convergence."""
    late = (s[_STATUS] == _RUNNING) & (s[_ROUNDS] >= _ROUNDS_MAX) & (s[_WANT_LEVEL] == 0.0)
    # A derivative that is zero at any step is: its bar falls as long as the step grows.
    zero = (s[_K] == s[_LO]) & (np.abs(s[_VALUE]) <= s[_ERROR])
    s[_STATUS] = np.where(late, np.where(zero, float(_CONVERGED), float(_EXHAUSTED)), s[_STATUS])
    failed = (s[_STATUS] == _STALLED) | (s[_STATUS] == _EXHAUSTED)
    rough = failed & (s[_PREV_FLAGS] >= _BAD) & (s[_PREV_FLAGS] != _SUSPICIOUS)
    apart = np.abs(s[_LAST_VALUE] - s[_VALUE])
    s[_ERROR] = np.where(failed, np.maximum(s[_ERROR], np.where(np.isnan(apart), np.inf, apart)), s[_ERROR])
    grows = failed & (s[_SPREAD_LEAST] < np.inf) & (s[_SPREAD_LEAST] > 1.5 * s[_SPREAD_FIRST])
    s[_ERROR] = np.where(grows, np.inf, s[_ERROR])
    s[_STATUS] = np.where(rough, float(_NOT_SMOOTH), s[_STATUS])
    torn = (s[_STATUS] == _NOT_SMOOTH) & (s[_SPREAD_FIRST] < np.inf)
    s[_ERROR] = np.where(torn, np.maximum(s[_ERROR], s[_SPREAD_FIRST]), s[_ERROR])


# --- grids; the contract of rules and terms is in csrc/fastdiff.h ---

TILE = 1 << 15  # results of a tile; bounds the temporaries


def _central(p: list[Real], w: Real, odd: bool) -> Real:
    total = np.zeros(())
    for j, weight in enumerate(w):
        up, down = p[2 * j + 1], p[2 * j + 2]
        pair = weight * (up - down if odd else (up - p[0]) + (down - p[0]))
        total = total + pair if j else pair
    return total


def _row(p: list[Real], w: Real) -> Real:
    total: Real = w[0] * p[0]
    for weight, sample in zip(w[1:], p[1:], strict=True):
        total = total + weight * sample
    return total


def _box(a: Real, rule: Rule, begin: int, end: int) -> list[tuple[slice, Real]]:
    """The results [begin, end) along axis 0, in pieces."""
    pieces = []
    inside = max(begin, rule.head), min(end, rule.n - rule.tail)
    for i in (*range(begin, min(end, rule.head)), *range(max(begin, rule.n - rule.tail), end)):
        row = i if i < rule.head else i - (rule.n - rule.tail) + rule.head
        samples = [a[k] for k in rule.index[row]]
        value = _central(samples, rule.central, rule.odd) if rule.weights is None else _row(samples, rule.weights[row])
        pieces.append((slice(i, i + 1), value[np.newaxis]))
    if inside[0] < inside[1]:
        at, stop = inside[0] + rule.origin, inside[1] + rule.origin
        if rule.table is None:
            offsets = [0, *(sign * j for j in range(1, len(rule.central) + 1) for sign in (1, -1))]
            value = _central([a[at + j : stop + j] for j in offsets], rule.central, rule.odd)
        else:
            table = rule.table[:, slice(*inside)].reshape(len(rule.table), -1, *(1,) * (a.ndim - 1))
            first = rule.first
            value = _row([a[at + first + j : stop + first + j] for j in range(len(table))], table)
        pieces.append((slice(*inside), value))
    return pieces


def sweep(terms: Terms, stream: bool, part: int, parts: int) -> None:
    """All terms over the share `part` of `parts` of the results."""
    shape, room = terms[0].out.shape, TILE
    steps: list[int] = []
    for length in reversed(shape):
        steps.insert(0, min(length, room))
        room //= steps[0]
    tiles = product(*(range(0, length, step) for length, step in zip(shape, steps, strict=True)))
    with np.errstate(all="ignore"):
        for number, low in enumerate(tiles):
            if number * parts // prod(-(-length // step) for length, step in zip(shape, steps, strict=True)) != part:
                continue
            box = tuple(slice(i, min(i + step, length)) for i, step, length in zip(low, steps, shape, strict=True))
            for term in terms:
                k = term.axis
                a = np.moveaxis(term.a[(*box[:k], slice(None), *box[k + 1 :])], k, 0)
                out = np.moveaxis(term.out[(*box[:k], slice(None), *box[k + 1 :])], k, 0)
                for where, value in _box(a, term.rule, box[k].start, box[k].stop):
                    np.add(out[where], value, out=out[where]) if term.add else np.copyto(out[where], value)


def weights(nodes: NDArray[float64], at: int, n: int, scale: float, out: NDArray[float64]) -> None:
    """Of nodes (points, count) for derivative n at node `at`: Fornberg (1988), all polynomials at once."""
    points, count = nodes.shape
    with np.errstate(all="ignore"):
        if n == 1 and points == 3:
            out[...] = _three_points((nodes[1] - nodes[0]) * scale, (nodes[2] - nodes[1]) * scale, at)
            out *= scale
            return
        x = nodes * scale
        c = np.zeros((points, n + 1, count))
        c[0, 0] = 1.0
        c1, c4 = np.ones(count), x[0] - x[at]
        for i in range(1, points):
            top = range(min(i, n), -1, -1)
            c2, c5, c4 = np.ones(count), c4, x[i] - x[at]
            for j in range(i):
                c3 = x[i] - x[j]
                c2 = c2 * c3
                for k in top if j == i - 1 else ():
                    c[i, k] = c1 * ((k * c[j, k - 1] if k else 0.0) - c5 * c[j, k]) / c2
                for k in top:
                    c[j, k] = (c4 * c[j, k] - (k * c[j, k - 1] if k else 0.0)) / c3
            c1 = c2
        out[...] = c[:, n]
        for _ in range(n):
            out *= scale


def _three_points(d1: NDArray[float64], d2: NDArray[float64], at: int) -> tuple[NDArray[float64], ...]:
    """The first derivative by three points in the closed form that is exact for parabolas."""
    both = d1 + d2
    if at == 0:
        return -(2.0 * d1 + d2) / (d1 * both), both / (d1 * d2), -d1 / (d2 * both)
    if at == 1:
        return -d2 / (d1 * both), (d2 - d1) / (d1 * d2), d1 / (d2 * both)
    return d2 / (d1 * both), -both / (d1 * d2), (2.0 * d2 + d1) / (d2 * both)
