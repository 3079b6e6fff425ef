"""Protects what f keeps between its calls: a recording leaves it as it was, and knows that f keeps it."""

import enum
import random
import secrets
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, SimpleNamespace

import mpmath
import numpy as np
import pytest
import scenarios
from scipy import stats

import fastdiff
from fastdiff.functions import state
from fastdiff.functions.state import state_kept
from fastdiff.functions.tracing import DRAWS, Untraceable


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Whatever threads other tests have left behind."""
    monkeypatch.setattr(state, "_alone", lambda: True)


def rng():
    return np.random.default_rng(3)


def of_generator(hold, draw):
    """f that draws from a generator inside of what it holds, and the state of that."""
    source = rng()
    held = hold(source)
    return (lambda x: x + draw(held)), lambda: str(source.bit_generator.state)


class Slots:
    __slots__ = ("_count", "source")

    def __init__(self, source):
        self._count, self.source = 0, source

    def __call__(self, x):
        self._count += 1
        return x * self._count


def with_class_attribute(source):
    class Noisy:
        own = source

    return Noisy


def with_default(source):
    class Noisy:
        def draw(self, source=source):
            return source.random()

    return Noisy()


def cyclic(source):
    held = []
    held.append(held)
    held.append(source)
    return held


def frozen_distribution(source):
    normal = stats.norm()
    normal.random_state = source
    return normal


HOLDS = {
    "itself": (lambda g: g, lambda h: h.random()),
    "dict": (lambda g: {"a": g}, lambda h: h["a"].random()),
    "many numbers first": (lambda g: [[0.5] * 5000, g], lambda h: h[1].random()),
    "tuple of lists": (lambda g: ([g],), lambda h: h[0][0].random()),
    "deque": (lambda g: deque([g]), lambda h: h[0].random()),
    "mapping proxy": (lambda g: MappingProxyType({"a": g}), lambda h: h["a"].random()),
    "cycle": (cyclic, lambda h: h[1].random()),
    "objects": (lambda g: SimpleNamespace(a=SimpleNamespace(b=g)), lambda h: h.a.b.random()),
    "slots": (Slots, lambda h: h.source.random()),
    "class": (with_class_attribute, lambda h: h().own.random()),
    "method": (lambda g: {"draw": g.random}, lambda h: h["draw"]()),
    "default": (with_default, lambda h: h.draw()),
    "partial": (lambda g: partial(lambda source: source.random(), g), lambda h: h()),
    "array": (lambda g: np.array([g, None]), lambda h: h[0].random()),
    "bits": (lambda g: g.bit_generator, lambda h: h.random_raw() % 7),
    "library": (frozen_distribution, lambda h: h.rvs()),
}


@pytest.mark.parametrize("name", HOLDS)
def test_generators_are_put_back(name):
    f, now = of_generator(*HOLDS[name])
    before = now()
    with pytest.raises(Untraceable, match=DRAWS), state_kept(f):
        f(1.0)
    assert now() == before
    f(1.0)
    assert now() != before


def test_shared_generators_are_put_back():
    for draw in (random.random, np.random.random_sample):
        before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
        with pytest.raises(Untraceable, match=DRAWS), state_kept():
            draw()
        assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


COUNT = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    count: int = 0

    def __call__(self, x):
        object.__setattr__(self, "count", self.count + 1)
        return x


class Kinds(enum.Enum):
    ONE = 1

    @staticmethod
    def next():
        Kinds.count += 1
        return Kinds.count


Kinds.count = 0


class Nameless:
    def __str__(self):
        raise RuntimeError


def counters():
    count, items, table, names, buffer, last = 0, [0], {"n": 0}, {0}, np.zeros(2), deque([0])

    def nonlocal_(x):
        nonlocal count
        count += 1
        return x

    def global_(x):
        global COUNT
        COUNT += 1
        return x

    class Calls:
        count = 0

        def __call__(self, x):
            self.count += 1
            return x

    class Together(Calls):
        def __call__(self, x):
            type(self).count += 1
            return x

    def default(x, seen=[]):  # noqa: B006
        seen.append(x)
        return x

    calls, together, slots = Calls(), Together(), Slots(None)

    def of_module(x):
        scenarios.calls = object()
        return x

    def turned(values):
        name = next(iter(values))
        values[name] = values.pop(name)

    def attribute(x):
        attribute.count = getattr(attribute, "count", 0) + 1
        return x

    frozen, first = Frozen(), dict.fromkeys(range(5), 1.0)
    ordered = OrderedDict(first)
    return {
        "function": (attribute, lambda: getattr(attribute, "count", 0), "count"),
        "frozen": (frozen, lambda: frozen.count, "count"),
        "enumeration": (lambda x: setattr(Kinds, "count", Kinds.count + 1) or x, lambda: Kinds.count, "count"),
        "static method": (lambda x: Kinds.next() + x, lambda: Kinds.count, "count"),
        "module": (of_module, lambda: vars(scenarios).get("calls"), "calls"),
        "first of a dict": (lambda x: first.pop(next(iter(first))) + x, lambda: list(first), "a dict"),
        "order of a dict": (lambda x: turned(first) or x, lambda: list(first), "a dict"),
        "ordered": (lambda x: ordered.popitem(last=False) and x, lambda: [*ordered.items()], "a dict"),
        "order": (lambda x: ordered.move_to_end(next(iter(ordered))) or x, lambda: [*ordered.items()], "a dict"),
        "key without a name": (lambda x: first.update({Nameless(): 1}) or x, lambda: len(first), "a dict"),
        "nonlocal": (nonlocal_, lambda: count, "count"),
        "global": (global_, lambda: COUNT, "COUNT"),
        "list": (lambda x: items.append(x) or x, lambda: list(items), "a list"),
        "item": (lambda x: table.update(n=table["n"] + 1) or x, lambda: dict(table), "n"),
        "set": (lambda x: names.add(x) or x, lambda: set(names), "a set"),
        "deque": (lambda x: last.append(x) or x, lambda: list(last), "a deque"),
        "array": (lambda x: np.add(buffer, 1, out=buffer)[0] + x, lambda: buffer.tolist(), "an array"),
        "attribute": (calls, lambda: calls.count, "count"),
        "method": (calls.__call__, lambda: calls.count, "count"),
        "attribute of the class": (together, lambda: together.count, "count"),
        "slot": (slots, lambda: slots._count, "_count"),
        "default": (default, lambda: list(default.__defaults__[0]), "a list"),
    }


@pytest.mark.parametrize("name", counters())
def test_what_f_changes_is_put_back(name):
    f, now, what = counters()[name]
    before = now()
    with pytest.raises(Untraceable, match=f"keep state: it changes {what}$"), state_kept((f,)):
        f(1.5)
    assert now() == before
    f(1.5)
    assert now() != before


def test_functions_that_keep_nothing():
    weights, table = np.ones(5), {"a": [1, 2], "b": (3, SimpleNamespace(c=4))}

    def f(x):
        inner = {"a": table["a"][0]}
        inner["a"] += 1
        return x * weights[0] + inner["a"]

    with state_kept(f, table, Slots(rng())):
        f(1.0)


def test_what_cannot_be_copied_is_left_alone():
    class Stateless(random.Random):
        def getstate(self):
            raise RuntimeError

    held = {"a": random.SystemRandom(), "b": Stateless(), "c": secrets}
    with state_kept(held):
        held["a"].random()
    x = np.linspace(0.1, 1.0, 5)
    assert fastdiff.derivative(lambda x: x + 0.0 * held["a"].random(), x, full_output=True).converged.all()


def test_nothing_is_run_that_stands_for_something_else():
    touched = []

    class Proxy:
        @property
        def __dict__(self):
            touched.append("__dict__")

        @property
        def __class__(self):
            touched.append("__class__")

        def __getattr__(self, name):
            touched.append(name)

    class Consumed(list):
        def __iter__(self):
            while self:
                yield self.pop()

    proxy, consumed = Proxy(), Consumed([1, 2, 3])
    with state_kept([proxy, consumed]):
        pass
    assert not touched
    assert len(consumed) == 3
    isinstance(proxy, list)
    assert touched  # or nothing would have been seen


def test_caches_of_libraries_are_not_state():
    held = mpmath.mpf(2)
    own = SimpleNamespace(number=held)
    with state_kept([mpmath.mp, held, mpmath.sin]):
        before, mpmath.mp.pretty = mpmath.mp.pretty, not mpmath.mp.pretty
    mpmath.mp.pretty = before
    with pytest.raises(Untraceable), state_kept(own):
        own.number = 3


def test_beside_other_threads_nothing_is_put_back(monkeypatch):
    """It may be they who change it; what all draw from is not even looked at."""
    monkeypatch.undo()
    source, items, stop = rng(), [], threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        for held in (source, items):
            with pytest.raises(Untraceable), state_kept(held):
                items.append(source.random())
        assert len({*items, source.random()}) == 3
        with state_kept():
            random.random()
    finally:
        stop.set()
        other.join()


def test_much_is_not_looked_through():
    """A thousand objects are; the last of more is not, and what is large is not copied."""
    source = rng()
    with state_kept([[[0]] for _ in range(2000)], [source]):
        source.random()
    large = [0] * 5000
    with state_kept(large):
        large[0] = 1
    with pytest.raises(Untraceable), state_kept([[[0]] for _ in range(200)], [source]):
        source.random()
