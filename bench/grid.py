"""Derivatives of sampled data against np.gradient, findiff and a bare copy, in one process; answers are asserted.

    python bench/grid.py                                         the table of claims
    python bench/grid.py --shape 1000,1000 --axis 0 --n 1 --accuracy 4 --dtype float32
                                                                 one case; --axis all: the gradient

Prints the least time of each path and how many times ours it is. `ours` writes to out=, `ours, new` allocates.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from fastdiff import grid

try:
    import findiff
except ImportError:
    findiff = None

Paths = dict[str, Callable[[], object]]


def least_times(paths: Paths, repeats: int) -> dict[str, float]:
    """The least time of each path; the paths take turns, so that a busy moment hits all."""
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(repeats + 1):
        for name, path in paths.items():
            begin = time.perf_counter()
            path()
            times[name].append(time.perf_counter() - begin)
    return {name: min(found[1:]) for name, found in times.items()}


def table(title: str, paths: Paths, repeats: int) -> dict[str, float]:
    """Prints and returns how many times `ours` each path takes."""
    found = least_times(paths, repeats)
    print(f"\n{title}")
    for name, seconds in found.items():
        print(f"  {name:<24} {seconds * 1e3:9.2f} ms {seconds / found['ours']:8.2f}")
    return {name: seconds / found["ours"] for name, seconds in found.items()}


def same(got: object, want: object, what: str) -> None:
    got, want = np.asarray(got), np.asarray(want)
    scale = np.abs(want).max()
    tolerance = (2e-5 if got.dtype.itemsize // (2 if got.dtype.kind == "c" else 1) == 4 else 1e-12) * scale
    assert np.abs(got - want).max() <= tolerance, f"{what}: answers differ by {np.abs(got - want).max()}"


def samples(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def one_axis(shape: tuple[int, ...], axis: int, n: int, accuracy: int, dtype: str, repeats: int) -> dict[str, float]:
    a = samples(shape, dtype)
    out, copied = np.zeros_like(a), np.zeros_like(a)
    options = {"axis": axis, "n": n, "accuracy": accuracy}
    paths: Paths = {
        "ours": lambda: grid.derivative(a, 0.5, out=out, **options),
        "ours, one thread": lambda: grid.derivative(a, 0.5, out=out, threads=1, **options),
        "ours, new": lambda: grid.derivative(a, 0.5, **options),
        "copy": lambda: np.copyto(copied, a),
    }
    paths["ours"]()
    if n == 1:
        paths["np.gradient (order 2)"] = lambda: np.gradient(a, 0.5, axis=axis, edge_order=2)
        if accuracy == 2:
            same(out, paths["np.gradient (order 2)"](), "np.gradient")
    if findiff is not None and accuracy % 2 == 0:
        peer = findiff.Diff(axis % a.ndim, 0.5, acc=accuracy) ** n
        paths["findiff"] = lambda: peer(a)
        inner = (*(slice(None),) * (axis % a.ndim), slice(12, -12))
        if n == 1:
            same(out[inner], np.asarray(peer(a))[inner], "findiff")
    return table(f"{dtype} {shape}, axis {axis}, derivative {n}, accuracy {accuracy}", paths, repeats)


def all_axes(shape: tuple[int, ...], accuracy: int, dtype: str, repeats: int) -> dict[str, float]:
    a = samples(shape, dtype)
    outs = [np.zeros_like(a) for _ in shape]
    paths: Paths = {
        "ours": lambda: grid.gradient(a, 0.5, accuracy=accuracy, out=outs),
        "ours, one thread": lambda: grid.gradient(a, 0.5, accuracy=accuracy, out=outs, threads=1),
        "ours, new": lambda: grid.gradient(a, 0.5, accuracy=accuracy),
        "copy": lambda: np.copyto(outs[0], a),
        "np.gradient (order 2)": lambda: np.gradient(a, 0.5, edge_order=2),
    }
    grid.gradient(a, 0.5, accuracy=accuracy, out=outs)
    if accuracy == 2:
        for got, want in zip(outs, np.gradient(a, 0.5, edge_order=2), strict=True):
            same(got, want, "np.gradient")
    return table(f"{dtype} {shape}, gradient, accuracy {accuracy}", paths, repeats)


def laplacian(shape: tuple[int, ...], accuracy: int, dtype: str, repeats: int) -> dict[str, float]:
    a = samples(shape, dtype)
    out, copied = np.zeros_like(a), np.zeros_like(a)
    paths: Paths = {
        "ours": lambda: grid.laplacian(a, 0.5, accuracy=accuracy, out=out),
        "ours, new": lambda: grid.laplacian(a, 0.5, accuracy=accuracy),
        "copy": lambda: np.copyto(copied, a),
    }
    paths["ours"]()
    if findiff is not None:
        peer = sum(
            (findiff.Diff(k, 0.5, acc=accuracy) ** 2 for k in range(1, a.ndim)), findiff.Diff(0, 0.5, acc=accuracy) ** 2
        )
        paths["findiff"] = lambda: peer(a)
        inner = (slice(accuracy, -accuracy),) * a.ndim
        same(out[inner], np.asarray(peer(a))[inner], "findiff")
    return table(f"{dtype} {shape}, Laplacian, accuracy {accuracy}", paths, repeats)


def uneven(count: int, repeats: int) -> dict[str, float]:
    a, out = samples((count,), "float64"), np.zeros(count)
    x = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, count))
    paths: Paths = {
        "ours": lambda: grid.derivative(a, x, out=out),
        "ours, new": lambda: grid.derivative(a, x),
        "np.gradient (order 2)": lambda: np.gradient(a, x, edge_order=2),
    }
    paths["ours"]()
    same(out, np.gradient(a, x, edge_order=2), "np.gradient")
    return table(f"float64 ({count},), coordinates, accuracy 2", paths, repeats)


def small(repeats: int) -> dict[str, float]:
    """A hundred calls each."""
    a = samples((100,), "float64")

    def hundred(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(100)]

    paths: Paths = {
        "ours": hundred(lambda: grid.derivative(a, 0.5)),
        "np.gradient (order 2)": hundred(lambda: np.gradient(a, 0.5, edge_order=2)),
    }
    same(grid.derivative(a, 0.5), np.gradient(a, 0.5, edge_order=2), "np.gradient")
    return table("float64 (100,), accuracy 2, a hundred calls", paths, 5 * repeats)


def claims(repeats: int) -> None:
    print("least time, and how many times ours")
    line = one_axis((10**7,), 0, 1, 2, "float64", repeats)
    fourth = one_axis((10**7,), 0, 1, 4, "float64", repeats)
    cube = all_axes((256,) * 3, 2, "float64", repeats)
    axes = {}
    a = samples((256,) * 3, "float64")
    out = np.zeros_like(a)
    for accuracy in (2, 8):
        paths: Paths = {
            f"axis {k}": lambda k=k, p=accuracy: grid.derivative(a, axis=k, accuracy=p, out=out) for k in range(3)
        }
        axes[accuracy] = least_times(paths, repeats)
    box = laplacian((200,) * 3, 4, "float64", repeats)
    one_axis((4000, 4000), 0, 2, 6, "float32", repeats)
    ragged = uneven(10**6, repeats)
    call = small(repeats)
    print()
    rows = [
        ("1-D, order 2: copy on one thread / ours", line["copy"], 1.0),
        ("1-D, order 2: np.gradient / ours", line["np.gradient (order 2)"], 4.0),
        ("256^3 gradient: np.gradient / ours, new", cube["np.gradient (order 2)"] / cube["ours, new"], 4.0),
        ("256^3 gradient: np.gradient / ours", cube["np.gradient (order 2)"], 4.0),
        ("10^6 uneven, order 2: np.gradient / ours, new", ragged["np.gradient (order 2)"] / ragged["ours, new"], 1.0),
        ("100 samples, order 2: np.gradient / ours", call["np.gradient (order 2)"], 1.0),
    ]
    if findiff is not None:
        rows += [
            ("1-D, accuracy 4: findiff / ours", fourth["findiff"], 15.0),
            ("200^3 Laplacian, accuracy 4: findiff / ours", box["findiff"], 8.0),
        ]
    for name, ratio, wanted in rows:
        print(f"{name:<60} {ratio:6.2f}  wanted: at least {wanted:g}")
    for accuracy, times in axes.items():
        ratio = max(times.values()) / min(times.values())
        print(f"{f'256^3, accuracy {accuracy}: slowest / fastest axis':<60} {ratio:6.2f}  wanted: at most 1.5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", help="e.g. 256,256,256; without it the table of claims is measured")
    parser.add_argument("--axis", default="-1", help="a number, or all")
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--accuracy", type=int, default=2)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if options.shape is None:
        claims(options.repeats)
        return
    shape = tuple(map(int, options.shape.split(",")))
    if options.axis == "all":
        all_axes(shape, options.accuracy, options.dtype, options.repeats)
    else:
        one_axis(shape, int(options.axis), options.n, options.accuracy, options.dtype, options.repeats)


if __name__ == "__main__":
    main()
