# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True, auto_pickle=False
"""Binds csrc: turns arrays into pointers, releases the GIL, calls C.

No numerics and no checks here. Arguments are C-contiguous float64 arrays of the lengths that csrc/fastdiff.h states.
"""

import os

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_AsDouble, PyFloat_Check
from cpython.long cimport PyLong_Check
from libc.math cimport INFINITY, NAN, fabs, frexp, isfinite, ldexp
from libc.stdint cimport int64_t, intptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cnp.import_array()

cdef object FLOAT64 = cnp.PyArray_DescrFromType(cnp.NPY_FLOAT64)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, object dtype, object base)

cdef extern from "pythread.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait)
    void PyThread_release_lock(PyThread_type_lock lock)

cdef enum:
    PATIENCE = 5000  # attempts before a thread sleeps
cdef double EPSILON = 2.220446049250313e-16

cdef extern from "<fenv.h>" nogil:
    ctypedef int fexcept_t
    int fegetexceptflag(fexcept_t *flags, int which)
    int fesetexceptflag(const fexcept_t *flags, int which)
    int FE_ALL_EXCEPT

cdef extern from "fastdiff.h" nogil:
    ctypedef struct fd_stencil_kernels:
        void (*nodes)(const double *x, const double *h, double t, double *out, size_t n) noexcept nogil
        void (*combine)(const double *samples, const double *weights, size_t m, double denominator, const double *h,
                        int order, double *out, size_t n) noexcept nogil
    ctypedef struct fd_lanes:
        double *scale
        double *k
        double *k_unit
        double *state
        double *caps
        double *samples
        double *results
        size_t lanes, outputs, nodes, stride, units, cap_row
    ctypedef struct fd_control_kernels:
        void (*by_octave)(const double *scale, const double *table, double *out, size_t lanes) noexcept nogil
        int (*start)(const double *scale, const double *k_unit, size_t units, const double *over, size_t overs,
                     double close, double *k, double *k_least, size_t lanes) noexcept nogil
        void (*powers)(const double *k, double *h, size_t lanes) noexcept nogil
        void (*believe)(const double *weights, size_t nodes, const double *samples, const ptrdiff_t *which, size_t chosen,
                        double *noise, size_t lanes) noexcept nogil
        void (*control)(const double *table, const double *samples, double eps, const double *scale, const double *k,
                        const double *k_unit, size_t units, const double *caps, size_t cap_row, const double *noise, int side,
                        int level, int fresh, int whole, const ptrdiff_t *which, size_t chosen, double *state, double *results,
                        size_t stride, size_t lanes, size_t outputs) noexcept nogil
        size_t (*next_round)(const double *state, const double *status, const double *scale, double close, double *k,
                             ptrdiff_t *order, ptrdiff_t *work, double *h, size_t going, size_t *counts,
                             size_t outputs) noexcept nogil
        size_t (*gather)(const fd_lanes *source, const fd_lanes *to, size_t first, ptrdiff_t *which,
                         size_t at) noexcept nogil
    ctypedef void (*fd_loop_function)(char **, const intptr_t *, const intptr_t *, void *) noexcept nogil
    ctypedef struct fd_loop:
        fd_loop_function function
        void *data
    ctypedef struct fd_space:
        char *base
        intptr_t pitch, step
    int FD_SCALARS, FD_DOUBLES, FD_BOOLS, FD_INPUTS
    ctypedef struct fd_input:
        const char *data
        intptr_t lane, element
        int64_t elements, row
    ctypedef struct fd_program:
        const int64_t *code
        size_t instructions
        const fd_loop *loops
        const double *matrices
        size_t inputs, outputs
        const int64_t *output
        size_t constants
        const int64_t *constant
        const int64_t *variant
        const int64_t *words
    ctypedef struct fd_steps:
        const char *h
        intptr_t h_lane, h_variant
        double unit
        const char *direction
        intptr_t direction_lane, direction_variant, direction_element
    ctypedef struct fd_quotient:
        size_t nodes
        const double *offsets
        const double *weights
        double divisor
        int n
    ctypedef struct fd_program_kernels:
        fd_loop_function where, copy, power, number, truth, native
        void (*begin)(const fd_program *, const fd_input *, fd_space *, size_t lo, size_t n) noexcept nogil
        void (*sample)(const fd_program *, const fd_space *, size_t variant, const fd_steps *, double t, size_t lo,
                       size_t n, double *out) noexcept nogil
        void (*difference)(const fd_program *, const fd_space *, const fd_steps *, const fd_quotient *, size_t first,
                           size_t last, size_t lo, size_t n, double *work, char *out, intptr_t out_lane,
                           intptr_t out_variant, intptr_t out_output) noexcept nogil
        void (*outputs)(const fd_program *, const fd_space *, size_t n, char *out, intptr_t out_lane,
                        intptr_t out_output) noexcept nogil
    ctypedef struct fd_grid_rule:
        size_t n, head, tail, points
        const ptrdiff_t *index
        const void *weights
        ptrdiff_t origin
        size_t pairs
        int odd
        const void *central
        size_t width
        ptrdiff_t first
        const void *table
    ctypedef struct fd_grid_term:
        const void *a
        void *out
        const ptrdiff_t *astrides "as"
        const ptrdiff_t *os
        size_t axis
        int add
        fd_grid_rule rule
    ctypedef struct fd_grid_kernels:
        void (*sweep_f64)(size_t ndim, const size_t *shape, size_t terms, const fd_grid_term *term, int stream,
                          size_t part, size_t parts) noexcept nogil
        void (*sweep_f32)(size_t ndim, const size_t *shape, size_t terms, const fd_grid_term *term, int stream,
                          size_t part, size_t parts) noexcept nogil
        void (*weights)(const double *nodes, size_t step, size_t points, size_t at, size_t n, double scale,
                        size_t count, double *out, size_t out_step) noexcept nogil
    ctypedef struct fd_build_info:
        const char *compiler
        const char *target
        const char *flags
        const char *levels
    ctypedef struct fd_level:
        const double *table
        const double *offsets
        const double *highest
        size_t nodes
    ctypedef struct fd_rounds:
        const fd_program *program
        const fd_input *inputs
        fd_input *picked
        fd_space *spaces
        const fd_level *level
        size_t levels, tile, enough
        const double *scale
        const double *k_unit
        const double *caps
        size_t cap_row, first_cap
        const double *over
        size_t overs
        const double *noise
        double close, eps
        int side, whole
        double *found
        size_t stride
    enum: FD_STATE
    ctypedef struct fd_rounds_kernels:
        size_t (*make)(const fd_rounds *rounds, size_t lo, size_t hi, double *work, ptrdiff_t *places,
                       const fd_lanes *late, ptrdiff_t *which, size_t *count, ptrdiff_t *odd, size_t *odds,
                       size_t *nfev) noexcept nogil
    ctypedef struct fd_kernels:
        const char *level
        const fd_stencil_kernels *stencil
        const fd_control_kernels *control
        const fd_program_kernels *program
        const fd_rounds_kernels *rounds
        const fd_grid_kernels *grid
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


