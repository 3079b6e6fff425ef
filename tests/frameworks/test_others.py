"""Protects what is said of frameworks: HIPS autograd needs nothing special, and the page on test suites runs."""

import doctest
from pathlib import Path

import autograd
import autograd.numpy as anp
import numpy as np

from fastdiff import check_gradient
from fastdiff.testing import assert_gradient, assert_jacobian

PAGE = Path(__file__).parents[2] / "docs" / "checking.md"


def test_autograd():
    f = lambda x: anp.sum(anp.tanh(x) ** 2) + anp.exp(x[0] * x[1])  # noqa: E731
    x = np.array([0.3, -1.0, 2.0])
    assert_gradient(f, autograd.grad(f), x)
    assert_jacobian(lambda x: anp.outer(x, x), autograd.jacobian(lambda x: anp.outer(x, x)), x)
    cube = autograd.extend.primitive(lambda x: x**3)
    autograd.extend.defvjp(cube, lambda out, x: lambda g: g * 2 * x**2)
    report = check_gradient(lambda x: anp.sum(cube(x)), autograd.grad(lambda x: anp.sum(cube(x))), x)
    assert report.verdict == "wrong"


def test_page():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags, encoding="utf-8")
    assert result.attempted > 20
    assert result.failed == 0
