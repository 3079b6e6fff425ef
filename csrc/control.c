/* Step control: what the samples of a lane say about its step. Compiled once per level.
 *
 * The specification is src/fastdiff/kernels/_numpy.py, function by function; the fields of the state and the layout of
 * a table are those of src/fastdiff/steps.py. An element is one output of one lane. Elements are judged LANES at a time
 * by code without branches:
 *
 * - `end_some` ends most first derivatives in their first round, where nothing but values are wanted;
 * - `look`, in registers, does most of the others' rounds;
 * - `judge_block`, on arrays that stay in the first-level cache, settles plain elements in their first round: finite
 *   samples that differ, no noise, exponents of moderate size;
 * - `judge_compared` does first rounds where noise is known, and later ones, with the round before to compare with;
 * - `judge_one` does the rest one by one, by the same functions at length one and some more.
 */
#include "fastdiff.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define ONCE static __attribute__((noinline))
#define UNROLLED _Pragma("GCC unroll 27")
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif
#ifndef UNROLLED
#define UNROLLED
#endif
#ifndef ONCE
#define ONCE static
#endif

enum { LANES = 32, CHUNK = 8 * LANES, MAX_NODES = 40, HEADER = 18 };

enum {
    LO, HI, SIGMA, ZEROS, LEAP, SHRINK, PROBED, ROUNDS, FLOOR,
    PREV_K, PREV_C1, PREV_C2, PREV_VALUE, PREV_ERROR, PREV_FLAGS, FIRST_K, ROUGH,
    ERROR, VALUE, K, SPREAD_FIRST, SPREAD_LEAST, LAST_VALUE,
    STATUS, WANT_K, WANT_LEVEL, WANT_SIDE,
    FIELDS
};

_Static_assert((int)FIELDS == (int)FD_STATE, "fastdiff.h");

enum { RUNNING, CONVERGED, NOT_FINITE_HERE, NOT_FINITE, NOT_SMOOTH, STALLED, EXHAUSTED };
enum { BAD = 1, SUSPICIOUS = 2 };

#define ROUNDS_MAX 10.0
#define TOLERANCE 4.0
#define EARLY 1.0
#define GAIN 6.0
#define EXPLORE 6.0
#define SHALLOW (-8.0)
#define PROBE 12.0
#define LOUD 5.0
#define SAFETY 4.0
#define SAFETY_TRUNCATION 2.0
#define VAGUE 8.5
#define FAINT (-300.0) /* log2 of what adds nothing to any error bar that a block computes */
#define NONE (-5000.0) /* log2 of nothing */
#define DOUBT 0x1p-9 /* share of the noise told below which a coefficient is seldom nothing but noise */
#define HALF_OCTAVE UINT64_C(0x95f619980c434) /* added to bits: takes numbers above the root of 2 to the next exponent */
#define SMALLEST (-1060.0) /* log2 of steps: see steps.py */
#define LARGEST 1000.0

/* --- arithmetic without branches or libm -------------------------------------------------------------------------- */

INLINE uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE double larger(double a, double b) { return a > b ? a : b; }
INLINE double smaller(double a, double b) { return a < b ? a : b; }
INLINE double limited(double x, double most) { return smaller(larger(x, -most), most); }

/* floor and ceil for |x| < 2**51 and infinities, but never -0.0 */
INLINE double whole_below(double x)
{
    double near = x + 0x1.8p52 - 0x1.8p52;
    return near > x ? near - 1.0 : near;
}

INLINE double whole_above(double x)
{
    double near = x + 0x1.8p52 - 0x1.8p52;
    return near < x ? near + 1.0 : near;
}

/* The exponent field of a nonnegative x as a double: its 11 bits under those of 2**52. */
INLINE double exponent_field(double x) { return from_bits(bits_of(x) >> 52 | UINT64_C(0x4330000000000000)); }

INLINE double log2_of(double x)
{
    double size = fabs(x);
    double mantissa = from_bits((bits_of(size) & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3fe0000000000000));
    return (exponent_field(size) - (0x1p52 + 1022.0)) + (2.0 * mantissa - 2.0);
}

/* 2.0**exponent for whole exponents in the normal range; anything for others */
INLINE double power(double exponent) { return from_bits(bits_of(exponent + (0x1p52 + 1023.0)) << 52); }

/* x * 2**exponent; `near`: |exponent| <= 1000 is known */
INLINE double scaled(double x, double exponent, bool near)
{
    if (near)
        return x * power(exponent);
    double a = limited(exponent, 1000.0);
    double b = limited(exponent - a, 1000.0);
    double c = limited(exponent - a - b, 1000.0);
    return x * power(a) * power(b) * power(c);
}

/* y * 2**x, the power piecewise linear */
INLINE double times_exp2(double y, double x, bool near)
{
    double whole = whole_below(x);
    return scaled(y * (1.0 + (x - whole)), whole, near);
}

INLINE double exp2_of(double x, bool near) { return times_exp2(1.0, x, near); }

/* --- what is known of a call and of its elements ------------------------------------------------------------------- */

/* A packed level. The arrays hold at q - 1 what belongs to power q, or to node q. */
typedef struct {
    size_t last, n, later; /* nodes without the point itself; order of the derivative; levels that follow (0 to 2) */
    double norm, missed, no_decay, power, aim, fallback_missed, exact;
    double more[2], more_missed[2], more_gain[2];
    const double *offsets, *row, *fallback, *norms, *contamination, *taylor; /* fallback: NULL if there is none */
} level_table;

static level_table unpack(const double *p)
{
    level_table t = {
        .last = (size_t)p[0], .n = (size_t)p[1], .later = (size_t)p[9],
        .norm = p[2], .missed = p[3], .no_decay = p[4], .power = p[5], .aim = p[6], .fallback_missed = p[8],
        .more = {p[10], p[13]}, .more_missed = {p[11], p[14]}, .more_gain = {p[12], p[15]}, .exact = p[16],
    };
    if (t.later > 2)
        t.later = 2;
    const double *arrays = p + HEADER;
    t.offsets = arrays;
    t.row = arrays + t.last;
    t.fallback = p[7] != 0.0 ? arrays + 2 * t.last : NULL;
    t.norms = arrays + 3 * t.last;
    t.contamination = arrays + 4 * t.last;
    t.taylor = arrays + 5 * t.last;
    return t;
}

/* The arguments of `control`. */
typedef struct {
    level_table t;
    const double *samples, *scale, *k, *k_unit, *caps;
    const double *noise; /* of fresh elements, by lane, or NULL */
    size_t unit_step, cap_step, cap_row; /* steps from lane to lane are 0 where one number holds for all */
    double eps;
    int side;
    bool base;  /* level 0 */
    bool fresh; /* no round has judged these elements, and their state holds nothing */
    double level;
    size_t lanes, outputs, count; /* count: elements, of all lanes */
    const ptrdiff_t *which;       /* the lanes to judge, or NULL for all of them */
    double *state;
    double *error, *value, *log_h, *status; /* of all elements */
} call;

/* log2 of the least step of a lane whose x has this size */
INLINE double least_of(double scale) { return larger(exponent_field(fabs(scale)) - (0x1p52 + 1022.0) - 50.0, SMALLEST); }

INLINE double unit_of(const call *a, size_t lane) { return a->k_unit[a->unit_step * lane]; }
INLINE double noise_of(const call *a, size_t lane) { return a->noise ? a->noise[lane] : 0.0; }
INLINE double cap_of(const call *a, int side, size_t lane)
{
    const size_t row = side < 0 ? 2 : (size_t)side;
    return a->caps[row * a->cap_row + a->cap_step * lane];
}

/* Where the e-th element to be judged lies among all elements. */
INLINE size_t place(const call *a, size_t e)
{
    if (!a->which)
        return e;
    return a->outputs == 1 ? (size_t)a->which[e] : (size_t)a->which[e / a->outputs] * a->outputs + e % a->outputs;
}

INLINE bool running(const call *a, size_t element) { return a->fresh || a->status[element] == RUNNING; }

/* Some elements. A row holds the same quantity for each of them; row q of d, c, size and seen belongs to node or power
 * q. Logarithms are of quantities scaled so that the largest sample lies in [1, 2), times h**n. */
typedef struct {
    double s[FIELDS][LANES];
    double scale[LANES], k[LANES], k_unit[LANES], k_least[LANES], cap[LANES]; /* cap: log2 of the largest step */
    double noise[LANES];                                    /* known before the first round */
    double d[MAX_NODES][LANES];                             /* samples, scaled, less the point's own */
    double c[MAX_NODES][LANES];                             /* Taylor coefficients */
    double largest[LANES], exponent[LANES];                 /* the largest sample and how it is scaled */
    double unscale[LANES];                                  /* exponent of what undoes the scaling */
    double wild[LANES], still[LANES];                       /* 1: a sample is not finite; 1: all samples are equal */
    double roundoff[LANES], unit[LANES];                    /* of one sample, without and with noise */
    double total[LANES], spare[LANES];                      /* the derivative by the value row, by the fallback row */
    double size[MAX_NODES][LANES], seen[MAX_NODES][LANES];  /* log2 of c; the same, at least that of its noise */
    double stands[MAX_NODES][LANES];                        /* log2 of c where that is well above its noise, or -inf */
    double lu[LANES], decay[LANES], before_top[LANES], slope[LANES], following[LANES], truncation[LANES];
    double rounding[LANES], doubt[LANES], most[LANES], growth[LANES], highest[LANES], plateau[LANES], flat[LANES];
    double top[LANES], fall[LANES], surprise[LANES];        /* surprise: 1 where the last is not what others predict */
    double value[LANES], error[LANES], bad[LANES], suspicious[LANES]; /* bad: 1 where samples do not look smooth */
    double excess[LANES], vague[LANES], corner[LANES], conflict[LANES], crossed[LANES], deaf[LANES], alarm[LANES];
    double shrank[LANES];                                   /* 1 where the highest fell as h did since the last round */
    double extend[LANES], settled[LANES], nought[LANES], grow[LANES], shrink[LANES], up[LANES], down[LANES];
    double work[LANES], best[LANES];
    uint32_t held; /* fields of s that hold the state; in a first round the others are filled in when they are needed */
} block;

#define EACH for (size_t i = 0; i < len; i++)
#define BIT(field) (UINT32_C(1) << (field))
#define ALL_FIELDS (BIT(FIELDS) - 1)

/* A whole row at once where it is one, as most are. */
INLINE void copy(double *out, const double *in, size_t n)
{
    if (n == LANES)
        memcpy(out, in, LANES * sizeof(double));
    else
        for (size_t i = 0; i < n; i++)
            out[i] = in[i];
}

/* What a field holds before the first round; HI is one more than the cap. */
INLINE double initial(size_t field)
{
    switch (field) {
    case LO: case FIRST_K:
        return -INFINITY;
    case PREV_K: case FLOOR: case ERROR: case SPREAD_FIRST: case SPREAD_LEAST:
        return INFINITY;
    case LEAP:
        return 4.0;
    case SHRINK:
        return 8.0;
    case VALUE:
        return NAN;
    default:
        return 0.0;
    }
}

/* Fields as they are before the first round. */
INLINE void fill(block *b, uint32_t fields, size_t len)
{
    UNROLLED
    for (size_t f = 0; f < FIELDS; f++)
        if (fields >> f & 1)
            EACH b->s[f][i] = f == HI ? b->cap[i] + 1.0 : f == SIGMA ? b->noise[i] : initial(f);
}

ONCE void fill_missing(block *b, uint32_t fields, size_t len)
{
    fill(b, fields & ~b->held, len);
    b->held |= fields;
}

/* Before fields are read, or changed in part. */
INLINE void need(block *b, uint32_t fields, size_t len)
{
    if (fields & ~b->held)
        fill_missing(b, fields, len);
}

/* The state of the elements first to first + have, or of those at `at`, and copies of the first one up to len. */
INLINE void fetch(block *b, const call *a, size_t first, const size_t *at, size_t have, size_t len)
{
    UNROLLED
    for (size_t f = 0; f < FIELDS; f++) {
        const double *from = a->state + f;
        if (at)
            for (size_t i = 0; i < have; i++)
                b->s[f][i] = from[at[i] * FIELDS];
        else
            for (size_t i = 0; i < have; i++)
                b->s[f][i] = from[(first + i) * FIELDS];
        for (size_t i = have; i < len; i++)
            b->s[f][i] = b->s[f][0];
    }
    for (size_t i = 0; i < len; i++)
        b->s[STATUS][i] = a->status[at ? at[i < have ? i : 0] : first + (i < have ? i : 0)];
}

