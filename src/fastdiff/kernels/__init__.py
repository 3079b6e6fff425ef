"""Picks the backend, once, for the whole library: `backend` is the module whose kernels run.

FASTDIFF_BACKEND=compiled|numpy forces one. Otherwise it is the compiled one, and the NumPy one where none was built.
A compiled module that is there but does not load is an error: it must not quietly cost a factor of ten.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["backend"]


def _choice(variable: str, *accepted: str) -> str:
    value = os.environ.get(variable, "")
    if value and value not in accepted:
        raise ImportError(f"environment variable {variable} is {value!r}; accepted: {', '.join(accepted)}, or unset")
    return value


def _built() -> bool:
    # The files are looked at too: a binary of another interpreter has no spec, and should not go unnoticed.
    if find_spec(f"{__name__}._compiled") is not None:
        return True
    return any(file.suffix in (".so", ".pyd") for file in Path(__file__).parent.glob("_compiled.*"))


_forced = _choice("FASTDIFF_BACKEND", "compiled", "numpy")
_choice("FASTDIFF_LEVEL", "baseline", "v3", "v4")  # read by the compiled module

if TYPE_CHECKING:
    from . import _compiled as backend
elif _forced == "numpy" or not (_forced or _built()):
    from . import _numpy as backend
else:
    try:
        from . import _compiled as backend
    except ImportError as error:
        raise ImportError(
            f"fastdiff's compiled kernels do not load: {error}. "
            "Reinstall fastdiff, or set FASTDIFF_BACKEND=numpy to run without them"
        ) from error
