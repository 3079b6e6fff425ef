"""Keeps the list of what the library does not do yet: tests that say what is wanted and are known to fail."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "agg")  # pictures are drawn, not shown

# The same examples in every run: what fails here fails everywhere. Machines are too uneven for deadlines.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

# Not strict: which of them fail depends on the last digits of f, and so on the machine's sine and logarithm.
WANTED = {
    "hvp at rule-of-thumb steps leaves the range of numbers near overflow": [
        "test_scenario_scaled[hvp-point-nearoverflow]",
        "test_scenario_scaled[hvp-vectorized-nearoverflow]",
    ],
    "high orders of derivative or accuracy lose more digits than a step has to cost": [
        "test_automatic_steps_with_any_stencil[8-4-forward]",
        "test_automatic_steps_with_any_stencil[8-4-backward]",
        "test_high_orders[8]",
        "test_high_orders[9]",
        "test_high_orders[10]",
    ],
}
REASONS = {name: reason for reason, names in WANTED.items() for name in names}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name in REASONS:
            item.add_marker(pytest.mark.xfail(reason=REASONS[item.name], strict=False))