/* The same elements: samples, what is known of their lanes, and these fields; all of them unless it is their first round. */
INLINE void load(block *b, const call *a, size_t first, const size_t *at, size_t have, size_t len, uint32_t fields)
{
    b->held = fields;
    if (at) {
        for (size_t q = 0; q <= a->t.last; q++)
            for (size_t i = 0; i < have; i++)
                b->d[q][i] = a->samples[q * a->count + at[i]];
    } else {
        for (size_t q = 0; q <= a->t.last; q++)
            copy(b->d[q], a->samples + q * a->count + first, len == 1 ? 1 : have);
    }
    if (a->outputs == 1 && !at) {
        copy(b->scale, a->scale + first, have);
        copy(b->k, a->k + first, have);
        for (size_t i = 0; i < have; i++) {
            b->k_unit[i] = unit_of(a, first + i);
            b->cap[i] = cap_of(a, a->side, first + i);
            b->noise[i] = noise_of(a, first + i);
        }
    } else {
        for (size_t i = 0; i < have; i++) {
            size_t lane = (at ? at[i] : first + i) / a->outputs;
            b->scale[i] = a->scale[lane];
            b->k[i] = a->k[lane];
            b->k_unit[i] = unit_of(a, lane);
            b->cap[i] = cap_of(a, a->side, lane);
            b->noise[i] = noise_of(a, lane);
        }
    }
    for (size_t i = have; i < len; i++) {
        for (size_t q = 0; q <= a->t.last; q++)
            b->d[q][i] = b->d[q][0];
        b->scale[i] = b->scale[0];
        b->k[i] = b->k[0];
        b->k_unit[i] = b->k_unit[0];
        b->cap[i] = b->cap[0];
        b->noise[i] = b->noise[0];
    }
    EACH b->k_least[i] = least_of(b->scale[i]);
    if (a->fresh)
        fill(b, fields, len);
    else
        fetch(b, a, first, at, have, len);
}

/* --- from samples to coefficients ---------------------------------------------------------------------------------- */

/* out = w[0] * d[1] + w[1] * d[2] + ..., from the left */
INLINE void weigh(const double *w, const block *b, size_t last, double *out, size_t len)
{
    size_t j = 1;
    if (last >= 4) {
        EACH out[i] = w[0] * b->d[1][i] + w[1] * b->d[2][i] + w[2] * b->d[3][i] + w[3] * b->d[4][i];
        j = 4;
    } else {
        EACH out[i] = w[0] * b->d[1][i];
    }
    for (; j + 2 <= last; j += 2)
        EACH out[i] = out[i] + w[j] * b->d[j + 1][i] + w[j + 1] * b->d[j + 2][i];
    for (; j < last; j++)
        EACH out[i] = out[i] + w[j] * b->d[j + 1][i];
}

/* Scale by a power of two and subtract the point's own sample. */
INLINE void differences(block *b, const call *a, size_t len)
{
    EACH {
        double size = fabs(b->d[0][i]);
        b->wild[i] = size <= DBL_MAX ? 0.0 : 1.0;
        b->largest[i] = size;
    }
    for (size_t q = 1; q <= a->t.last; q++)
        EACH {
            double size = fabs(b->d[q][i]);
            b->wild[i] = size <= DBL_MAX ? b->wild[i] : 1.0;
            b->largest[i] = larger(size, b->largest[i]);
        }
    EACH {
        b->exponent[i] = limited(exponent_field(b->largest[i]) - (0x1p52 + 1023.0), 1000.0);
        double factor = power(-b->exponent[i]);
        b->d[0][i] = b->d[0][i] * factor;
        b->work[i] = factor;
        b->roundoff[i] = larger(a->eps * (b->largest[i] * factor), power(larger(-1074.0 - b->exponent[i], -1022.0)));
        b->unscale[i] = b->exponent[i] - (double)a->t.n * b->k[i];
        b->still[i] = 1.0;
    }
    for (size_t q = 1; q <= a->t.last; q++)
        EACH {
            double d = b->d[q][i] * b->work[i] - b->d[0][i];
            b->still[i] = d == 0.0 ? b->still[i] : 0.0;
            b->d[q][i] = d;
        }
}

INLINE void coefficients(block *b, const level_table *t, size_t len)
{
    for (size_t q = 1; q <= t->last; q++)
        weigh(t->taylor + (q - 1) * t->last, b, t->last, b->c[q], len);
    weigh(t->row, b, t->last, b->total, len);
    if (t->fallback)
        weigh(t->fallback, b, t->last, b->spare, len);
}

/* --- from coefficients to decay, truncation and growth -------------------------------------------------------------- */

#define NOISE(q) (b->lu[i] + t->norms[(q)-1])
#define STANDS(q) (b->stands[q][i] > -INFINITY)

/* out = the least of out and (size[q] - size[j]) * (1 / (q - j)) over those j in [from, to) that stand */
INLINE void least_slope(const block *b, size_t q, size_t from, size_t to, double *out, size_t len)
{
    for (size_t j = from; j < to; j++) {
        const double inverse = 1.0 / (double)(q - j);
        EACH {
            double slope = (b->size[q][i] - b->stands[j][i]) * inverse;
            out[i] = smaller(slope, out[i]);
        }
    }
}

INLINE void spectrum(block *b, const level_table *t, size_t len)
{
    const size_t last = t->last, n = t->n;
    EACH b->lu[i] = log2_of(b->unit[i]);
    EACH b->highest[i] = 0.0;
    for (size_t q = 1; q <= last; q++)
        EACH {
            double size = log2_of(b->c[q][i]), noise = NOISE(q);
            b->size[q][i] = size;
            b->seen[q][i] = larger(size, noise);
            b->stands[q][i] = size > noise + 2.0 ? size : -INFINITY;
            b->highest[i] = size > noise + 2.0 ? (double)q : b->highest[i];
        }

    EACH {
        b->decay[i] = b->before_top[i] = NONE;
        b->top[i] = b->size[n][i]; /* the highest that stands, and how those after it fall */
        b->fall[i] = 0.0;
    }
    for (size_t q = 2; q <= last; q++) {
        EACH b->best[i] = INFINITY;
        least_slope(b, q, n + 1, q, b->best, len);
        if (q > n) {
            const double inverse = 1.0 / (double)(q - n);
            EACH {
                const double edge = q < last ? NOISE(q + 1) - b->size[q][i] : INFINITY;
                const double alone = q > n + 1 ? (b->size[q][i] - b->size[n][i]) * inverse : edge;
                const double fall = smaller(b->best[i] < INFINITY ? b->best[i] : alone, edge);
                b->top[i] = STANDS(q) ? b->size[q][i] : b->top[i];
                b->fall[i] = STANDS(q) ? fall : b->fall[i];
            }
        }
        if (q < 3)
            continue;
        least_slope(b, q, 1, q <= n ? q : n + 1, b->best, len);
        EACH {
            bool counts = STANDS(q) & (b->best[i] < INFINITY);
            b->before_top[i] = b->decay[i];
            b->decay[i] = counts ? larger(b->decay[i], b->best[i]) : b->decay[i];
        }
    }

    EACH {
        double slope = smaller(larger(b->decay[i], -26.0), 2.0);
        b->slope[i] = slope;
        b->following[i] = larger(b->seen[last][i], b->seen[last - 1][i] + slope) + slope;
        b->truncation[i] = t->missed + b->following[i];
        b->rounding[i] = b->lu[i] + t->norm;
    }
    for (size_t q = n + 1; q <= last; q++)
        EACH b->truncation[i] = larger(b->truncation[i], t->contamination[q - 1] + b->seen[q][i]);

    /* the roundoff if the highest coefficient were nothing but noise; more if the lower ones do not predict it */
    const double norm_top = t->norms[last - 1], norm = t->norm;
    EACH b->doubt[i] = b->size[last][i] - norm_top + norm;
    if (last >= 3)
        EACH {
            const double first = b->size[last - 1][i] + b->before_top[i];
            const double second = b->size[last - 2][i] + 2.0 * b->before_top[i], doubt = b->doubt[i];
            const bool surprise = b->size[last][i] > larger(first, second) + 2.0;
            b->surprise[i] = surprise ? 1.0 : 0.0;
            b->doubt[i] = surprise ? doubt + 3.0 : doubt;
        }

    /* How far h could grow until the coefficient that the aimed level misses reaches the roundoff. Beyond the highest that
     * stands they fall as those before it, or as it does to the roundoff of the next. The derivative's own says nothing of
     * that where there are others: any line may have been added to f. */
    const double inverse = 1.0 / t->power, own = (double)n;
    const size_t aimed = (size_t)t->power;
    EACH {
        const double highest = b->highest[i], beyond = b->top[i] + (t->power - highest) * larger(b->fall[i], -40.0);
        const double reached = aimed <= last ? b->seen[aimed][i] : beyond;
        const double growth = (b->rounding[i] - (t->aim + reached)) * inverse;
        b->growth[i] = highest > own ? growth : 0.0;
    }
    /* beyond that, the samples and their roundoff would grow with h */
    EACH b->most[i] = INFINITY;
    for (size_t q = 1; q <= last; q++) {
        const double root = 1.0 / (double)q;
        EACH b->most[i] = smaller((1.0 - b->stands[q][i]) * root, b->most[i]);
    }
}

/* Whether the high coefficients stand on a plateau, well above roundoff and well below the derivative's: three of them,
 * or after the first level, which is looked at for first derivatives only, two, where those before do not predict the
 * last. Heights are log2 of coefficients in units of the noise, whatever the row's norm. */
INLINE void plateau(block *b, const level_table *t, bool base, size_t len)
{
    const size_t last = t->last;
    const bool sides = last != 5 || t->offsets[0] * t->offsets[1] < 0.0;
    const size_t n = t->n, low = sides ? last - 2 : 2, high = sides ? last : 3;
    if (last < 4 || !(base || n == 1)) {
        EACH b->flat[i] = b->plateau[i] = 0.0;
        return;
    }
    const double *at_last = b->size[last], *at_below = b->size[last - 1], *at_n = b->size[n];
    const double *at_low = b->size[low], *at_high = b->size[high];
    const double norm_last = t->norms[last - 1], norm_below = t->norms[last - 2], norm_n = t->norms[n - 1];
    const double norm_low = t->norms[low - 1], norm_high = t->norms[high - 1];
    EACH {
        const double lu = b->lu[i], last_height = at_last[i] - norm_last - lu;
        const double top = larger(last_height, at_below[i] - norm_below - lu);
        const double high_height = at_high[i] - norm_high - lu;
        const double compared = sides ? last_height : top;
        const bool near = sides | (fabs(top - high_height) < 4.0);
        const bool two = !base & sides & (b->surprise[i] != 0.0) & (last_height - (at_below[i] - norm_below - lu) > -4.0);
        const bool even = (compared - (at_low[i] - norm_low - lu) > -4.0) | two;
        const bool flat = (compared > 4.0) & (at_n[i] - norm_n - lu - top > 3.0) & near & even &
                          !(b->decay[i] > t->no_decay);
        b->plateau[i] = top;
        b->flat[i] = flat ? 1.0 : 0.0;
    }
}

/* What a smaller step did not show is no noise, but something that the larger step runs into; nor is what shrank with h:
 * crossed, not flat. */
INLINE void cross(block *b, const call *a, size_t len)
{
    const size_t last = a->t.last;
    EACH {
        const double fell = b->s[PREV_K][i] - b->k[i], back = power(b->exponent[i]);
        const double top = larger(fabs(b->c[last - 1][i] * back), fabs(b->c[last][i] * back));
        const double then = larger(fabs(b->s[PREV_C1][i]), fabs(b->s[PREV_C2][i]));
        const bool shrank = a->base & (b->s[PREV_K][i] < INFINITY) & (fell >= 2.0) &
                            (fabs(log2_of(then) - log2_of(top) - fell) < 0.125);
        b->shrank[i] = shrank ? 1.0 : 0.0;
        const bool unseen = (b->s[LO][i] > -INFINITY) & (b->s[ZEROS][i] == 0.0);
        const bool crossed = (b->flat[i] != 0.0) & (shrank | unseen);
        b->crossed[i] = crossed ? 1.0 : 0.0;
        b->flat[i] = crossed ? 0.0 : b->flat[i];
    }
}

/* --- the verdict ---------------------------------------------------------------------------------------------------- */

/* From the first step, with the noise that is known by now. */
INLINE void start_again(block *b, size_t i)
{
    b->s[WANT_K][i] = b->s[FIRST_K][i];
    b->s[LO][i] = b->s[ZEROS][i] == 0.0 ? -INFINITY : b->s[LO][i];
    b->s[HI][i] = b->cap[i] + 1.0;
    b->s[PREV_K][i] = INFINITY;
    b->s[ERROR][i] = INFINITY;
}

