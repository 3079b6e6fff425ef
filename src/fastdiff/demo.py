"""What the library does, shown on two functions: ``python -m fastdiff demo``."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .arguments import Step
from .kernels import backend
from .operators import derivative, gradient

_PYTHON = "h='scaled', f from Python"
_HOW: dict[str, tuple[Step, str, float]] = {  # h, engine, largest error
    "h='scaled'": ("scaled", "auto", 1e-10),
    _PYTHON: ("scaled", "python", 1e-10),
    "automatic": (None, "auto", 1e-11),
}


def softplus(x: Any) -> Any:
    return np.log(1.0 + np.exp(x))


def sigmoid(x: Any) -> Any:
    """The derivative of softplus."""
    return 1.0 / (1.0 + np.exp(-x))


def wave(p: NDArray[float64]) -> Any:
    x, y = p
    return np.exp(-x * y) * np.sin(3.0 * y)


def wave_gradient(p: NDArray[float64]) -> tuple[Any, Any]:
    x, y = p
    decay = np.exp(-x * y)
    return -y * decay * np.sin(3.0 * y), decay * (3.0 * np.cos(3.0 * y) - x * np.sin(3.0 * y))


def run(points: int = 10**6) -> None:
    """Print derivatives with all that is known of them, and what that many of them take."""
    _accuracy()
    _speed(points)


# --- a table of derivatives ---------------------------------------------------------------------------------------


def _accuracy() -> None:
    print("derivative of softplus(x) = log(1 + exp(x))")
    _table(_softplus_rows())
    print("gradient of f(x, y) = exp(-x y) sin(3 y); evaluations are those of both components")
    _table(_wave_rows())


def _softplus_rows() -> Iterable[tuple[Any, ...]]:
    for x in (-2.0, 0.0, 0.5, 3.0):
        r = derivative(softplus, x, full_output=True)
        yield f"x = {x:g}", r.value, r.error, r.h, r.nfev, sigmoid(x)


def _wave_rows() -> Iterable[tuple[Any, ...]]:
    for p in ((1.0, 0.5), (0.25, -2.0)):
        r = gradient(wave, p, full_output=True)
        for i, exact in enumerate(wave_gradient(np.array(p))):
            yield f"({p[0]:g}, {p[1]:g}) d/d{'xy'[i]}", r.value[i], r.error[i], r.h[i], r.nfev, exact


def _table(rows: Iterable[tuple[Any, ...]]) -> None:
    print(f"  {'':17} {'value':>20} {'error bar':>9} {'step':>8} {'evaluations':>11} {'exact':>20} {'true error':>10}")
    for name, value, bar, h, nfev, exact in rows:
        error = abs(value - exact)
        print(f"  {name:17} {value:20.16f} {bar:9.1e} {h:8.1e} {nfev:11d} {exact:20.16f} {error:10.1e}")
        _agree(f"{name}: value and exact value", error, bar)
    print()


def _agree(what: str, difference: float, allowed: float) -> None:
    if not difference <= allowed:  # also where it is nan
        raise AssertionError(f"{what} differ by {difference:.1e}, more than {allowed:.1e}")


# --- a million of them --------------------------------------------------------------------------------------------


def _speed(points: int) -> None:
    x = _grid(points)
    h = 2.0**-17
    quotient, unit = timed(lambda: (softplus(x + h) - softplus(x - h)) / (2.0 * h), repeat=5)
    print(f"softplus at {points:,} points")
    print(f"  {'':54} {'seconds':>8} {'max error':>10} {'of quotient':>12}")

    def row(name: str, seconds: float, error: float, largest: float) -> None:
        print(f"  {name:54} {seconds:8.3f} {error:10.1e} {seconds / unit:11.1f}x", flush=True)
        _agree(f"{name}: values and exact values", error, largest)

    row("plain NumPy quotient, step 2**-17", unit, _error(quotient, x), 1e-9)
    found = {}
    for name in ("compiled", "numpy") if has_compiled() else ("numpy",):
        found[name] = in_backend(name, f"from fastdiff.demo import _report; _report({points})")
        for case, run in found[name].items():
            row(f"fastdiff, {case}, {name} backend", run["seconds"], run["error"], _HOW[case][2])
    print()
    if "compiled" not in found:
        print("This copy has no compiled backend: it was installed without a C compiler.")
        return
    for case in _HOW:
        compiled, plain = found["compiled"][case], found["numpy"][case]
        if compiled["digest"] != plain["digest"]:
            raise AssertionError(f"{case}: the backends differ")
        print(
            f"{case}: the compiled backend takes 1/{plain['seconds'] / compiled['seconds']:.1f} of the time, same bits"
        )
    replayed, called = found["compiled"]["h='scaled'"], found["compiled"][_PYTHON]
    if replayed["digest"] != called["digest"]:
        raise AssertionError("the recorded function gives other numbers")
    gain = called["seconds"] / replayed["seconds"]
    print(f"recorded and replayed in C, softplus takes 1/{gain:.1f} of the time of Python calling it, same bits")


def has_compiled() -> bool:
    return backend.NAME == "compiled" or find_spec("fastdiff.kernels._compiled") is not None


def _grid(points: int) -> NDArray[float64]:
    return np.linspace(-5.0, 5.0, points)


def _error(value: Any, x: NDArray[float64]) -> float:
    return float(np.abs(value - sigmoid(x)).max())


def timed(function: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """What the function returns, and the least time it took."""
    least = float("inf")
    for _ in range(repeat):
        begin = time.perf_counter()
        result = function()
        least = min(least, time.perf_counter() - begin)
    return result, least


def in_backend(name: str, statements: str) -> dict[str, dict[str, Any]]:
    """The JSON that these statements print in a process of its own, where that backend runs."""
    run = subprocess.run(
        [sys.executable, "-c", statements],
        env=os.environ | {"FASTDIFF_BACKEND": name},
        cwd=Path(__file__).parents[1],  # so that it is the same copy of the package
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


def digest(value: NDArray[Any]) -> str:
    """Equal where all bits are."""
    return hashlib.sha256(value.tobytes()).hexdigest()


def _report(points: int) -> None:
    x = _grid(points)
    derivative(softplus, x[:2])  # tables are made once
    found = {}
    for case, (h, engine, _) in _HOW.items():

        def differentiate(h: Step = h, engine: str = engine) -> Any:
            return derivative(softplus, x, h=h, engine=engine)

        value, seconds = timed(differentiate, repeat=3 if h else 1)
        found[case] = {"seconds": seconds, "error": _error(value, x), "digest": digest(value)}
    print(json.dumps(found))
