"""The operators: each picks directions, asks the engine for derivatives along them, and assembles the result."""

from collections.abc import Callable, Sequence
from itertools import product
from math import comb, factorial
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import ArrayLike, NDArray

from . import small, steps
from .arguments import MAX_N, Bounds, Options, Step, broadcast, check_callable, options, real, room, whole
from .assembly import Points, Quadratic, Total, choice, room_along
from .functions import Choice, Directions
from .lanes import Estimates, Lanes
from .progress import counted


def derivative(
    f: Callable[..., Any],
    x: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    n: int = 1,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Derivative of order n of an elementwise function, at every element of x.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, elementwise: each element of what it returns depends on the same element of x alone. It is
        called with arrays of the shape of x, or with one-dimensional arrays of some of its elements; with a scalar
        where x is one, so that functions made of `math` work. It must return the shape it was called with, or one
        number if it is constant. Values are real or complex; their dtype tells their roundoff.
    x : array_like
        Where to differentiate, of any shape. Never modified; f gets copies.
    method : {"central", "forward", "backward", "complex"}, optional
        On which side of x f is sampled: both, above, below. "complex" is the complex step, for first derivatives of
        analytic f that accept complex arrays; it has no cancellation and needs no choice of step.
    h : None, array_like or "scaled", optional
        None (default): the step is found for each element, until the error is as small as f's own noise allows.
        Numbers in units of x, broadcasting with it: the plain stencil with that step. "scaled": the plain stencil
        with ``eps**(1/(n + accuracy)) * max(abs(x), 1)``, rounded to a power of two.
    n : int, optional
        Order of the derivative, 1 to 10.
    accuracy : int, optional
        Order of the truncation error, 1 to 16: it falls like ``h**accuracy``. Central stencils have even orders and
        round up. By default it is chosen along with the step; for a given step it is the lowest of the method, 2 for
        central, 1 for forward and backward.
    richardson : int, optional
        Extrapolate this many times, 0 to 6, from steps h, h/2, h/4, ...
    args : tuple, optional
        Further arguments of f, passed as they are.
    bounds : (lo, hi), optional
        f is never called outside ``lo <= x <= hi``. Each broadcasts with x; infinity or None means no bound. Stencils
        turn to one side where they must.
    engine : {"auto", "python", "traced", "native"}, optional
        Who calls f. "auto" takes what fits: a C function is called from C; NumPy code is recorded once and replayed in
        C, with the same numbers, where the call is large and f can be recorded; else Python calls f. "python" never
        records; "traced" insists, and raises with the reason; `Result.engine` and `Result.reason` tell what ran.
    threads : int, optional
        Threads for work that does not run Python code: recorded and C functions, and the step control of large batches.
        None takes all processors that this process may use, where the call is large. A Python f is called from the
        calling thread.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called, and how fast, on stderr: by tqdm where it is installed. Meant for slow Python
        functions; of recorded and C functions Python sees few calls or none.

    Returns
    -------
    scalar, ndarray or Result
        Of the shape of x: float64, or complex128 if f returns complex values; a NumPy scalar for a scalar x.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    See Also
    --------
    partials, mixed_partial : elementwise functions of several arguments.
    gradient, jacobian : functions of a point.

    Notes
    -----
    With a step given, ``derivative(f, x, "central", h)`` is ``(f(x + h) - f(x - h)) / (2*h)`` to the last bit, and so
    are "forward" and "backward" the textbook quotients. Weights of all stencils [1]_ are computed in exact rational
    arithmetic and rounded once; extrapolation [2]_ is one more row of weights.

    With ``h=None`` five points are sampled at a first step, and their differences are read as Taylor coefficients
    scaled by powers of the step. Where the step suits f they fall geometrically down to the roundoff of f: that gives
    the truncation error, the roundoff, and the next step, or says that a further point or two will do. High
    differences that stay above roundoff and do not fall are noise [3]_, and enter step and error bar. If they fall at
    no step, f is not smooth there, and `Result.converged` is False. Elements that are done are not evaluated again.
    Of 131072 elements or more a thousand are tried beforehand, and tell the others the noise in f and the first step:
    that saves up to two thirds of the evaluations, and may change last digits within the error bar. Not where f captures
    arrays of x's shape, as then more than x differs between elements.

    Values of f that are not finite make a stencil turn to one side. Where none works the derivative is nan, its error
    inf, and no other element is affected. Floating-point warnings of f are silenced.

    The complex step is that of [4]_. With `full_output` a real difference checks that f is analytic.

    Safe to call from several threads at once as far as f is.

    References
    ----------
    .. [1] B. Fornberg, "Generation of finite difference formulas on arbitrarily spaced grids", Math. Comp. 51 (1988)
       699-706.
    .. [2] C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Adv. Eng. Software 4 (1982) 75-76.
    .. [3] J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011) 1292-1314.
    .. [4] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Rev. 40
       (1998) 110-112.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> from fastdiff import derivative
    >>> print(f"{derivative(math.log, 2.0):.10f}")
    0.5000000000
    >>> derivative(np.sin, [[0.0, 1.0], [2.0, 3.0]], n=2).round(6)  # elementwise, any shape
    array([[ 0.      , -0.841471],
           [-0.909297, -0.14112 ]])

    What is known of the result:

    >>> r = derivative(np.exp, 1.0, full_output=True)
    >>> abs(r.value - np.e) <= r.error < 1e-9, bool(r.converged)
    (np.True_, True)
    >>> r = derivative(abs, 0.0, full_output=True)  # a kink
    >>> bool(r.error >= 1.0), bool(r.converged)
    (True, False)

    A given step is a textbook quotient:

    >>> derivative(np.exp, 1.0, "forward", 0.5) == (np.exp(1.5) - np.exp(1.0)) / 0.5
    np.True_
    """
    if progress:
        return counted(derivative, locals())
    checked = options(method, h, n, accuracy, richardson, args, engine, threads, full_output)
    check_callable(f)
    points = real("x", x, copy=False)
    total = Total(checked)
    if points.ndim == 0 and bounds is None and small.applies(checked, f):
        quick = total.quick(lambda: small.derivative(f, points, checked, args), ())
        if quick is not None:
            return quick
    return _elementwise(choice(f, args, checked), [points], 0, total, bounds)


def partials(
    f: Callable[..., Any],
    *xs: ArrayLike,
    method: str = "central",
    h: Step = None,
    n: int = 1,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> tuple[Any, ...]:
    """Derivatives of order n of an elementwise function in each of its arguments.

    Parameters
    ----------
    f : callable
        ``f(x1, x2, ..., *args)``, elementwise in arguments that broadcast together: it returns their common shape.
        See `derivative` for how it is called.
    *xs : array_like
        Where to differentiate: one array for each argument. Never modified.
    method, h, n, accuracy, richardson : optional
        As for `derivative`, for every argument alike; h broadcasts with the common shape.
    args : tuple, optional
        Further arguments of f, not differentiated.
    bounds : (lo, hi), or a sequence of such pairs or None for each argument, optional
        f is never called outside.
    engine, threads : optional
        See `derivative`.
    full_output : bool, optional
        Return a tuple of `Result`.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    tuple
        One derivative for each argument, each of the common shape of the arguments.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    Every argument is a `derivative` of its own, with its own steps. Safe to call from several threads at once as far
    as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import partials
    >>> pressure = lambda volume, temperature: 8.314 * temperature / volume
    >>> by_volume, by_temperature = partials(pressure, [0.02, 0.04], 300.0)
    >>> by_volume.round(3)
    array([-6235500., -1558875.])
    >>> by_temperature.round(3)
    array([415.7 , 207.85])
    """
    if progress:
        return tuple(counted(partials, locals()))
    checked = options(method, h, n, accuracy, richardson, args, engine, threads, full_output)
    check_callable(f)
    points = _arguments(xs)
    chosen = choice(f, args, checked, len(points))
    if bounds is None and len(points) > 1:
        together = Total(checked).partials(chosen, points)
        if together is not None:
            return together
    return tuple(
        _elementwise(chosen, points, j, Total(checked), _bounds_of(bounds, j, len(points))) for j in range(len(points))
    )


def mixed_partial(
    f: Callable[..., Any],
    *xs: ArrayLike,
    orders: Sequence[int],
    method: str = "central",
    h: Step = None,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Mixed partial derivative of an elementwise function of several arguments.

    Parameters
    ----------
    f : callable
        ``f(x1, x2, ..., *args)``, elementwise in arguments that broadcast together: it returns their common shape.
        See `derivative` for how it is called.
    *xs : array_like
        Where to differentiate: one array for each argument. Never modified.
    orders : tuple of int
        How often to differentiate in each argument: (1, 2) is d3f / dx1 dx2**2. Their sum is 1 to 10.
    method : {"central", "forward", "backward"}, optional
        On which side of the arguments f is sampled. "complex" only if one argument alone is differentiated, once.
    h : None, array_like or "scaled", optional
        None finds the step. Numbers in units of the arguments, broadcasting with their common shape: the step in each.
    accuracy, richardson : int, optional
        Order of the truncation error; levels of extrapolation. See `derivative`.
    args : tuple, optional
        Further arguments of f, not differentiated.
    bounds : (lo, hi), or a sequence of such pairs or None for each argument, optional
        f is never called outside.
    engine, threads : optional
        See `derivative`.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    scalar, ndarray or Result
        Of the common shape of the arguments.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    A product of derivatives is a weighted sum of powers of sums [1]_, that is, of derivatives of the same total order
    along a few straight lines; the sides of their directions have the steps that suit each argument alone. Every
    order costs one to two digits, and the number of lines grows with the product of the orders.

    Safe to call from several threads at once as far as f is.

    References
    ----------
    .. [1] R. Kan, "From moments of sum to moments of product", J. Multivariate Anal. 99 (2008) 542-554.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import mixed_partial
    >>> f = lambda x, y: np.exp(2 * x) * np.sin(y)
    >>> value = mixed_partial(f, 0.5, 1.0, orders=(1, 2))
    >>> exact = -2 * np.exp(1.0) * np.sin(1.0)
    >>> print(f"{value:.6f} {exact:.6f}")
    -4.574711 -4.574711
    """
    if progress:
        return counted(mixed_partial, locals())
    check_callable(f)
    points = _arguments(xs)
    if not isinstance(orders, tuple | list) or len(orders) != len(points):
        raise ValueError(f"orders must give one order for each of the {len(points)} arguments, got {orders!r}")
    orders = [whole("orders", order, 0, None) for order in orders]
    if not 1 <= sum(orders) <= MAX_N:
        raise ValueError(f"orders must add up to 1 to {MAX_N}, got {orders!r}")
    checked = options(method, h, sum(orders), accuracy, richardson, args, engine, threads, full_output)
    shape = np.broadcast_shapes(*(x.shape for x in points))
    limits = [_bounds_of(bounds, j, len(points)) for j in range(len(points))]
    if np.count_nonzero(orders) == 1:
        j = int(np.argmax(orders))
        return _elementwise(choice(f, args, checked), points, j, Total(checked), limits[j])
    if method == "complex":
        raise ValueError("method='complex' gives first derivatives; mixed_partial takes differences")
    x = np.stack([np.broadcast_to(p, shape).reshape(-1) for p in points], axis=-1)
    space = np.stack(
        [np.stack([np.broadcast_to(r, shape).reshape(-1) for r in room(b, p)]) for b, p in zip(limits, points)], axis=-1
    )
    total, chosen = Total(checked), choice(f, args, checked)

    def along(moves: NDArray[float64], lanes: Lanes, h: NDArray[float64] | None) -> Estimates:
        function = chosen.elementwise(points, list(np.moveaxis(moves, -1, 0)))
        return total.solve(function, lanes, h, bounds is None)

    # The step at which each argument alone shows its derivative is the length of that side of the directions.
    length = np.ones(x.shape)
    for j in np.flatnonzero(orders).tolist():
        unit = np.zeros(x.shape)
        unit[:, j] = 1.0

        def alone(lanes: Lanes, unit: NDArray[float64] = unit) -> Estimates:
            return along(unit, lanes, None)

        length[:, j] = total.lengths(alone, x[:, j], space[..., j], shape)[:, 0]
    # Products of derivatives as sums of powers of sums (Kan, J. Multivariate Anal. 99 (2008) 542).
    value: Any = 0.0
    error = np.zeros(len(x))
    step = np.full(len(x), np.inf)
    with np.errstate(all="ignore"):
        scale = np.prod(length ** np.asarray(orders), axis=-1)
        for vector, weight in _kan(orders):
            moves = np.asarray(vector) * length
            found = along(moves, total.balanced(room_along(space, moves)), total.unit_step(len(x)))
            value = value + weight * found.value[:, 0]
            error = error + abs(weight) * found.error[:, 0]
            step = np.minimum(step, found.step[:, 0] * np.abs(moves).max(axis=-1))
            total.merge(found.status[:, 0])
        value, error = value / scale, error / scale
    return total.result(value, error, step, shape)


