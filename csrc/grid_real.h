/* The kernels of grid.c for one real type. grid.c includes this file once per type, with REAL and FD_TYPED defined. */

#ifdef __GNUC__
typedef REAL FD_TYPED(vec) __attribute__((vector_size(FD_VECTOR), aligned(sizeof(REAL)), may_alias));
#else
typedef REAL FD_TYPED(vec);
#endif
#define VEC FD_TYPED(vec)
#define LANES (sizeof(VEC) / sizeof(REAL))

/* Where a run of results goes and what it starts from: out[r * so] = from[r * sf] + estimate, without `from` if NULL. */
typedef struct {
    REAL *out;
    const REAL *from;
    ptrdiff_t so, sf;
    ptrdiff_t ahead; /* from the sample next to a result to the one that the next tile will want */
    int stream;      /* store past the caches; only asked for where so == 1 */
} FD_TYPED(target);
#define TARGET FD_TYPED(target)

static FD_INLINE void FD_TYPED(put)(const TARGET *t, size_t r, REAL s)
{
    t->out[(ptrdiff_t)r * t->so] = t->from ? t->from[(ptrdiff_t)r * t->sf] + s : s;
}

static FD_INLINE void FD_TYPED(put_vec)(const TARGET *t, size_t r, VEC s)
{
    if (t->from)
        s = *(const VEC *)(t->from + r) + s;
    if (t->stream)
        FD_STREAM(t->out + r, s);
    else
        *(VEC *)(t->out + r) = s;
}

/* How many results to do one by one before vectors may be stored: streaming stores want aligned addresses. */
static FD_INLINE size_t FD_TYPED(lead)(const TARGET *t, size_t count)
{
    size_t lead = t->stream ? (-(uintptr_t)t->out & (sizeof(VEC) - 1)) / sizeof(REAL) : 0;
    return lead < count ? lead : count;
}

static FD_INLINE int FD_TYPED(unit)(const TARGET *t, ptrdiff_t sa)
{
    return sa == 1 && t->so == 1 && (!t->from || t->sf == 1);
}

/* The central estimate. p: the point itself, then +1, -1, +2, -2, ... A pair is subtracted (odd derivatives) or taken
 * relative to the point (even ones) before it is weighted: constants give zero, and little is lost to cancellation. */
#define CENTRAL(T, LOAD)                                                                                               \
    T s = odd ? w[0] * (LOAD(p[1]) - LOAD(p[2])) : w[0] * ((LOAD(p[1]) - LOAD(p[0])) + (LOAD(p[2]) - LOAD(p[0])));      \
    for (size_t j = 1; j < pairs; j++)                                                                                 \
        s += odd ? w[j] * (LOAD(p[2 * j + 1]) - LOAD(p[2 * j + 2]))                                                    \
                 : w[j] * ((LOAD(p[2 * j + 1]) - LOAD(p[0])) + (LOAD(p[2 * j + 2]) - LOAD(p[0])))
#define AT(q) ((q)[(ptrdiff_t)r * sa])
#define AT_VEC(q) (*(const VEC *)((q) + r))

static FD_INLINE void FD_TYPED(central_of)(const TARGET *t, const REAL *const *samples, const REAL *weights,
                                           ptrdiff_t sa, size_t count, size_t pairs, int odd)
{
    const REAL *p[2 * FD_GRID_PAIRS + 1];
    REAL w[FD_GRID_PAIRS];
    for (size_t j = 0; j < 2 * pairs + 1; j++)
        p[j] = samples[j];
    for (size_t j = 0; j < pairs; j++)
        w[j] = weights[j];
    size_t r = 0;
    if (FD_TYPED(unit)(t, sa)) {
        for (size_t lead = FD_TYPED(lead)(t, count); r < lead; r++) {
            CENTRAL(REAL, AT);
            FD_TYPED(put)(t, r, s);
        }
        /* Four streams at a time keep more of the memory busy than one does. */
        const size_t quarter = t->stream && count >= 1024 ? (count - r) / (4 * LANES) * LANES : 0, begin = r;
        for (size_t q = 0; q < quarter; q += LANES)
            for (size_t k = 0; k < 4; k++) {
                r = begin + k * quarter + q;
                FD_PREFETCH(p[1] + (ptrdiff_t)r + t->ahead);
                CENTRAL(VEC, AT_VEC);
                FD_TYPED(put_vec)(t, r, s);
            }
        for (r = begin + 4 * quarter; r + LANES <= count; r += LANES) {
            FD_PREFETCH(p[1] + (ptrdiff_t)r + t->ahead);
            CENTRAL(VEC, AT_VEC);
            FD_TYPED(put_vec)(t, r, s);
        }
    }
    for (; r < count; r++) {
        CENTRAL(REAL, AT);
        FD_TYPED(put)(t, r, s);
    }
}

