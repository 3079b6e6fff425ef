"""Protects the progress bar: it counts calls, changes no result, ends with an error, and is not there unless asked for."""

import io
import math
import sys
import threading

import numpy as np
import pytest

import fastdiff

V = [1.0, -1.0]
CALLS = {
    "derivative": lambda f, **more: fastdiff.derivative(lambda x: f([x, 1.0]), 0.5, **more),
    "partials": lambda f, **more: fastdiff.partials(lambda x, y: f([x, y]), 0.5, 1.5, **more),
    "mixed_partial": lambda f, **more: fastdiff.mixed_partial(lambda x, y: f([x, y]), 0.5, 1.5, orders=(1, 1), **more),
    "gradient": lambda f, **more: fastdiff.gradient(f, [0.5, 1.5], **more),
    "jacobian": lambda f, **more: fastdiff.jacobian(f, [0.5, 1.5], **more),
    "jvp": lambda f, **more: fastdiff.jvp(f, [0.5, 1.5], V, **more),
    "hessian": lambda f, **more: fastdiff.hessian(f, [0.5, 1.5], **more),
    "hvp": lambda f, **more: fastdiff.hvp(f, [0.5, 1.5], V, **more),
}


class Bar:
    """What tqdm offers."""

    made: list["Bar"]

    def __init__(self, **options):
        self.options, self.count, self.closed = options, 0, False
        self.made.append(self)

    def update(self, calls):
        self.count += calls

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    Bar.made = []
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    sys.modules["tqdm"].tqdm = Bar
    return Bar.made


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)


def wave(p):
    return math.sin(p[0]) * math.exp(p[1])


@pytest.mark.parametrize("name", CALLS)
def test_it_counts_and_changes_nothing(name, bars):
    calls = []

    def f(p):
        calls.append(p)
        return wave(p)

    plain = CALLS[name](f, full_output=True)
    assert not bars
    calls.clear()
    shown = CALLS[name](f, full_output=True, progress=True)
    (bar,) = bars
    assert bar.options["desc"] == name
    assert bar.closed
    assert bar.count == len(calls) > 1
    for one, other in zip(plain, shown) if name == "partials" else [(plain, shown)]:
        assert np.array_equal(one.value, other.value)
        assert one.nfev == other.nfev


@pytest.mark.parametrize("name", CALLS)
def test_it_ends_with_an_error(name, bars):
    def fails(p):
        raise LookupError("of f")

    with pytest.raises(LookupError, match="of f"):
        CALLS[name](fails, progress=True)
    assert bars[0].closed


def test_it_ends_when_interrupted(bars):
    def interrupted(p):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastdiff.gradient(interrupted, [1.0], progress=True)
    assert bars[0].closed


@pytest.mark.usefixtures("no_tqdm")
def test_a_line_where_there_is_no_tqdm(capsys):
    fastdiff.gradient(wave, [0.5, 1.5], progress=True)
    out, err = capsys.readouterr()
    assert not out
    assert err.endswith(" s\n")
    assert err.split("\r")[-1].startswith("gradient: ")
    calls = int(err.split("\r")[-1].split()[1])
    assert calls == fastdiff.gradient(wave, [0.5, 1.5], full_output=True).nfev


def test_a_bar_of_tqdm(capsys):
    pytest.importorskip("tqdm")
    fastdiff.gradient(wave, [0.5, 1.5], progress=True)
    assert "gradient: " in capsys.readouterr().err


def test_bad_arguments_have_their_own_messages(bars):
    with pytest.raises(TypeError, match="f must be callable, got int"):
        fastdiff.derivative(3, 1.0, progress=True)
    with pytest.raises(ValueError, match="method must be"):
        fastdiff.derivative(math.sin, 1.0, "sideways", progress=True)
    assert all(bar.closed for bar in bars)


def test_recorded_and_c_functions_work(bars):
    points = np.random.default_rng(0).standard_normal((50, 3))
    r = fastdiff.gradient(lambda p: np.sum(p**2), points, engine="traced", progress=True, full_output=True)
    assert r.engine == "traced"
    with pytest.raises(ValueError, match=r"test_progress\.py.*p\[0\] > 0"):
        fastdiff.gradient(lambda p: p[0] if p[0] > 0 else p[1], points, engine="traced", progress=True)
    scipy = pytest.importorskip("scipy")
    from scipy.special import cython_special

    j0 = scipy.LowLevelCallable.from_cython(cython_special, "j0")
    assert fastdiff.derivative(j0, [0.5, 1.0], progress=True, full_output=True).engine == "native"


@pytest.mark.usefixtures("no_tqdm")
def test_threads_have_bars_of_their_own(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    found = {}

    def run(i):
        found[i] = fastdiff.gradient(lambda p: wave(p) * i, [0.5, 1.5], progress=True)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        assert np.array_equal(found[i], fastdiff.gradient(lambda p, i=i: wave(p) * i, [0.5, 1.5]))
    assert sys.stderr.getvalue().count("\n") == 8
