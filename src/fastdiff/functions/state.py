"""What a function keeps between its calls: looked through before it is recorded, and put back afterwards.

That it changed meanwhile is a reason not to record the function. What it holds is what can be seen from it: global names,
closures, defaults, attributes, and what is in containers, of a thousand objects or so. Values are compared by identity. The
insides of libraries' objects do not count: they keep caches.
"""

import pickle
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from .borrowing import GENERATORS, left_alone, names_in, variables_of
from .tracing import DRAWS, Untraceable

_OBJECTS, _EACH, _ITEMS = 1000, 1000, 10_000  # that are looked at: in all, in one container, and in all containers
_SMALL = 1000  # elements of an array that is looked at
_PLAIN = frozenset((bool, int, float, complex, str, bytes, range, slice, type(None), type(...)))


@contextmanager
def state_kept(*held: Any) -> Iterator[None]:
    """What these hold is afterwards as it was before. Raises Untraceable if it was another meanwhile.

    Random numbers that were drawn are drawn again. Where other threads run Python it may be they who changed it: then
    nothing is put back, and generators that all share are not looked at.
    """
    alone = _alone()
    places = [*_places(held), *([_Generator(random), _Generator(np.random)] if alone else [])]
    reason = ""
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        changes = [place for place in places if place.changed()]
        if changes:
            drawn = any(isinstance(place, _Generator) for place in changes)
            reason = DRAWS if drawn else f"f may keep state: it changes {changes[0].what()}"
        for place in changes if alone and _alone() else ():
            with suppress(Exception):  # it may no longer be there
                place.put_back()
    if reason:
        raise Untraceable(reason)


def _alone() -> bool:
    """Whether no other thread runs Python."""
    return len(sys._current_frames()) == 1


# --- places where something is kept ---


class _Place:
    """What is kept somewhere: `read` copies it, `write` puts a copy there."""

    kind = "a container"

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        self.read, self.write, self.before = read, write, read()

    def changed(self) -> bool:
        with suppress(Exception):  # what can no longer be read has changed
            return not self.same(self.before, self.read())
        return True

    def same(self, a: Any, b: Any) -> bool:
        """Whether two sequences hold the same objects."""
        return len(a) == len(b) and all(map(_same, a, b))

    def what(self) -> str:
        """That has changed, for people."""
        return self.kind

    def put_back(self) -> None:
        self.write(self.before)


class _Named(_Place):
    """Names and what they stand for."""

    def same(self, a: Any, b: Any) -> bool:
        return len(a) == len(b) and all(map(_is, a, b)) and not _differing(a, b)

    def what(self) -> str:
        names = [f"{name:.60}" for name in _differing(self.before, self.read()) if type(name) is str]
        return ", ".join(names[:3]) or "a dict"


class _Dict(_Named):
    """All of a dict, in its order."""

    def __init__(self, space: dict[Any, Any]) -> None:
        base: Any = OrderedDict if isinstance(space, OrderedDict) else dict  # of which each has its own order
        super().__init__(lambda: dict(base.items(space)), _refill(space, base.clear, base.update))


class _OneByOne(_Named):
    """By functions that read all, set one and remove one."""

    def __init__(
        self, read: Callable[[], dict[Any, Any]], put: Callable[[Any, Any], Any], remove: Callable[[Any], Any]
    ) -> None:
        def write(before: dict[Any, Any]) -> None:
            for name in _differing(before, read()):
                if name in before:
                    put(name, before[name])
                else:
                    remove(name)

        super().__init__(read, write)


class _Names(_OneByOne):
    """Some names of a dict."""

    def __init__(self, space: dict[Any, Any], names: Iterable[Any]) -> None:
        def read() -> dict[Any, Any]:
            return {name: space[name] for name in names if name in space}

        super().__init__(read, partial(dict.__setitem__, space), partial(dict.pop, space))


