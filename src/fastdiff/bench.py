"""The compiled and the NumPy backend side by side, in a few seconds: ``python -m fastdiff bench``."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from . import grid
from .demo import digest, has_compiled, in_backend, sigmoid, softplus, timed
from .operators import derivative, gradient, hessian

_X = np.linspace(-5.0, 5.0, 50_000)
_FEW = _X[::500]
_POINTS = np.linspace(-1.0, 1.0, 1000).reshape(100, 10)


def _bowl(p: NDArray[float64]) -> Any:
    """A sum of exp(p**2): every second derivative is known."""
    return np.exp(p * p).sum()


def _bowl_hessian(points: NDArray[float64]) -> NDArray[float64]:
    return np.eye(points.shape[1]) * ((2.0 + 4.0 * points**2) * np.exp(points**2))[:, None]


# What is computed, what it should be, and the largest error.
_CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any], float]] = {
    "derivative of math.sin, 100 numbers one by one": (
        lambda: np.array([derivative(math.sin, x) for x in _FEW]), lambda: np.cos(_FEW), 1e-11,
    ),
    "derivative, 50,000 numbers, f from Python": (
        lambda: derivative(softplus, _X, engine="python"), lambda: sigmoid(_X), 1e-10,
    ),
    "derivative, 50,000 numbers, f recorded": (
        lambda: derivative(softplus, _X, engine="traced"), lambda: sigmoid(_X), 1e-10,
    ),
    "derivative, 50,000 numbers, h='scaled', f recorded": (
        lambda: derivative(softplus, _X, h="scaled", engine="traced"), lambda: sigmoid(_X), 1e-9,
    ),
    "gradient, 100 points of 10 variables": (
        lambda: gradient(_bowl, _POINTS, engine="python"), lambda: 2 * _POINTS * np.exp(_POINTS**2), 1e-9,
    ),
    "hessian, 10 points of 10 variables, f recorded": (
        lambda: hessian(_bowl, _POINTS[::10], engine="traced"), lambda: _bowl_hessian(_POINTS[::10]), 1e-5,
    ),
    "grid.derivative, 50,000 samples, accuracy 6": (
        lambda: grid.derivative(softplus(_X), _X, accuracy=6), lambda: sigmoid(_X), 1e-9,
    ),
}  # fmt: skip


def run(as_json: bool = False) -> None:
    """Print what each case takes in each backend; an AssertionError where answers differ."""
    names = ("compiled", "numpy") if has_compiled() else ("numpy",)
    found = {name: in_backend(name, "from fastdiff.bench import _report; _report()") for name in names}
    for case, (_, _, allowed) in _CASES.items():
        for name in names:
            error = found[name][case]["error"]
            if not error <= allowed:  # also where it is nan
                raise AssertionError(f"{case}, {name}: wrong by {error:.1e}, more than {allowed:.0e}")
        if len({found[name][case]["digest"] for name in names}) > 1:
            raise AssertionError(f"{case}: the backends differ")
    rows = [{"case": case, **{name: found[name][case]["seconds"] for name in names}} for case in _CASES]
    for row in rows:
        row["ratio"] = row["numpy"] / row["compiled"] if "compiled" in row else None
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{'milliseconds':52}" + "".join(f"{name:>10}" for name in names) + f"{'ratio':>8}" * (len(names) > 1))
    for row in rows:
        times = "".join(f"{1e3 * row[name]:10.2f}" for name in names)
        print(f"{row['case']:52}{times}" + (f"{row['ratio']:8.1f}" if len(names) > 1 else ""))
    if len(names) > 1:
        print("The answers of both agree to the last bit.")
    else:
        print("This copy has no compiled backend: it was installed without a C compiler.")


def _report() -> None:
    found = {}
    for case, (compute, exact, _) in _CASES.items():
        compute()  # tables are made once
        value, seconds = timed(compute, repeat=3)
        found[case] = {"seconds": seconds, "error": float(np.abs(value - exact()).max()), "digest": digest(value)}
    print(json.dumps(found))
