/* Protects the C core alone, without Python: every level this processor runs equals a naive loop, bit for bit, or the
 * baseline.
 *
 * `test_core` checks every level, `test_core LEVEL` that one (exit code 77: not available here). Compiled with FD_PLANT
 * and called as `test_core LEVEL FAULT` it commits what a sanitized build has to notice: `nodes` writes one element too
 * far, `program` one row too far, `race` has two threads write the same numbers. */
#include "fastdiff.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FD_THREADS 1
#endif

#ifdef FD_PLANT
static const char *fault = "";
static size_t planted(const char *name) { return !strcmp(fault, name); }
#else
static size_t planted(const char *name) { return (void)name, 0; }
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
    double *x = fill(state, n + planted("nodes")), *h = fill(state, n + planted("nodes"));
    double *got = fill(state, n), *want = fill(state, n);
    double t = draw(state);
    for (size_t i = 0; i < n; i++) {
        volatile double step = t * h[i]; /* volatile: the product is rounded before the sum */
        want[i] = x[i] + step;
    }
    k->stencil->nodes(x, h, t, got, n + planted("nodes"));
    int ok = same(k->level, "nodes", n, got, want);
    free(x), free(h), free(got), free(want);
    return ok;
}

static int check_combine(const fd_kernels *k, uint64_t *state, size_t m, size_t n, int order)
{
    double *samples = fill(state, m * n), *weights = fill(state, m), *h = fill(state, n);
    double *got = fill(state, n), *want = fill(state, n);
    double denominator = draw(state);
    for (size_t i = 0; i < n; i++) {
        volatile double sum = weights[0] * samples[i], scale = denominator;
        for (size_t j = 1; j < m; j++) {
            volatile double term = weights[j] * samples[j * n + i];
            sum = sum + term;
        }
        for (int q = 0; q < order; q++)
            scale = scale * h[i];
        want[i] = sum / scale;
    }
    k->stencil->combine(samples, weights, m, denominator, h, order, got, n);
    int ok = same(k->level, "combine", n, got, want);
    free(samples), free(weights), free(h), free(got), free(want);
    return ok;
}

/* The step control is compared with the baseline's: tests/test_control.py compares both with the specification. Here
 * it runs on exactly sized arrays, over several rounds, on samples that lead through all of its branches. */
enum { FIELDS = FD_STATE, WANT_K = 24, RESULTS = 4, STATUS = 3, NODES = 5, ROUNDS = 12 };

/* The first derivative by the points 0, -1, 1, -2, 2, as steps.pack would pack it. */
static const double table[] = {
    4, 1, -0.08, 2, 0.1, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, -49, 0,               /* header */
    -1, 1, -2, 2,                                                               /* offsets */
    -2. / 3, 2. / 3, 1. / 12, -1. / 12,                                         /* value row */
    0, 0, 0, 0,                                                                 /* no fallback */
    -0.08, -0.08, -1.9, -2.04,                                                  /* norms */
    -5000, -5000, -5000, -5000,                                                 /* contamination */
    -2. / 3, 2. / 3, 1. / 12, -1. / 12, 2. / 3, 2. / 3, -1. / 24, -1. / 24,     /* Taylor rows */
    1. / 6, -1. / 6, -1. / 12, 1. / 12, -1. / 6, -1. / 6, 1. / 24, 1. / 24,
};

static double two_to(double k)
{
    double power = 1;
    for (; k > 0; k--)
        power *= 2;
    for (; k < 0; k++)
        power /= 2;
    return power;
}

