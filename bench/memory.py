"""What does a large batch need beside its input? `python bench/memory.py [--points 20000] [--variables 50]`

Each way runs in a process of its own; counted is by how much the peak of its resident memory rises, result included.
Linux and macOS.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from typing import Any

import numpy as np
from timing import agree

import fastdiff

TARGET = 160.0  # MiB


def f(p: Any) -> Any:
    """(k, d) -> (k,)"""
    return np.sin(p).sum(axis=-1)


def naive(x: Any) -> Any:
    """All nodes of all variables in one call."""
    h = 2.0**-17
    moves = h * np.eye(x.shape[1])
    return (f(x[:, None] + moves) - f(x[:, None] - moves)) / (2.0 * h)


WAYS = {
    "gradient, automatic": lambda x: fastdiff.gradient(f, x, vectorized=True),
    "gradient, automatic, full output": lambda x: fastdiff.gradient(f, x, vectorized=True, full_output=True).value,
    "gradient, h='scaled'": lambda x: fastdiff.gradient(f, x, vectorized=True, h="scaled"),
    "quotients, all points at once": naive,
}


def peak() -> float:
    """Peak resident memory of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def rise(way: str, points: int, variables: int) -> float:
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (points, variables))
    WAYS[way](x[:1])  # imports and tables are not what is measured
    before = peak()
    value = WAYS[way](x)
    after = peak()
    agree(way, value, np.cos(x), 1e-8)  # where x is near zero, and f the rest of a sum that cancels
    return after - before


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=20000)
    parser.add_argument("--variables", type=int, default=50)
    parser.add_argument("--way", choices=WAYS, help="print the number of this one only")
    options = parser.parse_args()
    if options.way:
        print(rise(options.way, options.points, options.variables))
        return
    own = options.points * options.variables * 8 / 2**20
    print(f"vectorized gradient of {options.points} points x {options.variables} variables; input {own:.1f} MiB")
    print(f"  {'':36} {'MiB':>7} {'of input':>9}      (wanted: below {TARGET:g} MiB)")
    for way in WAYS:
        command = [sys.executable, __file__, f"--way={way}", f"--points={options.points}"]
        run = subprocess.run([*command, f"--variables={options.variables}"], stdout=subprocess.PIPE, check=True)
        mib = float(run.stdout)
        print(f"  {way:36} {mib:7.1f} {mib / own:8.1f}x", flush=True)


if __name__ == "__main__":
    main()
