"""Protects the edges of the calls: bad input is named, odd input is taken as it is meant, and out= is respected."""

import numpy as np
import pytest

from fastdiff import grid

A = np.arange(12.0).reshape(3, 4)
T = np.datetime64("2020-01-01") + np.array([0, 1, 2, 4])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: grid.derivative([1.0, 2.0]), ValueError, "has 2 points.*at least 3"),
        (lambda: grid.derivative(np.ones(10), n=6, accuracy=12), ValueError, "at least 18"),
        (lambda: grid.derivative(np.ones(4), boundary="periodic", accuracy=4), ValueError, "at least 5"),
        (lambda: grid.derivative(np.ones(2), boundary="trim"), ValueError, "at least 3"),
        (lambda: grid.laplacian(A), ValueError, "axis 0 has 3 points.*at least 4"),
        (lambda: grid.derivative(3.0), ValueError, "at least one axis"),
        (lambda: grid.derivative(None), ValueError, "at least one axis"),
        (lambda: grid.derivative(A, axis=2), ValueError, "axis 2 is out of bounds"),
        (lambda: grid.derivative(A, axis=1.0), TypeError, "axis must be an integer"),
        (lambda: grid.gradient(A, axis=(0, 0)), ValueError, "repeated axis"),
        (lambda: grid.gradient(A, axis=-3), ValueError, "axis -3"),
        (lambda: grid.derivative(A, [0, 1, 1, 2]), ValueError, "strictly monotonic.*1.0 to 1.0 at index 1"),
        (lambda: grid.derivative(A, [0, 2, 1, 3]), ValueError, "strictly monotonic.*2.0 to 1.0 at index 1"),
        (lambda: grid.derivative(A, [3, 2, 1, 1]), ValueError, "strictly monotonic"),
        (lambda: grid.derivative(A, [0, 1, np.nan, 2]), ValueError, "finite.*nan"),
        (lambda: grid.derivative(A, [0, 1, 2, np.inf]), ValueError, "finite.*inf"),
        (lambda: grid.derivative(A, 0), ValueError, "spacing must be finite and not zero"),
        (lambda: grid.derivative(A, np.nan), ValueError, "spacing must be finite"),
        (lambda: grid.derivative(A, [0, 1, 2]), ValueError, r"length 4.*shape \(3,\)"),
        (lambda: grid.derivative(A, A), ValueError, "1-D coordinates"),
        (lambda: grid.derivative(A, "a"), TypeError, "spacing"),
        (lambda: grid.derivative(A, 1j), TypeError, "spacing"),
        (lambda: grid.derivative(A, None), TypeError, "spacing"),
        (lambda: grid.derivative(A, True), TypeError, "spacing"),
        (lambda: grid.derivative(A, [0, 1, 2, 4j]), TypeError, "real numbers"),
        (lambda: grid.gradient(A, 1, 2, 3), TypeError, "one entry per axis, 2; got 3"),
        (lambda: grid.gradient(A, 1, [0, 0, 1, 2]), ValueError, "spacing of axis 1"),
        (lambda: grid.derivative(A, n=7), ValueError, "n must be from 1 to 6, got 7"),
        (lambda: grid.derivative(A, n=1.0), TypeError, "n must be an integer"),
        (lambda: grid.derivative(A, accuracy=13), ValueError, "accuracy must be from 1 to 12"),
        (lambda: grid.derivative(A, accuracy=True), TypeError, "accuracy"),
        (lambda: grid.derivative(A, boundary="wrap"), ValueError, "'one-sided', 'periodic', 'trim', got 'wrap'"),
        (lambda: grid.gradient(A, boundary=("trim",)), ValueError, "boundary must be one value or one per axis, 2"),
        (lambda: grid.derivative(A, [0, 1, 3, 5], boundary="periodic"), ValueError, "period must be given"),
        (lambda: grid.derivative(A, [0, 1, 3, 5], boundary="periodic", period=5), ValueError, "period must be longer"),
        (lambda: grid.derivative(A, [0, 1, 3, 5], boundary="periodic", period="5"), TypeError, "period must be"),
        (lambda: grid.derivative(A, period=4), ValueError, "boundary='periodic'"),
        (lambda: grid.derivative(A, T), ValueError, "unit must say"),
        (lambda: grid.derivative(A, T, unit="year"), ValueError, "unit must say"),
        (lambda: grid.derivative(A, unit="s"), ValueError, "unit='s' goes with"),
        (lambda: grid.derivative(A, [0, 1, 3, 4], unit="s"), ValueError, "unit='s' goes with"),
        (lambda: grid.derivative(A, np.timedelta64(1, "s")), ValueError, "unit must be"),
        (lambda: grid.derivative(A, np.timedelta64("NaT"), unit="s"), ValueError, "timedelta64"),
        (lambda: grid.derivative(A, np.append(T[:3], np.datetime64("NaT")), unit="s"), ValueError, "NaT"),
        (lambda: grid.derivative(A, T.astype("M8[Y]"), unit="s"), TypeError, "months and years"),
        (lambda: grid.derivative(A.astype(object)), TypeError, "a must hold numbers.*object"),
        (lambda: grid.derivative(T), TypeError, "a must hold numbers"),
        (lambda: grid.derivative(["a", "b", "c"]), TypeError, "a must hold numbers"),
        (lambda: grid.derivative(A, threads=0), ValueError, "threads must be at least 1"),
        (lambda: grid.derivative(A, threads=1.5), TypeError, "threads"),
        (lambda: grid.derivative(A, where=[1, 0, 1, 1]), TypeError, "where must be boolean"),
        (lambda: grid.derivative(A, where=[True] * 3), ValueError, r"where of shape \(3,\)"),
        (lambda: grid.derivative(A, out=A), ValueError, "share memory"),
        (lambda: grid.derivative(A, out=A[::-1, ::-1]), ValueError, "share memory"),
        (lambda: grid.derivative(A, out=np.empty((3, 4), "f4")), ValueError, "dtype float64, got"),
        (lambda: grid.derivative(A, out=np.empty((3, 4), ">f8")), ValueError, "dtype"),
        (lambda: grid.derivative(A, out=np.empty((4, 3))), ValueError, r"shape \(3, 4\)"),
        (lambda: grid.derivative(A, out=[0.0]), TypeError, "out must be an ndarray"),
        (lambda: grid.derivative(A, out=np.broadcast_to(0.0, (3, 4))), ValueError, "writeable"),
        (lambda: grid.derivative(A, boundary="trim", out=np.empty((3, 4))), ValueError, r"shape \(3, 2\)"),
        (lambda: grid.gradient(A, out=np.empty((3, 4))), TypeError, "sequence of 2"),
        (lambda: grid.gradient(A, out=[np.empty((3, 4))]), TypeError, "sequence of 2"),
        (lambda: grid.gradient(A, out=[np.empty((3, 4)), A]), ValueError, r"out\[1\] must not share"),
        (lambda: grid.gradient(A, out=[np.empty((3, 4))] * 2), ValueError, r"out\[1\] must not share"),
        (lambda: grid.divergence([A, A], out=A), ValueError, "share memory"),
        (lambda: grid.divergence([A]), ValueError, "one component for each of the 2 axes"),
        (lambda: grid.divergence([A, A[:2]]), ValueError, "one shape"),
        (lambda: grid.divergence(A[0]), ValueError, "components along the first axis"),
        (lambda: grid.curl([A, A, A]), ValueError, "two or three components"),
        (lambda: grid.laplacian(A, axis=()), ValueError, "axis"),
        (lambda: grid.derivative(A, 1e-200, n=2, accuracy=1), ValueError, "overflow"),
        (lambda: grid.derivative(A.astype("f4"), 1e-20, n=2), ValueError, "float32.*overflow"),
        (lambda: grid.derivative(A, error=True), ValueError, "error=True needs at least 5"),
        (lambda: grid.matrix(()), ValueError, "shape"),
        (lambda: grid.matrix(2.5), TypeError, "shape"),
        (lambda: grid.derivative(np.empty((4, 0))), ValueError, "has 0 points"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_long_coordinates_are_checked_to_the_end():
    for at in (3, 4095, 4096, 4097, 9_998):
        x = np.arange(10_000.0)
        x[at] = x[at + 1]
        with pytest.raises(ValueError, match=f"at index {at}"):
            grid.derivative(x, x)


def test_matrix_without_scipy_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="needs SciPy"):
        grid.matrix(4)


