"""Protects checks of PyTorch: tensors reach f as they are, autograd is checked as it stands, modules keep their parameters."""

import numpy as np
import pytest
import torch

from fastdiff import check_gradient, check_hessian, check_jacobian, check_jvp, check_vjp
from fastdiff.testing import assert_gradient

torch.set_default_dtype(torch.float32)
DOUBLE = torch.float64


class Cube(torch.autograd.Function):
    """x**3 with a derivative of `factor` x**2."""

    factor = 3.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, out):
        (x,) = ctx.saved_tensors
        return out * Cube.factor * x**2


def parameters(dtype, seed=0):
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype)

    return {"layers": [{"weight": normal(6, 4) / 2, "bias": normal(6) / 10}], "out": normal(6), "steps": 3}


def loss(p):
    data = torch.linspace(-1, 1, 40, dtype=p["out"].dtype).reshape(10, 4)
    hidden = torch.tanh(data @ p["layers"][0]["weight"].T + p["layers"][0]["bias"])
    assert p["steps"] == 3
    return ((hidden @ p["out"]) ** 2).mean()


@pytest.mark.parametrize("directions", [None, 2])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_autograd_is_right(dtype, directions):
    for seed in range(8):
        p = parameters(dtype, seed)
        before = p["out"].clone()
        report = check_gradient(loss, p, directions=directions)
        assert report.ok, str(report)
        assert torch.equal(p["out"], before)
        assert not p["out"].requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_wrong_gradient_is_found_by_name(dtype):
    def bad(p):
        fresh = {"layers": [{k: v.clone() for k, v in p["layers"][0].items()}], "out": p["out"].clone(), "steps": 3}
        leaves = [fresh["layers"][0]["weight"], fresh["layers"][0]["bias"], fresh["out"]]
        for leaf in leaves:
            leaf.requires_grad_(True)
        weight, bias, out = torch.autograd.grad(loss(fresh), leaves)
        weight[3, 2] *= -1
        return {"layers": [{"weight": weight, "bias": bias}], "out": out}

    for directions in (None, 2):
        report = check_gradient(loss, bad, parameters(dtype), directions=directions)
        assert report.verdict == "wrong"
        assert report.entries[0].name == "layers[0].weight[3, 2]"
        assert report.entries[0].reason == "sign"


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_custom_functions(dtype, monkeypatch):
    x = torch.tensor([1.0, 2.0, -0.5], dtype=dtype)
    assert_gradient(lambda x: Cube.apply(x).sum(), x)
    monkeypatch.setattr(Cube, "factor", 2.0)
    report = check_gradient(lambda x: Cube.apply(x).sum(), x)
    assert report.verdict == "wrong"
    assert sum(e.verdict == "wrong" for e in report.entries) == 3
    assert check_jacobian(Cube.apply, x).verdict == "wrong"
    assert check_vjp(Cube.apply, x).verdict == "wrong"


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_modules_by_name(dtype):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).to(dtype)
    data = torch.randn(20, 3, dtype=dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    f = lambda m: (m(data) ** 2).mean()  # noqa: E731
    for directions in (None, 2):
        assert check_gradient(f, model, directions=directions).ok

    def bad(m):
        found = dict(zip(before, torch.autograd.grad(f(m), list(m.parameters()))))
        found["2.bias"] = 2 * found["2.bias"]
        return found

    report = check_gradient(f, bad, model)
    assert report.verdict == "wrong"
    assert [e.name for e in report.entries if e.verdict == "wrong"] == ["2.bias[0]"]
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
    with pytest.raises(TypeError, match=r"takes no torch\.nn\.Module"):
        check_jvp(f, model)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script:DeprecationWarning"
)  # PyTorch's own, on first use of forward mode
def test_the_other_derivatives():
    x = torch.tensor([0.3, -1.2, 0.8], dtype=DOUBLE)
    f = lambda x: torch.stack([x[0] * x[1], torch.sin(x[2]) * x[0]])  # noqa: E731
    assert check_jacobian(f, x).ok
    assert check_jvp(f, x).ok
    assert check_vjp(f, x).ok
    g = lambda x: (x[0] * x[1]) ** 2 + torch.exp(x[2] * x[0])  # noqa: E731
    assert check_hessian(g, x).ok
    assert check_hessian(g, x, directions=2).ok
    assert check_hessian(lambda x: 2 * x.sum(), x).ok

    def rows(x):
        return torch.autograd.functional.jacobian(f, x).T.contiguous().reshape(2, 3)

    assert check_jacobian(f, rows, x).verdict == "wrong"


