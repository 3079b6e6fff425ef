/* Grids: stencils slid along the axes of sampled data. Compiled once per level. */
#include "fastdiff.h"

#include <stdint.h>

#ifdef __GNUC__
#define FD_INLINE inline __attribute__((always_inline))
#else
#define FD_INLINE inline
#endif

/* Vectors are spelled out because streaming stores need them: a compiler does not make them from a loop. They save
 * reading the result before it is overwritten, a third of the traffic. */
#if !defined(__GNUC__)
/* one by one */
#elif defined(__AVX512F__)
#include <immintrin.h>
#define FD_VECTOR 64
#define FD_STREAM(p, v) _mm512_stream_si512((void *)(p), (__m512i)(v))
#elif defined(__AVX__)
#include <immintrin.h>
#define FD_VECTOR 32
#define FD_STREAM(p, v) _mm256_stream_si256((__m256i *)(p), (__m256i)(v))
#elif defined(__SSE2__)
#include <emmintrin.h>
#define FD_VECTOR 16
#define FD_STREAM(p, v) _mm_stream_si128((__m128i *)(p), (__m128i)(v))
#else
#define FD_VECTOR 16
#endif
#ifdef FD_STREAM
#define FD_CAN_STREAM 1
#define FD_FENCE() _mm_sfence()
#define FD_PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#else
#define FD_CAN_STREAM 0
#define FD_STREAM(p, v) ((void)0)
#define FD_FENCE() ((void)0)
#define FD_PREFETCH(p) ((void)0)
#endif

/* Results of a tile: what all its terms touch stays in the second-level cache. */
#define FD_GRID_TILE 4096

#define REAL double
#define FD_TYPED(name) name##_f64
#include "grid_real.h"
#undef REAL
#undef FD_TYPED

#define REAL float
#define FD_TYPED(name) name##_f32
#include "grid_real.h"
#undef REAL
#undef FD_TYPED

/* The first derivative by three points in the closed form that is exact for parabolas. */
static FD_INLINE void three_points_at(size_t at, const double *restrict x0, const double *restrict x1,
                                      const double *restrict x2, double scale, size_t count, double *restrict w0,
                                      double *restrict w1, double *restrict w2)
{
    for (size_t i = 0; i < count; i++) {
        const double d1 = (x1[i] - x0[i]) * scale, d2 = (x2[i] - x1[i]) * scale, both = d1 + d2;
        w0[i] = scale * ((at == 0 ? -(2.0 * d1 + d2) : at == 1 ? -d2 : d2) / (d1 * both));
        w1[i] = scale * ((at == 0 ? both : at == 1 ? d2 - d1 : -both) / (d1 * d2));
        w2[i] = scale * ((at == 0 ? -d1 : at == 1 ? d1 : 2.0 * d2 + d1) / (d2 * both));
    }
}

static void three_points(const double *nodes, size_t step, size_t at, double scale, size_t count, double *out,
                         size_t out_step)
{
    const double *x1 = nodes + step, *x2 = x1 + step;
    double *w1 = out + out_step, *w2 = w1 + out_step;
    if (at == 0)
        three_points_at(0, nodes, x1, x2, scale, count, out, w1, w2);
    else if (at == 1)
        three_points_at(1, nodes, x1, x2, scale, count, out, w1, w2);
    else
        three_points_at(2, nodes, x1, x2, scale, count, out, w1, w2);
}

/* Fornberg (1988), several points side by side. */
enum { SIDE = 16 };

static void recursion(const double *nodes, size_t step, size_t points, size_t at, size_t n, double scale,
                                size_t count, double *out, size_t out_step)
{
    double c[FD_GRID_POINTS][FD_GRID_ORDER + 1][SIDE];
    for (size_t begin = 0; begin < count; begin += SIDE) {
        const size_t side = count - begin < SIDE ? count - begin : SIDE;
        double x[FD_GRID_POINTS][SIDE], c1[SIDE], c2[SIDE], c3[SIDE], c4[SIDE], c5[SIDE];
        for (size_t j = 0; j < points; j++)
            for (size_t l = 0; l < SIDE; l++) /* the rest of the last group repeats its first polynomial */
                x[j][l] = nodes[j * step + begin + (l < side ? l : 0)] * scale;
        for (size_t j = 0; j < points; j++)
            for (size_t k = 0; k <= n; k++)
                for (size_t l = 0; l < SIDE; l++)
                    c[j][k][l] = j == 0 && k == 0;
        for (size_t l = 0; l < SIDE; l++) {
            c1[l] = 1.0;
            c4[l] = x[0][l] - x[at][l];
        }
        for (size_t i = 1; i < points; i++) {
            const size_t top = i < n ? i : n;
            for (size_t l = 0; l < SIDE; l++) {
                c2[l] = 1.0;
                c5[l] = c4[l];
                c4[l] = x[i][l] - x[at][l];
            }
            for (size_t j = 0; j < i; j++) {
                for (size_t l = 0; l < SIDE; l++) {
                    c3[l] = x[i][l] - x[j][l];
                    c2[l] *= c3[l];
                }
                if (j == i - 1)
                    for (size_t k = top + 1; k-- > 0;)
                        for (size_t l = 0; l < SIDE; l++) {
                            const double lower = k ? (double)k * c[j][k - 1][l] : 0.0;
                            c[i][k][l] = c1[l] * (lower - c5[l] * c[j][k][l]) / c2[l];
                        }
                for (size_t k = top + 1; k-- > 0;)
                    for (size_t l = 0; l < SIDE; l++) {
                        const double lower = k ? (double)k * c[j][k - 1][l] : 0.0;
                        c[j][k][l] = (c4[l] * c[j][k][l] - lower) / c3[l];
                    }
            }
            for (size_t l = 0; l < SIDE; l++)
                c1[l] = c2[l];
        }
        for (size_t j = 0; j < points; j++)
            for (size_t l = 0; l < side; l++) {
                double w = c[j][n][l];
                for (size_t k = 0; k < n; k++)
                    w *= scale;
                out[j * out_step + begin + l] = w;
            }
    }
}

static void weights(const double *nodes, size_t step, size_t points, size_t at, size_t n, double scale, size_t count,
                    double *out, size_t out_step)
{
    if (n == 1 && points == 3)
        three_points(nodes, step, at, scale, count, out, out_step);
    else
        recursion(nodes, step, points, at, n, scale, count, out, out_step);
}

const fd_grid_kernels FD_NAME(fd_grid) = {
    .sweep_f64 = sweep_f64,
    .sweep_f32 = sweep_f32,
    .weights = weights,
};
