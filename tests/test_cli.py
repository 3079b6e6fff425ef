"""Protects the command line: tables, JSON, pictures, exit statuses, and that no text it is given does harm."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from fastdiff import bench
from fastdiff.__main__ import main

SINE = """
import math
def sine(x): return math.sin(x)
def kink(x): return abs(x)
def raises(x): raise LookupError("of f")
def complex_valued(x): return x * 1j
"""


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    (tmp_path / "functions_to_differentiate.py").write_text(SINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def table(shown):
    """The rows of the table, as words."""
    head, *rows = shown.splitlines()
    assert head.split() == ["x", "value", "error", "bar", "step", "converged"]
    return [row.split() for row in rows]


def test_derivative(capsys):
    assert main(["derivative", "numpy:sin", "--at", "0,0.5,1"]) == 0
    rows = table(capsys.readouterr().out)
    assert [float(row[0]) for row in rows] == [0.0, 0.5, 1.0]
    for x, value, error, _, converged in rows:
        assert abs(float(value) - math.cos(float(x))) <= float(error) + 1e-15
        assert float(error) < 1e-10
        assert converged == "yes"


def test_orders_methods_and_steps(capsys):
    assert main(["derivative", "math:exp", "--at", "1", "--n", "2", "--method", "forward", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 2
    (row,) = found["results"]
    assert abs(row["value"] - math.e) <= row["error"]
    assert row["nfev"] > 3
    main(["derivative", "math:exp", "--at", "1", "--h", "0.5", "--method", "backward"])
    assert float(table(capsys.readouterr().out)[0][1]) == pytest.approx((math.exp(1) - math.exp(0.5)) / 0.5)
    assert main(["derivative", "math:exp", "--at", "1", "--h", "scaled", "--accuracy", "4"]) == 0


def test_formulas(capsys):
    assert main(["derivative", "--expr", "log(1+exp(x))", "--at=-2,2"]) == 0
    for x, value, error, *_ in table(capsys.readouterr().out):
        assert abs(float(value) - 1 / (1 + math.exp(-float(x)))) <= float(error) + 1e-15
    assert main(["derivative", "--expr", "t**3", "--variable", "t", "--at", "2", "--n", "3"]) == 0
    assert float(table(capsys.readouterr().out)[0][1]) == pytest.approx(6.0)


@pytest.mark.usefixtures("somewhere")
def test_what_does_not_converge_has_a_status(capsys):
    assert main(["derivative", "functions_to_differentiate:kink", "--at", "0,1"]) == 2
    shown = capsys.readouterr().out
    assert "no: " in shown.splitlines()[1]
    assert "kink" in shown.splitlines()[1]
    assert shown.splitlines()[2].endswith("yes")
    assert main(["derivative", "numpy:sqrt", "--at=-1", "--json"]) == 2
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["value"] is None
    assert row["error"] is None
    assert row["reason"]


def test_points_from_a_file(somewhere, capsys):
    np.save("points.npy", np.array([[0.0, 1.0], [2.0, 3.0]]))
    assert main(["derivative", "functions_to_differentiate:sine", "--at", "points.npy"]) == 0
    assert len(table(capsys.readouterr().out)) == 4


@pytest.mark.parametrize("at", ["0,0.5,1", "1", "1,1"])
@pytest.mark.usefixtures("somewhere")
def test_plot(at, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "out.png"
    assert main(["derivative", "functions_to_differentiate:sine", "--at", at, "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["numpy:sin", "--at", "1,b"], "--at takes numbers"),
        (["numpy.sin", "--at", "1"], "module:name"),
        (["numpy:nothing", "--at", "1"], "nothing"),
        (["nowhere_at_all:f", "--at", "1"], "nowhere_at_all"),
        (["--at", "1"], "either MODULE:FUNCTION or --expr"),
        (["numpy:sin", "--expr", "x", "--at", "1"], "either MODULE:FUNCTION or --expr"),
        (["numpy:sin", "--at", "1", "--n", "11"], "n must be"),
        (["numpy:sin", "--at", "1", "--h", "wide"], "wide"),
        (["numpy:sin", "--at", "1", "--h", "-1"], "h must be positive"),
        (["numpy:sin", "--at", "missing.npy"], "missing.npy"),
        (["numpy:pi", "--at", "1"], "f must be callable"),
        (["numpy:sin", "--at", "1", "--plot", "nowhere/at/all.png"], "nowhere"),
        (["functions_to_differentiate:complex_valued", "--at", "1"], "complex values"),
        (["functions_to_differentiate:raises", "--at", "1"], "LookupError: of f"),
        (["--expr", "x*y", "--at", "1"], "unknown name 'y'"),
        (["--expr", "x", "--variable", "sin", "--at", "1"], "cannot be named 'sin'"),
        (["--expr", "__import__('os').system('touch harm')", "--at", "1"], "__import__"),
        (["--expr", "x.__class__.__mro__", "--at", "1"], "__mro__"),
        (["--expr", "open('harm', 'w')", "--at", "1"], "unknown function 'open'"),
        (["--expr", "9**9**9**9", "--at", "1"], "exponent must be at most 1000: '9**9**9'"),
        (["--expr", "x**10**10", "--at", "1"], "exponent must be at most 1000: 'x**10**10'"),
        (["--expr", "gamma(gamma(gamma(gamma(7))))", "--at", "1"], "not a finite real number"),
        (["--expr", "(" * 5000 + "x" + ")" * 5000, "--at", "1"], "at most 500 characters"),
        (["--expr", "sin(" * 99 + "x" + ")" * 99, "--at", "1"], "nested more than 30 deep"),
    ],
)  # fmt: skip
def test_bad_input(arguments, message, capsys, somewhere):
    assert main(["derivative", *arguments]) == 3
    out, err = capsys.readouterr()
    assert not out
    assert message in err
    assert not (somewhere / "harm").exists()


@pytest.mark.parametrize("arguments", [["numpy:sin"], ["numpy:sin", "--at", "1", "--method", "sideways"]])
def test_what_the_parser_refuses_is_bad_input(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["derivative", *arguments])
    assert stopped.value.code == 3
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "info", "check", "derivative", "bench"])
def test_help_is_complete(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "Exit status: 0" in " ".join(shown.split())
    options = shown.partition("options:")[2].splitlines()
    for i, line in enumerate(options):
        if line.startswith("  -"):  # has its explanation beside it, or below
            told = line.strip().split("  ", 1)[1:] or options[i + 1 : i + 2]
            assert told
            assert told[0].strip()
            assert not told[0].strip().startswith("-")


def test_bench(monkeypatch, capsys):
    few = list(bench._CASES)[-2:]
    monkeypatch.setattr(bench, "_CASES", {name: bench._CASES[name] for name in few})
    assert main(["bench"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in few)
    assert ("last bit" in shown) is bench.has_compiled()
    assert main(["bench", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["case"] for row in rows] == few
    assert all(row["numpy"] > 0 for row in rows)
    if bench.has_compiled():
        assert all(row["ratio"] == row["numpy"] / row["compiled"] for row in rows)


def test_bench_fails_when_answers_differ(monkeypatch):
    def one(error, digest):
        return {name: {"seconds": 1.0, "error": error, "digest": digest} for name in bench._CASES}

    monkeypatch.setattr(bench, "has_compiled", lambda: True)
    monkeypatch.setattr(bench, "in_backend", lambda name, _: one(0.0, name))
    with pytest.raises(AssertionError, match="the backends differ"):
        bench.run()
    monkeypatch.setattr(bench, "in_backend", lambda name, _: one(np.nan, "same"))
    with pytest.raises(AssertionError, match="wrong by nan"):
        bench.run()


def test_as_a_program():
    run = [sys.executable, "-m", "fastdiff", "derivative", "--expr", "x.real", "--at", "1"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3
    assert done.stderr.endswith("got 'x.real'\n")
