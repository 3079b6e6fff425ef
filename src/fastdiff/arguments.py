"""Arguments of the operators, normalised and checked once: below, everything is an exact float64 array of known shape."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import float64
from numpy.typing import ArrayLike, NDArray

from .functions import is_masked, is_native
from .stencils import METHODS

Bounds = tuple[ArrayLike | None, ArrayLike | None]
Step = ArrayLike | Literal["scaled"] | None

_ENGINES = ("auto", "python", "vectorized", "traced", "native")
MAX_N, _MAX_ACCURACY, _MAX_RICHARDSON = 10, 16, 6


class Options(NamedTuple):
    """Keyword arguments of an operator."""

    method: str
    h: NDArray[float64] | Literal["scaled"] | None
    n: int
    accuracy: int | None
    richardson: int | None
    full_output: bool
    engine: str
    threads: int | None


def options(
    method: str,
    h: Step,
    n: int,
    accuracy: int | None,
    richardson: int | None,
    args: Sequence[Any],
    engine: str,
    threads: int | None,
    full_output: bool,
    vectorized: bool = False,
) -> Options:
    if not isinstance(args, (tuple, list)):  # a union takes longer
        raise TypeError(f"args must be a tuple of further arguments of f, got {type(args).__name__}")
    key: tuple[Any, ...] = (method, h, n, accuracy, richardson, engine, threads, full_output, vectorized)
    try:
        return _options(*key)
    except TypeError:  # something that cannot be a key, as an array h, or is wrong: check it for its message
        return _options.__wrapped__(*key)


@lru_cache(maxsize=256, typed=True)
def _options(
    method: str,
    h: Step,
    n: int,
    accuracy: int | None,
    richardson: int | None,
    engine: str,
    threads: int | None,
    full_output: bool,
    vectorized: bool,
) -> Options:
    if threads is not None:
        whole("threads", threads, 1, None)
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    n = whole("n", n, 1, MAX_N)
    accuracy = None if accuracy is None else whole("accuracy", accuracy, 1, _MAX_ACCURACY)
    richardson = None if richardson is None else whole("richardson", richardson, 0, _MAX_RICHARDSON) or None
    if method == "complex" and (n != 1 or accuracy is not None or richardson is not None):
        raise ValueError(
            "method='complex' gives first derivatives at full accuracy; n, accuracy and richardson do not apply"
        )
    if engine not in _ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, _ENGINES))}, got {engine!r}")
    if engine == "vectorized" and not vectorized:
        raise ValueError("engine='vectorized' cannot run this function; it needs vectorized=True")
    if engine in ("traced", "native") and method == "complex":
        raise ValueError(f"method='complex' calls f with complex numbers, which engine={engine!r} does not have")
    return Options(method, _step(h), n, accuracy, richardson, bool(full_output), engine, threads)


_LEAST = float(np.finfo(float64).tiny)
_FLOAT64 = np.dtype(float64)


def _step(h: Step) -> NDArray[float64] | Literal["scaled"] | None:
    if h is None:
        return None
    if isinstance(h, str):
        if h != "scaled":
            raise ValueError(f"h must be a number, an array, 'scaled' or None, got {h!r}")
        return "scaled"
    step = real("h", h)
    bad = ~((step >= _LEAST) & (step < np.inf))
    if bad.any():
        raise ValueError(f"h must be positive, finite and not denormal, got {step[bad][0]}")
    step.flags.writeable = False  # options are remembered
    return step


def whole(name: str, value: Any, least: int, most: int | None) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__} {value!r}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name} must be {f'from {least} to {most}' if most else f'at least {least}'}, got {value}")
    return int(value)


def real(name: str, value: ArrayLike, copy: bool = True) -> NDArray[float64]:
    """The argument as a C-ordered float64 array of its own shape, a new one if not `copy` is False; whole numbers
    become floats."""
    if type(value) is float:
        return np.asarray(value)
    if type(value) is np.ndarray and value.dtype is _FLOAT64 and copy:
        return value.copy()
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be a number or an array of numbers, got rows of different lengths") from None
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be a number or an array of numbers, got dtype {array.dtype}")
    if is_masked(value):
        return np.ma.filled(value.astype(float64, order="C"), np.nan)
    return array.astype(float64, order="C", copy=copy)


def check_callable(f: Any) -> None:
    if not callable(f) and not is_native(f):
        raise TypeError(f"f must be callable, got {type(f).__name__}")


def room(bounds: Bounds | None, x: NDArray[float64]) -> tuple[NDArray[float64], NDArray[float64]]:
    """How far x may move up and down, each of x's shape; without limit where x is not finite."""
    top = np.finfo(float64).max
    if bounds is None:
        lo, hi = np.full(x.shape, -top), np.full(x.shape, top)
    else:
        try:
            low = getattr(bounds, "lb", None)  # of scipy.optimize.Bounds
            low, high = bounds if low is None else (low, getattr(bounds, "ub"))  # noqa: B009
        except (TypeError, ValueError):
            raise ValueError(
                f"bounds must be a pair (lo, hi), got {bounds!r:.80}; of a list of pairs make one by tuple(zip(*bounds))"
            ) from None
        lo = real("bounds[0]", -np.inf if low is None else low)
        hi = real("bounds[1]", np.inf if high is None else high)
        if np.isnan(lo).any() or np.isnan(hi).any():
            raise ValueError("bounds must not be nan")
        lo, hi = broadcast("bounds[0]", lo, x.shape), broadcast("bounds[1]", hi, x.shape)
        if (lo > hi).any():
            i = np.flatnonzero((lo > hi).ravel())[0]
            raise ValueError(f"bounds must have lo <= hi, got lo={lo.flat[i]}, hi={hi.flat[i]}")
        outside = (x < lo) | (x > hi)
        if outside.any():
            i = np.flatnonzero(outside.ravel())[0]
            raise ValueError(f"x must lie inside bounds, got x={x.flat[i]} with lo={lo.flat[i]}, hi={hi.flat[i]}")
        lo, hi = np.clip(lo, -top, top), np.clip(hi, -top, top)
    with np.errstate(all="ignore"):
        up, down = np.minimum(hi - x, top), np.minimum(x - lo, top)
    here = np.isfinite(x)
    return np.where(here, up, top), np.where(here, down, top)


def broadcast(name: str, array: NDArray[float64], shape: tuple[int, ...]) -> NDArray[float64]:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} must broadcast with x of shape {shape}, got shape {array.shape}") from None