/* Ask for the smaller step, inside the bracket; where there is none left, stop: with what a smaller step has settled. */
INLINE void shrunk(block *b, size_t i, bool who, double down)
{
    double k = b->k[i], lo = b->s[LO][i];
    down = larger(down, b->k_least[i]);
    down = down <= lo ? whole_above((k + lo) / 2.0) : down;
    bool stuck = who & ((down <= lo) | (down >= k));
    bool settled = (lo > -INFINITY) & (b->s[ZEROS][i] == 0.0) & (b->s[SIGMA][i] >= 0.0) &
                   (b->s[ERROR][i] < fabs(b->s[VALUE][i]));
    double end = settled ? CONVERGED : STALLED;
    b->s[STATUS][i] = stuck ? end : b->s[STATUS][i];
    b->s[WANT_K][i] = who ? down : b->s[WANT_K][i];
}

INLINE double tolerance_of(const call *a) { return a->base && a->t.later ? EARLY : TOLERANCE; }

/* As rough as at a much larger step, and not alike: noise (sigma, negative as long as it is but suspected), unless a
 * smaller step resolves it. What was crossed is not rough but in its high coefficients. */
INLINE void listen(block *b, const level_table *t, size_t len, bool plain)
{
    const size_t last = t->last;
    need(b, BIT(ROUGH), len);
    EACH b->work[i] = fabs(b->d[1][i]);
    for (size_t q = 2; q <= last; q++)
        EACH b->work[i] = larger(fabs(b->d[q][i]), b->work[i]);
    EACH {
        const double back = power(b->exponent[i]), loud = b->work[i] * back, rough = b->s[ROUGH][i];
        const bool shaky = plain ? b->bad[i] != 0.0
                                 : ((b->bad[i] != 0.0) | (b->suspicious[i] != 0.0)) & (b->s[SIGMA][i] <= 0.0);
        b->s[ROUGH][i] = shaky & (rough == 0.0) ? loud : rough;
        if (!plain) {
            const double then_1 = b->s[PREV_C1][i], then_2 = b->s[PREV_C2][i], sigma = b->s[SIGMA][i];
            const bool jump = (b->s[PREV_FLAGS][i] != 0.0) & (b->s[PREV_K][i] - b->k[i] > 0.0) &
                              (fabs(b->c[last - 1][i] * back - then_1) <= 0.125 * fabs(then_1)) &
                              (fabs(b->c[last][i] * back - then_2) <= 0.125 * fabs(then_2));
            const bool alarm = shaky & (rough != 0.0) & !jump & (b->crossed[i] == 0.0) &
                               (b->s[FIRST_K][i] - b->k[i] >= 8.0) & (log2_of(rough) - log2_of(loud) < LOUD);
            const bool resolved = !shaky & (sigma < 0.0) & (b->highest[i] >= 3.0);
            const double heard = alarm ? smaller(-loud, sigma) : sigma;
            b->s[SIGMA][i] = resolved ? 0.0 : heard;
            b->alarm[i] = alarm ? 1.0 : 0.0;
        }
    }
}

/* Equal samples at a step where this slope would have shown, and now more than one jump: a staircase. */
INLINE void staircase(block *b, const call *a, size_t len)
{
    uint64_t any = 0;
    EACH any |= bits_of(b->s[ZEROS][i]);
    if (!any)
        return;
    for (size_t i = 0; i < len; i++) {
        const double size = fabs(b->value[i]), apart = fabs(b->value[i] - b->s[PREV_VALUE][i]);
        const double shown = size * power(larger(b->s[LO][i], -1000.0)); /* lo is still that step */
        const double noise = b->d[0][i] == 0.0 ? 0.0 : larger(b->s[SIGMA][i], 0.0); /* where f is zero it is no excuse */
        if (!(b->s[ZEROS][i] > 0.0 && b->s[PREV_K][i] == INFINITY && shown > 8.0 * larger(a->eps * b->largest[i], noise)))
            continue;
        double low = 0.0, high = 0.0;
        for (size_t q = 1; q <= a->t.last; q++) {
            low = smaller(low, b->d[q][i]);
            high = larger(high, b->d[q][i]);
        }
        bool jump = low == 0.0 || high == 0.0, flat = false, right = true, left = true, rights = false, lefts = false;
        for (size_t q = 1; q <= a->t.last; q++) {
            const bool same = b->d[q][i] == 0.0;
            jump &= b->d[q][i] == low || b->d[q][i] == high;
            flat |= same && b->d[0][i] == 0.0;
            if (a->t.offsets[q - 1] > 0.0) {
                right &= same;
                rights = true;
            } else {
                left &= same;
                lefts = true;
            }
        }
        /* f is constant around x: it still is on one side of it, or it is zero, and still is somewhere */
        flat |= (right && rights) || (left && lefts);
        if (jump || flat)
            continue;
        const double error = larger(size, isnan(apart) ? 0.0 : apart);
        b->error[i] = error;
        b->s[ERROR][i] = larger(b->s[ERROR][i], error);
        b->conflict[i] = 1.0;
    }
}

/* The derivative, and its error bar into the state. */
INLINE void estimate(block *b, const call *a, size_t len, bool plain)
{
    const level_table *t = &a->t;
    const size_t last = t->last, n = t->n;
    uint64_t rough = 0, worse = 0;
    if (t->fallback)
        EACH b->total[i] = t->fallback_missed * fabs(b->c[last][i]) <= b->unit[i] ? b->spare[i] : b->total[i];
    EACH {
        b->value[i] = scaled(b->total[i], b->unscale[i], plain);
        b->bad[i] = b->decay[i] > t->no_decay ? 1.0 : 0.0;
    }
    EACH {
        double doubt = exp2_of((plain ? larger(b->doubt[i], FAINT) : b->doubt[i]) + b->unscale[i], plain);
        if (plain)
            doubt = b->doubt[i] < FAINT ? 0.0 : doubt;
        b->work[i] = b->bad[i] != 0.0 ? 0.0 : doubt;
    }
    EACH {
        double truncation = exp2_of(b->truncation[i] + b->unscale[i], plain);
        double floor = exp2_of(b->rounding[i] + b->unscale[i], plain);
        double error = SAFETY * floor;
        if (n == 1) {
            /* nan where x is 0 and the value infinite */
            double condition = fabs(b->scale[i]) * (fabs(b->value[i]) / (b->largest[i] > 0.0 ? b->largest[i] : 1.0));
            condition = smaller(1e12, condition);
            double rounding = plain ? floor : exp2_of(log2_of(b->roundoff[i]) + t->norm + b->unscale[i], false);
            error = error + SAFETY * rounding * (condition > 1.0 ? sqrt(condition) : 0.0);
        }
        error = error + SAFETY_TRUNCATION * truncation;
        b->error[i] = error + (b->unit[i] > b->roundoff[i] ? 1.0 : SAFETY) * b->work[i];
        b->s[FLOOR][i] = b->s[FLOOR][i] == INFINITY ? floor : b->s[FLOOR][i];
    }
    if (!plain)
        EACH b->corner[i] = b->conflict[i] = 0.0;
    if (a->base && !plain)
        EACH {
            double fell = b->s[PREV_K][i] - b->k[i];
            bool stagnant = (b->s[PREV_K][i] < INFINITY) & (fell >= 2.0) & (b->error[i] >= 0.25 * b->s[PREV_ERROR][i]) &
                            (b->excess[i] > tolerance_of(a)) & (b->suspicious[i] == 0.0);
            bool beside = b->s[LO][i] > -INFINITY; /* a smaller step has settled */
            b->corner[i] = stagnant & (b->shrank[i] != 0.0) & (b->s[PREV_FLAGS][i] == BAD) & !beside ? 1.0 : 0.0;
            b->bad[i] = (b->bad[i] != 0.0) | stagnant | (b->crossed[i] != 0.0) ? 1.0 : 0.0;
        }
    EACH rough |= bits_of(plain ? b->bad[i] : larger(b->bad[i], b->suspicious[i]));
    if (a->base && (rough || !plain))
        listen(b, t, len, plain);
    if (rough) {
        need(b, BIT(SPREAD_FIRST) | BIT(SPREAD_LEAST), len);
        EACH b->work[i] = n == 1 ? 0.0 : INFINITY;
        for (size_t q = 1; n == 1 && q <= last; q++)
            EACH b->work[i] = larger(fabs(b->d[q][i] / t->offsets[q - 1] - b->total[i]), b->work[i]);
        EACH {
            bool bad = b->bad[i] != 0.0;
            double spread = n == 1 ? scaled(b->work[i], b->unscale[i], plain) : INFINITY;
            double first = b->s[SPREAD_FIRST][i], least = b->s[SPREAD_LEAST][i];
            b->s[SPREAD_LEAST][i] = bad & (first < INFINITY) ? smaller(least, spread) : least;
            b->s[SPREAD_FIRST][i] = bad & (first == INFINITY) ? spread : first;
            b->error[i] = bad ? larger(b->error[i], spread) : b->error[i];
        }
    }
    if (!plain)
        EACH {
            const double sigma = b->s[SIGMA][i];
            const bool deaf = (b->highest[i] == 0.0) & (8.0 * sigma >= b->largest[i]) & (sigma > 0.0);
            b->deaf[i] = deaf ? 1.0 : 0.0; /* nothing but noise */
            b->error[i] = (fabs(b->value[i]) <= DBL_MAX) & !deaf ? b->error[i] : INFINITY;
        }
    /* Two rounds that both look smooth and exclude each other: what looks smooth is the rounding of f, not f. */
    if (a->base && !plain) {
        EACH {
            double apart = fabs(b->value[i] - b->s[PREV_VALUE][i]);
            bool calm = (b->bad[i] == 0.0) & (b->s[PREV_K][i] < INFINITY) & (b->s[PREV_FLAGS][i] == 0.0);
            bool conflict = calm & (apart > 16.0 * (b->error[i] + b->s[PREV_ERROR][i]));
            b->error[i] = conflict ? apart : b->error[i];
            b->s[ERROR][i] = conflict ? larger(b->s[ERROR][i], apart) : b->s[ERROR][i];
            b->conflict[i] = conflict ? 1.0 : 0.0;
        }
        if (n == 1)
            staircase(b, a, len);
    }
    if (!plain)
        EACH {
            bool known = (b->s[SIGMA][i] > 0.0) & (b->s[ERROR][i] < INFINITY);
            double k = known ? b->s[K][i] : 0.0;
            double least = times_exp2(SAFETY * b->s[SIGMA][i], t->norm - (double)n * k, plain);
            b->s[ERROR][i] = known ? larger(b->s[ERROR][i], least) : b->s[ERROR][i];
        }

    EACH worse |= bits_of(b->error[i] < b->s[ERROR][i] ? 0.0 : 1.0);
    if (worse) {
        need(b, BIT(VALUE) | BIT(K), len);
        EACH {
            bool better = b->error[i] < b->s[ERROR][i];
            b->s[ERROR][i] = better ? b->error[i] : b->s[ERROR][i];
            b->s[VALUE][i] = better ? b->value[i] : b->s[VALUE][i];
            b->s[K][i] = better ? b->k[i] : b->s[K][i];
        }
    } else {
        EACH b->s[ERROR][i] = b->error[i];
        EACH b->s[VALUE][i] = b->value[i];
        EACH b->s[K][i] = b->k[i];
    }
    EACH b->s[LAST_VALUE][i] = b->value[i];
    b->held |= BIT(VALUE) | BIT(K) | BIT(LAST_VALUE);
    if (a->base) {
        EACH {
            double back = power(b->exponent[i]);
            b->s[PREV_C1][i] = b->c[last - 1][i] * back;
            b->s[PREV_C2][i] = b->c[last][i] * back;
            b->s[PREV_FLAGS][i] = BAD * b->bad[i] + (plain ? 0.0 : SUSPICIOUS * b->suspicious[i]);
            b->s[FIRST_K][i] = larger(b->s[FIRST_K][i], b->k[i]);
        }
        EACH b->s[PREV_K][i] = b->k[i];
        EACH b->s[PREV_VALUE][i] = b->value[i];
        EACH b->s[PREV_ERROR][i] = b->error[i];
        b->held |= BIT(PREV_C1) | BIT(PREV_C2) | BIT(PREV_VALUE) | BIT(PREV_ERROR) | BIT(PREV_FLAGS);
    }
}

