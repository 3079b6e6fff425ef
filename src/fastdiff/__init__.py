"""Derivatives by finite differences: accurate without tuning, with an honest error bar, at compiled speed."""

from typing import TYPE_CHECKING

from .assembly import Result
from .config import show_config
from .operators import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials

if TYPE_CHECKING:
    from . import grid

__all__ = [
    "NativeFunction",
    "Result",
    "__version__",
    "derivative",
    "gradient",
    "grid",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "mixed_partial",
    "partials",
    "show_config",
    "trace",
]

__version__: str

if TYPE_CHECKING:
    from .functions.native import NativeFunction
    from .functions.recording import trace
else:

    def __getattr__(name):
        if name == "trace":  # recording is no part of most sessions
            from .functions.recording import trace

            return trace
        if name == "NativeFunction":
            from .functions.native import NativeFunction

            return NativeFunction
        if name == "__version__":  # on demand: looking it up costs more than the rest of the import
            from importlib.metadata import version

            return version("fastdiff-numerics")
        if name == "grid":  # on demand: who has no samples need not load it
            from importlib import import_module

            return import_module(".grid", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
