"""A Python function of numbers that works elementwise on arrays, of one or several arguments that broadcast together."""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

from ..kernels import backend
from .base import Function, Lanes, Sampled, fits, numeric

_CHECKS = 8  # known values that ride along when f is first called with part of the elements
_SLACK = 32.0  # roundoffs by which these may differ: NumPy may take another code path for another length


class Elementwise(Function):
    """Lanes are the elements of the broadcast arguments; the direction says by how much each argument moves.

    f is called with arrays of the full shape until it has shown, on values already known, that it gives the same
    numbers for a part of the elements in a one-dimensional array. A function that captures arrays of x's shape does
    not, and keeps being called with the full shape.
    """

    engine = "python"

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        xs: Sequence[NDArray[float64]],
        moves: Sequence[float | NDArray[float64]],
    ) -> None:
        super().__init__(f, args)
        self.full_shape = np.broadcast_shapes(*(x.shape for x in xs))
        self.size = int(np.prod(self.full_shape))
        self.xs = xs
        self.moves = moves  # per argument: 0, a number, or one number a lane
        self.separable: bool | None = None if self.size > 1 else False
        self.shape = ()
        self._centre: Sampled | None = None
        self._constant: NDArray[Any] | None = None
        self._here: tuple[Any, list[Any]] = (None, [])
        self._flat: list[NDArray[float64]] | None = None  # the arguments, one number a lane

    @property
    def divisible(self) -> bool:
        if self.separable is None:
            few = np.arange(min(_CHECKS, self.size))
            self._try_part(few, np.zeros(len(few)))
        return bool(self.separable)

    @property
    def alike(self) -> bool:  # type: ignore[override]
        return self.divisible and sum(x.size > 1 for x in self.xs) == 1

    def centre(self, lanes: slice) -> Sampled:
        if self._centre is None:
            self._centre = np.array(self.read(self._call_full([x.copy() for x in self.xs]), self.size))
        return self._centre[lanes]

    def sample(self, lanes: Lanes, steps: NDArray[Any]) -> Sampled:
        values = self._values(lanes, steps)
        count = len(steps)
        return values.reshape(count, 1) if steps.dtype.kind == "c" else self.read(values, count)

    def sample_nodes(self, lanes: Lanes, offsets: Sequence[float], h: NDArray[float64], out: NDArray[float64]) -> None:
        for t, samples in zip(offsets, out):
            whole = not self.separable or (isinstance(lanes, slice) and len(h) == self.size)
            values = self._values(lanes, t * h) if whole else self._call_part(lanes, h, t)
            samples[...] = self.read(values, len(h))

    def _values(self, lanes: Lanes, steps: NDArray[Any]) -> NDArray[Any]:
        count = len(steps)
        if isinstance(lanes, slice) and count == self.size:
            return self._call_full(self._moved_full(steps))
        if self.separable:
            return self._call_part(lanes, steps)
        if self.separable is None and count < self.size:
            found = self._try_part(lanes, steps)
            if found is not None:
                return found
        every = np.zeros(self.size, steps.dtype)
        every[lanes] = steps
        return self._call_full(self._moved_full(every))[lanes]

    def _moved_full(self, steps: NDArray[Any]) -> list[NDArray[Any]]:
        shaped = steps.reshape(self.full_shape)
        return [
            _moved(x, move if isinstance(move, float) else move.reshape(self.full_shape), shaped)
            for x, move in zip(self.xs, self.moves)
        ]

    def _call_full(self, xs: list[NDArray[Any]]) -> NDArray[Any]:
        self.nfev += self.size
        try:  # a scalar x reaches f as a scalar, so that functions made of `math` work
            value = numeric(self.call(*(x if x.ndim else x[()] for x in xs)))
        except (TypeError, ValueError) as error:
            if self._centre is None and self.full_shape:
                error.add_note(
                    f"fastdiff called f with arrays of shape {self.full_shape}. If it takes single numbers only, as "
                    "functions of math do, pass numpy.vectorize(f), or one x at a time."
                )
            raise
        if value.shape != self.full_shape:
            if value.ndim == 0 and self.size:  # a constant function
                value = np.broadcast_to(self._same(value), self.full_shape)
            else:
                raise ValueError(
                    f"f was called with shape {self.full_shape} and must return the same shape, got {value.shape}"
                )
        return value.reshape(-1)

    def _moved_part(self, lanes: Lanes, steps: NDArray[Any], t: float) -> list[NDArray[Any]]:
        if lanes is not self._here[0]:  # the nodes of a round are asked for one after the other
            moves = [move if isinstance(move, float) else move[lanes] for move in self.moves]
            if self._flat is None:
                self._flat = [np.ascontiguousarray(np.broadcast_to(x, self.full_shape)).reshape(-1) for x in self.xs]
            self._here = lanes, [(x[lanes], move) for x, move in zip(self._flat, moves)]
        return [_moved(x, move, steps, t) for x, move in self._here[1]]

    def _call_part(self, lanes: Lanes, steps: NDArray[Any], t: float = 1.0) -> NDArray[Any]:
        """f at x + t * steps."""
        self.nfev += len(steps)
        value = numeric(self.call(*self._moved_part(lanes, steps, t)))
        if value.shape != steps.shape:
            if value.ndim == 0:
                return np.broadcast_to(self._same(value), steps.shape)
            raise ValueError(f"f was called with shape {steps.shape} and must return the same shape, got {value.shape}")
        return value

    def _same(self, value: NDArray[Any]) -> NDArray[Any]:
        """One number for many elements: fine as long as it is always the same."""
        if self._constant is None:
            self._constant = value
        if value != self._constant and not (np.isnan(value) and np.isnan(self._constant)):
            raise ValueError(
                f"f was called with shape {self.full_shape} and must return the same shape, but returned one number, not "
                "always the same: gradient is for functions that map an array to a number"
            )
        return value

    def _try_part(self, lanes: Lanes, steps: NDArray[Any]) -> NDArray[Any] | None:
        """f on a part of the elements, if values at the points themselves come out as they did for all of them."""
        everywhere = self.centre(slice(0, self.size))
        which = np.arange(self.size)[lanes]
        count = len(which) + _CHECKS
        while count in self.full_shape:  # of a length that broadcasts with no array that the full shape fits
            count += 1
        known = np.linspace(0, self.size - 1, count - len(which)).astype(intp)
        part = np.concatenate((which, known))
        try:
            value = self._call_part(part, np.concatenate((steps, np.zeros(len(known), steps.dtype))))
            got = value[len(which) :]
            raw = everywhere[known]
            expected: NDArray[Any] = raw.view(np.complex128)[:, 0] if self.is_complex else raw[:, 0]
            slack = _SLACK * self.eps * np.abs(expected)
            same = (got == expected) | (np.abs(got - expected) <= slack) | (np.isnan(got) & np.isnan(expected))
            self.separable = bool(same.all())
        except Exception:  # whatever it is: with the full shape f is called as it was before, and may raise again
            self.separable = False
        return value[: len(which)] if self.separable else None


def _moved(x: NDArray[float64], move: float | NDArray[float64], steps: NDArray[Any], t: float = 1.0) -> NDArray[Any]:
    """A new array x + move * t * steps; where nothing moves, of x's own shape."""
    moved: NDArray[Any]
    if isinstance(move, float) and move == 0.0:
        moved = x.copy()
    elif isinstance(move, float) and move == 1.0 and t != 1.0:
        moved = np.empty(steps.shape)
        backend.nodes(x, steps, t, moved)
    else:
        moved = x + (steps if isinstance(move, float) and move == t == 1.0 else move * (t * steps))
    return moved


def captures(f: Callable[..., Any], args: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether f can be seen to use arrays that broadcast with these elements, and so cannot be called with a part of them:
    arguments, variables of its own or global ones. What it calls may use more."""
    held = list(args)
    function = getattr(f, "__func__", f)
    if isinstance(function, FunctionType):
        from .borrowing import variables_of

        held += variables_of(function).values()
        held += [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
        held += function.__defaults__ or ()
    return any(isinstance(a, np.ndarray) and a.size > 1 and fits(a.shape, shape) for a in held)
