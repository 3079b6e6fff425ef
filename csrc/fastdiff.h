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
#include <stdint.h>

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

enum { FD_OCTAVES = 4096 }; /* signs and exponents of a double */
enum { FD_STATE = 27 }; /* numbers in the state of an element: FIELDS in src/fastdiff/steps.py */

/* csrc/control.c. Elements are the outputs of lanes: lanes * outputs of them, lane by lane. `caps` holds log2 of the
 * largest steps of each lane: central, forward, backward; `side` is 0, +1 or -1 and says which of them counts.
 *
 * Arrays by lane: `samples` has rows of `lanes` lanes, so many `nodes`, `results` four rows that lie `stride` numbers
 * apart; `k_unit` has `units` numbers and `caps` three rows of `cap_row`, each 1 if one number holds for all lanes. */
typedef struct {
    double *scale, *k, *k_unit, *state, *caps, *samples, *results;
    size_t lanes, outputs, nodes, stride, units, cap_row;
} fd_lanes;

typedef struct {
    /* Of a table with FD_OCTAVES numbers, one for each sign and octave of a scale (the top of the bits of scale * sqrt(2)),
     * those of these scales. Any scale, nan included, has one. */
    void (*by_octave)(const double *scale, const double *table, double *out, size_t lanes);

    /* log2 of the first step of every lane and of its least one. `scale` is the size of x, or x itself; `over` is log2 of
     * the first step over the scale, one number or one for each lane; then it may be `k`. Where the scale is 0 the first
     * step is k_unit, of which there is one or one for each lane. No first step is less than the least. Returns whether all
     * is as usual: scales are finite and not 0, and no first step is less than 2**close times the least one. */
    int (*start)(const double *scale, const double *k_unit, size_t units, const double *over, size_t overs, double close,
                 double *k, double *k_least, size_t lanes);

    /* h = 2**k, for whole k in [-1060, 1023]; they may be the same array. */
    void (*powers)(const double *k, double *h, size_t lanes);

    /* What fresh lanes, all or the `chosen` ones at `which`, believe of the noise that they are told: it is 0 where the
     * highest coefficient of their samples (a row of `lanes` for each of the nodes and the point itself) is far below it.
     * `weights` are those of this coefficient, of norm one, for at most 39 nodes. */
    void (*believe)(const double *weights, size_t nodes, const double *samples, const ptrdiff_t *which, size_t chosen,
                    double *noise, size_t lanes);

    /* Judges samples (nodes by element) that were taken at steps 2**k, and updates the state (FD_STATE numbers for each
     * element) of every running element of the `chosen` lanes at `which`, or with `which` NULL of all lanes. `table` is a
     * level packed by steps.pack with 2 to 39 nodes beside the point itself; `level` is its number, 0 for the first round
     * at a step. With `fresh` (level 0 only) no round has judged these elements: all of them run, and nothing of their
     * state is read; `noise` is what is known of the noise in f beforehand, by lane, or NULL where that is nothing. Error
     * bar, value, log2 of the step and status go into rows of `results`,
     * `stride` numbers apart; unless `whole`, only value and status of elements that have ended count. The state of those
     * means nothing. By lane: `scale`, of any sign, `k`, and, as in fd_lanes, `k_unit` and `caps`; all but `scale` are whole
     * numbers or infinite, `k` finite. See `control` in src/fastdiff/kernels/_numpy.py. */
    void (*control)(const double *table, const double *samples, double eps, const double *scale, const double *k,
                    const double *k_unit, size_t units, const double *caps, size_t cap_row, const double *noise, int side,
                    int level, int fresh, int whole, const ptrdiff_t *which, size_t chosen, double *state,
                    double *results, size_t stride, size_t lanes, size_t outputs);

    /* What each of the lanes order[0] to order[going - 1] does next: what its neediest output wants, the one that asks for
     * the smallest step. Its kind is four times the place of the side (0 central, 1 forward, 2 backward, 3 central at a
     * step less than 2**close times the least) plus the level. The lanes that go on into `order`, sorted by kind and otherwise as
     * they were, log2 of their steps into `k` by lane, their steps into `h` in that order, how many there are of each kind
     * into `counts[16]`, of all into the result. `status` is that row of the results; `work` has room for `going` numbers. */
    size_t (*next_round)(const double *state, const double *status, const double *scale, double close, double *k,
                         ptrdiff_t *order, ptrdiff_t *work, double *h, size_t going, size_t *counts, size_t outputs);

    /* Copies the lanes of `from` that have a running output into those of `to`, at number `at` and after it; their numbers,
     * the first one being `first`, into `which`, from `at` on. Samples other than those of x itself only of lanes that
     * may need them. Returns the number after the last. */
    size_t (*gather)(const fd_lanes *from, const fd_lanes *to, size_t first, ptrdiff_t *which, size_t at);
} fd_control_kernels;

