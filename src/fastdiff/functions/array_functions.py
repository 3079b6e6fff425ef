"""What becomes of NumPy's functions when their arguments are recorded."""

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

from .tracing import (
    Recorder,
    Traced,
    Untraceable,
    _axes,
    _check_kind,
    _cumsum,
    _cumulated,
    _double,
    _fold,
    _guarded,
    _holds_traced,
    _is_traced,
    _most,
    _numbers,
    _plain,
    _recorder_of,
    _reduce,
    _rows,
    _setitem,
    _stack_like,
    _where_function,
)

# --- functions ---


def _clip(
    x: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    out: Any = None,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
) -> Any:
    if out is not None:
        raise Untraceable("clip with out=")
    low = min if a_min is np._NoValue else a_min
    high = max if a_max is np._NoValue else a_max
    low, high = (None if v is np._NoValue else v for v in (low, high))
    if low is None and high is None:
        return +x
    if low is None:
        return np.minimum(x, cast(Any, high))
    if high is None:
        return np.maximum(x, low)
    return np._core.umath.clip(x, low, high)  # type: ignore[attr-defined]


def _mean(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    recorder = x.recorder
    total = _reduce(recorder, np.add, x, axis, dtype, out, keepdims, where=where)
    return total / math.prod(x.rows.shape[a] for a in _axes(x.rows, axis))


def _var(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **more: Any
) -> Any:
    if more:
        raise Untraceable("var, in this form")
    keepdims = keepdims is not np._NoValue and keepdims
    off = x - _mean(x, axis, dtype, out, True)
    total = _reduce(x.recorder, np.add, off * off, axis, keepdims=keepdims)
    return total / max(math.prod(x.rows.shape[a] for a in _axes(x.rows, axis)) - ddof, 0)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if x.recorder.elementwise:
        raise Untraceable("norm runs over elements, so the function is not elementwise")
    if axis is None and (ord is None or (ord == 2 and x.ndim == 1)) and not keepdims:
        flat = x.ravel("K")
        return np.sqrt(np.dot(flat, flat))
    if axis is None and x.ndim == 1:
        axis = 0
    if isinstance(axis, int) and (ord is None or ord == 2):
        s = x.conj() * x if ord is None else x * x
        return np.sqrt(_reduce(x.recorder, np.add, s, (axis,), keepdims=keepdims))
    if isinstance(axis, int) and ord == 1:
        return _reduce(x.recorder, np.add, abs(x), (axis,), keepdims=keepdims)
    if isinstance(axis, int) and ord == np.inf:
        return _reduce(x.recorder, np.maximum, abs(x), (axis,), keepdims=keepdims)
    raise Untraceable("norm of this order or axis")


def _matmul(recorder: Recorder, a: Any, b: Any, *, vecdot: bool = False) -> Any:
    if recorder.elementwise:
        raise Untraceable("a product of arrays in an elementwise function")
    if vecdot:
        return np.sum(_mark(recorder, a) * b, axis=-1)
    _check_kind(a, b)
    a, b = (
        recorder.constant_values(v.rows)
        if _is_traced(v) and v.rows.size and (v.rows < 0).all()
        else v
        if _is_traced(v)
        else _stack_like(recorder, v)
        if isinstance(v, (list, tuple)) and _holds_traced(v)
        else np.asarray(v)
        for v in (a, b)
    )
    x: list[Any] = [_double(v) if _is_traced(v) else _plain(v).astype(float64) for v in (a, b)]
    if not all(1 <= v.ndim <= 2 for v in x) or x[0].shape[-1] != x[1].shape[0]:
        raise Untraceable(f"a product of arrays of shapes {x[0].shape} and {x[1].shape}")
    if not _is_traced(a) and not _is_traced(b):
        product = np.matmul(a, b)
        return Traced(recorder, recorder.constant(product), scalar=not product.ndim)
    recorder.inexact = True
    left = x[0].reshape(-1, x[0].shape[-1])
    right = x[1].reshape(x[1].shape[0], -1)
    shape = x[0].shape[:-1] + x[1].shape[1:]
    if not left.size or not right.size:
        return Traced(recorder, recorder.constant(np.zeros(shape)), scalar=not shape)
    if _is_traced(a) and _is_traced(b):
        made = np.empty((len(left), right.shape[1]), int64)
        for i in range(len(left)):
            for j in range(right.shape[1]):
                (products,) = recorder.step(
                    "multiply",
                    (np.multiply, np.multiply.types.index("dd->d")),
                    (left[i].copy(), right[:, j].copy()),
                    "dd->d",
                    single=(False, False),
                )
                made[i, j] = _fold(recorder, np.add, "dd->d", "sum", products[None])[0, -1]
    elif _is_traced(b):
        matrix = _interned(recorder, left)
        made = np.stack(
            [recorder.step("matmul", "matrix", (c.copy(),), "d->d", matrix=matrix)[0] for c in right.T], axis=1
        )
    else:
        matrix = _interned(recorder, right.T)
        made = np.stack(
            [recorder.step("matmul", "matrix", (c.copy(),), "d->d", matrix=matrix)[0] for c in left], axis=0
        )
    return Traced(recorder, made.reshape(shape).copy(), scalar=not shape)


def _interned(recorder: Recorder, matrix: NDArray[float64]) -> NDArray[float64]:
    for step in recorder.steps:
        if step.matrix is not None and np.array_equal(step.matrix, matrix):
            return step.matrix
    return np.array(matrix, order="C")


def _mark(recorder: Recorder, value: Any) -> Any:
    recorder.inexact = True
    return value


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        raise Untraceable("dot with out=")
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return _matmul(_recorder_of((a, b)), a, b)


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    a, b = (np.ravel(v) for v in (a, b))
    return np.multiply(a[:, None], b[None, :])


def _einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str) or "." in subscripts or set(kwargs) - {"optimize"}:
        raise Untraceable("einsum, in this form")
    recorder = _recorder_of(operands)
    if recorder.elementwise:
        raise Untraceable("einsum in an elementwise function")
    terms, _, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if "->" not in subscripts:
        joined = "".join(names)
        result = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    letters = result + "".join(sorted(set(terms) - {","} - set(result)))
    product: Any = None
    for name, operand in zip(names, operands, strict=True):
        if len(set(name)) != len(name):
            raise Untraceable("einsum with a repeated index")
        value = _stack_like(recorder, operand)
        order = [name.index(c) for c in letters if c in name]
        spread = value.transpose(order)[tuple(slice(None) if c in name else None for c in letters)]
        product = spread if product is None else product * spread
    recorder.inexact = True
    contracted = tuple(range(len(result), len(letters)))
    return _reduce(recorder, np.add, product, contracted) if contracted else product