def by_octave(cnp.ndarray scale not None, cnp.ndarray table not None, cnp.ndarray out not None):
    cdef const double *pscale = <const double *> cnp.PyArray_DATA(scale)
    cdef const double *ptable = <const double *> cnp.PyArray_DATA(table)
    cdef double *pout = <double *> cnp.PyArray_DATA(out)
    cdef size_t lanes = cnp.PyArray_SIZE(scale)
    with nogil:
        K.control.by_octave(pscale, ptable, pout, lanes)


def start(
    cnp.ndarray scale not None,
    cnp.ndarray k_unit not None,
    cnp.ndarray over not None,
    double close,
    cnp.ndarray k not None,
    cnp.ndarray k_least not None,
):
    cdef const double *pscale = <const double *> cnp.PyArray_DATA(scale)
    cdef const double *pk_unit = <const double *> cnp.PyArray_DATA(k_unit)
    cdef const double *pover = <const double *> cnp.PyArray_DATA(over)
    cdef double *pk = <double *> cnp.PyArray_DATA(k)
    cdef double *pk_least = <double *> cnp.PyArray_DATA(k_least)
    cdef size_t lanes = cnp.PyArray_SIZE(scale), units = cnp.PyArray_SIZE(k_unit), overs = cnp.PyArray_SIZE(over)
    cdef bint usual
    with nogil:
        usual = K.control.start(pscale, pk_unit, units, pover, overs, close, pk, pk_least, lanes)
    return usual


def believe(cnp.ndarray weights not None, cnp.ndarray samples not None, cnp.ndarray noise not None, cnp.ndarray which=None):
    cdef const double *pweights = <const double *> cnp.PyArray_DATA(weights)
    cdef const double *psamples = <const double *> cnp.PyArray_DATA(samples)
    cdef const ptrdiff_t *pwhich = NULL if which is None else <const ptrdiff_t *> cnp.PyArray_DATA(which)
    cdef double *pnoise = <double *> cnp.PyArray_DATA(noise)
    cdef size_t nodes = cnp.PyArray_SIZE(weights), lanes = cnp.PyArray_SIZE(noise)
    cdef size_t chosen = lanes if which is None else cnp.PyArray_SIZE(which)
    with nogil:
        K.control.believe(pweights, nodes, psamples, pwhich, chosen, pnoise, lanes)


def powers(cnp.ndarray k not None, cnp.ndarray h not None):
    cdef const double *pk = <const double *> cnp.PyArray_DATA(k)
    cdef double *ph = <double *> cnp.PyArray_DATA(h)
    cdef size_t size = cnp.PyArray_SIZE(k)
    with nogil:
        K.control.powers(pk, ph, size)


cdef struct judgement: # the arguments of `control`
    const double *table
    const double *samples
    double eps
    const double *scale
    const double *k
    const double *k_unit
    const double *caps
    const double *noise
    size_t units, cap_row
    int side, level, fresh, whole
    const ptrdiff_t *which
    size_t chosen
    double *state
    double *results
    size_t stride, lanes, outputs


cdef void judge(const judgement *a) noexcept nogil:
    K.control.control(a.table, a.samples, a.eps, a.scale, a.k, a.k_unit, a.units, a.caps, a.cap_row, a.noise, a.side,
                      a.level, a.fresh, a.whole, a.which, a.chosen, a.state, a.results, a.stride, a.lanes, a.outputs)


