"""Checks of derivatives as assertions, for test suites.

Each takes the arguments of the `fastdiff` function of the same kind and returns its `Report` if the derivative is
correct. Otherwise it raises AssertionError, whose message is the report's table: for a derivative that is wrong, and for
one that could not be judged, too, as a test that saw nothing must not pass. ``inconclusive=True`` lets those pass.

>>> import numpy as np
>>> from fastdiff.testing import assert_gradient
>>> report = assert_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, [1.0, 2.0])
>>> assert_gradient(lambda x: np.sum(x**3), lambda x: 2 * x**2, [1.0, 2.0])
Traceback (most recent call last):
    ...
AssertionError: gradient WRONG: 2 of 2 entries, ...
"""

from collections.abc import Callable
from typing import Any

from . import checking
from .checking import Report

__all__ = ["assert_gradient", "assert_hessian", "assert_jacobian", "assert_jvp", "assert_vjp"]


def _asserted(report: Report, inconclusive: bool) -> Report:
    __tracebackhide__ = True
    if not (report.ok or (inconclusive and report.verdict == "inconclusive")):
        raise AssertionError(str(report))
    return report


def assert_gradient(f: Callable[..., Any], *given: Any, inconclusive: bool = False, **options: Any) -> Report:
    """Assert that a gradient is right: ``assert_gradient(f, grad, x)``, or ``(f, x)`` for that of a framework.

    Parameters
    ----------
    f, grad, x, and options
        As for `fastdiff.check_gradient`, with arrays of the shapes given there.
    inconclusive : bool, optional
        Let points pass at which there is nothing to be said, such as kinks.

    Returns
    -------
    Report

    Raises
    ------
    AssertionError
        The gradient is wrong, or could not be judged. The message is the table of the report.
    ValueError, TypeError
        An argument does not fit.

    Notes
    -----
    Safe to call from several threads at once as far as f and grad are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff.testing import assert_gradient
    >>> assert_gradient(lambda x: np.sum(np.exp(x)), np.exp, [0.0, 1.0]).verdict
    'correct'
    """
    __tracebackhide__ = True
    return _asserted(checking.check_gradient(f, *given, **options), inconclusive)


def assert_jacobian(f: Callable[..., Any], *given: Any, inconclusive: bool = False, **options: Any) -> Report:
    """Assert that a Jacobian is right; see `fastdiff.check_jacobian` for arguments and shapes, `assert_gradient` for the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff.testing import assert_jacobian
    >>> assert_jacobian(np.sin, lambda x: np.diag(np.cos(x)), [0.0, 1.0]).verdict
    'correct'
    """
    __tracebackhide__ = True
    return _asserted(checking.check_jacobian(f, *given, **options), inconclusive)


def assert_hessian(f: Callable[..., Any], *given: Any, inconclusive: bool = False, **options: Any) -> Report:
    """Assert that a Hessian is right; see `fastdiff.check_hessian` for arguments and shapes, `assert_gradient` for the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff.testing import assert_hessian
    >>> assert_hessian(lambda x: np.sum(x**3), lambda x: np.diag(6 * x), [1.0, 2.0]).verdict
    'correct'
    """
    __tracebackhide__ = True
    return _asserted(checking.check_hessian(f, *given, **options), inconclusive)


def assert_jvp(f: Callable[..., Any], *given: Any, inconclusive: bool = False, **options: Any) -> Report:
    """Assert that a forward derivative is right; see `fastdiff.check_jvp` for arguments, `assert_gradient` for the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff.testing import assert_jvp
    >>> assert_jvp(np.sin, lambda x, v: np.cos(x) * v, [0.0, 1.0]).verdict
    'correct'
    """
    __tracebackhide__ = True
    return _asserted(checking.check_jvp(f, *given, **options), inconclusive)


def assert_vjp(f: Callable[..., Any], *given: Any, inconclusive: bool = False, **options: Any) -> Report:
    """Assert that a reverse derivative is right; see `fastdiff.check_vjp` for arguments, `assert_gradient` for the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff.testing import assert_vjp
    >>> assert_vjp(np.sin, lambda x, u: np.cos(x) * u, [0.0, 1.0]).verdict
    'correct'
    """
    __tracebackhide__ = True
    return _asserted(checking.check_vjp(f, *given, **options), inconclusive)
