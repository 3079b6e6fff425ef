"""What the scripts here share: the least time of many, and a table of ratios."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def least(function: Callable[[], Any], repeats: int, number: int = 1) -> float:
    """Seconds of one call: the least mean of `number` calls among `repeats` such runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(number):
            function()
        best = min(best, time.perf_counter() - begin)
    return best / number


def agree(name: str, value: Any, truth: Any, tolerance: float) -> float:
    """The largest error, which must be within the tolerance: a benchmark that computes something else tells nothing."""
    import numpy as np

    error = float(np.max(np.abs(np.asarray(value) - truth)))
    if not error <= tolerance:  # also where it is nan
        raise AssertionError(f"{name}: the error is {error:.1e}, more than {tolerance:.0e}")
    return error
