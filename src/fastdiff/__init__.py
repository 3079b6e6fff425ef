"""Derivatives by finite differences: accurate without tuning, with an honest error bar, at compiled speed."""

from typing import TYPE_CHECKING

from .assembly import Result
from .config import show_config
from .operators import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials

if TYPE_CHECKING:
    from . import grid

__all__ = [
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
]

__version__: str

if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "__version__":  # on demand: looking it up costs more than the rest of the import
            from importlib.metadata import version

            return version("fastdiff-numerics")
        if name == "grid":  # on demand: who has no samples need not load it
            from importlib import import_module

            return import_module(".grid", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
