"""Protects the examples: everything the docstrings and the README show runs and prints what they say."""

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import fastdiff
from fastdiff.__main__ import main

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["fastdiff", *(m.name for m in pkgutil.walk_packages(fastdiff.__path__, "fastdiff."))]
README = Path(__file__).parents[1] / "README.md"


def test_there_is_something_to_run():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [len(t.examples) for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(examples) > 0


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def test_readme():
    result = doctest.testfile(str(README), module_relative=False, optionflags=FLAGS, encoding="utf-8")
    assert result.failed == 0


def test_commands_of_the_readme(capsys):
    shown = re.findall(r"^```console\n\$ python -m fastdiff (.*)\n([^`]*)```$", README.read_text("utf-8"), re.M)
    assert shown
    for command, output in shown:
        main(shlex.split(command))
        assert doctest.OutputChecker().check_output(output, capsys.readouterr().out, FLAGS), command
