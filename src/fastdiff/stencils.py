"""Stencils: where a function is sampled along a direction, and how samples become derivatives.

Weights are computed in exact rational arithmetic and rounded once. A stencil has one row of weights per estimate, from
the lowest order of accuracy to the highest; the rows share their samples, so neighbouring rows give the truncation
error for free. Richardson extrapolation with fixed ratios is linear, hence such a stencil too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import factorial

Row = tuple[Fraction, ...]

METHODS = ("central", "forward", "backward", "complex")


@cache
def taylor_rows(offsets: Row) -> tuple[Row, ...]:
    """Row k maps samples at the offsets to the coefficient of t**k of the polynomial through them."""
    rows = [[Fraction(0)] * len(offsets) for _ in offsets]
    for i, node in enumerate(offsets):
        basis = [Fraction(1)]  # coefficients of the Lagrange polynomial of this node, lowest first
        for j, other in enumerate(offsets):
            if j != i:
                scale = node - other
                basis = [
                    (low - other * high) / scale for low, high in zip([Fraction(0), *basis], [*basis, Fraction(0)])
                ]
        for k, coefficient in enumerate(basis):
            rows[k][i] = coefficient
    return tuple(map(tuple, rows))


def moment(offsets: Row, row: Row, k: int) -> Fraction:
    """What the row makes of t**k: zero for every power that it does not see."""
    return sum((w * t**k for w, t in zip(row, offsets)), Fraction(0))


@dataclass(frozen=True)
class Stencil:
    """Rows of weights for the n-th derivative from samples at `offsets`, in units of the step.

    `rows[i]` has accuracy `orders[i]`: its error falls like h**orders[i]. The last row is the best one.

    >>> print(Stencil.standard(n=1, accuracy=4))
    derivative 1
    offset   -2   -1   1    2
    order 4 1/12 -2/3 2/3 -1/12
    """

    n: int
    offsets: Row
    rows: tuple[Row, ...]

    @classmethod
    def on(cls, offsets: Iterable[Fraction | int], n: int) -> "Stencil":
        """The stencil of highest accuracy on the given offsets."""
        nodes = tuple(map(Fraction, offsets))
        if not 0 <= n < len(nodes):
            raise ValueError(f"derivative {n} needs at least {n + 1} points, got {len(nodes)}")
        return cls(n, nodes, (tuple(factorial(n) * w for w in taylor_rows(nodes)[n]),)).pruned()

    @classmethod
    @cache
    def standard(cls, n: int = 1, accuracy: int | None = None, method: str = "central") -> "Stencil":
        """The textbook stencil: equidistant points, symmetric or to one side; accuracy None is the method's lowest."""
        if method == "central":
            accuracy = 2 if accuracy is None else accuracy + accuracy % 2
            reach = (n + 1) // 2 - 1 + accuracy // 2
            return cls.on(range(-reach, reach + 1), n)
        sign = 1 if method == "forward" else -1
        return cls.on([sign * i for i in range(n + (accuracy or 1))], n)

    def richardson(self, levels: int) -> "Stencil":
        """Extrapolated `levels` times from steps h, h/2, ..., h/2**levels; row k uses the k+1 smallest of them.

        >>> Stencil.standard(n=1).richardson(1).rows[1] == tuple(map(Fraction, ("1/6", "-4/3", "4/3", "-1/6")))
        True
        """
        tables: list[dict[Fraction, Fraction]] = []
        for k in range(levels + 1):
            scale = Fraction(1, 2**k)
            tables.append({t * scale: w / scale**self.n for t, w in zip(self.offsets, self.rows[-1])})
        orders, order = [], self.order
        for _ in range(levels):
            orders.append(order)
            order += 2 if self.symmetric else 1
        found = [tables[-1]]
        for order in orders:
            ratio = Fraction(2**order)
            tables = [
                _combined(fine, ratio / (ratio - 1), coarse, -1 / (ratio - 1))
                for coarse, fine in zip(tables, tables[1:])
            ]
            found.append(tables[-1])
        offsets = tuple(sorted(set().union(*found)))
        return Stencil(self.n, offsets, tuple(tuple(t.get(o, Fraction(0)) for o in offsets) for t in found))

    def pruned(self) -> "Stencil":
        """Without the offsets that no row uses."""
        used = [i for i in range(len(self.offsets)) if any(row[i] for row in self.rows)]
        return Stencil(
            self.n, tuple(self.offsets[i] for i in used), tuple(tuple(row[i] for i in used) for row in self.rows)
        )

    @property
    def symmetric(self) -> bool:
        return set(self.offsets) == {-t for t in self.offsets}

    @property
    def orders(self) -> tuple[int, ...]:
        """The order of accuracy of each row."""
        return tuple(self._order(row) for row in self.rows)

    @property
    def order(self) -> int:
        return self._order(self.rows[-1])

    def _order(self, row: Row) -> int:
        k = self.n + 1
        while moment(self.offsets, row, k) == 0:
            k += 1
        return k - self.n

    def __str__(self) -> str:
        names = ["offset", *(f"order {order}" for order in self.orders)]
        columns = [[str(t), *(str(row[i]) for row in self.rows)] for i, t in enumerate(self.offsets)]
        widths = [max(map(len, column)) for column in columns]
        label = max(map(len, names))
        lines = [
            " ".join([names[r].ljust(label), *(c[r].center(w) for c, w in zip(columns, widths))]).rstrip()
            for r in range(len(names))
        ]
        return "\n".join([f"derivative {self.n}", *lines])


def _combined(
    a: dict[Fraction, Fraction], fa: Fraction, b: dict[Fraction, Fraction], fb: Fraction
) -> dict[Fraction, Fraction]:
    return {t: fa * a.get(t, Fraction(0)) + fb * b.get(t, Fraction(0)) for t in {*a, *b}}


def rounded(row: Sequence[Fraction]) -> list[float]:
    """Each exact weight rounded once to float64."""
    return [float(w) for w in row]
