/* Stencils: where a lane is sampled, and how its samples become estimates. Compiled once per level. */
#include "fastdiff.h"

static void nodes(const double *restrict x, const double *restrict h, double t, double *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] + t * h[i];
}

enum { TILE = 512 };

static void combine(const double *restrict samples, const double *restrict weights, size_t m, double denominator,
                    const double *restrict h, int order, double *restrict out, size_t n)
{
    for (size_t first = 0; first < n; first += TILE) {
        size_t len = n - first < TILE ? n - first : TILE;
        double scale[TILE];
        for (size_t i = 0; i < len; i++) {
            out[first + i] = weights[0] * samples[first + i];
            scale[i] = denominator;
        }
        for (size_t j = 1; j < m; j++)
            for (size_t i = 0; i < len; i++)
                out[first + i] += weights[j] * samples[j * n + first + i];
        for (int q = 0; q < order; q++)
            for (size_t i = 0; i < len; i++)
                scale[i] *= h[first + i];
        for (size_t i = 0; i < len; i++)
            out[first + i] /= scale[i];
    }
}

const fd_stencil_kernels FD_NAME(fd_stencil) = {
    .nodes = nodes,
    .combine = combine,
};
