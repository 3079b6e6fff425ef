/* Recorded programs: replayed over a tile of lanes that stays in cache, at every sample of a stencil. Compiled once per
 * level.
 *
 * The arithmetic is done by inner loops that the program names, those of NumPy and of other libraries among them, so a
 * level changes nothing but our own loops. */
#include "fastdiff.h"

#include <math.h>
#include <string.h>

/* --- inner loops of our own --- */

static double load(const char *p)
{
    double value;
    memcpy(&value, p, sizeof value);
    return value;
}

static void store(char *p, double value)
{
    memcpy(p, &value, sizeof value);
}

enum { D = sizeof(double) };

static void where(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    const char *choice = args[0], *a = args[1], *b = args[2];
    char *out = args[3];
    intptr_t n = dimensions[0];
    if (steps[0] == 1 && steps[1] == D && steps[2] == D && steps[3] == D) {
        for (intptr_t i = 0; i < n; i++) {
            double yes = ((const double *)a)[i], no = ((const double *)b)[i];
            ((double *)out)[i] = choice[i] ? yes : no;
        }
        return;
    }
    for (intptr_t i = 0; i < n; i++, choice += steps[0], a += steps[1], b += steps[2], out += steps[3]) {
        double yes = load(a), no = load(b);
        store(out, *choice ? yes : no);
    }
}

static void copy(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    const char *a = args[0];
    char *out = args[1];
    for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
        store(out, load(a));
}

/* What NumPy computes for two scalars, as opposed to arrays. */
static void power(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    const char *a = args[0], *b = args[1];
    char *out = args[2];
    for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], b += steps[1], out += steps[2])
        store(out, pow(load(a), load(b)));
}

static void number(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    const char *a = args[0];
    char *out = args[1];
    for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
        store(out, *a != 0);
}

static void truth(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    (void)data;
    const char *a = args[0];
    char *out = args[1];
    for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
        *out = load(a) != 0;
}

static void native(char **args, const intptr_t *dimensions, const intptr_t *steps, void *data)
{
    const fd_native *f = data;
    const char *a = args[0];
    char *out = args[1];
    if (f->kind == FD_NATIVE_SCALAR) {
        double (*call)(double) = (double (*)(double))f->function;
        for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
            store(out, call(load(a)));
    } else if (f->kind == FD_NATIVE_SCALAR_DATA) {
        double (*call)(double, void *) = (double (*)(double, void *))f->function;
        for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
            store(out, call(load(a), f->user));
    } else {
        double (*call)(double, int) = (double (*)(double, int))f->function;
        for (intptr_t i = 0; i < dimensions[0]; i++, a += steps[0], out += steps[1])
            store(out, call(load(a), 0));
    }
}

/* --- instructions --- */

static double *row(const fd_space *spaces, int64_t r)
{
    return (double *)(spaces[FD_DOUBLES].base + r * spaces[FD_DOUBLES].pitch);
}

static const int64_t *run_loop(const fd_loop *loops, const fd_space *spaces, const int64_t *code, size_t n)
{
    const fd_loop *loop = loops + code[0];
    size_t operands = (size_t)code[1], runs = (size_t)code[2];
    const int64_t *space = code + 3;
    intptr_t steps[FD_MAX_OPERANDS];
    code = space + operands;
    for (size_t k = 0; k < operands; k++)
        steps[k] = spaces[space[k]].step;
    for (size_t i = 0; i < runs; i++, code += 1 + operands) {
        char *args[FD_MAX_OPERANDS];
        intptr_t count = (intptr_t)n * code[0];
        for (size_t k = 0; k < operands; k++)
            args[k] = spaces[space[k]].base + code[1 + k] * spaces[space[k]].pitch;
        loop->function(args, &count, steps, loop->data);
    }
    return code;
}

static const int64_t *run_add(const fd_space *spaces, const int64_t *code, size_t n)
{
    size_t items = (size_t)*code++;
    for (size_t i = 0; i < items; i++, code += 3) {
        const double *a = row(spaces, code[0]), *b = row(spaces, code[1]);
        double *restrict out = row(spaces, code[2]);
        for (size_t l = 0; l < n; l++)
            out[l] = a[l] + b[l];
    }
    return code;
}

