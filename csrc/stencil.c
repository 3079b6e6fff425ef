/* Stencils: where a lane is sampled, and how its samples become estimates. Compiled once per level. */
#include "fastdiff.h"

static void nodes(const double *restrict x, const double *restrict h, double t, double *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] + t * h[i];
}

const fd_stencil_kernels FD_NAME(fd_stencil) = {
    .nodes = nodes,
};
