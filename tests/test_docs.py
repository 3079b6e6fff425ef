"""Protects the examples: everything that the docstrings, the README and the pages of docs/ show runs, and prints what
they say."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdiff
from fastdiff.__main__ import main

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["fastdiff", *(m.name for m in pkgutil.walk_packages(fastdiff.__path__, "fastdiff."))]
ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TESTED = {README, ROOT / "docs/grid.md", ROOT / "docs/checking.md"}  # here, in test_grid_docs.py, in tests/frameworks


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


def blocks(text):
    """Language or directive of each fenced block, and what it holds."""
    return re.findall(r"^ *```([^\n]+)\n(.*?)^ *```$", text, re.M | re.S)


def not_run(page, text):
    """The blocks of a page that look like code and are run neither by a test nor when the site is built."""
    notebook = text.startswith("---\nfile_format: mystnb\nkernelspec:\n")
    for language, code in blocks(text):
        if language in ("sh", "text") or language.startswith(("{toctree}", "{include}")):
            continue  # the README's sh blocks are run by .ci/run, that of checking.md below
        if language == "console" and page == README and code.startswith("$ python -m fastdiff "):
            continue
        if language == "python" and page in TESTED and code.startswith(">>> "):
            continue
        if notebook and language == "{code-cell} ipython3":
            continue
        if notebook and language == "{code-block} python" and code.startswith(":caption: before\n"):
            continue  # of libraries that cannot be installed any more
        yield language, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_is_run(page):
    assert list(not_run(page, page.read_text(encoding="utf-8"))) == []


def test_blocks_that_are_not_run_are_found():
    assert len(list(not_run(README, "```python\nx = 1\n```\n"))) == 1
    assert len(list(not_run(README, "```{code-cell} ipython3\nx = 1\n```\n"))) == 1
    assert sum(len(blocks(page.read_text(encoding="utf-8"))) for page in PAGES) > 100


def test_command_of_checking_page(tmp_path):
    command = dict(blocks((ROOT / "docs/checking.md").read_text(encoding="utf-8")))["sh"]
    (tmp_path / "mymodule.py").write_text("loss = lambda x: (x**2).sum()\ngrad = lambda x: 2 * x\n")
    np.save(tmp_path / "point.npy", [1.0, 2.0])
    python, *arguments = shlex.split(command)
    assert python == "python"
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["gradient", "CORRECT:"])


@pytest.fixture
def broken_links():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.broken_links


def test_links_are_checked(tmp_path, broken_links):
    (tmp_path / "part").mkdir()
    (tmp_path / "part/b.html").write_text(
        '<a id="there" href="../a.html">a</a> <a href="https://example.org/x#y">web</a>'
    )
    (tmp_path / "a.html").write_text('<a href="part/b.html#there">b</a> <a href="#">top</a> <img src="p%20q.png">')
    (tmp_path / "p q.png").touch()
    assert broken_links(tmp_path) == []
    (tmp_path / "c.html").write_text(
        '<a href="part/b.html#here"></a> <a href="b.html"></a> <script src="s.js"></script>'
    )
    assert [line.split(": ")[1] for line in broken_links(tmp_path)] == ["b.html", "part/b.html#here", "s.js"]