class _Slots(_OneByOne):
    """Attributes that are not in a dict."""

    def __init__(self, owner: Any, slots: dict[str, Any]) -> None:
        def read() -> dict[str, Any]:
            found = {}
            for name, descriptor in slots.items():
                with suppress(AttributeError):  # it is not set
                    found[name] = descriptor.__get__(owner)
            return found

        super().__init__(
            read, lambda name, value: slots[name].__set__(owner, value), lambda name: slots[name].__delete__(owner)
        )


class _Class(_OneByOne):
    def __init__(self, kind: type) -> None:
        def read() -> dict[str, Any]:
            return {name: v for name, v in vars(kind).items() if not isinstance(v, GetSetDescriptorType)}

        super().__init__(read, partial(type.__setattr__, kind), partial(type.__delattr__, kind))


class _Variables(_OneByOne):
    """What a function takes from the one around it."""

    def __init__(self, f: FunctionType) -> None:
        cells: dict[str, CellType] = dict(zip(f.__code__.co_freevars, f.__closure__ or ()))

        def put(name: str, value: Any) -> None:
            cells[name].cell_contents = value

        super().__init__(partial(variables_of, f), put, lambda name: cells[name].__delattr__("cell_contents"))


class _Sequence(_Place):
    """A list or a deque."""

    def __init__(self, base: Any, values: Any) -> None:
        self.kind = f"a {base.__name__}"
        super().__init__(lambda: list(base.__iter__(values)), _refill(values, base.clear, base.extend))


class _Set(_Place):
    kind = "a set"

    def __init__(self, values: set[Any]) -> None:
        super().__init__(lambda: set.copy(values), _refill(values, set.clear, set.update))

    def same(self, a: Any, b: Any) -> bool:
        return bool(a == b)


class _Array(_Place):
    kind = "an array"

    def __init__(self, array: Any) -> None:
        super().__init__(array.copy, lambda before: array.__setitem__(..., before))

    def same(self, a: Any, b: Any) -> bool:
        return bool(a.tobytes() == b.tobytes())


class _Generator(_Place):
    """The state of a generator of random numbers, or of the one that a module has for all; pickled, as it is no one type."""

    def __init__(self, source: Any) -> None:
        bits: Any = source.bit_generator if isinstance(source, np.random.Generator) else None
        if isinstance(source, np.random.BitGenerator):
            bits = source

        def get() -> Any:
            if bits is not None:
                return bits.state
            return source.getstate() if hasattr(source, "getstate") else source.get_state()

        def put(state: Any) -> None:
            if bits is not None:
                bits.state = state
            elif hasattr(source, "setstate"):
                source.setstate(state)
            else:
                source.set_state(state)

        super().__init__(lambda: pickle.dumps(get()), lambda state: put(pickle.loads(state)))

    def same(self, a: Any, b: Any) -> bool:
        return bool(a == b)


def _refill(container: Any, clear: Callable[[Any], None], fill: Callable[[Any, Any], None]) -> Callable[[Any], None]:
    """What puts a copy into a container, by its own methods, in its order."""

    def write(before: Any) -> None:
        clear(container)
        fill(container, before)

    return write


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) in _PLAIN and type(a) is type(b) and bool(a == b))


def _is(a: Any, b: Any) -> bool:
    return a is b


def _differing(a: dict[Any, Any], b: dict[Any, Any]) -> list[Any]:
    """Names that stand for something else in one than in the other."""
    return [name for name in {**a, **b} if name not in a or name not in b or not _same(a[name], b[name])]


# --- what an object holds ---


def _places(held: Any) -> list[_Place]:
    """Where these keep something, through all that they hold, but for the generators that all share."""
    places: list[_Place] = []
    seen = {id(np.random.random_sample.__self__), id(random.random.__self__)}  # type: ignore[attr-defined]
    open_, items = [held], _ITEMS
    for value in open_:
        if len(seen) > _OBJECTS or not items:
            break
        if id(value) in seen:
            continue
        seen.add(id(value))
        with suppress(Exception):  # of what cannot be copied, as the state of random.SystemRandom
            root = any(value is f for f in held)
            own, inner = _looked_at(value, root)
            places += own
            few = list(islice(inner, min(_EACH, items)))
            items -= len(few)
            open_ += [v for v in few if type(v) not in _PLAIN and not issubclass(type(v), np.generic)]
    return places


