/* Protects the C core alone, without Python: every level this processor runs equals a naive loop, bit for bit.
 *
 * `test_core` checks every level, `test_core LEVEL` that one (exit code 77: not available here). Compiled with
 * FD_PLANT_OVERRUN the kernel `nodes` is made to write one element too far, which a sanitized build has to notice. */
#include "fastdiff.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FD_PLANT_OVERRUN
enum { PLANTED = 1 };
#else
enum { PLANTED = 0 };
#endif

enum { N = 67 }; /* longest run: several vectors of every width, and a rest */

/* A double from a fixed sequence, of either sign and of magnitudes from 2^-60 to 2^60. */
static double draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t bits = *state;
    uint64_t exponent = 1023 - 60 + (bits >> 20) % 121;
    bits = (bits & UINT64_C(0x800fffffffffffff)) | exponent << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exact-sized heap copies, so that a sanitizer sees any access outside them. */
static double *fill(uint64_t *state, size_t n)
{
    double *p = malloc(n ? n * sizeof *p : 1);
    if (!p)
        abort();
    for (size_t i = 0; i < n; i++)
        p[i] = draw(state);
    return p;
}

static int same(const char *level, const char *kernel, size_t n, const double *got, const double *want)
{
    if (n == 0 || memcmp(got, want, n * sizeof *got) == 0)
        return 1;
    printf("FAIL %s at level %s, n = %zu\n", kernel, level, n);
    return 0;
}

static int check_nodes(const fd_kernels *k, uint64_t *state, size_t n)
{
    double *x = fill(state, n + PLANTED), *h = fill(state, n + PLANTED);
    double *got = fill(state, n), *want = fill(state, n);
    double t = draw(state);
    for (size_t i = 0; i < n; i++) {
        volatile double step = t * h[i]; /* volatile: the product is rounded before the sum */
        want[i] = x[i] + step;
    }
    k->stencil->nodes(x, h, t, got, n + PLANTED);
    int ok = same(k->level, "nodes", n, got, want);
    free(x), free(h), free(got), free(want);
    return ok;
}

static int check_level(const fd_kernels *k)
{
    uint64_t state = 1;
    int ok = 1;
    for (size_t n = 0; n <= N; n++)
        ok &= check_nodes(k, &state, n);
    return ok;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"baseline", "v3", "v4"};
    int checked = 0, failed = 0;
    if (fd_select("v5") || fd_select("")) {
        puts("FAIL fd_select accepts a name that is no level");
        failed++;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (argc > 1 && strcmp(argv[1], names[i]) != 0)
            continue;
        const fd_kernels *k = fd_select(names[i]);
        if (strcmp(k->level, names[i]) != 0) {
            printf("level %s: not available here\n", names[i]);
            continue;
        }
        int ok = check_level(k);
        printf("level %s: %s\n", names[i], ok ? "ok" : "FAILED");
        checked++;
        failed += !ok;
    }
    printf("%s, %s, %s\n", fd_build.compiler, fd_build.flags, fd_build.levels);
    return failed ? 1 : checked ? 0 : 77;
}
