"""Protects what a bug report needs: show_config() and `python -m fastdiff info` name the backend and the versions."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

import fastdiff
from fastdiff.__main__ import main
from fastdiff.kernels import backend


def test_version_is_the_installed_one():
    assert fastdiff.__version__ == importlib.metadata.version("fastdiff-numerics")


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'nonesuch'"):
        _ = fastdiff.nonesuch


def test_public_names_exist():
    assert all(hasattr(fastdiff, name) for name in fastdiff.__all__)


def test_show_config_says_what_runs(capsys):
    fastdiff.show_config()
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["fastdiff"] == fastdiff.__version__
    assert rows["backend"] == backend.NAME
    assert rows["level"] == backend.LEVEL
    assert rows["numpy"] == np.__version__
    assert int(rows["threads"]) >= 1
    if backend.NAME == "compiled":
        assert rows["compiler"]
        assert "fast-math" not in rows["flags"]


def test_command_line_prints_it(capsys):
    fastdiff.show_config()
    shown = capsys.readouterr().out
    main(["info"])
    assert capsys.readouterr().out == shown
    run = [sys.executable, "-m", "fastdiff", "info"]
    assert subprocess.run(run, capture_output=True, text=True, check=True, timeout=300).stdout == shown


def test_command_line_wants_a_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 3  # bad input; 2 is a verdict
    assert "COMMAND" in capsys.readouterr().err
