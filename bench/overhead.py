"""What does a small call cost beyond the calls of f? `python bench/overhead.py`

Each call is timed, and so is calling f by itself: as often, with the very arguments that it got. The difference is the
overhead. Peers that are not installed are left out.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from timing import agree, least

import fastdiff

try:
    from scipy.differentiate import derivative as scipy_derivative
    from scipy.differentiate import jacobian as scipy_jacobian
    from scipy.optimize import approx_fprime
except ImportError:
    scipy_derivative = scipy_jacobian = approx_fprime = None
try:
    from jacobi import jacobi
except ImportError:
    jacobi = None

Function = Callable[[Any], Any]
Call = Callable[[Function], Any]

POINT = 0.7
PAIR = np.array([0.7, -0.4])
TEN = np.linspace(0.5, 2.0, 10)


def sine(x: Any) -> float:
    return math.sin(x)


def sines(x: Any) -> Any:
    return np.sin(x)


def two(p: Any) -> float:
    return math.sin(p[0]) * math.exp(p[1])


def two_arrays(p: Any) -> Any:
    return np.sin(p[0]) * np.exp(p[1])


def ten(p: Any) -> float:
    return float(p @ p)


def ten_arrays(p: Any) -> Any:
    return (p * p).sum(axis=0)


@dataclass(frozen=True)
class Case:
    """Something to differentiate, how fast that should be, and who does it: solver -> (its call, f as it wants it)."""

    name: str
    target: float  # microseconds of overhead
    truth: Any
    solvers: dict[str, tuple[Call, Function] | None]


SCALAR_PEERS: dict[str, tuple[Call, Function] | None] = {
    "scipy.differentiate.derivative": scipy_derivative and (lambda f: scipy_derivative(f, POINT).df, sines),
    "jacobi": jacobi and (lambda f: jacobi(f, POINT)[0], sines),
}


def gradient_peers(x: Any, f: Function, arrays: Function) -> dict[str, tuple[Call, Function] | None]:
    return {
        "scipy.optimize.approx_fprime": approx_fprime and (lambda f: approx_fprime(x, f), f),
        "scipy.differentiate.jacobian": scipy_jacobian and (lambda f: scipy_jacobian(f, x).df, arrays),
        "jacobi": jacobi and (lambda f: jacobi(f, x)[0], f),
    }


CASES = [
    Case(
        "derivative, h=1e-5", 6.0, math.cos(POINT),
        {"fastdiff": (lambda f: fastdiff.derivative(f, POINT, h=1e-5), sine)},
    ),
    Case(
        "derivative, automatic", 15.0, math.cos(POINT),
        {"fastdiff": (lambda f: fastdiff.derivative(f, POINT), sine), **SCALAR_PEERS},
    ),
    Case(
        "gradient of 2 variables, automatic", 20.0, math.exp(-0.4) * np.array([math.cos(0.7), math.sin(0.7)]),
        {"fastdiff": (lambda f: fastdiff.gradient(f, PAIR), two), **gradient_peers(PAIR, two, two_arrays)},
    ),
    Case(
        "gradient of 10 variables, h='scaled'", 15.0, 2.0 * TEN,
        {"fastdiff": (lambda f: fastdiff.gradient(f, TEN, h="scaled"), ten), **gradient_peers(TEN, ten, ten_arrays)},
    ),
]  # fmt: skip


def arguments(call: Call, f: Function) -> list[Any]:
    """What f is called with."""
    got: list[Any] = []

    def recorded(x: Any) -> Any:
        got.append(copy.copy(x))
        return f(x)

    call(recorded)
    return got


def measured(call: Call, f: Function) -> tuple[float, float, int]:
    """Microseconds of the call, microseconds of its calls of f, and how many these are."""
    inputs = arguments(call, f)

    def alone() -> None:
        for x in inputs:
            f(x)

    number = max(1, int(2e-3 / least(lambda: call(f), 3)))
    pairs = [(least(lambda: call(f), 1, number), least(alone, 1, number)) for _ in range(40)]
    return min(whole for whole, _ in pairs) * 1e6, min(own for _, own in pairs) * 1e6, len(inputs)


def main() -> None:
    for case in CASES:
        print(f"\n{case.name}: at most {case.target:g} us beyond f wanted")
        print(
            f"  {'':32} {'us':>8} {'calls of f':>10} {'us of them':>10} {'overhead':>9} {'of fastdiff':>11} {'error':>8}"
        )
        unit = None
        for name, solver in case.solvers.items():
            if solver is None:
                print(f"  {name:32} not installed")
                continue
            call, f = solver
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of peers
                error = agree(name, call(f), case.truth, 1e-6)
                whole, own, calls = measured(call, f)
            overhead = whole - own
            unit = unit or overhead
            print(
                f"  {name:32} {whole:8.1f} {calls:10d} {own:10.1f} {overhead:9.1f} {overhead / unit:10.1f}x {error:8.0e}"
            )


if __name__ == "__main__":
    main()