cdef judgement read_judgement(
    cnp.ndarray table,
    cnp.ndarray samples,
    double eps,
    cnp.ndarray scale,
    cnp.ndarray k,
    cnp.ndarray k_unit,
    cnp.ndarray caps,
    cnp.ndarray noise,
    int side,
    int level,
    bint fresh,
    bint whole,
    cnp.ndarray state,
    cnp.ndarray results,
    cnp.ndarray which,
):
    cdef judgement a
    a.table = <const double *> cnp.PyArray_DATA(table)
    a.samples = <const double *> cnp.PyArray_DATA(samples)
    a.eps = eps
    a.scale = <const double *> cnp.PyArray_DATA(scale)
    a.k = <const double *> cnp.PyArray_DATA(k)
    a.k_unit = <const double *> cnp.PyArray_DATA(k_unit)
    a.caps = <const double *> cnp.PyArray_DATA(caps)
    a.noise = NULL if noise is None else <const double *> cnp.PyArray_DATA(noise)
    a.units, a.cap_row = cnp.PyArray_SIZE(k_unit), cnp.PyArray_DIM(caps, 1)
    a.side, a.level, a.fresh, a.whole = side, level, fresh, whole
    a.which = NULL if which is None else <const ptrdiff_t *> cnp.PyArray_DATA(which)
    a.chosen = 0 if which is None else cnp.PyArray_SIZE(which)
    a.state = <double *> cnp.PyArray_DATA(state)
    a.results = <double *> cnp.PyArray_DATA(results)
    a.stride = cnp.PyArray_STRIDE(results, 0) // sizeof(double)
    a.lanes, a.outputs = cnp.PyArray_DIM(state, 0), cnp.PyArray_DIM(state, 1)
    return a


def control(table, samples, double eps, scale, k, k_unit, caps, noise, int side, int level, bint fresh, bint whole, state,
            results, which=None):
    cdef judgement a = read_judgement(
        table, samples, eps, scale, k, k_unit, caps, noise, side, level, fresh, whole, state, results, which)
    with nogil:
        judge(&a)


@cython.auto_pickle(False)
cdef class Beside:
    """A place where one thread leaves a judgement and another, which runs `serve`, makes it. Neither holds the GIL, or waits
    for it."""

    cdef judgement work
    cdef PyThread_type_lock begun, ended
    cdef bint open, last
    cdef object keep

    def __cinit__(self):
        self.begun, self.ended = PyThread_allocate_lock(), PyThread_allocate_lock()
        if self.begun is NULL or self.ended is NULL:
            raise MemoryError
        PyThread_acquire_lock(self.begun, 1)
        PyThread_acquire_lock(self.ended, 1)

    def __dealloc__(self):
        if self.begun is not NULL:
            PyThread_free_lock(self.begun)
        if self.ended is not NULL:
            PyThread_free_lock(self.ended)

    def serve(self):
        """Judge until the end."""
        with nogil:
            while True:
                acquire(self.begun)
                if self.last:
                    break
                judge(&self.work)
                PyThread_release_lock(self.ended)

    def begin(self, *arguments):
        """`control` with these arguments; the one before is done."""
        table, samples, eps, scale, k, k_unit, caps, noise, side, level, fresh, whole, state, results, which = arguments
        self.work = read_judgement(
            table, samples, eps, scale, k, k_unit, caps, noise, side, level, fresh, whole, state, results, which)
        self.keep, self.open = arguments, True
        PyThread_release_lock(self.begun)

    def done(self):
        """Whether what was begun is done."""
        if self.open and PyThread_acquire_lock(self.ended, 0):
            self.open = False
        return not self.open

    def wait(self):
        """Until it is."""
        if self.open:
            with nogil:
                acquire(self.ended)
            self.open = False

    def end(self):
        """Let the other thread go, when it is."""
        self.wait()
        self.last = True
        PyThread_release_lock(self.begun)


cdef void acquire(PyThread_type_lock lock) noexcept nogil:
    """Soon, it may be; to be woken takes as long as a tile."""
    cdef int i
    for i in range(PATIENCE):
        if PyThread_acquire_lock(lock, 0):
            return
    PyThread_acquire_lock(lock, 1)


def next_round(
    cnp.ndarray state not None,
    cnp.ndarray status not None,
    cnp.ndarray scale not None,
    double close,
    size_t going,
    cnp.ndarray k not None,
    cnp.ndarray order not None,
    cnp.ndarray work not None,
    cnp.ndarray h not None,
):
    """How many lanes there are of each kind; see csrc/fastdiff.h."""
    cdef const double *pstate = <const double *> cnp.PyArray_DATA(state)
    cdef const double *pstatus = <const double *> cnp.PyArray_DATA(status)
    cdef const double *pscale = <const double *> cnp.PyArray_DATA(scale)
    cdef double *pk = <double *> cnp.PyArray_DATA(k)
    cdef ptrdiff_t *porder = <ptrdiff_t *> cnp.PyArray_DATA(order)
    cdef ptrdiff_t *pwork = <ptrdiff_t *> cnp.PyArray_DATA(work)
    cdef double *ph = <double *> cnp.PyArray_DATA(h)
    cdef size_t outputs = cnp.PyArray_DIM(state, 1)
    cdef size_t counts[16]
    with nogil:
        K.control.next_round(pstate, pstatus, pscale, close, pk, porder, pwork, ph, going, counts, outputs)
    return [counts[i] for i in range(16)]


