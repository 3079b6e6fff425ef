"""What do a million derivatives cost? `python bench/batch.py [--points 1000000] [--span 10] [--random]`

The automatic derivative of log(1 + exp(x)) on evenly spaced points, or uniformly distributed ones, f called from Python
and recorded, beside the plain quotient, one round at a given step, the other backend (in a process of its own), and
scipy.differentiate where it is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from timing import agree, least

import fastdiff
from fastdiff.kernels import backend

AUTOMATIC = "automatic"
RECORDED = "automatic, recorded"
CASES: dict[str, dict[str, Any]] = {
    AUTOMATIC: {"engine": "python"},
    RECORDED: {"engine": "traced"},
    "h='scaled'": {"h": "scaled", "engine": "python"},
    "h=1e-5": {"h": 1e-5, "engine": "python"},
}
TOLERANCE = {AUTOMATIC: 1e-11, RECORDED: 1e-11}


def softplus(x: Any) -> Any:
    return np.log(1.0 + np.exp(x))


def measured(name: str, call: Callable[[], Any], truth: Any, repeats: int = 3) -> dict[str, Any]:
    value = call()
    return {
        "error": agree(name, value, truth, TOLERANCE.get(name, 1e-9)),
        "seconds": least(call, repeats),
        "digest": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
    }


def this_backend(x: Any, truth: Any) -> dict[str, dict[str, Any]]:
    return {
        name: measured(name, lambda how=how: fastdiff.derivative(softplus, x, **how), truth)
        for name, how in CASES.items()
    }


def in_backend(name: str, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """`this_backend` in a process where that backend runs."""
    command = [sys.executable, __file__, "--json", f"--points={options.points}", f"--span={options.span}"]
    command += ["--random"] * options.random
    run = subprocess.run(command, env=os.environ | {"FASTDIFF_BACKEND": name}, stdout=subprocess.PIPE, check=True)
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


def peers(x: Any, truth: Any) -> dict[str, dict[str, Any]]:
    found = {"NumPy quotient": measured("quotient", lambda: (softplus(x + 1e-5) - softplus(x - 1e-5)) / 2e-5, truth)}
    if find_spec("scipy"):
        from scipy.differentiate import derivative

        found["scipy.differentiate"] = measured("scipy", lambda: derivative(softplus, x).df, truth, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=10**6)
    parser.add_argument("--span", type=float, default=10.0, help="points lie from -SPAN to SPAN")
    parser.add_argument("--random", action="store_true", help="points that need few steps and many lie side by side")
    parser.add_argument("--json", action="store_true", help="this backend only, for a program to read")
    options = parser.parse_args()
    x = np.linspace(-options.span, options.span, options.points)
    if options.random:
        x = np.random.default_rng(0).uniform(-options.span, options.span, options.points)
    truth = 1.0 / (1.0 + np.exp(-x))
    if options.json:
        print(json.dumps(this_backend(x, truth)))
        return

    rows: dict[str, dict[str, Any]] = peers(x, truth)
    names = ["compiled", "numpy"] if find_spec("fastdiff.kernels._compiled") else ["numpy"]
    found = {name: in_backend(name, options) for name in names}
    rows |= {f"fastdiff {case}, {name}": run for name, runs in found.items() for case, run in runs.items()}
    best = found[names[0]][AUTOMATIC]["seconds"]
    quotient = rows["NumPy quotient"]["seconds"]
    print(f"log(1 + exp(x)) at {options.points:,} points; default backend {backend.NAME}")
    print(f"  {'':36} {'ms':>8} {'of quotient':>11} {'of automatic':>12} {'max error':>10}")
    for name, row in rows.items():
        s = row["seconds"]
        print(f"  {name:36} {1e3 * s:8.1f} {s / quotient:10.1f}x {s / best:11.2f}x {row['error']:10.1e}")
    for case in CASES if len(names) > 1 else ():
        assert found["compiled"][case]["digest"] == found["numpy"][case]["digest"], f"{case}: the backends differ"


if __name__ == "__main__":
    main()
