"""The command line: ``python -m fastdiff COMMAND``."""

import argparse
from collections.abc import Sequence

from .config import show_config


def _info(options: argparse.Namespace) -> None:
    show_config()


def _demo(options: argparse.Namespace) -> None:
    from . import demo

    demo.run()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m fastdiff", description="Derivatives by finite differences.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    info = commands.add_parser("info", help="print version, backend, compiler and what lies underneath")
    info.set_defaults(run=_info)

    demo = commands.add_parser("demo", help="differentiate two functions, and time a million derivatives")
    demo.set_defaults(run=_demo)

    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
