"""What a check found, for people, notebooks and machines."""

from dataclasses import dataclass
from html import escape
from math import isfinite, isnan, nan
from typing import Any

from .parameters import named
from .verdict import CORRECT, WRONG

_ROWS = 6  # of the printed table


@dataclass(frozen=True)
class Entry:
    """One derivative that was compared.

    Attributes
    ----------
    path : str
        The array it belongs to, such as ``layers[0].weight``; of a Jacobian or Hessian both sides, such as
        ``f[2] by x``; or the direction or block of entries, when the check is about one.
    index : tuple of int
        Where it stands in that array; empty for a scalar, a direction or a block.
    given, estimated, error : float
        The derivative that is checked, the one found from f, and how far off that may be.
    order : float
        With which power of the step the odd part of the Taylor remainder falls: 1 where the derivative is wrong, 3
        where it is right; nan where that was not needed or cannot be seen.
    verdict : {"correct", "wrong", "inconclusive"}
    reason : str
        What stands in the way, or strikes the eye: a kink, a wrong sign, a factor of two.
    """

    path: str
    index: tuple[int, ...]
    given: float
    estimated: float
    error: float
    order: float
    verdict: str
    reason: str

    @property
    def name(self) -> str:
        """Path and index: ``layers[0].weight[3, 2]``."""
        return named(self.path, self.index)

    @property
    def relative_error(self) -> float:
        """abs(given - estimated), relative to the larger of the two."""
        size = max(abs(self.given), abs(self.estimated))
        if isnan(size) or not isfinite(size):
            return nan
        return abs(self.given - self.estimated) / size if size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings; what is not finite is None."""
        numbers = {
            name: _plain(getattr(self, name)) for name in ("given", "estimated", "error", "order", "relative_error")
        }
        return {
            "name": self.name, "path": self.path, "index": list(self.index), **numbers,
            "verdict": self.verdict, "reason": self.reason,
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """The verdict on a derivative. Printing it shows a table; notebooks show it as such.

    Attributes
    ----------
    kind : str
        "gradient", "jacobian", "hessian", "jvp" or "vjp".
    verdict : {"correct", "wrong", "inconclusive"}
        "wrong" if any entry is; else "inconclusive" if any entry that matters could not be judged.
    reason : str
        Why it is inconclusive; empty otherwise.
    entries : tuple of Entry
        The worst first; after wrong and inconclusive ones come some of those that agree.
    compared : int
        How many derivatives were compared: entries, or directions.
    directions : int
        How many random directions were looked along; 0 if every entry was compared by itself.
    parameters : int
        How many numbers x holds.
    nfev : int
        Points at which f was evaluated.
    resolution : float
        An error larger than about this, in units of the largest derivative (each times the size of its x), would have been
        seen everywhere. It is no less than what always passes, the root of f's roundoff or `rtol`.
    """

    kind: str
    verdict: str
    reason: str
    entries: tuple[Entry, ...]
    compared: int
    directions: int
    parameters: int
    nfev: int
    resolution: float

    @property
    def ok(self) -> bool:
        """Whether the verdict is "correct"."""
        return self.verdict == CORRECT

    def __bool__(self) -> bool:
        raise TypeError("a report is neither true nor false: ask for .ok or .verdict")

    @property
    def headline(self) -> str:
        """The first line of the table."""
        number = f"{self.parameters:,} parameter{'s' if self.parameters != 1 else ''}"
        wrong = sum(e.verdict == WRONG for e in self.entries)
        if self.directions:
            along = f"{self.directions} random direction{'s' if self.directions != 1 else ''}"
            what = f"{number} along {along}"
        else:
            what = number if self.compared == self.parameters else f"{self.compared:,} entries, {number}"
            if wrong:
                what = f"{wrong:,} of {self.compared:,} entries"
        text = f"{self.kind} {self.verdict.upper()}: {what}, {self.nfev:,} evaluations of f"
        return text

    def _shown(self) -> list[Entry]:
        bad = [e for e in self.entries if e.verdict != CORRECT]
        return bad[:_ROWS] if bad else list(self.entries[:3])

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("", "given", "estimated", "error bar", "relative error", "")]
        for e in self._shown():
            digits = _digits(e)
            remark = e.reason if e.verdict != CORRECT else ""
            verdict = e.verdict if not remark else f"{e.verdict}: {remark}"
            rows.append(
                (e.name, f"{e.given:.{digits}g}", f"{e.estimated:.{digits}g}", f"{e.error:.0e}",
                 _share(e), verdict)
            )  # fmt: skip
        return rows

    @property
    def footer(self) -> str:
        """The last line of the table, or nothing."""
        bad = [e for e in self.entries if e.verdict != CORRECT]
        if len(bad) > _ROWS:
            return f"... and {len(bad) - _ROWS:,} more like these"
        if self.ok and self.resolution:
            return f"an error of {self.resolution:.1e} of the largest would have been seen"
        return ""

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [self.headline]
        if self.reason:
            lines.append(f"because {self.reason}")
        for row in rows if len(rows) > 1 else []:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:5], widths[1:5])), row[5]]
            lines.append("  " + "  ".join(cells).rstrip())
        if self.footer:
            lines.append(self.footer)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        colour = {CORRECT: "#2e7d32", WRONG: "#c62828"}.get(self.verdict, "#b26a00")
        head, *rows = self._rows()
        cells = "".join(f"<th>{escape(c)}</th>" for c in head)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        notes = "".join(
            f"<div>{escape(line)}</div>" for line in (self.reason and f"because {self.reason}", self.footer) if line
        )
        return (
            f'<div><b style="color:{colour}">{escape(self.headline)}</b>{notes}'
            f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The report in plain numbers, strings, lists and dicts, ready for JSON; what is not finite is None."""
        return {
            "kind": self.kind, "verdict": self.verdict, "ok": self.ok, "reason": self.reason,
            "compared": self.compared, "directions": self.directions, "parameters": self.parameters,
            "nfev": self.nfev, "resolution": _plain(self.resolution),
            "entries": [e.to_dict() for e in self.entries],
        }  # fmt: skip