def test_empty_along_other_axes():
    assert grid.derivative(np.empty((0, 4))).shape == (0, 4)
    assert grid.derivative(np.empty((5, 0)), axis=0, error=True)[1].shape == (5, 0)
    assert grid.laplacian(np.empty((0, 5)), axis=1).shape == (0, 5)


@pytest.mark.parametrize(
    ("given", "found"),
    [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), (">f8", "f8"), (">f4", "f4"), ("?", "f8"), ("i1", "f8"), ("u8", "f8"),
     ("c8", "c8"), ("c16", "c16"), (">c16", "c16")],
)  # fmt: skip
def test_dtypes(given, found):
    a = np.array([[0, 1, 4, 9], [0, 2, 8, 18]]).astype(given)
    got = grid.derivative(a)
    assert got.dtype == np.dtype(found)
    np.testing.assert_array_equal(got, np.gradient(a.astype(found), axis=1, edge_order=2))


def test_complex_is_two_real_ones():
    a = np.random.default_rng(1).standard_normal((2, 9, 10))
    z = a[0] + 1j * a[1]
    for view, parts in ((z, a), (z.T, a.transpose(0, 2, 1)), (z[:, ::2], a[..., ::2]), (z[::-1], a[:, ::-1])):
        got = grid.laplacian(view)
        np.testing.assert_array_equal(got.real, grid.laplacian(parts[0]))
        np.testing.assert_array_equal(got.imag, grid.laplacian(parts[1]))


