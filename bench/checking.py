"""Do checks of gradients say what is true? `python bench/checking.py [--points 1000] [--only NAME] [--right-only] [--no-peers] [--verbose]`

Every family of functions is checked at random points, with

- its correct gradient: *alarms* counts "wrong", *unsure* counts "inconclusive";
- a gradient with one entry off by a relative 1e-5 and 1e-7 (of float32 models a tenth), among those entries that change f
  by at least a thousandth as much as the largest does when they change by their own size: *missed* counts "correct".

The peers see the same points, with their usual thresholds: `scipy.optimize.check_grad` with the norm of the difference
below 1e-5, `torch.autograd.gradcheck` on float64, `jax.test_util.check_grads` and HIPS autograd's `check_grads` with their
defaults. For them an exception or False on the correct gradient is an alarm.

The functions are written once for all of NumPy, autograd, JAX and PyTorch; correct gradients are autograd's.
"""

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

from fastdiff import check_gradient

Point = np.ndarray


@dataclass(frozen=True)
class Family:
    """f(xp, x) for a namespace of array functions, and random points."""

    name: str
    f: Callable[[Any, Any], Any]
    point: Callable[[np.random.Generator], Point]
    planted: bool = True


DATA = np.random.default_rng(20)
X = DATA.normal(size=(40, 8))
Y = (X @ DATA.normal(size=8) + 0.5 * DATA.normal(size=40) > 0) * 2.0 - 1.0
IN = DATA.normal(size=(30, 3))
OUT = np.sin(IN.sum(axis=1))
GRID = np.linspace(0, 3, 12)
SEEN = np.sin(2 * GRID) + 0.1 * DATA.normal(size=12)


def logistic(xp, w):
    m = xp.matmul(xp.asarray(Y[:, None] * X), w)
    return xp.sum(xp.log1p(xp.exp(-xp.abs(m))) + xp.where(m < 0, -m, 0.0 * m)) + 0.05 * xp.sum(w * w)


def net(xp, w):
    hidden = xp.tanh(xp.matmul(xp.asarray(IN), xp.reshape(w[:12], (3, 4))) + w[12:16])
    return xp.mean((xp.matmul(hidden, w[16:20]) + w[20] - xp.asarray(OUT)) ** 2)


def logsumexp(factor):
    def f(xp, x):
        top = xp.max(x)
        return xp.log(xp.sum(xp.exp(factor * (x - top)))) / factor + top

    return f


POWERS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 2.0])


def polynomial(xp, x):
    return xp.sum(x ** xp.asarray(POWERS)) + x[0] * x[1]


def likelihood(xp, p):
    apart = xp.asarray((GRID[:, None] - GRID) ** 2)
    k = xp.exp(2 * p[1] - apart * xp.exp(-2 * p[0]) / 2) + xp.exp(2 * p[2]) * xp.asarray(np.eye(12))
    y = xp.asarray(SEEN)
    return xp.sum(y * xp.linalg.solve(k, y)) / 2 + xp.linalg.slogdet(k)[1] / 2


def predator(xp, p):
    prey, hunters, h = 10.0 + 0.0 * p[0], 5.0 + 0.0 * p[0], 0.05

    def rate(a, b):
        return a * (p[0] - p[1] * b), b * (p[3] * a - p[2])

    for _ in range(20):
        k1 = rate(prey, hunters)
        k2 = rate(prey + h / 2 * k1[0], hunters + h / 2 * k1[1])
        k3 = rate(prey + h / 2 * k2[0], hunters + h / 2 * k2[1])
        k4 = rate(prey + h * k3[0], hunters + h * k3[1])
        prey = prey + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        hunters = hunters + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    return prey + hunters


