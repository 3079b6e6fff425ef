"""PyTorch and JAX: their arrays as parameters, and the derivatives they compute themselves.

Neither is imported here unless the caller's objects come from it: what was never imported has made no objects.
"""

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Leaves = list[Any]


class Framework(ABC):
    """What a framework does for us. `call` takes a list of leaves and returns f's value; `inputs` are such leaves."""

    name: str

    @abstractmethod
    def owns(self, value: Any) -> bool: ...

    @abstractmethod
    def array(self, value: Any) -> NDArray[Any]:
        """As a NumPy array, in a dtype that NumPy knows."""

    @abstractmethod
    def like(self, leaf: Any, values: NDArray[Any]) -> Any:
        """A new leaf of the dtype and on the device of `leaf`."""

    @abstractmethod
    def vjp(self, call: Callable[[Leaves], Any], inputs: Leaves, u: NDArray[Any] | float) -> Leaves: ...

    @abstractmethod
    def jvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Any: ...

    @abstractmethod
    def hvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Leaves: ...


def _known_to_numpy(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.dtype.kind in "fiubc" else array.astype(np.float32)  # bfloat16 and its kind


class Torch(Framework):
    name = "PyTorch"

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def owns(self, value: Any) -> bool:
        return isinstance(value, self.torch.Tensor)

    def array(self, value: Any) -> NDArray[Any]:
        value = value.detach().cpu()
        if value.dtype == self.torch.bfloat16:
            value = value.float()
        return np.asarray(value.resolve_conj().numpy())

    def like(self, leaf: Any, values: NDArray[Any]) -> Any:
        return self.torch.tensor(values, dtype=leaf.dtype, device=leaf.device)

    def _value(self, call: Callable[[Leaves], Any], inputs: Leaves) -> Any:
        for leaf in inputs:
            leaf.requires_grad_(True)
        value = call(inputs)
        if not self.owns(value) or not value.requires_grad:
            raise TypeError("f must return a tensor that PyTorch's autograd recorded, or pass the derivative to check")
        return value

    def vjp(self, call: Callable[[Leaves], Any], inputs: Leaves, u: NDArray[Any] | float) -> Leaves:
        value = self._value(call, inputs)
        seed = self.torch.as_tensor(u, dtype=value.dtype, device=value.device).expand(value.shape)
        return self._zeros_for_none(self.torch.autograd.grad(value, inputs, seed, allow_unused=True), inputs)

    def jvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Any:
        return self.torch.func.jvp(lambda *leaves: call(list(leaves)), tuple(inputs), tuple(v))[1]

    def hvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Leaves:
        grad = self.torch.autograd.grad
        value = self._value(call, inputs)
        first = grad(value.reshape(()), inputs, create_graph=True, allow_unused=True)
        along = sum((g * w).sum() for g, w in zip(first, v) if g is not None)
        if not self.owns(along) or not along.requires_grad:  # f is linear
            return [self.torch.zeros_like(leaf) for leaf in inputs]
        return self._zeros_for_none(grad(along, inputs, allow_unused=True), inputs)

    def _zeros_for_none(self, found: Sequence[Any], inputs: Leaves) -> Leaves:
        return [self.torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, inputs)]


class Jax(Framework):
    name = "JAX"

    def __init__(self, jax: Any) -> None:
        self.jax = jax

    def owns(self, value: Any) -> bool:
        return isinstance(value, self.jax.Array)

    def array(self, value: Any) -> NDArray[Any]:
        return _known_to_numpy(np.asarray(value))

    def like(self, leaf: Any, values: NDArray[Any]) -> Any:
        return self.jax.numpy.asarray(values, dtype=leaf.dtype)

    def vjp(self, call: Callable[[Leaves], Any], inputs: Leaves, u: NDArray[Any] | float) -> Leaves:
        value, back = self.jax.vjp(call, inputs)
        seed = self.jax.numpy.broadcast_to(self.jax.numpy.asarray(u, dtype=value.dtype), value.shape)
        return list(back(seed)[0])

    def jvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Any:
        return self.jax.jvp(call, (inputs,), (v,))[1]

    def hvp(self, call: Callable[[Leaves], Any], inputs: Leaves, v: Leaves) -> Leaves:
        return list(self.jax.jvp(self.jax.grad(call), (inputs,), (v,))[1])


def imported() -> list[Framework]:
    """The frameworks that the caller's objects can come from."""
    found: list[Framework] = []
    for name, kind in (("torch", Torch), ("jax", Jax)):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "Tensor" if name == "torch" else "Array"):
            found.append(kind(module))
    return found


def owner(value: Any) -> Framework | None:
    return next((framework for framework in imported() if framework.owns(value)), None)


def as_array(value: Any) -> NDArray[Any]:
    """Anything that holds numbers, as NumPy sees it."""
    framework = owner(value)
    return np.asarray(value) if framework is None else framework.array(value)


def of_symbolic(f: Any, given: Any, kind: str) -> tuple[Any, Any]:
    """f and its derivative, where they are functions of `fastdiff.symbolic`, as functions of a point; and the exact
    derivative of such an f where none was given."""
    module = sys.modules.get("fastdiff.symbolic")
    if module is None:
        return f, given
    if isinstance(f, module.Function):
        if given is None:
            exact = {"gradient": f.grad, "hessian": f.hessian}.get(kind, f.jacobian)()
            products = {
                "jvp": lambda x, v: exact.at(x) @ v,
                "vjp": lambda x, u: np.tensordot(u, exact.at(x), np.ndim(u)),
            }
            given = products.get(kind, exact)
        f = f.at
    return f, given.at if isinstance(given, module.Function) else given


def copy_of_module(x: Any) -> Any:
    """A copy of x if it is a `torch.nn.Module`, so that the caller's own is never touched; else None."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.nn.Module):
        return None
    return copy.deepcopy(x)


def registered_in_jax(x: Any) -> Any:
    """(names and children, rebuild) of a container that was registered with JAX; None of anything else."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    tree = jax.tree_util
    if tree.all_leaves([x]):
        return None
    children, definition = tree.tree_flatten_with_path(x, is_leaf=lambda node: node is not x)
    return [(tree.keystr(path), child) for path, child in children], lambda new: tree.tree_unflatten(definition, new)