/* Smooth, rough, noisy, flat and partly undefined functions, huge and tiny. */
static double sample(size_t kind, double x, uint64_t *noise)
{
    const double zero = 0, u = x * x * (x - 3);
    switch (kind % 12) {
    case 0: return 1 / (1 + x * x);
    case 1: return x * x * x;
    case 2: return x > 1 ? x - 1 : 1 - x;
    case 3: return x > 1;
    case 4: return u + 1e-12 * draw(noise) / two_to(60);
    case 5: return u + 1e-3 * draw(noise) / two_to(60);
    case 6: return 5;
    case 7: return x > 1 ? 1 / zero : u;
    case 8: return x < 1 + 1e-6 ? zero / zero : u;
    case 9: return 1e308 * u;
    case 10: return 1e-310 * u;
    default: return draw(noise);
    }
}

/* What means something: of elements that are done only the results, and every nan is the same one. */
static void tidy(double *state, double *results, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < FIELDS; f++, state++)
            *state = results[STATUS * n + i] != 0 ? 0 : *state == *state ? *state : 77;
    for (size_t i = 0; i < RESULTS * n; i++)
        results[i] = results[i] == results[i] ? results[i] : 77;
}

/* Lanes come by kind, each with the smallest step that an output of it wants. */
static int check_next_round(const fd_kernels *k, const double *state, const double *status, const double *x,
                            size_t lanes, size_t outputs)
{
    size_t counts[16], left, sum = 0, ok = 1, bytes = lanes ? lanes * sizeof(double) : 1;
    double *next = malloc(bytes), *h = malloc(bytes);
    ptrdiff_t *order = malloc(bytes), *work = malloc(bytes);
    if (!next || !h || !order || !work)
        abort();
    for (size_t i = 0; i < lanes; i++)
        order[i] = (ptrdiff_t)i;
    left = k->control->next_round(state, status, x, 25, next, order, work, h, lanes, counts, outputs);
    for (size_t i = 0; i < 16; i++)
        for (size_t end = sum + counts[i]; sum < end; sum++) {
            const size_t first = (size_t)order[sum] * outputs;
            double least_wanted = 1e9;
            for (size_t e = first; e < first + outputs; e++)
                if (status[e] == 0 && state[e * FIELDS + WANT_K] < least_wanted)
                    least_wanted = state[e * FIELDS + WANT_K];
            ok &= next[order[sum]] == least_wanted;
        }
    if (!ok || sum != left)
        printf("FAIL next_round at level %s, %zu lanes\n", k->level, lanes);
    free(next), free(h), free(order), free(work);
    return ok && sum == left;
}

/* Lanes that go on, as they were, after one that is there already. */
static int check_gather(const fd_kernels *k, uint64_t *random, double *results, double *state, size_t lanes, size_t outputs)
{
    const size_t n = lanes * outputs, room = lanes + 1, m = room * outputs;
    fd_lanes from = {.scale = fill(random, lanes), .k = fill(random, lanes), .k_unit = fill(random, lanes), .state = state,
                     .caps = fill(random, 3 * lanes), .samples = fill(random, NODES * n), .results = results,
                     .lanes = lanes, .outputs = outputs, .nodes = NODES, .stride = n, .units = lanes, .cap_row = lanes};
    fd_lanes to = {.scale = fill(random, room), .k = fill(random, room), .k_unit = fill(random, room),
                   .state = fill(random, FIELDS * m), .caps = fill(random, 3 * room), .samples = fill(random, NODES * m),
                   .results = fill(random, RESULTS * m), .lanes = room, .outputs = outputs, .nodes = NODES, .stride = m,
                   .units = room, .cap_row = room};
    ptrdiff_t *which = malloc(room * sizeof *which);
    if (!which)
        abort();
    const size_t end = k->control->gather(&from, &to, 0, which, 1);
    size_t at = 1, ok = 1;
    for (size_t lane = 0; lane < lanes; lane++) {
        int running = 0;
        for (size_t e = lane * outputs; e < (lane + 1) * outputs; e++)
            running |= results[STATUS * n + e] == 0;
        if (!running)
            continue;
        ok &= at < end && which[at] == (ptrdiff_t)lane && to.scale[at] == from.scale[lane] &&
              to.caps[2 * room + at] == from.caps[2 * lanes + lane] &&
              to.samples[at * outputs] == from.samples[lane * outputs] &&
              !memcmp(to.state + at * outputs * FIELDS, state + lane * outputs * FIELDS, FIELDS * sizeof(double));
        at++;
    }
    if (!ok || at != end)
        printf("FAIL gather at level %s, %zu lanes\n", k->level, lanes);
    free(from.scale), free(from.k), free(from.k_unit), free(from.caps), free(from.samples), free(to.scale), free(to.k),
        free(to.k_unit), free(to.state), free(to.caps), free(to.samples), free(to.results), free(which);
    return ok && at == end;
}

