"""Checks and normalises what the public functions of `fastdiff.grid` take."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from ..arguments import whole
from ..functions import is_masked
from .lines import BOUNDARIES, MAX_ACCURACY, MAX_DERIVATIVE, Line, make_line

NUMBERS = (float, int, np.float64)


@dataclass(frozen=True)
class Field:
    """Samples on a grid: `a` as it came, `dtype` of results, `valid` where samples are (None: everywhere)."""

    a: NDArray[Any]
    dtype: np.dtype[Any]
    valid: NDArray[np.bool_] | None
    masked: bool


def field(a: Any, where: Any, name: str = "a") -> Field:
    masked = is_masked(a)
    valid = None
    if masked:
        mask = np.ma.getmask(a)
        valid = None if mask is np.ma.nomask else ~mask
        array = np.asarray(np.ma.getdata(a))
    else:
        array = np.asarray(a)
    if array.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got a scalar")
    if where is not None:
        given = np.asarray(where)
        if given.dtype != bool:
            raise TypeError(f"where must be boolean (True where a sample is valid), got {given.dtype}")
        try:
            given = np.broadcast_to(given, array.shape)
        except ValueError:
            raise ValueError(
                f"where of shape {given.shape} does not broadcast to {name} of shape {array.shape}"
            ) from None
        valid = given if valid is None else valid & given
    if valid is not None and valid.all():
        valid = None
    return Field(array, _result_type(array.dtype, name), valid, masked)


def _result_type(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    if dtype.kind == "c" and dtype.itemsize <= 16:
        return np.dtype(dtype.newbyteorder("="))
    raise TypeError(f"{name} must hold numbers of up to 64 bits (real, integer, boolean or complex), got {dtype}")


def axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int:
        return (normal_axis(axis, ndim),)
    return normalize_axis_tuple(axis, ndim, argname="axis")


def threads(value: int | None) -> int | None:
    return None if value is None else whole("threads", value, 1, None)


def lines(
    shape: tuple[int, ...],
    along: tuple[int, ...],
    spacing: Sequence[Any],
    n: int,
    accuracy: Any,
    boundary: Any,
    period: Any,
    unit: str | None,
) -> tuple[Line, ...]:
    """One line for each of the axes `along`. Boundary and period may be one for all, or a sequence."""
    if period is None and isinstance(boundary, str) and all(type(h) in NUMBERS for h in spacing):
        return _even_lines(shape, along, tuple(spacing), n, accuracy, boundary, unit)
    return _lines(shape, along, spacing, n, accuracy, boundary, period, unit)


def _lines(
    shape: tuple[int, ...],
    along: Sequence[int],
    spacing: Sequence[Any],
    n: int,
    accuracy: Any,
    boundary: Any,
    period: Any,
    unit: str | None,
) -> tuple[Line, ...]:
    n = whole("n", n, 1, MAX_DERIVATIVE)
    accuracy = whole("accuracy", accuracy, 1, MAX_ACCURACY)
    if len(spacing) == 0:
        spacing = [1.0] * len(along)
    elif len(spacing) == 1 and np.ndim(spacing[0]) == 0:
        spacing = list(spacing) * len(along)
    elif len(spacing) != len(along):
        raise TypeError(
            f"spacing must be one number for all axes or one entry per axis, {len(along)}; got {len(spacing)}"
        )
    boundaries = _per_axis(boundary, "boundary", len(along))
    periods = _per_axis(period, "period", len(along))
    found = []
    for k, axis in enumerate(along):
        if not isinstance(boundaries[k], str) or boundaries[k] not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(map(repr, BOUNDARIES))}, got {boundaries[k]!r}")
        what = "spacing" if len(along) == 1 else f"spacing of axis {axis}"
        timed = np.asarray(spacing[k]).dtype.kind in "mM"
        own_unit = unit if timed or len(along) == 1 else None
        found.append(make_line(shape[axis], spacing[k], n, accuracy, boundaries[k], periods[k], own_unit, what, axis))
    return tuple(found)


# Small calls would spend most of their time on lines and their weights. Typed, since True and 1.0 are no accuracy.
@lru_cache(256, typed=True)
def _even_lines(
    shape: tuple[int, ...],
    along: tuple[int, ...],
    spacing: tuple[Any, ...],
    n: int,
    accuracy: Any,
    boundary: str,
    unit: str | None,
) -> tuple[Line, ...]:
    return _lines(shape, along, spacing, n, accuracy, boundary, None, unit)


def _per_axis(value: Any, name: str, count: int) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, (tuple, list)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value or one per axis, {count}; got {len(value)}")
    return list(value)


def results(
    outs: Sequence[Any],
    like: NDArray[Any],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[NDArray[Any]],
) -> list[NDArray[Any]]:
    """`result` for each of several, which must not overlap either."""
    values: list[NDArray[Any]] = []
    for k, out in enumerate(outs):
        name = "out" if len(outs) == 1 else f"out[{k}]"
        taken = inputs if out is None else [*inputs, *values]
        values.append(result(out, like, shape, dtype, taken, name))
    return values


def result(
    out: Any,
    like: NDArray[Any],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[NDArray[Any]],
    name: str = "out",
) -> NDArray[Any]:
    """`out` if it will do, else a new array in the memory order of `like`."""
    if out is None:
        if len(shape) == like.ndim:
            return np.empty_like(like, dtype=dtype, shape=shape, subok=False)
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be an ndarray, got {type(out).__name__}")
    if is_masked(out):
        raise TypeError(f"{name} must be a plain ndarray, got a masked array")
    if out.shape != shape or out.dtype != dtype or not out.dtype.isnative:
        raise ValueError(
            f"{name} must have shape {shape} and dtype {dtype}, got shape {out.shape} and dtype {out.dtype!r}"
        )
    if not out.flags.writeable or not out.flags.aligned:
        raise ValueError(f"{name} must be writeable and aligned")
    if any(step == 0 and length > 1 for step, length in zip(out.strides, out.shape, strict=True)):
        raise ValueError(f"{name} must not repeat memory")
    if any(overlaps(out, a) for a in inputs):
        raise ValueError(f"{name} must not share memory with the input")
    return out


def overlaps(a: NDArray[Any], b: NDArray[Any]) -> bool:
    try:
        return np.shares_memory(a, b, max_work=1 << 12)  # type: ignore[arg-type]  # any int is fine
    except np.exceptions.TooHardError:
        return True


def parts(a: NDArray[Any]) -> NDArray[Any]:
    """Complex arrays as real ones with real and imaginary part along a new last axis; a view in any layout."""
    if a.dtype.kind != "c":
        return a
    strides = (*a.strides, a.itemsize // 2)
    return np.lib.stride_tricks.as_strided(a.real, (*a.shape, 2), strides, writeable=a.flags.writeable)


def normal_axis(axis: Any, ndim: int) -> int:
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    (found,) = normalize_axis_tuple(whole("axis", axis, -(2**31), None), ndim, argname="axis")
    return found
