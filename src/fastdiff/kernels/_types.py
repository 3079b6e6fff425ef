"""What the kernels of both backends take."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Real = NDArray[Any]  # float64 or float32


class Rule(Protocol):
    """fd_grid_rule, with the lengths taken from the arrays."""

    @property
    def n(self) -> int: ...
    @property
    def head(self) -> int: ...
    @property
    def tail(self) -> int: ...
    @property
    def index(self) -> NDArray[np.intp]: ...
    @property
    def weights(self) -> Real | None: ...
    @property
    def origin(self) -> int: ...
    @property
    def odd(self) -> bool: ...
    @property
    def central(self) -> Real: ...
    @property
    def first(self) -> int: ...
    @property
    def table(self) -> Real | None: ...


class Term(Protocol):
    """fd_grid_term; `a` and `out` differ in shape at most along the axis."""

    @property
    def a(self) -> Real: ...
    @property
    def out(self) -> Real: ...
    @property
    def axis(self) -> int: ...
    @property
    def add(self) -> bool: ...
    @property
    def rule(self) -> Rule: ...


Terms = tuple[Term, ...]
