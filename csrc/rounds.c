/* Rounds of recorded programs: what _span of src/fastdiff/estimation.py does, tile by tile, for lanes that have company. */
#include "fastdiff.h"

#include <stdint.h>
#include <string.h>

extern const fd_control_kernels FD_NAME(fd_control);
extern const fd_program_kernels FD_NAME(fd_program);
#define CONTROL FD_NAME(fd_control)
#define PROGRAM FD_NAME(fd_program)

#ifdef __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)0)
#endif

enum { RUNNING = 0, LEFT_OUT = -1, VALUE = 1, STATUS = 3, RESULTS = 4, KINDS = 16 };
enum { LINE = 8 };     /* numbers in a line of the cache */
enum { COMPANY = 32 }; /* lanes of one kind that are worth a round; fewer go on with those of other tiles */

/* A tile of lanes, and room for what they need. */
typedef struct {
    fd_lanes lanes;
    double *least, *h, *sampled, *picked; /* picked: rows of inputs at chosen lanes, next to each other */
    double *noise;                        /* known beforehand, or NULL */
    ptrdiff_t *order, *space;
    size_t first;
} tile;

static tile make_room(const fd_rounds *r, double *work, ptrdiff_t *places)
{
    const size_t nodes = r->level[r->levels - 1].nodes, n = r->tile;
    tile t = {.least = work, .h = work + n, .sampled = work + 2 * n, .order = places, .space = places + n};
    t.lanes = (fd_lanes){.k = work + 3 * n, .samples = work + 4 * n, .outputs = 1, .nodes = nodes, .units = 1};
    t.lanes.results = t.lanes.samples + nodes * n;
    t.lanes.state = t.lanes.results + RESULTS * n;
    t.noise = r->noise ? t.lanes.state + FD_STATE * n : NULL;
    t.picked = t.lanes.state + (FD_STATE + 1) * n;
    t.lanes.k_unit = (double *)r->k_unit;
    t.lanes.caps = (double *)r->caps;
    t.lanes.cap_row = r->cap_row;
    return t;
}

/* The chosen lanes, or with `which` NULL all of them, which are fresh. */
static void judge(const fd_rounds *r, const tile *t, size_t level, const ptrdiff_t *which, size_t chosen)
{
    const fd_lanes *a = &t->lanes;
    CONTROL.control(r->level[level].table, a->samples, r->eps, a->scale, a->k, a->k_unit, 1, a->caps, a->cap_row,
                    t->noise, r->side, (int)level, which == NULL, r->whole, which, chosen, a->state, a->results,
                    a->stride, a->lanes, 1);
}

static size_t place_of(int side) { return side > 0 ? 1 : side < 0 ? 2 : 0; }

static int is_finite(double value)
{
    const uint64_t top = UINT64_C(0x7ff0000000000000);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & top) != top;
}

static int all_finite(const double *a, size_t n)
{
    int lost = 0;
    for (size_t i = 0; i < n; i++)
        lost |= !is_finite(a[i]);
    return !lost;
}

/* Whether the first step of a lane is larger than it has room for. */
static int beyond(const fd_lanes *a, int side, size_t i)
{
    return a->k[i] > a->caps[place_of(side) * a->cap_row + (a->cap_row > 1 ? i : 0)];
}

static int any_beyond(const fd_lanes *a, int side)
{
    int any = 0;
    for (size_t i = 0; i < a->lanes; i++)
        any |= beyond(a, side, i);
    return any;
}

/* The first round of n lanes; returns how many run. Those that are odd stay where they are, and have ended. */
static size_t begin(const fd_rounds *r, tile *t, size_t lo, size_t n, ptrdiff_t *odd, size_t *odds)
{
    const fd_level *level = r->level;
    const fd_steps steps = {.h = (const char *)t->h, .h_lane = sizeof(double)};
    const size_t before = *odds;
    t->first = lo;
    t->lanes.scale = (double *)r->scale + lo;
    t->lanes.lanes = t->lanes.stride = n;
    if (r->cap_row > 1)
        t->lanes.caps = (double *)r->caps + (lo - r->first_cap);
    if (r->overs > 1)
        CONTROL.by_octave(t->lanes.scale, r->over, t->lanes.k, n);
    if (t->noise)
        CONTROL.by_octave(t->lanes.scale, r->noise, t->noise, n);
    const double *over = r->overs > 1 ? t->lanes.k : r->over;
    const int usual = CONTROL.start(t->lanes.scale, r->k_unit, 1, over, r->overs > 1 ? n : 1, r->close, t->lanes.k,
                                    t->least, n) && !any_beyond(&t->lanes, r->side);
    CONTROL.powers(t->lanes.k, t->h, n);
    PROGRAM.begin(r->program, r->inputs, r->spaces, lo, n);
    PROGRAM.sample(r->program, r->spaces, 0, &steps, 0, 0, n, t->lanes.samples);
    if (!usual || !all_finite(t->lanes.samples, n))
        for (size_t i = 0; i < n; i++) {
            const double scale = t->lanes.scale[i];
            if (scale != 0 && is_finite(scale) && is_finite(t->lanes.samples[i]) && t->lanes.k[i] - t->least[i] >= r->close &&
                !beyond(&t->lanes, r->side, i))
                continue;
            odd[(*odds)++] = (ptrdiff_t)(lo + i);
            t->h[i] = 0; /* it is sampled along with the others, at x, and does not count */
        }
    for (size_t i = 1; i < level->nodes; i++)
        PROGRAM.sample(r->program, r->spaces, 0, &steps, level->offsets[i], 0, n, t->lanes.samples + i * n);
    if (t->noise)
        CONTROL.believe(level->highest, level->nodes - 1, t->lanes.samples, NULL, n, t->noise, n);
    judge(r, t, 0, NULL, 0);
    for (size_t i = before; i < *odds; i++)
        t->lanes.results[STATUS * n + ((size_t)odd[i] - lo)] = LEFT_OUT;
    return n - (*odds - before);
}