/* --- recorded programs: csrc/program.c ---
 *
 * A program works on rows: a row is one number for every lane of a tile. Rows live in spaces, and a value of many
 * elements is a run of rows, so that an operation on all of it is one call of an inner loop over elements x lanes.
 */

/* An inner loop in NumPy's calling convention: PyUFuncGenericFunction, without Python. */
typedef void (*fd_loop_function)(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data);

typedef struct {
    fd_loop_function function;
    void *data;
} fd_loop;

/* Row r begins at base + r * pitch; neighbouring lanes lie `step` bytes apart (0: one number for all lanes). */
typedef struct {
    char *base;
    intptr_t pitch, step;
} fd_space;

/* The spaces: one number a row; doubles; truth values of one byte; then one space for each direct input. */
enum { FD_SCALARS, FD_DOUBLES, FD_BOOLS, FD_INPUTS };
enum { FD_MAX_OPERANDS = 16 };

/* An input. Direct: elements is 1 and the row is read where it is, in space FD_INPUTS + its number. Otherwise it is
 * copied, element by element, into rows `row`... of the doubles. Strides in bytes. */
typedef struct {
    const char *data;
    intptr_t lane, element;
    int64_t elements, row; /* row < 0: direct */
} fd_input;

/* Instructions are int64 words, one after the other:
 *   FD_LOOP, number of the loop, operands, runs, a space for each operand; then for each run: rows, first row of each
 *       operand. One call of the loop for each run, over rows * lanes items. Runs are executed in order.
 *   FD_ADD, items; then for each item: a, b, out. Doubles: row out = row a + row b, in order.
 *   FD_MATRIX, offset of a row-major matrix, its columns, items; then a row of doubles for each column; then for each
 *       item: row of the matrix, row out. out = sum over columns of matrix * row, from the first column to the last.
 *   FD_CALL, number of the loop, inputs, outputs, first of so many scratch rows; then a row of doubles for each input
 *       and each output. Calls the fd_native that is the data of the loop once a lane, with the point gathered. */
enum { FD_LOOP, FD_ADD, FD_MATRIX, FD_CALL };

/* A function of the user's in machine code. Kind is its signature. */
enum {
    FD_NATIVE_SCALAR,      /* double (double) */
    FD_NATIVE_SCALAR_DATA, /* double (double, void *) */
    FD_NATIVE_SCALAR_INT,  /* double (double, int): Cython's cpdef, called with 0 */
    FD_NATIVE_POINT,       /* double (int, double *) */
    FD_NATIVE_POINT_DATA,  /* double (int, double *, void *) */
    FD_NATIVE_VECTOR       /* void (int, const double *, int, double *): point in, vector out */
};
typedef struct {
    void (*function)(void);
    void *user;
    intptr_t kind;
} fd_native;

typedef struct {
    const int64_t *code; /* of all instructions */
    size_t instructions; /* those that do not depend on what a variant perturbs: the base */
    const fd_loop *loops;
    const double *matrices;
    size_t inputs; /* copied and direct */
    size_t outputs;
    const int64_t *output; /* space, row of each output in the base */
    size_t constants;
    const int64_t *constant; /* row of the doubles, row of the scalars: constants that a loop needs as full rows */
    const int64_t *variant;  /* FD_VARIANT words for each: a direction in which inputs are perturbed */
    const int64_t *words;    /* what variants point into */
} fd_program;

