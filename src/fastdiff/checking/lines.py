"""f on straight lines through the point: its derivatives by the operators, and the remainder of its Taylor series.

`Lines` calls f; `Look` is one derivative along a line as the operators see it; `remainder` looks a second time, in another
way: how fast f(x + t v) - f(x) - t slope falls with t tells whether the slope is right. It falls like t**2 (and its odd
part like t**3) where it is, and like t where it is not; the even part falls like t at a kink. What remains to be decided
is where roundoff hides the difference, and that is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from .. import operators
from ..arguments import room
from ..assembly import room_along
from .frameworks import as_array
from .parameters import Parameters

_FINER = 4.0  # ratio of neighbouring steps of the ladder
_FARTHEST = 128.0  # of the ladder, in steps of the operator
_STEPS = 15  # of the ladder: down by a factor of 3e8
_SEEN = 6.0  # remainders of so many roundoffs are none
_CLOSE = 0.25  # share of an error bar that a difference seldom takes: bars are that wide
_ACCURACY = 6  # order of the stencil that is asked then
_FLAT = 0.2  # remainders over t that differ by no more than this do not fall
_BRIEF = slice(1, 9)  # of the ladder, where evaluations are few
BRIEF_COST = 22  # evaluations that a brief remainder takes
_BENT = 1e-7  # share of the slope that a kink has to change it by, to be looked for


class Spent(Exception):
    """f would have been evaluated more often than `Lines.most` allows."""


class Lines:
    """f around one point, as a function of vectors (d,) that gives float64 values (outputs,)."""

    def __init__(
        self, f: Callable[..., Any], parameters: Parameters, args: Sequence[Any], bounds: Any, vectorized: bool
    ) -> None:
        if not callable(f):
            raise TypeError(f"f must be callable, got {type(f).__name__}")
        self.f, self.parameters, self.args, self.vectorized = f, parameters, tuple(args), bool(vectorized)
        self.z = parameters.vector
        self.bounds = None if bounds is None else _flat_bounds(bounds, parameters)
        self.space = np.stack(room(self.bounds, self.z))  # how far each entry may go up and down
        self.nfev = 0
        self.eps = parameters.eps
        self.most: int | None = None  # evaluations, in total
        self._here: NDArray[Any] | None = None
        self._watched: list[tuple[int, float, NDArray[float64]]] | None = None  # axis, offset along it, values

    def call(self, z: NDArray[Any]) -> NDArray[Any]:
        """f at a vector (d,), or at many (k, d), as NumPy array."""
        count = len(z) if z.ndim > 1 else 1
        if self.most is not None and self.nfev + count > self.most:
            raise Spent
        self.nfev += count
        value = as_array(self.f(self.parameters.build(z), *self.args))
        if value.dtype.kind == "c":
            raise TypeError("f must return real values, got complex ones")
        if value.dtype.kind == "f":
            self.eps = max(self.eps, float(np.finfo(value.dtype).eps))
            if value.dtype == np.float64 and self.parameters.eps > 1e-10 and _is_single(value):
                value = value.astype(np.float32)  # float(loss) of a model in float32
        if self._watched is not None and value.dtype.kind in "fiub":
            rows = value.reshape(count, -1) if value.size % count == 0 else value.reshape(1, -1)[:0]
            for point, row in zip(z.reshape(count, -1), rows):
                self._watch(point, row.astype(float64))
        return value

    def _watch(self, point: NDArray[Any], row: NDArray[float64]) -> None:
        assert self._watched is not None
        moved = point - self.z
        j = int(np.argmax(np.abs(moved)))
        self._watched.append((j, float(moved[j]), row))

    @property
    def here(self) -> NDArray[Any]:
        """f at the point."""
        if self._here is None:
            with np.errstate(all="ignore"):
                value = self.call(self.z[None] if self.vectorized else self.z)
            if self.vectorized and value.shape[:1] != (1,):
                raise ValueError(
                    f"with vectorized=True f must return shape (1, ...) for one point, got shape {value.shape}"
                )
            self._here = value[0] if self.vectorized else value
        return self._here

    def at(self, v: NDArray[float64], t: NDArray[float64]) -> NDArray[float64]:
        """f at x + t v: (len(t), outputs), nan where it is out of bounds."""
        forward, backward = self.reach(v)
        inside = (t <= forward) & (-t <= backward)
        out = np.full((len(t), self.here.size), np.nan)
        with np.errstate(all="ignore"):
            if self.vectorized and inside.any():
                out[inside] = self.call(self.z + t[inside, None] * v).reshape(inside.sum(), -1)
            else:
                for i in np.flatnonzero(inside):
                    out[i] = self.call(self.z + t[i] * v).reshape(-1)
        return np.where(np.isfinite(out), out, np.nan)

    def reach(self, v: NDArray[float64]) -> tuple[float, float]:
        forward, backward = room_along(self.space, v)
        return float(forward), float(backward)

    def options(self) -> dict[str, Any]:
        return {"bounds": self.bounds, "vectorized": self.vectorized, "full_output": True}

    def look(self, v: NDArray[float64], factor: float = 1.0, accuracy: int | None = None) -> "Look":
        """The derivative along v. Another factor: from other samples."""
        self._watched = []
        try:
            found = operators.jvp(self.call, self.z, factor * v, accuracy=accuracy, **self.options())
        except Spent:
            t = [abs(moved / v[j]) for j, moved, _ in self._watched if moved != 0 and v[j] != 0]
            nothing = np.full(self.here.size, np.nan)
            step = np.full(self.here.size, t[-1] if t else np.nan)
            return Look(nothing, nothing + np.inf, step, nothing > 0, "f was evaluated too often")
        finally:
            seen, self._watched = self._watched, None
        look = Look.of(found, factor)
        pairs = [(moved / v[j], row) for j, moved, row in seen if v[j] != 0]
        return replace(look, bent=self._bent(pairs, np.maximum(np.abs(look.value), look.error)))

    def watching_axes(self, run: Callable[[], Any]) -> tuple[Any, NDArray[np.bool_]]:
        """What `run` returns, and where the values it saw along each axis look bent at the point: (outputs, d)."""
        self._watched = []
        try:
            found = run()
        finally:
            seen, self._watched = self._watched, None
        d = len(self.z)
        size = np.maximum(np.abs(found.value), found.error).reshape(-1, d)
        along: list[list[tuple[float, NDArray[float64]]]] = [[] for _ in range(d)]
        for j, moved, row in seen:
            along[j].append((moved, row))
        return found, np.stack([self._bent(along[j], size[:, j]) for j in range(d)], axis=1)

    def _bent(self, samples: list[tuple[float, NDArray[float64]]], slope: NDArray[float64]) -> NDArray[np.bool_]:
        """Whether f seems to have a kink at the point itself, which differences to both sides do not see.

        The even part of f is a |t| + b t**2 at the next two pairs of samples; a is the kink.
        """
        here = self.here.astype(float64).reshape(-1)
        no = np.zeros(here.size, bool)
        by = {t: row for t, row in samples if t != 0 and row.shape == here.shape}
        pairs = sorted(t for t in by if t > 0 and -t in by)
        if len(pairs) < 2:
            return no
        with np.errstate(all="ignore"):
            for t, u in zip(pairs, pairs[1:]):  # farther ones may see kinks farther away
                if u < 1.2 * t or u > 16.0 * pairs[0]:
                    continue
                near, far = ((by[s] / 2 + by[-s] / 2 - here) / s for s in (t, u))
                kink = np.abs(near * u - far * t) / (u - t)
                rough = 32.0 * self.eps * np.maximum(np.abs(here), np.abs(by[u])) / t
                seen = (kink > rough) & (kink > _BENT * slope) & (kink > 0.1 * np.abs(near))
                no = no | seen
        return np.asarray(no)

    def sharpened(self, v: NDArray[float64], look: "Look", given: NDArray[float64], floor: NDArray[float64]) -> "Look":
        """Where a difference comes near its bar: with the bar of a stencil of higher order, if that is narrower."""
        close = look.close(given, floor)
        if not close.any():
            return look
        other = self.look(v, accuracy=_ACCURACY)
        better = close & other.converged & (other.error < look.error)
        value, error, step = (
            np.where(better, new, old)
            for new, old in ((other.value, look.value), (other.error, look.error), (other.step, look.step))
        )
        return Look(value, error, step, look.converged, look.reason, look.bent | other.bent)


@dataclass(frozen=True)
class Look:
    """Derivatives (outputs,) along one line, with error bars and steps."""

    value: NDArray[float64]
    error: NDArray[float64]
    step: NDArray[float64]
    converged: NDArray[np.bool_]
    reason: str
    bent: NDArray[np.bool_] | bool = False  # seems to have a kink at the point

    def close(self, given: NDArray[float64], floor: NDArray[float64]) -> NDArray[np.bool_]:
        """Whether a difference within the bar comes nearer to its end than right derivatives do."""
        with np.errstate(all="ignore"):
            off = np.abs(given - self.value)
            near = (off > _CLOSE * self.error) & (off <= self.error + floor) & (off > floor)
        return np.asarray(self.converged & near)

    @classmethod
    def of(cls, found: Any, factor: float = 1.0) -> "Look":
        value, error, step, converged = (np.ravel(a) for a in (found.value, found.error, found.h, found.converged))
        return cls(value / factor, error / factor, step * factor, converged, found.reason)


@dataclass(frozen=True)
class Remainder:
    """What the Taylor remainder of one output along one line says of a slope.

    `order`: of its odd part, 1 where the slope is wrong; nan where nothing rises above roundoff. `gap`: the slope less
    the given one, where the order is 1. `kink`: slopes below and above, or None. `bar`: how far off a slope that is right
    may be.
    """

    wrong: bool
    right: bool
    order: float
    gap: float
    bar: float
    kink: tuple[float, float] | None


def remainder(
    lines: Lines, v: NDArray[float64], given: NDArray[float64], step: float, brief: bool = False
) -> list[Remainder]:
    """The verdict of the remainder on slopes (outputs,) along v; `step` is where the operators found the derivative."""
    t = step * _FARTHEST * 1.0625 * _FINER ** -np.arange(float(_STEPS))
    t = t[_BRIEF] if brief else t
    here = lines.here.astype(float64).reshape(-1)
    noise = _noise(lines, v, step, here)
    up, down = lines.at(v, t), lines.at(v, -t)
    return [_judged(t, up[:, i], down[:, i], here[i], given[i], noise[i], lines.eps) for i in range(len(given))]


def _noise(lines: Lines, v: NDArray[float64], step: float, here: NDArray[float64]) -> NDArray[float64]:
    """Roundoff in values of f, from third differences of close neighbours, which know nothing else; at least half a unit."""
    scale = np.abs(lines.z[v != 0]) / np.abs(v[v != 0])
    least = 16.0 * lines.eps * float(scale.min(initial=0.0))
    nodes = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]) * max(step * 2.0**-16, least)
    samples = np.insert(lines.at(v, nodes), 3, np.where(np.isfinite(here), here, np.nan), axis=0)
    with np.errstate(all="ignore"):
        third = np.diff(samples, 3, axis=0)
        unit = np.maximum(np.nan_to_num(np.nanmax(np.abs(third), axis=0, initial=0.0)), 1e-300)  # squares may overflow
        known = np.isfinite(third).any()
        heard = unit * np.sqrt(np.nanmean(np.square(third / unit), axis=0) / 20.0) if known else 0.0 * here
        return np.maximum(1.5 * np.nan_to_num(heard), 0.5 * lines.eps * np.abs(here))


def _judged(
    t: NDArray[float64],
    up: NDArray[float64],
    down: NDArray[float64],
    here: float,
    given: float,
    noise: float,
    eps: float,
) -> Remainder:
    """Slopes at falling t from values on both sides, or on one where the other has none."""
    moved = np.abs(np.stack((up, down)) - here)
    if (moved == 0).any() and (moved > 0).any():  # values come in steps: none is known better than the least of them
        noise = max(noise, float(moved[moved > 0].min()))
    power = 2  # of t, with which slopes on both sides come near
    with np.errstate(all="ignore"):
        both = np.isfinite(up) & np.isfinite(down)
        if both[-4:].all():
            off = (up - down) / (2 * t) - given
            bend = (up / 2 + down / 2 - here) / t
        else:
            side, sign = (up, 1.0) if np.isfinite(up[-4:]).all() else (down, -1.0)
            off = sign * (side - here) / t - given
            bend = np.zeros(len(t))
            power = 1
        good = np.isfinite(off)
        off, bend, t = off[good], bend[good], t[good]
        if len(t) < 5:
            return Remainder(False, False, np.nan, np.nan, np.inf, None)
        # Where t is least, slopes differ by roundoff alone, whether they are those given or not.
        noise = max(noise, float((np.abs(np.diff(off)) * t[1:])[-4:].max()))
        rough = noise / t + np.spacing(abs(given))
        kink = _flat_tail(bend, rough)
        if kink is not None and abs(bend[kink]) > 0.02 * abs(off[kink]):
            slope = off[kink] + given
            return Remainder(False, False, 1.0, np.nan, np.inf, (slope - abs(bend[kink]), slope + abs(bend[kink])))
        # Without the first power of t that the slopes lack: an error shows at larger t, farther above roundoff.
        near = off[1:] + np.diff(off) / (_FINER**power - 1)
        wrong = _flat_tail(near, rough[1:])
        if wrong is not None and not _jumped(off, 2.0 * eps * abs(here) / t, wrong + 1):
            at = wrong + 1
            return Remainder(True, False, _order(off, t, at), float(near[wrong]), float(rough[at]), None)
        last = _least_seen(off, rough)
        bars = np.abs(off) + _SEEN * rough
        bar = float(np.maximum(bars[1:], bars[:-1]).min())  # of two neighbours: one alone may be near by chance
        if last < 2:
            return Remainder(False, True, np.nan, np.nan, bar, None)
        falls = abs(off[last]) * 2.0 <= abs(off[last - 1]) and abs(off[last]) * 4.0 <= abs(off[last - 2])
        return Remainder(False, bool(falls), _order(off, t, last), np.nan, bar, None)


def _least_seen(off: NDArray[float64], rough: NDArray[float64]) -> int:
    """The least step at which the quantity stands above roundoff; -1: none."""
    seen = np.flatnonzero(np.abs(off) >= _SEEN * rough)
    return int(seen[-1]) if seen.size else -1


def _flat_tail(off: NDArray[float64], rough: NDArray[float64]) -> int | None:
    """Where the quantity stays the same over three steps, down to where roundoff hides it; None if it falls."""
    last = _least_seen(off, rough)
    if last < 2:
        return None
    three, bars = off[last - 2 : last + 1], rough[last - 2 : last + 1]
    same = np.abs(three - three[1]) <= _FLAT * abs(three[1]) + bars
    return last - 1 if same.all() else None


def _jumped(off: NDArray[float64], least: NDArray[float64], flat: int) -> bool:
    """Whether what is flat next to `flat` is gone at smaller steps where the least roundoff does not hide it: the larger
    ones have jumped over a kink then."""
    size = abs(off[flat])
    below = off[flat + 2 :][_SEEN * least[flat + 2 :] <= 0.5 * size]
    return bool(below.size and (np.abs(below[-2:]) <= 0.3 * size).all())


def _order(off: NDArray[float64], t: NDArray[float64], last: int) -> float:
    """The power of t with which the remainder itself, t times `off`, falls next to `last`."""
    first = max(last - 1, 0)
    if first == last or off[first] == 0 or off[last] == 0:
        return float("nan")
    return float(1.0 + np.log(abs(off[first] / off[last])) / np.log(t[first] / t[last]))


def _is_single(value: NDArray[Any]) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all((value.astype(np.float32) == value) | np.isnan(value)))


def _flat_bounds(bounds: Any, parameters: Parameters) -> tuple[NDArray[float64], NDArray[float64]]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be a pair (lo, hi), got {bounds!r:.80}") from None
    flat = []
    for name, bound in (("bounds[0]", low), ("bounds[1]", high)):
        if np.ndim(as_array(bound) if not isinstance(bound, dict | list | tuple) else 1) == 0 and not isinstance(
            bound, dict
        ):
            flat.append(np.full(len(parameters), float(bound)))
        elif parameters.plain:
            shape = parameters.leaves[0].shape
            try:
                flat.append(np.broadcast_to(np.asarray(bound, float64), shape).reshape(-1))
            except ValueError:
                raise ValueError(f"{name} must broadcast with x of shape {shape}, got {np.shape(bound)}") from None
        else:
            flat.append(parameters.flattened(bound, name))
    return flat[0], flat[1]