/* How far h may grow, into b->up, and for which of the settled elements it is worth it, into b->grow. */
INLINE void grown(block *b, const call *a, size_t len, bool plain)
{
    const level_table *t = &a->t;
    const double most = (double)t->n + 1.0, inverse = 1.0 / t->power;
    EACH {
        const bool two = STANDS(2) & (b->size[2][i] > b->size[1][i]);
        double quiet = b->lu[i];
        if (!plain)
            quiet = b->s[SIGMA][i] <= b->roundoff[i] * power(b->exponent[i]) ? log2_of(b->roundoff[i]) : quiet;
        b->work[i] = larger((two ? b->size[2][i] : b->size[1][i]) - quiet, 0.0);
        b->best[i] = two ? 2.0 : 1.0;
    }
    EACH {
        const double strength = b->work[i], start_at = b->best[i], highest = b->highest[i];
        const double steps = larger(highest + 1.0 - start_at, 1.0);
        double hopeful = (-strength - t->aim + (t->power - start_at) * strength / steps) * inverse;
        hopeful = highest < t->power ? hopeful : 0.0;
        hopeful = highest < start_at ? 8.0 : hopeful;
        const bool faint = (highest == most) & ((b->fall[i] > SHALLOW) | (b->unit[i] > b->roundoff[i]));
        hopeful = (highest < most) | faint ? larger(hopeful, EXPLORE) : hopeful;
        b->growth[i] = whole_below(smaller(larger(b->growth[i], smaller(hopeful, 12.0)), smaller(b->most[i], 24.0)));
        /* noise that was heard hides what a larger step runs into */
        b->best[i] = (strength < -0.5 * b->lu[i]) & (b->unit[i] <= b->roundoff[i]) ? GAIN - 1.0 : GAIN;
    }
    EACH {
        const double k = b->k[i], hi = b->s[HI][i], growth = b->growth[i], gain = b->best[i];
        const bool exact = b->rounding[i] - log2_of(b->total[i]) <= t->exact;
        const bool grow = (growth * (double)t->n >= gain) & (hi - k >= gain) & !exact & (b->nought[i] == 0.0);
        /* less where it is told by the slope between two coefficients, which is often too steep */
        const double told = b->highest[i] == most + 1.0 ? growth - 1.0 : growth;
        const double up = (k < b->k_unit[i] - growth) & (b->highest[i] < most) ? b->k_unit[i] : k + told;
        b->up[i] = up >= hi ? whole_below((k + hi) / 2.0) : up;
        b->grow[i] = grow ? b->settled[i] : 0.0;
    }
}

/* How far h must shrink, into b->down. */
INLINE void shrunken(block *b, const call *a, size_t len, bool plain)
{
    const level_table *t = &a->t;
    const bool aims = a->base && t->later;
    const double missed = aims ? t->power : (double)(t->last + 1), aim = t->aim;
    if (aims)
        EACH b->work[i] = aim + b->following[i] + b->slope[i];
    else
        EACH b->work[i] = b->truncation[i];
    EACH {
        const double so_far = b->s[SHRINK][i], more = smaller(whole_below(1.5 * so_far), 32.0);
        const double unclear = whole_above((b->doubt[i] - b->rounding[i] - VAGUE + 2.0) / (double)t->last);
        const double needed = larger(whole_above((b->work[i] - b->rounding[i]) / missed), 2.0);
        const double fall = larger(needed, b->vague[i] != 0.0 ? unclear : 2.0);
        const bool bad = b->bad[i] != 0.0, suspicious = plain ? false : b->suspicious[i] != 0.0;
        b->down[i] = b->k[i] - (bad ? so_far : fall);
        b->s[SHRINK][i] = (b->shrink[i] != 0.0) & bad & !suspicious ? more : so_far;
        b->s[HI][i] = b->shrink[i] != 0.0 ? smaller(b->s[HI][i], b->k[i]) : b->s[HI][i];
    }
    if (plain)
        return;
    EACH if (b->shrink[i] != 0.0 && b->suspicious[i] != 0.0) {
        double far = whole_below(b->plateau[i] + b->lu[i] - (b->size[1][i] - b->k[i])) - PROBE;
        b->s[PROBED][i] = 1.0;
        b->down[i] = t->n == 1 ? far : b->k[i] - 12.0;
    }
}

/* Noise was suspected, and nothing smooth has come to light since, or nothing at all down to the least step. */
INLINE void hear_out(block *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const bool done = b->settled[i] != 0.0 && b->grow[i] == 0.0;
        const bool stuck = b->alarm[i] != 0.0 && b->shrink[i] != 0.0 && b->s[STATUS][i] == STALLED;
        if (b->s[SIGMA][i] < 0.0 && (done || stuck)) {
            b->s[STATUS][i] = RUNNING;
            b->s[SIGMA][i] = -b->s[SIGMA][i];
            start_again(b, i);
        }
    }
}

/* What samples say that are finite and not all equal. `plain`: a first round, nothing suspicious, exponents moderate. */
INLINE void judge(block *b, const call *a, size_t len, bool plain)
{
    const level_table *t = &a->t;
    const size_t last = t->last;
    const double tolerance = tolerance_of(a);
    EACH {
        const double rounding = b->rounding[i], vague = b->doubt[i] - rounding - VAGUE + tolerance;
        double excess = b->truncation[i] - rounding;
        /* where the highest coefficients are noise, they are no sign of truncation */
        excess = STANDS(last) | STANDS(last - 1) ? excess : smaller(excess, 0.0);
        b->vague[i] = b->doubt[i] > rounding + VAGUE ? 1.0 : 0.0;
        b->excess[i] = b->doubt[i] > rounding + VAGUE ? larger(excess, vague) : excess;
    }
    estimate(b, a, len, plain);

    /* extend: nodes would bring the truncation error below the roundoff */
    const double more_0 = t->more[0], missed_0 = t->later > 0 ? t->more_missed[0] : INFINITY;
    const double more_1 = t->more[1], missed_1 = t->later > 1 ? t->more_missed[1] : INFINITY;
    const double gain_0 = t->more_gain[0], gain_1 = t->more_gain[1];
    const double slack_0 = TOLERANCE + (more_0 == 1.0 ? 1.0 : 0.0), slack_1 = TOLERANCE + (more_1 == 1.0 ? 1.0 : 0.0);
    uint64_t extending = 0, settling = 0, shrinking = 0, growing = 0;
    EACH {
        const double following = b->following[i], slope = b->slope[i], rounding = b->rounding[i];
        const double excess = b->excess[i], error = b->error[i];
        const bool smooth = (b->bad[i] == 0.0) & (plain ? true : b->suspicious[i] == 0.0);
        const double clear = rounding + VAGUE;
        const bool reach = ((missed_0 + following + more_0 * slope <= rounding + slack_0) &
                            (following + (more_0 - 1.0) * slope + gain_0 <= clear)) |
                           ((missed_1 + following + more_1 * slope <= rounding + slack_1) &
                            (following + (more_1 - 1.0) * slope + gain_1 <= clear));
        const bool extend = reach & (excess > tolerance) & smooth;
        const bool nought = (fabs(b->value[i]) <= error) & (error <= b->s[FLOOR][i]) & (b->k[i] < b->s[FIRST_K][i]);
        const bool settled = ((excess <= tolerance) | nought) & smooth & !extend;
        b->extend[i] = extend ? 1.0 : 0.0;
        b->settled[i] = settled ? 1.0 : 0.0;
        b->shrink[i] = settled | extend ? 0.0 : 1.0;
        b->nought[i] = nought ? 1.0 : 0.0;
    }
    EACH {
        extending |= bits_of(b->extend[i]);
        settling |= bits_of(b->settled[i]);
        shrinking |= bits_of(b->shrink[i]);
    }
    if (settling)
        EACH b->s[LO][i] = b->settled[i] != 0.0 ? larger(b->s[LO][i], b->k[i]) : b->s[LO][i];
    if (settling && a->base)
        grown(b, a, len, plain);
    else
        EACH b->grow[i] = 0.0;
    EACH growing |= bits_of(b->grow[i]);
    EACH {
        double done = !plain && ((b->conflict[i] != 0.0) | (b->deaf[i] != 0.0)) ? NOT_SMOOTH : CONVERGED;
        b->s[STATUS][i] = (b->settled[i] != 0.0) & (b->grow[i] == 0.0) ? done : RUNNING;
    }
    if (a->base && !plain)
        hear_out(b, len);
    const double next_level = a->level + 1.0;
    EACH b->s[WANT_LEVEL][i] = b->extend[i] != 0.0 ? next_level : 0.0;
    if (!(extending | shrinking | growing))
        return;
    need(b, BIT(WANT_K), len);
    EACH {
        const double want = b->extend[i] != 0.0 ? b->k[i] : b->s[WANT_K][i];
        b->s[WANT_K][i] = b->grow[i] != 0.0 ? b->up[i] : want;
    }
    if (shrinking) {
        need(b, BIT(SHRINK), len);
        shrunken(b, a, len, plain);
        EACH shrunk(b, i, b->shrink[i] != 0.0, b->down[i]);
        if (!plain)
            EACH b->s[STATUS][i] = b->corner[i] != 0.0 ? NOT_SMOOTH : b->s[STATUS][i];
        if (a->base && !plain)
            hear_out(b, len);
    }
}

/* End an element that has had all its rounds, and widen the error bar of what ends without convergence. */
INLINE void give_up(block *b, size_t i)
{
    double status = b->s[STATUS][i], error = b->s[ERROR][i];
    if (status == RUNNING && b->s[ROUNDS][i] >= ROUNDS_MAX && b->s[WANT_LEVEL][i] == 0.0)
        /* A derivative that is zero at any step is: its bar falls as long as the step grows. */
        status = b->s[K][i] == b->s[LO][i] && fabs(b->s[VALUE][i]) <= error ? CONVERGED : EXHAUSTED;
    if (status == STALLED || status == EXHAUSTED) {
        double apart = fabs(b->s[LAST_VALUE][i] - b->s[VALUE][i]), flags = b->s[PREV_FLAGS][i];
        error = larger(error, isnan(apart) ? INFINITY : apart);
        if (b->s[SPREAD_LEAST][i] < INFINITY && b->s[SPREAD_LEAST][i] > 1.5 * b->s[SPREAD_FIRST][i])
            error = INFINITY;
        status = flags >= BAD && flags != SUSPICIOUS ? NOT_SMOOTH : status;
    }
    if (status == NOT_SMOOTH && b->s[SPREAD_FIRST][i] < INFINITY)
        error = larger(error, b->s[SPREAD_FIRST][i]);
    b->s[ERROR][i] = error;
    b->s[STATUS][i] = status;
}

/* --- any number of elements, whatever they are ----------------------------------------------------------------------- */

/* The functions above for elements that are not plain, compiled once for all of them. */
ONCE void differences_of(block *b, const call *a, size_t len) { differences(b, a, len); }
ONCE void coefficients_of(block *b, const level_table *t, size_t len) { coefficients(b, t, len); }
ONCE void spectrum_of(block *b, const level_table *t, size_t len) { spectrum(b, t, len); }
ONCE void plateau_of(block *b, const call *a, size_t len) { plateau(b, &a->t, a->base, len); }
ONCE void judge_of(block *b, const call *a, size_t len) { judge(b, a, len, false); }

/* What this round and the one before at a larger step say of the noise in f, into sigma: the highest coefficients must
 * fall as powers of the step. */
ONCE void compare(block *b, const level_table *t, size_t len)
{
    const size_t last = t->last;
    uint64_t any = 0;
    EACH {
        const double fell = b->s[PREV_K][i] - b->k[i], error = b->s[PREV_ERROR][i], value = b->s[PREV_VALUE][i];
        const bool compared = (b->s[PREV_K][i] < INFINITY) & (fell >= 2.0) & (b->s[PREV_FLAGS][i] == 0.0);
        const double least = exp2_of(log2_of(b->roundoff[i]) + t->norm + b->unscale[i], false);
        const bool agree = fabs(scaled(b->total[i], b->unscale[i], false) - value) <= 8.0 * (error + least);
        b->work[i] = compared & (error <= 0.015625 * fabs(value)) & agree ? fell : 0.0;
    }
    EACH any |= bits_of(b->work[i]);
    if (!any)
        return;
    for (size_t p = 0; p < 2; p++) {
        const size_t q = last - 1 + p;
        const double unnorm = exp2_of(-t->norms[q - 1], false);
        EACH {
            const double fell = b->work[i], then = b->s[p ? PREV_C2 : PREV_C1][i];
            const double now = b->c[q][i] * power(b->exponent[i]), expected = scaled(then, -(double)q * fell, false);
            const double extra = fabs(now - expected);
            /* what falls like h is structure, not noise */
            const bool kink = fabs(log2_of(then) - log2_of(now) - fell) < 0.25 * fell;
            const double heard = 0.7 * extra * unnorm, roundoff = b->roundoff[i] * power(b->exponent[i]);
            /* nor is what would have spoilt an estimate from a smaller step, which is better than that */
            const double spoilt = times_exp2(heard, t->norm - (double)t->n * b->s[K][i], false);
            const bool denied = (b->s[LO][i] > -INFINITY) & (b->s[ZEROS][i] == 0.0) & (spoilt > 2.0 * b->s[ERROR][i]);
            const bool noise = (fell != 0.0) & (fabs(expected) <= extra) & !kink & !denied;
            const bool news = noise & (b->s[SIGMA][i] == 0.0) & (heard > 4.0 * roundoff);
            b->s[HI][i] = news ? b->cap[i] + 1.0 : b->s[HI][i]; /* it was noise that larger steps showed */
            b->s[SIGMA][i] = noise ? larger(b->s[SIGMA][i], heard) : b->s[SIGMA][i];
        }
    }
}