static void FD_TYPED(central)(const TARGET *t, const REAL *const *p, const REAL *w, ptrdiff_t sa, size_t count,
                              size_t pairs, int odd)
{
#define CASE(k)                                                                                                        \
    case k:                                                                                                            \
        if (odd)                                                                                                       \
            FD_TYPED(central_of)(t, p, w, sa, count, k, 1);                                                            \
        else                                                                                                           \
            FD_TYPED(central_of)(t, p, w, sa, count, k, 0);                                                            \
        break
    switch (pairs) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
        CASE(9);
    }
#undef CASE
}

/* The plain estimate: sum of w[j] * p[j], from the first to the last. */
static void FD_TYPED(row)(const TARGET *t, const REAL *const *p, const REAL *w, ptrdiff_t sa, size_t count,
                          size_t points)
{
    size_t r = 0;
    if (FD_TYPED(unit)(t, sa)) {
        for (size_t lead = FD_TYPED(lead)(t, count); r < lead; r++) {
            REAL s = w[0] * p[0][r];
            for (size_t j = 1; j < points; j++)
                s += w[j] * p[j][r];
            FD_TYPED(put)(t, r, s);
        }
        for (; r + LANES <= count; r += LANES) {
            VEC s = w[0] * AT_VEC(p[0]);
            for (size_t j = 1; j < points; j++)
                s += w[j] * AT_VEC(p[j]);
            FD_TYPED(put_vec)(t, r, s);
        }
    }
    for (; r < count; r++) {
        REAL s = w[0] * AT(p[0]);
        for (size_t j = 1; j < points; j++)
            s += w[j] * AT(p[j]);
        FD_TYPED(put)(t, r, s);
    }
}

/* The plain estimate along the axis itself, where every point has weights of its own: w[j * step + r]. */
static void FD_TYPED(table)(const TARGET *t, const REAL *p, const REAL *w, size_t step, ptrdiff_t sa, size_t count,
                            size_t points)
{
    size_t r = 0;
    if (FD_TYPED(unit)(t, sa)) {
        for (size_t lead = FD_TYPED(lead)(t, count); r < lead; r++) {
            REAL s = w[r] * p[r];
            for (size_t j = 1; j < points; j++)
                s += w[j * step + r] * p[r + j];
            FD_TYPED(put)(t, r, s);
        }
        for (; r + LANES <= count; r += LANES) {
            VEC s = AT_VEC(w) * AT_VEC(p);
            for (size_t j = 1; j < points; j++)
                s += AT_VEC(w + j * step) * AT_VEC(p + j);
            FD_TYPED(put_vec)(t, r, s);
        }
    }
    for (; r < count; r++) {
        REAL s = w[r] * AT(p);
        for (size_t j = 1; j < points; j++)
            s += w[j * step + r] * AT(p + (ptrdiff_t)j * sa);
        FD_TYPED(put)(t, r, s);
    }
}

/* One result, or a run of them across the axis, from a row of its own. */
static void FD_TYPED(special)(const fd_grid_rule *rule, size_t which, const TARGET *t, const REAL *a, ptrdiff_t axis,
                              ptrdiff_t sa, size_t count)
{
    const REAL *p[FD_GRID_POINTS];
    const ptrdiff_t *index = rule->index + which * rule->points;
    for (size_t j = 0; j < rule->points; j++)
        p[j] = a + index[j] * axis;
    if (rule->weights)
        FD_TYPED(row)(t, p, (const REAL *)rule->weights + which * rule->points, sa, count, rule->points);
    else
        FD_TYPED(central)(t, p, rule->central, sa, count, rule->pairs, rule->odd);
}

/* Results i to i + count along the axis, none of them special, for one position across it: sa == axis. Or, with
 * count results across the axis, all of them with the weights of result i. `stretch`: the next tile follows in memory. */
static void FD_TYPED(inside)(const fd_grid_rule *rule, size_t i, const TARGET *t, const REAL *a, ptrdiff_t axis,
                             ptrdiff_t sa, size_t count, int along, int stretch)
{
    const REAL *p[FD_GRID_POINTS];
    const REAL *at = a + ((ptrdiff_t)i + rule->origin) * axis;
    if (!rule->table) {
        p[0] = at;
        for (ptrdiff_t j = 1; j <= (ptrdiff_t)rule->pairs; j++) {
            p[2 * j - 1] = at + j * axis;
            p[2 * j] = at - j * axis;
        }
        TARGET to = *t;
        to.ahead = stretch ? FD_GRID_TILE / 2 : (ptrdiff_t)rule->pairs * axis;
        FD_TYPED(central)(&to, p, rule->central, sa, count, rule->pairs, rule->odd);
        return;
    }
    at += rule->first * axis;
    const REAL *w = (const REAL *)rule->table + i;
    if (along) {
        FD_TYPED(table)(t, at, w, rule->n, sa, count, rule->width);
        return;
    }
    REAL gathered[FD_GRID_POINTS];
    for (size_t j = 0; j < rule->width; j++) {
        gathered[j] = w[j * rule->n];
        p[j] = at + (ptrdiff_t)j * axis;
    }
    FD_TYPED(row)(t, p, gathered, sa, count, rule->width);
}

