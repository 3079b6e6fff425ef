"""Protects the weights: every stencil is the exact one, of the order it claims, and rounded once."""

from fractions import Fraction
from math import factorial

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from fastdiff.stencils import Stencil, moment, rounded, taylor_rows

# Fornberg, Math. Comp. 51 (1988) 699, tables 1 and 3, copied by hand: (n, accuracy): weights.
CENTRAL = {
    (1, 2): "-1/2 1/2",
    (1, 4): "1/12 -2/3 2/3 -1/12",
    (1, 6): "-1/60 3/20 -3/4 3/4 -3/20 1/60",
    (1, 8): "1/280 -4/105 1/5 -4/5 4/5 -1/5 4/105 -1/280",
    (2, 2): "1 -2 1",
    (2, 4): "-1/12 4/3 -5/2 4/3 -1/12",
    (2, 6): "1/90 -3/20 3/2 -49/18 3/2 -3/20 1/90",
    (2, 8): "-1/560 8/315 -1/5 8/5 -205/72 8/5 -1/5 8/315 -1/560",
    (3, 2): "-1/2 1 -1 1/2",
    (3, 4): "1/8 -1 13/8 -13/8 1 -1/8",
    (3, 6): "-7/240 3/10 -169/120 61/30 -61/30 169/120 -3/10 7/240",
    (4, 2): "1 -4 6 -4 1",
    (4, 4): "-1/6 2 -13/2 28/3 -13/2 2 -1/6",
    (4, 6): "7/240 -2/5 169/60 -122/15 91/8 -122/15 169/60 -2/5 7/240",
}
FORWARD = {
    (1, 1): "-1 1",
    (1, 2): "-3/2 2 -1/2",
    (1, 3): "-11/6 3 -3/2 1/3",
    (1, 4): "-25/12 4 -3 4/3 -1/4",
    (2, 1): "1 -2 1",
    (2, 2): "2 -5 4 -1",
    (2, 3): "35/12 -26/3 19/2 -14/3 11/12",
    (3, 1): "-1 3 -3 1",
    (3, 2): "-5/2 9 -12 7 -3/2",
    (4, 1): "1 -4 6 -4 1",
    (4, 2): "3 -14 26 -24 11 -2",
}
METHODS = ("central", "forward", "backward")


def fractions(text):
    return tuple(map(Fraction, text.split()))


@pytest.mark.parametrize("key", CENTRAL, ids=str)
def test_central_table(key):
    assert Stencil.standard(*key).rows == (fractions(CENTRAL[key]),)


@pytest.mark.parametrize("key", FORWARD, ids=str)
def test_one_sided_table(key):
    forward = Stencil.standard(*key, "forward")
    backward = Stencil.standard(*key, "backward")
    weights = fractions(FORWARD[key])
    assert forward.offsets == tuple(range(len(weights)))
    assert forward.rows == (weights,)
    assert dict(zip(backward.offsets, backward.rows[0])) == {
        -t: w * (-1) ** key[0] for t, w in zip(range(len(weights)), weights)
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("n", "accuracy"), [*((n, a) for n in range(1, 11) for a in (1, 2, 5, 8)), (1, 16), (2, 15), (10, 16)]
)
def test_weights_of_sympy(n, accuracy, method):
    """Fornberg's recursion in SymPy's rationals, an algorithm other than ours."""
    stencil = Stencil.standard(n, accuracy, method)
    sign = -1 if method == "backward" else 1
    reach = (n - 1) // 2 + (accuracy + 1) // 2
    nodes = list(range(-reach, reach + 1)) if method == "central" else [sign * i for i in range(n + accuracy)]
    weights = sympy.finite_diff_weights(n, [sympy.Integer(t) for t in nodes], 0)[n][-1]
    expected = {Fraction(t): Fraction(int(w.p), int(w.q)) for t, w in zip(nodes, weights) if w}
    assert dict(zip(stencil.offsets, stencil.rows[-1])) == expected
    assert stencil.order == (accuracy + accuracy % 2 if method == "central" else accuracy)


