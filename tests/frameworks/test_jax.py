"""Protects checks of JAX: arrays reach f as they are, custom rules are checked as they stand, any pytree has names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastdiff import check_gradient, check_hessian, check_jacobian, check_jvp, check_vjp


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def dtype(request):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield jnp.float64 if request.param else jnp.float32
    jax.config.update("jax_enable_x64", before)


def parameters(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "layers": [
            {
                "weight": jnp.asarray(rng.normal(size=(6, 4)) / 2, dtype),
                "bias": jnp.asarray(rng.normal(size=6) / 10, dtype),
            }
        ],
        "out": jnp.asarray(rng.normal(size=6), dtype),
    }


@jax.jit
def loss(p):
    data = jnp.linspace(-1, 1, 40, dtype=p["out"].dtype).reshape(10, 4)
    hidden = jnp.tanh(data @ p["layers"][0]["weight"].T + p["layers"][0]["bias"])
    return ((hidden @ p["out"]) ** 2).mean()


def rule(factor):
    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, out: (out * factor * x**2,))
    return cube


@pytest.mark.parametrize("directions", [None, 2])
def test_jax_is_right(dtype, directions):
    for seed in range(8):
        report = check_gradient(loss, parameters(dtype, seed), directions=directions)
        assert report.ok, str(report)


def test_a_wrong_gradient_is_found_by_name(dtype):
    def bad(p):
        g = jax.grad(loss)(p)
        g["layers"][0]["weight"] = g["layers"][0]["weight"].at[3, 2].multiply(-1)
        return g

    for directions in (None, 2):
        report = check_gradient(loss, bad, parameters(dtype), directions=directions)
        assert report.verdict == "wrong"
        assert report.entries[0].name == "layers[0].weight[3, 2]"


def test_custom_rules(dtype):
    x = jnp.asarray([1.0, 2.0, -0.5], dtype)
    assert check_gradient(lambda x: rule(3.0)(x).sum(), x).ok
    assert check_gradient(lambda x: rule(2.0)(x).sum(), x).verdict == "wrong"
    assert check_vjp(rule(3.0), x).ok
    assert check_vjp(rule(2.0), x).verdict == "wrong"
    assert check_jacobian(rule(2.0), x).verdict == "wrong"
    assert check_vjp(rule(2.0), lambda x, u: jax.vjp(rule(3.0), x)[1](u), x).ok


def test_the_other_derivatives():
    with jax.enable_x64(True):
        x = jnp.asarray([0.3, -1.2, 0.8])
        f = lambda x: jnp.stack([x[0] * x[1], jnp.sin(x[2]) * x[0]])  # noqa: E731
        assert check_jacobian(f, x).ok
        assert check_jacobian(f, jax.jacobian(f), x).ok
        assert check_jvp(f, x).ok
        g = lambda x: (x[0] * x[1]) ** 2 + jnp.exp(x[2] * x[0])  # noqa: E731
        assert check_hessian(g, x).ok
        assert check_hessian(g, jax.hessian(g), x, directions=2).ok
        p = {"a": x, "b": x[0]}
        h = lambda p: (p["a"] ** 3).sum() * p["b"]  # noqa: E731
        assert check_hessian(h, jax.hessian(h), p).ok
        assert check_hessian(h, p).ok
        half = lambda p: jax.tree.map(lambda v: v / 2, jax.hessian(h)(p))  # noqa: E731
        assert check_hessian(h, half, p).verdict == "wrong"


@jax.tree_util.register_pytree_with_keys_class
class Pair:
    """A container of its own, as libraries register them."""

    def __init__(self, left, right):
        self.left, self.right = left, right

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        return ((key("left"), self.left), (key("right"), self.right)), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_registered_containers(dtype):
    p = {"pair": Pair(jnp.asarray([1.0, 2.0], dtype), jnp.asarray(3.0, dtype))}
    f = lambda p: (p["pair"].left ** 2).sum() * p["pair"].right  # noqa: E731
    assert check_gradient(f, p).ok
    bad = lambda p: {"pair": Pair(2 * p["pair"].left * p["pair"].right, p["pair"].right)}  # noqa: E731
    report = check_gradient(f, bad, p)
    assert report.verdict == "wrong"
    assert report.entries[0].name == "pair.right"


def test_kinks(dtype):
    report = check_gradient(lambda x: jax.nn.relu(x).sum(), jnp.asarray([0.0, 1.0], dtype))
    assert report.verdict == "inconclusive"
    assert "kink" in report.reason
