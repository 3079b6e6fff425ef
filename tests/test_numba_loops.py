"""Protects cfuncs of numba that are called often: in a loop with f inside they give the numbers that the pointer gives."""

import ctypes
import gc
import math
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import fastdiff
from fastdiff import derivative
from fastdiff.functions import numba_loops
from fastdiff.functions.native import NativeFunction
from fastdiff.kernels import backend


def vectors_are_other_functions():
    if sys.version_info >= (3, 14):
        return False
    from numba.core import config

    return bool(config.USING_SVML)


pytestmark = [
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="numba does not support this Python"),
    pytest.mark.skipif(backend.NAME != "compiled", reason="the NumPy backend has no loops"),
    pytest.mark.skipif(vectors_are_other_functions(), reason="numba with SVML: its loops are not taken"),
]

X = np.random.default_rng(5).uniform(-3.0, 3.0, 5000)
SCALE = 2.0


def softplus(x):
    return math.log(1 + math.exp(SCALE * x))


def branches(x):
    if x > 1:
        return x**1.7
    while abs(x) > 0.1:
        x /= 2
    return math.sin(x)


def reciprocal(x):
    return 1 / (x - 1)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(numba_loops, "LEAST_EVALUATIONS", 1000)


def compiled(f, **options):
    import numba

    return numba.cfunc("float64(float64)", **options)(f)


def known_of(f):
    return numba_loops._known[f]


def with_loop(f):
    found, _ = NativeFunction(f).with_loop(X, 1000)
    assert found.inner_loop == known_of(f).address != 0
    return found


@pytest.mark.parametrize("f", [softplus, branches])
@pytest.mark.parametrize("options", [{}, {"error_model": "numpy"}])
@pytest.mark.parametrize("h", [None, 1e-5])
def test_the_numbers_of_the_pointer(f, options, h):
    f = compiled(f, **options)
    pointer = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(f.address)  # of which nobody knows that numba made it
    found, want = derivative(f, X, h=h, full_output=True), derivative(pointer, X, h=h, full_output=True)
    assert known_of(f).address
    assert found.engine == want.engine == "native"
    assert np.array_equal(found.value, want.value)
    assert np.array_equal(found.error, want.error, equal_nan=True)
    assert found.nfev == want.nfev + 2 * numba_loops.CHECKED
    again = derivative(f, X, h=h, full_output=True)
    assert np.array_equal(again.value, want.value)
    assert again.nfev == want.nfev


def test_f_is_inside():
    f = compiled(lambda x: x * x)
    derivative(f, X)
    assert " x double>" in known_of(f).library.get_llvm_str()  # what is called is not vectorized


LAYOUTS = [X[::-3], np.broadcast_to(X[0], 5000), X.reshape(50, 100).T, X[:1].reshape(())]


@pytest.mark.parametrize("x", LAYOUTS)
def test_any_layout(x):
    f = compiled(branches)
    assert np.array_equal(with_loop(f).program()(x), NativeFunction(f).program()(x))
    assert np.array_equal(derivative(f, x, h=1e-5), quotient(f, x))


def test_results_apart():
    f = compiled(branches)
    x, out = X[:100].copy(), np.zeros((100, 3))
    arrays, count, steps = (np.array(a, np.intp) for a in ([x.ctypes.data, out.ctypes.data], [100], [8, 24]))
    loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(with_loop(f).inner_loop)
    loop(arrays.ctypes.data, count.ctypes.data, steps.ctypes.data, None)
    assert np.array_equal(out[:, 0], [f.ctypes(v) for v in x])
    assert not out[:, 1:].any()


def quotient(f, x):
    return np.array([(f.ctypes(v + 1e-5) - f.ctypes(v - 1e-5)) / 2e-5 for v in x.ravel().tolist()]).reshape(x.shape)


def test_not_for_few_calls():
    f = compiled(softplus)
    derivative(f, X[:10])
    assert not known_of(f).tried
    for _ in range(20):
        derivative(f, X[:10])
    assert known_of(f).address


def test_of_functions_of_numbers_alone():
    import numba

    types = numba.types
    f = numba.cfunc(types.float64(types.float64, types.voidptr))(lambda x, user: x * x)
    assert np.array_equal(derivative(f, X, h=1e-5), ((X + 1e-5) ** 2 - (X - 1e-5) ** 2) / 2e-5)
    g = compiled(branches)
    with pytest.raises(TypeError):
        fastdiff.gradient(g, X, engine="native")
    with pytest.raises(TypeError):
        fastdiff.partials(g, X, X, engine="native")
    assert f not in numba_loops._known
    assert g not in numba_loops._known


def test_the_code_is_that_which_was_compiled(monkeypatch):
    f = compiled(softplus)
    before = derivative(f, X[:10])
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert np.array_equal(derivative(f, X)[:10], before)
    assert known_of(f).address


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numba prints what a cfunc raises
def test_functions_that_raise():
    f = compiled(reciprocal)
    x = np.append(X, 1.0)
    assert np.array_equal(with_loop(f).program()(x), NativeFunction(f).program()(x))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_functions_that_catch_what_they_raise():
    """That one number raised is nothing to the next."""

    def f(x):
        r = 0.0
        if x < -2:
            raise ValueError
        try:
            if x > 2:
                raise ValueError
            r = x
        except Exception:
            r = -x
        return r

    f = compiled(f)
    some = X >= -2
    assert np.array_equal(with_loop(f).program()(X)[some], np.where(X > 2, -X, X)[some])


