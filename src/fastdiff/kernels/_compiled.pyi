from numpy import float64
from numpy.typing import NDArray

NAME: str
LEVEL: str
LEVELS: tuple[str, ...]
BUILD_INFO: dict[str, str]
__test__: dict[str, str]

def nodes(x: NDArray[float64], h: NDArray[float64], t: float, out: NDArray[float64]) -> None: ...