cdef fd_lanes read_lanes(tuple arrays):
    cdef fd_lanes a
    cdef cnp.ndarray scale, k, k_unit, state, caps, samples, results
    scale, k, k_unit, state, caps, samples, results = arrays
    a.scale, a.k, a.k_unit = <double *> cnp.PyArray_DATA(scale), <double *> cnp.PyArray_DATA(k), <double *> cnp.PyArray_DATA(k_unit)
    a.state, a.caps = <double *> cnp.PyArray_DATA(state), <double *> cnp.PyArray_DATA(caps)
    a.samples, a.results = <double *> cnp.PyArray_DATA(samples), <double *> cnp.PyArray_DATA(results)
    a.lanes, a.outputs, a.nodes = cnp.PyArray_DIM(state, 0), cnp.PyArray_DIM(state, 1), cnp.PyArray_DIM(samples, 0)
    a.units, a.cap_row = cnp.PyArray_SIZE(k_unit), cnp.PyArray_DIM(caps, 1)
    a.stride = cnp.PyArray_STRIDE(results, 0) // sizeof(double)
    return a


def gather(tuple source not None, tuple to not None, size_t first, cnp.ndarray which not None, size_t at):
    cdef fd_lanes a = read_lanes(source), b = read_lanes(to)
    cdef ptrdiff_t *pwhich = <ptrdiff_t *> cnp.PyArray_DATA(which)
    with nogil:
        at = K.control.gather(&a, &b, first, pwhich, at)
    return at


cdef const void *data(object array):
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef void read_rule(fd_grid_rule *rule, object source) except *:
    rule.n, rule.head, rule.tail, rule.origin = source.n, source.head, source.tail, source.origin
    rule.points = source.index.shape[1]
    rule.index = <const ptrdiff_t *> data(source.index)
    rule.weights = data(source.weights)
    rule.odd = source.odd
    rule.pairs = source.central.shape[0]
    rule.central = data(source.central)
    rule.first = source.first
    rule.table = data(source.table)
    rule.width = 0 if source.table is None else source.table.shape[0]


def sweep(tuple terms not None, bint stream, size_t part, size_t parts):
    cdef cnp.ndarray a, out = terms[0].out
    cdef size_t count = len(terms), ndim = cnp.PyArray_NDIM(out), t, d
    cdef size_t itemsize = cnp.PyArray_ITEMSIZE(out)
    cdef bint double_precision = itemsize == 8
    cdef fd_grid_term *term = <fd_grid_term *> malloc(count * sizeof(fd_grid_term))
    cdef ptrdiff_t *strides = <ptrdiff_t *> malloc(2 * count * ndim * sizeof(ptrdiff_t))
    cdef size_t *shape = <size_t *> malloc(ndim * sizeof(size_t))
    try:
        if not (term and strides and shape):
            raise MemoryError
        for d in range(ndim):
            shape[d] = cnp.PyArray_DIM(out, d)
        for t in range(count):
            a, out = terms[t].a, terms[t].out
            term[t].a, term[t].out = cnp.PyArray_DATA(a), cnp.PyArray_DATA(out)
            term[t].astrides, term[t].os = strides + 2 * t * ndim, strides + (2 * t + 1) * ndim
            for d in range(ndim):
                strides[2 * t * ndim + d] = cnp.PyArray_STRIDE(a, d) // <ptrdiff_t> itemsize
                strides[(2 * t + 1) * ndim + d] = cnp.PyArray_STRIDE(out, d) // <ptrdiff_t> itemsize
            term[t].axis, term[t].add = terms[t].axis, terms[t].add
            read_rule(&term[t].rule, terms[t].rule)
        with nogil:
            if double_precision:
                K.grid.sweep_f64(ndim, shape, count, term, stream, part, parts)
            else:
                K.grid.sweep_f32(ndim, shape, count, term, stream, part, parts)
    finally:
        free(term)
        free(strides)
        free(shape)


def weights(cnp.ndarray nodes not None, size_t at, size_t n, double scale, cnp.ndarray out not None):
    cdef const double *pnodes = <const double *> cnp.PyArray_DATA(nodes)
    cdef double *pout = <double *> cnp.PyArray_DATA(out)
    cdef size_t points = cnp.PyArray_DIM(nodes, 0), count = cnp.PyArray_DIM(nodes, 1)
    cdef size_t step = cnp.PyArray_STRIDE(nodes, 0) // 8, out_step = cnp.PyArray_STRIDE(out, 0) // 8
    with nogil:
        K.grid.weights(pnodes, step, points, at, n, scale, count, pout, out_step)


# --- small problems: f called from C, one lane after the other --------------------------------------------------------
#
# For one point the engine's arrays would cost more than f. The rounds are those of rounds.py, judged by the same kernels,
# so the results are the same, too.

cdef enum:
    FIELDS = FD_STATE
    MOST_LEVELS = 3
    MAX_NODES = 40
    LARGEST = 1000

# rows of the results, and fields of the state; see fastdiff.steps
cdef enum:
    ERROR_ = 0
    VALUE_ = 1
    K_ = 2
    STATUS_ = 3
    RESULTS = 4
    WANT_K = 24
    WANT_LEVEL = 25
    WANT_SIDE = 26


