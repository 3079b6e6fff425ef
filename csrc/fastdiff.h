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
} fd_stencil_kernels;

/* All kernels of one level. */
typedef struct {
    const char *level; /* "baseline", "v3" or "v4" */
    const fd_stencil_kernels *stencil;
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