static int check_control(const fd_kernels *k, uint64_t *random, size_t lanes, size_t outputs, int choose)
{
    const fd_kernels *baseline = fd_select("baseline");
    size_t n = lanes * outputs;
    double *x = fill(random, lanes), *at = fill(random, lanes), *unit = fill(random, lanes);
    double *samples = fill(random, NODES * n), *caps = fill(random, 3 * lanes), *packed = fill(random, sizeof table / 8);
    double *noise = lanes % 2 ? fill(random, lanes) : NULL;
    double *got = fill(random, FIELDS * n), *want = fill(random, FIELDS * n);
    double *told = fill(random, RESULTS * n), *wanted = fill(random, RESULTS * n);
    ptrdiff_t *all = malloc(lanes ? lanes * sizeof *all : 1), *which = choose ? all : NULL;
    if (!all)
        abort();
    for (size_t i = 0; i < lanes; i++) /* every lane, the last one first */
        all[i] = (ptrdiff_t)(lanes - 1 - i);
    memcpy(packed, table, sizeof table);
    for (size_t i = 0; i < lanes; i++) {
        x[i] = i % 5 ? 1 + 0.01 * (double)(i / 5) : 1;
        at[i] = unit[i] = -10;
        caps[i] = caps[lanes + i] = caps[2 * lanes + i] = i % 7 ? 1000 : -5;
        if (noise)
            noise[i] = i % 3 ? 1e-12 * (double)(i % 4) : 0;
    }
    int ok = 1;
    for (int round = 0; round < ROUNDS && ok; round++) {
        for (size_t j = 0; j < NODES; j++)
            for (size_t i = 0; i < n; i++) {
                double t = j ? packed[17 + j] : 0;
                samples[j * n + i] = sample(i, x[i / outputs] + t * two_to(at[i / outputs]), random);
            }
        for (int level = 0; level < 2; level++) {
            const int fresh = round == 0 && level == 0;
            k->control->control(packed, samples, 0x1p-52, x, at, unit, lanes, caps, lanes, noise, 0, level, fresh, 1,
                                which, lanes, got, told, n, lanes, outputs);
            baseline->control->control(packed, samples, 0x1p-52, x, at, unit, lanes, caps, lanes, noise, 0, level, fresh, 1,
                                       NULL, 0, want, wanted, n, lanes, outputs);
            tidy(got, told, n), tidy(want, wanted, n);
            ok = ok && same(k->level, "control", FIELDS * n, got, want) &&
                 same(k->level, "results of control", RESULTS * n, told, wanted);
        }
        ok = ok && check_next_round(k, got, told + STATUS * n, x, lanes, outputs);
        ok = ok && check_gather(k, random, told, got, lanes, outputs);
        for (size_t i = 0; i < lanes; i++) {
            double next = want[i * outputs * FIELDS + WANT_K];
            if (wanted[STATUS * n + i * outputs] == 0 && next > -1000 && next < 1000)
                at[i] = next;
        }
    }
    for (size_t i = 0; i < n && ok; i++) /* the test is of runs that come to an end */
        if (wanted[STATUS * n + i] == 0 && i % outputs == 0) {
            printf("FAIL control at level %s: still running, element %zu of %zu\n", k->level, i, n);
            ok = 0;
        }
    free(x), free(at), free(unit), free(samples), free(caps), free(noise), free(packed), free(got), free(want),
        free(told), free(wanted), free(all);
    return ok;
}