/* Whether a box of len, laid out with the given strides, is one stretch of memory. */
static int FD_TYPED(solid)(size_t ndim, const size_t *len, const ptrdiff_t *strides)
{
    ptrdiff_t stride = 1;
    for (size_t d = ndim; d-- > 0; stride *= (ptrdiff_t)len[d])
        if (len[d] > 1 && strides[d] != stride)
            return 0;
    return 1;
}

/* Whole lines along the last dimension, one after the other in memory: the inner stencil runs through as if they were
 * one line, then the results near the ends of each are put right. */
static void FD_TYPED(lines)(const fd_grid_rule *rule, const TARGET *to, const REAL *a, size_t count)
{
    REAL ends[FD_GRID_TILE];
    const size_t n = rule->n, specials = rule->head + rule->tail, among = count / n;
    for (size_t k = 0; k < specials; k++) { /* first, since `from` may be overwritten */
        const size_t i = k < rule->head ? k : n - specials + k;
        const TARGET t = {.out = ends + k * among, .so = 1, .from = to->from ? to->from + i : NULL, .sf = (ptrdiff_t)n};
        FD_TYPED(special)(rule, k, &t, a, 1, (ptrdiff_t)n, among);
    }
    TARGET inner = *to;
    inner.out += rule->head;
    inner.from = to->from ? to->from + rule->head : NULL;
    FD_TYPED(inside)(rule, rule->head, &inner, a, 1, 1, count - specials, 1, 1);
    for (size_t k = 0; k < specials; k++)
        for (size_t line = 0; line < among; line++)
            to->out[line * n + (k < rule->head ? k : n - specials + k)] = ends[k * among + line];
}

/* One term on the box of results that begins at lo and measures len. `to` is the target of its first result. */
static void FD_TYPED(box)(size_t ndim, const size_t *lo, const size_t *len, const fd_grid_term *term, TARGET to,
                          const ptrdiff_t *so, const ptrdiff_t *sf)
{
    const fd_grid_rule *rule = &term->rule;
    const size_t axis = term->axis;
    const ptrdiff_t *as = term->as;
    const REAL *a = term->a;
    for (size_t d = 0; d < ndim; d++)
        if (d != axis)
            a += (ptrdiff_t)lo[d] * as[d];

    /* The run: along the axis if that is the last dimension, else across it over all that lies in one stretch. */
    const int along = axis == ndim - 1;
    size_t outer = ndim - 1; /* dimensions before this one are stepped through */
    size_t count = 1;
    ptrdiff_t sa = as[outer];
    to.so = so[outer];
    to.sf = sf ? sf[outer] : 0;
    int flat = 0;
    if (along && !rule->table && rule->pairs && rule->origin == 0 && len[axis] == rule->n &&
        rule->n > rule->head + rule->tail && FD_TYPED(solid)(ndim, len, as) && FD_TYPED(solid)(ndim, len, so) &&
        (!sf || FD_TYPED(solid)(ndim, len, sf))) {
        to.so = to.sf = 1;
        size_t all = 1;
        for (size_t d = 0; d < ndim; d++)
            all *= len[d];
        FD_TYPED(lines)(rule, &to, a, all);
        return;
    }
    if (!along) {
        count = len[outer];
        while (outer > axis + 1 && as[outer - 1] == sa * (ptrdiff_t)count && so[outer - 1] == to.so * (ptrdiff_t)count &&
               (!sf || sf[outer - 1] == to.sf * (ptrdiff_t)count))
            count *= len[--outer];
        flat = !rule->table && outer == axis + 1 && as[axis] == sa * (ptrdiff_t)count &&
               so[axis] == to.so * (ptrdiff_t)count && (!sf || sf[axis] == to.sf * (ptrdiff_t)count);
    }
    const size_t begin = lo[axis], end = lo[axis] + len[axis];
    const size_t head = rule->head < end ? rule->head : end;
    const size_t last = rule->n - rule->tail < end ? rule->n - rule->tail : end;
    const int stream = to.stream;

    size_t at[FD_GRID_DIMS] = {0};
    for (;;) {
        TARGET t = to;
        const REAL *line = a;
        ptrdiff_t back = 0, forth = 0;
        for (size_t d = 0; d < outer; d++)
            if (d != axis) {
                forth += (ptrdiff_t)at[d] * so[d];
                back += sf ? (ptrdiff_t)at[d] * sf[d] : 0;
                line += (ptrdiff_t)at[d] * as[d];
            }
        t.out += forth;
        if (t.from)
            t.from += back;
        REAL *const out0 = t.out;
        const REAL *const from0 = t.from;
#define GO(i)                                                                                                          \
    (t.out = out0 + (ptrdiff_t)((i) - begin) * so[axis],                                                               \
     t.from = from0 ? from0 + (ptrdiff_t)((i) - begin) * sf[axis] : NULL)

        size_t i = begin;
        for (; i < head; i++) {
            GO(i);
            t.stream = stream && count >= LANES;
            FD_TYPED(special)(rule, i, &t, line, as[axis], sa, count);
        }
        if (i < last) {
            const size_t run = last - i;
            t.stream = stream && t.so == 1;
            if (along || flat) {
                GO(i);
                FD_TYPED(inside)(rule, i, &t, line, as[axis], sa, run * count, along, 1);
                i = last;
            } else {
                for (; i < last; i++) {
                    GO(i);
                    FD_TYPED(inside)(rule, i, &t, line, as[axis], sa, count, 0, 0);
                }
            }
        }
        for (; i < end; i++) {
            GO(i);
            t.stream = stream && count >= LANES;
            FD_TYPED(special)(rule, i - (rule->n - rule->tail) + rule->head, &t, line, as[axis], sa, count);
        }
#undef GO
        size_t d = outer;
        while (d-- > 0)
            if (d != axis) {
                if (++at[d] < len[d])
                    break;
                at[d] = 0;
            }
        if (d == (size_t)-1)
            return;
    }
}