def _kan(orders: Sequence[int]) -> list[tuple[tuple[float, ...], float]]:
    """Directions and weights: the mixed derivative is the weighted sum of total-order derivatives along them."""
    total = sum(orders)
    table: dict[tuple[float, ...], float] = {}
    for v in product(*(range(order + 1) for order in orders)):
        vector = tuple(order / 2 - i for order, i in zip(orders, v))
        weight = (-1.0) ** sum(v) / factorial(total)
        for order, i in zip(orders, v):
            weight *= comb(order, i)
        first = next((u for u in vector if u), 0.0)
        if first < 0:  # the opposite direction has the same derivative up to sign
            vector, weight = tuple(-u for u in vector), weight * (-1.0) ** total
        if first:
            table[vector] = table.get(vector, 0.0) + weight
    return [(vector, weight) for vector, weight in table.items() if weight]


def gradient(
    f: Callable[..., Any],
    x: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    vectorized: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Gradient of a scalar function of a point.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes one point, an array of shape (d,), and returns a number. With `vectorized` it takes many
        points, (k, d) with any k, and returns (k,). Values are real or complex; their dtype tells their roundoff.
    x : array_like, shape (..., d)
        The last axis is the point, leading axes are a batch. Never modified; f gets copies.
    method : {"central", "forward", "backward", "complex"}, optional
        On which side of x f is sampled: both, above, below. "complex" is the complex step, for analytic f that
        accept complex arrays.
    h : None, array_like or "scaled", optional
        None (default): the step is found for each variable, until the error is as small as f's own noise allows.
        Numbers in units of x, broadcasting with it: the plain stencil with that step. "scaled": the plain stencil
        with ``eps**(1/(1 + accuracy)) * max(abs(x), 1)``, rounded to a power of two.
    accuracy : int, optional
        Order of the truncation error, 1 to 16. By default it is chosen along with the step; for a given step it is
        the lowest of the method, 2 for central, 1 for forward and backward.
    richardson : int, optional
        Extrapolate this many times, 0 to 6, from steps h, h/2, h/4, ...
    args : tuple, optional
        Further arguments of f, passed as they are.
    bounds : (lo, hi), optional
        f is never called outside ``lo <= x <= hi``. Each broadcasts with x; infinity or None means no bound. Stencils
        turn to one side where they must, for each variable by itself.
    vectorized : bool, optional
        f takes many points at once. It is called with as many as fit a few megabytes.
    engine : {"auto", "python", "vectorized", "traced", "native"}, optional
        Who calls f. "auto" takes what fits: a C function is called from C; NumPy code is recorded once and replayed in
        C, with the same numbers, where the call is large and f can be recorded; else Python calls f. "python" never
        records; "traced" insists, and raises with the reason; `Result.engine` and `Result.reason` tell what ran.
    threads : int, optional
        Threads for work that does not run Python code: recorded and C functions, and the step control of large batches.
        None takes all processors that this process may use, where the call is large. A Python f is called from the
        calling thread.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    ndarray or Result, shape (..., d)
        float64, or complex128 if f returns complex values.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    See Also
    --------
    jacobian : f with more than one value.
    jvp : the derivative along one direction, at the price of one variable.
    hessian, hvp : second derivatives.

    Notes
    -----
    A point of d variables takes f at the point and at four or more others for each variable; ``h="scaled"`` takes
    2 d, its forward stencil d + 1. How steps and errors are found is told at `derivative`.

    Safe to call from several threads at once as far as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import gradient
    >>> f = lambda x: x[0] ** 2 * np.sin(x[1])
    >>> gradient(f, [2.0, 1.0]).round(6)
    array([3.365884, 2.161209])
    >>> gradient(f, np.ones((5, 3, 2))).shape  # a batch of 5 times 3 points
    (5, 3, 2)

    The same f for many points at once, the points along the first axis:

    >>> many = lambda p: p[:, 0] ** 2 * np.sin(p[:, 1])
    >>> gradient(many, [[2.0, 1.0], [1.0, 1.0]], vectorized=True).round(6)
    array([[3.365884, 2.161209],
           [1.682942, 0.540302]])
    """
    if progress:
        return counted(gradient, locals())
    checked = options(method, h, 1, accuracy, richardson, args, engine, threads, full_output, vectorized)
    at = Points(f, x, args, bounds, vectorized, scalar_valued=True, checked=checked)
    total = Total(checked)
    function = at.function(at.axes()) if at.choice.may_replay(*at.points.shape, vectorized) else None
    if (
        not vectorized
        and bounds is None
        and small.applies(checked, f)
        and (not function or function.engine == "python")
    ):
        total.begin(function)
        quick = total.quick(lambda: small.gradient(f, at.points, checked, args), at.x.shape)
        if quick is not None:
            return quick
    found = total.solve(function or at.function(at.axes()), at.lanes_along_axes, at.step(checked), at.free, True)
    total.merge(found.status[:, 0])
    return total.result(found.value[:, 0], found.error[:, 0], found.step[:, 0], at.x.shape)


def jacobian(
    f: Callable[..., Any],
    x: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    vectorized: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Jacobian of a function of a point.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes one point, (d,), and returns (m,) or any other shape, the same at every point. With
        `vectorized` it takes many points, (k, d) with any k, and returns (k, m) or (k, ...).
    x : array_like, shape (..., d)
        The last axis is the point, leading axes are a batch. Never modified.
    method : {"central", "forward", "backward", "complex"}, optional
        On which side of x f is sampled; "complex" is the complex step, for analytic f.
    h : None, array_like or "scaled", optional
        None finds the step. Numbers (broadcasting with x) or "scaled", a rule of thumb: one plain stencil.
    accuracy, richardson : int, optional
        Order of the truncation error; levels of extrapolation. See `derivative`.
    args : tuple, optional
        Further arguments of f.
    bounds : (lo, hi), optional
        f is never called outside; they broadcast with x.
    vectorized : bool, optional
        f takes many points, (k, d), and returns (k, m) or (k, ...).
    engine, threads : optional
        See `gradient`.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    ndarray or Result, shape (..., m, d)
        The batch, the shape of f's value, the variables. float64, or complex128 if f returns complex values.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    Every entry has its own best step and error bar, from samples that the outputs share. Steps and errors are found
    as told at `derivative`. Safe to call from several threads at once as far as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import jacobian
    >>> polar = lambda p: [p[0] * np.cos(p[1]), p[0] * np.sin(p[1])]
    >>> jacobian(polar, [2.0, 0.5]).round(6)
    array([[ 0.877583, -0.958851],
           [ 0.479426,  1.755165]])
    >>> jacobian(lambda x: np.outer(x, x), np.ones((7, 3))).shape  # 7 points, values (3, 3), 3 variables
    (7, 3, 3, 3)
    """
    if progress:
        return counted(jacobian, locals())
    checked = options(method, h, 1, accuracy, richardson, args, engine, threads, full_output, vectorized)
    at = Points(f, x, args, bounds, vectorized, scalar_valued=False, checked=checked)
    total = Total(checked)
    function = at.function(at.axes())
    found = total.solve(function, at.lanes_along_axes, at.step(checked), at.free, True)
    return total.spread(found, at.batch, function.shape or (), (at.d,))


def jvp(
    f: Callable[..., Any],
    x: ArrayLike,
    v: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    vectorized: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Derivative of a function of a point along a direction: the Jacobian times v, without the Jacobian.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes one point, (d,), and returns a number, (m,) or any other shape. With `vectorized` it
        takes many points, (k, d) with any k, and returns (k,), (k, m) or (k, ...).
    x : array_like, shape (..., d)
        The last axis is the point, leading axes are a batch. Never modified.
    v : array_like
        The direction, of any length; broadcasts with x.
    method : {"central", "forward", "backward", "complex"}, optional
        On which side of x f is sampled; "complex" is the complex step, for analytic f.
    h : None, array_like or "scaled", optional
        None finds the step. Numbers (one for each point: the t of x + t v) or "scaled", a rule of thumb: one plain stencil.
    accuracy, richardson : int, optional
        Order of the truncation error; levels of extrapolation. See `derivative`.
    args : tuple, optional
        Further arguments of f.
    bounds : (lo, hi), optional
        f is never called outside; they broadcast with x.
    vectorized : bool, optional
        f takes many points, (k, d), and returns (k,), (k, m) or (k, ...).
    engine, threads : optional
        See `gradient`.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    scalar, ndarray or Result, shape (..., m)
        The batch and the shape of f's value. float64, or complex128 if f returns complex values.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    Takes as many evaluations as one variable of `jacobian`, whatever d is. Steps and errors are found as told at
    `derivative`. Safe to call from several threads at once as far as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import jvp
    >>> polar = lambda p: [p[0] * np.cos(p[1]), p[0] * np.sin(p[1])]
    >>> jvp(polar, [2.0, 0.5], [1.0, -1.0]).round(6)
    array([ 1.836434, -1.27574 ])
    >>> print(f"{jvp(lambda x: x @ x, np.arange(1000.0), np.ones(1000)):.6f}")  # 2 * sum(x)
    999000.000000
    """
    if progress:
        return counted(jvp, locals())
    checked = options(method, h, 1, accuracy, richardson, args, engine, threads, full_output, vectorized)
    at = Points(f, x, args, bounds, vectorized, scalar_valued=False, checked=checked)
    total = Total(checked)
    vectors = at.vectors("v", v)
    function = at.function(Directions(1, np.arange(at.d)[None], vectors[:, None]))
    found = total.solve(function, at.lanes_along(vectors), at.step_along(checked), at.free, True)
    return total.spread(found, at.batch, function.shape or (), ())


def hessian(
    f: Callable[..., Any],
    x: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    vectorized: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Hessian of a scalar function of a point.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes one point, (d,), and returns a number. With `vectorized` it takes many points, (k, d)
        with any k, and returns (k,).
    x : array_like, shape (..., d)
        The last axis is the point, leading axes are a batch. Never modified.
    method : {"central", "forward", "backward"}, optional
        On which side of x f is sampled.
    h : None, array_like or "scaled", optional
        None finds the step. Numbers (broadcasting with x) or "scaled", a rule of thumb: one plain stencil.
    accuracy, richardson : int, optional
        Order of the truncation error; levels of extrapolation. See `derivative`.
    args : tuple, optional
        Further arguments of f.
    bounds : (lo, hi), optional
        f is never called outside; they broadcast with x.
    vectorized : bool, optional
        f takes many points, (k, d), and returns (k,).
    engine, threads : optional
        See `gradient`.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    ndarray or Result, shape (..., d, d)
        Symmetric to the last bit. float64, or complex128 if f returns complex values.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    The diagonal holds second derivatives along the axes. Off it, ``2 u v`` is ``(u + v)**2 - u**2 - v**2``: one more
    second derivative along the diagonal of each pair of variables, whose sides have the steps that suit the two. So a
    point takes some 2 d (d + 1) evaluations or more, in memory that grows with the result alone. Steps and errors are
    found as told at `derivative`. Safe to call from several threads at once as far as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import hessian
    >>> f = lambda x: x[0] ** 3 * np.exp(x[1])
    >>> print(hessian(f, [2.0, 0.5]).round(4))
    [[19.7847 19.7847]
     [19.7847 13.1898]]
    """
    if progress:
        return counted(hessian, locals())
    checked = _second_order(method, h, accuracy, richardson, args, engine, threads, full_output, vectorized)
    at = Points(f, x, args, bounds, vectorized, scalar_valued=True, checked=checked)
    total = Total(checked)
    b, d = at.points.shape
    axes = total.solve(at.function(at.axes()), at.lanes_along_axes, at.step(checked), at.free)
    own = Quadratic.of(axes, b, d)
    length = total.own_lengths(axes, at)
    i, j = np.triu_indices(d, 1)
    sides = np.stack((length[:, i], length[:, j]), axis=-1)
    pairs = Directions(len(i), np.stack((i, j), axis=-1), sides)
    space = np.stack((at.space[..., i], at.space[..., j]), axis=-1)
    both = Quadratic.of(
        total.solve(at.function(pairs), total.balanced(room_along(space, sides).reshape(2, -1)), total.unit_step(b * len(i)), at.free),
        b, len(i),
    )  # fmt: skip
    with np.errstate(all="ignore"):
        # D(u + v)^2 = D(u)^2 + 2 D(u)D(v) + D(v)^2, each side in units of its own length.
        mixed = both.minus(own.times(length**2).take(i), own.times(length**2).take(j)).times(
            0.5 / (sides[..., 0] * sides[..., 1])
        )
    full = own.matrix(mixed, i, j)
    total.merge(full.status)
    return total.result(full.value.reshape(-1), full.error.reshape(-1), full.step.reshape(-1), (*at.batch, d, d))


def hvp(
    f: Callable[..., Any],
    x: ArrayLike,
    v: ArrayLike,
    method: str = "central",
    h: Step = None,
    *,
    accuracy: int | None = None,
    richardson: int | None = None,
    args: Sequence[Any] = (),
    bounds: Bounds | None = None,
    vectorized: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    full_output: bool = False,
    progress: bool = False,
) -> Any:
    """Hessian of a scalar function times a vector, without the Hessian.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes one point, (d,), and returns a number. With `vectorized` it takes many points, (k, d)
        with any k, and returns (k,).
    x : array_like, shape (..., d)
        The last axis is the point, leading axes are a batch. Never modified.
    v : array_like
        The vector, of any length; broadcasts with x.
    method : {"central", "forward", "backward"}, optional
        On which side of x f is sampled.
    h : None, array_like or "scaled", optional
        None finds the step. A number or "scaled", a rule of thumb: one plain stencil.
    accuracy, richardson : int, optional
        Order of the truncation error; levels of extrapolation. See `derivative`.
    args : tuple, optional
        Further arguments of f.
    bounds : (lo, hi), optional
        f is never called outside; they broadcast with x.
    vectorized : bool, optional
        f takes many points, (k, d), and returns (k,).
    engine, threads : optional
        See `gradient`.
    full_output : bool, optional
        Return a `Result`: value, error bar, step, evaluations, and whether and why not it converged.
    progress : bool, optional
        Show how often f was called; see `derivative`.

    Returns
    -------
    ndarray or Result, shape (..., d)
        float64, or complex128 if f returns complex values.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or f returned a wrong shape or type; the message names it and what it takes. What f
        raises itself passes through.

    Notes
    -----
    From second derivatives along v, along each axis, and along their sums: the evaluations grow with d, where those of
    `hessian` grow with its square. Steps and errors are found as told at `derivative`. Safe to call from several
    threads at once as far as f is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import hvp
    >>> f = lambda x: x[0] ** 3 * np.exp(x[1])
    >>> hvp(f, [2.0, 0.5], [1.0, 2.0]).round(4)
    array([59.354 , 46.1642])
    """
    if progress:
        return counted(hvp, locals())
    checked = _second_order(method, h, accuracy, richardson, args, engine, threads, full_output, vectorized)
    at = Points(f, x, args, bounds, vectorized, scalar_valued=True, checked=checked)
    total = Total(checked)
    vectors = at.vectors("v", v)
    b, d = at.points.shape
    axes = total.solve(at.function(at.axes()), at.lanes_along_axes, at.step(checked), at.free)
    own = Quadratic.of(axes, b, d)
    length = total.own_lengths(axes, at)
    lanes = at.lanes_along(vectors)
    line = total.solve(
        at.function(Directions(1, np.arange(d)[None], vectors[:, None])), lanes, at.step_along(checked), at.free
    )
    far = total.line_lengths(line, lanes, at)
    moves = np.repeat((far[:, None] * vectors)[:, None], d, axis=1)
    moves[:, np.arange(d), np.arange(d)] += length
    lanes = total.balanced(room_along(at.space[:, :, None], moves).reshape(2, -1))
    function = at.function(Directions(d, np.broadcast_to(np.arange(d), (d, d)), moves))
    both = Quadratic.of(total.solve(function, lanes, total.unit_step(b * d), at.free), b, d)
    with np.errstate(all="ignore"):
        along = Quadratic.of(line, b, 1).times(far[:, None] ** 2)
        found = both.minus(own.times(length**2), along).times(0.5 / (length * far[:, None]))
    still = ~vectors.any(axis=-1, keepdims=True) & (own.status != steps.NOT_FINITE_HERE)
    total.merge(np.where(still, steps.CONVERGED, found.status))
    value = np.where(still, 0.0, found.value)
    error = np.where(still, 0.0, found.error)
    return total.result(value.reshape(-1), error.reshape(-1), found.step.reshape(-1), at.x.shape)


def _arguments(xs: Sequence[ArrayLike]) -> list[NDArray[float64]]:
    if not xs:
        raise TypeError("at least one argument of f is needed after f")
    points = [real(f"argument {j + 1}", x, copy=False) for j, x in enumerate(xs)]
    try:
        np.broadcast_shapes(*(x.shape for x in points))
    except ValueError:
        raise ValueError(f"the arguments must broadcast together, got shapes {[x.shape for x in points]}") from None
    return points


def _bounds_of(bounds: Bounds | None, j: int, count: int) -> Bounds | None:
    """The bounds of one argument: of a single pair for all, or of one (pair or None) for each."""
    if bounds is None or count == 1:
        return bounds
    if not isinstance(bounds, Sequence | np.ndarray):
        raise ValueError(f"bounds must be a pair (lo, hi), got {bounds!r:.80}")
    if len(bounds) == count and all(pair is None or (np.ndim(pair) > 0 and np.shape(pair)[0] == 2) for pair in bounds):
        return bounds[j]  # type: ignore[return-value]
    if len(bounds) == 2:
        return bounds
    raise ValueError(f"bounds must be one pair (lo, hi), or one pair or None for each of the {count} arguments")


def _second_order(method: str, h: Step, accuracy: int | None, richardson: int | None, *rest: Any) -> Options:
    if method == "complex":
        raise ValueError(
            "method='complex' gives first derivatives; second ones take 'central', 'forward' or 'backward'"
        )
    return options(method, h, 2, accuracy, richardson, *rest)


def _elementwise(
    chosen: Choice, points: Sequence[NDArray[float64]], j: int, total: "Total", bounds: Bounds | None
) -> Any:
    """The derivative of an elementwise function in its j-th argument."""
    checked = total.checked
    shape = np.broadcast_shapes(*(x.shape for x in points))
    x = np.broadcast_to(points[j], shape).reshape(-1)
    space = None
    if bounds is not None:
        space = np.stack([np.broadcast_to(r, shape).reshape(-1) for r in room(bounds, points[j])])
    h = None
    if isinstance(checked.h, np.ndarray):
        h = broadcast("h", checked.h, shape).reshape(-1)
    function = chosen.elementwise(points, [float(i == j) for i in range(len(points))])
    found = total.solve(function, lambda: Lanes.along_axes(x, space), h, bounds is None, True)
    total.merge(found.status[:, 0])
    return total.result(found.value[:, 0], found.error[:, 0], found.step[:, 0], shape)