/* --- recorded programs, with inner loops of this file in place of NumPy's --- */

static void times(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    for (intptr_t i = 0; i < dimensions[0]; i++) {
        double a, b, out;
        memcpy(&a, args[0] + i * steps[0], sizeof a);
        memcpy(&b, args[1] + i * steps[1], sizeof b);
        out = a * b;
        memcpy(args[2] + i * steps[2], &out, sizeof out);
    }
}

static void vector(int n, const double *x, int m, double *out)
{
    for (int i = 0; i < m; i++)
        out[i] = x[i % n] + i;
}

/* f(x) = (2 x0 x1 + x1 x2, matrix . (x0 x1, x1 x2), native vector of both) of points with three numbers: every kind of
 * instruction. The base computes the products (rows 3, 4); the variant perturbs x0, and only what depends on it. */
enum { ROWS = 21, OUTPUTS = 4 };
static fd_native native = {(void (*)(void))vector, NULL, FD_NATIVE_VECTOR};
static const fd_loop loops[] = {{times, NULL}, {NULL, &native}};
static double scalars[] = {2.0};
static const double matrices[] = {1.0, 0.5};
static const int64_t code[] = {
    FD_LOOP, 0, 3, 1, FD_DOUBLES, FD_DOUBLES, FD_DOUBLES, 2, 0, 1, 3, /* x[0:2] * x[1:3] -> rows 3, 4 */
    FD_LOOP, 0, 3, 1, FD_SCALARS, FD_DOUBLES, FD_DOUBLES, 1, 0, 3, 5, /* 2 * row 3 -> row 5 */
    FD_ADD, 1, 5, 4, 6,                                               /* row 5 + row 4 -> row 6 */
    FD_MATRIX, 0, 2, 1, 3, 4, 0, 7,                                   /* -> row 7 */
    FD_CALL, 1, 2, 2, 10, 6, 7, 8, 9,                                 /* scratch rows 10..13 */
    /* the variant: x0 in row 14, products in rows 15 and, as before, 4 */
    FD_LOOP, 0, 3, 1, FD_DOUBLES, FD_DOUBLES, FD_DOUBLES, 1, 14, 1, 15,
    FD_LOOP, 0, 3, 1, FD_SCALARS, FD_DOUBLES, FD_DOUBLES, 1, 0, 15, 16,
    FD_ADD, 1, 16, 4, 17, FD_MATRIX, 0, 2, 1, 15, 4, 0, 18, FD_CALL, 1, 2, 2, 10, 17, 18, 19, 20,
};
static const int64_t output[] = {FD_DOUBLES, 6, FD_DOUBLES, 7, FD_DOUBLES, 8, FD_DOUBLES, 9};
static const int64_t words[] = {FD_DOUBLES, 0, 14, 0, FD_DOUBLES, 17, FD_DOUBLES, 18, FD_DOUBLES, 19, FD_DOUBLES, 20};
static const int64_t variant[] = {11 + 11 + 5 + 8 + 9, 5, 0, 1, 4};
static const fd_program program = {.code = code, .instructions = 5, .loops = loops, .matrices = matrices, .inputs = 1,
                                   .outputs = OUTPUTS, .output = output, .variant = variant, .words = words};

/* The forward difference of the program at lanes lo..hi of `lanes`, in room of its own for exactly so many. */
typedef struct {
    const fd_kernels *k;
    const double *x, *h;
    double *out;
    size_t lo, hi, lanes;
} slope;

