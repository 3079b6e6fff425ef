"""The command line: ``python -m fastdiff COMMAND``."""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from math import isfinite
from typing import Any, NoReturn

from .config import show_config

_STATUS = {"correct": 0, "wrong": 1, "inconclusive": 2}
_BAD_INPUT = 3


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are told from verdicts."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_BAD_INPUT, f"{self.prog}: error: {message}\n")


def _info(options: argparse.Namespace) -> None:
    show_config()


def _demo(options: argparse.Namespace) -> None:
    from . import demo

    demo.run()


def _bench(options: argparse.Namespace) -> None:
    from . import bench

    bench.run(options.json)


def _check(options: argparse.Namespace) -> int:
    from . import checking

    f, derivative = _named(options.f), _named(options.derivative)
    x = _point(options.at)
    run: Callable[..., Any] = getattr(checking, f"check_{options.kind}")
    report = run(f, derivative, x, directions=options.directions, seed=options.seed, rtol=options.rtol)
    print(json.dumps(report.to_dict(), allow_nan=False) if options.json else report)
    return _STATUS[report.verdict]


def _derivative(options: argparse.Namespace) -> int:
    import numpy as np

    from .operators import derivative

    if (options.f is None) == (options.expr is None):
        raise ValueError("give either MODULE:FUNCTION or --expr")
    if options.expr is not None:
        from . import symbolic

        f = symbolic.function(options.variable, options.expr).__call__
    else:
        f = _named(options.f)
    x = _point(options.at)
    if isinstance(x, dict):
        raise ValueError("--at takes numbers with commas, or a .npy file, got a .npz file")
    h = options.h if options.h in (None, "scaled") else float(options.h)
    rows = []
    for at in x.reshape(-1).tolist():
        r = derivative(f, at, options.method, h, n=options.n, accuracy=options.accuracy, full_output=True)
        if np.iscomplexobj(r.value):
            raise TypeError("f must be real, got complex values")
        rows.append(
            {"x": at, "value": float(r.value), "error": float(r.error), "h": float(r.h), "nfev": r.nfev,
             "converged": bool(r.converged), "reason": r.reason}
        )  # fmt: skip
    if options.plot:
        _plot(f, x.reshape(-1), options, h)
    if options.json:
        plain = [{k: None if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()} for row in rows]
        print(json.dumps({"function": options.f or options.expr, "n": options.n, "results": plain}, allow_nan=False))
    else:
        print(f"{'x':>12} {'value':>23} {'error bar':>10} {'step':>9}  converged")
        for row in rows:
            known = "yes" if row["converged"] else f"no: {row['reason']}"
            print(f"{row['x']:12.6g} {row['value']:23.15g} {row['error']:10.1e} {row['h']:9.1e}  {known}")
    return _STATUS["correct" if all(row["converged"] for row in rows) else "inconclusive"]


def _plot(f: Callable[..., Any], x: Any, options: argparse.Namespace, h: Any) -> None:
    import numpy as np

    from .optional import needed
    from .plotting import plot_derivative

    figure = needed("matplotlib.figure", "plot").Figure(figsize=(6.4, 4.0), layout="constrained")
    points = np.union1d(x, np.linspace(x.min(), x.max(), 201)) if x.size > 1 else x
    plot_derivative(f, points, None, (options.method,), h, n=options.n, ax=figure.subplots())
    figure.savefig(options.plot, dpi=150)