INLINE void begin(block *b, const call *a, size_t len)
{
    EACH {
        b->s[WANT_LEVEL][i] = 0.0;
        b->s[WANT_SIDE][i] = (double)a->side;
        b->s[ROUNDS][i] = b->s[ROUNDS][i] + (a->base ? 1.0 : 0.0);
    }
    b->held |= BIT(WANT_LEVEL) | BIT(WANT_SIDE);
}

/* From differences to the verdict, whatever is known of the noise by now. */
INLINE void analyse(block *b, const call *a, size_t len)
{
    const level_table *t = &a->t;
    uint64_t any = 0;
    if (a->base)
        compare(b, t, len);
    EACH {
        b->unit[i] = larger(b->roundoff[i], b->s[SIGMA][i] * power(-b->exponent[i]));
        b->suspicious[i] = b->crossed[i] = 0.0;
    }
    spectrum_of(b, t, len);
    plateau_of(b, a, len);
    cross(b, a, len);
    EACH {
        const bool flat = b->flat[i] != 0.0;
        const bool suspicious = flat & (b->plateau[i] > 16.0) & (b->s[PROBED][i] == 0.0) & (b->s[SIGMA][i] <= 0.0);
        const double sigma = larger(b->unit[i], 0.7 * exp2_of(b->plateau[i] + b->lu[i], false));
        const bool heard = flat & !suspicious;
        b->suspicious[i] = suspicious & a->base ? 1.0 : 0.0;
        b->work[i] = heard ? 1.0 : 0.0;
        b->unit[i] = heard ? sigma : b->unit[i];
        b->s[SIGMA][i] = heard ? larger(b->s[SIGMA][i], sigma * power(b->exponent[i])) : b->s[SIGMA][i];
    }
    EACH any |= bits_of(b->work[i]);
    if (any)
        spectrum_of(b, t, len);
    judge_of(b, a, len);
}

/* --- one element, whatever it is ------------------------------------------------------------------------------------ */

/* Turn to the side where f is finite; come closer where neither is. */
static void not_finite(block *b, const call *a, size_t element)
{
    const double *f = a->samples + element;
    const double k = b->k[0];
    if (!(fabs(f[0]) <= DBL_MAX)) {
        b->s[STATUS][0] = NOT_FINITE_HERE;
        return;
    }
    b->s[HI][0] = smaller(b->s[HI][0], k);
    bool right = true, left = true;
    for (size_t q = 1; q <= a->t.last; q++) {
        bool good = fabs(f[q * a->count]) <= DBL_MAX;
        if (a->t.offsets[q - 1] > 0.0)
            right &= good;
        else
            left &= good;
    }
    if (right != left && a->side == 0 && a->base) {
        b->s[WANT_SIDE][0] = right ? 1.0 : -1.0;
        b->s[WANT_K][0] = smaller(k, cap_of(a, right ? 1 : -1, element / a->outputs));
        b->s[PREV_K][0] = INFINITY;
        b->s[FIRST_K][0] = -INFINITY;
        return;
    }
    shrunk(b, 0, true, k - (a->base ? b->s[LEAP][0] : 2.0));
    if (a->base)
        b->s[LEAP][0] *= 2.0;
    bool ended = b->s[STATUS][0] == STALLED || b->s[ROUNDS][0] >= ROUNDS_MAX;
    if (ended && b->s[ERROR][0] == INFINITY)
        b->s[STATUS][0] = NOT_FINITE;
}

/* Samples that are all equal: h is too small, until a second, much larger one shows the same. */
static void no_difference(block *b, const level_table *t)
{
    const double k = b->k[0], hi = b->s[HI][0];
    b->s[LO][0] = larger(b->s[LO][0], k);
    b->s[ZEROS][0] += 1.0;
    double error = exp2_of(log2_of(b->roundoff[0]) + t->norm + b->unscale[0], false);
    if (b->roundoff[0] * power(b->exponent[0]) == 0.0)
        error = 0.0;
    double up = k < b->k_unit[0] ? larger(k + 12.0, b->k_unit[0]) : k + 8.0;
    if (up >= hi)
        up = whole_below((k + hi) / 2.0);
    /* Few roundings make samples of different points zero, but where h is small terms of f cancel, or underflow: f is zero
     * around x if it is at a second step, or a large one. Other equal samples tell how large the derivative may be, until
     * samples differ, at a larger step: then what that says stands. */
    const bool nothing = b->roundoff[0] * power(b->exponent[0]) <= 0x1p-1074, large = k >= b->k_unit[0];
    const bool again = b->s[ZEROS][0] >= 2.0 || up <= k;
    const bool unknown = b->s[PREV_K][0] == INFINITY && (b->s[ERROR][0] == INFINITY || b->s[VALUE][0] == 0.0);
    if (nothing ? again || large : unknown) {
        b->s[ERROR][0] = nothing ? error : smaller(b->s[ERROR][0], error);
        b->s[VALUE][0] = 0.0;
        b->s[K][0] = k;
    }
    b->s[LAST_VALUE][0] = 0.0;
    if (again || (nothing && large && error <= 0x1p-1000)) {
        const double known = b->s[ERROR][0];
        const bool believed = known <= fabs(b->s[VALUE][0]) ||
                              known <= 4.0 * scaled(error, (double)t->n * (k - b->s[K][0]), false);
        b->s[STATUS][0] = believed ? CONVERGED : NOT_SMOOTH;
    }
    b->s[WANT_K][0] = up;
}

/* Whether this round was a probe, much closer than the round before, and found noise there: then the element starts
 * again from its first step, knowing it. */
static bool probe_heard(block *b, const level_table *t)
{
    const size_t last = t->last;
    const double back = power(b->exponent[0]);
    if (!(b->s[PREV_K][0] < INFINITY && b->s[PREV_K][0] - b->k[0] >= 8.0 && b->s[PREV_FLAGS][0] >= SUSPICIOUS))
        return false;
    const double unnorm_1 = exp2_of(-t->norms[last - 2], false), unnorm_2 = exp2_of(-t->norms[last - 1], false);
    const double top = larger(fabs(b->c[last - 1][0] * back) * unnorm_1, fabs(b->c[last][0] * back) * unnorm_2);
    const double top_then = larger(fabs(b->s[PREV_C1][0]) * unnorm_1, fabs(b->s[PREV_C2][0]) * unnorm_2);
    if (!(8.0 * top >= top_then || b->still[0] != 0.0))
        return false;
    double mean = b->d[1][0];
    for (size_t q = 2; q <= last; q++)
        mean = mean + b->d[q][0];
    mean = mean / (double)(last + 1);
    double square = mean * mean;
    for (size_t q = 1; q <= last; q++)
        square = square + (b->d[q][0] - mean) * (b->d[q][0] - mean);
    double heard = larger(sqrt(square / (double)last) * back, 0.125 * top_then);
    if (b->still[0] != 0.0) /* a staircase, of steps less than this */
        heard = larger(heard, smaller(0.125 * b->s[ROUGH][0], 64.0 * top_then));
    b->s[SIGMA][0] = larger(b->s[SIGMA][0], heard);
    start_again(b, 0);
    return true;
}

INLINE void report(const block *b, const call *a, size_t i, size_t element)
{
    a->error[element] = b->s[ERROR][i];
    a->value[element] = b->s[VALUE][i];
    a->log_h[element] = b->s[K][i];
    a->status[element] = b->s[STATUS][i];
}

ONCE void judge_one(const call *a, size_t element)
{
    block b;
    if (!running(a, element))
        return;
    load(&b, a, element, NULL, 1, 1, ALL_FIELDS);
    begin(&b, a, 1);
    differences_of(&b, a, 1);
    const bool expected = b.s[PREV_FLAGS][0] >= SUSPICIOUS && b.s[PREV_K][0] < INFINITY;
    if (b.wild[0] != 0.0)
        not_finite(&b, a, element);
    else if (b.still[0] != 0.0 && a->base && !expected)
        no_difference(&b, &a->t);
    else {
        coefficients_of(&b, &a->t, 1);
        if (!(a->base && probe_heard(&b, &a->t)))
            analyse(&b, a, 1);
    }
    give_up(&b, 0);
    report(&b, a, 0, element);
    UNROLLED
    for (size_t f = 0; f < FIELDS; f++)
        a->state[element * FIELDS + f] = b.s[f][0];
}

/* --- a block of elements --------------------------------------------------------------------------------------------- */

/* Elements that are not plain, or failed, are not kept. */
INLINE void odd_ones(const block *b, double *keep, size_t len)
{
    EACH {
        bool plain = (b->wild[i] == 0.0) & (b->still[i] == 0.0) & (b->flat[i] == 0.0);
        bool near = (fabs(b->unscale[i]) < 600.0) & (fabs(b->truncation[i]) < 100.0) & (fabs(b->rounding[i]) < 100.0) &
                    ((fabs(b->doubt[i]) < 100.0) | (b->doubt[i] < FAINT));
        keep[i] = plain & near ? keep[i] : 0.0;
    }
    EACH keep[i] = b->s[STATUS][i] == STALLED ? 0.0 : keep[i];
}

/* The elements with a keep of 1 into the state; the others are judged one by one. */
static void store(const block *b, const call *a, size_t first, const size_t *at, size_t have, const double *keep)
{
    size_t kept[LANES], to[LANES], count = 0;
    for (size_t i = 0; i < have; i++) {
        const size_t element = at ? at[i] : first + i;
        if (keep[i] != 0.0) {
            kept[count] = i;
            to[count++] = element * FIELDS;
            report(b, a, i, element);
        } else {
            judge_one(a, element);
        }
    }
    for (size_t f = 0; f < FIELDS; f++)
        for (size_t i = 0; i < count; i++)
            a->state[to[i] + f] = b->s[f][kept[i]];
}

/* Of fresh elements the state is written only where another round follows. */
static void store_fresh(block *b, const call *a, size_t first, const size_t *at, size_t have, const double *keep)
{
    double going[LANES];
    uint64_t any = 0;
    enum { len = LANES };
    EACH {
        going[i] = (b->s[STATUS][i] == RUNNING) & (keep[i] != 0.0) ? 1.0 : 0.0;
    }
    EACH any |= bits_of(going[i]);
    for (size_t i = 0; i < have; i++)
        report(b, a, i, at ? at[i] : first + i);
    for (size_t i = 0; i < have; i++)
        if (keep[i] == 0.0)
            judge_one(a, at ? at[i] : first + i);
    if (!any)
        return;
    fill_missing(b, ALL_FIELDS, len);
    for (size_t i = 0; i < have; i++)
        if (going[i] != 0.0) {
            double *state = a->state + (at ? at[i] : first + i) * FIELDS;
            UNROLLED
            for (size_t f = 0; f < FIELDS; f++)
                state[f] = b->s[f][i];
        }
}

/* Elements of which some may have a round to compare with, or noise that is known. */
static void judge_compared(const call *a, size_t first, const size_t *at, size_t have)
{
    enum { len = LANES };
    block b;
    double keep[LANES];
    load(&b, a, first, at, have, len, ALL_FIELDS);
    EACH {
        bool probed = (b.s[PREV_FLAGS][i] >= SUSPICIOUS) & (b.s[PREV_K][i] < INFINITY);
        keep[i] = !probed & (b.s[STATUS][i] == RUNNING) & (b.s[ZEROS][i] == 0.0) ? 1.0 : 0.0;
    }
    begin(&b, a, len);
    differences_of(&b, a, len);
    coefficients_of(&b, &a->t, len);
    analyse(&b, a, len);
    EACH keep[i] = (b.wild[i] == 0.0) & (b.still[i] == 0.0) ? keep[i] : 0.0;
    for (size_t i = 0; i < have; i++)
        give_up(&b, i);
    store(&b, a, first, at, have, keep);
}

