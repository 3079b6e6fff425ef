"""Protects C functions: pointers from ctypes, cffi, SciPy, numba and Cython are called as their signature says."""

import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from fastdiff.functions.native import NativeFunction, is_native

# numba is a test dependency where it exists for that Python: see pyproject.toml
needs_numba = pytest.mark.skipif(sys.version_info >= (3, 14), reason="numba does not support this Python")

X = np.random.default_rng(2).uniform(0.5, 2.0, 1000)
D, N, P = ctypes.c_double, ctypes.c_int, ctypes.POINTER(ctypes.c_double)
CENTRAL = np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), 2.0


def libm(name):
    import ctypes.util

    found = ctypes.util.find_library("m")
    if not found:
        pytest.skip("no C mathematics library to load")
    function = getattr(ctypes.CDLL(found), name)
    function.restype, function.argtypes = D, [D]
    return function


def slope(f, x, h=1e-5, **options):
    program = f.program()
    out = np.empty((1, 1, x.size))
    tape = program.tape([program.arguments[:1]], values=False)
    program.difference(tape, program.bind([x], x.shape), np.broadcast_to(h, (1, x.size)), *CENTRAL, 1, out, **options)
    return out[0, 0]


def gradient(f, points, h=1e-5):
    program = f.program(points.shape[1])
    out = np.empty((len(points), program.outputs.size, points.shape[1]))
    tape = program.tape(list(program.arguments[:, None]), values=False)
    step = np.broadcast_to(h, points.shape[::-1])
    program.difference(tape, program.bind([points], points.shape[:1]), step, *CENTRAL, 1, out.transpose(2, 1, 0))
    return out


def test_ctypes():
    exp = libm("exp")
    f = NativeFunction(exp)
    values = np.array([exp(x) for x in X])
    assert np.array_equal(f.program()(X), values)
    want = np.array([(exp(x + 1e-5) - exp(x - 1e-5)) / 2e-5 for x in X])
    assert np.array_equal(slope(f, X), want)
    assert np.array_equal(slope(f, X, threads=3), want)


def test_ctypes_points():
    @ctypes.CFUNCTYPE(D, N, P)
    def f(n, x):
        return sum((i + 1) * x[i] ** 2 for i in range(n))

    @ctypes.CFUNCTYPE(None, N, P, N, P)
    def g(n, x, m, out):
        for i in range(m):
            out[i] = x[i % n] * (i + 1)

    points = X[:30].reshape(10, 3)
    assert np.allclose(gradient(NativeFunction(f), points)[:, 0], 2 * points * [1, 2, 3], rtol=1e-9)
    want = np.zeros((4, 3))
    want[range(4), [0, 1, 2, 0]] = [1, 2, 3, 4]
    assert np.allclose(gradient(NativeFunction(g, outputs=4), points), want, rtol=1e-9)
    assert NativeFunction(g, outputs=4).program(3)(points).shape == (10, 4)


def test_low_level_callable():
    import scipy

    data = np.array([2.5])

    @ctypes.CFUNCTYPE(D, D, ctypes.c_void_p)
    def power(x, user):
        return x ** ctypes.cast(user, P)[0]

    f = scipy.LowLevelCallable(power, data.ctypes.data_as(ctypes.c_void_p))
    assert np.array_equal(NativeFunction(f).program()(X), [x**2.5 for x in X.tolist()])
    plain = scipy.LowLevelCallable(libm("sin"))
    assert np.array_equal(NativeFunction(plain).program()(X), [libm("sin")(x) for x in X])


def test_cython_capsule():
    from scipy import LowLevelCallable
    from scipy.special import cython_special as special

    f = LowLevelCallable.from_cython(special, "j0")
    assert np.array_equal(NativeFunction(f).program()(X), [special.j0(x) for x in X])
    assert np.array_equal(NativeFunction(special.__pyx_capi__["j0"]).program()(X), [special.j0(x) for x in X])


def test_cffi():
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("double cos(double);")
    cos = ffi.addressof(ffi.dlopen(None), "cos")
    assert np.array_equal(NativeFunction(cos).program()(X), [cos(x) for x in X])
    assert not is_native(ffi.new("double[3]"))


def test_functions_of_one_signature_share_a_tape_and_nothing_else():
    sin = libm("sin")
    a, b = (NativeFunction(libm(name)).program().tape() for name in ("sin", "cos"))
    assert a.code is b.code
    slope(NativeFunction(libm("cos")), X)
    assert np.array_equal(slope(NativeFunction(sin), X), [(sin(x + 1e-5) - sin(x - 1e-5)) / 2e-5 for x in X])

    class Factor:
        pass

    gone = []
    for k in (2, 3):
        factor = Factor()
        factor.value = k
        gone.append(weakref.ref(factor))
        f = ctypes.CFUNCTYPE(D, N, P)(lambda n, x, factor=factor: factor.value * x[0] * x[1])
        assert np.allclose(
            gradient(NativeFunction(f), X.reshape(-1, 2))[:, 0], k * X.reshape(-1, 2)[:, ::-1], rtol=1e-9
        )
    del f, factor
    gc.collect()
    assert [factor() for factor in gone] == [None, None]


def test_numbers_and_points_of_one_number_share_nothing():
    f, g = ctypes.CFUNCTYPE(D, D)(lambda x: x * x), ctypes.CFUNCTYPE(D, N, P)(lambda n, x: n * x[0])
    NativeFunction(f).program()(X)
    assert np.array_equal(NativeFunction(g).program(1)(X[:, None]), X)


@needs_numba
def test_numba():
    import numba

    types = numba.types

    @numba.cfunc("float64(float64)")
    def f(x):
        return np.log1p(np.exp(x))

    @numba.cfunc(types.float64(types.intc, types.CPointer(types.float64)))
    def g(n, x):
        total = 0.0
        for i in range(n - 1):
            total += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
        return total

    assert np.array_equal(NativeFunction(f).program()(X), [f.ctypes(x) for x in X])
    points = X.reshape(-1, 4)
    want = [-400 * p[0] * (p[1] - p[0] ** 2) - 2 * (1 - p[0]) for p in points]
    assert np.allclose(gradient(NativeFunction(g), points)[:, 0, 0], want, rtol=1e-6, atol=1e-6)


def test_two_threads_at_once():
    f, want = NativeFunction(libm("exp")), slope(NativeFunction(libm("exp")), X)
    results = []
    both = [threading.Thread(target=lambda: results.append(slope(f, X, threads=2))) for _ in range(2)]
    for t in both:
        t.start()
    for t in both:
        t.join()
    assert [np.array_equal(r, want) for r in results] == [True, True]


@pytest.mark.parametrize("f", [np.exp, len, lambda x: x, 3.0, None])
def test_other_functions_are_not_native(f):
    assert not is_native(f)
    with pytest.raises(TypeError, match="no C function"):
        NativeFunction(f)


def test_other_signatures_are_refused():
    f = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(lambda x: x)
    with pytest.raises(TypeError, match="accepted are"):
        NativeFunction(f)
    vector = ctypes.CFUNCTYPE(None, N, P, N, P)(lambda n, x, m, out: None)
    with pytest.raises(TypeError, match="outputs"):
        NativeFunction(vector)