@given(
    st.lists(st.fractions(-4, 4, max_denominator=8), min_size=2, max_size=7, unique=True),
    st.data(),
)
def test_weights_on_any_offsets(offsets, data):
    n = data.draw(st.integers(0, len(offsets) - 1))
    stencil = Stencil.on(offsets, n)
    nodes = [sympy.Rational(t.numerator, t.denominator) for t in offsets]
    weights = sympy.finite_diff_weights(n, nodes, 0)[n][-1]
    expected = {t: Fraction(int(w.p), int(w.q)) for t, w in zip(offsets, weights) if w}
    assert dict(zip(stencil.offsets, stencil.rows[-1])) == expected


def test_taylor_rows_are_all_the_derivatives():
    nodes = fractions("0 -1 1 -2 2 4")
    rows = taylor_rows(nodes)
    for k, row in enumerate(rows):
        assert [moment(nodes, row, j) for j in range(6)] == [Fraction(j == k) for j in range(6)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("accuracy", [None, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_richardson_is_the_tableau(n, accuracy, method):
    """Neville's tableau carried out on a function with exact values; the rows are its diagonal, from finest to best."""
    levels = 3
    plain = Stencil.standard(n, accuracy, method)
    stencil = plain.richardson(levels)

    def f(t):
        return 1 / (t + 23) + t**5

    def quotient(h):
        return sum(w * f(t * h) for t, w in zip(plain.offsets, plain.rows[-1])) / h**n

    column = [quotient(Fraction(1, 2**k)) for k in range(levels + 1)]
    expected, order = [column[-1]], plain.order
    for _ in range(levels):
        column = [(2**order * fine - coarse) / (2**order - 1) for coarse, fine in zip(column, column[1:])]
        expected.append(column[-1])
        order += 2 if method == "central" else 1
    assert [sum(w * f(t) for t, w in zip(stencil.offsets, row)) for row in stencil.rows] == expected
    assert stencil.orders[0] == plain.order
    assert list(stencil.orders) == sorted(set(stencil.orders))
    assert stencil.order == plain.order + levels * (2 if method == "central" else 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_order_is_the_first_moment_missed(n, method):
    for accuracy in (1, 2, 5, 8, 16):
        stencil = Stencil.standard(n, accuracy, method).richardson(1)
        for row, order in zip(stencil.rows, stencil.orders):
            seen = [moment(stencil.offsets, row, k) for k in range(n + order + 1)]
            assert seen[:n] == [0] * n
            assert seen[n] == factorial(n)
            assert seen[n + 1 : n + order] == [0] * (order - 1)
            assert seen[n + order] != 0


def test_symmetric_and_pruned():
    assert Stencil.standard(2).symmetric
    assert not Stencil.standard(2, 2, "forward").symmetric
    assert 0 not in Stencil.standard(1, 8).offsets  # weight zero
    assert 0 in Stencil.standard(2, 8).offsets


@given(st.lists(st.fractions(max_denominator=10**6), min_size=1, max_size=5))
def test_rounded_once(row):
    assert rounded(row) == [w.numerator / w.denominator for w in row]  # int / int rounds correctly


def test_too_few_points():
    with pytest.raises(ValueError, match="derivative 3 needs at least 4 points, got 3"):
        Stencil.on([-1, 0, 1], 3)


def test_print():
    assert str(Stencil.standard(2)) == "derivative 2\noffset  -1 0  1\norder 2 1  -2 1"
    assert str(Stencil.standard(1, 1, "backward")) == "derivative 1\noffset  0 -1\norder 1 1 -1"
    assert str(Stencil.standard(1).richardson(1)).splitlines() == [
        "derivative 1",
        "offset   -1 -1/2 1/2  1",
        "order 2  0   -1   1   0",
        "order 4 1/6 -4/3 4/3 -1/6",
    ]
