"""Protects replay: differences of recorded programs equal the textbook quotient of the function, bit for bit."""

import os
import sys
import threading

import numpy as np
import pytest

import fastdiff
from fastdiff import threads
from fastdiff.functions import compiling
from fastdiff.functions.recording import record
from fastdiff.kernels import _numpy_program, backend

RNG = np.random.default_rng(8)
CENTRAL = np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), 2.0
FORWARD = np.array([0.0, 1.0]), np.array([-1.0, 1.0]), 1.0
MATRIX = RNG.standard_normal((7, 5))


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def mixed(x):
    return np.stack(
        [x[0] * np.sin(x[1]), 3.0 + 0 * x[2], np.where(x[3] > 0, x[3], x[4] ** 1.5), np.prod(x), x[2], x[0] > 0]
    )


def jacobian(f, points, h, rule=CENTRAL, run=None, **options):
    """(points, outputs, d) by the recorded program."""
    program = record(f, [points.shape[1:]])
    offsets, weights, divisor = rule
    tape = program.tape(list(program.arguments[:, None]), values=bool((offsets == 0).any()))
    inputs = program.bind([points], points.shape[:1])
    out = np.full((len(points), program.outputs.size, points.shape[1]), 7.0)
    step = np.broadcast_to(h, points.shape).T
    if run is None:
        program.difference(tape, inputs, step, offsets, weights, divisor, 1, out.transpose(2, 1, 0), **options)
    else:
        view = out.transpose(2, 1, 0)
        run(tape, inputs, step, 0.0, None, offsets, weights, divisor, 1, 0, view.shape[0], 0, len(points), 16, view)
    return out


def textbook(f, points, h, rule=CENTRAL):
    h = np.broadcast_to(h, points.shape)
    result = []
    for point, steps in zip(points, h, strict=True):
        columns = []
        for j, step in enumerate(steps):
            up, down = point.copy(), point.copy()
            up[j] = point[j] + step
            if rule is CENTRAL:
                down[j] = point[j] - step
                columns.append((np.ravel(f(up)) - np.ravel(f(down))) / (2 * step))
            else:
                columns.append((np.ravel(f(up)) - np.ravel(f(down))) / step)
        result.append(np.stack(columns, axis=-1))
    return np.array(result)


@pytest.mark.parametrize("rule", [CENTRAL, FORWARD], ids=["central", "forward"])
@pytest.mark.parametrize("f", [rosenbrock, mixed], ids=["rosenbrock", "mixed"])
@pytest.mark.parametrize("count", [1, 3, 700])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_equals_the_textbook(f, rule, count):
    points = RNG.standard_normal((count, 5))
    for h in (1e-5, 1e-4 * (1 + RNG.random((count, 5)))):
        got, want = jacobian(f, points, h, rule), textbook(f, points, h, rule)
        assert np.array_equal(got, want, equal_nan=True)


def test_backends_agree_bit_for_bit():
    for f in (rosenbrock, mixed, lambda x: MATRIX @ np.exp(x), lambda x: np.cumsum(x @ MATRIX.T)):
        points = RNG.standard_normal((50, 5))
        want = jacobian(f, points, 1e-3, run=_replayed_by_numpy)
        got = jacobian(f, points, 1e-3)
        one = jacobian(f, points[:1], 1e-3)
        assert np.array_equal(got, want, equal_nan=True)
        assert np.array_equal(one, want[:1], equal_nan=True)


def _replayed_by_numpy(tape, *rest):
    from dataclasses import replace

    _numpy_program.difference(replace(tape, bound=_numpy_program.bind_loops(tape.loops)), *rest)


def test_only_what_changes_is_computed_again():
    """One partial derivative of a sum of 999 terms takes a few instructions, not a thousand."""
    program = record(rosenbrock, [(1000,)])
    tape = program.tape([program.arguments[500:501]], values=False)
    assert tape.variant[0, 1] < 15
    assert tape.code.size - tape.variant[0, 0] < 200


def test_recordings_that_differ_in_numbers_alone_are_compiled_once():
    """A function is recorded at every call; compiling takes longer than that."""

    def tape(f, *shapes, values=True):
        program = record(f, shapes)
        return program.tape([program.arguments[:1]], values=values)

    def line(a, b):
        return tape(lambda x: np.sin(x) * a - b, ())

    first, second = line(2.0, 3.0), line(5.0, 7.0)
    assert first.code is second.code
    assert (first.scalars.tolist(), second.scalars.tolist()) == ([2.0, 3.0], [5.0, 7.0])
    others = [
        line(3.0, 3.0),  # one number in two places
        tape(lambda x: np.cos(x) * 2.0 - 3.0, ()),
        tape(lambda x: 3.0 - np.sin(x) * 2.0, ()),
        tape(lambda x: np.sin(x) * 2.0 - 3.0, (), values=False),
        tape(lambda x: np.where(np.sin(x) > 2.0, x, 3.0), ()),
        tape(lambda x: np.sin(x) * 2.0 - 3.0, (2,)),
        tape(lambda x, y: np.sin(x) * 2.0 - y, (), ()),
        tape(lambda x, y: np.sin(y) * 2.0 - x, (), ()),
    ]
    assert all(other.code is not first.code for other in others)


