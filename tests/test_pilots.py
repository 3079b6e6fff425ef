"""Protects what many elements learn from a few, noise and first steps: fewer evaluations, and results no worse for it."""

import struct
from math import frexp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiff import derivative, gradient
from fastdiff.kernels import _numpy, backend
from fastdiff.pilots import MANY

RANDOM = np.random.default_rng(7)
UNIFORM, NORMAL = RANDOM.uniform(-10, 10, MANY), RANDOM.normal(size=MANY)
KNOTS, HEIGHTS = np.linspace(-10, 10, 41), RANDOM.normal(size=41)


def hermite(x, order):
    """A cubic with other coefficients between each two knots, and its derivative; the slope at all knots is zero."""
    i = np.clip(np.searchsorted(KNOTS, x) - 1, 0, len(KNOTS) - 2)
    width, rise = KNOTS[i + 1] - KNOTS[i], HEIGHTS[i + 1] - HEIGHTS[i]
    t = (x - KNOTS[i]) / width
    return HEIGHTS[i] + rise * t * t * (3 - 2 * t) if order == 0 else 6 * rise * t * (1 - t) / width


def in_parts(f, x, **options):
    """Value, error bar and evaluations from calls too small to learn anything."""
    parts = [derivative(f, part, full_output=True, **options) for part in np.array_split(x, 2)]
    return (
        np.concatenate([p.value for p in parts]),
        np.concatenate([p.error for p in parts]),
        sum(p.nfev for p in parts),
    )


@pytest.mark.parametrize(
    ("f", "slope", "x", "saved"),
    [
        (lambda x: np.log(1 + np.exp(x)), lambda x: 1 / (1 + np.exp(-x)), NORMAL, 0.15),
        (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x), UNIFORM, 0.3),
        (lambda x: 1e6 + np.sin(x), np.cos, NORMAL, 0.3),
        (lambda x: np.sin(20 * x), lambda x: 20 * np.cos(20 * x), UNIFORM, 0.3),
    ],
    ids=["softplus", "bell", "offset", "fast"],
)
def test_fewer_evaluations_of_smooth_functions(f, slope, x, saved):
    whole = derivative(f, x, full_output=True)
    _, error, nfev = in_parts(f, x)
    assert whole.nfev < (1 - saved) * nfev
    assert whole.nfev < 6.4 * x.size  # six points, and few need more
    assert (np.abs(whole.value - slope(x)) <= whole.error).mean() > 0.999
    assert np.median(whole.error) < 2 * np.median(error)
    assert whole.converged.all()


def scattered(x):
    """Uniform in [-1/2, 1/2], a fixed function of the bits of x that looks like noise."""
    bits = np.ascontiguousarray(x).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((bits ^ (bits >> np.uint64(32))) >> np.uint64(11)) / 2.0**53 - 0.5


def test_rounding_inside_f_is_heard():
    """1 + exp(x) is rounded to 1e-16, which is 1e-12 of the result at x = -10: more than one bar in fifty is too small where
    each point has to guess it."""
    whole = derivative(lambda x: np.log(1 + np.exp(x)), UNIFORM, full_output=True)
    truth = 1 / (1 + np.exp(-UNIFORM))
    value, error, nfev = in_parts(lambda x: np.log(1 + np.exp(x)), UNIFORM)
    assert (np.abs(value - truth) > error).mean() > 0.02
    assert (np.abs(whole.value - truth) > whole.error).mean() < 0.0005
    assert np.median(whole.error) < 1.5 * np.median(error)
    assert np.median(np.abs(whole.value - truth)) < 1.1 * np.median(np.abs(value - truth))
    assert whole.nfev < min(nfev, 6.2 * UNIFORM.size)


@pytest.mark.parametrize("size", [1e-9, 1e-5])
def test_noise_is_heard(size):
    def f(x):
        return np.exp(x / 5) + size * scattered(x)

    whole, (value, error, nfev) = derivative(f, NORMAL, full_output=True), in_parts(f, NORMAL)
    off, off_parts = (np.abs(v - np.exp(NORMAL / 5) / 5) for v in (whole.value, value))
    assert whole.nfev < 0.6 * nfev
    assert (off > whole.error).mean() < 0.002
    assert np.median(off) < 1.3 * np.median(off_parts)
    assert np.quantile(off, 0.99) < np.quantile(off_parts, 0.99)
    assert np.median(whole.error) < 1.3 * np.median(error)


