"""Protects the grid kernels: every backend and level gives the bits of the NumPy code, whatever shape, order or part."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff.grid import lines, sweeps
from fastdiff.grid.lines import Coordinates, Line
from fastdiff.kernels import _numpy, backend

COMPILED = importlib.util.find_spec("fastdiff.kernels._compiled") is not None
DTYPES = (np.float64, np.float32)


def swept(module, jobs, stream, parts):
    terms = sweeps.terms_of(jobs, int(np.argmax(jobs[0].out.shape)), 0, max(jobs[0].out.shape))
    for part in range(parts):
        module.sweep(terms, stream, part, parts)
    return jobs[-1].out


def case(module, seed, shape, axis, line, dtype, layout, stream, parts):
    a = np.random.default_rng(seed).standard_normal([line.samples if d == axis else k for d, k in enumerate(shape)])
    a = a.astype(dtype)
    a = {"C": a, "F": np.asfortranarray(a), "reversed": a[..., ::-1], "stepped": np.repeat(a, 2, -1)[..., ::2]}[layout]
    out = np.full([line.results if d == axis else k for d, k in enumerate(shape)], 7, dtype)
    other = Line(shape[0], 2, 2, "one-sided", 0.7) if axis and shape[0] >= 4 and line.results == shape[axis] else None
    jobs = [sweeps.Job(a, out, axis, line)]
    if other is not None:
        jobs.append(sweeps.Job(a, out, 0, other, add=True))
    return swept(module, jobs, stream, parts)


def make_line(samples, n, accuracy, boundary, spaced):
    x = np.cumsum(np.random.default_rng(samples).uniform(0.5, 1.5, samples))
    coordinates = Coordinates(x, None, "x") if spaced == "uneven" else None
    return Line(samples, n, accuracy, boundary, 0.3, coordinates, period=float(x[-1] - x[0] + 1))


SHAPES = [
    (40,),
    (1,),
    (9000,),
    (5, 40),
    (40, 5),
    (40, 300),
    (3, 4, 40),
    (4, 40, 3),
    (40, 4, 5),
    (2, 3, 40, 7),
    (130, 70),
]


def fixed_cases(module):
    seed = 0
    for shape in SHAPES:
        for axis in range(len(shape)):
            for n, accuracy in ((1, 2), (2, 2), (1, 4), (3, 5), (6, 12)):
                for boundary in lines.BOUNDARIES:
                    for spaced in ("uniform", "uneven"):
                        line = make_line(shape[axis], n, accuracy, boundary, spaced)
                        if shape[axis] < line.needed or (shape[axis] > 3000 and seed % 3):
                            continue
                        seed += 1
                        layout = ("C", "F", "reversed", "stepped")[seed % 4]
                        yield seed, shape, axis, line, DTYPES[seed % 2], layout, seed % 5 < 2, 1 + seed % 3


def results(module):
    found = []
    for options in fixed_cases(module):
        found.append((str(options[:3]), case(module, *options)))
    rng = np.random.default_rng(1)
    for points in range(2, 19):
        for n in range(min(points, 7)):
            nodes = np.cumsum(rng.uniform(0.5, 1.5, (points, 37)), axis=0)
            out = np.empty_like(nodes)
            for at in {0, points // 2, points - 1}:
                module.weights(nodes, at, n, 2.0**-3, out)
                found.append((f"weights {points} {at} {n}", out.copy()))
    return found


@cache
def numpy_results():
    return results(_numpy)


def digest(found):
    total = hashlib.sha256()
    for name, array in found:
        total.update(f"{name} {array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def test_backend_and_numpy_agree_bit_for_bit():
    for (name, got), (_, want) in zip(results(backend), numpy_results(), strict=True):
        assert got.tobytes() == want.tobytes(), name


@pytest.mark.skipif(not COMPILED, reason="installed without the compiled kernels")
@pytest.mark.parametrize("level", ["baseline", "v3", "v4"])
def test_every_level_agrees_bit_for_bit(level):
    from fastdiff.kernels._compiled import LEVELS

    if level not in LEVELS:
        pytest.skip(f"level {level} is not available here")
    code = f"""if True:
        import importlib.util
        spec = importlib.util.spec_from_file_location("test_grid_kernels", {__file__!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.backend.LEVEL == {level!r}
        print(module.digest(module.results(module.backend)))
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTDIFF_")}
    env |= {"FASTDIFF_BACKEND": "compiled", "FASTDIFF_LEVEL": level}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == digest(numpy_results()), run.stderr


def test_digest_sees_a_single_bit():
    assert digest([("x", np.array([1.0]))]) != digest([("x", np.array([np.nextafter(1.0, 2.0)]))])


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_case_agrees_with_numpy(data):
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)))
    axis = draw(st.integers(0, len(shape) - 1))
    n, accuracy = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    line = make_line(
        shape[axis], n, accuracy, draw(st.sampled_from(lines.BOUNDARIES)), draw(st.sampled_from(["uniform", "uneven"]))
    )
    if shape[axis] < line.needed:
        return
    layout = draw(st.sampled_from(["C", "F", "reversed", "stepped"]))
    options = draw(st.integers(0, 99)), shape, axis, line, draw(st.sampled_from(DTYPES)), layout
    how = draw(st.booleans()), draw(st.integers(1, 5))
    got, want = case(backend, *options, *how), case(_numpy, *options, False, 1)
    assert got.tobytes() == want.tobytes()


def test_special_values_pass_through_alike():
    a = np.array([0.0, -0.0, np.inf, 1.0, np.nan, 5e-324, 1e308, -1e308, 3.0] * 5)
    for n, accuracy in ((1, 2), (2, 4), (1, 3)):
        jobs = [[sweeps.Job(a, np.full(45, 7.0), 0, Line(45, n, accuracy, "one-sided", 0.1))] for _ in range(2)]
        got, want = (swept(module, job, False, 1) for module, job in zip((backend, _numpy), jobs, strict=True))
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n", range(1, 7))
def test_weights_against_exact_arithmetic(n):
    from fractions import Fraction

    from fastdiff.stencils import Stencil

    for points in range(n + 1, 19):
        x = np.random.default_rng(points).integers(1, 9, points).cumsum() / 8
        stencil = Stencil.on([Fraction(v) - Fraction(x[1]) for v in x], n)
        exact = dict(zip(stencil.offsets, map(float, stencil.rows[-1]), strict=True))
        want = [exact.get(Fraction(v) - Fraction(x[1]), 0.0) for v in x]
        got = lines.node_weights(x[:, np.newaxis], 1, n, 2.0)[:, 0]
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
