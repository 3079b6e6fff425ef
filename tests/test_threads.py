"""Protects calls that meet: from several threads, from inside f, after a fork; and results that travel to another process."""

import copy
import multiprocessing
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastdiff
from fastdiff import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials

X = np.linspace(0.5, 3.0, 40)
POINTS = np.linspace(0.5, 2.0, 12).reshape(4, 3)


def wavy(x):
    return np.where(x > 2.5, np.sin(300 * x), np.exp(x))


def energy(x):
    return np.exp(x[..., 0] * x[..., 1]) + x[..., 2] ** 3


def work():
    """One call of everything; scalars too, which run through code of their own."""
    results = [
        derivative(wavy, X, full_output=True),
        derivative(np.sin, 0.5, full_output=True),
        derivative(np.log, X, "forward", n=2, richardson=1, full_output=True),
        derivative(np.exp, X, "complex", full_output=True),
        *partials(np.hypot, X, 2.0, full_output=True),
        mixed_partial(np.hypot, X, 2.0, orders=(1, 1), full_output=True),
    ]
    for vectorized in (False, True):
        options = {"vectorized": vectorized, "full_output": True}
        results += [
            gradient(energy, POINTS, **options),
            gradient(energy, POINTS[0], h="scaled", **options),
            jacobian(np.sin, POINTS, **options),
            hessian(energy, POINTS, **options),
            jvp(energy, POINTS, [1.0, 2.0, 3.0], **options),
            hvp(energy, POINTS, [1.0, 2.0, 3.0], **options),
        ]
    return results


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected):
        assert (a.nfev, a.engine, a.reason) == (b.nfev, b.engine, b.reason)
        for name in ("value", "error", "h", "converged"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)


@pytest.fixture(scope="module")
def expected():
    return work()


def test_a_difference_would_show(expected):
    other = [*expected]
    other[3] = derivative(np.exp, X * (1 + 1e-15), "complex", full_output=True)
    with pytest.raises(AssertionError):
        assert_same(other, expected)


def test_several_threads_get_what_one_gets(expected):
    """With a short switch interval, so that calls are cut in the middle."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        count = 4
        together = threading.Barrier(count)

        def run(_):
            together.wait()
            return [work() for _ in range(2)]

        with ThreadPoolExecutor(count) as pool:
            for found in pool.map(run, range(count)):
                for results in found:
                    assert_same(results, expected)
    finally:
        sys.setswitchinterval(interval)


def test_an_exception_stays_in_its_thread(expected):
    class OddError(Exception):
        pass

    def failing(x):
        raise OddError(threading.get_ident())

    def run(i):
        if i % 2:
            return work()
        with pytest.raises(OddError) as caught:
            derivative(failing, X)
        assert caught.value.args == (threading.get_ident(),)
        return None

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, range(4)):
            if found is not None:
                assert_same(found, expected)


def test_f_may_differentiate_too():
    """The derivative of a derivative, elementwise and by points, and of a function that finds a root by Newton's method."""

    def slope(x):
        return derivative(np.sin, x)

    np.testing.assert_allclose(derivative(slope, X), -np.sin(X), atol=1e-6)
    assert abs(derivative(slope, 0.5) + np.sin(0.5)) < 1e-6
    assert abs(derivative(lambda x: derivative(lambda y: np.sin(x * y), 2.0), 0.5) - (np.cos(1.0) - np.sin(1.0))) < 1e-6

    def inner(x):
        return gradient(energy, x)

    nested = jacobian(inner, POINTS[0])
    np.testing.assert_allclose(nested, hessian(energy, POINTS[0]), atol=1e-4)

    def root(c):  # y + exp(y) = c
        y = 1.0
        for _ in range(30):
            y -= (y + np.exp(y) - c) / derivative(lambda t: t + np.exp(t) - c, y)
        return y

    y = root(4.0)
    assert abs(derivative(root, 4.0) - 1 / (1 + np.exp(y))) < 1e-7


def test_f_may_start_threads():
    def f(x):
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda s: derivative(np.sin, s * x, h=0.01), (1.0, 2.0)))

    assert abs(derivative(f, 0.5) + np.sin(0.5) + 2 * np.sin(1.0)) < 1e-3


def test_a_failed_call_leaves_nothing_behind(expected):
    calls = []

    def failing(x):
        calls.append(x)
        if len(calls) == 4:
            raise RuntimeError("stop")
        return wavy(x)

    with pytest.raises(RuntimeError, match="stop"):
        derivative(failing, X)
    with np.errstate(all="raise"):
        calls.clear()
        with pytest.raises(RuntimeError, match="stop"):
            derivative(failing, X)
        assert np.geterr()["over"] == "raise", "the caller's error state is as it was"
    assert_same(work(), expected)


def test_the_error_state_of_numpy_is_the_callers():
    with np.errstate(divide="raise", invalid="warn"):
        before = np.geterr()
        derivative(np.log, [1e-300, 1.0])
        hessian(energy, POINTS)
        assert np.geterr() == before


