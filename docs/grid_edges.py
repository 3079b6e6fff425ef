"""Draws grid_edges.svg for grid.md: errors along an axis, and at its edge against the spacing. Needs Matplotlib."""

from pathlib import Path

import matplotlib
import numpy as np

from fastdiff import grid

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "fastdiff"
import matplotlib.pyplot as plt  # noqa: E402


def main() -> None:
    figure, (along, against) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    x = np.linspace(0, 2, 41)
    paths = {
        "np.gradient": lambda f, x: np.gradient(f, x[1] - x[0]),
        "np.gradient, edge_order=2": lambda f, x: np.gradient(f, x[1] - x[0], edge_order=2),
        "accuracy=4": lambda f, x: grid.derivative(f, x[1] - x[0], accuracy=4),
        "accuracy=8": lambda f, x: grid.derivative(f, x[1] - x[0], accuracy=8),
    }
    counts = np.unique(np.geomspace(20, 2000, 30).astype(int))
    for name, path in paths.items():
        along.semilogy(x, np.abs(path(np.exp(x), x) - np.exp(x)) + 1e-17, ".-", label=name)
        errors = []
        for count in counts:
            fine = np.linspace(0, 2, count)
            errors.append(abs(path(np.exp(fine), fine)[-1] - np.exp(2)) + 1e-17)
        against.loglog(2 / (counts - 1), errors, ".-", label=name)
    along.set(title="Error along the axis, 41 points", xlabel="x", ylabel="error of d exp(x) / dx")
    against.set(title="Error at the last point", xlabel="spacing", ylabel="error")
    against.legend()
    figure.savefig(Path(__file__).with_name("grid_edges.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
