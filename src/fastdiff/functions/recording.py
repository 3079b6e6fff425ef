"""Recording a function: f as a program that was seen to reproduce f, or the reason why not."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import ArrayLike, NDArray

from .program import Input, Program
from .state import state_kept
from .tracing import Recorder, Traced, Untraceable, _double, _is_traced, _plain, _stack_like

INEXACT_ULPS = 64  # how far sums of products may be from NumPy's, relative to the largest result


def record(
    f: Callable[..., Any],
    shapes: Sequence[tuple[int, ...]],
    *,
    elementwise: bool = False,
    lane_shape: tuple[int, ...] = (),
    vectorized: bool = False,
) -> Program:
    """Record f, called with one stand-in of each shape. Raises Untraceable.

    `elementwise`: each argument is one number for every lane; arrays of f's own that broadcast to `lane_shape`, the
    shape of all lanes, run along. `vectorized`: f takes many points along a first axis; it is given one.
    """
    recorder = Recorder(elementwise=elementwise, lane_shape=lane_shape, vectorized=vectorized)
    names = _names(f, len(shapes))
    arguments = []
    for name, shape in zip(names, shapes, strict=True):
        rows = recorder.new(math.prod(shape), False).reshape(shape)
        rows.flags.writeable = False
        recorder.inputs.append(Input(name, rows))
        arguments.append(Traced(recorder, rows[None] if vectorized else rows, scalar=not shape))
    try:
        result = recorder.borrower.copy(f)(*arguments)
    except Untraceable:
        raise recorder.failure or Untraceable("a nested recording failed") from None
    except Exception as error:
        if recorder.failure is not None:
            raise recorder.failure from None
        raise Untraceable(f"recording it raises {type(error).__name__}: {error}") from error
    if recorder.failure is not None:
        raise recorder.failure
    try:
        if elementwise and not _is_traced(result):
            array = _plain(result)
            if array.size != 1:
                raise Untraceable(f"f returns a constant array of shape {array.shape}")
            result = Traced(recorder, recorder.constant(array.reshape(()), "d"))
        else:
            result = _stack_like(recorder, result)
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(f"f returns {type(result).__name__}: {error}") from error
    outputs, truth = result.rows, result.truth
    if vectorized:
        if outputs.ndim == 0 or len(outputs) != 1:
            raise Untraceable(f"f returns shape {outputs.shape} for one point along the first axis")
        result = result[0]
        outputs = result.rows
    if truth and (outputs < 0).any():
        outputs = _double(result)
    return recorder.finish(outputs, truth)


def _names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i] if i < len(parameters) else f"x{i}" for i in range(count)]


def agree(got: NDArray[Any], want: NDArray[Any], *, inexact: bool = False) -> bool:
    """Whether the replay gives what f gave: the same numbers, nan for nan; for sums of products (`inexact`) within
    INEXACT_ULPS of the largest."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    if np.array_equal(got, want, equal_nan=True):
        return True
    if not inexact:
        return False
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)):
        return False
    scale = np.max(np.abs(want[finite]), initial=0.0)
    return bool((np.abs(got[finite] - want[finite]) <= INEXACT_ULPS * np.finfo(float64).eps * scale).all())


SAMPLES = 8  # random points at which a recording is checked
CHECKED = SAMPLES + 4  # and the ends and extremes
SEARCHED = 10_000  # lanes among which the extremes are sought