/* Elements of a first round: there is nothing to compare them with, and no noise is known. */
static void judge_block(const call *a, size_t first, const size_t *at, size_t have)
{
    enum { len = LANES };
    block b;
    double keep[LANES];
    load(&b, a, first, at, have, len, BIT(LO) | BIT(HI) | BIT(SIGMA) | BIT(ZEROS) | BIT(ROUNDS) | BIT(FLOOR) | BIT(PREV_K) |
                                      BIT(FIRST_K) | BIT(ERROR) | BIT(STATUS));
    EACH keep[i] = 1.0;
    begin(&b, a, len);
    differences(&b, a, len);
    coefficients(&b, &a->t, len);
    memcpy(b.unit, b.roundoff, sizeof b.unit);
    spectrum(&b, &a->t, len);
    plateau(&b, &a->t, true, len);
    judge(&b, a, len, true);
    odd_ones(&b, keep, len);
    store_fresh(&b, a, first, at, have, keep);
}

/* Elements first to first + have, or those at `at`, whatever they are. */
static void judge_some(const call *a, size_t first, const size_t *at, size_t have)
{
    if (have > 3 && a->fresh && !a->noise)
        judge_block(a, first, at, have);
    else if (have > 3)
        judge_compared(a, first, at, have);
    else
        for (size_t i = 0; i < have; i++)
            judge_one(a, at ? at[i] : first + i);
}

/* --- first derivatives that are plain ---------------------------------------------------------------------------------- */

/* Most elements end in their first round, or in the next. This ends those of them that are plain, or lets them grow or ask
 * for more nodes, by the rules above, with samples on both sides of x and all that is known of an element in registers.
 * The rest are left to the rules above, untouched. */
enum { FEW = 5, MORE = 6 }; /* nodes of the levels that it knows, beside the point itself */

/* out = w[0] * d[1] + w[1] * d[2] + ..., as `weigh` adds it */
INLINE double weighed(const double *w, const double *d, size_t few)
{
    double sum = w[0] * d[1] + w[1] * d[2] + w[2] * d[3] + w[3] * d[4];
    return few == FEW ? sum + w[4] * d[5] : sum + w[4] * d[5] + w[5] * d[6];
}

INLINE bool can_be_plain(const call *a)
{
    const level_table *t = &a->t;
    return a->outputs == 1 && t->n == 1 && t->offsets[0] * t->offsets[1] < 0.0 &&
           (a->base ? t->last == FEW && t->fallback && t->power > (double)FEW : t->last == MORE && !t->fallback);
}

enum { LEFT, ENDS, GROWS, EXTENDS };

/* What was known of elements before this round, and what comes of it. */
typedef struct {
    double samples[MORE + 1][LANES], scale[LANES], k[LANES], k_unit[LANES];
    double usual[LANES], alone[LANES];             /* 1: nothing is known that other rules mind; no smaller step settled */
    double noise[LANES];                           /* known before the first round */
    double hi[LANES], prev_k[LANES], prev_1[LANES], prev_2[LANES], prev_value[LANES], prev_error[LANES];
    double error[LANES], value[LANES], best_k[LANES]; /* the best so far, to be improved */
    double outcome[LANES], want[LANES];            /* want: log2 of the step that it grows to */
    double now_1[LANES], now_2[LANES], now_value[LANES], now_error[LANES], floor[LANES];
} plain;

/* The decay, and what it would be without the highest coefficient. */
INLINE double decay_of(const double *size, const double *stands, const size_t few, double *before_top)
{
    double decay = NONE;
    UNROLLED
    for (size_t q = 3; q <= few; q++) {
        double best = INFINITY;
        UNROLLED
        for (size_t j = 2; j < q; j++)
            best = smaller((size[q] - stands[j]) * (1.0 / (double)(q - j)), best);
        best = smaller((size[q] - stands[1]) * (1.0 / (double)(q - 1)), best);
        *before_top = decay;
        decay = (stands[q] > -INFINITY) & (best < INFINITY) ? larger(decay, best) : decay;
    }
    return decay;
}

/* Whether the highest is more than those before it predict. */
INLINE bool is_surprise(const double *size, const size_t few, double before_top)
{
    return size[few] > larger(size[few - 1] + before_top, size[few - 2] + 2.0 * before_top) + 2.0;
}

/* Whether the highest stand on a plateau, and how high above the roundoff. */
INLINE bool is_flat(const double *size, const double *norms, double lu, const size_t few, bool even, double *plateau)
{
    const double last = size[few] - norms[few] - lu, below = size[few - 1] - norms[few - 1] - lu;
    even = (last - (size[few - 2] - norms[few - 2] - lu) > -4.0) | (even & (last - below > -4.0));
    *plateau = larger(last, below);
    return (last > 4.0) & even & (size[1] - norms[1] - lu - *plateau > 3.0);
}

/* After the first level noise is heard, and counts at once. */
INLINE void look(plain *p, const call *a, const size_t few, const bool fresh, const bool base)
{
    enum { len = LANES };
    const level_table t = a->t;
    const double eps = a->eps, tolerance = tolerance_of(a), inverse = 1.0 / t.power;
    double weights[(MORE + 2) * MORE], norms[MORE + 1], contamination[MORE + 1];
    memcpy(weights, t.taylor, few * few * sizeof(double));
    memcpy(weights + few * few, t.row, few * sizeof(double));
    if (base)
        memcpy(weights + (few + 1) * few, t.fallback, few * sizeof(double));
    for (size_t q = 1; q <= few; q++) {
        norms[q] = t.norms[q - 1];
        contamination[q] = t.contamination[q - 1];
    }
    EACH {
        double d[MORE + 1], size[MORE + 1], seen[MORE + 1], stands[MORE + 1];
        const double k = p->k[i], here = p->samples[0][i];

        double largest = fabs(here);
        bool fine = largest <= DBL_MAX, still = true;
        UNROLLED
        for (size_t q = 1; q <= few; q++) {
            d[q] = p->samples[q][i];
            fine &= fabs(d[q]) <= DBL_MAX;
            largest = larger(fabs(d[q]), largest);
        }
        const double exponent = limited(exponent_field(largest) - (0x1p52 + 1023.0), 1000.0), factor = power(-exponent);
        const double roundoff = larger(eps * (largest * factor), power(larger(-1074.0 - exponent, -1022.0)));
        const double unscale = exponent - k, centre = here * factor;
        UNROLLED
        for (size_t q = 1; q <= few; q++) {
            d[q] = d[q] * factor - centre;
            still &= d[q] == 0.0;
        }

        double highest = 0.0, last = 0.0, before_last = 0.0;
        UNROLLED
        for (size_t q = 1; q <= few; q++) {
            before_last = last;
            last = weighed(weights + (q - 1) * few, d, few);
            size[q] = log2_of(last);
        }
        const double known = fresh && a->noise ? p->noise[i] * power(-exponent) : 0.0;
        double unit = larger(roundoff, known), lu = log2_of(unit), before_top = NONE, plateau = 0.0;
        bool flat = false, heard = false;
        if (!base) {
            UNROLLED
            for (size_t q = 1; q <= few; q++)
                stands[q] = size[q] > lu + norms[q] + 2.0 ? size[q] : -INFINITY;
            const double decay = decay_of(size, stands, few, &before_top);
            flat = is_flat(size, norms, lu, few, is_surprise(size, few, before_top), &plateau) & !(decay > t.no_decay) &
                   (p->alone[i] != 0.0);
            heard = flat & (plateau <= 16.0);
            unit = heard ? larger(roundoff, 0.7 * exp2_of(plateau + lu, true)) : roundoff;
            lu = log2_of(unit);
        }
        UNROLLED
        for (size_t q = 1; q <= few; q++) {
            const double noise = lu + norms[q];
            seen[q] = larger(size[q], noise);
            stands[q] = size[q] > noise + 2.0 ? size[q] : -INFINITY;
            highest = size[q] > noise + 2.0 ? (double)q : highest;
        }
        double total = weighed(weights + few * few, d, few);
        if (base) {
            const double spare = weighed(weights + (few + 1) * few, d, few);
            total = t.fallback_missed * fabs(last) <= unit ? spare : total;
        }

        const double decay = decay_of(size, stands, few, &before_top);
        double top = size[1], fall = 0.0; /* the highest that stands, and how those after it fall */
        UNROLLED
        for (size_t q = 2; q <= few && base; q++) {
            double best = INFINITY;
            UNROLLED
            for (size_t j = 2; j < q; j++)
                best = smaller((size[q] - stands[j]) * (1.0 / (double)(q - j)), best);
            const double edge = q < few ? lu + norms[q < few ? q + 1 : q] - size[q] : INFINITY;
            const double alone = q > 2 ? (size[q] - size[1]) * (1.0 / (double)(q - 1)) : edge;
            const bool stood = stands[q] > -INFINITY;
            top = stood ? size[q] : top;
            fall = stood ? smaller(best < INFINITY ? best : alone, edge) : fall;
        }

        const double slope = smaller(larger(decay, -26.0), 2.0), rounding = lu + t.norm;
        const double following = larger(seen[few], seen[few - 1] + slope) + slope;
        double truncation = t.missed + following, most = INFINITY;
        UNROLLED
        for (size_t q = 2; q <= few; q++)
            truncation = larger(truncation, contamination[q] + seen[q]);
        UNROLLED
        for (size_t q = 1; q <= few; q++)
            most = smaller((1.0 - stands[q]) * (1.0 / (double)q), most);
        double doubt = size[few] - norms[few] + t.norm;
        doubt = is_surprise(size, few, before_top) ? doubt + 3.0 : doubt;

        const bool bad = decay > t.no_decay;
        if (base)
            flat = is_flat(size, norms, lu, few, false, &plateau) & !bad;

        const double vague = doubt - rounding - VAGUE + tolerance;
        double excess = truncation - rounding;
        excess = (stands[few] > -INFINITY) | (stands[few - 1] > -INFINITY) ? excess : smaller(excess, 0.0);
        excess = doubt > rounding + VAGUE ? larger(excess, vague) : excess;

        const double value = total * power(unscale), floor = exp2_of(rounding + unscale, true);
        const double ulp = base && !(fresh && a->noise) ? floor : exp2_of(log2_of(roundoff) + t.norm + unscale, true);
        const double doubtful = doubt < FAINT ? 0.0 : exp2_of(larger(doubt, FAINT) + unscale, true);
        const double condition = smaller(1e12, fabs(p->scale[i]) * (fabs(value) / (largest > 0.0 ? largest : 1.0)));
        double error = SAFETY * floor;
        error = error + SAFETY * ulp * (condition > 1.0 ? sqrt(condition) : 0.0);
        error = error + SAFETY_TRUNCATION * exp2_of(truncation + unscale, true);
        error = error + (unit > roundoff ? 1.0 : SAFETY) * doubtful;

        bool usual = fine & !still & !bad & (fabs(unscale) < 600.0) & (fabs(truncation) < 100.0) &
                     (fabs(rounding) < 100.0) & ((fabs(doubt) < 100.0) | (doubt < FAINT));
        usual &= fresh ? true : p->usual[i] != 0.0;
        usual &= !(heard & (highest == 0.0) & (8.0 * unit * power(exponent) >= largest));
        usual &= !((known > 0.0) & (highest == 0.0));
        if (!fresh && base) {
            /* not where the round before says of the highest coefficients that they are noise, or of the value */
            const double fell = p->prev_k[i] - k, back = power(exponent);
            const double then_1 = p->prev_1[i] * power(limited(-(double)(few - 1) * fell, 1000.0));
            const double then_2 = p->prev_2[i] * power(limited(-(double)few * fell, 1000.0));
            const bool follows = (fabs(then_1) > fabs(before_last * back - then_1)) &
                                 (fabs(then_2) > fabs(last * back - then_2));
            usual &= ((fell < 2.0) | follows) & (fabs(value - p->prev_value[i]) <= 16.0 * (error + p->prev_error[i]));
        }
        usual &= heard | !flat;

        bool grows = false, extends = false;
        if (base) {
            const double reached = top + (t.power - highest) * larger(fall, -40.0);
            const double told = highest > 1.0 ? (rounding - (t.aim + reached)) * inverse : 0.0;
            const bool two = (stands[2] > -INFINITY) & (size[2] > size[1]);
            const double strength = larger((two ? size[2] : size[1]) - lu, 0.0), start_at = two ? 2.0 : 1.0;
            const double steps = larger(highest + 1.0 - start_at, 1.0);
            double hopeful = (-strength - t.aim + (t.power - start_at) * strength / steps) * inverse;
            hopeful = highest < t.power ? hopeful : 0.0;
            hopeful = highest < start_at ? 8.0 : hopeful;
            const bool faint = (highest == 2.0) & ((fall > SHALLOW) | (unit > roundoff));
            hopeful = (highest < 2.0) | faint ? larger(hopeful, EXPLORE) : hopeful;
            const double growth = whole_below(smaller(larger(told, smaller(hopeful, 12.0)), smaller(most, 24.0)));
            const double gain = (strength < -0.5 * lu) & (unit <= roundoff) ? GAIN - 1.0 : GAIN, hi = p->hi[i];
            grows = (growth >= gain) & (hi - k >= gain) & !(rounding - log2_of(total) <= t.exact);
            const double unknown = (k < p->k_unit[i] - growth) & (highest < 2.0) ? p->k_unit[i] : k + growth;
            const double up = highest == 3.0 ? k + (growth - 1.0) : unknown;
            p->want[i] = up >= hi ? whole_below((k + hi) / 2.0) : up;

            const double more = t.more[0], slack = TOLERANCE + (more == 1.0 ? 1.0 : 0.0);
            extends = (t.more_missed[0] + following + more * slope <= rounding + slack) &
                      (following + (more - 1.0) * slope + t.more_gain[0] <= rounding + VAGUE) & (t.later == 1);
            p->now_1[i] = before_last * power(exponent);
            p->now_2[i] = last * power(exponent);
        }
        const bool settled = excess <= tolerance, sure = fresh | (fabs(value) > error);
        double outcome = settled & !grows ? ENDS : LEFT;
        outcome = settled & grows & sure ? GROWS : outcome;
        outcome = (excess > tolerance) & extends & sure ? EXTENDS : outcome;
        p->outcome[i] = usual ? outcome : LEFT;

        double best = p->error[i];
        if (!base) {
            const double least = times_exp2(SAFETY * unit * power(exponent), t.norm - p->best_k[i], false);
            best = heard & (best < INFINITY) ? larger(best, least) : best;
        }
        const bool better = fresh ? true : error < best;
        p->error[i] = better ? error : best;
        p->value[i] = better ? value : p->value[i];
        p->best_k[i] = better ? k : p->best_k[i];
        p->now_value[i] = value;
        p->now_error[i] = error;
        p->floor[i] = floor;
    }
}