static void *run_slope(void *data)
{
    const slope *s = data;
    size_t n = s->hi - s->lo, rows = ROWS - planted("program");
    double *room = malloc(n ? rows * n * sizeof *room : 1), *work = malloc(n ? (OUTPUTS + 1) * n * sizeof *work : 1);
    if (!room || !work)
        abort();
    const fd_input input = {(const char *)s->x, 3 * sizeof(double), sizeof(double), 3, 0};
    fd_space spaces[FD_INPUTS + 1] = {0};
    spaces[FD_SCALARS].base = (char *)scalars;
    spaces[FD_DOUBLES].base = (char *)room;
    const double offsets[] = {0.0, 1.0}, weights[] = {-1.0, 1.0};
    const fd_quotient quotient = {2, offsets, weights, 1.0, 1};
    const fd_steps steps = {.h = (const char *)s->h, .h_lane = sizeof(double)};
    s->k->program->begin(&program, &input, spaces, s->lo, n);
    s->k->program->difference(&program, spaces, &steps, &quotient, 0, 1, s->lo, n, work, (char *)s->out,
                              sizeof(double), 0, (intptr_t)(s->lanes * sizeof(double)));
    free(room), free(work);
    return NULL;
}

static int check_program(const fd_kernels *k, uint64_t *state, size_t n)
{
    double *x = fill(state, 3 * n), *h = fill(state, n), *out = fill(state, OUTPUTS * n), *want = fill(state, OUTPUTS * n);
    slope all = {k, x, h, out, 0, n, n};
    run_slope(&all);
    for (size_t l = 0; l < n; l++) {
        double f[2][OUTPUTS];
        for (int t = 0; t < 2; t++) {
            volatile double step = t * h[l], x0 = x[3 * l] + step, p = x0 * x[3 * l + 1], q = x[3 * l + 1] * x[3 * l + 2];
            volatile double twice = 2.0 * p, half = 0.5 * q;
            f[t][0] = twice + q;
            f[t][1] = p + half;
            f[t][2] = f[t][0];
            f[t][3] = f[t][1] + 1;
        }
        for (size_t o = 0; o < OUTPUTS; o++)
            want[o * n + l] = (f[1][o] - f[0][o]) / h[l];
    }
    int ok = same(k->level, "difference of a program", OUTPUTS * n, out, want);
#ifdef FD_THREADS
    /* Two threads share the program and write to one array, each its own lanes. */
    memset(out, 0, OUTPUTS * n * sizeof *out);
    slope first = {k, x, h, out, 0, planted("race") ? n : n / 2, n}, second = {k, x, h, out, n / 2, n, n};
    pthread_t other;
    if (pthread_create(&other, NULL, run_slope, &first))
        abort();
    run_slope(&second);
    pthread_join(other, NULL);
    ok &= same(k->level, "difference of a program in two threads", OUTPUTS * n, out, want);
#endif
    free(x), free(h), free(out), free(want);
    return ok;
}

/* x * x * x, of a variant that moves x and recomputes all of it: x in row 0, its square in row 1. */
enum { CUBE_ROWS = 3, TILE = 40 };
static const int64_t cube_code[] = {
    FD_LOOP, 0, 3, 1, FD_DOUBLES, FD_DOUBLES, FD_DOUBLES, 1, 0, 0, 1,
    FD_LOOP, 0, 3, 1, FD_DOUBLES, FD_DOUBLES, FD_DOUBLES, 1, 1, 0, 2,
};
static const int64_t cube_words[] = {FD_INPUTS, 0, 0, 0, FD_DOUBLES, 2}, cube_variant[] = {0, 2, 0, 1, 4};
static const fd_program cube = {.code = cube_code, .loops = loops, .inputs = 1, .outputs = 1, .variant = cube_variant,
                                .words = cube_words};

/* All rounds of lanes lo..hi, in room of its own. */
typedef struct {
    const fd_kernels *k;
    const double *x;
    double *found; /* RESULTS rows of `lanes`; lanes that were left keep what it held */
    size_t lo, hi, lanes, enough, reached, late, nfev;
    size_t octaves; /* numbers in the tables of first steps and noise, which are all the same */
    size_t odds;
    ptrdiff_t odd; /* the last of them */
} search;

