from numpy import float64
from numpy.typing import NDArray

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
def start(caps: NDArray[float64], side: int, state: NDArray[float64]) -> None: ...
def control(
    table: NDArray[float64],
    samples: NDArray[float64],
    eps: float,
    scale: NDArray[float64],
    k: NDArray[float64],
    k_unit: NDArray[float64],
    k_least: NDArray[float64],
    caps: NDArray[float64],
    side: int,
    level: int,
    state: NDArray[float64],
) -> None: ...