def _looked_at(value: Any, root: bool) -> tuple[list[_Place], Iterable[Any]]:
    """The places of an object itself, and what is in them. Runs no code of the object's: it may stand for another. `root`: f
    itself, which may come from a library."""
    kind = type(value)
    if issubclass(kind, (*GENERATORS, np.random.BitGenerator)):
        return [_Generator(value)], ()
    if issubclass(kind, np.ndarray):
        small = value.size <= _SMALL and value.flags.writeable
        return [_Array(value)] if small else [], value.ravel()[:_SMALL].tolist() if value.dtype.hasobject else ()
    if kind in (MethodType, BuiltinFunctionType):
        return [], (value.__self__, getattr(value, "__func__", None))
    if kind in (staticmethod, classmethod):
        return [], (value.__func__,)
    if kind is property:
        return [], (value.fget,)
    if kind is partial:
        return [], (value.func, *value.args, *value.keywords.values())
    if kind is FunctionType:
        if (value.__module__ or "").startswith("fastdiff."):  # around f, to count its calls or add arguments
            return [], [held for name, held in _Variables(value).before.items() if name in ("f", "args")]
        return _of_function(value) if root or not _of_library(value) else ([], ())
    if kind is MappingProxyType or issubclass(kind, tuple | frozenset):
        return [], value.values() if kind is MappingProxyType else value
    for base, (place, values) in _CONTAINERS.items():
        if issubclass(kind, base):
            return [place(value)] if base.__len__(value) <= _EACH else [], values(value)
    if issubclass(kind, type):
        return _of_class(value)
    if kind is ModuleType or kind.__module__.split(".")[0] in ("builtins", "numpy", "fastdiff"):
        return [], ()
    of_instance, inner = _of_instance(value, kind)
    return of_instance if root or not _of_library(kind) else [], inner


_CONTAINERS: dict[Any, tuple[Callable[[Any], _Place], Callable[[Any], Iterable[Any]]]] = {
    dict: (_Dict, dict.values),
    list: (partial(_Sequence, list), list.__iter__),
    deque: (partial(_Sequence, deque), deque.__iter__),
    set: (_Set, set.__iter__),
}


def _of_library(thing: Any) -> bool:
    """Whether this class or function comes from a library, whose objects keep caches rather than state."""
    name = (thing.__name__ if type(thing) is ModuleType else thing.__module__) or ""
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    known = left_alone(name) or name.split(".")[0] in sys.stdlib_module_names - {"__main__"}
    return known or "site-packages" in file or "dist-packages" in file


def _of_function(f: FunctionType) -> tuple[list[_Place], Iterable[Any]]:
    names, variables = set(names_in(f.__code__)), _Variables(f)
    used = [f.__globals__[name] for name in names if name in f.__globals__]
    modules = [m for m in used if type(m) is ModuleType]
    places = [_Names(vars(m), names) for m in modules if not _of_library(m)]
    of_its_own = [*variables.before.values(), *(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]
    of_modules = [vars(m)[name] for m in modules for name in names if name in vars(m)]
    return [variables, _Dict(vars(f)), _Names(f.__globals__, names), *places], [*used, *of_modules, *of_its_own]


def _of_class(kind: type) -> tuple[list[_Place], Iterable[Any]]:
    if _of_library(kind):
        return [], ()
    return [_Class(kind)], [*kind.__bases__, *vars(kind).values()]


def _of_instance(value: Any, kind: type) -> tuple[list[_Place], Iterable[Any]]:
    """Of attributes in a dict, and in slots."""
    places: list[_Named] = []
    slots: dict[str, Any] = {}
    for base in kind.__mro__:
        for name, descriptor in vars(base).items():
            if name == "__dict__" and type(descriptor) is GetSetDescriptorType:
                places.append(_Dict(descriptor.__get__(value)))
            elif type(descriptor) is MemberDescriptorType:
                slots.setdefault(name, descriptor)
    places.append(_Slots(value, slots))
    return [*places], [kind, *(inner for place in places for inner in place.before.values())]