static void *run_search(void *data)
{
    search *s = data;
    const double unit = -24, caps[] = {1000, 1000, 1000}, offsets[] = {0, -1, 1, -2, 2};
    double packed[sizeof table / sizeof *table];
    uint64_t state = 3;
    memcpy(packed, table, sizeof table);
    const size_t n = s->hi - s->lo + TILE;
    const double highest[NODES] = {0.25, -0.25, 0.5, -0.5};
    const fd_level level = {packed, offsets, highest, NODES};
    const fd_input input = {(const char *)s->x, sizeof(double), sizeof(double), 1, -1};
    fd_input picked;
    fd_space spaces[FD_INPUTS + 1] = {0};
    double *room = fill(&state, CUBE_ROWS * TILE), *work = fill(&state, TILE * (9 + NODES + FD_STATE + 1));
    ptrdiff_t *places = malloc(2 * TILE * sizeof *places), *which = malloc(n * sizeof *which);
    ptrdiff_t *odd = malloc(n * sizeof *odd);
    double *first = fill(&state, s->octaves), *noise = fill(&state, s->octaves);
    for (size_t i = 0; i < s->octaves; i++) {
        first[i] = unit;
        noise[i] = 0;
    }
    const fd_lanes late = {.scale = fill(&state, n), .k = fill(&state, n), .k_unit = (double *)&unit,
                           .state = fill(&state, n * FD_STATE), .caps = (double *)caps, .samples = fill(&state, n * NODES),
                           .results = fill(&state, n * RESULTS), .lanes = n, .outputs = 1, .nodes = NODES, .stride = n,
                           .units = 1, .cap_row = 1};
    if (!places || !which || !odd)
        abort();
    spaces[FD_SCALARS].base = (char *)scalars;
    spaces[FD_DOUBLES].base = (char *)room;
    const fd_rounds rounds = {.program = &cube, .inputs = &input, .picked = &picked, .spaces = spaces, .level = &level,
                              .levels = 1, .tile = TILE, .enough = s->enough, .scale = s->x, .k_unit = &unit, .caps = caps,
                              .cap_row = 1, .over = first, .overs = s->octaves,
                              .noise = s->octaves > 1 ? noise : NULL, .close = -1e300, .eps = 0x1p-52,
                              .whole = 1, .found = s->found, .stride = s->lanes};
    s->late = s->odds = s->nfev = 0;
    s->reached = s->k->rounds->make(&rounds, s->lo, s->hi, work, places, &late, which, &s->late, odd, &s->odds, &s->nfev);
    s->odd = s->odds ? odd[s->odds - 1] : -1;
    for (size_t i = 0; i < s->late; i++)
        s->found[(size_t)which[i] + STATUS * s->lanes] = 0;
    free(room), free(work), free(places), free(which), free(odd), free(first), free(noise), free(late.scale),
        free(late.k), free(late.state), free(late.samples), free(late.results);
    return NULL;
}

static int check_rounds(const fd_kernels *k, size_t n)
{
    uint64_t state = 5;
    double *x = fill(&state, n), *found = fill(&state, RESULTS * n), *other = fill(&state, RESULTS * n);
    for (size_t i = 0; i < n; i++)
        x[i] = (i % 2 ? 1 : -1) * (0.5 + (double)i / 64);
    search all = {k, x, found, 0, n, n, n + 1, 0, 0, 0, 1, 0, 0};
    run_search(&all);
    int ok = all.reached == n && all.odds == 0 && all.nfev >= n * NODES;
    if (n > 8 * TILE) /* some go on where they are, and some are left */
        ok &= all.late > 0 && all.late < n / 4 && all.nfev > n * NODES + n;
    for (size_t i = 0; i < n && ok; i++) { /* what ended is the derivative, within its error bar */
        const double off = found[n + i] - 3 * x[i] * x[i], bar = found[i];
        ok = found[STATUS * n + i] != 1 || (off <= bar && -off <= bar && bar < 1e-6 * x[i] * x[i]);
    }
#ifdef FD_THREADS
    search first = {k, x, other, 0, n / 2, n, n + 1, 0, 0, 0, 1, 0, 0};
    search second = {k, x, other, n / 2, n, n, n + 1, 0, 0, 0, FD_OCTAVES, 0, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_search, &first))
        abort();
    run_search(&second);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < n && ok; i++) /* which lanes are left depends on the tile that they are in */
        for (size_t row = 0; row < RESULTS && found[STATUS * n + i] != 0 && other[STATUS * n + i] != 0; row++)
            ok &= same(k->level, "rounds in two threads", 1, other + row * n + i, found + row * n + i);