/* Sums run over the columns in order, for any number of lanes; only what runs side by side differs. */
static const int64_t *run_matrix(const double *matrices, const fd_space *spaces, const int64_t *code, size_t n)
{
    enum { SIDE = 8, LANES = 32 };
    const double *matrix = matrices + code[0];
    size_t columns = (size_t)code[1], items = (size_t)code[2];
    const int64_t *in = code + 3, *item = in + columns;
    if (n < LANES) {
        for (size_t i = 0; i < items; i += SIDE) {
            size_t side = items - i < SIDE ? items - i : SIDE;
            const double *a[SIDE];
            for (size_t s = 0; s < SIDE; s++)
                a[s] = matrix + (size_t)item[2 * (i + (s < side ? s : 0))] * columns;
            for (size_t l = 0; l < n; l++) {
                double sum[SIDE] = {0};
                for (size_t k = 0; k < columns; k++) {
                    double x = row(spaces, in[k])[l];
                    for (size_t s = 0; s < SIDE; s++)
                        sum[s] += a[s][k] * x;
                }
                for (size_t s = 0; s < side; s++)
                    row(spaces, item[2 * (i + s) + 1])[l] = sum[s];
            }
        }
        return item + 2 * items;
    }
    for (size_t i = 0; i < items; i++) {
        const double *a = matrix + (size_t)item[2 * i] * columns;
        double *out = row(spaces, item[2 * i + 1]);
        for (size_t begin = 0; begin < n; begin += LANES) {
            size_t count = n - begin < LANES ? n - begin : LANES;
            double sum[LANES] = {0};
            for (size_t k = 0; k < columns; k++) {
                const double *x = row(spaces, in[k]) + begin;
                double factor = a[k];
                if (count == LANES)
                    for (size_t l = 0; l < LANES; l++)
                        sum[l] += factor * x[l];
                else
                    for (size_t l = 0; l < count; l++)
                        sum[l] += factor * x[l];
            }
            memcpy(out + begin, sum, count * sizeof *sum);
        }
    }
    return item + 2 * items;
}

static const int64_t *run_call(const fd_loop *loops, const fd_space *spaces, const int64_t *code, size_t n)
{
    const fd_native *f = loops[code[0]].data;
    size_t d = (size_t)code[1], m = (size_t)code[2];
    double *point = row(spaces, code[3]), *result = point + d;
    const int64_t *in = code + 4, *out = in + d;
    for (size_t l = 0; l < n; l++) {
        for (size_t i = 0; i < d; i++)
            point[i] = row(spaces, in[i])[l];
        if (f->kind == FD_NATIVE_POINT)
            *result = ((double (*)(int, double *))f->function)((int)d, point);
        else if (f->kind == FD_NATIVE_POINT_DATA)
            *result = ((double (*)(int, double *, void *))f->function)((int)d, point, f->user);
        else
            ((void (*)(int, const double *, int, double *))f->function)((int)d, point, (int)m, result);
        for (size_t o = 0; o < m; o++)
            row(spaces, out[o])[l] = result[o];
    }
    return out + m;
}

static void run(const fd_program *p, const fd_space *spaces, const int64_t *code, size_t instructions, size_t n)
{
    for (size_t i = 0; i < instructions; i++) {
        switch (*code++) {
        case FD_LOOP:
            code = run_loop(p->loops, spaces, code, n);
            break;
        case FD_ADD:
            code = run_add(spaces, code, n);
            break;
        case FD_MATRIX:
            code = run_matrix(p->matrices, spaces, code, n);
            break;
        default:
            code = run_call(p->loops, spaces, code, n);
        }
    }
}

/* --- a tile --- */

static void begin(const fd_program *p, const fd_input *inputs, fd_space *spaces, size_t lo, size_t n)
{
    spaces[FD_SCALARS].pitch = D;
    spaces[FD_SCALARS].step = 0;
    spaces[FD_DOUBLES].pitch = (intptr_t)n * D;
    spaces[FD_DOUBLES].step = D;
    spaces[FD_BOOLS].pitch = (intptr_t)n;
    spaces[FD_BOOLS].step = 1;
    for (size_t i = 0; i < p->inputs; i++) {
        const fd_input *input = inputs + i;
        const char *data = input->data + (intptr_t)lo * input->lane;
        fd_space *space = spaces + FD_INPUTS + i;
        space->base = (char *)data;
        space->pitch = 0;
        space->step = input->lane;
        if (input->row < 0)
            continue;
        for (int64_t e = 0; e < input->elements; e++) {
            double *out = row(spaces, input->row + e);
            const char *from = data + e * input->element;
            for (size_t l = 0; l < n; l++, from += input->lane)
                out[l] = load(from);
        }
    }
    for (size_t i = 0; i < p->constants; i++) {
        double *out = row(spaces, p->constant[2 * i]);
        double value = load(spaces[FD_SCALARS].base + p->constant[2 * i + 1] * D);
        for (size_t l = 0; l < n; l++)
            out[l] = value;
    }
    run(p, spaces, p->code, p->instructions, n);
}

