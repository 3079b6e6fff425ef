"""Protects checks of derivatives: no false alarm, no error missed, kinks called kinks, and entries called by their names."""

import json
import math
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import fastdiff
from fastdiff import check_gradient, check_hessian, check_jacobian, check_jvp, check_vjp
from fastdiff.__main__ import main
from fastdiff.checking import ladder
from fastdiff.testing import assert_gradient, assert_hessian, assert_jacobian, assert_jvp, assert_vjp

RNG = np.random.default_rng(7)
X = RNG.normal(size=(30, 4))
Y = (RNG.random(30) > 0.5) * 2.0 - 1.0
TARGET = RNG.normal(size=30)


def sigmoid(m):
    return 1 / (1 + np.exp(-m))


def net(p):
    return np.mean((np.tanh(X @ p[:12].reshape(4, 3) + p[12:15]) @ p[15:18] + p[18] - TARGET) ** 2)


def net_gradient(p):
    w, v = p[:12].reshape(4, 3), p[15:18]
    a = np.tanh(X @ w + p[12:15])
    r = 2 / 30 * (a @ v + p[18] - TARGET)
    back = r[:, None] * v * (1 - a * a)
    return np.concatenate([(X.T @ back).ravel(), back.sum(0), r @ a, [r.sum()]])


def softmax(factor):
    def grad(x):
        e = np.exp(factor * (x - x.max()))
        return e / e.sum()

    return lambda x: x.max() + np.log(np.exp(factor * (x - x.max())).sum()) / factor, grad


# name: f, its gradient by hand, random points
SMOOTH = {
    "logistic": (
        lambda w: np.logaddexp(0, -Y * (X @ w)).sum(),
        lambda w: X.T @ (-Y * sigmoid(-Y * (X @ w))),
        lambda rng: rng.normal(size=4),
    ),
    "net": (net, net_gradient, lambda rng: rng.normal(size=19)),
    "logsumexp": (*softmax(1e3), lambda rng: 1e-3 * rng.normal(size=4)),
    "polynomial": (
        lambda x: x[0] ** 5 + x[1] ** 3 * x[0] + x[2] ** 2,
        lambda x: np.array([5 * x[0] ** 4 + x[1] ** 3, 3 * x[1] ** 2 * x[0], 2 * x[2]]),
        lambda rng: 10 ** rng.uniform(-5, 5, 3),
    ),
    "offset": (lambda x: 1e6 + np.sin(x).sum(), np.cos, lambda rng: 3 * rng.normal(size=3)),
    "fast": (lambda x: np.cos(1e4 * x).sum(), lambda x: -1e4 * np.sin(1e4 * x), lambda rng: rng.normal(size=2)),
    "logs": (lambda x: np.log(x).sum(), lambda x: 1 / x, lambda rng: 10 ** rng.uniform(-9, 3, 5)),
    "rosenbrock": (scipy.optimize.rosen, scipy.optimize.rosen_der, lambda rng: rng.normal(size=6)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_no_false_alarm(name):
    f, grad, point = SMOOTH[name]
    rng = np.random.default_rng(11)
    for _ in range(25):
        report = check_gradient(f, grad, point(rng))
        assert report.ok, str(report)


@pytest.mark.parametrize("size", [1.0, 1e-5])
@pytest.mark.parametrize("name", SMOOTH)
def test_errors_in_any_entry_are_found(name, size):
    f, grad, point = SMOOTH[name]
    rng = np.random.default_rng(12)
    for _ in range(5):
        x = point(rng)
        g = grad(x)
        share = np.abs(g * x) / np.abs(g * x).max()
        for i in np.flatnonzero(share > 1e-3):
            bad = g.copy()
            bad[i] *= 1 + size
            report = check_gradient(f, bad, x)
            assert report.verdict == "wrong", str(report)
            assert [e.index for e in report.entries if e.verdict == "wrong"] == [(i,)]
            assert abs(report.entries[0].estimated - g[i]) <= report.entries[0].error + 1e-12 * abs(g[i])


@pytest.mark.parametrize("directions", [1, 4])
def test_directions_agree_on_what_is_right_and_find_what_is_wrong(directions):
    rng = np.random.default_rng(13)
    for seed in range(15):
        p = rng.normal(size=19)
        assert check_gradient(net, net_gradient, p, directions=directions, seed=seed).ok
        g = net_gradient(p)
        i = int(np.argmax(np.abs(g * p)))
        g[i] *= 1 - 1e-5
        report = check_gradient(net, g, p, directions=directions, seed=seed)
        assert report.verdict == "wrong"
        assert report.entries[0].name == f"x[{i}]"


def test_mistakes_people_make():
    p = np.random.default_rng(14).normal(size=19)
    g = net_gradient(p)
    for bad, word in ((-g, "sign"), (2 * g, "twice"), (g / 2, "half"), (30 * g, "30 times")):
        report = check_gradient(net, bad, p)
        assert report.verdict == "wrong"
        assert {e.reason for e in report.entries if e.verdict == "wrong"} == {word}
        assert len([e for e in report.entries if e.verdict == "wrong"]) == 19
    shifted = np.roll(g, 1)
    assert check_gradient(net, shifted, p).verdict == "wrong"
    transposed = g.copy()
    transposed[:12] = g[:12].reshape(4, 3).T.ravel()
    assert check_gradient(net, transposed, p).verdict == "wrong"
    missing = g.copy()
    missing[5] = 0
    assert check_gradient(net, missing, p).entries[0].reason == "missing"


def test_order_of_the_remainder_is_one_where_the_slope_is_wrong():
    report = check_gradient(np.sin, lambda x: 1.01 * np.cos(x), 1.0)
    assert report.entries[0].order == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("f", "grad", "x"),
    [
        (lambda x: abs(x).sum(), np.sign, [0.0, 2.0]),
        (lambda x: np.maximum(x, 0).sum(), lambda x: (x > 0) * 1.0, [0.0, 1.0]),
        (lambda x: np.max(x), lambda x: (x == x.max()) / 2, [1.0, 1.0, 0.5]),
        (lambda x: np.max(x), lambda x: np.eye(3)[np.argmax(x)], [1.0, 1.0, 0.5]),
        (lambda x: abs(x[0] - x[1]) + np.exp(x[0]), lambda x: np.array([np.exp(x[0]), 0.0]), [0.3, 0.3]),
        (lambda x: np.minimum(x, 0.1 * x).sum() + 5 * np.sin(x).sum(), lambda x: 5 * np.cos(x) + 1, [0.0]),
    ],
)
@pytest.mark.parametrize("directions", [None, 2])
def test_kinks_are_inconclusive_and_called_so(f, grad, x, directions):
    report = check_gradient(f, grad, x, directions=directions)
    assert report.verdict == "inconclusive"
    assert "kink: slope" in report.reason


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5])
def test_next_to_a_kink_the_slope_of_this_side_is_asked_for(distance):
    f = lambda x: np.maximum(x[0] - 1, 0) * 3 + x[0]  # noqa: E731
    for side, right, other in ((1 + distance, 4.0, 1.0), (1 - distance, 1.0, 4.0)):
        assert check_gradient(f, lambda x, right=right: np.array([right]), [side]).ok
        assert check_gradient(f, lambda x, other=other: np.array([other]), [side]).verdict == "wrong"