#endif
    if (n > TILE) { /* a lane that is none of its business is left out */
        const double zero = 0;
        x[n - 1] = 1 / zero;
        run_search(&all);
        ok &= all.reached == n && all.odds == 1 && all.odd == (ptrdiff_t)n - 1 && found[STATUS * n + n - 1] == -1;
        all.enough = 1; /* and as soon as one is late */
        run_search(&all);
        ok &= all.late > 0 ? all.late <= TILE : all.reached == n;
    }
    if (!ok)
        printf("FAIL rounds at level %s, %zu lanes\n", k->level, n);
    free(x), free(found), free(other);
    return ok;
}

/* d/dx along one axis of (outer, n, inner) and, added to it, d2/dx2 along the same axis: one-sided, of order 2. */
static int check_sweep(const fd_kernels *k, uint64_t *state, size_t outer, size_t n, size_t inner, int stream)
{
    const size_t size = outer * n * inner;
    const size_t shape[] = {outer, n, inner};
    const ptrdiff_t strides[] = {(ptrdiff_t)(n * inner), (ptrdiff_t)inner, 1};
    const ptrdiff_t first_index[] = {0, 1, 2, (ptrdiff_t)n - 3, (ptrdiff_t)n - 2, (ptrdiff_t)n - 1};
    const ptrdiff_t second_index[] = {0, 1, 2, 3, (ptrdiff_t)n - 4, (ptrdiff_t)n - 3, (ptrdiff_t)n - 2, (ptrdiff_t)n - 1};
    const double first[] = {-1.5, 2.0, -0.5, 0.5, -2.0, 1.5}, second[] = {2.0, -5.0, 4.0, -1.0, -1.0, 4.0, -5.0, 2.0};
    const double half = 0.5, one = 1.0;
    double *a = fill(state, size), *got = fill(state, size), *want = fill(state, size);
    for (size_t at = 0; at < size; at++) {
        const size_t i = at / inner % n;
        const double *p = a + at - i * inner; /* sample 0 of this line */
        volatile double s, t, part;
        if (i > 0 && i < n - 1) {
            volatile double up = a[at + inner] - a[at], down = a[at - inner] - a[at];
            part = a[at + inner] - a[at - inner], s = half * part;
            part = up + down, t = one * part;
        } else {
            const double *w1 = i ? first + 3 : first, *w2 = i ? second + 4 : second;
            const ptrdiff_t *i1 = i ? first_index + 3 : first_index, *i2 = i ? second_index + 4 : second_index;
            s = w1[0] * p[i1[0] * (ptrdiff_t)inner];
            for (size_t j = 1; j < 3; j++)
                part = w1[j] * p[i1[j] * (ptrdiff_t)inner], s = s + part;
            t = w2[0] * p[i2[0] * (ptrdiff_t)inner];
            for (size_t j = 1; j < 4; j++)
                part = w2[j] * p[i2[j] * (ptrdiff_t)inner], t = t + part;
        }
        want[at] = s + t;
    }
    fd_grid_term terms[] = {
        {.a = a, .out = got, .as = strides, .os = strides, .axis = 1,
         .rule = {.n = n, .head = 1, .tail = 1, .points = 3, .index = first_index, .weights = first,
                  .pairs = 1, .odd = 1, .central = &half}},
        {.a = a, .out = got, .as = strides, .os = strides, .axis = 1, .add = 1,
         .rule = {.n = n, .head = 1, .tail = 1, .points = 4, .index = second_index, .weights = second,
                  .pairs = 1, .odd = 0, .central = &one}},
    };
    for (size_t part = 0; part < 3; part++)
        k->grid->sweep_f64(3, shape, 2, terms, stream, part, 3);
    int ok = same(k->level, "sweep", size, got, want);
    /* the same as two dimensions, the axis last, where whole lines lie one after the other */
    if (inner == 1) {
        k->grid->sweep_f64(2, shape, 2, terms, stream, 0, 1);
        ok &= same(k->level, "sweep of lines", size, got, want);
    }
    free(a), free(got), free(want);
    return ok;
}