def test_kinks():
    x = torch.tensor([0.0, 1.0], dtype=DOUBLE)
    report = check_gradient(lambda x: torch.relu(x).sum(), x)
    assert report.verdict == "inconclusive"
    assert "kink: slope 0 on one side, 1 on the other, at x[0]" in report.reason


def test_relu_networks_in_float32():
    """No alarm, mostly a verdict, and an error of a tenth in an entry that matters is found."""
    torch.manual_seed(2)
    data = torch.randn(32, 5)
    f = lambda m: (m(data) ** 2).mean()  # noqa: E731
    verdicts = []
    for seed in range(6):
        model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        report = check_gradient(f, model)
        assert report.verdict != "wrong", str(report)
        verdicts.append(report.verdict)
        right = torch.autograd.grad(f(model), list(model.parameters()))
        share = [(g * p.detach()).abs() for g, p in zip(right, model.parameters())]
        most = max(float(part.max()) for part in share)
        k = seed % 3
        i = int(torch.argmax((share[k] > 1e-2 * most).flatten().float()))
        bad = [g.clone() for g in right]
        bad[k].view(-1)[i] *= 1.1
        names = [name for name, _ in model.named_parameters()]
        report = check_gradient(f, dict(zip(names, bad)), model)
        assert report.verdict == "wrong", str(report)
    assert verdicts.count("correct") >= 4


class Scale(torch.autograd.Function):
    """The identity, with a derivative that is off by `factor`."""

    factor = 1.0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, out):
        return out * Scale.factor


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_convolutions(dtype, monkeypatch):
    torch.manual_seed(5)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(8 * 10 * 10, 20),
        torch.nn.Tanh(), torch.nn.Linear(20, 10),
    ).to(dtype)  # fmt: skip
    data, target = torch.randn(8, 1, 12, 12, dtype=dtype), torch.arange(8)

    def f(m):
        return torch.nn.functional.cross_entropy(m[3:](Scale.apply(m[:3](data))), target)

    report = check_gradient(f, model)
    assert report.ok, str(report)
    assert report.nfev <= 60
    if dtype == torch.float32:
        return
    monkeypatch.setattr(Scale, "factor", 1.1)
    report = check_gradient(f, model)
    assert report.verdict == "wrong", str(report)
    assert report.entries[0].path.startswith("0.")  # the layer before it


def test_a_million_parameters():
    x = torch.randn(10**6, generator=torch.Generator().manual_seed(3))
    report = check_gradient(lambda x: torch.tanh(x.double()).pow(2).mean(), x)
    assert report.ok, str(report)
    assert report.nfev <= 60


def test_what_does_not_fit():
    x = torch.ones(2, dtype=DOUBLE)
    with pytest.raises(TypeError, match="autograd recorded"):
        check_gradient(lambda x: x.detach().sum(), x)
    with pytest.raises(TypeError, match="grad must be given"):
        check_gradient(lambda p: p["a"].sum() + p["b"].sum(), {"a": x, "b": np.ones(2)})
    with pytest.raises(ValueError, match=r"grad must have shape \(2,\), got \(3,\)"):
        check_gradient(lambda x: x.sum(), lambda x: torch.ones(3), x)


def test_dropout_is_noise_and_no_alarm():
    torch.manual_seed(4)
    x = torch.randn(50, dtype=DOUBLE)
    report = check_gradient(lambda x: torch.nn.functional.dropout(x, 0.5).sum(), x)
    assert report.verdict == "inconclusive", str(report)