def test_a_wrong_entry_is_wrong_beside_a_kink_in_another():
    report = check_gradient(lambda x: abs(x[0]) + x[1] ** 2, lambda x: np.array([0.0, 3 * x[1]]), [0.0, 1.0])
    assert report.verdict == "wrong"
    assert {e.name: e.verdict for e in report.entries} == {"x[0]": "inconclusive", "x[1]": "wrong"}


@pytest.mark.parametrize(
    ("f", "grad", "x", "reason"),
    [
        (lambda x: 1e16 + np.sin(x[0]), np.cos, [1.0], "roundoff or noise"),
        (lambda x: np.log(x[0]), lambda x: 1 / x, [-1.0], "not finite at x"),
        (lambda x: np.sqrt(x[0]), lambda x: np.array([1e3]), [0.0], "not smooth"),
        (lambda x: np.floor(x[0]), lambda x: 0 * x, [1.0], "not smooth"),
    ],
)
def test_where_nothing_can_be_seen(f, grad, x, reason):
    report = check_gradient(f, grad, x)
    assert report.verdict == "inconclusive"
    assert reason in report.reason


def test_noise_is_no_alarm_and_hides_only_what_is_smaller():
    f = lambda x: np.round(np.exp(x[0]), 6)  # noqa: E731
    assert check_gradient(f, np.exp, [1.0]).ok
    assert check_gradient(f, lambda x: 1.5 * np.exp(x), [1.0]).verdict == "wrong"


def test_zero_gradients():
    assert check_gradient(lambda x: 1 + x @ x, lambda x: 2 * x, np.zeros(3)).ok
    assert check_gradient(lambda x: 1 + x @ x, lambda x: 2 * x + 1e-6, np.zeros(3)).verdict == "wrong"
    assert check_gradient(lambda x: 3.0, lambda x: 0 * x, np.ones(2)).ok
    assert check_gradient(lambda x: x[0] ** 2, lambda x: np.array([2 * x[0], 0.0]), [1.0, 5.0]).ok


def test_a_gradient_that_is_nothing_but_roundoff_passes():
    """At the solution of a fit the gradient is a sum that cancels."""
    a, b = X, X @ np.array([1.0, -2.0, 0.5, 3.0])
    x = np.linalg.lstsq(a, b + 0.3 * TARGET, rcond=None)[0]
    f = lambda x: np.sum((a @ x - b - 0.3 * TARGET) ** 2)  # noqa: E731
    assert check_gradient(f, lambda x: 2 * a.T @ (a @ x - b - 0.3 * TARGET), x).ok


def test_rtol_only_loosens():
    for rtol, verdict in ((None, "wrong"), (1e-12, "wrong"), (1e-2, "correct")):
        for directions in (None, 2):
            report = check_gradient(
                net, lambda p: net_gradient(p) * 1.001, RNG.normal(size=19), rtol=rtol, directions=directions
            )
            assert report.verdict == verdict


@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_any_quadratic(seed, shift, scale):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(3, 3)) * scale
    x = rng.normal(size=3) * 10 ** rng.uniform(-3, 3)
    f = lambda x: x @ a @ x + shift * x.sum()  # noqa: E731
    right = (a + a.T) @ x + shift
    assert check_gradient(f, lambda x: (a + a.T) @ x + shift, x).ok
    half = a @ x + shift  # as if a were symmetric already
    if np.abs((half - right) * x).max() > 1e-3 * np.abs(right * x).max():
        assert check_gradient(f, half, x).verdict == "wrong"


# --- many parameters, and how they are held -------------------------------------------------------------------------