def _in_child(queue):
    queue.put(work())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # CPython's, where other tests left threads
def test_a_forked_child_works(expected):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    found = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert_same(found, expected)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_results_can_be_pickled(expected, protocol):
    assert_same(pickle.loads(pickle.dumps(expected, protocol)), expected)


def test_results_can_be_copied(expected):
    assert_same([copy.copy(r) for r in expected], expected)
    assert_same(copy.deepcopy(expected), expected)
    assert copy.deepcopy(expected[0]).value is not expected[0].value


def test_results_hold_no_view_of_anything():
    """What a result holds can be changed without a change elsewhere."""
    x = np.array([1.0, 2.0])
    r = gradient(lambda x: x @ x, x, full_output=True)
    s = derivative(np.sin, x, h=0.1, full_output=True)
    for result in (r, s):
        for name in ("value", "error", "h", "converged"):
            a = getattr(result, name)
            assert a.flags.writeable
            assert not np.may_share_memory(a, x)
            a[...] = 0
    np.testing.assert_array_equal(x, [1.0, 2.0])
    np.testing.assert_allclose(gradient(lambda x: x @ x, x), 2 * x)
    assert fastdiff.Result.__module__.startswith("fastdiff")


LARGE = np.linspace(-4.0, 9.0, 100_003)  # several tiles, elements of every kind


def rough(x):
    return np.where(x > 6, np.sin(40 * x), np.exp(x)) + np.where(x < -3, 1e-9 * np.sin(1e7 * x), 0)


@pytest.mark.parametrize("f", [np.exp, rough, lambda x: np.log(1 + np.exp(x)), lambda x: np.sqrt(x)])
def test_what_is_judged_beside_is_the_same(f):
    """A large batch uses a second processor for the step control."""
    alone, beside = (derivative(f, LARGE, engine="python", threads=n, full_output=True) for n in (1, 2))
    assert_same([beside], [alone])
    value = derivative(f, LARGE, engine="python", threads=2)
    np.testing.assert_array_equal(value, alone.value)


@pytest.mark.parametrize("f", [np.exp, rough, lambda x: np.log(1 + np.exp(x)), lambda x: np.sqrt(x)])
@pytest.mark.parametrize("full", [True, False])
def test_recorded_rounds_are_those_of_the_engine(f, full):
    """In one thread or several, and in calls of any size; unusual elements among the others, too."""
    x = LARGE.copy()
    x[[5, 30_000, 30_001, 60_000, 99_999]] = 0.0, np.nan, 1e-310, -np.inf, -0.0
    want = derivative(f, x, engine="python", threads=1, full_output=True)
    for threads in (1, 3):
        got = derivative(f, x, engine="traced", threads=threads, full_output=full)
        if full:
            for name in ("value", "error", "h", "converged"):
                np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
        else:
            np.testing.assert_array_equal(got, want.value)
    part = slice(29_000, 33_000)
    np.testing.assert_array_equal(derivative(f, x[part], engine="traced"), want.value[part])


@pytest.mark.parametrize("method", ["central", "forward"])
@pytest.mark.parametrize("f", [np.exp, rough])
def test_recorded_rounds_mind_bounds(f, method):
    """Those that are far away, at the ends, and close around every element in a stretch."""
    near = np.full(LARGE.size, 100.0)
    near[40_000:45_000] = np.random.default_rng(1).uniform(0, 1e-3, 5000)
    for bounds in ((-100, 100), (LARGE[0], None), (LARGE - near, LARGE + near)):
        want = derivative(f, LARGE, method, engine="python", threads=1, bounds=bounds, full_output=True)
        for threads in (1, 2):
            got = derivative(f, LARGE, method, engine="traced", threads=threads, bounds=bounds, full_output=True)
            for name in ("value", "error", "h", "converged"):
                np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
        np.testing.assert_array_equal(derivative(f, LARGE, method, engine="traced", bounds=bounds), want.value)
    free = derivative(f, LARGE, method, full_output=True)
    assert (free.h[40_000:45_000] != want.h[40_000:45_000]).any()  # or the bounds would have tested nothing


def test_f_is_called_by_the_caller_alone():
    callers = set()

    def f(x):
        callers.add(threading.get_ident())
        return np.exp(x)

    derivative(f, LARGE, engine="python", threads=2)
    assert callers == {threading.get_ident()}


@pytest.mark.parametrize("call", [3, 12, 40])
def test_what_f_raises_ends_a_large_batch(call):
    """Whatever is judged beside at that time; no thread is left behind, and the next call works."""
    left = call

    def f(x):
        nonlocal left
        left -= 1
        if left == 0:
            raise ZeroDivisionError("here")
        return rough(x)

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="here"):
        derivative(f, LARGE, engine="python", threads=2)
    assert threading.active_count() == before
    np.testing.assert_array_equal(
        derivative(rough, LARGE, engine="python", threads=2), derivative(rough, LARGE, engine="python", threads=1)
    )
