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
        void (*combine)(const double *samples, const double *weights, size_t m, double denominator, const double *h,
                        int order, double *out, size_t n) noexcept nogil
    ctypedef struct fd_control_kernels:
        void (*start)(const double *caps, int side, double *state, size_t lanes, size_t outputs) noexcept nogil
        void (*control)(const double *table, const double *samples, double eps, const double *scale, const double *k,
                        const double *k_unit, const double *k_least, const double *caps, int side, int level,
                        double *state, size_t lanes, size_t outputs) noexcept nogil
    ctypedef struct fd_kernels:
        const char *level
        const fd_stencil_kernels *stencil
        const fd_control_kernels *control
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


def combine(
    cnp.ndarray samples not None,
    cnp.ndarray weights not None,
    double denominator,
    cnp.ndarray h not None,
    int n,
    cnp.ndarray out not None,
):
    cdef const double *psamples = <const double *> cnp.PyArray_DATA(samples)
    cdef const double *pweights = <const double *> cnp.PyArray_DATA(weights)
    cdef const double *ph = <const double *> cnp.PyArray_DATA(h)
    cdef double *pout = <double *> cnp.PyArray_DATA(out)
    cdef size_t m = cnp.PyArray_SIZE(weights)
    cdef size_t size = cnp.PyArray_SIZE(out)
    with nogil:
        K.stencil.combine(psamples, pweights, m, denominator, ph, n, pout, size)


def start(cnp.ndarray caps not None, int side, cnp.ndarray state not None):
    cdef const double *pcaps = <const double *> cnp.PyArray_DATA(caps)
    cdef double *pstate = <double *> cnp.PyArray_DATA(state)
    cdef size_t lanes = cnp.PyArray_DIM(state, 1)
    cdef size_t outputs = cnp.PyArray_DIM(state, 2)
    with nogil:
        K.control.start(pcaps, side, pstate, lanes, outputs)


def control(
    cnp.ndarray table not None,
    cnp.ndarray samples not None,
    double eps,
    cnp.ndarray scale not None,
    cnp.ndarray k not None,
    cnp.ndarray k_unit not None,
    cnp.ndarray k_least not None,
    cnp.ndarray caps not None,
    int side,
    int level,
    cnp.ndarray state not None,
):
    cdef const double *ptable = <const double *> cnp.PyArray_DATA(table)
    cdef const double *psamples = <const double *> cnp.PyArray_DATA(samples)
    cdef const double *pscale = <const double *> cnp.PyArray_DATA(scale)
    cdef const double *pk = <const double *> cnp.PyArray_DATA(k)
    cdef const double *pk_unit = <const double *> cnp.PyArray_DATA(k_unit)
    cdef const double *pk_least = <const double *> cnp.PyArray_DATA(k_least)
    cdef const double *pcaps = <const double *> cnp.PyArray_DATA(caps)
    cdef double *pstate = <double *> cnp.PyArray_DATA(state)
    cdef size_t lanes = cnp.PyArray_DIM(state, 1)
    cdef size_t outputs = cnp.PyArray_DIM(state, 2)
    with nogil:
        K.control.control(ptable, psamples, eps, pscale, pk, pk_unit, pk_least, pcaps, side, level, pstate, lanes, outputs)
