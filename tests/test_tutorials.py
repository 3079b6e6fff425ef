"""Protects what the two notebooks that this library grew from do: their code and their exercises run on it, and give the
numbers that they gave."""

import numpy as np
import pytest

from fastdiff import check_gradient, derivative, gradient, hessian, jacobian, mixed_partial, partials, symbolic

sympy = pytest.importorskip("sympy")


@pytest.fixture
def plt():
    """Matplotlib without a screen; figures are closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    yield plt
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


# --- the first notebook: from finite differences to formulas ---


def f(x):
    return np.log(1 + np.exp(x))


def fprime(x):
    return 1 / (1 + np.exp(-x))


QUOTIENTS = {
    "central": lambda f, a, h: (f(a + h) - f(a - h)) / (2 * h),
    "forward": lambda f, a, h: (f(a + h) - f(a)) / h,
    "backward": lambda f, a, h: (f(a) - f(a - h)) / h,
}


@pytest.mark.parametrize("a", [0, 0.3, np.linspace(-5, 5, 20)], ids=["0", "0.3", "array"])
@pytest.mark.parametrize("method", QUOTIENTS)
def test_its_derivative_function(method, a):
    expected = QUOTIENTS[method](f, a, 0.01)  # 0.01 was the step that its function had by default
    assert np.array_equal(derivative(f, a, method, 0.01), expected)
    assert np.array_equal(derivative(f, a, method=method, h=0.01), expected)
    found = derivative(f, a, method=method)  # the call as it stands there: no step
    assert np.all(abs(found - fprime(a)) <= abs(expected - fprime(a)) + 1e-10)
    assert np.allclose(found, fprime(a), rtol=0, atol=1e-8)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"central.*forward.*backward"):
        derivative(f, 0, method="sideways")


def test_its_numbers_and_pictures(plt):
    x = np.linspace(-5, 5, 20)
    y = f(x)
    plt.plot(x, y)
    plt.title("Softplus")
    plt.xlabel("x")
    plt.ylabel("y")

    assert fprime(0) == 0.5
    assert np.isclose(derivative(f, 0, method="forward", h=0.01), 0.50125, rtol=0, atol=1e-7)
    assert np.isclose(derivative(f, 0, method="forward"), 0.5, rtol=0, atol=1e-7)
    assert np.isclose(derivative(f, 0, method="central"), 0.5, rtol=0, atol=1e-12)

    plt.plot(x, y, label="softplus")
    plt.plot(x, fprime(x), label="true derivative")
    plt.plot(x, derivative(f, x), "g.", label="central difference")
    plt.legend()
    assert np.allclose(derivative(f, x), fprime(x), rtol=0, atol=1e-11)


def test_exercise_softplus_has_the_sigmoid_as_derivative():
    x = sympy.symbols("x")
    assert sympy.simplify(sympy.diff(sympy.log(1 + sympy.exp(x))) - 1 / (1 + sympy.exp(-x))) == 0
    report = check_gradient(lambda x: f(x).sum(), fprime, np.linspace(-2, 5, 20))
    assert report.ok


def test_exercise_several_variables(plt):
    """A central difference of each partial derivative of a function of two variables, plotted."""

    def g(x, y):
        return np.sin(x) * y**2

    X, Y = np.meshgrid(np.linspace(-3, 3, 30), np.linspace(-2, 2, 20))
    exact = np.cos(X) * Y**2, 2 * np.sin(X) * Y
    fixed = partials(g, X, Y, h=0.01)
    h = 0.01
    assert np.array_equal(fixed[0], (g(X + h, Y) - g(X - h, Y)) / (2 * h))
    assert np.array_equal(fixed[1], (g(X, Y + h) - g(X, Y - h)) / (2 * h))
    assert np.allclose(partials(g, X, Y), exact, rtol=0, atol=1e-10)

    from fastdiff import plotting

    axes = plotting.plot_partials(g, X, Y)
    assert [axis.get_xlabel() != "" for axis in axes] == [True] * 3


def test_formulas():
    x, x1, x2 = sympy.symbols("x x1 x2")
    softplus = sympy.log(1 + sympy.exp(x))
    assert sympy.diff(softplus) == sympy.exp(x) / (1 + sympy.exp(x))
    at = np.linspace(-2, 5, 20)
    assert np.allclose(symbolic.function(x, softplus).grad()(at)[..., 0], fprime(at), rtol=1e-14)

    g = x1**3 + 2 * x2**2
    assert sympy.diff(g, x1) == 3 * x1**2
    assert sympy.diff(g, x2) == 4 * x2
    assert sympy.diff(g, x1, x1) == 6 * x1
    assert sympy.diff(g, x1, x2) == 0

    def h(a, b):
        return a**3 + 2 * b**2

    assert np.allclose(partials(h, 1.5, 0.7), (3 * 1.5**2, 4 * 0.7), rtol=1e-11)
    assert np.isclose(mixed_partial(h, 1.5, 0.7, orders=(2, 0)), 9.0, rtol=1e-9)
    assert np.isclose(mixed_partial(h, 1.5, 0.7, orders=(1, 1)), 0.0, atol=1e-7)
    exact = symbolic.function([x1, x2], g)
    assert np.allclose(exact.grad().at([1.5, 0.7]), (3 * 1.5**2, 4 * 0.7), rtol=1e-14)
    assert np.allclose(exact.hessian().at([1.5, 0.7]), [[9, 0], [0, 4]], rtol=1e-14)


def test_exercise_chain_rule():
    """df/dt = 2 sin t (cos t - 1) for f = x1**2 + 2 x2 with x1 = sin t, x2 = cos t."""
    t, x1, x2 = sympy.symbols("t x1 x2")
    outer, inner = x1**2 + 2 * x2, {x1: sympy.sin(t), x2: sympy.cos(t)}
    closed = 2 * sympy.sin(t) * (sympy.cos(t) - 1)
    assert sympy.simplify(outer.subs(inner).diff(t) - closed) == 0
    assert sympy.simplify(sum(outer.diff(v).subs(inner) * inner[v].diff(t) for v in inner) - closed) == 0

    at = np.linspace(0, 6, 13)
    expected = 2 * np.sin(at) * (np.cos(at) - 1)
    assert np.allclose(derivative(lambda t: np.sin(t) ** 2 + 2 * np.cos(t), at), expected, rtol=0, atol=1e-11)

    def curve(t):
        return np.array([np.sin(t[0]), np.cos(t[0])])

    for time, wanted in zip(at, expected):
        slope = gradient(lambda x: x[0] ** 2 + 2 * x[1], curve([time])) @ jacobian(curve, [time])
        assert np.allclose(slope, wanted, rtol=0, atol=1e-10)


# --- the second notebook: Theano ---


def sigmoid(x):
    return 1.0 / (1 + np.exp(-x))


def test_slope_of_a_line(plt):
    xx = np.linspace(0, 100, 100)
    yy = 2 * xx
    plt.plot(xx, yy)
    plt.vlines(70, 0, yy[70], linestyles="dashed", colors="g")
    plt.hlines(yy[70], 0, 70, linestyles="dashed", colors="g")
    plt.xticks([70, 85], [r"$a$", r"$a + \Delta a$"], fontsize=12, color="k")
    plt.yticks([yy[70], yy[85]], [r"$f(a)$", r"$f(a + \Delta a)$"], fontsize=12, color="k")
    assert np.allclose(derivative(lambda x: 2 * x, xx), 2, rtol=1e-12)


def test_sigmoid(plt):
    xx = np.linspace(-6, 6, 100)
    by_formula = sigmoid(xx) * (1 - sigmoid(xx))
    d_sigmoid = derivative(sigmoid, xx)  # was grad(f.sum(), wrt=[x]) and function([x], df_dx)
    assert np.allclose(d_sigmoid, by_formula, rtol=0, atol=1e-11)
    result = derivative(sigmoid, xx, full_output=True)
    assert (np.abs(result.value - by_formula) <= result.error).all()
    assert np.allclose(gradient(lambda x: sigmoid(x).sum(), xx), by_formula, rtol=0, atol=1e-9)

    x = sympy.symbols("x")
    exact = symbolic.function(x, 1 / (1 + sympy.exp(-x)))
    assert np.allclose(exact(xx), sigmoid(xx), rtol=1e-15)
    assert np.allclose(exact.grad()(xx)[..., 0], by_formula, rtol=1e-13)

    plt.plot(xx, sigmoid(xx), label=r"$f(x)$")
    plt.plot(xx, d_sigmoid, label=r"$\frac{df}{dx}$")
    plt.xlabel(r"$x$", fontsize=20, color="k")
    plt.legend()


def test_exercise_tanh():
    def tanh(x):
        return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))

    xx = np.linspace(-4, 4, 100)
    assert np.allclose(tanh(xx), np.tanh(xx), rtol=0, atol=1e-15)
    assert np.allclose(derivative(tanh, xx), 1 - np.tanh(xx) ** 2, rtol=0, atol=1e-11)


def test_surface_and_jacobian(plt):
    """f = x**2 y + y: its surface, gradient and Jacobian."""
    xx = np.linspace(0, 10, 100)
    yy = np.linspace(0, 10, 100)
    X, Y = np.meshgrid(xx, yy)
    ax = plt.figure().add_subplot(projection="3d")
    ax.plot_surface(X, Y, Y * (X**2 + 1), cmap=plt.cm.coolwarm)
    ax.set_zlabel(r"$x^{2}y + y$", fontsize=20, color="k", labelpad=0)

    del_f = np.c_[2 * xx * yy, (xx**2) + 1].T
    J1 = np.c_[list(partials(lambda x, y: (x**2) * y + y, xx, yy))]  # was jacobian(f.sum(), wrt=[x, y])
    assert J1.shape == del_f.shape
    assert np.allclose(J1, del_f)

    x, y = sympy.symbols("x y")
    exact = symbolic.function([x, y], x**2 * y + y)
    assert np.allclose(np.moveaxis(exact.grad()(xx, yy), -1, 0), del_f, rtol=1e-14)
    vector = symbolic.function([x, y], [x**2 * y + y])
    assert np.allclose(vector.jacobian()(xx, yy)[:, 0].T, del_f, rtol=1e-14)

    points = np.column_stack([xx, yy])
    assert np.allclose(gradient(lambda p: p[0] ** 2 * p[1] + p[1], points).T, del_f)
    assert np.allclose(jacobian(lambda p: [p[0] ** 2 * p[1] + p[1]], points)[:, 0].T, del_f)
    assert np.allclose(hessian(lambda p: p[0] ** 2 * p[1] + p[1], [2.0, 3.0]), [[6, 4], [4, 0]], atol=1e-6)

    ax = plt.figure().add_subplot(111, projection="3d")
    ax.plot(xx, yy, J1[0, :], label=r"$2xy$")
    ax.plot(xx, yy, J1[1, :], label=r"$x^{2} + 1$")
    ax.legend()


def test_exercise_rings(plt):
    """f = sin(sqrt(x**2 + y**2)) and its gradient, away from the origin and at it."""

    def rings(x, y):
        return np.sin(np.sqrt(x**2 + y**2))

    side = np.linspace(-6, 6, 40)
    X, Y = np.meshgrid(side, side)
    R = np.hypot(X, Y)
    exact = np.cos(R) * X / R, np.cos(R) * Y / R
    assert np.allclose(partials(rings, X, Y), exact, rtol=0, atol=1e-9)
    formula = symbolic.function("x y", "sin(sqrt(x**2 + y**2))")
    assert np.allclose(np.moveaxis(formula.grad()(X, Y), -1, 0), exact, rtol=0, atol=1e-12)

    from fastdiff import plotting

    plotting.plot_partials(rings, side, side, kind="surface")
    plotting.plot_gradient(rings, side, side)

    def cone(p):
        return np.sin(np.sqrt(p[0] ** 2 + p[1] ** 2))

    assert np.isnan(formula.grad().at([0.0, 0.0])).all()  # the formula is 0/0
    r = gradient(cone, [0.0, 0.0], full_output=True)
    assert not r.converged.any()
    for slope in (-1.0, 1.0):
        assert (abs(r.value - slope) <= 1.001 * r.error).all()
    assert np.allclose(gradient(cone, [0.0, 0.0], "forward"), 1, atol=1e-6)
    assert np.allclose(gradient(cone, [0.0, 0.0], "backward"), -1, atol=1e-6)
