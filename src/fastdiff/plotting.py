"""Pictures of functions and their derivatives: axes in, axes out.

Matplotlib is imported on use: ``pip install "fastdiff-numerics[plot]"``. Where no axes are given a new figure is made, which
is the only use of pyplot; nothing is ever shown or saved. Colours are those of Okabe and Ito, viridis, and purple against
orange, which people see alike and printers print.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from textwrap import fill
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import ArrayLike, NDArray

from .arguments import real
from .checking import Report
from .operators import derivative, partials
from .optional import needed
from .symbolic import Function

__all__ = ["plot_check", "plot_derivative", "plot_gradient", "plot_partials", "plot_step_sweep"]

_BLACK, _ORANGE, _SKY, _GREEN, _BLUE, _VERMILION, _PURPLE, _GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C",
)  # fmt: skip
_METHODS: dict[str, tuple[str, str, Any]] = {  # colour, marker, dashes: lines of two that agree are both seen
    "central": (_BLUE, "o", "-"),
    "forward": (_VERMILION, ">", "-"),
    "backward": (_GREEN, "<", (0, (4, 4))),
    "complex": (_PURPLE, "s", (0, (4, 4))),
}
_MARKERS = 24  # of each method, at most, so that they stay apart


def plot_derivative(
    f: Callable[..., Any],
    x: ArrayLike,
    exact: Callable[..., Any] | ArrayLike | None = None,
    methods: Sequence[str] = ("central", "forward", "backward"),
    h: Any = None,
    *,
    n: int = 1,
    ax: Any = None,
) -> Any:
    """Plot an elementwise function, its derivative, and what finite differences make of it.

    Parameters
    ----------
    f : callable
        As `fastdiff.derivative` takes it.
    x : array_like
        Where; one number or more, in any order. Lines are drawn through these points.
    exact : callable, array_like, or None, optional
        The exact derivative, or its values at x. None leaves it out; of a `fastdiff.symbolic` function it is known.
    methods : sequence of {"central", "forward", "backward", "complex"}, optional
        Each gets markers of its own, on every k-th point in turn where there are many.
    h : optional
        As for `fastdiff.derivative`: None finds the step.
    n : int, optional
        Order of the derivative.
    ax : matplotlib.axes.Axes, optional
        Where to draw. None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    ValueError, TypeError
        As `fastdiff.derivative`; or `exact` does not have the shape of x.

    Notes
    -----
    Where the step is found, bars show the error, mostly smaller than a line is wide, and crosses mark points where it
    has not converged. What is not finite leaves a gap. Safe to call from several threads only where each has its axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from fastdiff.plotting import plot_derivative
    >>> fig, ax = plt.subplots()
    >>> ax = plot_derivative(np.tanh, np.linspace(-3, 3, 61), lambda x: 1 - np.tanh(x) ** 2, ["central"], ax=ax)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['$f$', "$f'$, exact", "$f'$, central"]
    >>> plt.close(fig)
    """
    methods = _several(methods)
    points = np.sort(real("x", x).reshape(-1))
    if isinstance(exact, list | tuple | np.ndarray | float | int):  # values come in the order of x
        values = real("exact", exact).reshape(-1)
        if values.size != points.size:
            raise ValueError(f"exact must have the shape of x, {np.shape(x)}, got {np.shape(exact)}")
        truth: NDArray[Any] | None = values[np.argsort(real("x", x).reshape(-1), kind="stable")]
    else:
        own = _known(f, exact, n)
        truth = None if own is None else _values(own, points)
    f = _of_arrays(f, points)
    ax = _axes(ax)
    name = _primed("f", n)
    alone = "o" if points.size == 1 else None
    ax.plot(points, _values(f, points), color=_BLACK, marker=alone, markersize=4, label="$f$")
    if truth is not None:
        ax.plot(points, truth, color=_ORANGE, linewidth=3, alpha=0.7, marker=alone, label=f"${name}$, exact")
    every = -(-points.size * len(methods) // _MARKERS)
    lost = np.zeros(points.size, bool)
    for i, method in enumerate(methods):
        r = derivative(f, points, method, h, n=n, full_output=True)
        value = np.real(r.value)
        colour, marker, _ = _METHODS[method]
        ax.plot(
            points, value, linestyle="none", marker=marker, color=colour, markersize=4.5, fillstyle="none",
            markevery=(i * every // len(methods) if points.size > 1 else 0, max(every, 1)), label=f"${name}$, {method}",
        )  # fmt: skip
        if h is None:
            known = np.isfinite(r.error) & np.isfinite(value)
            ends = np.stack([value - r.error, value + r.error], axis=-1)[known]
            bars = [[(at, end) for end in both] for at, both in zip(points[known], ends)]
            lines = needed("matplotlib.collections", "plot").LineCollection(bars, color=colour, linewidth=1)
            ax.add_collection(lines, autolim=False)  # a wide one reaches out of the picture, and does not rule it
            lost |= ~r.converged & np.isfinite(value)
    if lost.any():
        ax.plot(points[lost], value[lost], linestyle="none", marker="x", color=_BLACK, label="not converged")
    return _finished(ax, "$x$", f"$f$, ${name}$")


def plot_partials(
    f: Callable[..., Any],
    x: ArrayLike,
    y: ArrayLike,
    *,
    kind: str = "contour",
    exact: Sequence[Callable[..., Any]] | None = None,
    names: tuple[str, str] = ("x", "y"),
    axes: Sequence[Any] | None = None,
) -> NDArray[Any]:
    r"""Plot a function of two variables and each of its partial derivatives, side by side.

    Parameters
    ----------
    f : callable
        ``f(x, y)``, elementwise, as `fastdiff.partials` takes it.
    x, y : array_like
        Two vectors that span a grid, or the arrays of `numpy.meshgrid`.
    kind : {"contour", "surface"}, optional
        Contours, or surfaces in three dimensions.
    exact : pair of callables, optional
        Partial derivatives to draw in place of the estimated ones.
    names : pair of str, optional
        Of the variables, for the labels.
    axes : sequence of three matplotlib.axes.Axes, optional
        Where to draw; for surfaces they must be three-dimensional. None makes a figure.

    Returns
    -------
    ndarray of three matplotlib.axes.Axes
        Of f, of its derivative by x, and of that by y.

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    ValueError, TypeError
        As `fastdiff.partials`; or an argument does not fit.

    Notes
    -----
    What is not finite stays white. Safe to call from several threads only where each has its axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from fastdiff.plotting import plot_partials
    >>> axes = plot_partials(lambda x, y: x**2 * y + y, np.linspace(-2, 2, 41), np.linspace(-1, 1, 41))
    >>> [ax.get_title() for ax in axes]
    ['$f$', '$\\partial f/\\partial x$', '$\\partial f/\\partial y$']
    >>> plt.close(axes[0].figure)
    """
    if kind not in ("contour", "surface"):
        raise ValueError(f"kind must be 'contour' or 'surface', got {kind!r}")
    xs, ys = _grid(x, y)
    f = _of_arrays(f, xs, ys)
    fields = [_values(f, xs, ys)]
    fields += [np.real(d) for d in partials(f, xs, ys)] if exact is None else [_values(d, xs, ys) for d in exact]
    if axes is None:
        view = {"projection": "3d"} if kind == "surface" else {}
        figure, axes = _pyplot().subplots(
            1, 3, figsize=(10.5, 3.3), layout="constrained", subplot_kw=view, sharex=not view, sharey=not view
        )
        if view:  # labels of the vertical axes stand outside
            figure.get_layout_engine().set(w_pad=0.15, wspace=0.08)
    made = np.asarray(axes, dtype=object).reshape(-1)
    if len(made) != 3:
        raise ValueError(f"axes must be three, got {len(made)}")
    titles = ["$f$", *(rf"$\partial f/\partial {name}$" for name in names)]
    for ax, field, title, signed in zip(made, fields, titles, (False, True, True)):
        if kind == "surface":
            _surface(ax, xs, ys, field)
        else:
            _contours(ax, xs, ys, field, signed)
        ax.set(xlabel=f"${names[0]}$", ylabel=f"${names[1]}$", title=title)
        if kind == "contour":
            ax.label_outer()
    return made


def plot_gradient(
    f: Callable[..., Any],
    x: ArrayLike,
    y: ArrayLike,
    *,
    arrows: int = 15,
    unit: bool = False,
    exact: Sequence[Callable[..., Any]] | None = None,
    names: tuple[str, str] = ("x", "y"),
    ax: Any = None,
) -> Any:
    """Plot the gradient of a function of two variables: arrows over its contours.

    Parameters
    ----------
    f : callable
        ``f(x, y)``, elementwise, as `fastdiff.partials` takes it.
    x, y : array_like
        Two vectors that span a grid, or the arrays of `numpy.meshgrid`.
    arrows : int, optional
        At most so many along each axis.
    unit : bool, optional
        Arrows of one length, which tell directions alone: for gradients of very different sizes.
    exact : pair of callables, optional
        Partial derivatives to draw in place of the estimated ones.
    names : pair of str, optional
        Of the variables, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw. None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    ValueError, TypeError
        As `fastdiff.partials`; or an argument does not fit.

    Notes
    -----
    Arrows point where f grows fastest, in units of the axes. Where the gradient is not finite there is none. Safe to
    call from several threads only where each has its axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from fastdiff.plotting import plot_gradient
    >>> ax = plot_gradient(lambda x, y: np.sin(np.hypot(x, y)), np.linspace(-4, 4, 60), np.linspace(-4, 4, 60))
    >>> ax.get_title()
    '$f$ and its gradient'
    >>> plt.close(ax.figure)
    """
    xs, ys = _grid(x, y)
    f = _of_arrays(f, xs, ys)
    some = tuple(np.unique(np.linspace(0, size - 1, min(size, arrows)).round().astype(int)) for size in xs.shape)
    tails = xs[np.ix_(*some)], ys[np.ix_(*some)]
    slopes = partials(f, *tails) if exact is None else [_values(d, *tails) for d in exact]
    u, v = (np.real(d) for d in slopes)
    size = np.hypot(u, v)
    with np.errstate(all="ignore"):
        largest = np.max(size, initial=0.0, where=np.isfinite(size))
        scale = size if unit else largest
        u, v = (np.where(np.isfinite(size) & (size > 0), d / scale, np.nan) for d in (u, v))
    ax = _axes(ax, (5.2, 4.2))
    _contours(ax, xs, ys, _values(f, xs, ys), signed=False)
    shown = np.isfinite(u)
    if shown.any():
        ax.quiver(
            tails[0][shown], tails[1][shown], u[shown], v[shown], angles="xy", color="white", edgecolor="black",
            linewidth=0.5, width=0.006, pivot="mid", scale=max(map(len, some)) * (1.1 if unit else 0.7),
            scale_units="width",
        )  # fmt: skip
    sides = np.ptp(xs), np.ptp(ys)
    if 0.5 < sides[0] / max(sides[1], 1e-300) < 2:
        ax.set_aspect("equal")
    ax.set(xlabel=f"${names[0]}$", ylabel=f"${names[1]}$", title="$f$ and its gradient")
    return ax


def plot_step_sweep(
    f: Callable[..., Any],
    x: float,
    exact: Callable[..., Any] | float | None = None,
    methods: Sequence[str] = ("central", "forward", "backward"),
    *,
    n: int = 1,
    h: ArrayLike | None = None,
    ax: Any = None,
) -> Any:
    r"""Plot the error of finite differences against the step: truncation on one side, roundoff on the other.

    Parameters
    ----------
    f : callable
        As `fastdiff.derivative` takes it.
    x : float
        Where.
    exact : callable or float, optional
        The exact derivative, or its value at x. None takes what a `fastdiff.symbolic` function knows, or else the
        estimate with ``h=None``, whose error bar then limits what can be seen.
    methods : sequence of {"central", "forward", "backward", "complex"}, optional
        A line for each.
    n : int, optional
        Order of the derivative.
    h : array_like, optional
        The steps. By default 97 from 1e-16 to 1, times the size of x where that is above one.
    ax : matplotlib.axes.Axes, optional
        Where to draw. None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
        Logarithmic along both axes.

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    ValueError, TypeError
        As `fastdiff.derivative`.

    Notes
    -----
    Dashed lines show how the truncation error grows, as a power of h fitted to the errors, and a dotted one how the
    roundoff does, ``eps * abs(f) / h**n``, to which ``eps * abs(x f') / h`` is added for n = 1: x + h is rounded, too. The star is the step that ``h=None`` chose, with its error; a bar goes up to
    the error that was claimed. Its stencil has higher order, so that it lies below the lines. An error of exactly zero
    has no place on a logarithmic axis and is drawn at the bottom. Safe to call from several threads only where each
    has its axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from fastdiff.plotting import plot_step_sweep
    >>> ax = plot_step_sweep(np.exp, 1.0, np.e, ["forward", "central"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['forward', 'central', '$h=$None', '$\\propto h$', '$\\propto h^2$', 'roundoff']
    >>> plt.close(ax.figure)
    """
    methods, place = _several(methods), real("x", x)
    if place.size != 1:
        raise ValueError(f"x must be one number, got shape {place.shape}")
    at = float(place.reshape(()))
    if exact is not None and not callable(exact) and np.ndim(exact):
        raise ValueError(f"exact must be a function or one number, got {exact!r:.60}")
    chosen = derivative(f, at, n=n, full_output=True)
    exact = _known(f, exact, n)
    truth = float(np.real(chosen.value)) if exact is None else float(exact(at)) if callable(exact) else float(exact)
    steps = np.logspace(-16, 0, 97) * max(abs(at), 1.0) if h is None else np.sort(real("h", h).reshape(-1))
    with np.errstate(all="ignore"):
        floor = np.finfo(float).eps * (abs(float(np.real(f(at)))) + (abs(at * truth) if n == 1 else 0.0)) / steps**n
        errors = {m: np.array([abs(np.real(derivative(f, at, m, s, n=n)) - truth) for s in steps]) for m in methods}
        own = abs(float(np.real(chosen.value)) - truth)
    seen = [e for e in (*np.concatenate([*errors.values(), [own]]), chosen.error) if 0 < e < np.inf]
    bottom = min(seen, default=1e-16) / 4
    ax = _axes(ax, (6.4, 4.4))
    ax.set(xscale="log", yscale="log", xlabel="step $h$", ylabel=f"error of ${_primed('f', n)}$")
    for i, method in enumerate(methods):
        colour, marker, dashes = _METHODS[method]
        shown = np.where(errors[method] == 0, bottom, errors[method])
        ax.plot(
            steps, shown, color=colour, marker=marker, markersize=3.5, linewidth=1, linestyle=dashes,
            markevery=(i, len(methods)), label=method,
        )  # fmt: skip
    if np.isfinite(own) and np.isfinite(chosen.h):
        at_least = max(own, bottom)
        if at_least < chosen.error < np.inf:
            ax.vlines(chosen.h, at_least, chosen.error, color=_BLACK, linewidth=1.5, zorder=4)
            ax.plot(chosen.h, chosen.error, color=_BLACK, marker="_", markersize=9, zorder=4)
        ax.plot(
            chosen.h, at_least, color=_ORANGE, marker="*", markersize=13, markeredgecolor=_BLACK, linestyle="none",
            zorder=5, label="$h=$None",
        )  # fmt: skip
    top = max(seen, default=1.0) * 4
    powers = {1 if m in ("forward", "backward") else 2: m for m in methods if m != "complex"}
    for power, method in sorted(powers.items()):
        factor = _fitted(steps, errors[method], floor, power)
        if factor:
            line = factor * steps**power
            ax.plot(
                *_within(steps, line, bottom, top), color=_GREY, linestyle=(0, (8, 2)) if power == 1 else "-",
                linewidth=1, zorder=1, label=r"$\propto h$" if power == 1 else rf"$\propto h^{power}$",
            )  # fmt: skip
    if (floor > 0).any() and np.isfinite(floor).any():
        ax.plot(
            *_within(steps, floor, bottom, top), color=_GREY, linestyle=":", linewidth=1.5, zorder=1, label="roundoff"
        )
    ax.set_ylim(bottom / 2, top)
    return _finished(ax)


def plot_check(report: Report, *, entries: int = 20, ax: Any = None) -> Any:
    """Plot a report of `fastdiff.check_gradient` and its kind: how far each derivative is off, and what could be seen.

    Parameters
    ----------
    report : Report
        Its worst entries are shown.
    entries : int, optional
        At most so many.
    ax : matplotlib.axes.Axes, optional
        Where to draw. None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    TypeError
        `report` is no Report.

    Notes
    -----
    Markers show abs(given - estimated), relative to the larger of the two; grey bars the error of the estimate on the
    same scale. What is correct lies inside its bar, or little beyond. Exact agreement is drawn at the left edge; where
    there is no number, the marker stands at the right one. Safe to call from several threads only where each has its
    axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from fastdiff import check_gradient
    >>> from fastdiff.plotting import plot_check
    >>> ax = plot_check(check_gradient(lambda x: x @ x, lambda x: [2 * x[0], x[1]], [1.0, 2.0]))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['x[1]', 'x[0]']
    >>> plt.close(ax.figure)
    """
    if not isinstance(report, Report):
        raise TypeError(f"report must be a Report of fastdiff.check_gradient or its kind, got {type(report).__name__}")
    shown = report.entries[:entries]
    ax = _axes(ax, (6.4, 1.6 + 0.26 * max(len(shown), 2)))
    left, right = 1e-17, 10.0
    looks = {"correct": (_BLUE, "o"), "inconclusive": (_ORANGE, "D"), "wrong": (_VERMILION, "X")}
    for row, e in enumerate(shown):
        size = max(abs(e.given), abs(e.estimated))
        bar = e.error / size if size and isfinite(e.error) and isfinite(size) else right
        ax.barh(row, max(min(bar, right), left) - left, left=left, height=0.6, color="#D9D9D9", zorder=1)
        colour, marker = looks[e.verdict]
        off = min(max(e.relative_error, left), right) if isfinite(e.relative_error) else right
        ax.plot(off, row, color=colour, marker=marker, markersize=7, linestyle="none", clip_on=False, zorder=3)
    ax.set(xscale="log", xlim=(left, right), ylim=(max(len(shown), 1) - 0.5, -0.5), xlabel="relative difference")
    ax.set_yticks(range(len(shown)), [e.name for e in shown])
    kinds = [v for v in looks if any(e.verdict == v for e in shown)]
    lines, patches = needed("matplotlib.lines", "plot"), needed("matplotlib.patches", "plot")
    handles = [lines.Line2D([], [], color=looks[v][0], marker=looks[v][1], linestyle="none", label=v) for v in kinds]
    handles.append(patches.Patch(color="#D9D9D9", label="error of the estimate"))
    ax.set_title(fill(report.headline, 48), fontsize="medium", loc="left")
    _legend(ax, handles=handles)
    return _plain(ax)


# --- parts --------------------------------------------------------------------------------------------------------


def _pyplot() -> Any:
    return needed("matplotlib.pyplot", "plot")


def _axes(ax: Any, size: tuple[float, float] = (6.4, 4.0)) -> Any:
    return _pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _finished(ax: Any, x: str | None = None, y: str | None = None) -> Any:
    if x is not None:
        ax.set(xlabel=x, ylabel=y)
    _legend(ax)
    return _plain(ax)


def _legend(ax: Any, **handles: Any) -> None:
    """Beside the axes, or inside where other axes may lie there."""
    if len(ax.figure.axes) > 1:
        ax.legend(**handles)
    else:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, **handles)


def _plain(ax: Any) -> Any:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _primed(name: str, n: int) -> str:
    return name + "'" * n if n <= 3 else f"{name}^{{({n})}}"


def _several(methods: Sequence[str]) -> Sequence[str]:
    return (methods,) if isinstance(methods, str) else methods


def _known(f: Callable[..., Any], exact: Any, n: int) -> Any:
    """The exact derivative, where it is given or f knows it."""
    return f.diff(f.args[0], n) if exact is None and isinstance(f, Function) else exact


def _of_arrays(f: Callable[..., Any], *xs: NDArray[float64]) -> Callable[..., Any]:
    """f, or what calls it with one number after the other if it takes no arrays."""
    try:
        with np.errstate(all="ignore"):
            f(*(x.copy() for x in xs))
    except (TypeError, ValueError):
        return np.vectorize(f, otypes=[float])
    return f


def _values(f: Callable[..., Any], *xs: NDArray[float64]) -> NDArray[float64]:
    """f of arrays, real, with nan where it is not finite."""
    with np.errstate(all="ignore"):
        value = np.real(np.broadcast_to(_of_arrays(f, *xs)(*(x.copy() for x in xs)), xs[0].shape)).astype(float)
    return np.where(np.isfinite(value), value, np.nan)


def _grid(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[float64], NDArray[float64]]:
    a, b = real("x", x), real("y", y)
    if a.ndim < 2 and b.ndim < 2:
        a, b = np.meshgrid(a, b)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"x and y must be two vectors, or two arrays of one shape, got shapes {np.shape(x)}, {np.shape(y)}"
        )
    if min(a.shape) < 2:
        raise ValueError(f"x and y must span a grid of at least 2 by 2 points, got {a.shape}")
    return a, b


def _limits(field: NDArray[float64], signed: bool) -> tuple[float, float]:
    """The range of a field, around zero where its sign matters, and never empty."""
    good = field[np.isfinite(field)]
    lo, hi = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    if signed and lo < 0 < hi:
        hi = max(-lo, hi)
        lo = -hi
    if hi - lo <= 1e-9 * max(abs(lo), abs(hi)):  # a constant, up to roundoff
        pad = max(abs(lo), abs(hi)) * 0.1 or 1.0
        lo, hi = lo - pad, hi + pad
    return lo, hi


def _contours(ax: Any, x: NDArray[float64], y: NDArray[float64], field: NDArray[float64], signed: bool) -> None:
    lo, hi = _limits(field, signed)
    levels = needed("matplotlib.ticker", "plot").MaxNLocator(14).tick_values(lo, hi)
    if np.isfinite(field).any():
        shown = np.ma.masked_invalid(field)
        filled = ax.contourf(x, y, shown, levels=levels, cmap="PuOr_r" if signed and lo < 0 < hi else "viridis")
        if np.ptp(shown.compressed()) > 1e-9 * max(abs(lo), abs(hi)):
            ax.contour(x, y, shown, levels=levels, colors="black", linewidths=0.4, alpha=0.5)
        ax.figure.colorbar(filled, ax=ax)
    else:
        ax.text(0.5, 0.5, "no finite values", transform=ax.transAxes, ha="center", va="center")
        ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))


def _surface(ax: Any, x: NDArray[float64], y: NDArray[float64], field: NDArray[float64]) -> None:
    lo, hi = _limits(field, signed=False)
    ax.plot_surface(x, y, field, cmap="viridis", vmin=lo, vmax=hi, linewidth=0, antialiased=False, rcount=60, ccount=60)
    ax.set_zlim(lo, hi)


def _fitted(steps: NDArray[float64], error: NDArray[float64], floor: NDArray[float64], power: int) -> float:
    """c of the truncation error c * h**power: from the smallest steps at which it is well above roundoff."""
    clear = np.flatnonzero((error > 1e3 * floor) & (error > 0) & np.isfinite(error))[:12]
    return float(np.median(error[clear] / steps[clear] ** power)) if clear.size >= 3 else 0.0


def _within(
    x: NDArray[float64], y: NDArray[float64], lo: float, hi: float
) -> tuple[NDArray[float64], NDArray[float64]]:
    keep = (y >= lo) & (y <= hi)
    return x[keep], y[keep]