static void collect(const fd_space *spaces, const int64_t *output, size_t outputs, size_t n, char *out, intptr_t lane,
                    intptr_t stride)
{
    for (size_t o = 0; o < outputs; o++, output += 2, out += stride) {
        const fd_space *space = spaces + output[0];
        const char *from = space->base + output[1] * space->pitch;
        char *to = out;
        if (output[0] == FD_BOOLS) {
            for (size_t l = 0; l < n; l++, from += space->step, to += lane)
                store(to, *from != 0);
        } else if (space->step == D && lane == D) {
            memcpy(to, from, n * D);
        } else {
            for (size_t l = 0; l < n; l++, from += space->step, to += lane)
                store(to, load(from));
        }
    }
}

static void outputs(const fd_program *p, const fd_space *spaces, size_t n, char *out, intptr_t out_lane,
                    intptr_t out_output)
{
    collect(spaces, p->output, p->outputs, n, out, out_lane, out_output);
}

static void perturb(const char *x, intptr_t x_step, const char *h, intptr_t h_step, double t, const char *v,
                    intptr_t v_step, double *restrict out, size_t n)
{
    if (!v && x_step == D && h_step == 0) {
        const double *px = (const double *)x;
        double step = t * load(h);
        for (size_t i = 0; i < n; i++)
            out[i] = px[i] + step;
    } else if (!v && x_step == D && h_step == D) {
        const double *px = (const double *)x, *ph = (const double *)h;
        for (size_t i = 0; i < n; i++)
            out[i] = px[i] + t * ph[i];
    } else if (!v) {
        for (size_t i = 0; i < n; i++)
            out[i] = load(x + (intptr_t)i * x_step) + t * load(h + (intptr_t)i * h_step);
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = load(x + (intptr_t)i * x_step) +
                     (t * load(h + (intptr_t)i * h_step)) * load(v + (intptr_t)i * v_step);
    }
}

static const char *step_of(const fd_steps *steps, size_t variant, size_t lo)
{
    return steps->h + (intptr_t)lo * steps->h_lane + (intptr_t)variant * steps->h_variant;
}

/* Runs a variant at x + t * h; its outputs are then in the spaces. */
static void replay(const fd_program *p, const fd_space *spaces, const int64_t *variant, size_t number_of,
                   const fd_steps *steps, const char *h, intptr_t h_lane, double t, size_t lo, size_t n)
{
    const int64_t *move = p->words + variant[FD_MOVES];
    for (int64_t i = 0; i < variant[FD_MOVE_COUNT]; i++, move += 4) {
        const fd_space *space = spaces + move[0];
        const char *v = NULL;
        if (steps->direction)
            v = steps->direction + (intptr_t)lo * steps->direction_lane +
                (intptr_t)number_of * steps->direction_variant + move[3] * steps->direction_element;
        perturb(space->base + move[1] * space->pitch, space->step, h, h_lane, t, v, steps->direction_lane,
                row(spaces, move[2]), n);
    }
    run(p, spaces, p->code + variant[FD_CODE], (size_t)variant[FD_INSTRUCTIONS], n);
}

static void sample(const fd_program *p, const fd_space *spaces, size_t variant, const fd_steps *steps, double t,
                   size_t lo, size_t n, double *out)
{
    const int64_t *v = p->variant + FD_VARIANT * variant;
    if (t == 0 && p->output) {
        collect(spaces, p->output, p->outputs, n, (char *)out, D, (intptr_t)n * D);
        return;
    }
    replay(p, spaces, v, variant, steps, step_of(steps, variant, lo), steps->h_lane, t, lo, n);
    collect(spaces, p->words + v[FD_OUTPUT], p->outputs, n, (char *)out, D, (intptr_t)n * D);
}

/* sum (or nothing yet) + weight * one output of the space */
static void accumulate(const fd_space *spaces, const int64_t *from, double weight, int first, double *restrict sum,
                       size_t n)
{
    const fd_space *space = spaces + from[0];
    const char *p = space->base + from[1] * space->pitch;
    const double *f = (const double *)p;
    if (space->step == D && first) {
        for (size_t l = 0; l < n; l++)
            sum[l] = weight * f[l];
    } else if (space->step == D) {
        for (size_t l = 0; l < n; l++)
            sum[l] += weight * f[l];
    } else {
        for (size_t l = 0; l < n; l++, p += space->step) {
            double term = weight * (from[0] == FD_BOOLS ? *p != 0 : load(p));
            sum[l] = first ? term : sum[l] + term;
        }
    }
}

