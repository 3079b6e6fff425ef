"""What every kind of function offers to the engine, and how the values that f returns are read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy import float64, intp
from numpy.typing import NDArray

Sampled = NDArray[float64]  # (lanes, outputs); a complex output counts as two
Lanes = NDArray[intp] | slice

EPSILON = 2.0**-52


class Function(ABC):
    """f as the engine sees it: lanes in, float64 samples out. Not thread-safe: one object serves one call.

    `shape` is that of f's value at one point, `eps` the unit roundoff of the dtype that f returned, `is_complex` tells
    whether outputs are pairs; all three are known once f was called. `nfev` counts the points at which f was evaluated.
    """

    engine: str
    reason = ""
    outputs: int | None = None  # of a lane, where that is known without a call
    threads: int | None = None  # how many threads may work at the same time; None is as many as there are processors

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]) -> None:
        self.f = f
        self.args = tuple(args)
        self.nfev = 0
        self.eps = EPSILON
        self.is_complex = False
        self.shape: tuple[int, ...] | None = None
        self._read = False
        self._seed: list[Any] = []

    def seed(self, value: Any) -> None:
        """The value of the first call that will be asked for, where it was already made."""
        self._seed = [value]

    def call(self, *xs: Any) -> Any:
        return self._seed.pop() if self._seed else self.f(*xs, *self.args)

    @property
    def divisible(self) -> bool:
        """Whether lanes may be sampled a part at a time."""
        return True

    alike = False  # whether lanes differ in one x and in nothing else that can be seen, so that some may stand for all

    @abstractmethod
    def centre(self, lanes: slice) -> Sampled:
        """f at the points themselves."""

    @abstractmethod
    def sample(self, lanes: Lanes, steps: NDArray[Any]) -> Sampled:
        """f at point + step * direction, one step a lane. Complex steps give the raw complex values."""

    def sample_nodes(self, lanes: Lanes, offsets: Sequence[float], h: NDArray[float64], out: NDArray[float64]) -> None:
        """f at point + t * h * direction for each offset t, into out (offsets, lanes, outputs)."""
        for t, samples in zip(offsets, out):
            samples[...] = self.sample(lanes, t * h)

    def parts(self, count: int) -> "list[Function] | None":
        """So many of this function for as many threads, or None where f is called from Python."""
        return None

    makes_rounds = False  # whether it has `rounds`

    def rounds(self, span: slice, *arguments: Any) -> tuple[int, int, int]:
        """The kernel `rounds` on lanes of the span: up to where it has come, and how many lanes are late, and odd."""
        raise NotImplementedError

    @property
    def along_axes(self) -> bool:
        """Whether each lane moves one number, by one for each unit of its parameter."""
        return False

    def difference(
        self, offsets: NDArray[float64], weights: NDArray[float64], divisor: float, n: int, h: NDArray[float64] | float
    ) -> Sampled:
        """sum(weights * samples) / (divisor * h**n) of every lane, nan where it is not finite, by kinds of function that
        have a faster way than to sample. h is (lanes,), or along axes a number: the rule of thumb at scale one."""
        raise NotImplementedError

    def read(self, value: NDArray[Any], count: int) -> Sampled:
        """Values of `count` lanes as float64 (count, outputs)."""
        is_complex = value.dtype.kind == "c"
        if not self._read:
            self._read = True
            self.eps = unit_roundoff(value.dtype)
            self.is_complex = is_complex
        elif is_complex and not self.is_complex:
            raise TypeError("f returned real values at some points and complex ones at others")
        flat = value.reshape(count, -1)
        if self.is_complex:
            return np.ascontiguousarray(flat, dtype=np.complex128).view(float64)
        return flat.astype(float64, copy=False)

    def same_shape(self, shape: tuple[int, ...]) -> None:
        """Every value has the shape of the first."""
        if self.shape is None:
            self.shape = shape
        elif shape != self.shape:
            raise ValueError(f"f returned shape {shape} at one point, but {self.shape} at the first")


def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """Spacing of numbers near one in what f returns, at least that of float64."""
    return max(float(np.finfo(dtype).eps), EPSILON) if dtype.kind in "fc" else EPSILON


def is_masked(value: Any) -> "TypeGuard[np.ma.MaskedArray[Any, Any]]":
    """Whether it is a masked array. numpy.ma, which takes long to import, is not needed to tell of plain arrays."""
    return isinstance(value, np.ndarray) and type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray)


def fits(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other."""
    return len(part) <= len(whole) and all(n in (1, m) for n, m in zip(reversed(part), reversed(whole), strict=False))


def numeric(value: Any, what: str = "f") -> NDArray[Any]:
    """The value as a numeric array, nan where it is masked, or a TypeError that says what came."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise TypeError(f"{what} must return numbers, got {type(value).__name__} {value!r:.60}") from None
    if array.dtype.kind not in "fciub":
        raise TypeError(f"{what} must return numbers, got {_described(value, array)}")
    if is_masked(value):  # what is behind the mask is no value
        array = np.ma.filled(value if array.dtype.kind in "fc" else value.astype(float64), np.nan)
    return array


def _described(value: Any, array: NDArray[Any]) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of dtype {array.dtype}"
    return f"{value!r:.60}" if value is None else f"{type(value).__name__} {value!r:.60}"