def _reported(command: str, run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The command, with a message and a status of its own where the input is bad."""

    def guarded(options: argparse.Namespace) -> int:
        if "" not in sys.path:
            sys.path.insert(0, "")  # modules of the folder one works in
        try:
            return run(options)
        except (ImportError, AttributeError, OSError, ValueError, TypeError) as error:
            print(f"python -m fastdiff {command}: error: {error}", file=sys.stderr)
        except Exception:  # of the functions that were named
            traceback.print_exc()
        return _BAD_INPUT

    return guarded


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"a function must be written as module:name, got {name!r}")
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _point(text: str) -> Any:
    """Numbers with commas, an array from a .npy file, or a dict of arrays from a .npz file."""
    import numpy as np

    if text.endswith((".npy", ".npz")):
        loaded = np.load(text, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(f"--at takes numbers with commas, or a .npy or .npz file, got {text!r}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    parser = _Parser(prog="python -m fastdiff", description="Derivatives by finite differences.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    info = commands.add_parser(
        "info",
        help="print version, backend, compiler and what lies underneath",
        description="Print version, backend, compiler and what lies underneath. Exit status: 0.",
    )
    info.set_defaults(run=_info)

    demo = commands.add_parser(
        "demo",
        help="differentiate two functions, and time a million derivatives",
        description="Differentiate two functions, and time a million derivatives in each backend. Exit status: 0 if all "
        "answers are right, 1 if not.",
    )
    demo.set_defaults(run=_demo)

    check = commands.add_parser(
        "check",
        help="check a derivative at a point",
        description="Check a derivative at a point. Exit status: 0 correct, 1 wrong, 2 inconclusive, 3 bad input.",
    )
    check.add_argument("f", metavar="MODULE:FUNCTION", help="the function")
    check.add_argument("derivative", metavar="MODULE:DERIVATIVE", help="the derivative to be checked")
    check.add_argument(
        "--at", metavar="X", required=True, help="1,2,3 (--at=-1,2 if it starts with a minus), or a .npy or .npz file"
    )
    check.add_argument(
        "--kind", choices=("gradient", "jacobian", "hessian", "jvp", "vjp"), default="gradient",
        help="what the derivative is (default: gradient)",
    )  # fmt: skip
    check.add_argument("--directions", type=int, metavar="K", help="look along K random directions")
    check.add_argument("--seed", type=int, default=0, help="of the random directions (default: 0)")
    check.add_argument("--rtol", type=float, help="let relative errors up to this pass")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=_reported("check", _check))

    derivative = commands.add_parser(
        "derivative",
        help="differentiate a function at some points",
        description="Differentiate a function of one number: a table of x, value, error bar, step, and whether it "
        "converged. Exit status: 0 all converged, 2 some did not, 3 bad input.",
        epilog="examples: python -m fastdiff derivative numpy:sin --at 0,0.5,1; "
        'python -m fastdiff derivative --expr "log(1+exp(x))" --at=-2,2 --n 2 --plot softplus.png',
    )
    derivative.add_argument("f", metavar="MODULE:FUNCTION", nargs="?", help="the function, such as numpy:sin")
    derivative.add_argument(
        "--expr", metavar="EXPR",
        help="a formula in its place (needs SymPy): numbers, x, + - * / **, pi, e, and functions such as sin, exp, log, "
        "sqrt, erf, Max; nothing else is read, and nothing else is ever evaluated",
    )  # fmt: skip
    derivative.add_argument("--variable", metavar="NAME", default="x", help="what EXPR calls its variable (default: x)")
    derivative.add_argument(
        "--at", metavar="X", required=True, help="0,0.5,1 (--at=-1,2 if it starts with a minus), or a .npy file"
    )
    derivative.add_argument("--n", type=int, default=1, help="order of the derivative, 1 to 10 (default: 1)")
    derivative.add_argument(
        "--method",
        choices=("central", "forward", "backward"),
        default="central",
        help="on which side of x f is sampled (default: central)",
    )
    derivative.add_argument("--h", metavar="H", help="a step, or scaled (default: found for each point)")
    derivative.add_argument("--accuracy", type=int, metavar="P", help="order of the truncation error")
    derivative.add_argument(
        "--plot", metavar="FILE", help="draw f and its derivative (needs matplotlib): .png, .pdf, .svg"
    )
    derivative.add_argument("--json", action="store_true", help="print the results as JSON")
    derivative.set_defaults(run=_reported("derivative", _derivative))

    bench = commands.add_parser(
        "bench",
        help="time the compiled and the NumPy backend side by side",
        description="Time the compiled and the NumPy backend side by side, for a few seconds, and compare their answers "
        "with each other and with the exact ones. Exit status: 0 if all agree, 1 if not.",
    )
    bench.add_argument("--json", action="store_true", help="print seconds as JSON")
    bench.set_defaults(run=_bench)

    options = parser.parse_args(arguments)
    return options.run(options) or 0


if __name__ == "__main__":
    sys.exit(main())