# Of J. J. Moré, B. S. Garbow and K. E. Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981) 17-41:
# residuals and starting points.
T15 = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
Y15 = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
T10 = 0.1 * np.arange(1, 11)
MORE = {
    "Rosenbrock": (lambda xp, x: [10 * (x[1] - x[0] ** 2), 1 - x[0]], [-1.2, 1]),
    "Freudenstein Roth": (
        lambda xp, x: [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]],
        [0.5, -2],
    ),
    "Powell badly scaled": (lambda xp, x: [1e4 * x[0] * x[1] - 1, xp.exp(-x[0]) + xp.exp(-x[1]) - 1.0001], [0.1, 1]),
    "Brown badly scaled": (lambda xp, x: [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2], [1, 1]),
    "Beale": (lambda xp, x: [1.5 - x[0] * (1 - x[1]), 2.25 - x[0] * (1 - x[1] ** 2), 2.625 - x[0] * (1 - x[1] ** 3)], [1, 1]),
    "Jennrich Sampson": (lambda xp, x: [2 + 2 * i - xp.exp(i * x[0]) - xp.exp(i * x[1]) for i in range(1, 11)], [0.3, 0.4]),
    "Box": (
        lambda xp, x: [
            xp.exp(-t * x[0]) - xp.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t)) for t in T10
        ],
        [0.5, 10, 20],
    ),
    "Powell singular": (
        lambda xp, x: [x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2],
        [3, -1, 0.5, 1],
    ),
    "Wood": (
        lambda xp, x: [
            10 * (x[1] - x[0] ** 2), 1 - x[0], 90**0.5 * (x[3] - x[2] ** 2), 1 - x[2],
            10**0.5 * (x[1] + x[3] - 2), (x[1] - x[3]) / 10**0.5,
        ],
        [-3, -1, -3, -1],
    ),
    "Kowalik Osborne": (
        lambda xp, x: [y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3]) for y, u in zip(Y15, T15)],
        [0.25, 0.39, 0.415, 0.39],
    ),
    "Brown Dennis": (
        lambda xp, x: [
            (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2 for t in 2 * T10
        ],
        [25, 5, -5, -1],
    ),
    "Biggs": (
        lambda xp, x: [
            x[2] * xp.exp(-t * x[0]) - x[3] * xp.exp(-t * x[1]) + x[5] * xp.exp(-t * x[4])
            - (np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)) for t in T10
        ],
        [1, 2, 1, 1, 1, 1],
    ),
    "trigonometric": (
        lambda xp, x: [8 - xp.sum(xp.cos(x)) + (i + 1) * (1 - xp.cos(x[i])) - xp.sin(x[i]) for i in range(8)], [1 / 8] * 8
    ),
    "Brown almost linear": (
        lambda xp, x: [*(x[i] + xp.sum(x) - 7 for i in range(5)), x[0] * x[1] * x[2] * x[3] * x[4] * x[5] - 1], [0.5] * 6
    ),
    "Broyden tridiagonal": (
        lambda xp, x: [
            (3 - 2 * x[i]) * x[i] - (x[i - 1] if i else 0) - (2 * x[i + 1] if i < 9 else 0) + 1 for i in range(10)
        ],
        [-1] * 10,
    ),
}  # fmt: skip


def squares(residuals):
    def f(xp, x):
        total = 0.0
        for r in residuals(xp, x):
            total = total + r * r
        return total

    return f


def around(start):
    start = np.asarray(start, float)
    return lambda rng: start * rng.choice([1.0, 1.0, 1.0, 10.0]) * (1 + 0.3 * rng.normal(size=len(start)))


FAMILIES = [
    Family("logistic regression", logistic, lambda rng: rng.normal(size=8)),
    Family("small network", net, lambda rng: rng.normal(size=21)),
    Family("log-sum-exp, 100", logsumexp(100.0), lambda rng: rng.normal(size=5) * 0.05),
    Family("log-sum-exp, 1e4", logsumexp(1e4), lambda rng: rng.normal(size=5) * 1e-4),
    Family("badly scaled polynomial", polynomial, lambda rng: 10.0 ** rng.uniform(-6, 6, 6) * rng.choice([-1, 1], 6)),
    Family("1e6 + sin", lambda xp, x: 1e6 + xp.sum(xp.sin(x)), lambda rng: rng.normal(size=3) * 3),
    Family("cos(1e4 x)", lambda xp, x: xp.sum(xp.cos(1e4 * x)), lambda rng: rng.normal(size=3)),
    Family("sum of logs", lambda xp, x: xp.sum(xp.log(x)), lambda rng: 10.0 ** rng.uniform(-9, 3, 6)),
    Family("Gaussian process", likelihood, lambda rng: np.array([0.0, 0.0, -1.5]) + 0.7 * rng.normal(size=3)),
    Family("ODE", predator, lambda rng: np.array([1.1, 0.4, 0.4, 0.1]) * np.exp(0.3 * rng.normal(size=4))),
    *(Family(name, squares(r), around(start)) for name, (r, start) in MORE.items()),
]


def single(xp, w, hinge):
    """A network for float32: x of 1 + 8 * 7 numbers."""
    first, second = xp.reshape(w[:48], (6, 8)), w[48:56]
    a = xp.matmul(xp.asarray(SINGLE_IN), first)
    hidden = xp.where(a > 0, a, 0 * a) if hinge else xp.tanh(a)
    return xp.mean((xp.matmul(hidden, second) + w[56] - xp.asarray(SINGLE_OUT)) ** 2)


SINGLE_IN = DATA.normal(size=(64, 6)).astype(np.float32)
SINGLE_OUT = np.sin(SINGLE_IN.sum(axis=1))


def important(rng, x, g):
    """An entry that matters."""
    share = np.abs(g * np.where(x == 0, 1.0, x))
    return int(rng.choice(np.flatnonzero(share >= 1e-3 * share.max())))


