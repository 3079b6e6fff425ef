"""Scalar functions with exact first derivatives: what `accuracy.py` (and anyone else) measures against.

Every function is written once, against a namespace `m` of elementary and special functions, and used twice: with
NumPy and SciPy ufuncs (`Case.f`, elementwise on float64) and with mpmath. The truth is a symmetric difference of the
mpmath version at the exact double x, in 400 bits and again in 640 with a step 2**60 times smaller (more bits where a
scale asks for them); the two must agree to 25 digits. Float literals mean the same doubles on both sides.

`CASES` have a derivative that some step finds. `HARD` are kinks, jumps, noise, domain edges and the like; their truth
is None where there is no (finite, two-sided) derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import frexp, pi
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import scipy.special as sp
from mpmath import mp

Function = Callable[[Any], Any]
Formula = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """f at x, its exact derivative there (None: there is none), and what the case stresses."""

    name: str
    f: Function
    x: float
    truth: float | None
    stress: str


def _pick(module: Any, names: str) -> dict[str, Function]:
    return {name: getattr(module, name) for name in names.split()}


NUMPY = SimpleNamespace(
    **_pick(np, "exp exp2 expm1 log log1p log10 log2 sqrt cbrt sin cos tan sinh cosh tanh"),
    **_pick(np, "arcsin arccos arctan arcsinh arccosh arctanh"),
    **_pick(sp, "gamma gammaln digamma gammainc erf erfc erfcx dawsn ndtr log_ndtr expit logit expi"),
    **_pick(sp, "j0 j1 jv y0 i0e k0 ellipk"),
    airy=lambda x: sp.airy(x)[0],
    zeta=lambda x: sp.zeta(x, 1.0),
    lambertw=lambda x: np.real(sp.lambertw(x)),
    softplus=lambda x: np.logaddexp(0.0, x),
)

MPMATH = SimpleNamespace(
    **_pick(mp, "exp expm1 log log1p log10 sqrt sin cos tan sinh cosh tanh"),
    **{f"arc{name[1:]}": f for name, f in _pick(mp, "asin acos atan asinh acosh atanh").items()},
    **_pick(mp, "gamma digamma erf erfc j0 j1 zeta lambertw ellipk"),
    exp2=lambda x: mp.mpf(2) ** x,
    log2=lambda x: mp.log(x) / mp.log(2),
    cbrt=lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    gammaln=mp.loggamma,
    gammainc=lambda a, x: mp.gammainc(a, 0, x, regularized=True),
    erfcx=lambda x: mp.exp(x * x) * mp.erfc(x),
    dawsn=lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    ndtr=lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    log_ndtr=lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2),
    expit=lambda x: 1 / (1 + mp.exp(-x)),
    logit=lambda x: mp.log(x / (1 - x)),
    expi=mp.ei,
    jv=mp.besselj,
    y0=lambda x: mp.bessely(0, x),
    i0e=lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
    k0=lambda x: mp.besselk(0, x),
    airy=mp.airyai,
    softplus=lambda x: mp.log1p(mp.exp(x)),
)


def _slope(g: Formula, x: float, bits: int) -> Any:
    """Symmetric difference of the mpmath version with working precision `bits` (relative to 1 and to x)."""
    with mpmath.workprec(bits + 2 * abs(frexp(x)[1])):
        point = mp.mpf(x)
        h = (abs(point) or mp.mpf(1)) * mp.mpf(2) ** (-bits // 4)
        return (g(MPMATH, point + h) - g(MPMATH, point - h)) / (2 * h)


def exact_derivative(g: Formula, x: float) -> float:
    """The derivative of g at the double x, correctly rounded; raises if two precisions disagree."""
    for bits in (400, 1000, 6000):
        coarse, fine = _slope(g, x, bits), _slope(g, x, bits * 8 // 5)
        if fine != 0 and abs(coarse - fine) <= mp.mpf(10) ** -25 * abs(fine):
            return float(fine)
        if 0 < abs(fine) <= abs(coarse) * mp.mpf(2) ** -50:
            return 0.0  # both are truncation error alone: the derivative vanishes
    if abs(fine) < mp.mpf(10) ** -1000:
        return 0.0
    raise ArithmeticError(f"two precisions disagree at x={x!r}: {coarse}, {fine}")


# --- formulas too long for a line ---------------------------------------------------------------------------------


def _product(m: Any, x: Any, *, degree: int) -> Any:
    out = x - 1
    for root in range(2, degree + 1):
        out = out * (x - root)
    return out


def _horner(m: Any, x: Any, *, coefficients: tuple[int, ...]) -> Any:
    out = 0 * x
    for c in coefficients:
        out = out * x + c
    return out


def _normal_price(m: Any, spot: Any, vol: Any, strike: float = 100.0, rate: float = 0.05, years: float = 0.5) -> Any:
    """Black-Scholes price of a European call."""
    spread = vol * years**0.5
    d1 = (m.log(spot / strike) + (rate + vol * vol / 2) * years) / spread
    return spot * m.ndtr(d1) - strike * m.exp(-rate * years + 0 * vol) * m.ndtr(d1 - spread)


def _planck(m: Any, frequency: Any, kelvin: Any) -> Any:
    return 1.4745e-50 * frequency**3 / m.expm1(4.7992e-11 * frequency / kelvin)


def _planck_wavelength(m: Any, metres: Any) -> Any:
    return 1.1910e-16 / metres**5 / m.expm1(1.4388e-2 / (metres * 5800.0))


def _kepler(m: Any, mean: Any, *, e: float) -> Any:
    """Eccentric anomaly by Newton's method, enough steps for either precision."""
    anomaly = pi + 0 * mean
    for _ in range(25):
        anomaly = anomaly - (anomaly - e * m.sin(anomaly) - mean) / (1 - e * m.cos(anomaly))
    return anomaly


