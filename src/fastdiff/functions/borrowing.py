"""Python code that is run with other functions in place of some of NumPy's.

`numpy.array`, `numpy.zeros` and the like do not ask their arguments what to do, as ufuncs do. So a function is recorded
through a copy of it, which shares its code and sees other globals: nothing is changed that anybody else can see.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NoReturn

import numpy as np

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_LEFT_ALONE = ("numpy", "scipy", "numba", "fastdiff", "jax", "math", "cmath")


class _Module:
    """A module with some of its functions replaced."""

    def __init__(self, module: ModuleType, borrower: "Borrower") -> None:
        self._module, self._borrower = module, borrower

    def __getattr__(self, name: str) -> Any:
        return self._borrower.replaced(getattr(self._module, name))


class _Source:
    """A generator of random numbers, or a module of them, from which none is drawn."""

    def __init__(self, source: Any, refuse: Callable[..., NoReturn]) -> None:
        self._source, self._refuse = source, refuse

    @property
    def __class__(self) -> Any:  # so that isinstance goes the way it would
        return type(self._source)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        self._refuse()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._source, name)
        return value if isinstance(value, type) or value is np.random.default_rng else self._refuse


class Borrower:
    """Makes copies of functions that call `instead[g]` wherever they name g, and `draw` in place of drawing random numbers."""

    def __init__(self, instead: Mapping[Any, Callable[..., Any]], draw: Callable[..., NoReturn]) -> None:
        self.instead, self._draw = {id(g): own for g, own in instead.items()}, draw
        self._copies: dict[int, tuple[Any, Any]] = {}  # with the original, so that its id stays its own
        self._spaces: dict[int, dict[str, Any]] = {}

    def copy(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """f, with what it calls replaced as far as it is Python code."""
        if isinstance(f, FunctionType):
            return self._function(f)
        if isinstance(f, MethodType) and isinstance(f.__func__, FunctionType):
            return MethodType(self._function(f.__func__), f.__self__)
        if isinstance(f, partial):
            keywords = {name: self.replaced(value) for name, value in f.keywords.items()}
            return partial(self.copy(f.func), *map(self.replaced, f.args), **keywords)
        call = type(f).__dict__.get("__call__")
        return MethodType(self._function(call), f) if isinstance(call, FunctionType) else f

    def replaced(self, value: Any) -> Any:
        own = self.instead.get(id(value))
        if own is not None:
            return own
        if isinstance(value, GENERATORS) or value is random or value is np.random:
            return _Source(value, self._draw)
        if type(value) is partial:
            return self.copy(value)
        if type(value) is tuple:
            return tuple(map(self.replaced, value))
        if isinstance(getattr(value, "__self__", None), GENERATORS) and callable(value):
            return self._draw
        if isinstance(value, ModuleType) and value.__name__.split(".")[0] == "numpy":
            return _Module(value, self)
        if isinstance(value, FunctionType) and not left_alone(value.__module__):
            return self._function(value)
        return value

    def _function(self, f: FunctionType) -> FunctionType:
        found = self._copies.get(id(f))
        if found is not None:
            made: FunctionType = found[1]
            return made
        space = self._spaces.setdefault(id(f.__globals__), dict(f.__globals__))
        cells = tuple(CellType() for _ in f.__closure__ or ())
        made = FunctionType(f.__code__, space, f.__name__, None, cells)
        self._copies[id(f)] = f, made
        made.__defaults__ = self.replaced(f.__defaults__)
        if f.__kwdefaults__:
            made.__kwdefaults__ = {name: self.replaced(value) for name, value in f.__kwdefaults__.items()}
        for name in names_in(f.__code__):
            if name in f.__globals__:
                space[name] = self.replaced(f.__globals__[name])
        for cell, old in zip(cells, f.__closure__ or ()):
            with suppress(ValueError):  # it was empty
                cell.cell_contents = self.replaced(old.cell_contents)
        return made


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def variables_of(f: FunctionType) -> dict[str, Any]:
    """What a function takes from the one around it, by name."""
    found = {}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        with suppress(ValueError):  # it is empty
            found[name] = cell.cell_contents
    return found


def left_alone(module: str | None) -> bool:
    """Whether what comes from this module is run as it is."""
    return (module or "").split(".")[0] in _LEFT_ALONE
