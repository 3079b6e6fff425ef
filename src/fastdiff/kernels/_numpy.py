"""The kernels of csrc in NumPy: same functions, same bits, no compiler."""

import numpy as np
from numpy import float64
from numpy.typing import NDArray

NAME = "numpy"
LEVEL = "numpy"
LEVELS: tuple[str, ...] = (LEVEL,)
BUILD_INFO: dict[str, str] = {}


def nodes(x: NDArray[float64], h: NDArray[float64], t: float, out: NDArray[float64]) -> None:
    """out = x + t*h, two roundings. All of one length; out overlaps no input."""
    np.multiply(h, t, out=out)
    np.add(x, out, out=out)
