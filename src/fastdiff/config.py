"""What this copy of fastdiff is and runs on."""

import os
import platform
import sys

import numpy as np

from .kernels import backend


def available_cpus() -> int:
    """How many processors this process may use: its affinity mask, not the size of the machine."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def show_config() -> None:
    """Print version, backend, instruction-set level, compiler, flags, threads and what lies underneath.

    Meant for bug reports; the text is for people and may change. Thread-safe.

    Examples
    --------
    >>> import fastdiff
    >>> fastdiff.show_config()  # doctest: +ELLIPSIS
    fastdiff      ...
    backend       ...
    """
    from . import __version__

    rows = {"fastdiff": __version__, "backend": backend.NAME, "level": backend.LEVEL}
    rows["levels here"] = ", ".join(backend.LEVELS)
    rows |= backend.BUILD_INFO
    rows["threads"] = str(available_cpus())
    rows["python"] = f"{platform.python_implementation()} {platform.python_version()}"
    rows["numpy"] = np.__version__
    rows["platform"] = f"{platform.system()} {platform.machine()}"
    for name, value in rows.items():
        print(f"{name:<13} {value}")
