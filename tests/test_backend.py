"""Protects the choice of backend: what is asked for is what runs, and every backend and level gives the same bits."""

import hashlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import control_runs
import numpy as np
import pytest

import fastdiff
from fastdiff.kernels import _numpy, backend

COMPILED = importlib.util.find_spec("fastdiff.kernels._compiled") is not None
needs_compiled = pytest.mark.skipif(not COMPILED, reason="installed without the compiled kernels")


def run(code, *flags, **variables):
    """Run code in a fresh interpreter, with exactly these FASTDIFF_ variables; give the finished process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTDIFF_")}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], env=env | variables, capture_output=True, text=True, timeout=300
    )


def says(finished, text):
    """The process failed with an ImportError of one line that holds the text."""
    last = finished.stderr.strip().splitlines()[-1] if finished.stderr else ""
    assert finished.returncode != 0, finished.stdout
    assert last.startswith("ImportError: "), finished.stderr
    assert text in last
    return last


PRINT_NAME = "from fastdiff.kernels import backend; print(backend.NAME, backend.LEVEL)"


# --- the environment variables ---


@pytest.mark.parametrize("value", ["", None])
def test_default_is_compiled_where_it_was_built(value):
    variables = {} if value is None else {"FASTDIFF_BACKEND": value, "FASTDIFF_LEVEL": value}
    name = run(PRINT_NAME, **variables).stdout.split()[0]
    assert name == ("compiled" if COMPILED else "numpy")


def test_numpy_can_be_forced():
    assert run(PRINT_NAME, FASTDIFF_BACKEND="numpy").stdout.split() == ["numpy", "numpy"]


@needs_compiled
def test_compiled_can_be_forced():
    assert run(PRINT_NAME, FASTDIFF_BACKEND="compiled").stdout.split()[0] == "compiled"


def test_this_run_uses_what_was_asked_for():
    assert os.environ.get("FASTDIFF_BACKEND", "") in ("", backend.NAME)
    assert backend.LEVEL in backend.LEVELS


@pytest.mark.parametrize("other", ["compiled", "numpy"])
def test_unknown_backend_is_an_error(other):
    last = says(run("import fastdiff", FASTDIFF_BACKEND="fortran"), "FASTDIFF_BACKEND")
    assert "'fortran'" in last
    assert other in last


@pytest.mark.parametrize("name", ["numpy", ""])
def test_unknown_level_is_an_error(name):
    last = says(run("import fastdiff", FASTDIFF_BACKEND=name, FASTDIFF_LEVEL="v2"), "FASTDIFF_LEVEL")
    assert "'v2'" in last
    assert "baseline, v3, v4" in last


@needs_compiled
def test_level_caps_but_never_exceeds_the_processor():
    from fastdiff.kernels._compiled import LEVELS

    order = ["baseline", "v3", "v4"]
    for cap in order:
        best = [level for level in LEVELS if order.index(level) <= order.index(cap)][-1]
        assert run(PRINT_NAME, FASTDIFF_BACKEND="compiled", FASTDIFF_LEVEL=cap).stdout.split()[1] == best


# --- binaries that are missing, broken or foreign ---


@pytest.fixture
def copy(tmp_path):
    """A copy of the package without its binary, and a function that runs code against it."""
    package = tmp_path / "fastdiff"
    skip = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(Path(fastdiff.__file__).parent, package, ignore=skip)

    def run_copy(code, **variables):
        # -S keeps the import hook of an editable install away, which would find the original
        paths = [str(tmp_path), str(Path(np.__file__).parents[1])]
        check = f"import fastdiff; assert fastdiff.__path__ == [{str(package)!r}], fastdiff.__path__; "
        return run(check + code, "-S", PYTHONPATH=os.pathsep.join(paths), **variables)

    return package / "kernels", run_copy


def extension_suffix():
    from importlib.machinery import EXTENSION_SUFFIXES

    return EXTENSION_SUFFIXES[0]


def test_missing_binary_means_numpy(copy):
    _, run_copy = copy
    finished = run_copy(PRINT_NAME)
    assert finished.stdout.split() == ["numpy", "numpy"], finished.stderr


def test_missing_binary_is_an_error_if_forced(copy):
    _, run_copy = copy
    says(run_copy("pass", FASTDIFF_BACKEND="compiled"), "compiled kernels do not load")


@pytest.mark.parametrize("name", ["", "compiled"])
def test_broken_binary_is_reported(copy, name):
    kernels, run_copy = copy
    (kernels / f"_compiled{extension_suffix()}").write_bytes(b"not a library")
    says(run_copy("pass", FASTDIFF_BACKEND=name), "compiled kernels do not load")


def test_binary_of_another_interpreter_is_reported(copy):
    kernels, run_copy = copy
    suffix = ".cp27-win32.pyd" if sys.platform == "win32" else ".cpython-27-none.so"
    (kernels / f"_compiled{suffix}").write_bytes(b"")
    says(run_copy("pass"), "compiled kernels do not load")


def test_broken_binary_does_not_matter_if_numpy_is_forced(copy):
    kernels, run_copy = copy
    (kernels / f"_compiled{extension_suffix()}").write_bytes(b"not a library")
    finished = run_copy(PRINT_NAME, FASTDIFF_BACKEND="numpy")
    assert finished.stdout.split() == ["numpy", "numpy"], finished.stderr


# --- same functions, same bits ---


@needs_compiled
def test_backends_have_the_same_functions():
    from fastdiff.kernels import _compiled

    def functions(module):
        public = {k: v for k, v in vars(module).items() if not k.startswith("_") and callable(v)}
        # `from numpy import float64` and the like are not ours
        own = {k: v for k, v in public.items() if getattr(v, "__module__", "").startswith(module.__name__)}
        driven = {
            "Follower",
            "Quotient",
            "Value",
            "Beside",
            "rounds",
        }  # calls from C and without the GIL: nothing for NumPy to do
        return {name: list(inspect.signature(f).parameters) for name, f in own.items() if name not in driven}

    assert "nodes" in functions(_numpy)
    assert functions(_compiled) == functions(_numpy)


def kernel_results(module):
    """One array for each kernel and case, from fixed inputs: every tail length, huge, tiny and special values."""
    rng = np.random.default_rng(20)
    special = np.array([0.0, -0.0, 5e-324, -1e308, 1e308, np.inf, -np.inf, np.nan, 1.0])
    for n in (*range(40), 1000, 100_003):
        x, h = (np.ldexp(rng.standard_normal(n), rng.integers(-60, 60, n)) for _ in range(2))
        out = np.full(n, 7.0)
        module.nodes(x, h, float(rng.standard_normal()), out)
        yield "nodes", out
    x, h = (a.ravel().copy() for a in np.meshgrid(special, special))
    for t in (0.0, -1.0, 0.1, 1e300):
        out = np.full(x.size, 7.0)
        with np.errstate(all="ignore"):
            module.nodes(x, h, t, out)
        yield "nodes", out
    for m, n, order in ((1, 0, 1), (2, 1, 1), (3, 7, 2), (5, 511, 1), (9, 512, 4), (2, 1031, 1), (39, 100, 10)):
        samples, h = (np.ldexp(rng.standard_normal(s), rng.integers(-30, 30, s)) for s in ((m, n), n))
        out = np.full(n, 7.0)
        module.combine(samples, rng.standard_normal(m), float(rng.standard_normal()), h, order, out)
        yield "combine", out
    samples, h = np.stack([x, np.roll(x, 1)]), np.roll(x, 4)
    for order in (1, 2, 3):
        out = np.full(x.size, 7.0)
        module.combine(samples, np.array([1.0, -1.0]), 2.0, h, order, out)
        yield "combine", out
    yield from control_runs.results(module)


@cache
def numpy_results():
    return list(kernel_results(_numpy))


def digest(results):
    """Of the bits. Which nan a nan is (sign, payload) is the one thing that may differ."""
    total = hashlib.sha256()
    for name, array in results:
        array = np.where(np.isnan(array), np.nan, array)
        total.update(f"{name} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()


def test_backend_and_numpy_agree_bit_for_bit():
    for i, ((name, got), (_, want)) in enumerate(zip(kernel_results(backend), numpy_results(), strict=True)):
        assert digest([(name, got)]) == digest([(name, want)]), f"{name}, case {i}"


def test_combine_is_the_textbook_quotient():
    rng = np.random.default_rng(21)
    above, here, below = samples = rng.standard_normal((3, 1000))
    h = np.ldexp(rng.uniform(1, 2, 1000), rng.integers(-40, 0, 1000))
    out = np.empty(1000)
    for weights, denominator, n, want in (
        ((1, 0, -1), 2, 1, (above - below) / (2 * h)),
        ((1, -1, 0), 1, 1, (above - here) / h),
        ((0, 1, -1), 1, 1, (here - below) / h),
        ((1, -2, 1), 1, 2, (above - 2 * here + below) / (h * h)),
    ):
        backend.combine(samples, np.array(weights, dtype=float), denominator, h, n, out)
        assert (out == want).all()


def test_digest_sees_a_single_bit():
    results = [("nodes", np.array([1.0, np.nan]))]
    changed = [("nodes", np.array([np.nextafter(1.0, 2.0), np.nan]))]
    assert digest(results) == digest([("nodes", np.array([1.0, -np.nan]))])
    assert digest(results) != digest(changed)


@needs_compiled
@pytest.mark.parametrize("level", ["baseline", "v3", "v4"])
def test_every_level_agrees_bit_for_bit(level):
    from fastdiff.kernels._compiled import LEVELS

    if level not in LEVELS:
        pytest.skip(f"level {level} is not available here")
    code = f"""if True:
        import importlib.util, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        spec = importlib.util.spec_from_file_location("test_backend", {__file__!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.backend.LEVEL == {level!r}
        print(module.digest(module.kernel_results(module.backend)))
    """
    finished = run(code, FASTDIFF_BACKEND="compiled", FASTDIFF_LEVEL=level)
    assert finished.stdout.strip() == digest(numpy_results()), finished.stderr