def run(family, points, verbose, right_only):
    rng = np.random.default_rng(1)
    gradient = autograd.grad(lambda x: family.f(anp, x))
    count = Counter()
    nfev = []
    for k in range(points):
        x = family.point(rng)
        with np.errstate(all="ignore"):
            g = gradient(x)
        if not np.isfinite(g).all() or not np.any(g):
            count["skipped"] += 1
            continue
        f = lambda z: family.f(np, z)  # noqa: E731
        report = check_gradient(f, gradient, x)
        nfev.append(report.nfev)
        count["alarms"] += report.verdict == "wrong"
        count["unsure"] += report.verdict == "inconclusive"
        if verbose and not report.ok:
            print(f"{family.name}, point {k}: x = {x!r}\n{report}")
        for name, size in () if right_only else (("missed 1e-5", 1e-5), ("missed 1e-7", 1e-7)):
            i = important(rng, x, g)
            bad = g.copy()
            bad[i] *= 1 + size * rng.choice([-1, 1])
            planted = check_gradient(f, bad, x)
            count[name] += planted.verdict == "correct"
            count["unsure" + name[6:]] += planted.verdict == "inconclusive"
            if verbose and planted.verdict != "wrong" and size > 1e-6:
                print(f"{family.name}, point {k}, planted in {i}: x = {x!r}\n{planted}")
    return count, float(np.median(nfev)) if nfev else 0.0


def peers(family, points):
    """Alarms of the others on the correct gradient."""
    import jax
    import scipy.optimize
    import torch
    from autograd.test_util import check_grads as autograd_check
    from jax.test_util import check_grads as jax_check

    jax.config.update("jax_enable_x64", True)
    gradient = autograd.grad(lambda x: family.f(anp, x))
    found = Counter()
    jitted = jax.jit(lambda x: family.f(jax.numpy, x))

    def scipy_says(x):
        return scipy.optimize.check_grad(lambda z: family.f(np, z), gradient, x) < 1e-5

    def torch_says(x):
        t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        return torch.autograd.gradcheck(lambda z: family.f(torch, z), t, raise_exception=False)

    def jax_says(x):
        jax_check(jitted, (x,), order=1)
        return True

    def autograd_says(x):
        autograd_check(lambda z: family.f(anp, z), modes=["rev"], order=1)(x)
        return True

    for name, says in (("scipy", scipy_says), ("torch", torch_says), ("jax", jax_says), ("autograd", autograd_says)):
        rng = np.random.default_rng(1)
        for _ in range(points):
            x = family.point(rng)
            rng_state = rng.bit_generator.state
            with np.errstate(all="ignore"):
                g = gradient(x)
            if not np.isfinite(g).all() or not np.any(g):
                continue
            try:
                with np.errstate(all="ignore"):
                    found[name] += not says(x)
            except Exception:  # an assertion of theirs, or a function they cannot take: an alarm in a test suite
                found[name] += 1
            rng.bit_generator.state = rng_state
    return found


def float32(points, verbose, right_only):
    import jax

    for hinge in (False, True):
        f = jax.jit(lambda w, hinge=hinge: single(jax.numpy, w, hinge))
        g = jax.jit(jax.grad(f))
        rng = np.random.default_rng(2)
        count = Counter()
        for _ in range(points):
            x = jax.numpy.asarray(0.5 * rng.normal(size=57), dtype="float32")
            report = check_gradient(f, g, x)
            count["alarms"] += report.verdict == "wrong"
            count["unsure"] += report.verdict == "inconclusive"
            if verbose and not report.ok:
                print(report)
            if right_only:
                continue
            right = np.asarray(g(x))
            i = important(rng, np.asarray(x), right)
            bad = right.copy()
            bad[i] *= 1.1
            planted = check_gradient(f, bad, x)
            count["missed"] += planted.verdict == "correct"
            if verbose and planted.verdict != "wrong":
                print("planted", i, planted)
        print(f"{'relu' if hinge else 'tanh'} network in float32: {dict(count)}  (planted: a tenth)")


def main():
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--only")
    parser.add_argument("--right-only", action="store_true", help="no planted errors: they take most of the time")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    columns = ("alarms", "unsure", "missed 1e-5", "unsure 1e-5", "missed 1e-7", "unsure 1e-7")
    names = () if options.no_peers else ("scipy", "torch", "jax", "autograd")
    print(
        f"{'of ' + str(options.points) + ' points':25}",
        *(f"{c:>12}" for c in (*columns, "evaluations", *names)),
        sep="",
    )
    alarms = 0
    begin = time.perf_counter()
    for family in FAMILIES:
        if options.only and options.only not in family.name:
            continue
        count, nfev = run(family, options.points, options.verbose, options.right_only)
        alarms += count["alarms"]
        others = peers(family, options.points) if names else {}
        cells = [*(count[c] for c in columns), f"{nfev:g}", *(others[n] for n in names)]
        print(f"{family.name:25}", *(f"{c:>12}" for c in cells), sep="", flush=True)
    if not options.only or "float32" in options.only:
        float32(options.points, options.verbose, options.right_only)
    print(f"{time.perf_counter() - begin:.0f} s")
    assert alarms == 0, f"{alarms} false alarms"


if __name__ == "__main__":
    main()
