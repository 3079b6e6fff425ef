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
    /* A fresh `state` (27 fields by element; see FIELDS in src/fastdiff/steps.py). */
    void (*start)(const double *caps, int side, double *state, size_t lanes, size_t outputs);

    /* Judges samples (nodes by element) that were taken at steps 2**k, and updates the state of every running element of
     * the `chosen` lanes at `which`, or with `which` NULL of all lanes. `table` is a level packed by steps.pack with 2 to
     * 39 nodes beside the point itself; `level` is its number, 0 for the first round at a step. By lane: `scale`, `k`,
     * `k_unit`, `k_least`, all but `scale` whole numbers or infinite, `k` finite. See `control` in
     * src/fastdiff/kernels/_numpy.py. */
    void (*control)(const double *table, const double *samples, double eps, const double *scale, const double *k,
                    const double *k_unit, const double *k_least, const double *caps, int side, int level,
                    const ptrdiff_t *which, size_t chosen, double *state, size_t lanes, size_t outputs);

    /* What each lane does next: what its neediest output wants, the one that asks for the smallest step. By lane `k`, log2
     * of the step, and `kind`, four times the place of the side (0 central, 1 forward, 2 backward, 3 central less than
     * 2**close least steps away) plus the level, or 16 where all is done; a lane whose kind is 16 already is passed over.
     * The lanes that go on, sorted by kind and number, into `order`, their steps into `h`, how many there are of each kind
     * into `counts[16]`, of all into the result. */
    size_t (*next_round)(const double *state, const double *k_least, double close, double *k, unsigned char *kind,
                         ptrdiff_t *order, double *h, size_t *counts, size_t lanes, size_t outputs);
} fd_control_kernels;

/* All kernels of one level. */
typedef struct {
    const char *level; /* "baseline", "v3" or "v4" */
    const fd_stencil_kernels *stencil;
    const fd_control_kernels *control;
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
