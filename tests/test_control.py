"""Protects the step control's kernels: the backends judge alike, bit for bit, and an element is judged by itself alone."""

from itertools import zip_longest

import control_runs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff import steps
from fastdiff.kernels import _numpy, backend


def same(got, want):
    """Whether two states have the same bits, all nans being one."""
    got, want = (np.where(np.isnan(a), np.nan, a) for a in (got, want))
    return got.shape == want.shape and bool((got.view(np.int64) == want.view(np.int64)).all())


def alike(one, other, functions, key, eps, caps, *chosen):
    """Whether two backends' controls leave the same states after every round of a run."""
    runs = (control_runs.run(control, functions, steps.scheme(*key), eps, caps, *chosen) for control in (one, other))
    return all(got is not None and want is not None and same(got, want) for got, want in zip_longest(*runs))


def some_noise(rng, lanes):
    return np.where(rng.random(lanes) < 0.7, np.exp2(rng.uniform(-60.0, -20.0, lanes)), 0.0)


NUMPY, BACKEND = _numpy.control, backend.control
keys = st.sampled_from(
    [
        *((n, method, None, None) for n in range(1, 11) for method in control_runs.METHODS),
        *((n, method, accuracy, None) for n in (1, 2) for method in control_runs.METHODS for accuracy in (2, 4, 8)),
        *((1, method, None, richardson) for method in control_runs.METHODS for richardson in (1, 2, 3)),
    ]
)
seeds = st.integers(0, 2**32 - 1)
some_kinds = st.lists(st.sampled_from(control_runs.KINDS), min_size=1, max_size=3, unique=True)
counts = st.one_of(st.integers(1, 5), st.sampled_from([31, 32, 33, 64, 70]))
some_eps = st.sampled_from([2.0**-52, 2.0**-23, 2.0**-10])


