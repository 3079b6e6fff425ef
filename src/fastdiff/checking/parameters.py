"""The point as the caller holds it (an array, a nest of containers, a module) and as one vector, with names for entries."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from ..arguments import real
from . import frameworks


@dataclass(frozen=True)
class Leaf:
    """An array among the parameters: entries `start` to `stop` of the vector."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    framework: frameworks.Framework | None
    value: Any
    start: int

    @property
    def stop(self) -> int:
        return self.start + int(np.prod(self.shape))

    def make(self, values: NDArray[Any]) -> Any:
        """A leaf like this one; `values` may have more axes in front."""
        if self.framework is not None:
            return self.framework.like(self.value, values)
        return values.astype(self.dtype, copy=False)[()]


@dataclass(frozen=True)
class Constant:
    """What is passed on as it is: integers, strings, None, functions."""

    value: Any


@dataclass(frozen=True)
class Branch:
    """A container: how to name, find and put back its children."""

    kind: str
    keys: tuple[Any, ...]
    children: tuple["Tree", ...]
    rebuild: Callable[[list[Any]], Any]

    def child(self, value: Any, i: int) -> Any:
        """The child that stands in another container of this structure where the i-th stands here."""
        key = self.keys[i]
        if isinstance(value, Mapping):
            return value[key]
        if self.kind == "attributes" and hasattr(value, str(key)):
            return getattr(value, key)
        if isinstance(value, list | tuple):
            return value[i]
        if self.kind == "module" and hasattr(value, "get_parameter"):
            return value.get_parameter(key)
        known = frameworks.registered_in_jax(value)
        if known is not None:
            return known[0][i][1]
        raise TypeError


Tree = Leaf | Constant | Branch


class Parameters:
    """x in pieces. `vector` (d,) holds all entries as float64; `build` makes of such a vector what f takes."""

    def __init__(self, x: Any, name: str = "x") -> None:
        self.name = name
        self.leaves: list[Leaf] = []
        self._size = 0
        self.tree = self._taken(x, "", top=True)
        if not self._size:
            raise ValueError(f"{name} must hold at least one number to differentiate by, got {type(x).__name__}")
        self.vector: NDArray[float64] = np.concatenate(
            [frameworks.as_array(leaf.value).astype(float64).reshape(-1) for leaf in self.leaves]
        )

    def __len__(self) -> int:
        return self._size

    @property
    def plain(self) -> bool:
        """Whether x is one array."""
        return isinstance(self.tree, Leaf)

    @property
    def is_module(self) -> bool:
        return isinstance(self.tree, Branch) and self.tree.kind == "module"

    @property
    def framework(self) -> frameworks.Framework | None:
        """The one that all leaves come from, or None."""
        first = self.leaves[0].framework
        same = first is not None and all(leaf.framework and leaf.framework.name == first.name for leaf in self.leaves)
        return first if same else None

    @property
    def eps(self) -> float:
        """The unit roundoff of the coarsest entries."""
        return max(float(np.finfo(leaf.dtype).eps) for leaf in self.leaves)

    def _taken(self, node: Any, path: str, top: bool = False) -> Tree:
        leaf = self._leaf(node, path or self.name, top)
        if leaf is not None:
            return leaf
        found = _opened(node)
        if found is None:
            if top:
                raise TypeError(
                    f"{self.name} must be an array, or a dict, list, tuple, dataclass or module of arrays, "
                    f"got {type(node).__name__}"
                )
            return Constant(node)
        kind, items, rebuild = found
        children = tuple(self._taken(child, _extended(path, key, self.name)) for key, child in items)
        return Branch(kind, tuple(key for key, _ in items), children, rebuild)

    def _leaf(self, node: Any, path: str, top: bool) -> Leaf | None:
        framework = frameworks.owner(node)
        if framework is None and not isinstance(node, np.ndarray | np.generic | float | complex):
            if not (top and (isinstance(node, int) or _only_numbers(node))):
                return None
            node = real(self.name, node)
        array = frameworks.as_array(node)
        if array.dtype.kind == "c":
            raise TypeError(f"{path} must be real, got dtype {array.dtype}")
        if array.dtype.kind != "f":
            if not top:
                return None
            node = array = real(self.name, array)
            framework = None
        leaf = Leaf(path, array.shape, array.dtype, framework, node, self._size)
        self._size = leaf.stop
        self.leaves.append(leaf)
        return leaf

    def build(self, vectors: NDArray[Any]) -> Any:
        """What f takes, of a vector (d,), or of many (k, d): then each array has k along a new first axis."""
        lead = vectors.shape[:-1]
        return self.put(
            [leaf.make(vectors[..., leaf.start : leaf.stop].reshape(lead + leaf.shape)) for leaf in self.leaves]
        )

    def put(self, leaves: Sequence[Any]) -> Any:
        """The structure of x around other leaves."""
        return _built(self.tree, iter(leaves))

    def leaves_of(self, value: Any, what: str) -> list[tuple[Leaf, Any]]:
        """The leaves of something with the structure of x."""
        found: list[tuple[Leaf, Any]] = []
        self._matched(self.tree, value, what, found)
        return found

    def _matched(self, node: Tree, value: Any, what: str, found: list[tuple[Leaf, Any]]) -> None:
        if isinstance(node, Leaf):
            found.append((node, value))
        elif isinstance(node, Branch):
            own = {key for key, child in zip(node.keys, node.children) if not isinstance(child, Constant)}
            if isinstance(value, Mapping) and not set(value) <= set(node.keys):
                extra = next(key for key in value if key not in node.keys)
                raise ValueError(f"{what} must have the structure of {self.name}, which has no {extra!r}")
            if isinstance(value, list | tuple) and len(value) != len(node.keys):
                raise ValueError(
                    f"{what} must have the structure of {self.name}: a container of {len(node.keys)}, got {len(value)}"
                )
            for i, (key, child) in enumerate(zip(node.keys, node.children)):
                if key not in own:
                    continue
                try:
                    part = node.child(value, i)
                except (KeyError, IndexError, TypeError):
                    raise ValueError(
                        f"{what} must have the structure of {self.name}, which has {key!r} where {what} "
                        f"is {type(value).__name__} {_short(value)}"
                    ) from None
                self._matched(child, part, what, found)

    def flattened(self, value: Any, what: str, before: tuple[int, ...] = ()) -> NDArray[float64]:
        """Something with the structure of x, whose arrays have the shapes of x's after `before`, as (*before, d)."""
        parts = []
        for leaf, part in self.leaves_of(value, what):
            array = self._numbers(part, leaf, what)
            if array.shape != before + leaf.shape:
                if (
                    self.plain
                    and array.size == int(np.prod(before + leaf.shape))
                    and array.ndim <= 1 >= len(leaf.shape)
                ):
                    array = array.reshape(before + leaf.shape)  # (1,) for a number, or the other way round
                else:
                    where = "" if self.plain else f" for {leaf.path}"
                    raise ValueError(f"{what} must have shape {before + leaf.shape}{where}, got {array.shape}")
            parts.append(array.reshape(*before, leaf.stop - leaf.start))
        return np.concatenate(parts, axis=-1)

    def _numbers(self, part: Any, leaf: Leaf, what: str) -> NDArray[float64]:
        label = what if self.plain else f"{what} for {leaf.path}"
        return real(label, frameworks.as_array(part))

    def leaf_of(self, i: int) -> Leaf:
        return next(leaf for leaf in self.leaves if i < leaf.stop)

    def entry(self, i: int) -> tuple[str, tuple[int, ...]]:
        """The path of the array that holds entry i, and the index in it."""
        leaf = self.leaf_of(i)
        return leaf.path, tuple(int(k) for k in np.unravel_index(i - leaf.start, leaf.shape)) if leaf.shape else ()