def _lennard_jones(m: Any, r: Any) -> Any:
    s6 = (3.4e-10 / r) ** 6
    return 4 * 1.65e-21 * (s6 * s6 - s6)


def _three_decays(m: Any, x: Any) -> Any:
    return m.exp(-x) + m.exp(-100 * x) + m.exp(-1e4 * x)


def _gaussian(m: Any, x: Any, w: float) -> Any:
    return m.exp(-(((x - 1) / w) ** 2))


def _lorentzian(m: Any, x: Any, w: float) -> Any:
    return 1 / (1 + ((x - 1) / w) ** 2)


T9 = (256, 0, -576, 0, 432, 0, -120, 0, 9, 0)
SEVENTH_POWER = (1, -7, 21, -35, 35, -21, 7, -1)

# --- the table: what it stresses, its name, the formula, the points ------------------------------------------------

Row = tuple[str, str, Formula, tuple[float, ...]]

TABLE: list[Row] = [
    # exponentials, from overflow to underflow
    ("exponential", "exp(x)", lambda m, x: m.exp(x), (-740, -700, -300, -30, -1, 0, 1e-9, 1, 20, 300, 700, 709)),
    ("exponential", "exp(-x^2)", lambda m, x: m.exp(-x * x), (0, 1e-3, 0.5, -3, 5, 10, 20)),
    ("exponential", "exp(100x)", lambda m, x: m.exp(100 * x), (-5, 0, 0.01, 1, 7)),
    ("exponential", "exp(-x/1e6)", lambda m, x: m.exp(-x / 1e6), (0, 1, 1e6, 1e8)),
    ("exponential", "2**x", lambda m, x: m.exp2(x), (-1000, 0.5, 1000)),
    ("exponential", "expm1(x)", lambda m, x: m.expm1(x), (-30, -1e-10, 0, 1e-5, 1)),
    ("exponential", "exp(exp(x))", lambda m, x: m.exp(m.exp(x)), (-3, 1, 5)),
    ("exponential", "sinh(x)", lambda m, x: m.sinh(x), (0, 1e-8, 1, -20, 700)),
    ("exponential", "cosh(x)", lambda m, x: m.cosh(x), (0, 1e-3, 5)),
    # logarithms, roots, powers
    ("power", "log(x)", lambda m, x: m.log(x), (1e-12, 1e-3, 0.5, 1, 7, 1e5, 1e10)),
    ("power", "log1p(x)", lambda m, x: m.log1p(x), (-0.999, -1e-9, 0, 1e-12, 1, 1e10)),
    ("power", "log10(x)", lambda m, x: m.log10(x), (1e-12, 3, 1e10)),
    ("power", "log2(x)", lambda m, x: m.log2(x), (1e-6, 10)),
    ("power", "sqrt(x)", lambda m, x: m.sqrt(x), (1e-12, 1e-4, 2, 1e10)),
    ("power", "cbrt(x)", lambda m, x: m.cbrt(x), (1e-12, 1e-3, -8, 27, 1e9)),
    ("power", "x**1.5", lambda m, x: x**1.5, (1e-12, 1e-5, 1, 1e6, 1e10)),
    ("power", "x**-2", lambda m, x: x**-2, (1e-12, 1e-5, 0.1, -3, 1e6)),
    ("power", "x**7.3", lambda m, x: x**7.3, (1e-3, 0.5, 10, 1e10)),
    ("power", "x**0.1", lambda m, x: x**0.1, (1e-12, 1, 1e10)),
    ("power", "1/x", lambda m, x: 1 / x, (1e-12, -1e-3, 1, -40, 1e9)),
    ("power", "x**x", lambda m, x: x**x, (1e-6, 1, 3)),
    # polynomials, roots, saddles
    ("polynomial", "3x-2", lambda m, x: 3 * x - 2, (0, 1, -5, 1e9, 1e-12)),
    ("polynomial", "x^2", lambda m, x: x * x, (0, 1e-12, 3, 1e9)),
    ("polynomial", "x^2-3x+2", lambda m, x: x * x - 3 * x + 2, (0, 1, 1.5, 1e4)),
    ("polynomial", "x^3", lambda m, x: x**3, (0, 1e-4, -2, 1e5)),
    ("polynomial", "x^4", lambda m, x: x**4, (0, 1e-3, 7)),
    ("polynomial", "x^9", lambda m, x: x**9, (0.1, 2, -30)),
    ("polynomial", "x^5-4x^3+x", lambda m, x: x**5 - 4 * x**3 + x, (-1, 0, 1.3)),
    ("polynomial", "T9(x)", partial(_horner, coefficients=T9), (-0.99, 0, 0.5, 1)),
    ("polynomial", "(x-1)...(x-10)", partial(_product, degree=10), (1, 5, 5.5, 10, 12)),
    ("polynomial", "(x-1)...(x-20)", partial(_product, degree=20), (3.3, 10, 20)),
    ("saddle", "(x-1)^3", lambda m, x: (x - 1) ** 3, (1, 1.001, 3)),
    ("saddle", "(x-1)^5", lambda m, x: (x - 1) ** 5, (1, 1.0001, 1.01)),
    ("saddle", "(x-1)^2", lambda m, x: (x - 1) ** 2, (1, 1 + 1e-7)),
    ("saddle", "5+(x-2)^3", lambda m, x: 5 + (x - 2) ** 3, (2, 2.01)),
    ("saddle", "x-sin(x)", lambda m, x: x - m.sin(x), (0, 0.1)),
    ("saddle", "sin(x)^4", lambda m, x: m.sin(x) ** 4, (0, 3.14)),
    # trigonometric and hyperbolic
    ("trigonometric", "sin(x)", lambda m, x: m.sin(x), (0, 1e-12, 1e-4, 1, pi / 2, -2, 3, 100, 1e5)),
    ("trigonometric", "cos(x)", lambda m, x: m.cos(x), (0, 1e-6, 1, pi / 2, 1e3)),
    ("trigonometric", "tan(x)", lambda m, x: m.tan(x), (0, 1, 1.5, 1.57, -3)),
    ("trigonometric", "tanh(x)", lambda m, x: m.tanh(x), (0, 0.5, -3, 10)),
    ("trigonometric", "arctan(x)", lambda m, x: m.arctan(x), (0, 1, -30, 1e6)),
    ("trigonometric", "arcsin(x)", lambda m, x: m.arcsin(x), (0, 0.5, -0.999)),
    ("trigonometric", "arccos(x)", lambda m, x: m.arccos(x), (0.3, 0.9999)),
    ("trigonometric", "arcsinh(x)", lambda m, x: m.arcsinh(x), (0, 1e6)),
    # oscillation
    ("oscillation", "sin(1000x)", lambda m, x: m.sin(1000 * x), (0, 0.3, 1, 10)),
    ("oscillation", "sin(1e6 x)", lambda m, x: m.sin(1e6 * x), (0, 1e-6, 0.1, 1, 3)),
    ("oscillation", "cos(1e4 x)", lambda m, x: m.cos(1e4 * x), (0.01, 1, -5)),
    ("oscillation", "sin(x^2)", lambda m, x: m.sin(x * x), (1, 30, 1000)),
    ("oscillation", "sin(1/x)", lambda m, x: m.sin(1 / x), (1e-3, 0.01, 0.1)),
    ("oscillation", "x sin(1/x)", lambda m, x: x * m.sin(1 / x), (1e-3, 0.02, 2)),
    ("oscillation", "sin(exp(x))", lambda m, x: m.sin(m.exp(x)), (1, 5, 9)),
    ("oscillation", "x+1e-3 sin(1000x)", lambda m, x: x + 1e-3 * m.sin(1000 * x), (1, 2)),
    ("oscillation", "sin(x)+1e-6 sin(1e5 x)", lambda m, x: m.sin(x) + 1e-6 * m.sin(1e5 * x), (0.5, 2)),
    ("oscillation", "sin(x)/x", lambda m, x: m.sin(x) / x, (1e-5, 1, 10, 1e4)),
    ("oscillation", "exp(-x/10) sin(5x)", lambda m, x: m.exp(-x / 10) * m.sin(5 * x), (0, 3, 50)),
    # narrow peaks and steps
    *(
        ("peak", f"lorentzian w={w:g}", lambda m, x, w=w: _lorentzian(m, x, w), (1, 1 + w / 2, 1 - 3 * w, 1 + 50 * w))
        for w in (1e-2, 1e-4, 1e-6)
    ),
    *(
        ("peak", f"gaussian w={w:g}", lambda m, x, w=w: _gaussian(m, x, w), (1, 1 + w / 2, 1 - 2 * w))
        for w in (1e-2, 1e-4, 1e-6)
    ),
    ("peak", "sin(x)+gaussian w=1e-3", lambda m, x: m.sin(x) + _gaussian(m, x, 1e-3), (1.0005, 0.998, 1.02, 2)),
    ("peak", "x^2+lorentzian w=1e-3", lambda m, x: x * x + _lorentzian(m, x, 1e-3), (1, 1.0005, 1.05)),
    ("peak", "exp(x)+1e-3 gaussian w=1e-5", lambda m, x: m.exp(x) + 1e-3 * _gaussian(m, x, 1e-5), (1.000005, 0.9)),
    ("peak", "Runge 1/(1+25x^2)", lambda m, x: 1 / (1 + 25 * x * x), (0, 0.2, 1, -5)),
    ("step", "tanh((x-1)/1e-4)", lambda m, x: m.tanh((x - 1) / 1e-4), (1, 1.00005, 0.9997, 1.001)),
    ("step", "expit(x)", lambda m, x: m.expit(x), (-700, -30, 0, 10)),
    ("step", "expit(1000(x-0.5))", lambda m, x: m.expit(1000 * (x - 0.5)), (0.5, 0.503, 0.48)),
    ("step", "softplus(x)", lambda m, x: m.softplus(x), (-50, 0, 1, 50)),
    ("step", "softplus(100x)", lambda m, x: m.softplus(100 * x), (-0.1, 0, 0.1)),
    ("step", "arctan(1000x)", lambda m, x: m.arctan(1000 * x), (0, 1e-3, -0.1)),
    ("step", "x+0.01 tanh(500x)", lambda m, x: x + 0.01 * m.tanh(500 * x), (0, 0.002, 0.5)),
    # offsets
    ("offset", "1e6+sin(x)", lambda m, x: 1e6 + m.sin(x), (0, 1, 2)),
    ("offset", "1e10+x^2", lambda m, x: 1e10 + x * x, (0.01, 1, 100)),
    ("offset", "1e6+exp(x)", lambda m, x: 1e6 + m.exp(x), (-3, 0, 1, 10)),
    ("offset", "1e12+x", lambda m, x: 1e12 + x, (0, 5)),
    ("offset", "1+1e-8 sin(x)", lambda m, x: 1 + 1e-8 * m.sin(x), (1, 3)),
    ("offset", "1e8+log(x)", lambda m, x: 1e8 + m.log(x), (0.01, 2)),
    ("offset", "sqrt(x)-1e6", lambda m, x: m.sqrt(x) - 1e6, (4, 1e-4)),
    ("offset", "1000+tanh(50x)", lambda m, x: 1000 + m.tanh(50 * x), (0, 0.03)),
    ("offset", "1e6+sin(100x)", lambda m, x: 1e6 + m.sin(100 * x), (0.2, 7)),
    # very small and very large x
    ("tiny x", "exp(x)", lambda m, x: m.exp(x), (1e-300, -1e-20)),
    ("tiny x", "sin(x)", lambda m, x: m.sin(x), (1e-300, 1e-100)),
    ("tiny x", "log(x)", lambda m, x: m.log(x), (1e-300, 1e-100)),
    ("tiny x", "sqrt(x)", lambda m, x: m.sqrt(x), (1e-200, 1e-100)),
    ("tiny x", "1/x", lambda m, x: 1 / x, (1e-100,)),
    ("tiny x", "x^2", lambda m, x: x * x, (1e-100,)),
    ("tiny x", "x exp(x)", lambda m, x: x * m.exp(x), (1e-100, 1e-12)),
    ("tiny x", "x log(x)", lambda m, x: x * m.log(x), (1e-200, 1e-12)),
    ("tiny x", "1/(1+x)", lambda m, x: 1 / (1 + x), (1e-200, 1e-12)),
    ("tiny x", "x/(x+1e-15)", lambda m, x: x / (x + 1e-15), (0, 1e-16, 1e-14)),
    ("tiny x", "sin(x/1e-50)", lambda m, x: m.sin(x / 1e-50), (1e-50, 1e-49)),
    ("huge x", "log(x)", lambda m, x: m.log(x), (1e100, 1e200)),
    ("huge x", "sqrt(x)", lambda m, x: m.sqrt(x), (1e15, 1e200)),
    ("huge x", "cbrt(x)", lambda m, x: m.cbrt(x), (-1e200,)),
    ("huge x", "1/x", lambda m, x: 1 / x, (1e15, 1e100)),
    ("huge x", "arctan(x)", lambda m, x: m.arctan(x), (1e9, 1e15)),
    ("huge x", "x^2", lambda m, x: x * x, (1e15, 1e100, -1e150)),
    ("huge x", "x log(x)", lambda m, x: x * m.log(x), (1e9, 1e100)),
    ("huge x", "sqrt(1+x^2)", lambda m, x: m.sqrt(1 + x * x), (1e9, 1e100)),
    ("huge x", "sin(x/1e9)", lambda m, x: m.sin(x / 1e9), (1e9, -2.5e10)),
    ("huge x", "tanh(x/1e15)", lambda m, x: m.tanh(x / 1e15), (1, 1e15)),
    ("huge x", "exp(-x/1e100)", lambda m, x: m.exp(-x / 1e100), (1e100, -3e99)),
    ("huge x", "x/(1+x)", lambda m, x: x / (1 + x), (1e6,)),
    # special functions
    ("special", "gamma(x)", lambda m, x: m.gamma(x), (1e-8, 0.5, 1, 5, 50, 170, -0.5, -3.7)),
    ("special", "gammaln(x)", lambda m, x: m.gammaln(x), (1e-10, 1.4616321449683622, 3, 1e5, 1e10)),
    ("special", "digamma(x)", lambda m, x: m.digamma(x), (1e-5, 0.5, 10, 1e6, -1.5)),
    ("special", "erf(x)", lambda m, x: m.erf(x), (0, 0.5, -2, 5)),
    ("special", "erfc(x)", lambda m, x: m.erfc(x), (-1, 1, 5, 20, 26)),
    ("special", "erfcx(x)", lambda m, x: m.erfcx(x), (0, 1, 50)),
    ("special", "dawsn(x)", lambda m, x: m.dawsn(x), (0, 0.9, 10)),
    ("special", "ndtr(x)", lambda m, x: m.ndtr(x), (-30, -5, 0, 2)),
    ("special", "log_ndtr(x)", lambda m, x: m.log_ndtr(x), (-100, -5, 0, 5)),
    ("special", "j0(x)", lambda m, x: m.j0(x), (0, 1, 2.404825557695773, 50, 1000)),
    ("special", "j1(x)", lambda m, x: m.j1(x), (0, 1.84, 10)),
    ("special", "jv(2.5,x)", lambda m, x: m.jv(2.5, x), (0.1, 3, 40)),
    ("special", "y0(x)", lambda m, x: m.y0(x), (1e-3, 1, 20)),
    ("special", "airy(x)", lambda m, x: m.airy(x), (-10, -2, 0, 2, 20)),
    ("special", "ellipk(x)", lambda m, x: m.ellipk(x), (-1, 0, 0.5, 0.99)),
    ("special", "zeta(x)", lambda m, x: m.zeta(x), (1.0001, 1.5, 2, 10, 40)),
    ("special", "lambertw(x)", lambda m, x: m.lambertw(x), (-0.3, 1e-9, 1, 1e5)),
    ("special", "i0e(x)", lambda m, x: m.i0e(x), (1e-3, 1, 100)),
    ("special", "k0(x)", lambda m, x: m.k0(x), (1e-6, 0.5, 5, 300)),
    ("special", "expi(x)", lambda m, x: m.expi(x), (0.1, 1, 10)),
    ("special", "gammainc(2.5,x)", lambda m, x: m.gammainc(2.5, x), (0.01, 2, 12)),
    # edges of domains
    ("edge", "log(1+x)", lambda m, x: m.log(1 + x), (-1 + 1e-9,)),
    ("edge", "sqrt(x-1)", lambda m, x: m.sqrt(x - 1), (1 + 1e-10, 1 + 1e-4)),
    ("edge", "arcsin(x)", lambda m, x: m.arcsin(x), (1 - 1e-8, -1 + 1e-5)),
    ("edge", "arccosh(x)", lambda m, x: m.arccosh(x), (1 + 1e-6, 5)),
    ("edge", "arctanh(x)", lambda m, x: m.arctanh(x), (0.5, 1 - 1e-9)),
    ("edge", "sqrt(1-x^2)", lambda m, x: m.sqrt(1 - x * x), (-0.5, 1 - 1e-9)),
    ("edge", "log(-log(x))", lambda m, x: m.log(-m.log(x)), (0.5, 1 - 1e-6)),
    ("edge", "log(x-1000)", lambda m, x: m.log(x - 1000), (1000 + 1e-7,)),
    ("edge", "(x-2)**0.25", lambda m, x: (x - 2) ** 0.25, (2 + 1e-8, 2.1)),
    ("edge", "1/(x-1)", lambda m, x: 1 / (x - 1), (1 + 1e-6, 0.99)),
    ("edge", "gamma(x)", lambda m, x: m.gamma(x), (-1 + 1e-6, -2.001)),
    ("edge", "ellipk(x)", lambda m, x: m.ellipk(x), (1 - 1e-8,)),
    ("edge", "logit(x)", lambda m, x: m.logit(x), (1e-9, 0.3, 0.9999)),
    ("edge", "lambertw(x)", lambda m, x: m.lambertw(x), (-0.3678,)),
    ("edge", "x**1.5", lambda m, x: x**1.5, (1e-9,)),
    ("edge", "exp(-1/x^2)", lambda m, x: m.exp(-1 / x**2), (0.05, 0.3, 2)),
    ("edge", "tan(x)", lambda m, x: m.tan(x), (1.5707,)),
    # compositions
    ("composition", "exp(sin(x))", lambda m, x: m.exp(m.sin(x)), (0, 1, -2, 100)),
    ("composition", "log(cosh(x))", lambda m, x: m.log(m.cosh(x)), (0, 0.5, 5)),
    ("composition", "sqrt(1+x^2)", lambda m, x: m.sqrt(1 + x * x), (0, 1e-8, 1, 1e4)),
    ("composition", "x exp(-x)", lambda m, x: x * m.exp(-x), (0, 1, 10, 100)),
    ("composition", "(x^3-2x+1)/(x^2+0.01)", lambda m, x: (x**3 - 2 * x + 1) / (x * x + 0.01), (0, 0.1, 1, -100)),
    ("composition", "(1+2x)/(3-x+x^4)", lambda m, x: (1 + 2 * x) / (3 - x + x**4), (0, 0.7, -20)),
    ("composition", "sin(sin(sin(x)))", lambda m, x: m.sin(m.sin(m.sin(x))), (0, 1, 20)),
    ("composition", "log(1+exp(sin(x)))", lambda m, x: m.log(1 + m.exp(m.sin(x))), (0.3, 4)),
    ("composition", "arctan(exp(x))", lambda m, x: m.arctan(m.exp(x)), (-10, 0, 3)),
    ("composition", "log(log(x))", lambda m, x: m.log(m.log(x)), (1.01, 10, 1e10)),
    ("composition", "sqrt(x) sin(x) exp(-x)", lambda m, x: m.sqrt(x) * m.sin(x) * m.exp(-x), (0.01, 2, 15)),
    # formulas from the sciences
    ("science", "Black-Scholes in S", lambda m, x: _normal_price(m, x, 0.2 + 0 * x), (50, 100, 200)),
    ("science", "Black-Scholes in vol", lambda m, x: _normal_price(m, 95 + 0 * x, x), (0.03, 0.2, 2)),
    ("science", "Planck in T", lambda m, x: _planck(m, 3e13, x), (30, 300, 6000)),
    ("science", "Planck in frequency", lambda m, x: _planck(m, x, 300.0), (1e9, 3e13, 4e14)),
    ("science", "Planck in wavelength", _planck_wavelength, (5e-7, 1e-5)),
    ("science", "pendulum period", lambda m, x: 4 * (1 / 9.81) ** 0.5 * m.ellipk(m.sin(x / 2) ** 2), (0.1, 1, 3, 3.14)),
    (
        "science",
        "van der Waals pressure",
        lambda m, x: 8.314 * 300 / (x - 4.27e-5) - 0.364 / (x * x),
        (4.5e-5, 1e-4, 2.4e-2),
    ),
    ("science", "Michaelis-Menten", lambda m, x: 2e-6 * x / (5e-9 + x), (0, 1e-12, 1e-9, 1e-6)),
    ("science", "Hill", lambda m, x: x**4 / (1e-24 + x**4), (1e-8, 1e-6, 2e-5)),
    ("science", "Arrhenius", lambda m, x: 1e13 * m.exp(-8e4 / (8.314 * x)), (100, 300, 1500)),
    ("science", "Lennard-Jones", _lennard_jones, (3e-10, 3.4e-10, 3.8e-10, 2e-9)),
    ("science", "Kepler e=0.1", partial(_kepler, e=0.1), (0, 1)),
    ("science", "Kepler e=0.95", partial(_kepler, e=0.95), (1e-3, 0.1, 3)),
    ("science", "diode current", lambda m, x: 1e-12 * m.expm1(x / 0.02585), (-0.5, 0, 0.6)),
    ("science", "Lorentz factor", lambda m, x: 1 / m.sqrt(1 - (x / 299792458.0) ** 2), (10, 1e8, 2.997e8)),
    ("science", "Fermi-Dirac", lambda m, x: m.expit((8e-19 - x) / 4.14e-21), (7.5e-19, 8e-19, 8.3e-19)),
    ("science", "Coulomb energy", lambda m, x: 2.307e-28 / x, (5.3e-11, 1e-3)),
    ("science", "escape speed", lambda m, x: m.sqrt(7.972e14 / x), (6.4e6, 1.5e11)),
    ("science", "pH", lambda m, x: -m.log10(x), (1e-7, 1e-13)),
    ("science", "T^4 radiation", lambda m, x: 5.67e-8 * x**4, (2.7, 300)),
    ("science", "decay over years", lambda m, x: 6e23 * m.exp(-4.9e-18 * x), (0, 1e16, 4e17)),
    # cancellation inside f
    ("cancellation", "(1-cos(x))/x^2", lambda m, x: (1 - m.cos(x)) / (x * x), (1e-3, 0.05, 1)),
    ("cancellation", "x+1-sqrt(x^2+1)", lambda m, x: x + 1 - m.sqrt(x * x + 1), (1e4, -3)),
    ("cancellation", "sqrt(x+1)-sqrt(x)", lambda m, x: m.sqrt(x + 1) - m.sqrt(x), (1, 1e3, 1e8)),
    ("cancellation", "exp(x)-1", lambda m, x: m.exp(x) - 1, (1e-12, 1e-6)),
    ("cancellation", "log(1+x)/x", lambda m, x: m.log(1 + x) / x, (1e-4, 0.1)),
    ("cancellation", "(exp(x)-exp(-x))/2", lambda m, x: (m.exp(x) - m.exp(-x)) / 2, (0, 1e-4)),
    ("cancellation", "(x-1)^7 expanded", partial(_horner, coefficients=SEVENTH_POWER), (0.9, 1.2, 3)),
    ("cancellation", "1/x-1/(x+1)", lambda m, x: 1 / x - 1 / (x + 1), (1e-5, 1e4)),
    ("cancellation", "tan(x)-x", lambda m, x: m.tan(x) - x, (1e-2, 0.5)),
    ("cancellation", "x^2-2x+1", lambda m, x: x * x - 2 * x + 1, (1, 1 + 1e-5)),
    ("cancellation", "sin(x)^2+cos(x)^2+x/1e6", lambda m, x: m.sin(x) ** 2 + m.cos(x) ** 2 + x / 1e6, (0, 2)),
    ("cancellation", "(x+1e8)-1e8", lambda m, x: (x + 1e8) - 1e8, (0.1, 3)),
    # sums
    ("sum", "sum sin(kx)/k", lambda m, x: sum(m.sin(k * x) / k for k in range(1, 21)), (0.1, 1, 3)),
    ("sum", "exp(-x)+exp(-100x)+exp(-1e4 x)", _three_decays, (0, 1e-4, 0.05, 1)),
    ("sum", "sum 2^-k cos(3^k x)", lambda m, x: sum(0.5**k * m.cos(3**k * x) for k in range(10)), (0.2, 1)),
    ("sum", "sum x^k", lambda m, x: sum(x**k for k in range(30)), (0.5, 0.99, -1)),
    ("sum", "sum 1/(x+k)", lambda m, x: sum(1 / (x + k) for k in range(1, 51)), (-0.999, 0, 1000)),
    ("sum", "sum log(1+(x-k)^2)", lambda m, x: sum(m.log(1 + (x - k) ** 2) for k in range(10)), (0, 4.5, 1e4)),
    ("sum", "sum (x-0.1k)^2", lambda m, x: sum((x - 0.1 * k) ** 2 for k in range(11)), (0, 0.4, 10)),
    (
        "sum",
        "sum of 5 bumps",
        lambda m, x: sum(m.exp(-((20 * (x - 0.2 * k)) ** 2)) for k in range(5)),
        (0.01, 0.5, 0.83),
    ),
]


