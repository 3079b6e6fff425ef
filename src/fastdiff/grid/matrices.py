"""Derivatives of sampled data as sparse matrices."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import whole
from . import inputs
from .lines import Line

if TYPE_CHECKING:
    from numpy.typing import NDArray


def matrix(
    shape: int | tuple[int, ...],
    spacing: Any = 1.0,
    axis: int = -1,
    *,
    n: int = 1,
    accuracy: int = 2,
    boundary: str = "one-sided",
    period: float | None = None,
    unit: str | None = None,
) -> Any:
    """The matrix that `derivative` multiplies the samples with.

    Parameters
    ----------
    shape : int or tuple of ints
        Of the array of samples.
    spacing, axis, n, accuracy, boundary, period, unit
        As in `derivative`.

    Returns
    -------
    scipy.sparse.csr_array of float64, (number of results, number of samples), for raveled (C order) arrays:
    ``(matrix(a.shape) @ a.ravel()).reshape(...)`` is `derivative(a)` up to roundoff. Sums of such matrices are
    Laplacians and the like.

    Raises
    ------
    ImportError
        SciPy is not installed.
    ValueError, TypeError
        As `derivative`.

    Notes
    -----
    Thread-safe.

    Examples
    --------
    >>> from fastdiff import grid
    >>> grid.matrix(4, n=1).toarray()
    array([[-1.5,  2. , -0.5,  0. ],
           [-0.5,  0. ,  0.5,  0. ],
           [ 0. , -0.5,  0. ,  0.5],
           [ 0. ,  0.5, -2. ,  1.5]])
    """
    try:
        from scipy import sparse  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError("fastdiff.grid.matrix needs SciPy, which is not installed") from error
    given = shape if isinstance(shape, tuple) else (shape,)
    sizes = tuple(whole("shape", k, 0, None) for k in given)
    if not sizes:
        raise ValueError("shape must have at least one axis, got ()")
    along = inputs.normal_axis(axis, len(sizes))
    (line,) = inputs.lines(sizes, (along,), (spacing,), n, accuracy, boundary, period, unit)
    rows, columns, weights = _entries(line)
    one = sparse.csr_array((weights, (rows, columns)), shape=(line.results, line.samples))
    outer, inner = prod(sizes[:along]), prod(sizes[along + 1 :])
    return sparse.kron(sparse.eye_array(outer), sparse.kron(one, sparse.eye_array(inner)), format="csr")


def _entries(line: Line) -> "tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]":
    """Row, column and weight of every sample in every result."""
    rule = line.rule(0, line.results, np.dtype(np.float64))
    inside = np.arange(rule.head, rule.n - rule.tail)
    ends = np.concatenate([np.arange(rule.head), np.arange(rule.n - rule.tail, rule.n)])
    offsets = np.array([0, *(sign * j for j in range(1, len(rule.central) + 1) for sign in (1, -1))])
    pairs = np.stack([rule.central, -rule.central if rule.odd else rule.central], axis=1)
    central = np.concatenate([[-pairs.sum()], pairs.ravel()])
    if rule.table is None:
        weights = np.tile(central, (len(inside), 1))
    else:
        offsets = rule.first + np.arange(len(rule.table))
        weights = rule.table[:, inside].T
    rows = [np.repeat(inside, len(offsets)), np.repeat(ends, rule.index.shape[1])]
    columns = [(inside[:, np.newaxis] + rule.origin + offsets).ravel(), rule.index.ravel()]
    at_ends = np.tile(central, len(ends)) if rule.weights is None else rule.weights.ravel()
    found = np.concatenate(rows), np.concatenate(columns), np.concatenate([weights.ravel(), at_ends])
    keep = found[2] != 0
    return found[0][keep], found[1][keep], found[2][keep]
