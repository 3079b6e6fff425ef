"""Protects docs/grid.md: every block runs and prints what it says."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "grid.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NEEDED = ("scipy", "xarray", "pandas")


def test_blocks():
    """In order and in one namespace, as a reader would; without those whose library is not installed."""
    names: dict[str, object] = {}
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    ran = failed = 0
    for number, block in enumerate(BLOCKS):
        if any(f"import {name}" in block or f"from {name}" in block for name in missing):
            continue
        test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", str(PAGE), 0)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, clear_globs=False)
        names.update(test.globs)
        failed += runner.failures
        ran += 1
    assert failed == 0
    assert ran >= 5


def test_the_picture_is_there():
    assert "(grid_edges.svg)" in PAGE.read_text(encoding="utf-8")
    assert (PAGE.parent / "grid_edges.svg").stat().st_size > 1000


@pytest.mark.parametrize("name", ["scipy", "xarray", "pandas"])
def test_every_library_has_a_block(name):
    assert any(f"import {name}" in block or f"from {name}" in block for block in BLOCKS)