def _share(e: Entry) -> str:
    if abs(e.given - e.estimated) <= e.error:
        return "within bar"
    return f"{e.relative_error:.0e}"


def _plain(number: float) -> float | None:
    return float(number) if isfinite(number) else None


def _digits(e: Entry) -> int:
    """So many that given and estimated look different where they are."""
    share = e.relative_error
    if isnan(share) or share == 0:
        return 6
    digits = 6
    while digits < 16 and 10.0 ** (3 - digits) > share:
        digits += 1
    return digits if e.verdict == WRONG else min(digits, 8)


def remark(given: float, estimated: float, error: float) -> str:
    """What strikes the eye about a wrong derivative."""
    if not isfinite(given):
        return "given is not finite"
    if given == 0:
        return "missing"
    if abs(estimated) <= 4 * error:
        return "should be zero"
    ratio, blur = given / estimated, 4 * error / abs(estimated) + 1e-6
    if not 1e-300 < abs(ratio) < 1e300:
        return ""
    for factor, text in ((-1, "sign"), (2, "twice"), (0.5, "half"), (-2, "sign, and twice"), (-0.5, "sign, and half")):
        if abs(ratio - factor) <= blur * abs(factor):
            return text
    whole = round(ratio) if abs(ratio) >= 1 else round(1 / ratio)
    if 2 < abs(whole) <= 1000 and blur < 0.01:
        if abs(ratio) >= 1 and abs(ratio - whole) <= blur * abs(whole):
            return f"{whole} times"
        if abs(ratio) < 1 and abs(1 / ratio - whole) <= blur * abs(whole):
            return f"1/{whole} of it" if whole > 0 else f"-1/{-whole} of it"
    return ""
