"""Small problems, driven from C: one point and an f that returns floats, where arrays would cost more than f itself.

The rounds, the control and hence the numbers are those of `rounds`, or at given steps those of `differences`. Each
function returns None where it does not apply, and the first value of f as a `Value` where that is no float, so that f is
not called twice for it.
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


@cache
def _follower(n: int, method: str, accuracy: int | None, richardson: int | None) -> Any:
    scheme = steps.scheme(n, method, accuracy, richardson)
    levels = {
        side: [(np.array(level.offsets), level.table) for level in levels] for side, levels in scheme.levels.items()
    }
    return backend.Follower(levels, scheme.first_side, scheme.unit, scheme.close, scheme.closer_at_root)


@cache
def _quotient(method: str, accuracy: int | None, richardson: int | None) -> Any:
    """With samples and weights in the order in which `differences` adds them up."""
    plain = steps.plain(1, method, accuracy, richardson)
    stencil = plain.stencils[plain.first_side][0]
    offsets, weights, denominator = textbook(stencil)
    thumb = int(steps.thumb_exponent(np.ones(1), 1, stencil.order)[0])
    return backend.Quotient(np.array(rounded(offsets)), weights, denominator, thumb)


def applies(checked: Options, f: Any) -> bool:
    if checked.engine in ("traced", "native") or (is_native(f) and checked.engine != "python"):
        return False
    return backend.NAME == "compiled" and checked.method != "complex" and (checked.h is None or not checked.full_output)


def derivative(f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]) -> Any:
    """The derivative of f at a number (x of no dimensions), which reaches f as one."""
    if checked.h is None:
        return _follower(checked.n, checked.method, checked.accuracy, checked.richardson).scalar(f, tuple(args), x)
    h = _one_step(checked)
    if h is None or checked.n != 1:
        return None
    return _quotient(checked.method, checked.accuracy, checked.richardson).scalar(f, tuple(args), x, h)


def gradient(f: Callable[..., Any], x: NDArray[float64], checked: Options, args: Sequence[Any]) -> Any:
    """The gradient of f at each row of x (points, d), flattened."""
    if not x.size:
        return None
    if checked.h is not None:
        h = _one_step(checked)
        if h is None or len(x) > 1:
            return None
        return _quotient(checked.method, checked.accuracy, checked.richardson).point(f, tuple(args), x[0], h)
    out = np.empty((4, x.size))
    nfev = _follower(1, checked.method, checked.accuracy, checked.richardson).points(f, tuple(args), x, out)
    return (*out, nfev) if type(nfev) is int and nfev > 0 else nfev


def _one_step(checked: Options) -> float | None:
    """The step that all take, 0 for the rule of thumb."""
    if not isinstance(checked.h, np.ndarray):
        return 0.0
    return None if checked.h.ndim else float(checked.h)
