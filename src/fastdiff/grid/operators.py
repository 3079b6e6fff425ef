"""The derivatives of sampled data: what each is a sum of, over one pass of the data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import backend
from . import inputs
from .inputs import NUMBERS, Field, parts
from .lines import Line, Rule
from .missing import Part, repair
from .sweeps import SLAB, Job, Term, run

Array = NDArray[Any]

SMALL = 1 << 13  # samples up to which `_small` is quicker
FLOAT64, FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


@dataclass(frozen=True)
class _Piece:
    """A derivative along one axis of a field, with a sign: a result is a sum of these."""

    field: Field
    axis: int
    line: Line


def _window(piece: _Piece, cuts: dict[int, Line], array: Array) -> Array:
    """The samples of the piece: all along its axis, and where the results are along the others."""
    index = [slice(None)] * array.ndim
    for axis, line in cuts.items():
        if axis != piece.axis:
            index[axis] = slice(line.start, line.start + line.results)
    return array[tuple(index)]


def _evaluate(
    sums: Sequence[tuple[Sequence[_Piece], Array]], cuts: dict[int, Line], threads: int | None, short: float = np.nan
) -> None:
    """Writes every sum to its array, in one pass."""
    jobs = []
    for pieces, out in sums:
        for k, piece in enumerate(pieces):
            jobs.append(Job(parts(_window(piece, cuts, piece.field.a)), parts(out), piece.axis, piece.line, k > 0))
    run(jobs, threads)
    for pieces, out in sums:
        if all(piece.field.valid is None for piece in pieces):
            continue
        found = []
        for piece in pieces:
            a = _window(piece, cuts, piece.field.a)
            valid = piece.field.valid
            there = np.broadcast_to(np.True_, a.shape) if valid is None else _window(piece, cuts, valid)
            found.append(Part(a, there, piece.axis, piece.line))
        repair(found, out, short)


def _estimated(pieces: Sequence[_Piece], cuts: dict[int, Line], value: Array, threads: int | None) -> Array:
    """The error of a sum: from its distance to the one of two orders more, and what roundoff in the samples makes."""
    better_cuts = _next_orders(cuts)
    better = [replace(piece, line=piece.line.next_order()) for piece in pieces]
    other = np.empty_like(value)
    _evaluate([(better, other)], better_cuts, threads, short=np.inf)
    error = _distance(value, other)
    for piece in pieces:
        sizes = {piece.axis: piece.line.sizes()}
        _add_roundoff(error, _results_of(piece.field.a, cuts), sizes, piece.field.valid is not None)
    return error


def _next_orders(cuts: dict[int, Line]) -> dict[int, Line]:
    better = {axis: line.next_order() for axis, line in cuts.items()}
    for axis, line in better.items():
        if line.samples < line.needed:
            raise ValueError(
                f"error=True needs at least {line.needed} points along axis {axis}, for the next order; it has "
                f"{line.samples}"
            )
    return better


def _distance(value: Array, other: Array) -> Array:
    """Twice the distance, which covers the error wherever the next order is at least twice as good. Overwrites `other`."""
    real = np.dtype(value.dtype.char.lower()) if value.dtype.kind == "c" else value.dtype
    error = other if other.dtype == real else np.empty_like(value, dtype=real)
    with np.errstate(all="ignore"):
        np.subtract(value, other, out=other)
        np.abs(other, out=error)
        np.multiply(error, 2, out=error)
    return error


def _results_of(a: Array, cuts: dict[int, Line]) -> Array:
    """The samples that results lie on."""
    index = [slice(None)] * a.ndim
    for axis, line in cuts.items():
        index[axis] = slice(line.start, line.start + line.results)
    return a[tuple(index)]


def _add_roundoff(error: Array, a: Array, sizes: dict[int, Array], missing: bool) -> None:
    """Adds what the precision of samples `a` makes: the sizes are the sums of absolute weights along each axis."""
    if error.size == 0:
        return
    cut = error.shape.index(max(error.shape))
    rows = max(1, SLAB * error.shape[cut] // error.size)
    for begin in range(0, error.shape[cut], rows):
        window = (*(slice(None),) * cut, slice(begin, begin + rows))
        with np.errstate(all="ignore"):
            here = np.abs(a[window]) * np.finfo(error.dtype).eps
            for axis, size in sizes.items():
                scale = size[begin : begin + rows] if axis == cut else size
                here = here * scale.reshape(-1, *(1,) * (error.ndim - axis - 1))
            if missing:  # what is there counts; nan stays nan
                here = np.where(np.isnan(here), 0.0, here)
            error[window] += here


def _dressed(value: Array, fields: Sequence[Field]) -> Array:
    """Masked where missing, if the input was."""
    if not any(f.masked for f in fields):
        return value
    if all(f.valid is None for f in fields):
        return np.ma.array(value, copy=False)
    return np.ma.array(value, mask=np.isnan(value), copy=False)


def _finished(values: list[Array], errors: list[Array] | None, fields: Sequence[Field], single: bool) -> Any:
    shown = tuple(_dressed(v, fields) for v in values)
    if errors is None:
        return shown[0] if single else shown
    bars = tuple(_dressed(e, fields) for e in errors)
    return (shown[0], bars[0]) if single else (shown, bars)


def _shape(shape: tuple[int, ...], cuts: dict[int, Line]) -> tuple[int, ...]:
    return tuple(cuts[d].results if d in cuts else length for d, length in enumerate(shape))


@lru_cache(256, typed=True)
def _rules(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    along: tuple[int, ...],
    spacing: tuple[Any, ...],
    n: int,
    accuracy: int,
    boundary: str,
    unit: str | None,
) -> tuple[tuple[int, ...], tuple[Rule, ...]]:
    """The shape of the results, and the rule of each axis."""
    lines = inputs.lines(shape, along, spacing, n, accuracy, boundary, None, unit)
    cuts = dict(zip(along, lines, strict=True))
    if any(line.start for line in lines) and len(lines) > 1:
        return (), ()  # samples would have to be cut
    return _shape(shape, cuts), tuple(line.rule(0, line.results, dtype) for line in lines)


def _small(
    a: Any,
    along: tuple[int, ...],
    spacing: tuple[Any, ...],
    n: int,
    accuracy: int,
    boundary: Any,
    unit: str | None,
    outs: Sequence[Any],
) -> list[Array] | None:
    """Derivatives of an array so small that looking after threads, slabs and order would take longer than they do.

    None if it is not, or if there is anything to look after.
    """
    if not (
        type(a) is np.ndarray
        and 0 < a.size <= SMALL
        and (a.dtype is FLOAT64 or a.dtype is FLOAT32)
        and a.flags.aligned
        and type(boundary) is str
        and all(type(h) in NUMBERS for h in spacing)
    ):
        return None
    shape, rules = _rules(a.shape, a.dtype, along, spacing, n, accuracy, boundary, unit)
    if not rules or 0 in shape:
        return None
    values = inputs.results(outs, a, shape, a.dtype, [a])
    terms = tuple([Term(a, v, axis, rule, False) for v, axis, rule in zip(values, along, rules, strict=True)])
    backend.sweep(terms, False, 0, 1)
    return values


def derivative(
    a: Any,
    spacing: Any = 1.0,
    axis: int = -1,
    *,
    n: int = 1,
    accuracy: int = 2,
    boundary: str = "one-sided",
    period: float | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """The n-th derivative of samples along one axis.

    Parameters
    ----------
    a : array_like, any shape with at least one axis
        The samples. float64, float32 and complex stay what they are, float16 gives float32, integers and booleans
        give float64. A masked array has its masked samples treated as `where` does, and gives a masked array.
    spacing : number or 1-D array, default 1
        The distance of neighbouring samples, or their coordinates, strictly rising or falling; also a timedelta64 or
        datetime64. Exactly equidistant coordinates count as a distance.
    axis : int, default -1
    n : int, 1 to 6
        Order of the derivative. The result is in units of `a` over units of `spacing` to the power n.
    accuracy : int, 1 to 12
        Order of the truncation error: halving the spacing divides it by ``2**accuracy``, at the edges as well as
        inside. Odd ones differ from the next even one at the edges only; accuracy 1 is what np.gradient has there.
    boundary : "one-sided", "periodic" or "trim"
        At the ends: stencils to one side of the same order; the other end, sample 0 following the last one; or no
        result, which makes the result shorter.
    period : float, optional
        The length after which the samples repeat, for a periodic axis with coordinates that are not equidistant.
    unit : "W", "D", "h", "m", "s", "ms", "us" or "ns"
        The time in which the derivative is measured; must be given for datetime64 and timedelta64 spacing.
    where : boolean array, broadcasting to a.shape, optional
        True where a sample is valid. A run of valid samples is treated as a grid of its own, with stencils to one side
        at its ends and shorter ones where it is short. The result is nan at samples that are not valid, and in runs
        of n samples or fewer.
    out : ndarray, optional
        For the result: of its shape and dtype and apart from the input in memory.
    error : bool
        Also return an estimate of the absolute error, from the stencil of the next order and the precision of the
        samples. It knows nothing about noise in the samples.
    threads : int, optional
        Default: as many as the process has processors, for large arrays.

    Returns
    -------
    ndarray, shape of `a` (shorter along the axis for "trim"); with ``error=True`` a pair of them, value and error.

    Raises
    ------
    ValueError, TypeError
        Too few samples along the axis, coordinates that are not finite and strictly monotonic, a wrong `out`, or any
        other argument out of its range; the message names it.

    Notes
    -----
    Weights are exact rational numbers, rounded once, on a uniform axis, and Fornberg's recursion (1988) on others.
    With n=1 and accuracy=2 the result is that of ``np.gradient(edge_order=2)`` up to the last bits. A nan in `a`
    spreads as far as the stencil reaches. Nothing of the size of the data is allocated besides the result. Thread-safe
    as long as nobody writes to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> t = np.linspace(0, 1, 11)
    >>> grid.derivative(t**3, t, accuracy=4) - 3 * t**2 < 1e-14
    array([ True,  True,  True,  True,  True,  True,  True,  True,  True, True,  True])
    >>> grid.derivative([0, 1, 4, 9, 16], n=2)
    array([2., 2., 2., 2., 2.])
    """
    if where is None and period is None and threads is None and not error and isinstance(a, np.ndarray) and a.ndim:
        small = _small(a, (inputs.normal_axis(axis, a.ndim),), (spacing,), n, accuracy, boundary, unit, (out,))
        if small:
            return small[0]
    data = inputs.field(a, where)
    along = inputs.normal_axis(axis, data.a.ndim)
    (line,) = inputs.lines(data.a.shape, (along,), (spacing,), n, accuracy, boundary, period, unit)
    threads = inputs.threads(threads)
    cuts = {along: line}
    value = inputs.result(out, data.a, _shape(data.a.shape, cuts), data.dtype, [data.a])
    pieces = [_Piece(data, along, line)]
    _evaluate([(pieces, value)], cuts, threads)
    errors = [_estimated(pieces, cuts, value, threads)] if error else None
    return _finished([value], errors, [data], True)


def gradient(
    a: Any,
    *spacing: Any,
    axis: int | Sequence[int] | None = None,
    accuracy: int = 2,
    boundary: str | Sequence[str] = "one-sided",
    period: float | Sequence[float | None] | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | Sequence[Array] | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """First derivatives along several axes in one pass, called like np.gradient.

    Parameters
    ----------
    a : array_like, at least one axis
    *spacing : numbers or 1-D arrays
        Nothing (distance 1), one number for all axes, or one number or array of coordinates for each axis.
    axis : int or sequence of ints, default all
    out : ndarray, or one for each axis, optional
    accuracy, boundary, period, unit, where, error, threads
        As in `derivative`; boundary and period may be sequences, one entry for each axis. With "trim" all derivatives
        are cut to the points where all of them exist.

    Returns
    -------
    One array for one axis, else a tuple with one array for each. With ``error=True`` a pair: these, and their errors.

    Raises
    ------
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe as long as nobody writes to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> y, x = np.mgrid[0:4, 0:5]
    >>> d_y, d_x = grid.gradient(3.0 * y + x * x, 1.0, 0.5)
    >>> d_y[0], d_x[0]
    (array([3., 3., 3., 3., 3.]), array([ 0.,  4.,  8., 12., 16.]))
    """
    if where is None and period is None and threads is None and not error and isinstance(a, np.ndarray) and a.ndim:
        along = inputs.axes(axis, a.ndim)
        small = _small(a, along, spacing, 1, accuracy, boundary, unit, _several(out, len(along)))
        if small:
            return small[0] if len(along) == 1 else tuple(small)
    data = inputs.field(a, where)
    along = inputs.axes(axis, data.a.ndim)
    lines = inputs.lines(data.a.shape, along, spacing, 1, accuracy, boundary, period, unit)
    threads = inputs.threads(threads)
    cuts = dict(zip(along, lines, strict=True))
    values = inputs.results(_several(out, len(along)), data.a, _shape(data.a.shape, cuts), data.dtype, [data.a])
    sums = [([_Piece(data, d, line)], value) for d, line, value in zip(along, lines, values, strict=True)]
    if sums:
        _evaluate(sums, cuts, threads)
    errors = [_estimated(pieces, cuts, value, threads) for pieces, value in sums] if error else None
    return _finished(values, errors, [data], len(along) == 1)


def _several(out: Any, count: int) -> list[Any]:
    if out is None:
        return [None] * count
    if count == 1 and isinstance(out, np.ndarray):
        return [out]
    if not isinstance(out, (tuple, list)) or len(out) != count:
        raise TypeError(f"out must be a sequence of {count} arrays, got {type(out).__name__}")
    return list(out)


def laplacian(
    a: Any,
    *spacing: Any,
    axis: int | Sequence[int] | None = None,
    accuracy: int = 2,
    boundary: str | Sequence[str] = "one-sided",
    period: float | Sequence[float | None] | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """The sum of the second derivatives along the axes, in one pass.

    Parameters
    ----------
    a : array_like, at least one axis
    *spacing, axis
        As in `gradient`.
    accuracy, boundary, period, unit, where, out, error, threads
        As in `derivative`; boundary and period may be sequences, one entry for each axis.

    Returns
    -------
    ndarray, shape of `a` ("trim": shorter along the axes); with ``error=True`` a pair, value and error.

    Raises
    ------
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe as long as nobody writes to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> y, x = np.mgrid[0:5, 0:5]
    >>> grid.laplacian(x * x + y * y)[2]
    array([4., 4., 4., 4., 4.])
    """
    data = inputs.field(a, where)
    along = inputs.axes(axis, data.a.ndim)
    lines = inputs.lines(data.a.shape, along, spacing, 2, accuracy, boundary, period, unit)
    pieces = [_Piece(data, d, line) for d, line in zip(along, lines, strict=True)]
    return _sum(pieces, out, error, threads)


def _sum(pieces: Sequence[_Piece], out: Any, error: bool, threads: int | None) -> Any:
    if not pieces:
        raise ValueError("axis must name at least one axis, got none")
    threads = inputs.threads(threads)
    fields = [piece.field for piece in pieces]
    cuts = {piece.axis: piece.line for piece in pieces}
    first = fields[0].a
    value = inputs.result(out, first, _shape(first.shape, cuts), fields[0].dtype, [f.a for f in fields])
    _evaluate([(pieces, value)], cuts, threads)
    errors = [_estimated(pieces, cuts, value, threads)] if error else None
    return _finished([value], errors, fields, True)


def _components(v: Any, where: Any) -> list[Field]:
    """Of a vector field: a sequence of arrays, or one array with the components along its first axis."""
    if isinstance(v, (tuple, list)):
        fields = [inputs.field(c, where, f"v[{k}]") for k, c in enumerate(v)]
    else:
        if np.ndim(v) < 2:
            raise ValueError(
                f"v must be a sequence of arrays or have its components along the first axis, got shape {np.shape(v)}"
            )
        whole = v if isinstance(v, np.ndarray) else np.asarray(v)
        fields = [inputs.field(whole[k], where, f"v[{k}]") for k in range(len(whole))]
    if not fields or any(f.a.shape != fields[0].a.shape for f in fields):
        raise ValueError(f"v must have components of one shape, got {[f.a.shape for f in fields]}")
    dtype = np.result_type(*(f.dtype for f in fields))
    return [replace(f, dtype=dtype) for f in fields]


def divergence(
    v: Any,
    *spacing: Any,
    axis: int | Sequence[int] | None = None,
    accuracy: int = 2,
    boundary: str | Sequence[str] = "one-sided",
    period: float | Sequence[float | None] | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """The divergence of a vector field, in one pass: the derivative of component k along axis k, summed.

    Parameters
    ----------
    v : sequence of arrays of one shape, or an array with the components along its first axis
    *spacing
        As in `gradient`, for the axes of a component.
    axis : sequence of ints, default all axes of a component
        The axis that belongs to each component.
    accuracy, boundary, period, unit, where, out, error, threads
        As in `derivative`; boundary and period may be sequences, one entry for each axis.

    Returns
    -------
    ndarray, shape of a component ("trim": shorter); with ``error=True`` a pair, value and error.

    Raises
    ------
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe as long as nobody writes to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> y, x = np.mgrid[0:4, 0:4]
    >>> grid.divergence([y * y, 3 * x])[1]
    array([5., 5., 5., 5.])
    """
    fields = _components(v, where)
    along = inputs.axes(axis, fields[0].a.ndim)
    if len(along) != len(fields):
        raise ValueError(f"v must have one component for each of the {len(along)} axes, got {len(fields)}")
    lines = inputs.lines(fields[0].a.shape, along, spacing, 1, accuracy, boundary, period, unit)
    return _sum([_Piece(f, d, line) for f, d, line in zip(fields, along, lines, strict=True)], out, error, threads)


def curl(
    v: Any,
    *spacing: Any,
    axis: Sequence[int] | None = None,
    accuracy: int = 2,
    boundary: str | Sequence[str] = "one-sided",
    period: float | Sequence[float | None] | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | Sequence[Array] | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """The curl of a vector field with three components, or with two: then the one number dv1/dx0 - dv0/dx1.

    Parameters
    ----------
    v : sequence of two or three arrays of one shape, or an array with the components along its first axis
    *spacing
        As in `gradient`, for the axes of a component.
    axis : sequence of two or three ints, default all axes of a component
        The axis that belongs to each component.
    out : ndarray for two components, a sequence of three for three, optional
    accuracy, boundary, period, unit, where, error, threads
        As in `derivative`; boundary and period may be sequences, one entry for each axis.

    Returns
    -------
    A tuple of three arrays, or one array for two components. With ``error=True`` a pair: these, and their errors.

    Raises
    ------
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe as long as nobody writes to the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> x, y = np.mgrid[0:3, 0:3]
    >>> grid.curl([-y, x])
    array([[2., 2., 2.],
           [2., 2., 2.],
           [2., 2., 2.]])
    """
    fields = _components(v, where)
    along = inputs.axes(axis, fields[0].a.ndim)
    count = len(fields)
    if count not in (2, 3) or len(along) != count:
        raise ValueError(f"v must have two or three components and an axis for each; got {count} and {len(along)} axes")
    lines = inputs.lines(fields[0].a.shape, along, spacing, 1, accuracy, boundary, period, unit)
    threads = inputs.threads(threads)
    cuts = dict(zip(along, lines, strict=True))
    shape = _shape(fields[0].a.shape, cuts)
    planes = [(0, 1)] if count == 2 else [(1, 2), (2, 0), (0, 1)]
    outs = _several(out, len(planes))
    values = inputs.results(outs, fields[0].a, shape, fields[0].dtype, [f.a for f in fields])
    sums = []
    for (i, j), value in zip(planes, values, strict=True):
        pieces = [_Piece(fields[j], along[i], lines[i]), _Piece(fields[i], along[j], lines[j].negated())]
        sums.append((pieces, value))
    _evaluate(sums, cuts, threads)
    errors = [_estimated(pieces, cuts, value, threads) for pieces, value in sums] if error else None
    return _finished(values, errors, fields, count == 2)


def hessian(
    a: Any,
    *spacing: Any,
    axis: int | Sequence[int] | None = None,
    accuracy: int = 2,
    boundary: str | Sequence[str] = "one-sided",
    period: float | Sequence[float | None] | None = None,
    unit: str | None = None,
    where: Any = None,
    out: Array | None = None,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """All second derivatives along the axes.

    Mixed ones are the first derivative of a first derivative.

    Parameters
    ----------
    a : array_like, at least one axis
    *spacing, axis
        As in `gradient`.
    accuracy, boundary, period, unit, where, out, error, threads
        As in `derivative`; boundary and period may be sequences, one entry for each axis.

    Returns
    -------
    ndarray, shape ``(d, d, *a.shape)`` for d axes, symmetric in the first two ("trim": shorter along the axes). With ``error=True``
    a pair, value and error.

    Raises
    ------
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe as long as nobody writes to the input. Mixed derivatives on trimmed axes need room for one array more.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import grid
    >>> y, x = np.mgrid[0:5, 0:5]
    >>> grid.hessian(y * y + 3 * x * y)[..., 2, 2]
    array([[2., 3.],
           [3., 0.]])
    """
    data = inputs.field(a, where)
    along = inputs.axes(axis, data.a.ndim)
    pure = inputs.lines(data.a.shape, along, spacing, 2, accuracy, boundary, period, unit)
    first = inputs.lines(data.a.shape, along, spacing, 1, accuracy, boundary, period, unit)
    threads = inputs.threads(threads)
    first = tuple([one.matching(two) for one, two in zip(first, pure, strict=True)])
    shape = (len(along),) * 2 + _shape(data.a.shape, dict(zip(along, pure, strict=True)))
    value = inputs.result(out, data.a, shape, data.dtype, [data.a])
    _second(data, along, pure, first, value, threads)
    errors = [_second_error(data, along, pure, first, value, threads)] if error else None
    return _finished([value], errors, [data], True)


def _second(
    data: Field,
    along: tuple[int, ...],
    pure: Sequence[Line],
    first: Sequence[Line],
    value: Array,
    threads: int | None,
    short: float = np.nan,
) -> None:
    """Writes all second derivatives to `value`: pure ones in one pass, mixed ones as first derivatives of first ones."""
    cuts = dict(zip(along, pure, strict=True))
    d = len(along)
    if d:
        _evaluate([([_Piece(data, along[i], pure[i])], value[i, i]) for i in range(d)], cuts, threads, short)
    for i in range(d):
        for j in range(i + 1, d):
            # the lower half is the room for the inner derivative until it gets its values
            inner_cuts = {k: line for k, line in cuts.items() if k != along[i]}
            room = value[j, i]
            if room.shape[along[i]] != data.a.shape[along[i]]:
                room = np.empty(_shape(data.a.shape, inner_cuts), data.dtype)
            _evaluate([([_Piece(data, along[j], first[j])], room)], inner_cuts, threads, short)
            valid = None
            if data.valid is not None:
                valid = _window(_Piece(data, along[i], first[i]), inner_cuts, data.valid) & ~np.isnan(room)
            inner = Field(room, data.dtype, valid, False)
            _evaluate([([_Piece(inner, along[i], first[i])], value[i, j])], {along[i]: first[i]}, threads, short)
            np.copyto(value[j, i], value[i, j])


def _second_error(
    data: Field,
    along: tuple[int, ...],
    pure: Sequence[Line],
    first: Sequence[Line],
    value: Array,
    threads: int | None,
) -> Array:
    """The errors of second derivatives, found like those of sums."""
    better = [tuple(_next_orders(dict(zip(along, lines, strict=True))).values()) for lines in (pure, first)]
    other = np.empty_like(value)
    _second(data, along, better[0], better[1], other, threads, short=np.inf)
    if data.valid is not None:  # next to infinite inner derivatives
        other[np.isnan(other) & ~np.isnan(value)] = np.inf
    error = _distance(value, other)
    a = _results_of(data.a, dict(zip(along, pure, strict=True)))
    for i, one in enumerate(along):
        for j, two in enumerate(along):
            sizes = {one: pure[i].sizes()} if i == j else {one: first[i].sizes(), two: first[j].sizes()}
            _add_roundoff(error[i, j], a, sizes, data.valid is not None)
    return error
