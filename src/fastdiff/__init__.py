"""Derivatives by finite differences: accurate without tuning, with an honest error bar, at compiled speed."""

from typing import TYPE_CHECKING

from .assembly import Result
from .config import show_config
from .operators import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials

__all__ = [
    "NativeFunction",
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
    "grid",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "mixed_partial",
    "partials",
    "plotting",
    "show_config",
    "symbolic",
    "testing",
    "trace",
]

__version__: str

if TYPE_CHECKING:
    from . import grid, plotting, symbolic, testing
    from .checking import Report, check_gradient, check_hessian, check_jacobian, check_jvp, check_vjp
    from .functions.native import NativeFunction
    from .functions.recording import trace
else:
    # On demand, as no part of most sessions: where each name is, or the module that it is.
    _LATER = {
        **{name: f".{name}" for name in ("grid", "plotting", "symbolic", "testing")},
        "trace": ".functions.recording",
        "NativeFunction": ".functions.native",
        **dict.fromkeys((name for name in __all__ if name == "Report" or name.startswith("check_")), ".checking"),
    }

    def __getattr__(name):
        if name == "__version__":
            from importlib.metadata import version

            return version("fastdiff-numerics")
        if name in _LATER:
            from importlib import import_module

            module = import_module(_LATER[name], __name__)
            return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
