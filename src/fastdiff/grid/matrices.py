"""Derivatives of sampled data as sparse matrices."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

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
    sizes = tuple(inputs.integer(k, "shape", 0, None) for k in given)
    if not sizes:
        raise ValueError("shape must have at least one axis, got ()")
    along = inputs.normal_axis(axis, len(sizes))
    (line,) = inputs.lines(sizes, (along,), (spacing,), n, accuracy, boundary, period, unit)
    rows, columns, weights = _entries(line)
    one = sparse.csr_array((weights, (rows, columns)), shape=(line.results, line.samples))
    outer, inner = prod(sizes[:along]), prod(sizes[along + 1 :])
    whole = sparse.kron(sparse.eye_array(outer), sparse.kron(one, sparse.eye_array(inner)), format="csr")
    return whole


def _entries(line: Line) -> "tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]":
    """Row, column and weight of every sample in every result."""
    rule = line.rule(0, line.results, np.dtype(np.float64))
    rows, columns, weights = [], [], []
    order = [0, *(sign * j for j in range(1, len(rule.central) + 1) for sign in (1, -1))]
    central = [0.0 if rule.odd else -2 * float(rule.central.sum())]
    for w in rule.central:
        central += [float(w), -float(w) if rule.odd else float(w)]
    for i in range(rule.n):
        if rule.head <= i < rule.n - rule.tail:
            if rule.table is None:
                index, w = [i + rule.origin + k for k in order], central
            else:
                index = [i + rule.origin + rule.first + k for k in range(len(rule.table))]
                w = list(rule.table[:, i])
        else:
            row = i if i < rule.head else i - (rule.n - rule.tail) + rule.head
            index = list(rule.index[row])
            w = central if rule.weights is None else list(rule.weights[row])
        keep = [k for k, weight in enumerate(w) if weight != 0]
        rows += [i] * len(keep)
        columns += [index[k] for k in keep]
        weights += [w[k] for k in keep]
    return np.array(rows, np.intp), np.array(columns, np.intp), np.array(weights)