@pytest.mark.parametrize(
    ("f", "options"),
    [
        (softplus, {"fastmath": True}),
        (lambda x: float(1 << int(abs(x) * 30)), {}),
        (lambda x: float(np.uint16(x * 100)), {}),
    ],
    ids=["fastmath", "shift", "conversion"],
)
def test_none_where_vectors_may_differ_from_numbers(f, options):
    f = compiled(f, **options)
    derivative(f, X, h=1e-5)
    assert known_of(f).tried
    assert not known_of(f).address


def test_a_loop_with_other_numbers_is_dropped(monkeypatch):
    @ctypes.CFUNCTYPE(None, *[ctypes.POINTER(ctypes.c_int64)] * 4)
    def nearly(arrays, dimensions, steps, data):
        for i in range(dimensions[0]):
            x = ctypes.c_double.from_address(arrays[0] + steps[0] * i).value
            ctypes.c_double.from_address(arrays[1] + steps[1] * i).value = softplus(x) * (1 + (x == X.max()) * 2.0**-52)

    address = ctypes.cast(nearly, ctypes.c_void_p).value
    monkeypatch.setattr(numba_loops, "_compiled", lambda f: (nearly, address))
    x = np.sort(X)  # both ends are looked at
    f = compiled(softplus)
    r = derivative(f, x, h=1e-5, full_output=True)
    assert np.array_equal(r.value, quotient(f, x))
    assert r.nfev >= 2 * x.size + 2 * numba_loops.CHECKED
    assert known_of(f).tried
    assert not known_of(f).address


def test_what_is_nan_agrees():
    f = compiled(lambda x: math.nan if x > 0 else x)
    derivative(f, X)
    assert known_of(f).address


def test_where_numba_cannot_be_asked_the_pointer_is_called(monkeypatch):
    def fails(f):
        raise AttributeError("another numba")

    monkeypatch.setattr(numba_loops, "_compiled", fails)
    f = compiled(softplus)
    r = derivative(f, X, h=1e-5, full_output=True)
    assert np.array_equal(r.value, quotient(f, X))
    assert known_of(f).tried
    assert not known_of(f).address
    assert r.nfev == derivative(f, X, h=1e-5, full_output=True).nfev  # nothing to check


def test_from_numbas_cache(tmp_path):
    """A cfunc that numba read from disk, where only its machine code and its bitcode are."""
    import importlib.util

    module = tmp_path / "cached.py"
    module.write_text(
        "import math, numba\n\n@numba.cfunc('float64(float64)', cache=True)\ndef f(x):\n    return math.tanh(x) * x\n"
    )
    loaded = []
    for _ in range(2):
        spec = importlib.util.spec_from_file_location("cached", module)
        loaded.append(importlib.util.module_from_spec(spec))
        spec.loader.exec_module(loaded[-1])
    f = loaded[1].f
    assert f.cache_hits == 1
    assert np.array_equal(derivative(f, X, h=1e-5), quotient(f, X))
    assert known_of(f).address


LARGE = """
import math, numba

def made(k):
    @numba.cfunc("float64(float64)", cache=True)
    def f(x):
        s = 0.0
        for i in range(6):
            if x > i:
                s += math.tanh(k * x) * math.exp(-x * i) + math.sin(x + i * k)
            elif x < -i:
                s -= math.atan(k * x + i) * math.log(1 + x * x * i)
            else:
                s += math.cosh(x * k / (1 + i))
            for j in range(3):
                s += math.sin(s * j + k) * math.cos(x * j) + math.erf(x - j) * math.expm1(-abs(s))
        return s
    return f
"""


def test_functions_of_the_same_name(tmp_path, monkeypatch):
    """Numba's names tell functions of one process apart, but not those that others left in its cache."""
    (tmp_path / "large.py").write_text(LARGE)
    for k in (2.0, 3.0):
        subprocess.run([sys.executable, "-c", f"import large; large.made({k})"], cwd=tmp_path, check=True)
    monkeypatch.syspath_prepend(tmp_path)
    import large

    f, g = large.made(2.0), large.made(3.0)
    assert f.native_name == g.native_name
    for one in (f, g):
        assert np.array_equal(with_loop(one).program()(X), [one.ctypes(x) for x in X])


def test_threads_at_once(monkeypatch):
    made, make = [], numba_loops._compiled
    monkeypatch.setattr(numba_loops, "_compiled", lambda f: made.append(f) or make(f))
    f, results = compiled(branches), []
    want = quotient(f, X)
    all_ = [threading.Thread(target=lambda: results.append(derivative(f, X, h=1e-5, threads=2))) for _ in range(4)]
    for t in all_:
        t.start()
    for t in all_:
        t.join()
    assert len(results) == 4
    assert all(np.array_equal(r, want) for r in results)
    assert made == [f]


def test_nothing_is_kept_of_functions_that_are_gone():
    f = compiled(softplus)
    derivative(f, X)
    gone = weakref.ref(f), weakref.ref(known_of(f))
    del f
    gc.collect()
    assert [r() for r in gone] == [None, None]


def test_the_numpy_backend_makes_none(monkeypatch):
    monkeypatch.setattr(backend, "NAME", "numpy")
    f = NativeFunction(compiled(branches))
    assert f.with_loop(X, 1000) == (f, 0)