def verify(
    program: Program,
    f: Callable[..., Any],
    arguments: Sequence[NDArray[float64]],
    batch: tuple[int, ...],
    *,
    vectorized: bool = False,
) -> None:
    """Compare the recording with f at the first and the last lane, at extremes and at random ones, a dozen in all.

    Arguments have leading axes that broadcast to `batch`, as in `Program.bind`. Elementwise functions that capture
    arrays are compared at every lane, because f cannot be called with some of them. Raises Untraceable.
    """
    batch = batch or (1,)
    lanes = math.prod(batch)
    if not lanes:
        return
    shapes = [i.rows.shape for i in program.inputs if i.captured is None]
    with np.errstate(all="ignore"):
        if program.elementwise and any(i.captured is not None for i in program.inputs):
            got = program(*arguments)
            _compare(program, np.broadcast_to(got, batch), f(*(np.array(a) for a in arguments)))
            return
        chosen = [0, lanes - 1, *np.random.default_rng(lanes).integers(0, lanes, SAMPLES).tolist()]
        if program.elementwise:
            step = -(-lanes // SEARCHED)
            for a in arguments:
                if a.shape == batch:
                    part = a.reshape(-1)[::step]
                else:
                    part = np.broadcast_to(a, batch)[np.unravel_index(np.arange(0, lanes, step), batch)]
                chosen += [step * int(np.argmin(part)), step * int(np.argmax(part))]
        index = np.unravel_index(np.array(chosen), batch)
        points = [np.broadcast_to(a, batch + s)[index] for a, s in zip(arguments, shapes, strict=True)]
        got = program(*points, threads=1)
        if program.elementwise or vectorized:
            want = f(*(p.copy() for p in points))
        else:
            want = np.array([f(*(p[i].copy() if p.ndim > 1 else p[i] for p in points)) for i in range(len(chosen))])
        _compare(program, got, want)


def _compare(program: Program, got: NDArray[Any], want: Any) -> None:
    if np.ndim(want) == 0:
        want = np.broadcast_to(want, got.shape)  # f does not depend on its argument
    if not agree(got, want, inexact=program.inexact):
        raise Untraceable("the recording does not reproduce f: it may keep state, draw random numbers or mix points")


def trace(f: Callable[..., Any], *example: ArrayLike, elementwise: bool = False, vectorized: bool = False) -> Program:
    """Record f as a program: NumPy code that is replayed in C, on any number of points.

    Parameters
    ----------
    f
        A function of `len(example)` arrays that uses NumPy's functions and operators, or ufuncs of other libraries.
        It is called with a stand-in, and with the example to check the recording.
    *example
        One value for each argument. The recording holds for arguments of these shapes, with leading batch axes if you
        like; with `elementwise` for arguments of any shape.
    elementwise
        f works on each element alone. Arrays that f captures are then taken element by element, too, and have to
        broadcast with the example.
    vectorized
        f takes many points along a first axis and gives a result for each. The example is one point.

    Returns
    -------
    Program
        Printing it lists its steps, calling it evaluates it.

    Raises
    ------
    ValueError
        If f cannot be recorded, or the recording does not reproduce f; the text says why, and at which line.

    Notes
    -----
    Thread-safe if f is. A program is immutable.

    Examples
    --------
    >>> import numpy as np, fastdiff
    >>> program = fastdiff.trace(lambda x: np.log1p(x[0] ** 2) + x[1:].sum(), [1.0, 2.0, 3.0])
    >>> print(program)
    program(x[3]):
        v0 = pow(x[0], 2)
        v1 = log1p(v0)
        v2 = sum(x[1:3])
        v3 = add(v1, v2)
        return v3
    >>> program([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]])
    array([5.69314718, 2.        ])
    """
    arrays = [np.array(a, float64) for a in example]
    try:
        with state_kept(f):
            if elementwise:
                batch = np.broadcast_shapes(*(a.shape for a in arrays))
                program = record(f, [()] * len(arrays), elementwise=True, lane_shape=batch)
                verify(program, f, arrays, batch)
            else:
                program = record(f, [a.shape for a in arrays], vectorized=vectorized)
                # several points if f takes several, and different ones, so that it cannot mix them unseen
                scales = np.array([1.0, 1.0 - 2.0**-10, 1.0 + 2.0**-10] if vectorized else [1.0])
                points = [np.multiply.outer(scales, a) for a in arrays]
                verify(program, f, points, scales.shape, vectorized=vectorized)
    except Untraceable as reason:
        raise ValueError(f"f cannot be recorded: {reason}") from None
    return program


# --- for the operators ---


def of_elements(
    f: Callable[..., Any], args: Sequence[Any], xs: Sequence[NDArray[float64]], shape: tuple[int, ...]
) -> Program:
    """f of numbers. Raises Untraceable."""
    called = _with(f, args)
    with state_kept(f, args):
        if shape:
            program = record(called, [()] * len(xs), elementwise=True, lane_shape=shape)
        else:  # f gets scalars, with which NumPy reckons in other ways
            program = record(called, [()] * len(xs))
            if program.outputs.shape:
                raise Untraceable(f"f returns shape {program.outputs.shape} for a number")
        verify(program, called, xs, shape)
    return program


def of_points(
    f: Callable[..., Any], args: Sequence[Any], points: NDArray[float64], vectorized: bool, scalar_valued: bool
) -> Program:
    """f of points (b, d). Raises Untraceable."""
    called = _with(f, args)
    with state_kept(f, args):
        program = record(called, [points.shape[1:]], vectorized=vectorized)
        if scalar_valued:
            if program.outputs.size != 1:
                raise Untraceable(f"f returns shape {program.outputs.shape} for one point, not a number")
            program.outputs = program.outputs.reshape(())
        verify(
            program,
            _as_numbers(called, vectorized) if scalar_valued else called,
            [points],
            points.shape[:1],
            vectorized=vectorized,
        )
    return program


def _as_numbers(f: Callable[..., Any], vectorized: bool) -> Callable[..., Any]:
    return lambda p: np.reshape(f(p), len(p) if vectorized else ())


def _with(f: Callable[..., Any], args: Sequence[Any]) -> Callable[..., Any]:
    return (lambda *x: f(*x, *args)) if args else f
