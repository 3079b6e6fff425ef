# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Binds csrc: turns arrays into pointers, releases the GIL, calls C.

No numerics and no checks here. Arguments are C-contiguous float64 arrays of the lengths that csrc/fastdiff.h states.
"""

import os

cimport numpy as cnp

cnp.import_array()

cdef extern from "fastdiff.h" nogil:
    ctypedef struct fd_stencil_kernels:
        void (*nodes)(const double *x, const double *h, double t, double *out, size_t n) noexcept nogil
    ctypedef struct fd_kernels:
        const char *level
        const fd_stencil_kernels *stencil
    ctypedef struct fd_build_info:
        const char *compiler
        const char *target
        const char *flags
        const char *levels
    const fd_kernels *fd_select(const char *cap)
    const fd_build_info fd_build


cdef const fd_kernels *select(str cap) except NULL:
    cdef const fd_kernels *found = fd_select(cap.encode())
    if found is NULL:
        raise ImportError(f"environment variable FASTDIFF_LEVEL is {cap!r}, which is no level")
    return found


cdef const fd_kernels *K = select(os.environ.get("FASTDIFF_LEVEL") or "v4")

NAME = "compiled"
LEVEL = K.level.decode()
LEVELS = tuple([name for name in ("baseline", "v3", "v4") if select(name).level.decode() == name])
BUILD_INFO = {
    "compiler": fd_build.compiler.decode(),
    "target": fd_build.target.decode(),
    "flags": fd_build.flags.decode(),
    "levels built": fd_build.levels.decode(),
}


def nodes(cnp.ndarray x not None, cnp.ndarray h not None, double t, cnp.ndarray out not None):
    cdef const double *px = <const double *> cnp.PyArray_DATA(x)
    cdef const double *ph = <const double *> cnp.PyArray_DATA(h)
    cdef double *pout = <double *> cnp.PyArray_DATA(out)
    cdef size_t n = cnp.PyArray_SIZE(out)
    with nogil:
        K.stencil.nodes(px, ph, t, pout, n)
