"""Whole runs of the step control on functions of every kind, for tests that compare backends."""

from itertools import product

import numpy as np

from fastdiff import steps
from fastdiff.kernels import _numpy

KINDS = (
    "exp", "sin", "cubic", "root", "log", "pole", "kink", "jump", "power", "constant", "zero", "even", "rounded",
    "wall", "speckled", "raw", "huge",
)  # fmt: skip


METHODS = ("central", "forward", "backward")
ACCURACIES = (None, 2, 4, 8, 16)
USUAL = [(n, method, None, None) for n in (1, 2) for method in METHODS]
SAMPLED = list(product(range(1, 11), METHODS, ACCURACIES, (None, 1, 2, 3)))[7::17]


def scheme(*key):
    """The scheme for (n, method, accuracy, richardson), or None where it takes too many points."""
    try:
        return steps.scheme(*key)
    except ValueError:
        return None


class Functions:
    """Lanes of functions drawn at random: `kinds` to choose from, amplitudes, frequencies, offsets and noise at large."""

    def __init__(self, rng, lanes, outputs, kinds=KINDS):
        shape = (lanes, outputs)
        self.kind = rng.choice(kinds, shape)
        tame = rng.random(shape) < 0.6
        self.amplitude = np.where(tame, 1.0, np.ldexp(rng.uniform(1, 2, shape), rng.integers(-1060, 1020, shape)))
        self.frequency = np.where(rng.random(shape) < 0.6, 1.0, np.ldexp(1.0, rng.integers(-40, 40, shape)))
        self.offset = np.where(rng.random(shape) < 0.8, 0.0, np.ldexp(1.0, rng.integers(-20, 40, shape)))
        self.noise = np.where(rng.random(shape) < 0.7, 0.0, 10.0 ** rng.uniform(-14, 0, shape))
        wide = np.ldexp(rng.standard_normal(lanes), rng.integers(-300, 300, lanes))
        self.x = np.where(rng.random(lanes) < 0.7, rng.standard_normal(lanes), wide)
        self.x[rng.random(lanes) < 0.1] = 0.0
        self.edge = np.where(rng.random(shape) < 0.3, self.x[:, None], self.x[:, None] * rng.uniform(0.9, 1.1, shape))

    def __call__(self, lane, x):
        """The values (lanes, outputs) of the functions of the given lanes at their points x."""
        kind, a, w, edge = (v[lane] for v in (self.kind, self.amplitude, self.frequency, self.edge))
        x = x[:, None] + np.zeros(kind.shape)
        u = w * x
        noise = np.sin(1e9 * u + 1e5 * x)
        shapes = {
            "exp": np.exp(np.clip(u, -700, 700)),
            "sin": np.sin(u),
            "cubic": (u - 1) * u * (u + 2),
            "root": np.sqrt(x - edge),
            "log": np.log(np.abs(u)),
            "pole": 1 / (x - edge),
            "kink": np.abs(x - edge),
            "jump": np.sign(x - edge),
            "power": np.abs(u - edge) ** 1.5,
            "constant": np.ones(x.shape),
            "zero": np.zeros(x.shape),
            "even": np.cosh(np.clip(w * (x - self.x[lane][:, None]), -700, 700)),
            "rounded": np.sin(u).astype(np.float32).astype(float),
            "wall": np.where(x > edge, np.inf, u),
            "speckled": np.where(noise > 0.5, np.nan, u),
            "raw": (u.view(np.int64) * 6364136223846793005).view(float),
            "huge": 1e308 * np.sin(u),
        }
        value = np.select([kind == name for name in shapes], list(shapes.values()))
        return a * (value + self.offset[lane] + self.noise[lane] * noise)


def run(control, functions, scheme, eps, caps, noise=None, chosen=False, limit=40):
    """Yield the state (lanes, outputs, fields) after each round of all lanes, as an engine would drive them: what a lane
    samples next is what its first unfinished output wants. `chosen`: lanes are judged where they are, not copied."""
    lanes, outputs = functions.kind.shape
    scale = np.abs(functions.x)
    k_unit = np.full(lanes, float(scheme.unit))
    k, k_least = np.empty((2, lanes))
    _numpy.start(scale, k_unit, k_unit[:1], 0.0, k, k_least)
    k = np.minimum(k, caps[scheme.first_side])
    side, level = np.full(lanes, float(scheme.first_side)), np.zeros(lanes)
    state = np.full((lanes, outputs, len(steps.FIELDS)), 7.0)
    results = np.zeros((len(steps.RESULTS), lanes, outputs))
    fresh = np.ones(lanes, bool)
    want_k, want_level, want_side = (steps.FIELD[f] for f in "want_k want_level want_side".split())
    for _ in range(limit):
        active = (results[3] == steps.RUNNING).any(axis=1)
        if not active.any():
            break
        for s, v, first in sorted(set(zip(side[active], level[active], fresh[active], strict=True))):
            lane = np.flatnonzero(active & (side == s) & (level == v) & (fresh == first))
            fresh[lane] = False
            node = scheme.levels[int(s)][int(v)]
            with np.errstate(all="ignore"):
                h = np.ldexp(1.0, k[lane].astype(int))
                samples = np.stack([functions(lane, functions.x[lane] + t * h) for t in node.offsets])
            if chosen:
                every = np.full((node.size + 1, lanes, outputs), np.nan)
                every[:-1, lane] = samples
                control(
                    node.table, every, eps, scale, k, k_unit, caps, noise, int(s), int(v), first, True, state, results, lane
                )  # fmt: skip
            else:
                part, found = state[lane], np.ascontiguousarray(results[:, lane])
                bounds = [np.ascontiguousarray(a[..., lane]) for a in (scale, k, k_unit, caps)]
                heard = None if noise is None else noise[lane]
                control(node.table, samples, eps, *bounds, heard, int(s), int(v), first, True, part, found)
                state[lane], results[:, lane] = part, found
            running = results[3, lane] == steps.RUNNING
            wants = state[lane, np.argmax(running, axis=1)].T
            going = running.any(axis=1)
            k[lane[going]] = wants[want_k][going]
            level[lane[going]] = wants[want_level][going]
            side[lane[going]] = wants[want_side][going]
        yield known(state, results)


def known(state, results):
    """A copy of the state and the results without what means nothing: of elements that are done only the result does."""
    done = results[3] != steps.RUNNING
    copy = np.where(done[..., None], 0.0, state)
    copy[..., [steps.FIELD[name] for name in steps.RESULTS]] = np.moveaxis(results, 0, -1)
    return copy


def results(module):
    """One array for each round of many runs, by schemes from all over, and the usual ones with more lanes."""
    for i, key in enumerate(USUAL + SAMPLED):
        found = scheme(*key)
        if found is None:
            continue
        rng = np.random.default_rng(i)
        for outputs, lanes in ((1, 150), (2, 33), (3, 7)) if key in USUAL else ((1 + i % 3, 20),):
            functions = Functions(rng, lanes, outputs)
            caps = np.where(rng.random((3, lanes)) < 0.8, 1000.0, np.floor(rng.uniform(-60, 0, (3, lanes))))
            eps = 2.0**-23 if rng.random() < 0.2 else 2.0**-52
            for state in run(module.control, functions, found, eps, caps, None, rng.random() < 0.5):
                yield f"control {key}", state