def _case(stress: str, name: str, g: Formula, x: float) -> Case:
    return Case(f"{name} at {x:.12g}", partial(g, NUMPY), float(x), exact_derivative(g, float(x)), stress)


CASES: list[Case] = [_case(stress, name, g, x) for stress, name, g, points in TABLE for x in points]

# --- hard: no derivative, or one that cannot be found cleanly ------------------------------------------------------


def pseudo_noise(x: Any) -> Any:
    """A number in [-1, 1) that depends on every bit of x (splitmix64)."""
    z = np.atleast_1d(np.asarray(x, dtype=np.float64)).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) / 2.0**63 - 1.0).reshape(np.shape(x))[()]


def _noisy(g: Formula, level: float) -> Function:
    return lambda x: g(NUMPY, x) * (1 + level * pseudo_noise(x))


def _single(g: Formula) -> dict[str, Function]:
    """The ways single precision gets into a function."""
    return {
        "float32 result": lambda x: np.float32(g(NUMPY, x)),
        "rounded to float32": lambda x: np.float64(np.float32(g(NUMPY, x))),
        "float32 inside": lambda x: g(NUMPY, np.float32(x)),
    }


def _hard() -> list[Case]:
    smooth: list[tuple[str, Formula, float]] = [
        ("sin(x)", lambda m, x: m.sin(x), 1.0),
        ("exp(x)", lambda m, x: m.exp(x), 2.0),
        ("log(x)", lambda m, x: m.log(x), 1e-3),
        ("x^2+1", lambda m, x: x * x + 1, 0.0),
        ("sin(100x)+2", lambda m, x: m.sin(100 * x) + 2, 0.3),
    ]
    out = [
        Case(f"{name} at {x:g}, noise {level:g}", _noisy(g, level), x, exact_derivative(g, x), "noise")
        for level in (1e-9, 1e-6, 1e-3)
        for name, g, x in smooth
    ]
    out += [
        Case(f"{name} at {x:g}, {how}", f, x, exact_derivative(g, x), "float32")
        for name, g, x in smooth
        for how, f in _single(g).items()
    ]
    rows: list[tuple[str, str, Function, float, float | None]] = [
        ("kink", "abs(x)", np.abs, 0.0, None),
        ("kink", "abs(x)", np.abs, 1e-9, 1.0),
        ("kink", "abs(x)", np.abs, -1e-4, -1.0),
        ("kink", "abs(x-1)", lambda x: np.abs(x - 1), 1.0, None),
        ("kink", "relu(x)", lambda x: np.maximum(x, 0.0), 0.0, None),
        ("kink", "relu(x)", lambda x: np.maximum(x, 0.0), 1e-6, 1.0),
        ("kink", "relu(x)", lambda x: np.maximum(x, 0.0), -1e-6, 0.0),
        ("kink", "max(x,x^2)", lambda x: np.maximum(x, x * x), 1.0, None),
        ("kink", "max(x,x^2)", lambda x: np.maximum(x, x * x), 1.0 + 1e-7, 2.0 + 2e-7),
        ("kink", "x+1e-3 abs(x)", lambda x: x + 1e-3 * np.abs(x), 0.0, None),
        ("kink", "cbrt(x)^2", lambda x: np.cbrt(x) ** 2, 0.0, None),
        ("kink", "x abs(x)", lambda x: x * np.abs(x), 0.0, 0.0),
        ("vertical", "cbrt(x)", np.cbrt, 0.0, None),
        ("vertical", "arcsin(x)", np.arcsin, 1.0, None),
        ("jump", "sign(x)", np.sign, 0.0, None),
        ("jump", "sign(x)", np.sign, 1e-3, 0.0),
        ("jump", "floor(x)", np.floor, 2.0, None),
        ("jump", "floor(x)", np.floor, 2.5, 0.0),
        ("jump", "x-floor(x)", lambda x: x - np.floor(x), 3.0, None),
        ("jump", "sin(x)+1e-3(x>1)", lambda x: np.sin(x) + 1e-3 * (x > 1), 1.0, None),
        ("jump", "sin(x)+1e-3(x>1)", lambda x: np.sin(x) + 1e-3 * (x > 1), 1.5, float(mp.cos(1.5))),
        ("jump", "round(x,3)", lambda x: np.round(x, 3), 0.1234, 0.0),
        ("pole", "1/x", lambda x: 1.0 / x, 0.0, None),
        ("pole", "1/x^2", lambda x: 1.0 / (x * x), 0.0, None),
        ("oscillation", "sin(1/x)", lambda x: np.sin(1 / x), 0.0, None),
        ("domain", "sqrt(x)", np.sqrt, 0.0, None),
        ("domain", "x**1.5", lambda x: x**1.5, 0.0, None),
        ("domain", "log(x)", np.log, 0.0, None),
        ("domain", "log(x)", np.log, -1.0, None),
        ("domain", "arcsin(x)", np.arcsin, 2.0, None),
        ("domain", "nan", lambda x: x * np.nan, 1.0, None),
        ("domain", "inf", lambda x: x * 0.0 + np.inf, 1.0, None),
        ("domain", "nan below 1", lambda x: np.where(x < 1, np.nan, np.sin(x)), 1.0 + 1e-6, float(mp.cos(1.0 + 1e-6))),
        ("underflow", "exp(x)", np.exp, -745.0, float(mp.exp(-745))),
        ("underflow", "exp(-x^2)", lambda x: np.exp(-x * x), 30.0, 0.0),
        ("constant", "7", lambda x: x * 0.0 + 7.0, 1.0, 0.0),
        ("constant", "0", lambda x: x * 0.0, 0.0, 0.0),
        ("constant", "1e300", lambda x: x * 0.0 + 1e300, -5.0, 0.0),
        ("constant", "sin^2+cos^2", lambda x: np.sin(x) ** 2 + np.cos(x) ** 2, 1.0, 0.0),
        ("constant", "tanh(x)", np.tanh, 40.0, float(mp.sech(40) ** 2)),
        ("constant", "erf(x)", sp.erf, 8.0, float(2 / mp.sqrt(mp.pi) * mp.exp(-64))),
        ("identity", "x", lambda x: x * 1.0, 0.0, 1.0),
        ("identity", "x", lambda x: x * 1.0, 1e300, 1.0),
        ("hidden", "x^2+1e8(x>1+1e-9)", lambda x: x * x + 1e8 * (x > 1 + 1e-9), 1.0, 2.0),
        ("hidden", "spike beside 1", lambda x: x + np.exp(-(((x - 1.001) / 1e-5) ** 2)), 1.0, 1.0),
    ]
    out += [Case(f"{name} at {x:.12g}", f, x, truth, stress) for stress, name, f, x, truth in rows]
    return out


HARD: list[Case] = _hard()
