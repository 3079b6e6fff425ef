"""What does recording gain? `python bench/trace.py [--scale 1.0] [--plot trace.svg]`

Plain NumPy functions, recorded and replayed, beside fastdiff calling them from Python (in either backend the same to the
last bit), the quotient written by hand in NumPy, and numba, numexpr and JAX where they are installed: in one process, in
turns, the least time of several rounds. JAX differentiates exactly, too. Every answer is checked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import special
from timing import agree

import fastdiff

Run = Callable[[], Any]
REFERENCE = "fastdiff"


# --- the functions ---


def softplus(x: Any) -> Any:
    return np.log(1 + np.exp(x))


def price(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
    """Black and Scholes: a European call."""
    d = (np.log(s / k) + (r + v * v / 2) * t) / (v * np.sqrt(t))
    return s * special.ndtr(d) - k * np.exp(-r * t) * special.ndtr(d - v * np.sqrt(t))


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def lorenz96(x: Any) -> Any:
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0


# --- benchmarks: the ways to the same numbers, their truth, and how far from it they may be ---


def softplus_given(scale: float) -> tuple[dict[str, Run], Any, float]:
    x = np.linspace(-5, 5, int(1e7 * scale))
    h = 1e-5
    runs: dict[str, Run] = {
        REFERENCE: lambda: fastdiff.derivative(softplus, x, h=h),
        "one thread": lambda: fastdiff.derivative(softplus, x, h=h, threads=1),
        "f from Python": lambda: fastdiff.derivative(softplus, x, h=h, engine="python"),
        "NumPy by hand": lambda: (softplus(x + h) - softplus(x - h)) / (2 * h),
    }
    if find_spec("numexpr"):
        import numexpr

        formula = f"(log(1 + exp(x + {h})) - log(1 + exp(x - {h}))) / {2 * h}"
        runs["numexpr"] = lambda: numexpr.evaluate(formula, {"x": x})
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
        runs["numba, parallel"] = lambda: loop(x, np.empty_like(x))
        runs["fastdiff of a numba cfunc"] = lambda: fastdiff.derivative(pointer, x, h=h)
        runs["fastdiff of a numba ufunc"] = lambda: fastdiff.derivative(ufunc, x, h=h)
    if find_spec("jax"):
        jax, jnp = _jax()

        def g(x: Any) -> Any:
            return jnp.log(1 + jnp.exp(x))

        there = jnp.asarray(x)
        quotient = jax.jit(lambda x: (g(x + h) - g(x - h)) / (2 * h))
        exact = jax.jit(jax.vmap(jax.grad(g)))
        runs["JAX, jitted difference"] = lambda: quotient(there).block_until_ready()
        runs["JAX, jitted exact gradient"] = lambda: exact(there).block_until_ready()
    return runs, 1 / (1 + np.exp(-x)), 1e-9


def black_scholes(scale: float) -> tuple[dict[str, Run], Any, float]:
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
    runs: dict[str, Run] = {
        REFERENCE: lambda: fastdiff.partials(price, *market, h="scaled"),
        "one thread": lambda: fastdiff.partials(price, *market, h="scaled", threads=1),
        "f from Python": lambda: fastdiff.partials(price, *market, h="scaled", engine="python"),
        "NumPy by hand": by_hand,
    }
    if find_spec("jax"):
        jax, jnp = _jax()
        ndtr = jax.scipy.special.ndtr

        def g(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
            d = (jnp.log(s / k) + (r + v * v / 2) * t) / (v * jnp.sqrt(t))
            return s * ndtr(d) - k * jnp.exp(-r * t) * ndtr(d - v * jnp.sqrt(t))

        there = [jnp.asarray(a) for a in market]
        moved = [(h if i == j else 0.0) for j in range(5) for i in range(5)]
        quotient = jax.jit(
            lambda *a: [
                (
                    g(*(x + m for x, m in zip(a, moved[5 * j : 5 * j + 5])))
                    - g(*(x - m for x, m in zip(a, moved[5 * j : 5 * j + 5])))
                )
                / (2 * h)
                for j in range(5)
            ]
        )
        exact = jax.jit(jax.vmap(jax.grad(g, argnums=range(5))))
        runs["JAX, jitted difference"] = lambda: jax.block_until_ready(quotient(*there))
        runs["JAX, jitted exact gradient"] = lambda: jax.block_until_ready(exact(*there))
    return runs, truth, 2e-5


def rosenbrock_gradient(scale: float) -> tuple[dict[str, Run], Any, float]:
    points = np.random.default_rng(0).standard_normal((int(1e4 * scale), 100))
    h = 1e-6

    def many(x: Any) -> Any:
        return np.sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1)

    def by_hand() -> Any:
        """A variable at a time, 250 points at a time: what stays in cache."""
        found = np.empty_like(points)
        for begin in range(0, len(points), 250):
            part = points[begin : begin + 250].copy()
            for j in range(part.shape[1]):
                x = part[:, j].copy()
                part[:, j] = x + h
                up = many(part)
                part[:, j] = x - h
                found[begin : begin + 250, j] = (up - many(part)) / (2 * h)
                part[:, j] = x
        return found

    truth = special_rosenbrock(points)
    few = points[: max(1, len(points) // 50)]
    runs: dict[str, Run] = {
        REFERENCE: lambda: fastdiff.gradient(rosenbrock, points, h=h),
        "one thread": lambda: fastdiff.gradient(rosenbrock, points, h=h, threads=1),
        "f from Python, a 50th of the points": lambda: fastdiff.gradient(rosenbrock, few, h=h, engine="python"),
        "NumPy by hand": by_hand,
    }
    if find_spec("jax"):
        jax, jnp = _jax()

        def g(x: Any) -> Any:
            return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

        there, unit = jnp.asarray(points), jnp.eye(points.shape[1]) * h
        quotient = jax.jit(jax.vmap(lambda x: jax.vmap(lambda e: (g(x + e) - g(x - e)) / (2 * h))(unit)))
        exact = jax.jit(jax.vmap(jax.grad(g)))
        runs["JAX, jitted difference"] = lambda: quotient(there).block_until_ready()
        runs["JAX, jitted exact gradient"] = lambda: exact(there).block_until_ready()
    return runs, truth, 1e-2


def special_rosenbrock(x: Any) -> Any:
    found = np.zeros_like(x)
    found[:, :-1] = -400 * x[:, :-1] * (x[:, 1:] - x[:, :-1] ** 2) - 2 * (1 - x[:, :-1])
    found[:, 1:] += 200 * (x[:, 1:] - x[:, :-1] ** 2)
    return found


def ode_jacobian(scale: float) -> tuple[dict[str, Run], Any, float]:
    points = np.random.default_rng(0).standard_normal((int(1e4 * scale), 40))
    d, h = points.shape[1], 1e-6

    def by_hand() -> Any:
        found = np.empty((*points.shape, d))
        for j in range(d):
            up, down = points.copy(), points.copy()
            up[:, j] += h
            down[:, j] -= h
            found[:, :, j] = (many(up) - many(down)) / (2 * h)
        return found

    def many(x: Any) -> Any:
        return (np.roll(x, -1, axis=1) - np.roll(x, 2, axis=1)) * np.roll(x, 1, axis=1) - x + 8.0

    truth, i = np.zeros((*points.shape, d)), np.arange(d)
    truth[:, i, i] = -1.0
    truth[:, i, (i + 1) % d] = points[:, i - 1]
    truth[:, i, i - 2] = -points[:, i - 1]
    truth[:, i, i - 1] = points[:, (i + 1) % d] - points[:, i - 2]
    few = points[: max(1, len(points) // 50)]
    runs: dict[str, Run] = {
        REFERENCE: lambda: fastdiff.jacobian(lorenz96, points, h=h),
        "one thread": lambda: fastdiff.jacobian(lorenz96, points, h=h, threads=1),
        "f from Python, a 50th of the points": lambda: fastdiff.jacobian(lorenz96, few, h=h, engine="python"),
        "NumPy by hand": by_hand,
    }
    return runs, truth, 1e-7


def logistic_regression(scale: float) -> tuple[dict[str, Run], Any, float]:
    rng = np.random.default_rng(0)
    data, label = rng.standard_normal((200, 20)), (rng.random(200) > 0.5) * 1.0
    weights = rng.standard_normal((int(1000 * scale), 20)) / 4
    h = 1e-5

    def loss(w: Any) -> Any:
        z = data @ w
        return np.mean(np.logaddexp(0.0, z) - label * z)

    def by_hand() -> Any:
        found = np.empty_like(weights)
        for j in range(weights.shape[1]):
            up, down = weights.copy(), weights.copy()
            up[:, j] += h
            down[:, j] -= h
            a, b = up @ data.T, down @ data.T
            quotient = (np.logaddexp(0.0, a) - label * a) - (np.logaddexp(0.0, b) - label * b)
            found[:, j] = quotient.mean(axis=1) / (2 * h)
        return found

    truth = (1 / (1 + np.exp(-weights @ data.T)) - label) @ data / len(data)
    runs: dict[str, Run] = {
        REFERENCE: lambda: fastdiff.gradient(loss, weights, h=h),
        "one thread": lambda: fastdiff.gradient(loss, weights, h=h, threads=1),
        "f from Python": lambda: fastdiff.gradient(loss, weights, h=h, engine="python"),
        "NumPy by hand": by_hand,
    }
    return runs, truth, 1e-8


BENCHMARKS = {
    "softplus, 10^7 points, h given": softplus_given,
    "Black-Scholes, five partials of 10^6 options, h='scaled'": black_scholes,
    "Rosenbrock, gradients of 10^4 points x 100 variables": rosenbrock_gradient,
    "Lorenz 96, Jacobians of 10^4 points x 40 variables": ode_jacobian,
    "logistic regression, gradients at 1000 points x 20 weights": logistic_regression,
}


def _jax() -> tuple[Any, Any]:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


def measure(runs: dict[str, Run], truth: Any, tolerance: float, rounds: int) -> dict[str, float]:
    """Least seconds of each, taken in turns; the first turn checks the answers."""
    found = {}
    for name, run in runs.items():
        value = run()
        whole = np.asarray(truth)
        agree(name, value, whole[: len(value)] if len(value) != len(whole) else whole, tolerance)
        found[name] = float("inf")
    same = [np.asarray(runs[name]()) for name in (REFERENCE, "one thread")]
    assert np.array_equal(*same), "the number of threads changes the numbers"
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            found[name] = min(found[name], time.perf_counter() - begin)
    return {name: s * 50 if "50th" in name else s for name, s in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="benchmarks whose name contains this")
    parser.add_argument("--plot", help="write a picture of the ratios to this file; needs matplotlib")
    options = parser.parse_args()
    tables = {}
    for title, make in BENCHMARKS.items():
        if options.only.lower() not in title.lower():
            continue
        found = tables[title] = measure(*make(options.scale), options.rounds)
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
