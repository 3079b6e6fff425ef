"""Small problems, driven from C: one point and an f that returns floats, where arrays would cost more than f itself.

The rounds, the control and hence the numbers are those of `differences`. Each function returns None where it does not
apply, and the first value of f as a `Value` where that is no float, so that f is not called twice for it.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from . import steps
from .arguments import Options
from .differences import textbook
from .functions import is_native
from .kernels import backend
from .stencils import rounded

_FAR = 1e300  # beyond, the first step may leave the range of float64: the general engine minds that


@cache
def _follower(n: int, method: str, accuracy: int | None, richardson: int | None) -> Any:
    scheme = steps.scheme(n, method, accuracy, richardson)
    levels = {
        side: [(np.array(level.offsets), level.table) for level in levels] for side, levels in scheme.levels.items()
    }
    return backend.Follower(levels, scheme.first_side, scheme.unit, scheme.close)


@cache
def _quotient(method: str, accuracy: int | None, richardson: int | None) -> tuple[Any, ...]:
    """Offsets, weights and denominator in the order of `differences`, and log2 of the rule-of-thumb step at scale one."""
    plain = steps.plain(1, method, accuracy, richardson)
    stencil = plain.stencils[plain.first_side][0]
    offsets, weights, denominator = textbook(stencil)
    thumb = int(steps.thumb_exponent(np.ones(1), 1, stencil.order)[0])
    return np.array(rounded(offsets)), weights, denominator, thumb


def applies(checked: Options, f: Any) -> bool:
    if checked.engine in ("traced", "native") or (is_native(f) and checked.engine != "python"):
        return False
    return backend.NAME == "compiled" and checked.method != "complex" and (checked.h is None or not checked.full_output)


def derivative(f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]) -> Any:
    """The derivative of f at a number (x of no dimensions), which reaches f as one."""
    if not -_FAR < x < _FAR:
        return None
    if checked.h is None:
        return _follower(checked.n, checked.method, checked.accuracy, checked.richardson).scalar(f, tuple(args), x)
    return _given(f, None, x.reshape(1), checked, args)


def gradient(f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]) -> Any:
    """The gradient of f at each row of x (points, d), flattened."""
    if not x.size or x.max() >= _FAR or x.min() <= -_FAR or np.isnan(x).any():
        return None
    if checked.h is not None:
        return _given(f, x[0], x[0], checked, args) if len(x) == 1 else None
    out = np.empty((4, x.size))
    nfev = _follower(1, checked.method, checked.accuracy, checked.richardson).points(f, tuple(args), x, out)
    return (*out, nfev) if type(nfev) is int and nfev > 0 else nfev


def _given(
    f: Callable[..., Any], point: NDArray[float64] | None, x: NDArray[float64], checked: Options, args: Sequence[Any]
) -> Any:
    if checked.n != 1:
        return None
    h = 0.0
    if isinstance(checked.h, np.ndarray):
        if checked.h.ndim:
            return None
        h = float(checked.h)
    value = np.empty(x.shape)
    offsets, weights, denominator, thumb = _quotient(checked.method, checked.accuracy, checked.richardson)
    nfev = backend.quotients(f, tuple(args), point, x, offsets, weights, denominator, h, thumb, value)
    return (value, None, None, None, nfev) if type(nfev) is int else nfev
