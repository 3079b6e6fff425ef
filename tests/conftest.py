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
    "one-sided second derivatives of functions that are linear along an axis find no step": [
        "test_scenario_one_sided[hvp-point-extremum-backward]",
        "test_scenario_one_sided[hvp-vectorized-extremum-forward]",
        "test_scenario_one_sided[hessian-point-bilinear-backward]",
        "test_scenario_one_sided[hvp-point-bilinear-backward]",
        "test_scenario_one_sided[hessian-vectorized-bilinear-forward]",
        "test_scenario_one_sided[hvp-vectorized-bilinear-forward]",
    ],
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
    "noise and corners a thousand times smaller than f's change are not always told from smooth samples": [
        "test_noise_is_seen[x^2+1-1e-09]",
        "test_no_derivative[x + 1e-3 abs(x)]",
    ],
    "on a selection of hard scalar cases 88% instead of 97% lie within one digit of what the best step could give": [
        "test_within_a_digit_of_attainable",
    ],
}
REASONS = {name: reason for reason, names in WANTED.items() for name in names}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name in REASONS:
            item.add_marker(pytest.mark.xfail(reason=REASONS[item.name], strict=False))