@cython.auto_pickle(False)
cdef class Follower:
    """Follows lanes of float-valued f along a scheme: `levels[side]` lists (offsets, table) by level; side 2 is CLOSE."""

    cdef const double *tables[4][MOST_LEVELS]
    cdef const double *offsets[4][MOST_LEVELS]
    cdef int sizes[4][MOST_LEVELS]
    cdef int first_side, unit
    cdef double close, closer
    cdef object keep

    def __init__(self, levels, int first_side, int unit, double close, double closer):
        cdef int side, i
        cdef cnp.ndarray table, offsets
        self.keep = []
        self.first_side, self.unit, self.close, self.closer = first_side, unit, close, closer
        for side, parts in levels.items():
            for i, (offsets, table) in enumerate(parts):
                self.keep.append((offsets, table))
                self.offsets[side + 1][i] = <const double *> cnp.PyArray_DATA(offsets)
                self.tables[side + 1][i] = <const double *> cnp.PyArray_DATA(table)
                self.sizes[side + 1][i] = <int> cnp.PyArray_SIZE(offsets)

    def scalar(self, f, tuple args, double x):
        """(value, error, log2 h, status, nfev), or f(x) as a Value where that is not a float; None where x is not finite, or
        too large."""
        cdef double result[RESULTS]
        cdef int nfev
        if not moderate(&x, 1):
            return None
        first = call(f, scalar_of(x), args)
        if not PyFloat_Check(first):
            return Value(first)
        nfev = 1 + self.follow(f, args, None, 0, x, PyFloat_AS_DOUBLE(first), result)
        return scalar_of(result[VALUE_]), scalar_of(result[ERROR_]), result[K_], <int> result[STATUS_], nfev

    def points(self, f, tuple args, cnp.ndarray x, cnp.ndarray out):
        """nfev, with value, error, log2 h and status of each coordinate of the points x (b, d) in out (4, b * d); f(x[0]) as
        a Value where that is not a float, -nfev - 1 where a later one is not; None where x is not finite, or too large."""
        cdef double result[RESULTS]
        cdef const double *px = <const double *> cnp.PyArray_DATA(x)
        cdef double *po = <double *> cnp.PyArray_DATA(out)
        cdef Py_ssize_t i, row, b = cnp.PyArray_DIM(x, 0), d = cnp.PyArray_DIM(x, 1), size = b * d
        cdef int nfev = 0
        cdef double centre
        cdef cnp.ndarray point
        if not moderate(px, size):
            return None
        for row in range(b):
            point = x[row]
            first = call(f, copied(point), args)
            if not PyFloat_Check(first):
                return -nfev - 2 if row else Value(first)
            nfev += 1
            centre = PyFloat_AS_DOUBLE(first)
            for i in range(row * d, row * d + d):
                nfev += self.follow(f, args, point, i - row * d, px[i], centre, result)
                po[i], po[size + i] = result[VALUE_], result[ERROR_]
                po[2 * size + i], po[3 * size + i] = result[K_], result[STATUS_]
        return nfev

    cdef int follow(self, f, tuple args, cnp.ndarray point, Py_ssize_t i, double x, double centre, double *result) except -1:
        cdef double samples[MAX_NODES]
        cdef double state[FIELDS]
        cdef double caps[3]
        cdef double scale = fabs(x), k, unit = self.unit, least, h
        cdef int side = self.first_side, level = 0, j, known, size, at, nfev = 0
        cdef bint fresh = True
        caps[0] = caps[1] = caps[2] = LARGEST
        if not isfinite(centre):
            result[STATUS_], result[VALUE_], result[ERROR_], result[K_] = 2, NAN, INFINITY, 0
            return 0
        result[STATUS_] = 0
        K.control.start(&scale, &unit, 1, &unit, 1, 0, &k, &least, 1)
        if scale == 0 and centre == 0:
            k -= self.closer
        k = max(k, least)
        samples[0] = centre
        while result[STATUS_] == 0:
            at = 3 if side == 0 and k - least < self.close else side + 1
            size = self.sizes[at][level]
            known = self.sizes[at][level - 1] if level else 1
            K.control.powers(&k, &h, 1)
            for j in range(known, size):
                samples[j] = sample(f, args, point, i, x + self.offsets[at][level][j] * h)
                nfev += 1
            K.control.control(self.tables[at][level], samples, EPSILON, &scale, &k, &unit, 1,
                              caps, 1, NULL, side, level, fresh, True, NULL, 0, state, result, 1, 1, 1)
            fresh = False
            k, level, side = state[WANT_K], <int> state[WANT_LEVEL], <int> state[WANT_SIDE]
        return nfev