def test_what_is_too_fast_for_the_first_step_is_no_noise():
    def f(x):
        return np.sin(1e6 * x)

    whole, (value, error, nfev) = derivative(f, UNIFORM, full_output=True), in_parts(f, UNIFORM)
    good = np.isfinite(error)
    assert good.mean() > 0.999
    assert (np.abs(whole.value - value) <= whole.error + error)[good].mean() > 0.999
    assert np.median(whole.error) < 2 * np.median(error)
    assert whole.nfev < 0.6 * nfev


def test_no_evaluation_is_saved_at_the_price_of_digits():
    """Inside of its pieces a cubic is exact at large steps, beside the knots it ends in one round at small ones."""
    whole = derivative(lambda x: hermite(x, 0), UNIFORM, full_output=True)
    value, error, _ = in_parts(lambda x: hermite(x, 0), UNIFORM)
    off = [np.median(np.abs(found - hermite(UNIFORM, 1))) for found in (whole.value, value)]
    assert off[0] < 4 * off[1]
    assert np.median(whole.error) < 4 * np.median(error)


def test_nothing_is_learned_where_nothing_is_gained():
    value, error, _ = in_parts(np.exp, UNIFORM)
    whole = derivative(np.exp, UNIFORM, full_output=True)
    np.testing.assert_array_equal(whole.value, value)
    np.testing.assert_array_equal(whole.error, error)


@pytest.mark.parametrize("method", ["central", "forward"])
def test_all_ways_to_run_learn_the_same(method):
    x = np.concatenate([NORMAL, [np.nan, 0.0, -0.0, np.inf, 5e-324, 1e300]])

    def f(x):
        return np.exp(-x * x) + np.where(x > 1, np.sqrt(x - 1), 0)

    want = derivative(f, x, method, engine="python", threads=1, full_output=True)
    for options in ({"engine": "python", "threads": 2}, {"engine": "traced"}, {"engine": "traced", "threads": 1}):
        got = derivative(f, x, method, full_output=True, **options)
        for field in ("value", "error", "h", "converged"):
            np.testing.assert_array_equal(getattr(got, field), getattr(want, field))
        np.testing.assert_array_equal(derivative(f, x, method, **options), want.value)


def test_bounds_hold():
    lo, hi = UNIFORM - RANDOM.uniform(0, 0.02, MANY), UNIFORM + 0.01

    def f(x):
        assert ((x >= lo.min()) & (x <= hi.max())).all()
        return np.exp(-x * x)

    r = derivative(f, UNIFORM, bounds=(lo, hi), full_output=True)
    truth = -2 * UNIFORM * np.exp(-UNIFORM * UNIFORM)
    assert (np.abs(r.value - truth) <= r.error).mean() > 0.999


def test_points_learn_too():
    x = RANDOM.normal(size=(MANY // 4, 4))

    def f(x):
        return np.sum(np.log(1 + np.exp(x)), axis=-1)

    found = gradient(f, x, vectorized=True, full_output=True)
    parts = [gradient(f, p, vectorized=True, full_output=True) for p in np.array_split(x, 4)]
    assert found.nfev < 0.9 * sum(p.nfev for p in parts)
    assert (np.abs(found.value - 1 / (1 + np.exp(-x))) <= found.error).mean() > 0.999


scales = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x != 0)


@given(values=st.lists(scales, min_size=1, max_size=40), seed=st.integers(0, 2**32 - 1))
def test_first_steps_by_octave(values, seed):
    """log2 of a first step is what the table says for sign and exponent of scale / sqrt(2), over that exponent."""
    table = np.random.default_rng(seed).integers(-80, 80, 4096).astype(float)
    scale = np.array(values)
    for module in (_numpy, backend):
        k, least = np.empty((2, scale.size))
        module.start(scale, np.zeros(1), table, 0.0, k, least)
        for x, got, floor in zip(values, k, least):
            small = x * 0.7071067811865476
            entry = table[struct.unpack("<Q", struct.pack("<d", small))[0] >> 52]
            if abs(small) >= 2.0**-1022:  # exponents below are those of zero
                assert got == max(min(max(frexp(small)[1] + entry, -1060), 1000), floor)
            else:
                assert got >= floor
