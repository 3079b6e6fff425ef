"""Recording for the operators: f as a program that was seen to reproduce f, or the reason why not."""

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .program import Program
from .tracing import Untraceable, record, verify


def of_elements(
    f: Callable[..., Any], args: Sequence[Any], xs: Sequence[NDArray[float64]], shape: tuple[int, ...]
) -> Program:
    """f of numbers. Raises Untraceable."""
    called = _with(f, args)
    with _undone(f):
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
    with _undone(f):
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


@contextmanager
def _undone(f: Callable[..., Any]) -> Iterator[None]:
    """Random numbers that are drawn meanwhile are drawn again later, and are a reason not to record f."""
    before = [(source, _state(source)) for source in _sources(f)]
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        drawn = False
        for source, state in before:
            if pickle.dumps(_state(source)) != pickle.dumps(state):
                drawn = True
                _put_back(source, state)
    if drawn:
        raise Untraceable("f draws random numbers")


def _sources(f: Any) -> list[Any]:
    """The generators that f can be seen to use, and those that everybody shares."""
    function = getattr(f, "__func__", f)
    cells = [c.cell_contents for c in getattr(function, "__closure__", None) or () if _filled(c)]
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    space = getattr(function, "__globals__", {})
    held = [*cells, *(space[n] for n in names if n in space), *(getattr(function, "__defaults__", None) or ())]
    owner = getattr(f, "__self__", f if not hasattr(f, "__code__") else None)
    held += list(getattr(owner, "__dict__", {}).values())
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return [random, np.random, *(h for h in held if isinstance(h, kinds))]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _state(source: Any) -> Any:
    if isinstance(source, np.random.Generator):
        return source.bit_generator.state
    return source.getstate() if hasattr(source, "getstate") else source.get_state()


def _put_back(source: Any, state: Any) -> None:
    if isinstance(source, np.random.Generator):
        source.bit_generator.state = state
    elif hasattr(source, "setstate"):
        source.setstate(state)
    else:
        source.set_state(state)
