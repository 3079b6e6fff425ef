"""A bar for long computations: how often f was called."""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .functions import is_native

_EVERY = 0.1  # seconds


def counted(operator: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The operator, called with the arguments it got, of an f that moves a bar each time it is called."""
    f, xs = arguments.pop("f"), arguments.pop("xs", ())
    arguments["progress"] = False
    if not callable(f) or is_native(f):  # an error, or nothing that Python calls
        return operator(f, *xs, **arguments)
    bar = _bar(operator.__name__)

    def counting(*values: Any) -> Any:
        value = f(*values)
        bar.update(1)
        return value

    try:
        return operator(counting, *xs, **arguments)
    finally:
        bar.close()


def _bar(name: str) -> Any:
    try:
        tqdm = import_module("tqdm")
    except ImportError:
        return _Line(name)
    return tqdm.tqdm(desc=name, unit=" calls of f", mininterval=_EVERY)


class _Line:
    """What tqdm would show, on one line of stderr."""

    def __init__(self, name: str) -> None:
        self.name, self.calls = name, 0
        self.begin = self.shown = time.monotonic()

    def update(self, calls: int) -> None:
        self.calls += calls
        if time.monotonic() - self.shown >= _EVERY:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        seconds = self.shown - self.begin
        sys.stderr.write(f"\r{self.name}: {self.calls} calls of f, {seconds:.1f} s")
        sys.stderr.flush()

    def close(self) -> None:
        self.show()
        sys.stderr.write("\n")