/* In place: sum / (divisor * h * ... * h) */
static void divide(double *restrict sum, const char *h, intptr_t h_lane, double divisor, int order, size_t n)
{
    if (h_lane == 0 || order == 0) {
        double denominator = divisor;
        for (int k = 0; k < order; k++)
            denominator *= load(h);
        for (size_t l = 0; l < n; l++)
            sum[l] = sum[l] / denominator;
    } else if (h_lane == D && order == 1) {
        for (size_t l = 0; l < n; l++)
            sum[l] = sum[l] / (divisor * ((const double *)h)[l]);
    } else {
        for (size_t l = 0; l < n; l++, h += h_lane) {
            double denominator = divisor;
            for (int k = 0; k < order; k++)
                denominator *= load(h);
            sum[l] = sum[l] / denominator;
        }
    }
}

/* What is not finite is nan, and so is all where x is not finite: a number minus itself is zero, or it is not finite. */
static void screen(double *restrict value, const char *x, intptr_t x_step, size_t n)
{
    if (x && x_step == D) {
        const double *px = (const double *)x;
        for (size_t l = 0; l < n; l++) {
            double zero = (value[l] - value[l]) + (px[l] - px[l]);
            value[l] = zero == 0 ? value[l] : (double)NAN;
        }
        return;
    }
    for (size_t l = 0; l < n; l++) {
        double at = x ? load(x + (intptr_t)l * x_step) : 0;
        double zero = (value[l] - value[l]) + (at - at);
        value[l] = zero == 0 ? value[l] : (double)NAN;
    }
}

static void thumb(const char *x, intptr_t x_step, double unit, double *restrict h, size_t n)
{
    for (size_t l = 0; l < n; l++) {
        double size = fabs(load(x + (intptr_t)l * x_step)), power;
        uint64_t bits;
        size = size > 1 ? size : 1;
        memcpy(&bits, &size, sizeof bits);
        bits &= UINT64_C(0x7ff0000000000000);
        memcpy(&power, &bits, sizeof power);
        h[l] = unit * power;
    }
}

static void difference(const fd_program *p, const fd_space *spaces, const fd_steps *steps, const fd_quotient *q,
                       size_t first, size_t last, size_t lo, size_t n, double *work, char *out, intptr_t out_lane,
                       intptr_t out_variant, intptr_t out_output)
{
    for (size_t variant = first; variant < last; variant++) {
        const int64_t *v = p->variant + FD_VARIANT * variant;
        const int64_t *output = p->words + v[FD_OUTPUT], *move = p->words + v[FD_MOVES];
        const fd_space *from_x = spaces + move[0];
        int one = v[FD_MOVE_COUNT] == 1 && !steps->direction;
        const char *x = one ? from_x->base + move[1] * from_x->pitch : NULL;
        const char *h = (const char *)(work + p->outputs * n);
        intptr_t h_lane = D;
        if (steps->h) {
            h = step_of(steps, variant, lo);
            h_lane = steps->h_lane;
        } else {
            thumb(x, from_x->step, steps->unit, work + p->outputs * n, n);
        }
        for (size_t i = 0; i < q->nodes; i++) {
            const int64_t *from = q->offsets[i] == 0 ? p->output : output;
            if (q->offsets[i] != 0)
                replay(p, spaces, v, variant, steps, h, h_lane, q->offsets[i], lo, n);
            for (size_t o = 0; o < p->outputs; o++)
                accumulate(spaces, from + 2 * o, q->weights[i], i == 0, work + o * n, n);
        }
        char *to = out + (intptr_t)lo * out_lane + (intptr_t)variant * out_variant;
        for (size_t o = 0; o < p->outputs; o++, to += out_output) {
            double *sum = work + o * n;
            if (q->n || q->divisor != 1)
                divide(sum, h, h_lane, q->divisor, q->n, n);
            if (q->n)
                screen(sum, x, from_x->step, n);
            if (out_lane == D)
                memcpy(to, sum, n * D);
            else
                for (size_t l = 0; l < n; l++)
                    store(to + (intptr_t)l * out_lane, sum[l]);
        }
    }
}

const fd_program_kernels FD_NAME(fd_program) = {
    .where = where,
    .copy = copy,
    .power = power,
    .number = number,
    .truth = truth,
    .native = native,
    .begin = begin,
    .sample = sample,
    .difference = difference,
    .outputs = outputs,
};
