"""Kernels, operators and peers side by side: `pytest bench`. Every benchmark asserts its answer; compare ratios."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdiff
from fastdiff import differences, rounds, small, steps

BACKENDS = ("compiled", "numpy")
ELEMENTS = 10_000
X = np.linspace(-3.0, 3.0, ELEMENTS)
POINTS = np.random.default_rng(0).uniform(0.5, 1.5, (200, 10))

pytestmark = pytest.mark.filterwarnings("ignore")  # of peers


@pytest.fixture(params=BACKENDS)
def kernels(request, monkeypatch):
    """The kernels of one backend, and the library running on them."""
    module = pytest.importorskip(f"fastdiff.kernels._{request.param}")
    for user in (differences, rounds, small):
        monkeypatch.setattr(user, "backend", module)
    return module


def close(value, truth, tolerance=1e-6):
    np.testing.assert_allclose(value, truth, rtol=tolerance, atol=tolerance)


# --- kernels ---


@pytest.mark.benchmark(group="kernel nodes")
def test_nodes(benchmark, kernels):
    h, out = np.full(ELEMENTS, 0.5), np.empty(ELEMENTS)
    benchmark(kernels.nodes, X, h, -2.0, out)
    assert np.array_equal(out, X - 1.0)


@pytest.mark.benchmark(group="kernel combine")
def test_combine(benchmark, kernels):
    h, out = np.full(ELEMENTS, 0.25), np.empty(ELEMENTS)
    samples = np.stack([np.sin(X + h), np.sin(X - h)])
    benchmark(kernels.combine, samples, np.array([1.0, -1.0]), 2.0, h, 1, out)
    assert np.array_equal(out, (samples[0] - samples[1]) / (2.0 * h))


@pytest.mark.benchmark(group="kernel control")
def test_control(benchmark, kernels):
    """One round over lanes of exp, all at the step 2**-10."""
    level = steps.scheme(1, "central", None, None).levels[0][0]
    exponent = np.full(ELEMENTS, -10.0)
    samples = np.stack([np.exp(X + t * 2.0**-10) for t in level.offsets])[..., None]
    caps = np.full((3, ELEMENTS), float(steps.LARGEST))
    unit = exponent.copy()

    def fresh():
        state = np.empty((ELEMENTS, 1, len(steps.FIELDS)))
        results = np.empty((len(steps.RESULTS), ELEMENTS, 1))
        lanes = np.abs(X), exponent, unit, caps, None
        return (level.table, samples, 2.0**-52, *lanes, 0, 0, True, True, state, results), {}

    def control(*given):
        kernels.control(*given)
        return given[-1]

    results = benchmark.pedantic(control, setup=fresh, rounds=20)
    close(results[steps.RESULTS.index("value"), :, 0], np.exp(X), 1e-9)


# --- operators ---


def wave(x, y):
    return np.sin(x) * np.exp(y)


def bowl(p):
    """(d,) -> scalar, or (k, d) -> (k,)"""
    return np.exp(p).sum(axis=-1) + (p * p).sum(axis=-1) ** 2


BOWL_GRADIENT = np.exp(POINTS) + 4.0 * (POINTS**2).sum(axis=-1, keepdims=True) * POINTS
BOWL_HESSIAN = (
    8.0 * POINTS[:, :, None] * POINTS[:, None, :]
    + np.eye(10) * (np.exp(POINTS) + 4.0 * (POINTS**2).sum(axis=-1, keepdims=True))[:, None, :]
)
Y = np.cos(X)
OPERATORS = {
    "derivative, one number": (lambda: fastdiff.derivative(math.exp, 1.0), math.e),
    "derivative, one number, h": (lambda: fastdiff.derivative(math.exp, 1.0, h=1e-5), math.e),
    "derivative": (lambda: fastdiff.derivative(np.sin, X), np.cos(X)),
    "derivative, scaled": (lambda: fastdiff.derivative(np.sin, X, h="scaled"), np.cos(X)),
    "derivative, n=2": (lambda: fastdiff.derivative(np.sin, X, n=2), -np.sin(X)),
    "derivative, complex": (lambda: fastdiff.derivative(np.sin, X, "complex"), np.cos(X)),
    "partials": (lambda: fastdiff.partials(wave, X, Y), (np.cos(X) * np.exp(Y), np.sin(X) * np.exp(Y))),
    "mixed_partial": (lambda: fastdiff.mixed_partial(wave, X, Y, orders=(1, 1)), np.cos(X) * np.exp(Y)),
    "gradient": (lambda: fastdiff.gradient(bowl, POINTS[0]), BOWL_GRADIENT[0]),
    "gradient, vectorized": (lambda: fastdiff.gradient(bowl, POINTS, vectorized=True), BOWL_GRADIENT),
    "jacobian, vectorized": (
        lambda: fastdiff.jacobian(np.exp, POINTS, vectorized=True), np.eye(10) * np.exp(POINTS)[:, None],
    ),
    "hessian, vectorized": (lambda: fastdiff.hessian(bowl, POINTS[:20], vectorized=True), BOWL_HESSIAN[:20]),
    "jvp, vectorized": (lambda: fastdiff.jvp(bowl, POINTS, np.ones(10), vectorized=True), BOWL_GRADIENT.sum(axis=-1)),
    "hvp, vectorized": (
        lambda: fastdiff.hvp(bowl, POINTS[:20], np.ones(10), vectorized=True), BOWL_HESSIAN[:20].sum(axis=-1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(benchmark, kernels, name):
    call, truth = OPERATORS[name]
    benchmark.group = name
    close(benchmark(call), truth)


# --- peers, in the groups of the operators that do the same ---


def scipy_derivative():
    from scipy.differentiate import derivative

    return derivative(np.sin, X).df


def scipy_one():
    from scipy.differentiate import derivative

    return derivative(np.exp, 1.0).df


def scipy_gradient():
    from scipy.differentiate import jacobian

    return jacobian(lambda p: bowl(np.moveaxis(p, 0, -1)), POINTS[0]).df


def scipy_optimize_gradient():
    from scipy.optimize import approx_fprime

    return approx_fprime(POINTS[0], bowl)


def scipy_hessian():
    from scipy.differentiate import hessian

    return np.stack([hessian(lambda p: bowl(np.moveaxis(p, 0, -1)), p).ddf for p in POINTS[:20]])


def numdifftools_one():
    from numdifftools import Derivative

    return Derivative(np.exp)(1.0)


def numdifftools_derivative():
    from numdifftools import Derivative

    return Derivative(np.sin)(X)


def numdifftools_gradient():
    from numdifftools import Gradient

    return Gradient(bowl)(POINTS[0])


def numdifftools_hessian():
    from numdifftools import Hessian

    return np.stack([Hessian(bowl)(p) for p in POINTS[:20]])


def jacobi_one():
    from jacobi import jacobi

    return jacobi(np.exp, 1.0)[0]


def jacobi_derivative():
    from jacobi import jacobi

    return jacobi(np.sin, X, diagonal=True)[0]


def jacobi_gradient():
    from jacobi import jacobi

    return jacobi(bowl, POINTS[0])[0]


def statsmodels_gradient():
    from statsmodels.tools.numdiff import approx_fprime

    return approx_fprime(POINTS[0], bowl, centered=True)


def statsmodels_hessian():
    from statsmodels.tools.numdiff import approx_hess

    return np.stack([approx_hess(p, bowl) for p in POINTS[:20]])


PEERS = {
    "derivative, one number": (scipy_one, numdifftools_one, jacobi_one),
    "derivative": (scipy_derivative, numdifftools_derivative, jacobi_derivative),
    "gradient": (
        scipy_gradient, scipy_optimize_gradient, numdifftools_gradient, jacobi_gradient, statsmodels_gradient,
    ),
    "hessian, vectorized": (scipy_hessian, numdifftools_hessian, statsmodels_hessian),
}  # fmt: skip


@pytest.mark.parametrize(("group", "peer"), [(g, p) for g, peers in PEERS.items() for p in peers])
def test_peer(benchmark, group, peer):
    pytest.importorskip(peer.__name__.split("_")[0])
    benchmark.group = group
    close(benchmark.pedantic(peer, rounds=3), OPERATORS[group][1], 1e-3)


# --- the scripts ---


@pytest.mark.parametrize(
    "command",
    [
        "trace.py --scale 0.01 --rounds 1",
        "batch.py --points 20000 --random",
        "memory.py --points 500 --variables 5",
        "grid.py --shape 50,40 --axis all --repeats 1",
    ],
    ids=lambda command: command.split(".")[0],
)
def test_scripts_run(command):
    """In small; they assert their answers."""
    script, *options = command.split()
    subprocess.run([sys.executable, Path(__file__).with_name(script), *options], check=True)