def named(path: str, index: tuple[int, ...]) -> str:
    return f"{path}[{', '.join(map(str, index))}]" if index else path


def _only_numbers(node: Any) -> bool:
    if not isinstance(node, list | tuple) or hasattr(node, "_fields"):
        return False
    return all(isinstance(v, int | float | np.generic) or _only_numbers(v) for v in node)


def _extended(path: str, key: Any, name: str) -> str:
    if isinstance(key, int):
        return f"{path or name}[{key}]"
    if isinstance(key, str) and key.startswith((".", "[")):  # as JAX names them
        return f"{path or name}{key}"
    key = key if isinstance(key, str) else f"[{key!r}]"
    return f"{path}.{key}" if path else key


def _opened(node: Any) -> tuple[str, list[tuple[Any, Any]], Callable[[list[Any]], Any]] | None:
    """Kind, keys with children, and how to put children back, of a container; None of anything else."""
    if isinstance(node, Mapping) and isinstance(node, dict):
        return "keys", list(node.items()), lambda new: _with_items(node, new)
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return "attributes", list(zip(node._fields, node)), lambda new: type(node)(*new)
    if isinstance(node, list | tuple):
        return "positions", list(enumerate(node)), type(node)
    module = frameworks.copy_of_module(node)
    if module is not None:
        return "module", list(module.named_parameters()), lambda new: _with_parameters(module, new)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        names = [field.name for field in dataclasses.fields(node)]
        return "attributes", [(n, getattr(node, n)) for n in names], lambda new: _with_fields(node, names, new)
    known = frameworks.registered_in_jax(node)
    return None if known is None else ("positions", *known)


def _with_items(node: dict[Any, Any], new: list[Any]) -> Any:
    other = copy.copy(node)
    other.update(zip(node, new))
    return other


def _with_fields(node: Any, names: list[str], new: list[Any]) -> Any:
    other = copy.copy(node)
    for name, value in zip(names, new):
        object.__setattr__(other, name, value)  # frozen ones too
    return other


def _with_parameters(module: Any, new: list[Any]) -> Any:
    for parameter, value in zip(module.parameters(), new):
        parameter.data = value.detach()
    return module


def _built(node: Tree, leaves: Iterator[Any]) -> Any:
    if isinstance(node, Leaf):
        return next(leaves)
    if isinstance(node, Constant):
        return node.value
    return node.rebuild([_built(child, leaves) for child in node.children])


def _short(value: Any) -> str:
    text = repr(value).splitlines()[0] if repr(value) else ""
    return text if len(text) < 60 else text[:57] + "..."
