"""The command line: ``python -m fastdiff COMMAND``."""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
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


def _check(options: argparse.Namespace) -> int:
    from . import checking

    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of the folder one works in
    try:
        f, derivative = _named(options.f), _named(options.derivative)
        x = _point(options.at)
        run: Callable[..., Any] = getattr(checking, f"check_{options.kind}")
        report = run(f, derivative, x, directions=options.directions, seed=options.seed, rtol=options.rtol)
    except (ImportError, AttributeError, OSError, ValueError, TypeError) as error:
        print(f"python -m fastdiff check: error: {error}", file=sys.stderr)
        return _BAD_INPUT
    except Exception:  # of f or its derivative: no verdict
        traceback.print_exc()
        return _BAD_INPUT
    print(json.dumps(report.to_dict(), allow_nan=False) if options.json else report)
    return _STATUS[report.verdict]


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
    parser = argparse.ArgumentParser(prog="python -m fastdiff", description="Derivatives by finite differences.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    info = commands.add_parser("info", help="print version, backend, compiler and what lies underneath")
    info.set_defaults(run=_info)

    demo = commands.add_parser("demo", help="differentiate two functions, and time a million derivatives")
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
    check.add_argument("--kind", choices=("gradient", "jacobian", "hessian", "jvp", "vjp"), default="gradient")
    check.add_argument("--directions", type=int, metavar="K", help="look along K random directions")
    check.add_argument("--seed", type=int, default=0)
    check.add_argument("--rtol", type=float, help="let relative errors up to this pass")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=_check)

    options = parser.parse_args(arguments)
    return options.run(options) or 0


if __name__ == "__main__":
    sys.exit(main())
