"""What does recording gain? `python bench/trace.py [--scale 1.0] [--plot trace.svg]`

Plain NumPy functions, recorded and replayed, beside fastdiff calling them from Python, in either backend, the quotient
written by hand in NumPy, and numba, numexpr and JAX where they are installed: in one process but for the NumPy backend, in
turns, the least time of several rounds. JAX differentiates exactly, too. Every answer is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import special
from timing import agree

import fastdiff
from fastdiff.kernels import backend

Run = Callable[[], Any]
Runs = dict[str, Run]
REFERENCE, ONE_THREAD = "fastdiff", "one thread"
FROM_PYTHON, BY_HAND, NUMEXPR, NUMBA = "f from Python", "NumPy by hand", "numexpr", "numba, parallel"
JAX_DIFFERENCE, JAX_EXACT = "JAX, jitted difference", "JAX, jitted exact gradient"
FEW = 50  # the share of the points at which a function of one point is called from Python
NUMPY_BACKEND = "fastdiff, NumPy backend"


def fastdiff_runs(
    operator: Callable[..., Any], f: Callable[..., Any], *args: Any, few: Any = None, **options: Any
) -> Runs:
    """The operator recorded, in one thread, and with f called from Python, that at a `few` of the points if so wished."""
    called = args if few is None else few
    return {
        REFERENCE: lambda: operator(f, *args, **options),
        ONE_THREAD: lambda: operator(f, *args, threads=1, **options),
        FROM_PYTHON: lambda: operator(f, *called, engine="python", **options),
    }


# --- the functions, of arrays of NumPy or of JAX ---


def softplus(x: Any, xp: Any = np) -> Any:
    return xp.log(1 + xp.exp(x))


def price(s: Any, k: Any, t: Any, r: Any, v: Any, xp: Any = np, ndtr: Any = special.ndtr) -> Any:
    """Black and Scholes: a European call."""
    d = (xp.log(s / k) + (r + v * v / 2) * t) / (v * xp.sqrt(t))
    return s * ndtr(d) - k * xp.exp(-r * t) * ndtr(d - v * xp.sqrt(t))


def rosenbrock(x: Any, xp: Any = np) -> Any:
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def lorenz96(x: Any, xp: Any = np) -> Any:
    return (xp.roll(x, -1) - xp.roll(x, 2)) * xp.roll(x, 1) - x + 8.0


# --- peers, of functions of a point ---


def by_variable(many: Callable[[Any], Any], points: Any, h: float, block: int) -> Any:
    """Quotients of a function of many points (k, d), a variable at a time, for so many points as stay in cache."""
    blocks = []
    for begin in range(0, len(points), block):
        part = points[begin : begin + block].copy()
        columns = []
        for j in range(part.shape[1]):
            x = part[:, j].copy()
            part[:, j] = x + h
            up = many(part)
            part[:, j] = x - h
            columns.append((up - many(part)) / (2 * h))
            part[:, j] = x
        blocks.append(np.stack(columns, axis=-1))
    return np.concatenate(blocks)


def numba_runs(make: Callable[[Any], Any], points: Any, outputs: tuple[int, ...], h: float) -> Runs:
    """A loop over points and variables, of a function of a point that `make` makes with numba."""
    if not find_spec("numba"):
        return {}
    import numba

    f = make(numba)

    @numba.njit(parallel=True)
    def loop(points: Any, out: Any) -> Any:
        for i in numba.prange(len(points)):
            x = points[i].copy()
            for j in range(x.size):
                here = x[j]
                x[j] = here + h
                up = f(x)
                x[j] = here - h
                out[i, ..., j] = (up - f(x)) / (2 * h)
                x[j] = here
        return out

    return {NUMBA: lambda: loop(points, np.empty((len(points), *outputs, points.shape[1])))}


def jax_runs(f: Callable[..., Any], points: Any, h: float) -> Runs:
    """f(x, jax.numpy) of a point: quotients along all axes at once, and the exact derivative."""
    if not find_spec("jax"):
        return {}
    jax, jnp = _jax()
    there, unit = jnp.asarray(points), jnp.eye(points.shape[1]) * h

    def g(x: Any) -> Any:
        return f(x, jnp)

    quotient = jax.jit(jax.vmap(lambda x: jax.vmap(lambda e: (g(x + e) - g(x - e)) / (2 * h), out_axes=-1)(unit)))
    exact = jax.jit(jax.vmap(jax.jacrev(g)))
    return {
        JAX_DIFFERENCE: lambda: quotient(there).block_until_ready(),
        JAX_EXACT: lambda: exact(there).block_until_ready(),
    }


def _jax() -> tuple[Any, Any]:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


# --- benchmarks: the ways to the same numbers, their truth, and how far from it they may be ---


def softplus_given(scale: float) -> tuple[Runs, Any, float]:
    x = np.linspace(-5, 5, int(1e7 * scale))
    h = 1e-5
    runs = fastdiff_runs(fastdiff.derivative, softplus, x, h=h)
    runs[BY_HAND] = lambda: (softplus(x + h) - softplus(x - h)) / (2 * h)
    if find_spec("numexpr"):
        import numexpr

        formula = f"(log(1 + exp(x + {h})) - log(1 + exp(x - {h}))) / {2 * h}"
        runs[NUMEXPR] = lambda: numexpr.evaluate(formula, {"x": x})
    if find_spec("numba"):
        import numba

        f = numba.njit(lambda x: np.log(1 + np.exp(x)))

        @numba.njit(parallel=True)
        def loop(x: Any, out: Any) -> Any:
            for i in numba.prange(x.size):
                out[i] = (f(x[i] + h) - f(x[i] - h)) / (2 * h)
            return out

        pointer = numba.cfunc("float64(float64)")(lambda x: np.log(1 + np.exp(x)))
        ufunc = numba.vectorize(["float64(float64)"])(lambda x: np.log(1 + np.exp(x)))
        runs[NUMBA] = lambda: loop(x, np.empty_like(x))
        runs["fastdiff of a numba cfunc"] = lambda: fastdiff.derivative(pointer, x, h=h)
        runs["fastdiff of a numba ufunc"] = lambda: fastdiff.derivative(ufunc, x, h=h)
    if find_spec("jax"):
        jax, jnp = _jax()

        there = jnp.asarray(x)
        quotient = jax.jit(lambda x: (softplus(x + h, jnp) - softplus(x - h, jnp)) / (2 * h))
        exact = jax.jit(jax.vmap(jax.grad(lambda x: softplus(x, jnp))))
        runs[JAX_DIFFERENCE] = lambda: quotient(there).block_until_ready()
        runs[JAX_EXACT] = lambda: exact(there).block_until_ready()
    return runs, 1 / (1 + np.exp(-x)), 1e-9


def black_scholes(scale: float) -> tuple[Runs, Any, float]:
    n = int(1e6 * scale)
    rng = np.random.default_rng(0)
    market = [rng.uniform(a, b, n) for a, b in ((80, 120), (80, 120), (0.1, 2), (0.01, 0.05), (0.1, 0.5))]
    h = 2.0**-17

    def by_hand() -> list[Any]:
        found = []
        for j in range(5):
            up, down = [*market], [*market]
            up[j], down[j] = market[j] + h, market[j] - h
            found.append((price(*up) - price(*down)) / (2 * h))
        return found

    s, k, t, r, v = market
    root = np.sqrt(t)
    d = (np.log(s / k) + (r + v * v / 2) * t) / (v * root)
    bell = np.exp(-d * d / 2) / np.sqrt(2 * np.pi)
    sold = np.exp(-r * t) * special.ndtr(d - v * root)
    truth = [special.ndtr(d), -sold, s * bell * v / (2 * root) + r * k * sold, k * t * sold, s * bell * root]
    runs = fastdiff_runs(fastdiff.partials, price, *market, h="scaled")
    runs[BY_HAND] = by_hand

    if find_spec("numba"):
        import numba

        @numba.njit
        def ndtr(x: float) -> float:
            return 0.5 * math.erfc(-x * math.sqrt(0.5))

        @numba.njit
        def one(s: float, k: float, t: float, r: float, v: float) -> float:
            d = (math.log(s / k) + (r + v * v / 2) * t) / (v * math.sqrt(t))
            return s * ndtr(d) - k * math.exp(-r * t) * ndtr(d - v * math.sqrt(t))

        @numba.njit(parallel=True)
        def loop(s: Any, k: Any, t: Any, r: Any, v: Any, out: Any) -> Any:
            for i in numba.prange(s.size):
                a, b, c, e, g = s[i], k[i], t[i], r[i], v[i]
                out[0, i] = (one(a + h, b, c, e, g) - one(a - h, b, c, e, g)) / (2 * h)
                out[1, i] = (one(a, b + h, c, e, g) - one(a, b - h, c, e, g)) / (2 * h)
                out[2, i] = (one(a, b, c + h, e, g) - one(a, b, c - h, e, g)) / (2 * h)
                out[3, i] = (one(a, b, c, e + h, g) - one(a, b, c, e - h, g)) / (2 * h)
                out[4, i] = (one(a, b, c, e, g + h) - one(a, b, c, e, g - h)) / (2 * h)
            return out

        runs[NUMBA] = lambda: loop(*market, np.empty((5, n)))
    if find_spec("jax"):
        jax, jnp = _jax()

        def there_price(*a: Any) -> Any:
            return price(*a, jnp, jax.scipy.special.ndtr)

        def quotient(*a: Any) -> list[Any]:
            moved = [([*a[:j], a[j] + h, *a[j + 1 :]], [*a[:j], a[j] - h, *a[j + 1 :]]) for j in range(5)]
            return [(there_price(*up) - there_price(*down)) / (2 * h) for up, down in moved]

        there = [jnp.asarray(a) for a in market]
        difference, exact = jax.jit(quotient), jax.jit(jax.vmap(jax.grad(there_price, argnums=range(5))))
        runs[JAX_DIFFERENCE] = lambda: jax.block_until_ready(difference(*there))
        runs[JAX_EXACT] = lambda: jax.block_until_ready(exact(*there))
    return runs, truth, 2e-5


def rosenbrock_gradient(scale: float) -> tuple[Runs, Any, float]:
    points = np.random.default_rng(0).standard_normal((int(1e4 * scale), 100))
    h = 1e-6

    def many(x: Any) -> Any:
        return np.sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1)

    def loop(numba: Any) -> Any:
        @numba.njit
        def f(x: Any) -> float:
            total = 0.0
            for i in range(x.size - 1):
                total += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
            return total

        return f

    truth = np.zeros_like(points)
    truth[:, :-1] = -400 * points[:, :-1] * (points[:, 1:] - points[:, :-1] ** 2) - 2 * (1 - points[:, :-1])
    truth[:, 1:] += 200 * (points[:, 1:] - points[:, :-1] ** 2)
    runs = fastdiff_runs(fastdiff.gradient, rosenbrock, points, few=[points[::FEW]], h=h)
    runs[BY_HAND] = lambda: by_variable(many, points, h, 250)
    if find_spec("numexpr"):
        import numexpr

        def evaluated(x: Any) -> Any:
            terms = {"x": x[:, :-1], "y": x[:, 1:]}
            return numexpr.evaluate("sum(100 * (y - x**2)**2 + (1 - x)**2, axis=1)", terms)

        runs[NUMEXPR] = lambda: by_variable(evaluated, points, h, 1000)
    runs |= numba_runs(loop, points, (), h)
    runs |= jax_runs(rosenbrock, points, h)
    return runs, truth, 1e-2


def ode_jacobian(scale: float) -> tuple[Runs, Any, float]:
    points = np.random.default_rng(0).standard_normal((int(1e4 * scale), 40))
    d, h = points.shape[1], 1e-6

    def many(x: Any) -> Any:
        return (np.roll(x, -1, axis=1) - np.roll(x, 2, axis=1)) * np.roll(x, 1, axis=1) - x + 8.0

    def loop(numba: Any) -> Any:
        @numba.njit
        def f(x: Any) -> Any:
            out = np.empty(x.size)
            for i in range(x.size):
                out[i] = (x[(i + 1) % x.size] - x[i - 2]) * x[i - 1] - x[i] + 8.0
            return out

        return f

    truth, i = np.zeros((*points.shape, d)), np.arange(d)
    truth[:, i, i] = -1.0
    truth[:, i, (i + 1) % d] = points[:, i - 1]
    truth[:, i, i - 2] = -points[:, i - 1]
    truth[:, i, i - 1] = points[:, (i + 1) % d] - points[:, i - 2]
    runs = fastdiff_runs(fastdiff.jacobian, lorenz96, points, few=[points[::FEW]], h=h)
    runs[BY_HAND] = lambda: by_variable(many, points, h, 1000)
    if find_spec("numexpr"):
        import numexpr

        def evaluated(x: Any) -> Any:
            terms = {"x": x, "a": np.roll(x, -1, axis=1), "b": np.roll(x, 2, axis=1), "c": np.roll(x, 1, axis=1)}
            return numexpr.evaluate("(a - b) * c - x + 8.0", terms)

        runs[NUMEXPR] = lambda: by_variable(evaluated, points, h, 1000)
    runs |= numba_runs(loop, points, (d,), h)
    runs |= jax_runs(lorenz96, points, h)
    return runs, truth, 1e-7


def logistic_regression(scale: float) -> tuple[Runs, Any, float]:
    rng = np.random.default_rng(0)
    data, label = rng.standard_normal((200, 20)), (rng.random(200) > 0.5) * 1.0
    weights = rng.standard_normal((int(1000 * scale), 20)) / 4
    h = 1e-5

    def loss(w: Any, xp: Any = np) -> Any:
        z = data @ w
        return xp.mean(xp.logaddexp(0.0, z) - label * z)

    def many(w: Any) -> Any:
        z = w @ data.T
        return (np.logaddexp(0.0, z) - label * z).mean(axis=1)

    def loop(numba: Any) -> Any:
        @numba.njit
        def f(w: Any) -> float:
            total = 0.0
            for i in range(len(data)):
                z = 0.0
                for j in range(w.size):
                    z += data[i, j] * w[j]
                total += max(z, 0.0) + math.log1p(math.exp(-abs(z))) - label[i] * z
            return total / len(data)

        return f

    truth = (1 / (1 + np.exp(-weights @ data.T)) - label) @ data / len(data)
    runs = fastdiff_runs(fastdiff.gradient, loss, weights, h=h)
    runs[BY_HAND] = lambda: by_variable(many, weights, h, len(weights))
    if find_spec("numexpr"):
        import numexpr

        def evaluated(w: Any) -> Any:
            terms = {"z": w @ data.T, "y": label}
            return numexpr.evaluate("sum(log(1 + exp(z)) - y * z, axis=1)", terms) / len(data)

        runs[NUMEXPR] = lambda: by_variable(evaluated, weights, h, len(weights))
    runs |= numba_runs(loop, weights, (), h)
    runs |= jax_runs(loss, weights, h)
    return runs, truth, 1e-8


BENCHMARKS = {
    "softplus, 10^7 points, h given": softplus_given,
    "Black-Scholes, five partials of 10^6 options, h='scaled'": black_scholes,
    "Rosenbrock, gradients of 10^4 points x 100 variables": rosenbrock_gradient,
    "Lorenz 96, Jacobians of 10^4 points x 40 variables": ode_jacobian,
    "logistic regression, gradients at 1000 points x 20 weights": logistic_regression,
}


def measure(runs: Runs, truth: Any, tolerance: float, rounds: int) -> dict[str, float]:
    """Least seconds of each, taken in turns; the first turn checks the answers."""
    found, share = {}, {}
    whole = np.asarray(truth)
    for name, run in runs.items():
        value = run()
        share[name] = FEW if len(value) != len(whole) else 1
        agree(name, value, whole[:: share[name]], tolerance)
        found[name] = float("inf")
    if ONE_THREAD in runs:
        same = [np.asarray(runs[name]()) for name in (REFERENCE, ONE_THREAD)]
        assert np.array_equal(*same), "the number of threads changes the numbers"
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            found[name] = min(found[name], share[name] * (time.perf_counter() - begin))
    return found


def digest(value: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()


def in_numpy_backend(title: str, options: argparse.Namespace, value: Any) -> float:
    """Seconds of fastdiff in a process where the NumPy backend runs, and calls f from Python; the values are the same."""
    command = [sys.executable, __file__, "--json", f"--only={title}", f"--scale={options.scale}"]
    command.append(f"--rounds={options.rounds}")
    run = subprocess.run(command, env=os.environ | {"FASTDIFF_BACKEND": "numpy"}, stdout=subprocess.PIPE, check=True)
    seconds, found = json.loads(run.stdout)
    assert found == digest(value), f"{title}: the backends differ"
    return float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="benchmarks whose name contains this")
    parser.add_argument("--plot", help="write a picture of the ratios to this file; needs matplotlib")
    parser.add_argument("--json", action="store_true", help="f called from Python only, for a program to read")
    options = parser.parse_args()
    tables = {}
    for title, make in BENCHMARKS.items():
        if options.only.lower() not in title.lower():
            continue
        runs, truth, tolerance = make(options.scale)
        if options.json:
            runs = {FROM_PYTHON: runs[FROM_PYTHON]}
            found = measure(runs, truth, tolerance, options.rounds)
            print(json.dumps([found[FROM_PYTHON], digest(runs[FROM_PYTHON]())]))
            continue
        found = tables[title] = measure(runs, truth, tolerance, options.rounds)
        if backend.NAME == "compiled":
            found[NUMPY_BACKEND] = in_numpy_backend(title, options, runs[FROM_PYTHON]())
        print(f"{title}\n  {'':38} {'ms':>9} {'times fastdiff':>15}")
        for name, seconds in found.items():
            print(f"  {name:38} {1e3 * seconds:9.1f} {seconds / found[REFERENCE]:14.2f}x")
    if options.plot:
        plot(tables, options.plot)


def plot(tables: dict[str, dict[str, float]], file: str) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(tables), figsize=(8, 2.2 * len(tables)), squeeze=False)
    for ax, (title, found) in zip(axes[:, 0], tables.items()):
        names = list(found)[::-1]
        ax.barh(names, [found[name] / found[REFERENCE] for name in names])
        ax.set(title=title, xscale="log", xlabel="time, in units of fastdiff's")
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    main()