Layer = namedtuple("Layer", "weight bias")


@dataclass(frozen=True)
class Model:
    layers: list
    head: tuple
    scale: float
    name: str = "model"
    depth: int = 2


def model():
    rng = np.random.default_rng(15)
    return Model(
        [Layer(rng.normal(size=(5, 4)), rng.normal(size=5)), {"gain": rng.normal(size=5)}],
        (rng.normal(size=(1, 5)),),
        1.5,
    )


def model_loss(m):
    a = np.tanh(m.layers[0].weight @ np.arange(1.0, 5.0) / 5 + m.layers[0].bias) * m.layers[1]["gain"]
    assert m.name == "model"
    assert m.depth == 2
    return float((m.head[0] @ a)[0]) * m.scale


def model_gradient(m):
    data = np.arange(1.0, 5.0) / 5
    t = np.tanh(m.layers[0].weight @ data + m.layers[0].bias)
    gain, head = m.layers[1]["gain"], m.head[0][0]
    back = m.scale * head * gain * (1 - t * t)
    return Model(
        [Layer(np.outer(back, data), back), {"gain": m.scale * head * t}],
        ((m.scale * t * gain)[None],),
        float(head @ (t * gain)),
    )


@pytest.mark.parametrize("directions", [None, 3])
def test_nested_parameters_have_names(directions):
    m = model()
    assert check_gradient(model_loss, model_gradient, m, directions=directions).ok
    for spoil, name in (
        (lambda g: g.layers[0].weight.__setitem__((3, 2), -7.0), "layers[0].weight[3, 2]"),
        (lambda g: g.layers[1]["gain"].__setitem__(1, 0.25), "layers[1].gain[1]"),
        (lambda g: object.__setattr__(g, "scale", 9.0), "scale"),
        (lambda g: g.head[0].__setitem__((0, 4), 3.0), "head[0][0, 4]"),
    ):

        def bad(m, spoil=spoil):
            g = model_gradient(m)
            spoil(g)
            return g

        report = check_gradient(model_loss, bad, m, directions=directions)
        assert report.verdict == "wrong"
        assert report.entries[0].name == name
    assert np.array_equal(m.layers[0].weight, model().layers[0].weight)


def test_one_entry_of_many():
    n = 100_000
    rng = np.random.default_rng(16)
    c, x = rng.normal(size=n), rng.normal(size=n)
    f = lambda x: np.sum(np.sin(c * x))  # noqa: E731
    g = c * np.cos(c * x)
    assert check_gradient(f, g, x).ok
    for i in rng.choice(np.flatnonzero(np.abs(g * x) > 0.1), 1).tolist():
        bad = g.copy()
        bad[i] *= 1 + 1e-5
        report = check_gradient(f, bad, x)
        assert report.verdict == "wrong"
        assert report.entries[0].name == f"x[{i}]"


def test_a_million_parameters_take_at_most_60_evaluations():
    n = 10**6
    c = np.linspace(-1, 1, n)
    x = np.random.default_rng(17).normal(size=n)
    calls = []

    def f(p):
        calls.append(1)
        return np.mean(np.tanh(c * p["x"]) ** 2)

    def grad(p):
        t = np.tanh(c * p["x"])
        return {"x": 2 / n * t * (1 - t * t) * c}

    report = check_gradient(f, grad, {"x": x})
    assert report.ok
    assert report.directions >= 2
    assert len(calls) == report.nfev <= 60


@pytest.mark.parametrize("directions", [None, 2])
def test_float32_has_steps_and_verdicts_of_its_own(directions):
    data = X.astype(np.float32)

    def f(p):
        assert p["w"].dtype == np.float32
        return np.mean(np.tanh(data @ p["w"]) ** 2)

    def grad(p):
        t = np.tanh(data @ p["w"])
        return {"w": (data.T @ (2 * t * (1 - t * t))) / np.float32(t.size)}

    rng = np.random.default_rng(18)
    for _ in range(10):
        p = {"w": rng.normal(size=(4, 3)).astype(np.float32)}
        report = check_gradient(f, grad, p, directions=directions)
        assert report.ok, str(report)
        assert check_gradient(lambda p: float(f(p)), grad, p, directions=directions).ok  # a float that was float32
        i = np.unravel_index(np.argmax(np.abs(grad(p)["w"] * p["w"])), (4, 3))

        def bad(p, i=i):
            g = grad(p)
            g["w"][i] *= 1.2
            return g

        report = check_gradient(f, bad, p, directions=directions)
        assert report.verdict == "wrong"
        assert report.entries[0].index == i


# --- the other derivatives --------------------------------------------------------------------------------------------


def polar(x):
    return np.array([x[0] * np.cos(x[1]), x[0] * np.sin(x[1]), x[0] ** 2])


def polar_jacobian(x):
    return np.array([[np.cos(x[1]), -x[0] * np.sin(x[1])], [np.sin(x[1]), x[0] * np.cos(x[1])], [2 * x[0], 0.0]])


@pytest.mark.parametrize("directions", [None, 2])
def test_jacobian(directions):
    x = [2.0, 0.5]
    assert check_jacobian(polar, polar_jacobian, x, directions=directions).ok
    for i in range(3):
        for j in range(2):
            bad = polar_jacobian(x)
            bad[i, j] += 1e-5
            report = check_jacobian(polar, bad, x, directions=directions)
            assert report.verdict == "wrong"
            assert report.entries[0].name == f"f[{i}] by x[{j}]"


