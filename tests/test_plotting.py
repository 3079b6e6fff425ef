"""Protects the pictures: what is drawn is what was computed, where it was told to be, and odd functions have pictures, too."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import fastdiff
from fastdiff import plotting, symbolic

X = np.linspace(-3.0, 3.0, 61)


def softplus(x):
    return np.log(1 + np.exp(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def bowl(x, y):
    return x**2 * y + y


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def drawn(ax):
    """Whether it can be drawn, as warnings are errors."""
    np.ravel(ax)[0].figure.canvas.draw()


def legend_inside(ax):
    figure = ax.figure
    figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    return box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1


def overlap(ax):
    """Whether the legend covers what is drawn."""
    ax.figure.canvas.draw()
    return ax.get_legend().get_window_extent().overlaps(ax.patch.get_window_extent())


def test_derivative():
    ax = plotting.plot_derivative(softplus, X, sigmoid)
    found = lines(ax)
    assert list(found) == ["$f$", "$f'$, exact", "$f'$, central", "$f'$, forward", "$f'$, backward"]
    assert ax.get_xlabel() == "$x$"
    np.testing.assert_array_equal(found["$f$"].get_ydata(), softplus(X))
    np.testing.assert_array_equal(found["$f'$, exact"].get_ydata(), sigmoid(X))
    for method in ("central", "forward", "backward"):
        r = fastdiff.derivative(softplus, X, method, full_output=True)
        value = found[f"$f'$, {method}"].get_ydata()
        assert np.all(abs(value - sigmoid(X)) <= r.error)
    assert len({to_hex(line.get_color()) for line in ax.get_lines()}) == 5
    assert legend_inside(ax)
    assert not overlap(ax)


def test_markers_of_methods_do_not_cover_each_other():
    ax = plotting.plot_derivative(softplus, X)
    shown = [set(range(61)[line.get_markevery()[0] :: line.get_markevery()[1]]) for line in ax.get_lines()[1:]]
    assert not set.intersection(*shown)
    assert sum(map(len, shown)) <= 30


def test_axes_in_axes_out_and_no_pyplot():
    ax = Figure().subplots()
    assert plotting.plot_derivative(np.sin, X, ax=ax) is ax
    assert plotting.plot_gradient(bowl, X, X, ax=Figure().subplots()).get_title() == "$f$ and its gradient"
    assert plotting.plot_step_sweep(np.sin, 1.0, np.cos, ax=ax) is ax
    axes = Figure().subplots(1, 3)
    assert list(plotting.plot_partials(bowl, X, X, axes=axes)) == list(axes)
    assert not plt.get_fignums()


def test_derivative_with_a_step_shows_its_error():
    ax = plotting.plot_derivative(np.exp, X, np.exp(X), ["forward"], 0.5)
    np.testing.assert_allclose(lines(ax)["$f'$, forward"].get_ydata(), (np.exp(X + 0.5) - np.exp(X)) / 0.5)
    assert not ax.collections  # no bars: nothing is claimed


def test_exact_values_follow_the_order_of_x():
    ax = plotting.plot_derivative(np.sin, X[::-1], np.cos(X[::-1]), [])
    np.testing.assert_array_equal(lines(ax)["$f'$, exact"].get_ydata(), np.cos(X))
    with pytest.raises(ValueError, match="exact must have the shape of x"):
        plotting.plot_derivative(np.sin, X, [1.0, 2.0])


def test_symbolic_functions_know_their_derivatives():
    f = symbolic.function("x", "sin(x)*x")
    ax = plotting.plot_derivative(f, X, n=2)
    np.testing.assert_allclose(lines(ax)["$f''$, exact"].get_ydata(), 2 * np.cos(X) - X * np.sin(X), atol=1e-14)
    ax = plotting.plot_step_sweep(f, 1.0)
    assert lines(ax)["$h=$None"].get_ydata()[0] < 1e-11


def test_kinks_are_marked():
    ax = plotting.plot_derivative(abs, np.linspace(-1, 1, 21), methods=["central"])
    assert lines(ax)["not converged"].get_xdata().tolist() == pytest.approx([0.0], abs=1e-15)


def test_wide_bars_do_not_rule_the_picture():
    ax = plotting.plot_derivative(lambda x: np.sign(x) * np.sqrt(abs(x)), np.linspace(-1, 1, 21), methods=["central"])
    drawn(ax)
    values = np.concatenate([line.get_ydata() for line in ax.get_lines()])
    assert ax.get_ylim()[1] < 1.2 * np.nanmax(values)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: 3.0, X),
        (lambda x: np.log(x) * 1e12, X),
        (lambda x: x * np.nan, X),
        (math.sin, 1.0),
        (math.sin, [1.0, 2.0]),
        (lambda x: x if x > 0 else -x, X),
        (np.exp, 1e-300),
    ],
)
def test_odd_functions_of_one_variable(f, x):
    drawn(plotting.plot_derivative(f, x))
    drawn(plotting.plot_step_sweep(f, float(np.ravel(x)[-1])))


@pytest.mark.parametrize("kind", ["contour", "surface"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: 2.0 + 0 * x,
        lambda x, y: 2.0,
        lambda x, y: np.log(x) * y * 1e12,
        lambda x, y: np.nan * x,
        lambda x, y: math.sin(x) * y,
        lambda x, y: x + 1e8,
    ],
)
def test_odd_functions_of_two_variables(f, kind):
    drawn(plotting.plot_partials(f, X[::6], X[::10], kind=kind))
    drawn(plotting.plot_gradient(f, X[::6], X[::10]))


def test_partials():
    axes = plotting.plot_partials(bowl, X, X + 1)
    assert [ax.get_title() for ax in axes] == ["$f$", r"$\partial f/\partial x$", r"$\partial f/\partial y$"]
    assert axes[0].get_xlabel() == "$x$"
    assert axes[0].get_ylabel() == "$y$"
    drawn(axes)
    boxes = [ax.get_tightbbox() for ax in axes]
    assert boxes[0].x1 <= boxes[1].x0
    assert boxes[1].x1 <= boxes[2].x0


def test_surfaces_are_those_of_the_derivatives():
    few = np.linspace(-1.0, 1.0, 12)
    axes = plotting.plot_partials(bowl, few, few + 2, kind="surface", names=("u", "v"))
    x, y = np.meshgrid(few, few + 2)
    for ax, exact in zip(axes, (bowl(x, y), 2 * x * y, x**2 + 1)):
        heights = np.array([corner[2] for quad in _quads(ax) for corner in quad])
        assert heights.min() == pytest.approx(exact.min(), abs=1e-9)
        assert heights.max() == pytest.approx(exact.max(), abs=1e-9)
    assert axes[2].get_title() == r"$\partial f/\partial v$"


def _quads(ax):
    faces = ax.collections[0]._vec if not hasattr(ax.collections[0], "_faces") else ax.collections[0]._faces
    return np.asarray(faces)[..., :3]


def test_exact_partials_are_taken_as_they_are():
    calls = []

    def by(x, y):
        calls.append(x.shape)
        return 0 * x

    plotting.plot_partials(bowl, X, X, exact=(by, by))
    assert calls


def test_gradient_points_uphill():
    ax = plotting.plot_gradient(lambda x, y: 3 * x - 4 * y, X, X, arrows=7)
    (arrows,) = (c for c in ax.collections if hasattr(c, "U"))
    assert len(arrows.U) == 49
    np.testing.assert_allclose(arrows.U, 0.6, rtol=1e-9)
    np.testing.assert_allclose(arrows.V, -0.8, rtol=1e-9)
    ring = plotting.plot_gradient(lambda x, y: np.sin(np.hypot(x, y)), X, X, unit=True)
    (arrows,) = (c for c in ring.collections if hasattr(c, "U"))
    np.testing.assert_allclose(np.hypot(arrows.U, arrows.V), 1.0)


def test_step_sweep():
    h = np.logspace(-12, -1, 45)
    ax = plotting.plot_step_sweep(np.exp, 1.0, math.e, h=h)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "step $h$"
    found = lines(ax)
    assert set(found) >= {"central", "forward", "backward", "$h=$None", r"$\propto h$", r"$\propto h^2$", "roundoff"}
    np.testing.assert_allclose(found["forward"].get_ydata()[-9:], h[-9:] * math.e / 2, rtol=0.1)
    np.testing.assert_allclose(found["central"].get_ydata()[-9:], h[-9:] ** 2 * math.e / 6, rtol=0.1)
    slope = found[r"$\propto h^2$"]
    np.testing.assert_allclose(slope.get_ydata(), slope.get_xdata() ** 2 * math.e / 6, rtol=0.02)
    r = fastdiff.derivative(np.exp, 1.0, full_output=True)
    assert found["$h=$None"].get_xdata()[0] == r.h
    assert found["$h=$None"].get_ydata()[0] <= r.error
    assert legend_inside(ax)
    assert not overlap(ax)


def test_step_sweep_without_the_exact_value():
    ax = plotting.plot_step_sweep(np.sin, 1e6)
    errors = lines(ax)["central"].get_ydata()
    assert errors.min() < 1e-6 < 1e-1 < errors.max()


def test_check():
    wrong = fastdiff.check_gradient(lambda x: x @ x, lambda x: [2 * x[0], x[1], 2 * x[2]], [1.0, 2.0, 3.0])
    ax = plotting.plot_check(wrong)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [e.name for e in wrong.entries]
    assert names[0] == "x[1]"
    markers = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert markers[0].get_xdata()[0] == pytest.approx(0.5)
    assert all(line.get_xdata()[0] < 1e-12 for line in markers[1:])
    assert "WRONG" in ax.get_title(loc="left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["correct", "wrong", "error of the estimate"]
    assert legend_inside(ax)
    kink = plotting.plot_check(fastdiff.check_gradient(lambda x: abs(x).sum(), np.sign, [0.0, 1.0]))
    drawn(kink)
    drawn(plotting.plot_check(fastdiff.check_gradient(lambda x: x @ x, lambda x: x * np.nan, [1.0])))
    with pytest.raises(TypeError, match="report must be a Report"):
        plotting.plot_check("wrong")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.plot_partials(bowl, X, X, kind="heap"), "kind must be"),
        (lambda: plotting.plot_partials(bowl, X, X, axes=[1]), "axes must be three"),
        (lambda: plotting.plot_partials(bowl, X, np.ones((2, 2, 2))), "two vectors"),
        (lambda: plotting.plot_gradient(bowl, X, 1.0), "at least 2 by 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_method_and_one_point_may_be_given_plainly():
    ax = plotting.plot_derivative(np.sin, [0.0, 1.0], methods="central")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["$f$", "$f'$, central"]
    plt.close(ax.figure)
    with pytest.raises(ValueError, match=r"x must be one number, got shape \(2,\)"):
        plotting.plot_step_sweep(np.sin, [0.0, 1.0])
    with pytest.raises(ValueError, match="exact must be a function or one number"):
        plotting.plot_step_sweep(np.sin, 1.0, ["central"])


def test_beside_other_axes_the_legend_stays_inside():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    plotting.plot_derivative(np.sin, np.linspace(0, 1, 9), ax=left)
    figure.canvas.draw()
    assert left.get_legend().get_window_extent().x1 <= right.get_window_extent().x0
    plt.close(figure)