def _cumprod(x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _cumulated(np.multiply, "cumprod", x, axis, dtype, out)


def _copyto(target: Any, source: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not _is_traced(target):
        raise Untraceable("a result is written into a plain array")
    _setitem(target, ..., source if where is True else _where_function(where, source, target))


def _putmask(a: Any, mask: Any, values: Any) -> None:
    if not np.ndim(values) == 0:
        raise Untraceable("putmask with an array of values")
    _copyto(a, values, where=mask)


def _inner(a: Any, b: Any) -> Any:
    return np.multiply(a, b) if np.ndim(a) == 0 or np.ndim(b) == 0 else np.matmul(a, np.transpose(b))


def _diag(v: Any, k: int = 0) -> Any:
    if v.rows.ndim != 1:
        return np.diagonal(v, k)
    n = v.rows.size + abs(k)
    rows = np.full((n, n), v.recorder.constant(0.0))
    rows[np.arange(v.rows.size) + max(-k, 0), np.arange(v.rows.size) + max(k, 0)] = _double(v)
    return Traced(v.recorder, rows)


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    if a.recorder.elementwise or a.truth:
        raise Untraceable("diff, in this form")
    parts = [v for v in (prepend, a, append) if v is not np._NoValue]
    if len(parts) > 1:
        shape = list(a.shape)
        shape[axis] = 1
        parts = [v if v is a or np.ndim(v) else np.broadcast_to(v, shape) for v in parts]
        a = np.concatenate(parts, axis)
    for _ in range(n):
        rows = a.rows.ndim
        cut = [slice(None)] * rows
        after, before = list(cut), list(cut)
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        a = np.subtract(a[tuple(after)], a[tuple(before)])
    return a


def _like_function(value: Any) -> Callable[..., Any]:
    def make(
        x: Any, fill: Any = value, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None
    ) -> Any:
        recorder = _recorder_of((x, fill))
        kind = (x.dtype if _is_traced(x) else np.asarray(x).dtype) if dtype is None else np.dtype(dtype)
        if shape is not None or kind != float64:
            raise Untraceable("zeros_like and the like, in this form")
        layout = x.rows if _is_traced(x) else np.asarray(x)
        out = np.empty_like(layout, int64, order=order)
        out[...] = _rows(recorder, fill, "d")
        return Traced(recorder, out)

    return make


def _select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = np.where(condition, choice, result)
    return result


def _polyval(p: Any, x: Any) -> Any:
    if _is_traced(p) or not _is_traced(x):
        y: Any = 0.0 if not _is_traced(x) else np.zeros_like(x)
        y = np.zeros_like(np.asarray(x, float)) if not _is_traced(x) else y
        for i in range(len(p)):
            y = y * x + p[i]
        return y
    y = np.zeros_like(x)
    for c in np.asarray(p):
        y = y * x + c
    return y


def _sinc(x: Any) -> Any:
    y = np.pi * np.where(x == 0, 1.0e-20, x)
    return np.sin(y) / y


def _array_info(name: str) -> Callable[..., Any]:
    def info(x: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            raise Untraceable(f"{name}, in this form")
        return getattr(x, name)

    return info


def _reduction(ufunc: np.ufunc) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
                  initial: Any = np._NoValue, where: Any = True) -> Any:  # fmt: skip
        where = True if where is np._NoValue else where
        return _reduce(_recorder_of((a,)), ufunc, a, axis, dtype, out, keepdims, initial, where)

    return reduction


def _extreme(ufunc: np.ufunc) -> Callable[..., Any]:
    def extreme(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = np._NoValue,
                where: Any = True) -> Any:  # fmt: skip
        return _reduction(ufunc)(a, axis, None, out, keepdims, initial, where)

    return extreme


def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    if out is not None:
        raise Untraceable("round with out=")
    _double(a)  # or it is refused: of whole numbers the result would be whole
    if not decimals:
        return np.rint(a)
    power = 10.0 ** abs(decimals)
    return np.rint(a * power) / power if decimals > 0 else np.rint(a / power) * power


def _atleast(n: int) -> Callable[..., Any]:
    def atleast(*arrays: Any) -> Any:
        recorder = _recorder_of(arrays)
        if recorder.elementwise:
            return arrays[0] if len(arrays) == 1 else arrays
        made = [
            t.like((np.atleast_1d, np.atleast_2d, np.atleast_3d)[n - 1](t.rows))
            for t in (_stack_like(recorder, a) for a in arrays)
        ]
        return made[0] if len(made) == 1 else tuple(made)

    return atleast


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where_function, np.clip: _clip, np.mean: _mean, np.var: _var, np.linalg.norm: _norm,
    np.std: lambda *a, **k: np.sqrt(_var(*a, **k)), np.dot: _dot, np.outer: _outer, np.einsum: _einsum,
    np.inner: _inner, np.copyto: _copyto, np.putmask: _putmask, np.diag: _diag, np.cumprod: _cumprod,
    np.vdot: lambda a, b: np.matmul(np.ravel(a), np.ravel(b)),
    np.diff: _diff, np.cumsum: _cumsum, np.select: _select, np.polyval: _polyval, np.sinc: _sinc, np.round: _round,
    np.around: _round, np.sum: _reduction(np.add), np.prod: _reduction(np.multiply), np.max: _extreme(np.maximum),
    np.amax: _extreme(np.maximum), np.min: _extreme(np.minimum), np.amin: _extreme(np.minimum),
    np.all: _extreme(np.logical_and), np.any: _extreme(np.logical_or),
    np.zeros_like: _like_function(0.0), np.ones_like: _like_function(1.0), np.empty_like: _like_function(0.0),
    np.full_like: _like_function(None), np.shape: _array_info("shape"), np.size: _array_info("size"),
    np.ndim: _array_info("ndim"), np.real: lambda x: x, np.iscomplexobj: lambda x: False, np.isrealobj: lambda x: True,
    np.copy: lambda a, order="K", subok=False: a.copy(order), np.ptp: lambda a, axis=None: np.max(a, axis) - np.min(a, axis),
    np.trace: lambda a: np.sum(np.diagonal(a)), np.atleast_1d: _atleast(1), np.atleast_2d: _atleast(2), np.atleast_3d: _atleast(3),
}  # fmt: skip

# Functions that only move elements about: done to the rows.
MOVERS = frozenset({
    np.roll, np.stack, np.concatenate, np.hstack, np.vstack, np.dstack, np.column_stack, np.append, np.flip, np.fliplr,
    np.flipud, np.rot90, np.ravel, np.reshape, np.transpose, np.squeeze, np.expand_dims, np.broadcast_to, np.tile,
    np.repeat, np.moveaxis, np.swapaxes, np.take, np.diagonal, np.split, np.array_split, np.hsplit, np.vsplit, np.delete,
    np.rollaxis, np.broadcast_arrays, np.take_along_axis, np.unstack if hasattr(np, "unstack") else np.stack,
})  # fmt: skip


# --- functions that make arrays: called in place of NumPy's, which would not ask ---


def _array(recorder: Recorder, instead_of: Any, value: Any, dtype: Any = None, **options: Any) -> Any:
    """array, asarray and the like."""
    if not (_is_traced(value) or (isinstance(value, (list, tuple)) and _holds_traced(value))):
        return instead_of(value, dtype, **options)
    return _guarded(recorder, _made, recorder, instead_of, value, dtype, options)


def _made(recorder: Recorder, instead_of: Any, value: Any, dtype: Any, options: dict[str, Any]) -> Traced:
    copy = options.pop("copy", instead_of is np.array)
    order: Any = options.pop("order", None) or "K"
    ndmin = options.pop("ndmin", 0)
    options.pop("subok", None)
    if options.pop("like", None) is not None or options:
        raise Untraceable(f"{instead_of.__name__} in this form")
    made = _stack_like(recorder, value)
    if dtype is not None and np.dtype(dtype) != made.dtype:
        made = made.astype(dtype)
    if recorder.elementwise:
        if order not in "KA" or ndmin:
            raise Untraceable(f"{instead_of.__name__} in this form")
        return made.copy("K") if copy else made
    rows = made.rows.copy(order) if copy else np.asarray(made.rows, order=order)
    if instead_of is np.ascontiguousarray:
        rows = np.ascontiguousarray(rows)
    if rows is made.rows and not made.scalar:
        return made
    return made.like(rows.reshape((1,) * (ndmin - rows.ndim) + rows.shape))


def _blank(recorder: Recorder, instead_of: Any, shape: Any, *args: Any, **options: Any) -> Any:
    """zeros and the like: an array that may be filled with recorded values."""
    dtype = options.get("dtype", args[0] if args and instead_of is not np.full else None)
    order: Any = options.get("order", "C") or "C"
    more = len(args) > (2 if instead_of is np.full else 1) or set(options) - {"dtype", "order", "fill_value"}
    if recorder.elementwise or more or (dtype is not None and np.dtype(dtype) != float64):
        return instead_of(shape, *args, **options)
    fill: Any = 1.0 if instead_of is np.ones else 0.0
    if instead_of is np.full:
        fill = args[0] if args else options["fill_value"]
        dtype = options.get("dtype", args[1] if len(args) > 1 else None)
        if dtype is None and (fill.dtype if _is_traced(fill) else np.asarray(fill).dtype) != float64:
            if _is_traced(fill):
                recorder.fail(f"full of {fill.dtype}")
            return instead_of(shape, *args, **options)
    rows = np.empty(shape, int64, order)
    rows[...] = _rows(recorder, fill, "d")
    return Traced(recorder, rows)


MAKERS: dict[Any, Callable[..., Any]] = {
    np.array: _array, np.asarray: _array, np.asanyarray: _array, np.ascontiguousarray: _array,
    np.zeros: _blank, np.empty: _blank, np.ones: _blank, np.full: _blank,
}  # fmt: skip


def call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = f"{getattr(func, '__module__', 'numpy')}.{getattr(func, '__name__', func)}"
    own = FUNCTIONS.get(func)
    if own is not None:
        try:
            return own(*args, **kwargs)
        except (AttributeError, TypeError) as error:
            raise Untraceable(f"{name}, in this form ({error})") from None
    if func in MOVERS:
        return _move(func, name, args, kwargs)
    inner = getattr(func, "__wrapped__", None)
    if not isinstance(inner, FunctionType):
        raise Untraceable(f"{name} is not recorded")
    # It is Python code, made of what is recorded, or not.
    recorder = _recorder_of((*args, *kwargs.values()))
    recorder.inside.append(f"{name} is not recorded")
    try:
        found = recorder.borrower.copy(inner)(*args, **kwargs)
    except Untraceable:
        raise
    except Exception as error:
        recorder.fail(f"{type(error).__name__}: {error}")
    recorder.inside.pop()
    return found


def _move(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    recorder = _recorder_of((*args, *kwargs.values()))
    if recorder.elementwise:
        raise Untraceable(f"{name} in an elementwise function")
    if kwargs.get("out") is not None or kwargs.get("dtype") is not None:
        raise Untraceable(f"{name} with out= or dtype=")
    # arrays are the first argument, or for append the first two; the rest are axes, counts and shapes
    arrays = 2 if func is np.append else len(args) if func is np.broadcast_arrays else 1
    if any(_is_traced(v) for v in args[arrays:]):
        raise Untraceable(f"{name} with a recorded value for an index")
    lists = func in (np.stack, np.concatenate, np.hstack, np.vstack, np.dstack, np.column_stack)
    first = tuple(args[0]) if lists and not _is_traced(args[0]) else args[:arrays]
    given = [_stack_like(recorder, v) for v in first] if not (lists and _is_traced(args[0])) else list(args[0])
    truth = all(t.truth for t in given)
    whole = not truth and all(t.truth or t.most is not None for t in given)
    most = max(map(_most, given)) if whole else None
    rows: list[Any] = [t.rows if truth else _numbers(t) for t in given]
    found = func(rows, *args[1:], **kwargs) if lists else func(*rows, *args[arrays:], **kwargs)
    if isinstance(found, np.ndarray):
        return Traced(recorder, found, truth=truth, most=most)
    if isinstance(found, (list, tuple)):
        return type(found)(Traced(recorder, f, truth=truth, most=most) for f in found)
    return Traced(recorder, np.array(found), truth=truth, scalar=True, most=most)