@pytest.mark.parametrize("d", [30, 500])
def test_sparse_jacobian_is_probed_outside_its_pattern(d):
    def f(x):
        value = x**2
        value[1:] += 0.5 * np.sin(x[:-1])
        value[3] += 0.01 * x[d - 1]  # outside the pattern below
        return value

    def pattern(x, far):
        j = scipy.sparse.diags_array([2 * x, 0.5 * np.cos(x[:-1])], offsets=[0, -1]).tolil()
        if far:
            j[3, d - 1] = 0.01
        return j.tocsr()

    x = np.random.default_rng(19).normal(size=d)
    assert check_jacobian(f, lambda x: pattern(x, True), x).ok
    report = check_jacobian(f, lambda x: pattern(x, False), x)
    assert report.verdict == "wrong"
    assert report.entries[0].name == f"f[3] by x[{d - 1}]"
    assert report.entries[0].given == 0


@pytest.mark.parametrize("directions", [None, 2])
def test_hessian(directions):
    x = np.random.default_rng(20).normal(size=5)
    right = scipy.optimize.rosen_hess
    report = check_hessian(scipy.optimize.rosen, right, x, directions=directions)
    assert report.ok, str(report)
    bad = right(x)
    bad[2, 3] *= 1 + 1e-3
    report = check_hessian(scipy.optimize.rosen, bad, x, directions=directions)
    assert report.verdict == "wrong"
    assert report.entries[0].name == "x[2], x[3]"
    assert check_hessian(scipy.optimize.rosen, scipy.sparse.csr_array(right(x)), x).ok


def test_products():
    x = np.array([2.0, 0.5])
    j = polar_jacobian
    assert check_jvp(polar, lambda x, v: j(x) @ v, x).ok
    assert check_vjp(polar, lambda x, u: j(x).T @ u, x).ok
    wrong = j(x) + 1e-5 * np.eye(3, 2)[::-1]
    report = check_jvp(polar, lambda x, v: wrong @ v, x)
    assert report.verdict == "wrong"
    assert report.entries[0].name in ("f[2] by x[0]", "f[1] by x[1]")
    assert check_vjp(polar, lambda x, u: wrong.T @ u, x).verdict == "wrong"


def test_vectorized_args_bounds():
    many = lambda p, a: np.sum(np.sqrt(p) * a, axis=-1)  # noqa: E731
    grad = lambda p, a: 0.5 * a / np.sqrt(p)  # noqa: E731
    seen = []

    def f(p, a):
        seen.append(p)
        return many(p, a)

    report = check_gradient(f, grad, [1.0, 4.0], args=(3.0,), vectorized=True, bounds=(1.0, 5.0))
    assert report.ok
    assert all(p.ndim == 2 and p.min() >= 1 and p.max() <= 5 for p in seen)
    wrong = check_gradient(
        f, lambda p, a: 1.01 * grad(p, a), [1.0, 4.0], args=(3.0,), vectorized=True, bounds=(1.0, 5.0)
    )
    assert wrong.verdict == "wrong"
    assert all(p.min() >= 1 and p.max() <= 5 for p in seen)
    assert check_gradient(f, grad, [1.0, 4.0], args=(3.0,), vectorized=True, bounds=(1.0, 5.0), directions=2).ok