def test_what_is_kept_of_programs_is_little():
    """Tapes outlive the programs that they were compiled for, so they hold no arrays of the user's, and are few."""
    for k in range(2 * compiling.SHARED):
        record(lambda x, k=k: sum([x] * (k + 2)), [()]).tape()
    assert 0 < len(compiling._shared) <= compiling.SHARED
    held = list(compiling._shared.values())
    assert all(tape.scalars.size == tape.matrices.size == 0 for tape in held)
    record(lambda x: MATRIX @ x, [(5,)]).tape()
    record(lambda x: np.sin(x).sum(), [(100_000,)]).tape()
    record(lambda x: np.sin(x), [(100_000,)]).tape()  # short, but found by rows that are many
    assert [tape for tape in compiling._shared.values() if not any(tape is other for other in held)] == []


def test_pattern():
    pairs = record(lambda x: np.diff(x) * x[0], [(4,)]).pattern()
    assert list(zip(*(p.tolist() for p in pairs), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 2),
        (2, 3),
    ]


def test_samples():
    program = record(mixed, [(5,)])
    points = RNG.uniform(0.5, 2.0, (30, 5))
    tape = program.tape([program.arguments[1:2]])
    offsets = np.array([-2.0, 0.0, 0.5])
    h = np.broadcast_to(0.25, (1, 30))
    out = np.empty((3, 6, 10))
    program.sample(tape, program.bind([points], (30,)), h, offsets, out, lo=20)
    for t, samples in zip(offsets, out, strict=True):
        moved = points[20:].copy()
        moved[:, 1] += t * 0.25
        assert np.array_equal(samples.T, [mixed(p) for p in moved])


def test_directions():
    program = record(rosenbrock, [(5,)])
    points, v = RNG.standard_normal((2, 30, 5))
    out = np.empty((1, 1, 30))
    h = np.full((1, 30), 1e-3)
    tape = program.tape([program.arguments], values=False)
    program.difference(tape, program.bind([points], (30,)), h, *CENTRAL, 1, out, direction=v.T[None])
    want = [(rosenbrock(p + 1e-3 * d) - rosenbrock(p - 1e-3 * d)) / 2e-3 for p, d in zip(points, v, strict=True)]
    assert np.array_equal(out[0, 0], want)


def softplus_slope(program, x, count=None):
    out = np.empty((1, 1, x.size))
    tape = program.tape([program.arguments[:1]], values=False)
    h = np.broadcast_to(1e-5, (1, x.size))
    program.difference(tape, program.bind([x], x.shape), h, *CENTRAL, 1, out, threads=count)
    return out[0, 0]


def test_threads():
    x = RNG.standard_normal(300_000)
    f = lambda x: np.log(1 + np.exp(x))  # noqa: E731
    program = fastdiff.trace(f, x, elementwise=True)
    want = (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    assert np.array_equal(softplus_slope(program, x, 1), want)
    assert np.array_equal(softplus_slope(program, x, 7), want)
    results = []
    both = [threading.Thread(target=lambda: results.append(softplus_slope(program, x, 2))) for _ in range(2)]
    for t in both:
        t.start()
    for t in both:
        t.join()
    assert all(np.array_equal(r, want) for r in results)
    assert len(results) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_use():
    x = RNG.standard_normal(300_000)
    program = fastdiff.trace(np.exp, x, elementwise=True)
    want = softplus_slope(program, x, 2)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(softplus_slope(program, x, 2), want) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_floating_point_flags_stay():
    program = record(lambda x: np.log(x) / x + np.exp(x), [()])
    x = np.array([0.0, -1.0, 1e4, np.nan])
    with np.errstate(all="raise"):
        program(x)
        np.add(x[:1], 1.0)
        assert np.isnan(program(-1.0))


def test_errors_of_threads_are_raised():
    def work(lo, hi):
        if lo:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.run(work, 10, 2)


def test_wrong_arguments():
    program = fastdiff.trace(rosenbrock, np.zeros(5))
    with pytest.raises(TypeError, match="takes 1 arrays, got 2"):
        program(1.0, 2.0)
    with pytest.raises(ValueError, match=r"argument x has shape \(4,\)"):
        program(np.zeros(4))


def test_batches_of_any_shape():
    program = fastdiff.trace(lambda x, p: p * rosenbrock(x), np.zeros(5), 1.0)
    x, p = RNG.standard_normal((2, 1, 5)), RNG.standard_normal((3,))
    want = [[q * rosenbrock(row[0]) for q in p] for row in x]
    assert np.array_equal(program(x, p), want)
    assert program(np.zeros((0, 5)), 1.0).shape == (0,)


def test_printed_steps():
    text = str(fastdiff.trace(rosenbrock, np.zeros(5)))
    assert text.splitlines()[0] == "program(x[5]):"
    assert "v0 = square(x[0:4])  # 4 of them" in text
    assert "sum(v6)" in text
    assert backend.NAME in ("compiled", "numpy")