INLINE void keep(const plain *p, const call *a, size_t i, size_t element, const bool fresh)
{
    a->error[element] = p->error[i];
    a->value[element] = p->value[i];
    a->log_h[element] = p->best_k[i];
    a->status[element] = p->outcome[i] == ENDS ? CONVERGED : RUNNING;
    if (p->outcome[i] == ENDS)
        return;
    double *s = a->state + element * FIELDS;
    const bool grows = p->outcome[i] == GROWS;
    if (grows)
        s[LO] = fresh ? p->k[i] : larger(s[LO], p->k[i]);
    s[ROUNDS] = fresh ? 1.0 : s[ROUNDS] + 1.0;
    s[FLOOR] = fresh || s[FLOOR] == INFINITY ? p->floor[i] : s[FLOOR];
    s[PREV_K] = p->k[i];
    s[PREV_C1] = p->now_1[i];
    s[PREV_C2] = p->now_2[i];
    s[PREV_VALUE] = s[LAST_VALUE] = p->now_value[i];
    s[PREV_ERROR] = p->now_error[i];
    s[PREV_FLAGS] = 0.0;
    s[FIRST_K] = fresh ? p->k[i] : larger(s[FIRST_K], p->k[i]);
    s[ERROR] = p->error[i];
    s[VALUE] = p->value[i];
    s[K] = p->best_k[i];
    s[STATUS] = RUNNING;
    s[WANT_K] = grows ? p->want[i] : p->k[i];
    s[WANT_LEVEL] = grows ? 0.0 : 1.0;
    s[WANT_SIDE] = (double)a->side;
}

/* The fresh elements first to first + LANES, or those at `at`. Those that are left go to `left`; returns how many. */
INLINE size_t look_first(const call *a, size_t first, const size_t *at, size_t *left)
{
    plain p;
    size_t count = 0;
    uint64_t all = 0;
    enum { len = LANES };
    if (at) {
        EACH {
            const size_t e = at[i];
            UNROLLED
            for (size_t q = 0; q <= FEW; q++)
                p.samples[q][i] = a->samples[q * a->count + e];
            p.scale[i] = a->scale[e];
            p.k[i] = a->k[e];
            p.k_unit[i] = unit_of(a, e);
            p.hi[i] = cap_of(a, a->side, e) + 1.0;
            p.noise[i] = noise_of(a, e);
        }
    } else {
        for (size_t q = 0; q <= FEW; q++)
            memcpy(p.samples[q], a->samples + q * a->count + first, sizeof p.scale);
        memcpy(p.scale, a->scale + first, sizeof p.scale);
        memcpy(p.k, a->k + first, sizeof p.k);
        EACH {
            p.k_unit[i] = unit_of(a, first + i);
            p.hi[i] = cap_of(a, a->side, first + i) + 1.0;
            p.noise[i] = noise_of(a, first + i);
        }
    }
    look(&p, a, FEW, true, true);
    double statuses[LANES];
    EACH statuses[i] = p.outcome[i] == ENDS ? CONVERGED : RUNNING;
    EACH all |= bits_of(p.outcome[i] - ENDS);
    if (at) {
        EACH {
            a->value[at[i]] = p.value[i];
            a->error[at[i]] = p.error[i];
            a->log_h[at[i]] = p.k[i];
            a->status[at[i]] = statuses[i];
        }
    } else {
        memcpy(a->value + first, p.value, sizeof p.value);
        memcpy(a->error + first, p.error, sizeof p.error);
        memcpy(a->log_h + first, p.k, sizeof p.k);
        memcpy(a->status + first, statuses, sizeof statuses);
    }
    if (!all)
        return 0;
    double untouched[FIELDS];
    for (size_t f = 0; f < FIELDS; f++)
        untouched[f] = initial(f);
    for (size_t i = 0; i < LANES; i++) {
        const size_t e = at ? at[i] : first + i;
        left[count] = e;
        count += p.outcome[i] == LEFT;
        if (p.outcome[i] == ENDS || p.outcome[i] == LEFT)
            continue;
        memcpy(a->state + e * FIELDS, untouched, sizeof untouched);
        a->state[e * FIELDS + HI] = p.hi[i];
        a->state[e * FIELDS + SIGMA] = p.noise[i];
        keep(&p, a, i, e, true);
    }
    return count;
}

/* The elements at `at`, so many, in a later round. */
INLINE size_t look_again(const call *a, const size_t *at, size_t have, size_t *left, const size_t few, const bool base)
{
    plain p;
    size_t count = 0;
    for (size_t i = 0; i < LANES; i++) {
        const size_t element = at[i < have ? i : 0];
        const double *s = a->state + element * FIELDS;
        for (size_t q = 0; q <= few; q++)
            p.samples[q][i] = a->samples[q * a->count + element];
        p.scale[i] = a->scale[element];
        p.k[i] = a->k[element];
        if (base) { /* the round before is compared with */
            p.k_unit[i] = unit_of(a, element);
            p.hi[i] = s[HI];
            p.prev_k[i] = s[PREV_K];
            p.prev_1[i] = s[PREV_C1];
            p.prev_2[i] = s[PREV_C2];
            p.prev_value[i] = s[PREV_VALUE];
            p.prev_error[i] = s[PREV_ERROR];
        }
        p.error[i] = a->error[element];
        p.value[i] = a->value[element];
        p.best_k[i] = a->log_h[element];
        const bool compares = (s[PREV_FLAGS] == 0.0) & (s[PREV_K] < INFINITY) & (s[ROUNDS] + 1.0 < ROUNDS_MAX);
        p.usual[i] = (s[SIGMA] == 0.0) & (s[ZEROS] == 0.0) & (base ? compares : true) ? 1.0 : 0.0;
        p.alone[i] = s[LO] == -INFINITY ? 1.0 : 0.0;
    }
    look(&p, a, few, false, base);
    for (size_t i = 0; i < have; i++) {
        left[count] = at[i];
        count += p.outcome[i] == LEFT;
        if (p.outcome[i] != LEFT)
            keep(&p, a, i, at[i], false);
    }
    return count;
}

static size_t look_at_more(const call *a, const size_t *at, size_t have, size_t *left)
{
    return a->base ? look_again(a, at, have, left, FEW, true) : look_again(a, at, have, left, MORE, false);
}

/* --- first derivatives that end at once --------------------------------------------------------------------------------- */

/* Where nothing but the value is wanted, most elements need no error bar and no next step: it suffices to know that the
 * rules above end them. Of samples that fall as they should, this needs a few comparisons of logarithms, all of them with
 * a margin: where it is close the rules themselves decide. What is not compared follows from the rest, for the tables that
 * pass `limits_of`: where the third stands and falls from the second, that one stands; a growth that `strength` alone hopes
 * for takes more of it than what falls so fast can have.
 *
 * The logarithm of a number is its bits: they are `log2_of` but for a constant, with room for small multiples. */
#define OCTAVE (INT64_C(1) << 49)
#define OCTAVES(x) ((int64_t)((x) * 0x1p49))
#define MARGIN 0x1p-20

INLINE int64_t log_bits(double x) { return (int64_t)(bits_of(x) << 1 >> 4); }
INLINE int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t size_of(int64_t a) { return a < 0 ? -a : a; }

/* What the logarithms are compared with. */
typedef struct {
    bool applies;
    int64_t noise[FEW + 1], stands[FEW + 1]; /* of each coefficient, above that of a sample, as are the next four */
    int64_t vague, settled, grows, strong;
    int64_t margin, even, surprise, no_decay;
} limits;

static limits limits_of(const call *a)
{
    const level_table *t = &a->t;
    limits l = {.applies = false};
    if (!can_be_plain(a) || !a->base || memcmp(t->row, t->taylor, FEW * sizeof(double)) != 0)
        return l;
    l.applies = true;
    for (size_t q = 1; q <= FEW; q++) {
        l.noise[q] = OCTAVES(t->norms[q - 1]);
        l.stands[q] = OCTAVES(t->norms[q - 1] + 2.0);
        l.applies &= q < 2 || t->contamination[q - 1] <= NONE;
    }
    l.margin = OCTAVES(MARGIN);
    l.even = OCTAVES(t->norms[FEW - 1] - t->norms[FEW - 3] - 4.0 - MARGIN);
    l.vague = OCTAVES(t->norms[FEW - 1] + VAGUE - MARGIN);
    l.surprise = OCTAVES(2.0 * (2.0 - MARGIN));
    l.settled = OCTAVES(t->norm + tolerance_of(a) - t->missed - MARGIN);
    l.grows = OCTAVES(t->norm - t->aim - t->power * GAIN + MARGIN);
    l.strong = OCTAVES(-0.5 * log2_of(a->eps) + MARGIN);
    l.no_decay = OCTAVES(t->no_decay - MARGIN);
    return l;
}

/* Of `len` fresh elements from the first one on, at most CHUNK and a multiple of LANES, the values of those that end, and which
 * others there are, into `rest`; returns how many. */
