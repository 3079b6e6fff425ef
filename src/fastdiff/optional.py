"""Packages that a part of this one needs: imported on use, with an error that says what to install."""

from importlib import import_module
from typing import Any


def needed(name: str, extra: str) -> Any:
    """The package or module, which `pip install "fastdiff-numerics[extra]"` brings."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f'this needs {package}: pip install {package}, or "fastdiff-numerics[{extra}]" ({error})', name=name
        ) from error