/* A variant: where its code begins, its instructions; where its moves begin in `words`, moves; where its outputs begin.
 * A move is: space and row of what is perturbed, row of the doubles that takes it, element of the direction.
 * Its outputs are space, row for each output; an output that does not depend on the variant lies in the base. */
enum { FD_CODE, FD_INSTRUCTIONS, FD_MOVES, FD_MOVE_COUNT, FD_OUTPUT, FD_VARIANT };

/* Steps and directions, strides in bytes. direction NULL: x + t * h; otherwise x + (t * h) * direction.
 * h NULL, for variants of one move without direction: `unit` times max(|x|, 1) rounded down to a power of two. */
typedef struct {
    const char *h;
    intptr_t h_lane, h_variant;
    double unit;
    const char *direction;
    intptr_t direction_lane, direction_variant, direction_element;
} fd_steps;

/* A plain difference: (sum of weights[i] * sample at offsets[i], in order) / (divisor * h * h * ... ), n factors h; nan
 * where that is not finite, or where the x of a variant of one move is not. With n zero it is the weighted sum, as it is. */
typedef struct {
    size_t nodes;
    const double *offsets, *weights;
    double divisor;
    int n;
} fd_quotient;

/* Inner loops raise floating-point flags: callers who mind save them before and restore them after. */
typedef struct {
    /* Inner loops of our own, for what NumPy has no ufunc for. Operands and result may be the same run. */
    fd_loop_function where, copy, power, number, truth; /* bool a b -> d; d -> d; libm's pow; bool -> d; d -> bool */
    fd_loop_function native;                            /* d -> d, by the scalar fd_native in data */
    /* Copy the inputs of lanes lo.. into the spaces, point direct spaces at them, fill constant rows, run the base.
     * spaces holds FD_INPUTS + inputs entries; doubles and bools have room for their rows times n lanes. */
    void (*begin)(const fd_program *program, const fd_input *inputs, fd_space *spaces, size_t lo, size_t n);
    /* Sample one variant at one offset: out[o * n + lane] is output o. The tile has begun. t == 0 gives the base's
     * outputs; `output` is NULL where the base does not compute them. */
    void (*sample)(const fd_program *program, const fd_space *spaces, size_t variant, const fd_steps *steps, double t,
                   size_t lo, size_t n, double *out);
    /* The plain difference for lanes lo..lo+n of every variant first..last: out + lane * out_lane + variant *
     * out_variant + output * out_output, in bytes. work has room for (outputs + 1) * n doubles. */
    void (*difference)(const fd_program *program, const fd_space *spaces, const fd_steps *steps, const fd_quotient *q,
                       size_t first, size_t last, size_t lo, size_t n, double *work, char *out, intptr_t out_lane,
                       intptr_t out_variant, intptr_t out_output);
    /* The program itself: outputs of the base of a tile that has begun. */
    void (*outputs)(const fd_program *program, const fd_space *spaces, size_t n, char *out, intptr_t out_lane,
                    intptr_t out_output);
} fd_program_kernels;
/* csrc/grid.c */
enum {
    FD_GRID_DIMS = 66,   /* NumPy's most, and the parts of complex numbers */
    FD_GRID_PAIRS = 9,   /* pairs of samples of a central stencil */
    FD_GRID_POINTS = 20, /* samples of any stencil */
    FD_GRID_ORDER = 6,   /* highest derivative */
};

/* How the results along one axis come from the samples along it. Weights are of the type of the data.
 *
 * Results [0, head) and [n - tail, n) have rows of their own. The others share one central stencil, or, if there is a
 * table, have the sum over j < width of table[j * n + i] * sample[i + origin + first + j], in that order. */
typedef struct {
    size_t n, head, tail;
    size_t points;          /* samples of a row of its own */
    const ptrdiff_t *index; /* (head + tail) x points: which samples */
    const void *weights;    /* (head + tail) x points; NULL: samples are in central order and take the central weights */
    ptrdiff_t origin;       /* the sample that result 0 lies on */
    size_t pairs;           /* of the central stencil, which is antisymmetric if odd */
    int odd;
    const void *central;    /* pairs, nearest first */
    size_t width;
    ptrdiff_t first;
    const void *table;      /* width x n */
} fd_grid_rule;

