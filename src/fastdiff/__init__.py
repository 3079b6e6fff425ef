"""Derivatives by finite differences: accurate without tuning, with an honest error bar, at compiled speed."""

from typing import TYPE_CHECKING

from .assembly import Result
from .config import show_config
from .operators import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials

__all__ = [
    "Report",
    "Result",
    "__version__",
    "check_gradient",
    "check_hessian",
    "check_jacobian",
    "check_jvp",
    "check_vjp",
    "derivative",
    "gradient",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "mixed_partial",
    "partials",
    "show_config",
    "testing",
]

__version__: str

if TYPE_CHECKING:
    from . import testing
    from .checking import Report, check_gradient, check_hessian, check_jacobian, check_jvp, check_vjp
else:

    def __getattr__(name):
        if name in __all__ and (name == "Report" or name.startswith("check_")):
            from . import checking

            return getattr(checking, name)
        if name == "testing":
            from importlib import import_module

            return import_module(".testing", __name__)
        if name == "__version__":  # on demand: looking it up costs more than the rest of the import
            from importlib.metadata import version

            return version("fastdiff-numerics")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