@cython.auto_pickle(False)
cdef class Quotient:
    """First derivatives of float-valued f by a plain stencil, at step h or, with h zero, at rule-of-thumb steps: 2**thumb
    where x is one. Samples are combined as `combine` does it."""

    cdef const double *offsets
    cdef const double *weights
    cdef double denominator
    cdef Py_ssize_t nodes
    cdef int thumb
    cdef object keep

    def __init__(self, cnp.ndarray offsets, cnp.ndarray weights, double denominator, int thumb):
        self.keep = offsets, weights
        self.offsets = <const double *> cnp.PyArray_DATA(offsets)
        self.weights = <const double *> cnp.PyArray_DATA(weights)
        self.nodes = cnp.PyArray_SIZE(offsets)
        self.denominator, self.thumb = denominator, thumb

    def scalar(self, f, tuple args, double x, double h):
        """The derivative at the number x, or the first value of f as a Value where that is not a float; None where x is
        not finite, or too large."""
        cdef double value
        if not moderate(&x, 1):
            return None
        other = self.along(f, args, None, &x, 1, h, &value)
        return scalar_of(value) if other is None else other

    def point(self, f, tuple args, cnp.ndarray x, double h):
        """The gradient at the point x, or the first value of f as a Value where that is not a float; None where x is not
        finite, or too large."""
        cdef Py_ssize_t d = cnp.PyArray_SIZE(x)
        cdef const double *px = <const double *> cnp.PyArray_DATA(x)
        if not moderate(px, d):
            return None
        out = cnp.PyArray_EMPTY(1, [d], cnp.NPY_DOUBLE, 0)
        other = self.along(f, args, x, px, d, h, <double *> cnp.PyArray_DATA(<cnp.ndarray> out))
        return out if other is None else other

    cdef object along(self, f, tuple args, cnp.ndarray point, const double *x, Py_ssize_t d, double h, double *out):
        cdef Py_ssize_t i, j
        cdef int exponent = 0
        cdef double total = 0.0, centre = 0.0, value, step = h, t
        cdef bint known = False, first = True
        for i in range(d):
            if h == 0.0:
                frexp(max(fabs(x[i]), 1.0), &exponent)
                step = ldexp(1.0, exponent - 1 + self.thumb)
            for j in range(self.nodes):
                t = self.offsets[j]
                if t == 0.0 and known:
                    value = centre
                elif not first:
                    value = sample(f, args, point, i, x[i] + t * step)
                else:
                    first = False
                    given = call(f, at(point, i, x[i] + t * step), args)
                    if not PyFloat_Check(given):
                        return Value(given)
                    value = PyFloat_AS_DOUBLE(given)
                if t == 0.0:
                    centre, known = value, True
                total = self.weights[j] * value if j == 0 else total + self.weights[j] * value
            out[i] = total / (self.denominator * step)
        return None


cdef bint moderate(const double *x, Py_ssize_t n):
    """Whether no first step leaves the range of float64: the general engine minds that."""
    cdef Py_ssize_t i
    for i in range(n):
        if not fabs(x[i]) < 1e300:
            return False
    return True


class Value:
    """A value of f that is no float."""

    def __init__(self, value):
        self.value = value


cdef inline object scalar_of(double x):
    return PyArray_Scalar(&x, FLOAT64, None)


cdef inline object call(f, x, tuple args):
    return f(x, *args) if args else f(x)


cdef object at(cnp.ndarray point, Py_ssize_t i, double x):
    """The number x, or a new copy of the point with x in its i-th place."""
    cdef cnp.ndarray fresh
    if point is None:
        return scalar_of(x)
    fresh = copied(point)
    (<double *> cnp.PyArray_DATA(fresh))[i] = x
    return fresh


cdef inline cnp.ndarray copied(cnp.ndarray point):
    """A new array for f, which may change it; a contiguous one of doubles is copied faster than any array."""
    cdef cnp.npy_intp size = cnp.PyArray_SIZE(point)
    fresh = <cnp.ndarray> cnp.PyArray_EMPTY(1, &size, cnp.NPY_DOUBLE, 0)
    memcpy(cnp.PyArray_DATA(fresh), cnp.PyArray_DATA(point), size * sizeof(double))
    return fresh


cdef double sample(f, tuple args, cnp.ndarray point, Py_ssize_t i, double x) except? -1.0:
    value = call(f, at(point, i, x), args)
    if isinstance(value, complex):
        raise TypeError("f returned real values at some points and complex ones at others")
    if not PyFloat_Check(value) and not PyLong_Check(value) and getattr(value, "ndim", 0) != 0:
        raise ValueError(f"f returned shape {value.shape} at one point, but () at the first")
    return PyFloat_AsDouble(value)
# --- recorded programs ---


def bind_loops(list loops not None):
    """Addresses of inner loops, for `Tape.bound`: each is (ufunc, number of its loop), the name of one of our own, or a
    native function."""
    bound = cnp.PyArray_EMPTY(2, [len(loops), 2], cnp.NPY_INTP, 0)
    cdef intptr_t *p = <intptr_t *> cnp.PyArray_DATA(bound)
    cdef cnp.ufunc u
    cdef int number
    for i, loop in enumerate(loops):
        if isinstance(loop, str):
            p[2 * i] = <intptr_t> {
                "where": <intptr_t> K.program.where,
                "copy": <intptr_t> K.program.copy,
                "power": <intptr_t> K.program.power,
                "number": <intptr_t> K.program.number,
                "truth": <intptr_t> K.program.truth,
            }[loop]
            p[2 * i + 1] = 0
        elif not isinstance(loop, tuple):
            p[2 * i] = <intptr_t> loop.inner_loop or <intptr_t> K.program.native
            p[2 * i + 1] = <intptr_t> cnp.PyArray_DATA(<cnp.ndarray> loop.words)
        else:
            u = loop[0]
            number = loop[1]
            p[2 * i] = <intptr_t> u.functions[number]
            p[2 * i + 1] = <intptr_t> (NULL if u.data is NULL else u.data[number])
    return bound