/* One derivative along one axis. The strides are in elements and of any sign; `a` points to sample 0 along the axis
 * and `out` to result 0. With `add` the result is added to that of the term before, whose `out` is the same. */
typedef struct {
    const void *a;
    void *out;
    const ptrdiff_t *as, *os;
    size_t axis;
    int add;
    fd_grid_rule rule;
} fd_grid_term;

/* All terms in one pass over results of the given shape, which has at least one dimension and no zero; the last
 * dimension should be the one with the smallest strides. Does the share `part` of `parts`; the shares write to
 * disjoint results, so they may run side by side. `stream` asks for stores past the caches, for results too large
 * to stay there. The bits depend on neither. */
typedef void fd_grid_sweep(size_t ndim, const size_t *shape, size_t terms, const fd_grid_term *term, int stream,
                           size_t part, size_t parts);

typedef struct {
    fd_grid_sweep *sweep_f64, *sweep_f32;
    /* out[j * out_step + i]: weight of node j in derivative n at node `at` of the polynomial through nodes[j * step + i],
     * j < points; for each i < count. So with step 1 it slides along one row of coordinates. Nodes of one polynomial
     * differ. `scale` is a power of two that brings their distances near 1: products of many then stay in range. */
    void (*weights)(const double *nodes, size_t step, size_t points, size_t at, size_t n, double scale, size_t count,
                    double *out, size_t out_step);
} fd_grid_kernels;

/* --- csrc/rounds.c: the rounds of a recorded program, all in one --- */

typedef struct {
    const double *table, *offsets; /* packed by steps.pack; of all `nodes`, the first 0 */
    const double *highest;         /* as for `believe` */
    size_t nodes;
} fd_level;

typedef struct {
    const fd_program *program; /* of one variant, which moves x by its parameter, and one output */
    const fd_input *inputs;
    fd_input *picked;      /* room for as many */
    fd_space *spaces;      /* for `tile` lanes */
    const fd_level *level; /* of the side `side`, from the first */
    size_t levels, tile, enough;
    const double *scale, *k_unit; /* by lane; one number holds for all lanes */
    const double *caps;           /* as in fd_lanes, of the lanes from number `first_cap` on */
    size_t cap_row, first_cap;
    const double *over;  /* log2 of the first step over the scale: one number, or a table for `by_octave` */
    size_t overs;
    const double *noise; /* known beforehand, a table for `by_octave`, or NULL */
    double close, eps;
    int side, whole;
    double *found; /* error bar, value, log2 of the step and status, or unless `whole` the value: rows, `stride` apart */
    size_t stride;
} fd_rounds;

typedef struct {
    /* Makes the rounds of lanes lo to hi, tile by tile, as far as they go on in company. The others are gathered in `late`,
     * as by the kernel `gather`, from number *count on. Unusual lanes are left out, and named in `odd` from number *odds on:
     * those that are so by `start`, or whose first step is larger than it may be, or f(x) not finite. Ends when `enough`
     * lanes are late, or odd: for these and a tile there is room. Returns where, and adds to *nfev the evaluations. `work`
     * has room for tile * (9 + nodes of the last level + FD_STATE + elements of all inputs) numbers, `places` for 2 * tile. */
    size_t (*make)(const fd_rounds *rounds, size_t lo, size_t hi, double *work, ptrdiff_t *places, const fd_lanes *late,
                   ptrdiff_t *which, size_t *count, ptrdiff_t *odd, size_t *odds, size_t *nfev);
} fd_rounds_kernels;

/* All kernels of one level. */
typedef struct {
    const char *level; /* "baseline", "v3" or "v4" */
    const fd_stencil_kernels *stencil;
    const fd_control_kernels *control;
    const fd_program_kernels *program;
    const fd_rounds_kernels *rounds;
    const fd_grid_kernels *grid;
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
