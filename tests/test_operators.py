"""Protects what the operators promise: values, error bars, counted evaluations, shapes, dtypes, untouched arguments."""

import pytest
from scenarios import TASKS, check


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_scenario(task):
    check(task)
