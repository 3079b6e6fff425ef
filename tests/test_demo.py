"""Protects the demo: it runs, shows both backends where there are two, and fails when answers do not agree."""

import importlib.util

import numpy as np
import pytest

from fastdiff import demo
from fastdiff.__main__ import main

COMPILED = importlib.util.find_spec("fastdiff.kernels._compiled") is not None


@pytest.fixture
def few(monkeypatch):
    """A demo of fewer points."""
    whole = demo.run
    monkeypatch.setattr(demo, "run", lambda: whole(1000))


@pytest.mark.usefixtures("few")
def test_demo_runs_and_names_the_backends(capsys):
    main(["demo"])
    shown = capsys.readouterr().out
    assert "softplus at 1,000 points" in shown
    assert "automatic, numpy backend" in shown
    assert ("automatic, compiled backend" in shown) is COMPILED
    assert ("no compiled backend" in shown) is not COMPILED
    assert ("same bits" in shown) is COMPILED


def test_demo_fails_when_the_answer_is_wrong(monkeypatch):
    monkeypatch.setattr(demo, "sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)) + 1e-6)
    with pytest.raises(AssertionError, match="exact value differ by 1"):
        demo.run(1000)