/* Weights slide along one row of coordinates; they must differentiate the powers of t at the node. */
static int check_weights(const fd_kernels *k, uint64_t *state, size_t points, size_t n, size_t count)
{
    const size_t at = points / 2;
    double *x = fill(state, count + points - 1), *w = fill(state, points * count);
    for (size_t i = 0; i < count + points - 1; i++)
        x[i] = (double)i + (double)(i * i % 7) / 16;
    k->grid->weights(x, 1, points, at, n, 0.5, count, w, count);
    int ok = 1;
    for (size_t i = 0; i < count; i++)
        for (size_t power = 0; power < points; power++) {
            double sum = 0, size = 0, want = power == n;
            for (size_t j = 0; j < points; j++) {
                double t = w[j * count + i];
                for (size_t q = 0; q < power; q++)
                    t *= x[i + j] - x[i + at];
                sum += t;
                size += t < 0 ? -t : t;
            }
            for (size_t q = 2; q <= n; q++)
                want *= (double)q;
            if (!(sum - want <= 1e-9 * size && want - sum <= 1e-9 * size)) {
                printf("FAIL weights at level %s: %zu points, derivative %zu, power %zu\n", k->level, points, n, power);
                ok = 0;
            }
        }
    free(x), free(w);
    return ok;
}

static int check_level(const fd_kernels *k)
{
    uint64_t state = 1;
    int ok = 1;
    for (size_t n = 4; n <= N; n += 3)
        for (size_t inner = 1; inner <= 21; inner += 4)
            for (int stream = 0; stream < 2; stream++)
                ok &= check_sweep(k, &state, 1 + n % 4, n, inner, stream);
    for (size_t n = 136; n <= 340; n += 17) /* long lines, at every alignment */
        ok &= check_sweep(k, &state, 5, n, 1, 1) & check_sweep(k, &state, 5, n, 1, 0);
    ok &= check_sweep(k, &state, 2, 10000, 1, 1) & check_sweep(k, &state, 2, 5, 5000, 1);
    for (size_t points = 2; points <= 12; points++)
        for (size_t n = 1; n < points && n <= FD_GRID_ORDER; n++)
            for (size_t count = 1; count <= 33; count += 16)
                ok &= check_weights(k, &state, points, n, count);
    for (size_t n = 0; n <= N; n++)
        ok &= check_nodes(k, &state, n);
    for (size_t m = 1; m < 8; m++)
        for (size_t n = 0; n < 1200; n += 171)
            ok &= check_combine(k, &state, m, n, (int)m - 1);
    for (size_t lanes = 0; lanes <= N; lanes++)
        ok &= check_control(k, &state, lanes, 1 + lanes % 3, lanes / 3 % 2);
    for (size_t n = 0; n <= N; n++)
        ok &= check_program(k, &state, n);
    for (size_t n = 0; n <= 500; n += 1 + n / 2)
        ok &= check_rounds(k, n);
    return ok;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"baseline", "v3", "v4"};
    int checked = 0, failed = 0;
#ifdef FD_PLANT
    fault = argc > 2 ? argv[2] : "";
#endif
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
