"""Small problems, driven from C: one point and an f that returns floats, where arrays would cost more than f itself.

The rounds, the control and hence the numbers are those of `differences`. Each function returns None where it does not
apply, and `Seed` where f turned out to return something else: its first value, so that f is not called twice for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from . import steps
from .arguments import Options
from .differences import integral
from .kernels import backend

_FAR = 1e300  # beyond, the first step may leave the range of float64: the general engine minds that


@dataclass(frozen=True)
class Seed:
    """The first value of f, already computed."""

    value: Any


Quick = tuple[Any, Any, Any, Any, int]  # value, error, log2 h, status, nfev


@cache
def _follower(n: int, method: str, accuracy: int | None, richardson: int | None) -> Any:
    scheme = steps.scheme(n, method, accuracy, richardson)
    levels = {
        side: [(np.array(level.offsets), level.table) for level in levels] for side, levels in scheme.levels.items()
    }
    return backend.Follower(levels, scheme.first_side, scheme.unit)


@cache
def _quotient(n: int, method: str, accuracy: int | None, richardson: int | None) -> tuple[Any, ...]:
    """Offsets, weights and denominator in the order of `differences`, and the order of accuracy."""
    stencil = steps.plain(n, method, accuracy, richardson).stencils[
        {"central": 0, "forward": 1, "backward": -1}[method]
    ][0]
    weights, denominator = integral(stencil)
    order = sorted(range(len(weights)), key=lambda i: -stencil.offsets[i])
    offsets = np.array([float(stencil.offsets[i]) for i in order])
    return offsets, np.array([weights[i] for i in order]), denominator, stencil.order


def applies(checked: Options) -> bool:
    return backend.NAME == "compiled" and checked.method != "complex" and (checked.h is None or not checked.full_output)


def derivative(
    f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]
) -> Quick | Seed | None:
    """The derivative of f at a number (x of no dimensions), which reaches f as one."""
    if not abs(x) < _FAR:
        return None
    c = checked
    if c.h is None:
        found = _follower(c.n, c.method, c.accuracy, c.richardson).scalar(f, tuple(args), x)
        return found if type(found) is tuple else Seed(found)
    return _given(f, None, x.reshape(1), checked, args)


def gradient(f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]) -> Quick | Seed | None:
    """The gradient of f at each row of x (points, d), flattened."""
    c = checked
    if not x.size or not np.abs(x).max() < _FAR:
        return None
    if c.h is not None:
        return _given(f, x[0], x[0], checked, args) if len(x) == 1 else None
    follower = _follower(1, c.method, c.accuracy, c.richardson)
    out = np.empty((len(x), 4, x.shape[1]))
    nfev = 0
    for i in range(len(x)):
        found = follower.point(f, tuple(args), x[i], out[i])
        if type(found) is not int:
            return Seed(found) if i == 0 else None
        nfev += found
    value, error, k, status = out.swapaxes(0, 1).reshape(4, -1)
    return value, error, k, status, nfev


def _given(
    f: Callable[..., Any], point: NDArray[float64] | None, x: NDArray[float64], checked: Options, args: Sequence[Any]
) -> Quick | Seed | None:
    c = checked
    if c.n != 1:
        return None
    offsets, weights, denominator, order = _quotient(c.n, c.method, c.accuracy, c.richardson)
    if isinstance(c.h, np.ndarray):
        if c.h.ndim:
            return None
        h = np.full(x.shape, c.h)
    else:
        h = np.exp2(steps.thumb_exponent(np.abs(x), c.n, order))
    value = np.empty(x.shape)
    nfev = backend.quotients(f, tuple(args), point, x, offsets, weights, denominator, h, value)
    return (value, None, None, None, nfev) if type(nfev) is int else Seed(nfev)