def test_layouts_give_the_same_bits():
    base = np.random.default_rng(2).standard_normal((20, 24, 28))
    unaligned = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view("f8").reshape(base.shape)
    wide = np.zeros((40, 24, 56))
    wide[::2, :, ::2] = base
    layouts = [
        np.asfortranarray(base), wide[::2, :, ::2], base[::-1].copy()[::-1], base[..., ::-1].copy()[..., ::-1],
        base.transpose(1, 0, 2).copy().transpose(1, 0, 2), unaligned, base.astype(">f8"),
    ]  # fmt: skip
    for axis in range(3):
        for n, accuracy in ((1, 2), (2, 6)):
            want = grid.derivative(base, 0.3, axis, n=n, accuracy=accuracy)
            for a in layouts:
                np.testing.assert_array_equal(grid.derivative(a, 0.3, axis, n=n, accuracy=accuracy), want)
                out = np.full((20, 48, 28), 7.0)[:, ::2]
                assert grid.derivative(a, 0.3, axis, n=n, accuracy=accuracy, out=out) is out
                np.testing.assert_array_equal(out, want)
    for a in layouts:
        np.testing.assert_array_equal(grid.laplacian(a, 0.3, accuracy=4), grid.laplacian(base, 0.3, accuracy=4))


def test_result_has_the_memory_order_of_the_input():
    a = np.asfortranarray(np.ones((6, 7, 8)))
    assert grid.derivative(a).flags.f_contiguous
    assert grid.derivative(np.ones((6, 7))).flags.c_contiguous


def test_broadcast_and_many_axes():
    np.testing.assert_array_equal(grid.derivative(np.broadcast_to(np.arange(5.0) ** 2, (3, 5)))[2], [0, 2, 4, 6, 8])
    deep = np.arange(4.0).reshape((1,) * 30 + (4,) + (1,) * 33)
    assert np.all(grid.derivative(deep, axis=30) == 1.0)


def test_out_next_to_the_input_is_no_overlap():
    both = np.zeros((10, 2))
    both[:, 0] = np.arange(10) ** 2
    grid.derivative(both[:, 0], out=both[:, 1])
    np.testing.assert_array_equal(both[:, 1], 2.0 * np.arange(10))


def test_nothing_is_written_outside_out():
    for axis in (0, 1):
        for n in (1, 2):
            room = np.full((30, 40), 7.0)
            grid.derivative(np.ones((20, 30)), axis=axis, n=n, out=room[5:25, 5:35])
            room[5:25, 5:35] = 7.0
            assert (room == 7.0).all()


def test_extreme_spacing():
    a = np.array([0.0, 1.0, 4.0, 9.0])
    for h in (1e-300, 1e-150, 1e150, 1e300):
        np.testing.assert_allclose(grid.derivative(a, h) * h, [0, 2, 4, 6], atol=1e-14)
        x = np.array([0, 1, 2, 4]) * h
        np.testing.assert_allclose(grid.derivative([0.0, 1.0, 2.0, 4.0], x) * h, 1.0, rtol=1e-14)
        np.testing.assert_allclose(grid.derivative([0.0, 1, 2, 4], x, accuracy=3) * h, 1.0, rtol=1e-13)