static void FD_TYPED(sweep)(size_t ndim, const size_t *shape, size_t terms, const fd_grid_term *term, int stream,
                            size_t part, size_t parts)
{
    REAL scratch[FD_GRID_TILE];
    size_t tile[FD_GRID_DIMS], tiles[FD_GRID_DIMS], lo[FD_GRID_DIMS], len[FD_GRID_DIMS];
    ptrdiff_t ss[FD_GRID_DIMS];

    /* Tiles are stretches of memory, visited in its order. But where a stencil reaches across the dimension that was
     * cut, that one is the slowest: the samples which neighbouring rows share are then still in cache. */
    size_t room = FD_GRID_TILE, total = 1, cut = 0;
    for (size_t d = ndim; d-- > 0;) {
        tile[d] = shape[d] < room ? shape[d] : room;
        room /= tile[d];
        tiles[d] = (shape[d] + tile[d] - 1) / tile[d];
        total *= tiles[d];
        if (tiles[d] > 1 && tile[d] > 1)
            cut = d;
    }
    size_t slowest = ndim;
    for (size_t k = 0; k < terms; k++)
        slowest = term[k].axis < slowest ? term[k].axis : slowest;
    if (slowest >= cut)
        cut = 0;
    const size_t begin = total / parts * part + (part < total % parts ? part : total % parts);
    const size_t end = begin + total / parts + (part < total % parts);
    for (size_t number = begin; number < end; number++) {
        size_t rest = number;
        for (size_t d = ndim; d-- > 0;) {
            if (d == cut)
                continue;
            lo[d] = rest % tiles[d] * tile[d];
            rest /= tiles[d];
        }
        lo[cut] = rest * tile[cut];
        ptrdiff_t stride = 1;
        for (size_t d = ndim; d-- > 0;) {
            len[d] = shape[d] - lo[d] < tile[d] ? shape[d] - lo[d] : tile[d];
            ss[d] = stride;
            stride *= (ptrdiff_t)len[d];
        }
        /* A sum of terms is gathered in the scratch tile; only its last term writes to the result. */
        for (size_t k = 0; k < terms; k++) {
            const int last = k + 1 == terms || !term[k + 1].add;
            TARGET to = {.out = scratch, .from = term[k].add ? scratch : NULL};
            if (last) {
                to.out = term[k].out;
                for (size_t d = 0; d < ndim; d++)
                    to.out += (ptrdiff_t)lo[d] * term[k].os[d];
                to.stream = FD_CAN_STREAM && stream;
            }
            FD_TYPED(box)(ndim, lo, len, &term[k], to, last ? term[k].os : ss, term[k].add ? ss : NULL);
        }
    }
    if (FD_CAN_STREAM && stream)
        FD_FENCE();
}

#undef AT
#undef AT_VEC
#undef CENTRAL
#undef TARGET
#undef VEC
#undef LANES
