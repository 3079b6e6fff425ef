from collections.abc import Callable, Sequence
from typing import Any

from numpy import float64, intp
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from ._types import Terms

NAME: str
LEVEL: str
LEVELS: tuple[str, ...]
BUILD_INFO: dict[str, str]
__test__: dict[str, str]

def nodes(x: NDArray[float64], h: NDArray[float64], t: float, out: NDArray[float64]) -> None: ...
def combine(
    samples: NDArray[float64],
    weights: NDArray[float64],
    denominator: float,
    h: NDArray[float64],
    n: int,
    out: NDArray[float64],
) -> None: ...
def by_octave(scale: NDArray[float64], table: NDArray[float64], out: NDArray[float64]) -> None: ...
def start(
    scale: NDArray[float64],
    k_unit: NDArray[float64],
    over: NDArray[float64],
    close: float,
    k: NDArray[float64],
    k_least: NDArray[float64],
) -> bool: ...
def believe(
    weights: NDArray[float64],
    samples: NDArray[float64],
    noise: NDArray[float64],
    which: NDArray[intp] | None = None,
) -> None: ...
def powers(k: NDArray[float64], h: NDArray[float64]) -> None: ...
def control(
    table: NDArray[float64],
    samples: NDArray[float64],
    eps: float,
    scale: NDArray[float64],
    k: NDArray[float64],
    k_unit: NDArray[float64],
    caps: NDArray[float64],
    noise: NDArray[float64] | None,
    side: int,
    level: int,
    fresh: bool,
    whole: bool,
    state: NDArray[float64],
    results: NDArray[float64],
    which: NDArray[intp] | None = None,
) -> None: ...
def next_round(
    state: NDArray[float64],
    status: NDArray[float64],
    scale: NDArray[float64],
    close: float,
    going: int,
    k: NDArray[float64],
    order: NDArray[intp],
    work: NDArray[intp],
    h: NDArray[float64],
) -> list[int]: ...
def gather(
    source: tuple[NDArray[float64], ...],
    to: tuple[NDArray[float64], ...],
    first: int,
    which: NDArray[intp],
    at: int,
) -> int: ...
def sweep(terms: Terms, stream: bool, part: int, parts: int) -> None: ...
def weights(nodes: NDArray[float64], at: int, n: int, scale: float, out: NDArray[float64]) -> None: ...

@disjoint_base
class Beside:
    def serve(self) -> None: ...
    def begin(self, *arguments: Any) -> None: ...
    def done(self) -> bool: ...
    def wait(self) -> None: ...
    def end(self) -> None: ...

@disjoint_base
class Follower:
    def __init__(
        self,
        levels: dict[int, list[tuple[NDArray[float64], NDArray[float64]]]],
        first_side: int,
        unit: int,
        close: float,
        closer: float,
    ) -> None: ...
    def scalar(
        self, f: Callable[..., Any], args: tuple[Any, ...], x: float | NDArray[float64]
    ) -> tuple[float64, float64, float, int, int] | Value | None: ...
    def points(
        self, f: Callable[..., Any], args: tuple[Any, ...], x: NDArray[float64], out: NDArray[float64]
    ) -> int | Value | None: ...

@disjoint_base
class Quotient:
    def __init__(
        self, offsets: NDArray[float64], weights: NDArray[float64], denominator: float, thumb: int
    ) -> None: ...
    def scalar(self, f: Callable[..., Any], args: tuple[Any, ...], x: float, h: float) -> float64 | Value | None: ...
    def point(
        self, f: Callable[..., Any], args: tuple[Any, ...], x: NDArray[float64], h: float
    ) -> NDArray[float64] | Value | None: ...

class Value:
    value: Any
    def __init__(self, value: Any) -> None: ...

def bind_loops(loops: list[Any]) -> Any: ...
def evaluate(tape: Any, inputs: list[NDArray[float64]], lo: int, hi: int, tile: int, out: NDArray[float64]) -> None: ...
def samples(
    tape: Any,
    inputs: list[NDArray[float64]],
    h: NDArray[float64],
    direction: NDArray[float64] | None,
    variant: int,
    offsets: NDArray[float64],
    lo: int,
    hi: int,
    out: NDArray[float64],
) -> None: ...
def rounds(
    tape: Any,
    inputs: list[NDArray[float64]],
    lo: int,
    hi: int,
    levels: Sequence[tuple[NDArray[float64], NDArray[float64], NDArray[float64]]],
    eps: float,
    scale: NDArray[float64],
    k_unit: NDArray[float64],
    over: NDArray[float64],
    noise: NDArray[float64] | None,
    close: float,
    caps: NDArray[float64],
    first_cap: int,
    side: int,
    whole: bool,
    found: NDArray[float64],
    late: tuple[NDArray[float64], ...],
    which: NDArray[intp],
    count: int,
    odd: NDArray[intp],
    odds: int,
    enough: int,
) -> tuple[int, int, int, int]: ...
def difference(
    tape: Any,
    inputs: list[NDArray[float64]],
    h: NDArray[float64] | None,
    unit: float,
    direction: NDArray[float64] | None,
    offsets: NDArray[float64],
    weights: NDArray[float64],
    divisor: float,
    n: int,
    first: int,
    last: int,
    lo: int,
    hi: int,
    tile: int,
    out: NDArray[float64],
) -> None: ...
