/* The C core of fastdiff: types, kernel tables, prototypes. Plain C11, no Python.
 *
 * Kernels trust their arguments: pointers are valid for the stated lengths, arrays are contiguous doubles, and an
 * output overlaps no input. Whoever calls them has checked. No kernel allocates, fails or keeps state, so all may run
 * in many threads at once.
 *
 * Every kernel exists once per instruction-set level and gives the same bits at each.
 */
#ifndef FASTDIFF_H
#define FASTDIFF_H

#include <stddef.h>

/* FD_NAME(x) is x_baseline, x_v3 or x_v4: the name of a table in the level being compiled. */
#define FD_PASTE_(name, suffix) name##_##suffix
#define FD_PASTE(name, suffix) FD_PASTE_(name, suffix)
#define FD_NAME(name) FD_PASTE(name, FD_SUFFIX)

/* csrc/stencil.c */
typedef struct {
    /* out[i] = x[i] + t * h[i], two roundings */
    void (*nodes)(const double *x, const double *h, double t, double *out, size_t n);

    /* out[i] = (weights[0] * samples[0][i] + ... + weights[m - 1] * samples[m - 1][i]) / (denominator * h[i] * ... * h[i]):
     * the sum from the left, the product too, with h[i] in it `order` times; m is at least 1 */
    void (*combine)(const double *samples, const double *weights, size_t m, double denominator, const double *h,
                    int order, double *out, size_t n);
} fd_stencil_kernels;

/* csrc/control.c. Elements are the outputs of lanes: lanes * outputs of them, lane by lane. `caps` holds log2 of the
 * largest steps of each lane: central, forward, backward; `side` is 0, +1 or -1 and says which of them counts. */
typedef struct {
    /* A fresh `state` (26 fields by element; see FIELDS in src/fastdiff/steps.py). */
    void (*start)(const double *caps, int side, double *state, size_t lanes, size_t outputs);

    /* Judges samples (nodes by element) that were taken at steps 2**k, and updates the state of every running element of
     * the `chosen` lanes at `which`, or with `which` NULL of all lanes. `table` is a level packed by steps.pack with 2 to
     * 39 nodes beside the point itself; `level` is its number, 0 for the first round at a step. By lane: `scale`, `k`,
     * `k_unit`, `k_least`, all but `scale` whole numbers or infinite, `k` finite. See `control` in
     * src/fastdiff/kernels/_numpy.py. */
    void (*control)(const double *table, const double *samples, double eps, const double *scale, const double *k,
                    const double *k_unit, const double *k_least, const double *caps, int side, int level,
                    const ptrdiff_t *which, size_t chosen, double *state, size_t lanes, size_t outputs);
} fd_control_kernels;

/* csrc/grid.c */
enum {
    FD_GRID_DIMS = 66,   /* NumPy's most, and the parts of complex numbers */
    FD_GRID_PAIRS = 9,   /* pairs of samples of a central stencil */
    FD_GRID_POINTS = 20, /* samples of any stencil */
    FD_GRID_ORDER = 6,   /* highest derivative */
};

/* How the results along one axis come from the samples along it. Weights are of the type of the data.
 *
 * Results [0, head) and [n - tail, n) have rows of their own. The others share one central stencil, or, if there is a
 * table, have the sum over j < width of table[j * n + i] * sample[i + origin + first + j], in that order. */
typedef struct {
    size_t n, head, tail;
    size_t points;          /* samples of a row of its own */
    const ptrdiff_t *index; /* (head + tail) x points: which samples */
    const void *weights;    /* (head + tail) x points; NULL: samples are in central order and take the central weights */
    ptrdiff_t origin;       /* the sample that result 0 lies on */
    size_t pairs;           /* of the central stencil, which is antisymmetric if odd */
    int odd;
    const void *central;    /* pairs, nearest first */
    size_t width;
    ptrdiff_t first;
    const void *table;      /* width x n */
} fd_grid_rule;

/* One derivative along one axis. The strides are in elements and of any sign; `a` points to sample 0 along the axis
 * and `out` to result 0. With `add` the result is added to that of the term before, whose `out` is the same. */
typedef struct {
    const void *a;
    void *out;
    const ptrdiff_t *as, *os;
    size_t axis;
    int add;
    fd_grid_rule rule;
} fd_grid_term;

/* All terms in one pass over results of the given shape, which has at least one dimension and no zero; the last
 * dimension should be the one with the smallest strides. Does the share `part` of `parts`; the shares write to
 * disjoint results, so they may run side by side. `stream` asks for stores past the caches, for results too large
 * to stay there. The bits depend on neither. */
typedef void fd_grid_sweep(size_t ndim, const size_t *shape, size_t terms, const fd_grid_term *term, int stream,
                           size_t part, size_t parts);

typedef struct {
    fd_grid_sweep *sweep_f64, *sweep_f32;
    /* out[j * out_step + i]: weight of node j in derivative n at node `at` of the polynomial through nodes[j * step + i],
     * j < points; for each i < count. So with step 1 it slides along one row of coordinates. Nodes of one polynomial
     * differ. `scale` is a power of two that brings their distances near 1: products of many then stay in range. */
    void (*weights)(const double *nodes, size_t step, size_t points, size_t at, size_t n, double scale, size_t count,
                    double *out, size_t out_step);
} fd_grid_kernels;

/* All kernels of one level. */
typedef struct {
    const char *level; /* "baseline", "v3" or "v4" */
    const fd_stencil_kernels *stencil;
    const fd_control_kernels *control;
    const fd_grid_kernels *grid;
} fd_kernels;

/* The fastest table that this processor runs and that lies no higher than `cap` ("baseline", "v3", "v4").
 * NULL if `cap` names no level. So fd_select(name)->level is `name` exactly if that level is available here. */
const fd_kernels *fd_select(const char *cap);

/* How the core was compiled. */
typedef struct {
    const char *compiler, *target, *flags, *levels;
} fd_build_info;

extern const fd_build_info fd_build;

#endif