static size_t end_some(const call *a, const limits *l, size_t first, size_t len, size_t *rest)
{
    static const double silence[CHUNK] = {0}; /* no noise is known */
    double value[CHUNK], status[CHUNK], weights[FEW * FEW], spare[FEW];
    uint64_t others[CHUNK]; /* as wide as a double, so that its loops are vectorised */
    const limits m = *l;
    const double eps = a->eps, fallback_missed = a->t.fallback_missed;
    const double *const samples = a->samples + first, *const k = a->k + first;
    const double *const noise = a->noise ? a->noise + first : silence;
    const size_t stride = a->count;
    memcpy(weights, a->t.taylor, sizeof weights);
    memcpy(spare, a->t.fallback, sizeof spare);
    EACH {
        double d[FEW + 1], c[FEW + 1], largest = fabs(samples[i]);
        int64_t s[FEW + 1];
        UNROLLED
        for (size_t q = 1; q <= FEW; q++) {
            largest = larger(fabs(samples[q * stride + i]), largest);
            d[q] = samples[q * stride + i] - samples[i];
        }
        UNROLLED
        for (size_t q = 1; q <= FEW; q++)
            c[q] = weighed(weights + (q - 1) * FEW, d, FEW);
        const double unit = larger(eps * largest, noise[i]);
        UNROLLED
        for (size_t q = 1; q <= FEW; q++)
            s[q] = log_bits(c[q]) - log_bits(unit);
        const bool fourth = s[4] > m.stands[4], fifth = s[5] > m.stands[5];

        const int64_t fall_3 = s[3] - s[2], fall_4 = s[4] - s[3], fall_5 = s[5] - s[4];
        int64_t decay = fourth ? larger_of(fall_3, fall_4) : fall_3;
        decay = fifth ? larger_of(decay, fall_5) : decay;
        const int64_t missed = decay + larger_of(larger_of(s[5], m.noise[5]), larger_of(s[4], m.noise[4]) + decay);
        const int64_t settles = fourth ? missed : m.settled - OCTAVE;

        /* how low those beyond the highest that stands may lie; where the fifth stands, and the rest holds, h need not grow */
        const int64_t reached_4 = smaller_of(s[4] + fall_4 + fall_4, s[4] + s[4] - s[2]);
        const int64_t reached_3 = smaller_of(s[3] + fall_3 + fall_3 + fall_3, 3 * m.noise[4] - s[3] - s[3]);
        const int64_t reached = fourth ? reached_4 : reached_3, stays = fifth ? m.grows + OCTAVE : reached;

        /* the fifth is no noise where it lies below the third, and no surprise where the lower ones predict it */
        const int64_t predicted = s[4] + s[4] + smaller_of(fall_3 + fall_3, s[3] - s[1]) + m.surprise;
        const int64_t fifth_most = smaller_of(s[3] + m.even, s[5] + s[5] < predicted ? m.vague : m.vague - 3 * OCTAVE);

        /* by how much what has to be larger is so, at least: one comparison at the end instead of eight in a chain */
        const int64_t sure = smaller_of(smaller_of(size_of(s[4] - m.stands[4]), size_of(s[5] - m.stands[5])),
                                        s[3] - m.stands[3]) - m.margin;
        const int64_t goes_on = smaller_of(smaller_of(m.settled - settles, stays - m.grows), m.no_decay - decay);
        const int64_t clear = smaller_of(s[1] - m.strong, (fourth ? fifth_most : m.stands[5]) - s[5]);
        const bool usual = (largest > 0x1p-300) & (largest < 0x1p300) & (fabs(k[i]) < 300.0);
        const bool ends = (smaller_of(smaller_of(sure, goes_on), clear) > 0) & usual;
        const double other = weighed(spare, d, FEW), total = fallback_missed * fabs(c[5]) <= unit ? other : c[1];
        value[i] = total * power(-k[i]);
        status[i] = ends ? CONVERGED : RUNNING;
        others[i] = ends ? 0 : 1;
    }
    memcpy(a->value + first, value, len * sizeof *value);
    memcpy(a->status + first, status, len * sizeof *status);
    enum { FEW_LANES = 8 }; /* passed over together, where all end */
    _Static_assert(LANES % FEW_LANES == 0, "no lane is left");
    size_t count = 0;
    for (size_t at = 0; at < len; at += FEW_LANES) {
        uint64_t any = 0;
        for (size_t i = at; i < at + FEW_LANES; i++)
            any |= others[i];
        for (size_t i = at; any && i < at + FEW_LANES; i++) {
            rest[count] = first + i;
            count += others[i];
        }
    }
    return count;
}

/* --- the kernels ------------------------------------------------------------------------------------------------------ */

static void by_octave(const double *scale, const double *table, double *out, size_t lanes)
{
    for (size_t i = 0; i < lanes; i++)
        out[i] = table[(bits_of(scale[i]) + HALF_OCTAVE) >> 52];
}

static int start(const double *scale, const double *k_unit, size_t units, const double *over, size_t overs, double close,
                 double *k, double *k_least, size_t lanes)
{
    uint64_t odd = 0;
    for (size_t i = 0; i < lanes; i++) {
        const double size = fabs(scale[i]), rounded = exponent_field(size * 0.7071067811865476) - (0x1p52 + 1022.0);
        const double first = smaller(larger(rounded + over[overs > 1 ? i : 0], SMALLEST), LARGEST), least = least_of(size);
        const double step = larger(first, least);
        k[i] = step;
        k_least[i] = least;
        odd |= (size > 0.0) & (size <= DBL_MAX) & (step - least >= close) ? 0 : 1;
    }
    for (size_t i = 0; i < lanes && odd; i++)
        k[i] = scale[i] == 0.0 ? larger(k_unit[units > 1 ? i : 0], k_least[i]) : k[i];
    return odd == 0;
}

static void powers(const double *k, double *h, size_t lanes)
{
    for (size_t i = 0; i < lanes; i++)
        h[i] = k[i] >= -1022.0 ? power(k[i]) : power(k[i] + 100.0) * 0x1p-100;
}

/* `len` lanes, at most LANES; rows of samples are `stride` numbers apart. */
INLINE void believe_some(const double *weights, size_t nodes, const double *samples, size_t stride, double *noise, size_t len)
{
    double size[LANES] = {0};
    for (size_t q = 1; q <= nodes; q++)
        EACH size[i] = size[i] + weights[q - 1] * (samples[q * stride + i] - samples[i]);
    EACH noise[i] = (fabs(size[i]) >= DOUBT * noise[i]) & (fabs(size[i]) <= DBL_MAX) ? noise[i] : 0.0;
}

static void believe(const double *weights, size_t nodes, const double *samples, const ptrdiff_t *which, size_t chosen,
                    double *noise, size_t lanes)
{
    for (size_t first = 0; first < chosen; first += LANES) {
        const size_t have = chosen - first < LANES ? chosen - first : LANES;
        if (!which && have == LANES)
            believe_some(weights, nodes, samples + first, lanes, noise + first, LANES);
        else if (!which)
            believe_some(weights, nodes, samples + first, lanes, noise + first, have);
        else {
            double picked[MAX_NODES * LANES], told[LANES];
            for (size_t i = 0; i < have; i++) {
                for (size_t q = 0; q <= nodes; q++)
                    picked[q * LANES + i] = samples[q * lanes + (size_t)which[first + i]];
                told[i] = noise[which[first + i]];
            }
            believe_some(weights, nodes, picked, LANES, told, have);
            for (size_t i = 0; i < have; i++)
                noise[which[first + i]] = told[i];
        }
    }
}

/* Judges as many of the elements that wait as fill a block, if they do; returns how many still wait. */
static size_t judge_full(const call *a, const size_t *left, size_t waiting)
{
    if (waiting < LANES)
        return waiting;
    judge_some(a, 0, left + waiting - LANES, LANES);
    return waiting - LANES;
}

static void control(const double *table, const double *samples, double eps, const double *scale, const double *k,
                    const double *k_unit, size_t units, const double *caps, size_t cap_row, const double *noise, int side,
                    int level, int fresh, int whole, const ptrdiff_t *which, size_t chosen, double *state,
                    double *results, size_t stride, size_t lanes, size_t outputs)
{
    const call a = {
        .t = unpack(table), .samples = samples, .scale = scale, .k = k, .k_unit = k_unit, .caps = caps,
        .noise = fresh ? noise : NULL,
        .unit_step = units > 1, .cap_row = cap_row, .cap_step = cap_row > 1, .eps = eps, .side = side,
        .base = level == 0, .fresh = fresh, .level = level,
        .lanes = lanes, .outputs = outputs, .count = lanes * outputs, .which = which, .state = state,
        .error = results, .value = results + stride, .log_h = results + 2 * stride, .status = results + 3 * stride,
    };
    const size_t all = which ? chosen * outputs : a.count;
    const bool plainly = can_be_plain(&a);
    const bool in_order = fresh && !which; /* elements in a row */
    const limits l = whole || !in_order ? (limits){.applies = false} : limits_of(&a);
    size_t rest[CHUNK + LANES], open = 0; /* elements that may go on */
    size_t left[2 * LANES], waiting = 0;  /* elements that are not plain */
    size_t first = 0;
    for (size_t some; l.applies && all - first >= LANES; first += some) {
        some = all - first < CHUNK ? (all - first) / LANES * LANES : CHUNK;
        open += end_some(&a, &l, first, some, rest + open);
        for (; open >= LANES; open -= LANES) {
            waiting += look_first(&a, 0, rest + open - LANES, left + waiting);
            waiting = judge_full(&a, left, waiting);
        }
    }
    for (; first < all; first += LANES) {
        size_t have = all - first < LANES ? all - first : LANES, at[LANES], count = 0;
        if (in_order && !(plainly && have == LANES)) {
            judge_some(&a, first, NULL, have);
            continue;
        }
        for (size_t i = 0; i < have && !in_order; i++) {
            at[count] = place(&a, first + i);
            count += running(&a, at[count]);
        }
        if (in_order)
            waiting += look_first(&a, first, NULL, left + waiting);
        else if (plainly && !a.fresh && count)
            waiting += look_at_more(&a, at, count, left + waiting);
        else
            for (size_t i = 0; i < count; i++)
                left[waiting++] = at[i];
        waiting = judge_full(&a, left, waiting);
    }
    judge_some(&a, 0, left, waiting);
    judge_some(&a, 0, rest, open);
}

#define WANTS(e, field) state[(e) * FIELDS + (field)]

static size_t next_round(const double *state, const double *status, const double *scale, double close, double *k,
                         ptrdiff_t *order, ptrdiff_t *work, double *h, size_t going, size_t *counts, size_t outputs)
{
    enum { KINDS = 16, BITS = 5 };
    size_t ends[KINDS], left = 0, end = 0;
    for (size_t i = 0; i < KINDS; i++)
        counts[i] = 0;
    for (size_t i = 0; i < going; i++) {
        const size_t lane = (size_t)order[i], first = lane * outputs;
        size_t best = first;
        for (size_t e = first + 1; e < first + outputs; e++)
            if (status[e] == RUNNING && (status[best] != RUNNING || WANTS(e, WANT_K) < WANTS(best, WANT_K)))
                best = e;
        if (status[best] != RUNNING)
            continue;
        const double side = WANTS(best, WANT_SIDE), next = WANTS(best, WANT_K);
        const size_t place = side > 0.0 ? 1 : side < 0.0 ? 2 : next - least_of(scale[lane]) < close ? 3 : 0;
        const size_t kind = 4 * place + (size_t)WANTS(best, WANT_LEVEL);
        k[lane] = next;
        counts[kind]++;
        work[left++] = (ptrdiff_t)(lane << BITS | kind);
    }
    for (size_t i = 0; i < KINDS; i++) {
        ends[i] = end;
        end += counts[i];
    }
    for (size_t i = 0; i < left; i++) {
        const size_t lane = (size_t)work[i] >> BITS, to = ends[work[i] & ((1 << BITS) - 1)]++;
        order[to] = (ptrdiff_t)lane;
        h[to] = k[lane];
    }
    powers(h, h, left);
    return left;
}

INLINE size_t gather_lanes(const fd_lanes *from, const fd_lanes *to, size_t first, ptrdiff_t *which, size_t at,
                           const size_t outputs)
{
    const size_t row = outputs * sizeof(double);
    const double *status = from->results + 3 * from->stride;
    for (size_t lane = 0; lane < from->lanes; lane++) {
        bool running = false;
        for (size_t e = 0; e < outputs; e++)
            running |= status[lane * outputs + e] == RUNNING;
        if (!running)
            continue;
        which[at] = (ptrdiff_t)(first + lane);
        to->scale[at] = from->scale[lane];
        to->k[at] = from->k[lane];
        if (to->units > 1)
            to->k_unit[at] = from->k_unit[from->units > 1 ? lane : 0];
        for (size_t i = 0; i < 3 && to->cap_row > 1; i++)
            to->caps[i * to->cap_row + at] = from->caps[i * from->cap_row + (from->cap_row > 1 ? lane : 0)];
        const double *state = from->state + lane * outputs * FIELDS;
        const bool same_step = outputs > 1 || state[WANT_LEVEL] > 0.0;
        for (size_t q = 0; q < (same_step ? from->nodes : 1); q++)
            memcpy(to->samples + (q * to->lanes + at) * outputs, from->samples + (q * from->lanes + lane) * outputs, row);
        for (size_t i = 0; i < 4; i++)
            memcpy(to->results + i * to->stride + at * outputs, from->results + i * from->stride + lane * outputs, row);
        memcpy(to->state + at * outputs * FIELDS, state, FIELDS * row);
        at++;
    }
    return at;
}

static size_t gather(const fd_lanes *from, const fd_lanes *to, size_t first, ptrdiff_t *which, size_t at)
{
    return from->outputs == 1 ? gather_lanes(from, to, first, which, at, 1)
                              : gather_lanes(from, to, first, which, at, from->outputs);
}

const fd_control_kernels FD_NAME(fd_control) = {
    .by_octave = by_octave,
    .start = start,
    .powers = powers,
    .believe = believe,
    .control = control,
    .next_round = next_round,
    .gather = gather,
};