/* One number of each chosen lane, from data with a stride, next to each other. */
static void pick(const char *data, intptr_t stride, const ptrdiff_t *which, size_t chosen, double *out)
{
    for (size_t i = 0; i < chosen; i++)
        memcpy(out + i, data + which[i] * stride, sizeof *out);
}

/* Another round of some lanes, which want the nodes of this level at steps h. */
static size_t go_on(const fd_rounds *r, tile *t, size_t level, const ptrdiff_t *which, size_t chosen, const double *h)
{
    const fd_steps steps = {.h = (const char *)h, .h_lane = sizeof(double)};
    const size_t known = level ? r->level[level - 1].nodes : 1, nodes = r->level[level].nodes;
    double *room = t->picked;
    for (size_t i = 0; i < r->program->inputs; i++) {
        const fd_input *from = r->inputs + i;
        fd_input *to = r->picked + i;
        *to = *from;
        if (!from->lane)
            continue;
        to->data = (const char *)room;
        to->lane = sizeof(double);
        to->element = (intptr_t)(chosen * sizeof(double));
        const char *data = from->data + (intptr_t)t->first * from->lane;
        for (int64_t e = 0; e < from->elements; e++, data += from->element, room += chosen)
            pick(data, from->lane, which, chosen, room);
    }
    PROGRAM.begin(r->program, r->picked, r->spaces, 0, chosen);
    for (size_t i = known; i < nodes; i++) {
        double *samples = t->lanes.samples + i * t->lanes.lanes;
        PROGRAM.sample(r->program, r->spaces, 0, &steps, r->level[level].offsets[i], 0, chosen, t->sampled);
        for (size_t j = 0; j < chosen; j++)
            samples[which[j]] = t->sampled[j];
    }
    judge(r, t, level, which, chosen);
    return (nodes - known) * chosen;
}

/* The lanes that go on, in order. */
static size_t going_on(const double *status, size_t n, ptrdiff_t *order)
{
    enum { MANY = 16 };
    size_t going = 0;
    for (size_t first = 0; first < n; first += MANY) {
        const size_t end = first + MANY < n ? first + MANY : n;
        uint64_t any = end - first < MANY; /* as wide as a double, so that its loop is vectorised */
        if (!any)
            for (size_t i = 0; i < MANY; i++)
                any |= status[first + i] == RUNNING ? UINT64_C(1) : 0;
        for (size_t i = first; any && i < end; i++) {
            order[going] = (ptrdiff_t)i;
            going += status[i] == RUNNING;
        }
    }
    return going;
}

/* Rounds of the lanes that go on with enough others of their kind. Returns how many are left. */
static size_t finish(const fd_rounds *r, tile *t, size_t *nfev)
{
    const size_t place = place_of(r->side);
    const double *status = t->lanes.results + STATUS * t->lanes.stride;
    size_t going = going_on(status, t->lanes.lanes, t->order), made = going;
    while (made) {
        size_t counts[KINDS], end = 0;
        going = CONTROL.next_round(t->lanes.state, status, t->lanes.scale, r->close, t->lanes.k, t->order, t->space,
                                   t->h, going, counts, 1);
        made = 0;
        for (size_t kind = 0; kind < KINDS; kind++) {
            const size_t from = end;
            end += counts[kind];
            if (kind / 4 == place && kind % 4 < r->levels && counts[kind] >= COMPANY)
                made += go_on(r, t, kind % 4, t->order + from, counts[kind], t->h + from);
        }
        *nfev += made;
    }
    return going;
}

static size_t make(const fd_rounds *r, size_t lo, size_t hi, double *work, ptrdiff_t *places, const fd_lanes *late,
                   ptrdiff_t *which, size_t *count, ptrdiff_t *odd, size_t *odds, size_t *nfev)
{
    tile t = make_room(r, work, places);
    while (lo < hi && *count < r->enough && *odds < r->enough) {
        const size_t n = hi - lo < r->tile ? hi - lo : r->tile;
        for (size_t i = lo + n; i < hi && i < lo + 2 * n; i += LINE)
            PREFETCH(r->scale + i); /* of the next tile: a twentieth of the time of a cheap function */
        *nfev += begin(r, &t, lo, n, odd, odds) * r->level->nodes;
        const size_t left = finish(r, &t, nfev);
        for (size_t row = 0; row < RESULTS; row++)
            if (r->whole || row == VALUE)
                memcpy(r->found + (r->whole ? row : 0) * r->stride + lo, t.lanes.results + row * n, n * sizeof(double));
        if (left)
            *count = CONTROL.gather(&t.lanes, late, lo, which, *count);
        lo += n;
    }
    return lo;
}

const fd_rounds_kernels FD_NAME(fd_rounds) = {
    .make = make,
};