cdef class _Replay:
    """Pointers to a tape, its inputs and room for one tile; lives for one call in one thread."""

    cdef fd_program program
    cdef fd_input *inputs
    cdef fd_space *spaces
    cdef fd_steps steps
    cdef object alive

    def __cinit__(self, tape, list inputs, h, direction, size_t tile):
        cdef cnp.ndarray a
        cdef size_t i, count = len(inputs)
        self.inputs = <fd_input *> malloc(max(count, 1) * sizeof(fd_input))
        self.spaces = <fd_space *> malloc((FD_INPUTS + count) * sizeof(fd_space))
        if self.inputs is NULL or self.spaces is NULL:
            raise MemoryError
        room = cnp.PyArray_EMPTY(1, [tile * (8 * <size_t> tape.doubles + <size_t> tape.bools) + 64], cnp.NPY_BYTE, 0)
        self.alive = (tape, inputs, h, direction, room)
        self.program.code = <const int64_t *> words(tape.code)
        self.program.instructions = tape.instructions
        self.program.loops = <const fd_loop *> cnp.PyArray_DATA(<cnp.ndarray> tape.bound)
        self.program.matrices = <const double *> cnp.PyArray_DATA(<cnp.ndarray> tape.matrices)
        self.program.inputs = count
        self.program.outputs = len(tape.output)
        self.program.output = words(tape.output)
        self.program.constants = len(tape.constant)
        self.program.constant = words(tape.constant)
        self.program.variant = words(tape.variant)
        self.program.words = words(tape.words)
        self.spaces[FD_SCALARS].base = cnp.PyArray_BYTES(<cnp.ndarray> tape.scalars)
        cdef char *base = cnp.PyArray_BYTES(<cnp.ndarray> room)
        base += -<intptr_t> base & 63
        self.spaces[FD_DOUBLES].base = base
        self.spaces[FD_BOOLS].base = base + 8 * tile * <size_t> tape.doubles
        for i in range(count):
            a = inputs[i]
            self.inputs[i].data = cnp.PyArray_BYTES(a)
            self.inputs[i].element = cnp.PyArray_STRIDES(a)[0]
            self.inputs[i].lane = cnp.PyArray_STRIDES(a)[1]
            self.inputs[i].elements = cnp.PyArray_DIMS(a)[0]
            self.inputs[i].row = tape.input_row[i]
        self.steps.h = NULL
        if h is not None:
            a = h
            self.steps.h = cnp.PyArray_BYTES(a)
            self.steps.h_variant = cnp.PyArray_STRIDES(a)[0]
            self.steps.h_lane = cnp.PyArray_STRIDES(a)[1]
        self.steps.direction = NULL
        if direction is not None:
            a = direction
            self.steps.direction = cnp.PyArray_BYTES(a)
            self.steps.direction_variant = cnp.PyArray_STRIDES(a)[0]
            self.steps.direction_element = cnp.PyArray_STRIDES(a)[1]
            self.steps.direction_lane = cnp.PyArray_STRIDES(a)[2]

    def __dealloc__(self):
        free(self.inputs)
        free(self.spaces)


cdef const int64_t *words(object array):
    return <const int64_t *> cnp.PyArray_DATA(<cnp.ndarray> array)


def evaluate(tape, list inputs not None, size_t lo, size_t hi, size_t tile, cnp.ndarray out not None):
    cdef _Replay r = _Replay(tape, inputs, None, None, min(tile, hi - lo))
    cdef char *pout = cnp.PyArray_BYTES(out)
    cdef intptr_t out_output = cnp.PyArray_STRIDES(out)[0], out_lane = cnp.PyArray_STRIDES(out)[1]
    cdef size_t n
    cdef fexcept_t flags
    with nogil:
        fegetexceptflag(&flags, FE_ALL_EXCEPT)
        while lo < hi:
            n = min(tile, hi - lo)
            K.program.begin(&r.program, r.inputs, r.spaces, lo, n)
            K.program.outputs(&r.program, r.spaces, n, pout + <intptr_t> lo * out_lane, out_lane, out_output)
            lo += n
        fesetexceptflag(&flags, FE_ALL_EXCEPT)


def samples(tape, list inputs not None, cnp.ndarray h not None, direction, size_t variant,
            cnp.ndarray offsets not None, size_t lo, size_t hi, cnp.ndarray out not None):
    cdef size_t n = hi - lo, i, nodes = cnp.PyArray_SIZE(offsets), at = 0, count
    # samples of one output may be written tile by tile
    cdef size_t tile = min(n, <size_t> tape.tile) if len(tape.output) == 1 else n
    cdef _Replay r = _Replay(tape, inputs, h, direction, tile)
    cdef const double *t = <const double *> cnp.PyArray_DATA(offsets)
    cdef double *pout = <double *> cnp.PyArray_DATA(out)
    cdef fexcept_t flags
    with nogil:
        fegetexceptflag(&flags, FE_ALL_EXCEPT)
        while at < n:
            count = min(tile, n - at)
            K.program.begin(&r.program, r.inputs, r.spaces, lo + at, count)
            for i in range(nodes):
                K.program.sample(&r.program, r.spaces, variant, &r.steps, t[i], lo + at, count,
                                 pout + i * r.program.outputs * n + at)
            at += count
        fesetexceptflag(&flags, FE_ALL_EXCEPT)


