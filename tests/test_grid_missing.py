"""Protects derivatives next to missing samples: stencils turn or shrink, and what is missing is never looked at."""

import numpy as np
import pytest

from fastdiff import grid

RNG = np.random.default_rng(11)
COUNT = 60


def gappy(poison=np.nan):
    x = np.linspace(0, 3, COUNT)
    valid = np.ones(COUNT, bool)
    valid[[10, 30, 31, 33, 40, 42, 45, 49, 59]] = False
    return x, np.where(valid, np.sin(x), poison), valid


def runs(valid):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], valid.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("accuracy", [1, 2, 4, 6])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("spaced", ["uniform", "uneven"])
def test_a_run_is_a_grid_of_its_own(n, accuracy, poison, spaced):
    x, a, valid = gappy(poison)
    x = x + 0.01 * np.sin(9 * x) if spaced == "uneven" else np.arange(COUNT) * 0.05
    got = grid.derivative(a, x, n=n, accuracy=accuracy, where=valid)
    assert np.isnan(got[~valid]).all()
    for begin, end in runs(valid):
        if end - begin <= n:
            assert np.isnan(got[begin:end]).all()
            continue
        best = accuracy
        while end - begin < n + best:
            best -= 1
        if best % 2 and best < accuracy:  # shrunk: all samples of the run, whatever the order
            nodes = x[begin:end]
            want = [np.polynomial.Polynomial.fit(nodes, a[begin:end], len(nodes) - 1).deriv(n)(v) for v in nodes]
            np.testing.assert_allclose(got[begin:end], want, rtol=1e-6, atol=1e-6)
        elif best == accuracy:
            want = grid.derivative(a[begin:end], x[begin:end], n=n, accuracy=accuracy)
            np.testing.assert_allclose(got[begin:end], want, rtol=1e-9, atol=1e-9)
        else:
            assert np.isfinite(got[begin:end]).all()


def test_orders_hold_next_to_gaps():
    errors = []
    for count in (200, 400):
        x = np.linspace(0, 3, count)
        valid = np.ones(count, bool)
        valid[count // 2] = False
        got = grid.derivative(np.where(valid, np.exp(x), np.nan), x[1], accuracy=4, where=valid)
        errors.append(np.nanmax(np.abs(got - np.exp(x))))
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.3


def test_without_where_nan_spreads_and_with_it_does_not():
    _, a, valid = gappy()
    assert np.isnan(grid.derivative(a)).sum() > np.isnan(grid.derivative(a, where=valid)).sum()


def test_periodic_runs_go_round_the_end():
    a = np.sin(2 * np.pi * np.arange(40) / 40)
    valid = np.ones(40, bool)
    valid[20] = False
    got = grid.derivative(np.where(valid, a, np.nan), accuracy=4, boundary="periodic", where=valid)
    whole = grid.derivative(a, accuracy=4, boundary="periodic")
    np.testing.assert_allclose(got[:18], whole[:18], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[23:], whole[23:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[valid], whole[valid], atol=1e-4)
    rolled = grid.derivative(
        np.roll(np.where(valid, a, np.nan), 19), accuracy=4, boundary="periodic", where=np.roll(valid, 19)
    )
    np.testing.assert_allclose(rolled, np.roll(got, 19), rtol=0, atol=1e-12)


@pytest.mark.parametrize("boundary", ["one-sided", "periodic", "trim"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "i4", ">f8"])
def test_several_axes(boundary, dtype):
    a = (RNG.standard_normal((14, 15, 16)) * 100).astype(dtype)
    valid = RNG.random(a.shape) > 0.03
    options = {"boundary": boundary, "where": valid}
    tolerance = {"rtol": 1e-3, "atol": 1e-1} if dtype == "f4" else {"rtol": 1e-10, "atol": 1e-9}

    def inner(x):
        return x[tuple(slice((n - m) // 2, n - (n - m) // 2) for n, m in zip(x.shape, shape, strict=True))]

    shape = tuple(n - 2 for n in a.shape) if boundary == "trim" else a.shape
    parts = [inner(grid.derivative(a, 0.5, axis, **options)) for axis in range(3)]
    for got, want in zip(grid.gradient(a, 0.5, **options), parts, strict=True):
        np.testing.assert_allclose(got, want, **tolerance)
    seconds = [inner(grid.derivative(a, 0.5, axis, n=2, **options)) for axis in range(3)]
    np.testing.assert_allclose(grid.laplacian(a, 0.5, **options), sum(seconds), **tolerance)
    np.testing.assert_allclose(grid.divergence([a, a, a], 0.5, **options), sum(parts), **tolerance)


def test_masked_arrays_stay_masked_arrays():
    _, a, valid = gappy(1e300)
    masked = np.ma.array(a, mask=~valid)
    got = grid.derivative(masked, n=2)
    assert isinstance(got, np.ma.MaskedArray)
    want = grid.derivative(a, n=2, where=valid)
    np.testing.assert_array_equal(got.mask, np.isnan(want))
    np.testing.assert_array_equal(got.filled(np.nan), want)
    assert got.mask is not masked.mask
    assert all(isinstance(g, np.ma.MaskedArray) for g in grid.gradient(np.ma.array(np.ones((5, 5)))))
    both = grid.derivative(masked, where=np.arange(COUNT) != 5)
    assert both.mask[5]


def test_all_missing_and_nothing_missing():
    a = RNG.standard_normal((5, 6))
    assert np.isnan(grid.derivative(a, where=np.zeros((5, 6), bool))).all()
    np.testing.assert_array_equal(grid.derivative(a, where=True), grid.derivative(a))
    np.testing.assert_array_equal(grid.derivative(a, where=np.array([True] * 6)), grid.derivative(a))


def test_error_is_infinite_where_no_better_stencil_fits():
    x, a, valid = gappy()
    value, error = grid.derivative(a, x[1], where=valid, error=True)
    np.testing.assert_array_equal(np.isnan(value), np.isnan(error))
    assert np.isinf(error[34:40]).sum() == 0
    assert np.isinf(error[[46, 47, 48]]).all()
    finite = np.isfinite(error)
    assert np.mean((np.abs(value - np.cos(x)) <= error)[finite]) > 0.95