# --- what does not fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: check_gradient(lambda x: x, lambda x: x, [1.0, 2.0]), ValueError, "f must return a scalar, got shape"),
        (
            lambda: check_gradient(np.sum, lambda x: x[:1], [1.0, 2.0]),
            ValueError,
            r"grad must have shape \(2,\), got \(1,\)",
        ),
        (
            lambda: check_gradient(lambda p: p["a"], {"b": 1.0}, {"a": 1.0}),
            ValueError,
            "grad must have the structure of x.*'b'",
        ),
        (
            lambda: check_gradient(lambda p: p["a"].sum(), {"a": np.ones(2)}, {"a": np.ones(3)}),
            ValueError,
            r"for a, got \(2,\)",
        ),
        (lambda: check_gradient(lambda p: p[0], [1.0, 2.0], [np.array(1.0)]), ValueError, "a container of 1, got 2"),
        (
            lambda: check_gradient(lambda p: p["a"], 3.0, {"a": 1.0}),
            ValueError,
            "which has 'a' where grad is float 3.0",
        ),
        (lambda: check_gradient(np.sum, [1.0, 2.0]), TypeError, "grad must be given"),
        (lambda: check_gradient(1, np.sin, [1.0]), TypeError, "f must be callable"),
        (lambda: check_gradient(np.sum, np.sin, [1.0, np.nan]), ValueError, r"x must be finite, got nan at x\[1\]"),
        (lambda: check_gradient(np.sum, np.sin, "x"), TypeError, "x must be an array, or a dict"),
        (lambda: check_gradient(np.sum, np.sin, [1j]), TypeError, "real"),
        (lambda: check_gradient(np.sum, np.sin, {"a": "b"}), ValueError, "at least one number"),
        (lambda: check_gradient(np.sum, np.sin, [1.0], directions=0), ValueError, "directions"),
        (lambda: check_gradient(np.sum, np.sin, [1.0], rtol=2), ValueError, "rtol"),
        (lambda: check_gradient(np.sum, np.sin, [1.0], bounds=3), ValueError, "bounds"),
        (lambda: check_gradient(np.sum, np.sin, [1.0], args=3), TypeError, "args"),
        (lambda: check_gradient(lambda x: 1j * x[0], np.sin, [1.0]), TypeError, "f must return real values"),
        (lambda: check_jacobian(np.sin, lambda x: np.eye(3), [1.0, 2.0]), ValueError, r"jac must have shape \(2, 2\)"),
        (
            lambda: check_jacobian(np.sin, scipy.sparse.eye_array(3), [1.0, 2.0]),
            ValueError,
            r"jac must have shape \(2, 2\)",
        ),
        (lambda: check_jvp(np.sin, lambda x, v: 1.0, [1.0, 2.0]), ValueError, "jvp must have the shape of f's value"),
        (lambda: check_vjp(np.sin, lambda x, u: np.ones(3), [1.0, 2.0]), ValueError, r"vjp must have shape \(2,\)"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_gradient_that_is_not_finite_is_wrong_and_named():
    for value in (np.nan, np.inf):
        for n in (3, 300):
            g = np.ones(n)
            g[2] = value
            report = check_gradient(np.sum, g, np.ones(n))
            assert report.verdict == "wrong"
            assert report.entries[0].name == "x[2]"
            assert "not finite" in report.entries[0].reason
            json.dumps(report.to_dict(), allow_nan=False)


def test_what_f_raises_passes_through():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        check_gradient(f, np.sin, [1.0])


# --- reports, assertions, command line --------------------------------------------------------------------------------


def test_report():
    report = check_gradient(lambda x: x @ x, lambda x: np.array([2 * x[0], -2 * x[1]]), [1.0, 3.0])
    lines = str(report).splitlines()
    assert lines[0] == f"gradient WRONG: 1 of 2 entries, {report.nfev} evaluations of f"
    assert lines[2].split()[:3] == ["x[1]", "-6", "6"]
    assert lines[2].endswith("wrong: sign")
    assert max(map(len, lines)) < 100
    assert "<td>x[1]</td>" in report._repr_html_()
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["verdict"] == "wrong"
    assert plain["entries"][0]["name"] == "x[1]"
    with pytest.raises(AttributeError):
        report.verdict = "correct"
    with pytest.raises(TypeError, match=r"ask for \.ok"):
        bool(report)


def test_html_escapes_names():
    report = check_gradient(lambda p: p["<b>"] ** 2, lambda p: {"<b>": 3.0}, {"<b>": 1.0})
    assert "&lt;b&gt;" in report._repr_html_()
    assert "<td><b>" not in report._repr_html_()


def test_nfev_counts_all_calls():
    count = []

    def f(x):
        count.append(1)
        return np.sum(x**4)

    for g in (lambda x: 4 * x**3, lambda x: 5 * x**3):
        for directions in (None, 2):
            count.clear()
            report = check_gradient(f, g, [1.0, 2.0], directions=directions)
            assert report.nfev == len(count)


def test_assertions():
    x = np.array([2.0, 0.5])
    assert assert_gradient(lambda x: x @ x, lambda x: 2 * x, x).ok
    assert assert_jacobian(polar, polar_jacobian, x).ok
    assert assert_hessian(lambda x: x @ x, lambda x: 2 * np.eye(2), x).ok
    assert assert_jvp(polar, lambda x, v: polar_jacobian(x) @ v, x).ok
    assert assert_vjp(polar, lambda x, u: polar_jacobian(x).T @ u, x).ok
    with pytest.raises(AssertionError, match=r"gradient WRONG(.|\n)*x\[1\]"):
        assert_gradient(lambda x: x @ x, lambda x: np.array([2 * x[0], x[1]]), x)
    for call, f, g in (
        (assert_jacobian, polar, lambda x: 2 * polar_jacobian(x)),
        (assert_hessian, lambda x: x @ x, lambda x: np.eye(2)),
        (assert_jvp, polar, lambda x, v: -polar_jacobian(x) @ v),
        (assert_vjp, polar, lambda x, u: -polar_jacobian(x).T @ u),
    ):
        with pytest.raises(AssertionError, match="WRONG"):
            call(f, g, x)
    with pytest.raises(AssertionError, match=r"INCONCLUSIVE(.|\n)*kink"):
        assert_gradient(lambda x: abs(x).sum(), np.sign, [0.0])
    assert assert_gradient(lambda x: abs(x).sum(), np.sign, [0.0], inconclusive=True).verdict == "inconclusive"
    with pytest.raises(AssertionError):
        assert_gradient(lambda x: x @ x, lambda x: x, x, inconclusive=True)


MODULE = """
import numpy as np
loss = lambda x: np.sum(x**3)
grad = lambda x: 3 * x**2
half = lambda x: 1.5 * x**2
kink = lambda x: np.sum(abs(x))
of_dict = lambda p: np.sum(p["a"] ** 2)
dict_grad = lambda p: {"a": 2 * p["a"]}
def raises(x):
    raise ZeroDivisionError
"""


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    (tmp_path / "functions_to_check.py").write_text(MODULE)
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0]]))
    np.savez(tmp_path / "x.npz", a=np.array([1.0, 2.0]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize(
    ("f", "g", "at", "status"),
    [
        ("loss", "grad", "1,2,3", 0),
        ("loss", "half", "1,2,3", 1),
        ("kink", "grad", "0", 2),
        ("loss", "grad", "x.npy", 0),
        ("of_dict", "dict_grad", "x.npz", 0),
        ("loss", "grad", "1,b", 3),
        ("loss", "nothing", "1", 3),
        ("raises", "grad", "1", 3),
        ("loss", "grad", "missing.npy", 3),
    ],
)
def test_command_line(f, g, at, status, capsys):
    arguments = ["check", f"functions_to_check:{f}", f"functions_to_check:{g}", "--at", at]
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert bool(err) == (status == 3)
    if status < 3:
        assert out.startswith(f"gradient {['CORRECT', 'WRONG', 'INCONCLUSIVE'][status]}")
        assert main([*arguments, "--json"]) == status
        assert json.loads(capsys.readouterr().out)["verdict"] == ["correct", "wrong", "inconclusive"][status]


def test_command_line_errors_are_no_verdict(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["check", "a:b"])
    assert stopped.value.code == 3
    assert "required" in capsys.readouterr().err


def test_frameworks_are_not_imported():
    import subprocess
    import sys

    script = (
        "import sys, numpy, fastdiff\n"
        "assert 'fastdiff.checking' not in sys.modules\n"
        "assert fastdiff.check_gradient(numpy.sum, numpy.ones_like, [1.0, 2.0]).ok\n"
        "assert not {'torch', 'jax', 'scipy', 'autograd'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True)
    planted = subprocess.run(
        [sys.executable, "-P", "-c", "import scipy\n" + script], capture_output=True, text=True, check=False
    )
    assert "AssertionError" in planted.stderr


def test_names_are_there():
    assert fastdiff.testing.assert_gradient is assert_gradient
    assert fastdiff.check_gradient is check_gradient
    assert math.isnan(fastdiff.check_gradient(np.sum, np.ones_like, [1.0]).entries[0].order)


def test_errors_that_no_entry_shows_do_not_add_up_to_an_alarm():
    """Gradients from solvers are off by some 1e-9 in every entry; along a direction of many that stands out."""
    n = 2000
    c = np.random.default_rng(21).normal(size=n)
    x = np.random.default_rng(22).normal(size=n)
    f = lambda x: np.sum((c * x) ** 2) / 2  # noqa: E731
    assert check_gradient(f, c * c * x * (1 + 2e-9), x).ok
    report = check_gradient(f, c * c * x * (1 + 1e-6), x)
    assert report.verdict == "wrong", str(report)


@pytest.mark.parametrize("directions", [None, 3])
@pytest.mark.parametrize("slope", [1.0, 0.1])
def test_kinks_that_central_differences_do_not_see(slope, directions):
    """A penalty of |w| at w = 0 with the subgradient 0: the even part of f alone tells."""
    rng = np.random.default_rng(23)
    for _ in range(5):
        w = rng.normal(size=4)
        w[2] = 0.0
        f = lambda w: np.logaddexp(0, -Y * (X @ w)).sum() + slope * abs(w).sum()  # noqa: E731
        grad = lambda w: X.T @ (-Y * sigmoid(-Y * (X @ w))) + slope * np.sign(w)  # noqa: E731
        report = check_gradient(f, grad, w, directions=directions)
        assert report.verdict == "inconclusive", str(report)
        assert "kink: slope" in report.reason
        assert check_gradient(f, grad, w + 0.01, directions=directions).ok


@pytest.mark.parametrize("directions", [None, 3])
def test_a_small_kink_nearby_that_steps_jump_over_is_no_alarm(directions):
    rng = np.random.default_rng(0)
    for _ in range(40):
        x = rng.normal(size=3)
        away = rng.choice([-1, 1])
        c = x[0] - away * 1e-6
        f = lambda x: 1e-7 * abs(x[0] - c) + np.sin(x).sum()  # noqa: B023, E731
        g = np.cos(x) + 1e-7 * np.array([away, 0, 0])
        assert check_gradient(f, g, x, directions=directions).verdict != "wrong"


def test_huge_values_do_not_overflow_where_errors_are_looked_for():
    x = np.array([0.3, -1.0, 2.0])
    for scale in (1e300, 1e-290):
        assert check_gradient(lambda x: scale * np.sin(x).sum(), scale * np.cos(x), x).ok  # noqa: B023
        bad = scale * np.cos(x) * np.array([1, 1 + 1e-5, 1])
        report = check_gradient(lambda x: scale * np.sin(x).sum(), bad, x)  # noqa: B023
        assert [e.name for e in report.entries if e.verdict == "wrong"] == ["x[1]"]


@pytest.mark.parametrize("noise", [0.0, 1e-10, 1e-8, 1e-6])
def test_without_a_wish_for_directions_a_passing_check_takes_few_evaluations(noise):
    rng = np.random.default_rng(24)
    c = rng.normal(size=400)
    passed = []
    for seed in range(20):

        def f(x):
            off = np.random.default_rng(np.frombuffer(x.tobytes(), np.uint32)[:64]).uniform(-1, 1) if noise else 0.0
            return np.mean(np.sin(c * x)) * (1 + noise * off)

        report = check_gradient(f, lambda x: c * np.cos(c * x) / 400, rng.normal(size=400), seed=seed)
        assert report.ok, str(report)
        passed.append(report.nfev)
    assert max(passed) <= 60, passed


@pytest.mark.parametrize("directions", [None, 2])
@pytest.mark.parametrize("slope", [1.0, 1e-3, 1e-5])
def test_kinks_at_the_point_are_seen_however_small(slope, directions):
    """Beside derivatives of 1; whatever the given slope, and to one side only or to both."""
    rng = np.random.default_rng(25)
    for bend, subgradient in (
        (abs, 0.0),
        (abs, 1.0),
        (lambda r: np.maximum(r, 0), 0.0),
        (lambda r: np.maximum(r, 0), 1.0),
    ):
        x = rng.normal(size=3)
        c = x[1]
        f = lambda z: np.sin(z).sum() + slope * bend(z[1] - c)  # noqa: B023, E731
        report = check_gradient(f, np.cos(x) + np.array([0, slope * subgradient, 0]), x, directions=directions)
        assert report.verdict == "inconclusive", str(report)
        assert "kink: slope" in report.reason


@pytest.mark.parametrize("directions", [None, 2])
@pytest.mark.parametrize("distance", [1e-12, 1e-9, 1e-7, 1e-5])
@pytest.mark.parametrize("slope", [1.0, 1e-3, 1e-5, 1e-7])
def test_kinks_too_near_for_any_step_raise_no_alarm(slope, distance, directions):
    """The slope that every step sees is wrong then, and so is the even part of f, by as much."""
    rng = np.random.default_rng(26)
    for k in range(6):
        x = rng.normal(size=3)
        side = (-1, 1)[k % 2]
        c = x[0] - side * distance
        f = lambda z: np.logaddexp(0, X[:, :3] @ z).sum() + slope * np.maximum(z[0] - c, 0)  # noqa: B023, E731
        g = X[:, :3].T @ sigmoid(X[:, :3] @ x) + slope * np.array([side > 0, 0, 0])
        assert check_gradient(f, g, x, directions=directions, seed=k).verdict != "wrong"


def test_errors_between_kinks_are_found():
    """A network of ReLUs has kinks on all sides; steps that stay between them see as much as elsewhere."""
    rng = np.random.default_rng(27)

    def f(p):
        return np.mean((np.maximum(X @ p[:16].reshape(4, 4), 0) @ p[16:] - TARGET) ** 2)

    def grad(p):
        w, v = p[:16].reshape(4, 4), p[16:]
        a = np.maximum(X @ w, 0)
        r = 2 / 30 * (a @ v - TARGET)
        return np.concatenate([(X.T @ ((a > 0) * r[:, None] * v)).ravel(), r @ a])

    for directions in (None, 2):
        for _ in range(5):
            p = rng.normal(size=20)
            assert check_gradient(f, grad, p, directions=directions).ok
            g = grad(p)
            share = np.abs(g * p)
            i = int(rng.choice(np.flatnonzero(share > 0.05 * share.max())))
            g[i] *= 1 + 1e-5
            report = check_gradient(f, g, p, directions=directions)
            assert report.verdict == "wrong", str(report)
            assert report.entries[0].name == f"x[{i}]"


def test_turns_faster_than_steps_raise_no_alarm():
    """What looks like a slope at larger steps is none if f has another one at smaller steps."""
    for size, pace in ((1.0, 1e6), (1.0, 1e8), (0.1, 1e8)):
        for x in (0.3, 0.9, 1.7, -2.2, 4.1):
            f = lambda x: np.sin(x[0]) + size / pace * np.cos(pace * x[0])  # noqa: B023, E731
            grad = lambda x: np.cos(x) - size * np.sin(pace * x)  # noqa: B023, E731
            assert check_gradient(f, grad, [x]).verdict != "wrong"


def test_a_solver_with_a_thousand_steps():
    """Sensitivities of an oscillator, by the variational equations."""

    def solve(p, tangents=False):
        u = np.array([p[2], p[3]])
        du = np.zeros((2, 4))
        du[0, 2] = du[1, 3] = 1
        h = 0.01
        for _ in range(1000):
            v = h * (p[0] * (1 - u[0] ** 2) * u[1] - p[1] * u[0])
            if tangents:
                dv = h * (p[0] * (1 - u[0] ** 2) * du[1] - (2 * p[0] * u[0] * u[1] + p[1]) * du[0])
                dv[0] += h * (1 - u[0] ** 2) * u[1]
                dv[1] -= h * u[0]
                du[1] += dv
                du[0] += h * du[1]
            u[1] += v
            u[0] += h * u[1]
        return (u, du) if tangents else u[0]

    for p in ([1.0, 1.0, 0.5, 0.2], [0.3, 2.0, 1.0, -0.4]):
        p = np.array(p)
        right = solve(p, tangents=True)[1][0]
        assert check_gradient(solve, right, p).ok
        for i in range(4):
            report = check_gradient(solve, right * (1 + 1e-5 * (np.arange(4) == i)), p)
            assert [e.name for e in report.entries if e.verdict == "wrong"] == [f"x[{i}]"]


# --- ladders ----------------------------------------------------------------------------------------------------------


def test_constant_terms_of_series():
    """Exact for polynomials; the bar holds, and is infinite for what does not converge."""
    t = (0.5 ** np.arange(8))[:, None]
    nothing = np.zeros((8, 1))
    found = ladder.constant(3 + t**2 - 2 * t**4, nothing, ladder.BOTH_SIDES)
    assert abs(found.value[0] - 3) <= found.bar[0] + 1e-15 <= 1e-12
    found = ladder.constant(2 * t + t**3, nothing, ladder.EVEN)
    assert abs(found.value[0]) <= found.bar[0] + 1e-15 <= 1e-12
    found = ladder.constant(np.cosh(t) + t, nothing, ladder.ONE_SIDE)
    assert abs(found.value[0] - 1) <= found.bar[0] <= 1e-5
    assert ladder.constant(t**-0.5, nothing, ladder.ONE_SIDE).bar[0] == np.inf
    rough = 1e-9 / t
    noise = np.random.default_rng(28).normal(size=(8, 500)) * rough
    found = ladder.constant(3 + np.sin(t) * t + noise, rough + 0 * noise, ladder.BOTH_SIDES)
    assert (np.abs(found.value - 3) <= found.bar).all()
    assert (found.bar < 8 * rough[4]).all()  # of four roundoffs of the fifth step, doubled by extrapolation


def test_among_kinks_an_entry_may_be_off_for_one_that_was_not_seen():
    """Only by as much as the kinks that were seen change slopes."""
    from fastdiff.checking.search import _among_kinks
    from fastdiff.checking.verdict import Judged

    wrong = Judged("wrong", 1.0, 1.5, 0.01)
    assert _among_kinks(wrong, 0.6).verdict == "inconclusive"
    assert "kinks" in _among_kinks(wrong, 0.6).reason
    assert _among_kinks(wrong, 0.4) == wrong
    right = Judged("correct", 1.0, 1.0, 0.01)
    assert _among_kinks(right, 0.6) == right


@pytest.mark.parametrize("directions", [None, 3])
@pytest.mark.parametrize("name", SMOOTH)
def test_errors_that_pass_are_within_the_resolution(name, directions):
    """Resolution counts what is allowed beside error bars, too, in units of the largest; it is said of the right gradient."""
    f, grad, point = SMOOTH[name]
    x = point(np.random.default_rng(5))
    exact = grad(x)
    resolution = check_gradient(f, exact, x, directions=directions).resolution
    share = abs(exact * x) / abs(exact * x).max()
    passed = 0
    for j in np.flatnonzero(share > 0.01):
        for size in 10.0 ** np.arange(-14, -4):
            given = exact.copy()
            given[j] *= 1 + size
            report = check_gradient(f, given, x, directions=directions)
            if report.ok:
                passed += 1
                assert size * share[j] <= 2 * max(resolution, report.resolution), f"{size:.0e} in {j} of\n{report}"
    assert passed
    assert resolution >= 2.0**-26  # the root of roundoff passes


def test_resolution_of_many_parameters():
    x = np.random.default_rng(0).normal(size=1000)
    exact = np.sin(x) + x * np.cos(x)

    def f(x):
        return np.sum(np.sin(x) * x)

    resolution = check_gradient(f, exact, x).resolution
    assert resolution == 2.0**-26
    assert check_gradient(f, exact * (1 + 4 * resolution), x).verdict == "wrong"
    assert check_gradient(lambda x: 0.0, np.zeros(1000), x).resolution == 0


def test_errors_of_second_derivatives_that_pass_are_within_the_resolution():
    def f(p):
        return np.sin(p[0] * p[1]) + p[2] ** 3 * p[0]

    x = np.array([0.3, -1.2, 2.0])
    sine, cosine = np.sin(x[0] * x[1]), np.cos(x[0] * x[1])
    exact = np.array(
        [
            [-(x[1] ** 2) * sine, cosine - x[0] * x[1] * sine, 3 * x[2] ** 2],
            [cosine - x[0] * x[1] * sine, -(x[0] ** 2) * sine, 0.0],
            [3 * x[2] ** 2, 0.0, 6 * x[2] * x[0]],
        ]
    )
    weight = abs(exact * np.outer(x, x))
    for size in 10.0 ** np.arange(-14, -4):
        report = check_hessian(f, exact * (1 + size * np.eye(3)), x)
        if report.ok:
            assert size * weight.diagonal().max() / weight.max() <= 2 * report.resolution, f"{size:.0e} in\n{report}"
    for directions in (None, 2):
        assert check_hessian(f, exact, x, directions=directions).resolution >= 2.0**-26  # the root of roundoff passes
    assert check_hessian(lambda p: 2.0, np.zeros((3, 3)), x, directions=2).resolution == 0


def test_gradients_too_large_to_add_up_do_not_pass():
    x = np.linspace(-1, 1, 300)
    for some, directions in ((x, None), (x[:3], 2)):
        report = check_gradient(lambda p: (p**2).sum(), np.full(len(some), 1e308), some, directions=directions)
        assert not report.ok
    assert check_gradient(lambda p: (p**2).sum(), np.full(3, 1e-320), x[:3]).verdict == "wrong"
    f = lambda p: 1e160 * (np.sin(p[0]) + p[1] ** 2)  # noqa: E731
    assert check_hessian(f, 1e160 * np.diag([-np.sin(0.3), 2.0]), [0.3, 1.2], directions=2).ok


def test_second_derivatives_that_are_not_finite_are_named():
    given = np.diag([2.0, np.inf, 2.0])
    given[2, 0] = np.nan
    report = check_hessian(lambda p: (p**2).sum(), given, [0.3, -1.2, 2.0])
    assert report.verdict == "wrong"
    assert [e.name for e in report.entries] == ["x[1], x[1]", "x[2], x[0]"]


def test_linear_functions_have_no_second_derivatives():
    weights, x = np.array([2.0, -3.0, 0.5]), [0.3, -1.2, 2.0]
    report = check_hessian(lambda p: weights @ p + 7.0, np.zeros((3, 3)), x)
    assert report.ok, str(report)
    assert report.nfev < 150
    bent = check_hessian(lambda p: weights @ p + 1e-3 * p[0] * p[1], np.zeros((3, 3)), x)
    assert bent.verdict == "wrong"
    assert {e.name for e in bent.entries if e.verdict == "wrong"} == {"x[0], x[1]", "x[1], x[0]"}