def rounds(tape, list inputs not None, size_t lo, size_t hi, levels, double eps, cnp.ndarray scale not None,
           cnp.ndarray k_unit not None, cnp.ndarray over not None, cnp.ndarray noise, double close,
           cnp.ndarray caps not None, size_t first_cap, int side, bint whole, cnp.ndarray found not None, tuple late not None, cnp.ndarray which not None, size_t count,
           cnp.ndarray odd not None, size_t odds, size_t enough):
    """Rounds of lanes lo to hi of one variant with one output, as far as they go on in company: csrc/rounds.c. `levels`:
    table, offsets and weights of the highest coefficient of each; `caps` are those of all lanes, or of the lanes from number
    `first_cap` on.

    Returns where it ended, because `enough` are late or odd; how many lanes lie in `late` and in `odd`; evaluations."""
    cdef size_t tile = min(hi - lo, <size_t> tape.tile), i, elements = 0, nfev = 0
    cdef _Replay replay = _Replay(tape, inputs, None, None, tile)
    cdef fd_level level[MOST_LEVELS]
    cdef fd_rounds r
    cdef fd_lanes to = read_lanes(late)
    cdef cnp.ndarray table, offsets, highest
    cdef fexcept_t flags
    replay.program.output = NULL  # samples at x are as good
    r.program, r.inputs, r.spaces = &replay.program, replay.inputs, replay.spaces
    r.level, r.levels, r.tile, r.enough = level, len(levels), tile, enough
    for i in range(r.levels):
        table, offsets, highest = levels[i]
        level[i].highest = <const double *> cnp.PyArray_DATA(highest)
        level[i].table, level[i].offsets = <const double *> cnp.PyArray_DATA(table), <const double *> cnp.PyArray_DATA(offsets)
        level[i].nodes = cnp.PyArray_SIZE(offsets)
    for i in range(replay.program.inputs):
        elements += replay.inputs[i].elements
    r.scale, r.k_unit = <const double *> cnp.PyArray_DATA(scale), <const double *> cnp.PyArray_DATA(k_unit)
    r.caps, r.cap_row, r.first_cap = <const double *> cnp.PyArray_DATA(caps), cnp.PyArray_DIM(caps, 1), first_cap
    r.over, r.overs = <const double *> cnp.PyArray_DATA(over), cnp.PyArray_SIZE(over)
    r.noise = NULL if noise is None else <const double *> cnp.PyArray_DATA(noise)
    r.close, r.eps, r.side, r.whole = close, eps, side, whole
    r.found, r.stride = <double *> cnp.PyArray_DATA(found), cnp.PyArray_DIM(found, 1)
    cdef size_t room = tile * (9 + level[r.levels - 1].nodes + FD_STATE + elements)
    cdef cnp.ndarray work = cnp.PyArray_EMPTY(1, [room], cnp.NPY_DOUBLE, 0)
    cdef cnp.ndarray places = cnp.PyArray_EMPTY(1, [2 * tile], cnp.NPY_INTP, 0)
    cdef cnp.ndarray picked = cnp.PyArray_EMPTY(1, [(replay.program.inputs + 1) * sizeof(fd_input)], cnp.NPY_BYTE, 0)
    r.picked = <fd_input *> cnp.PyArray_DATA(picked)
    with nogil:
        fegetexceptflag(&flags, FE_ALL_EXCEPT)
        lo = K.rounds.make(&r, lo, hi, <double *> cnp.PyArray_DATA(work), <ptrdiff_t *> cnp.PyArray_DATA(places), &to,
                           <ptrdiff_t *> cnp.PyArray_DATA(which), &count, <ptrdiff_t *> cnp.PyArray_DATA(odd), &odds, &nfev)
        fesetexceptflag(&flags, FE_ALL_EXCEPT)
    return lo, count, odds, nfev


def difference(tape, list inputs not None, h, double unit, direction, cnp.ndarray offsets not None,
               cnp.ndarray weights not None, double divisor, int n, size_t first, size_t last, size_t lo, size_t hi,
               size_t tile, cnp.ndarray out not None):
    tile = min(tile, hi - lo)
    cdef _Replay r = _Replay(tape, inputs, h, direction, tile)
    cdef fd_quotient q
    q.nodes = cnp.PyArray_SIZE(offsets)
    q.offsets = <const double *> cnp.PyArray_DATA(offsets)
    q.weights = <const double *> cnp.PyArray_DATA(weights)
    q.divisor = divisor
    q.n = n
    r.steps.unit = unit
    cdef cnp.ndarray work = cnp.PyArray_EMPTY(1, [(r.program.outputs + 1) * tile], cnp.NPY_DOUBLE, 0)
    cdef double *pwork = <double *> cnp.PyArray_DATA(work)
    cdef char *pout = cnp.PyArray_BYTES(out)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(out)
    cdef size_t count
    cdef fexcept_t flags
    with nogil:
        fegetexceptflag(&flags, FE_ALL_EXCEPT)
        while lo < hi:
            count = min(tile, hi - lo)
            K.program.begin(&r.program, r.inputs, r.spaces, lo, count)
            K.program.difference(&r.program, r.spaces, &r.steps, &q, first, last, lo, count, pwork, pout, strides[2],
                                 strides[0], strides[1])
            lo += count
        fesetexceptflag(&flags, FE_ALL_EXCEPT)