@pytest.mark.skipif(backend is _numpy, reason="there is one backend only")
@given(
    key=keys,
    seed=seeds,
    kinds=some_kinds,
    lanes=counts,
    outputs=st.integers(1, 3),
    eps=some_eps,
    chosen=st.booleans(),
    noisy=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_backend_and_numpy_judge_alike(key, seed, kinds, lanes, outputs, eps, chosen, noisy):
    rng = np.random.default_rng(seed)
    functions = control_runs.Functions(rng, lanes, outputs, kinds)
    caps = np.where(rng.random((3, lanes)) < 0.8, 1000.0, np.floor(rng.uniform(-80, 10, (3, lanes))))
    noise = some_noise(rng, lanes) if noisy else None
    assert alike(BACKEND, NUMPY, functions, key, eps, caps, noise, chosen)


def test_comparison_sees_one_bit_of_one_sample():
    rng = np.random.default_rng(4)
    functions = control_runs.Functions(rng, 40, 1, ["exp"])
    caps = np.full((3, 40), 1000.0)

    def other(table, samples, *rest):
        samples = samples.copy()
        samples[1, 17, 0] = np.nextafter(samples[1, 17, 0], np.inf)
        _numpy.control(table, samples, *rest)

    key = (1, "central", None, None)
    assert alike(BACKEND, NUMPY, functions, key, 2.0**-52, caps)
    assert not alike(BACKEND, other, functions, key, 2.0**-52, caps)


@pytest.mark.parametrize("module", {backend, _numpy}, ids=lambda module: module.NAME)
@pytest.mark.parametrize("key", control_runs.USUAL, ids=str)
def test_an_element_is_judged_by_itself_alone(module, key):
    """Whatever else is in the call, and wherever it stands there."""

    def one_by_one(table, samples, eps, scale, k, k_unit, caps, noise, side, level, fresh, whole, state, results):
        for lane in range(state.shape[0]):
            for output in range(state.shape[1]):
                part = state[lane : lane + 1, output : output + 1].copy()
                found = results[:, lane : lane + 1, output : output + 1].copy()
                own = [a[..., lane : lane + 1].copy() for a in (scale, k, k_unit, caps)]
                sample = samples[:, lane : lane + 1, output : output + 1].copy()
                known = None if noise is None else noise[lane : lane + 1].copy()
                module.control(table, sample, eps, *own, known, side, level, fresh, whole, part, found)
                state[lane : lane + 1, output : output + 1] = part
                results[:, lane : lane + 1, output : output + 1] = found

    functions = control_runs.Functions(np.random.default_rng(5), 45, 2)
    caps = np.full((3, 45), 1000.0)
    noise = np.where(np.arange(45) % 3, 0.0, 1e-9)
    assert alike(module.control, one_by_one, functions, key, 2.0**-52, caps, noise)


@pytest.mark.parametrize("module", {backend, _numpy}, ids=lambda module: module.NAME)
@pytest.mark.parametrize("outputs", [1, 3])
def test_chosen_lanes_are_judged_as_copies_of_them_are(module, outputs):
    functions = control_runs.Functions(np.random.default_rng(7), 150, outputs)
    scheme, caps = steps.scheme(1, "central", None, None), np.full((3, 150), 1000.0)
    runs = (control_runs.run(module.control, functions, scheme, 2.0**-52, caps, None, way) for way in (0, 1))
    for copied, chosen in zip(*runs, strict=True):
        assert same(copied, chosen)


def test_what_is_done_stays_as_it_is():
    functions = control_runs.Functions(np.random.default_rng(6), 100, 2)
    scheme = steps.scheme(1, "central", None, None)
    before = None
    for state in control_runs.run(BACKEND, functions, scheme, 2.0**-52, np.full((3, 100), 1000.0)):
        if before is not None:
            done = before[..., steps.FIELD["status"]] != steps.RUNNING
            assert same(state[done], before[done])
        before = state


def test_runs_come_to_every_verdict_and_through_every_rule():
    """Or the comparisons above would not mean much."""
    verdicts, seen = set(), set()
    for _, state in control_runs.results(backend):
        verdicts |= set(state[..., steps.FIELD["status"]].ravel().astype(int))
        seen |= {name for name in ("sigma", "zeros", "probed", "want_level") if state[..., steps.FIELD[name]].any()}
        seen |= {f"side {side:g}" for side in np.unique(state[..., steps.FIELD["want_side"]])}
        seen |= {name for name in ("spread_least",) if np.isfinite(state[..., steps.FIELD[name]]).any()}
    assert verdicts == set(range(steps.EXHAUSTED + 1))
    assert seen == {"sigma", "zeros", "probed", "want_level", "side -1", "side 0", "side 1", "spread_least"}


@pytest.mark.parametrize("module", {backend, _numpy}, ids=lambda module: module.NAME)
@given(seeds, counts, st.integers(1, 3))
def test_next_round(module, seed, lanes, outputs):
    """Each lane does what its unfinished output with the smallest step wants; lanes come by kind, and otherwise as they were."""
    rng = np.random.default_rng(seed)
    state = rng.random((lanes, outputs, len(steps.FIELDS)))
    status = rng.integers(0, 2, (lanes, outputs)).astype(float)
    state[..., steps.FIELD["want_k"]] = rng.integers(-1060, 1000, (lanes, outputs))
    state[..., steps.FIELD["want_level"]] = rng.integers(0, 3, (lanes, outputs))
    state[..., steps.FIELD["want_side"]] = rng.integers(-1, 2, (lanes, outputs))
    exponent = rng.integers(-900, 1000, lanes)
    scale, least = np.ldexp(0.5, exponent), exponent - 50.0
    k, order, work, h = np.zeros(lanes), rng.permutation(lanes), np.empty(lanes, np.intp), np.empty(lanes)
    going = int(rng.integers(0, lanes + 1))
    expected = []
    for before, lane in enumerate(order[:going].tolist()):
        wants = [o for o in range(outputs) if status[lane, o] == steps.RUNNING]
        if wants:
            o = min(wants, key=lambda o: state[lane, o, steps.FIELD["want_k"]])
            step, level, side = (int(state[lane, o, steps.FIELD[f]]) for f in ("want_k", "want_level", "want_side"))
            place = {0: 3 if step - least[lane] < 25 else 0, 1: 1, -1: 2}[side]
            expected.append((4 * place + level, before, lane, step))
    numbers = module.next_round(state, status, scale, 25.0, going, k, order, work, h)
    expected.sort()
    assert numbers == [sum(code == e[0] for e in expected) for code in range(16)]
    assert order[: len(expected)].tolist() == [e[2] for e in expected]
    assert h[: len(expected)].tolist() == [2.0 ** e[3] for e in expected]
    assert [k[lane] for _, _, lane, _ in expected] == [step for *_, step in expected]


@pytest.mark.parametrize("module", {backend, _numpy}, ids=lambda module: module.NAME)
@given(seeds, counts, st.integers(1, 3), st.booleans(), st.booleans())
def test_gather(module, seed, lanes, outputs, own_unit, own_caps):
    """Lanes with a running output come after those that are there, with all that later rounds read of them."""
    rng = np.random.default_rng(seed)
    room, nodes, fields = lanes + 5, 4, len(steps.FIELDS)

    def arrays(count):
        unit, caps = rng.random(count if own_unit else 1), rng.random((3, count if own_caps else 1))
        state, samples = rng.random((count, outputs, fields)), rng.random((nodes, count, outputs))
        return rng.random(count), rng.random(count), unit, state, caps, samples, rng.random((4, count, outputs))

    source, to = arrays(lanes), arrays(room)
    source[-1][3] = rng.integers(0, 2, (lanes, outputs))
    source[3][..., steps.FIELD["want_level"]] = rng.integers(0, 2, (lanes, outputs))
    before = [a.copy() for a in to]
    which, at = np.full(room, -1), int(rng.integers(0, 5))
    going = [lane for lane in range(lanes) if 0 in source[-1][3, lane]]
    end = module.gather(source, to, 100, which, at)
    assert end == at + len(going)
    assert which[at:end].tolist() == [100 + lane for lane in going]
    scale, k, unit, state, caps, samples, results = range(7)
    for place, lane in enumerate(going, at):
        for a in (scale, k, state):
            np.testing.assert_array_equal(to[a][place], source[a][lane])
        np.testing.assert_array_equal(to[results][:, place], source[results][:, lane])
        if own_unit and room > 1:
            assert to[unit][place] == source[unit][lane if lanes > 1 else 0]
        if own_caps and room > 1:
            np.testing.assert_array_equal(to[caps][:, place], source[caps][:, lane if lanes > 1 else 0])
        again = (source[state][lane, :, steps.FIELD["want_level"]] > 0).any()  # at the same step
        known = nodes if again or outputs > 1 else 1
        np.testing.assert_array_equal(to[samples][:known, place], source[samples][:known, lane])
    untouched = [i for i in range(room) if not at <= i < end]
    for axis, new, old in zip((0, 0, 0, 0, 1, 1, 1), to, before):
        if new.shape[axis] == room:
            np.testing.assert_array_equal(new.take(untouched, axis), old.take(untouched, axis))


def spectra(rng, lanes, offsets, k):
    """Samples (nodes, lanes) of polynomials whose coefficients lie around everything that the rules compare them with."""
    falls = np.where(rng.random(lanes) < 0.7, rng.uniform(-16.0, -6.0, (5, lanes)), rng.uniform(-30.0, 2.0, (5, lanes)))
    falls[0] = rng.uniform(-24.0, 2.0, lanes)
    falls[rng.random((5, lanes)) < 0.03] = -60.0
    size = np.cumsum(falls, axis=0)
    odd = rng.random((5, lanes)) < 0.1  # at a height of its own above the roundoff
    size[odd] = -53.0 + rng.uniform(-6.0, 30.0, odd.sum())
    c = np.exp2(size) * rng.choice([-1.0, 1.0], (5, lanes))
    t = np.array(offsets)[:, None]
    samples = 1.0 + sum(c[q] * t ** (q + 1) for q in range(5))
    samples *= np.exp2(np.where(rng.random(lanes) < 0.05, rng.integers(-1000, 1000, lanes), rng.integers(-5, 5, lanes)))
    samples[rng.integers(0, len(t), 20), rng.integers(0, lanes, 20)] = rng.choice([np.nan, np.inf, -np.inf, 0.0], 20)
    k[rng.random(lanes) < 0.02] += rng.choice([-700.0, 700.0])
    return samples[:, :, None]


@pytest.mark.skipif(backend is _numpy, reason="NumPy's makes no difference")
@given(
    seed=seeds,
    side=st.sampled_from([0, steps.CLOSE]),
    eps=st.sampled_from([2.0**-52, 2.0**-52, 2.0**-23]),
    noisy=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_values_alone_are_those_of_whole_judgements(seed, side, eps, noisy):
    """Elements that end at once may be told by fewer comparisons, but not by other rules."""
    rng, lanes = np.random.default_rng(seed), 1000
    scheme = steps.scheme(1, "central", None, None)
    level = scheme.levels[side][0]
    x = rng.normal(size=lanes)
    k, unused = np.empty((2, lanes))
    unit = np.array([float(scheme.unit)])
    _numpy.start(x, unit, unit, 0.0, k, unused)
    samples = spectra(rng, lanes, level.offsets, k)
    noise = some_noise(rng, lanes) if noisy else None
    found = []
    for whole in (True, False):
        state, results = np.full((lanes, 1, len(steps.FIELDS)), 7.0), np.full((4, lanes, 1), 7.0)
        BACKEND(
            level.table, samples, eps, x, k, unit, np.full((3, 1), 1000.0), noise, 0, 0, True, whole, state, results
        )
        found.append((control_runs.known(state, results), results))
    (known, every), (known_alone, alone) = found
    running = every[3, :, 0] == steps.RUNNING
    assert same(every[[1, 3]], alone[[1, 3]])
    assert same(known[running], known_alone[running])
    if eps == 2.0**-52 and not noisy:  # or this would compare little
        assert ((alone[0] == 7.0) & (every[3] == steps.CONVERGED)).mean() > 0.2
