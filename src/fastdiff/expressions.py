"""Formulas as text: read as mathematics and nothing else, so that text of any origin may be read.

The text is parsed by `ast`, and every piece of the tree is looked up in what is allowed here before SymPy sees it.
Nothing is evaluated but arithmetic on numbers of bounded size.
"""

import ast
import keyword
import operator
from collections.abc import Sequence
from math import isfinite
from typing import Any, cast

from .optional import needed

_LONGEST, _DEEPEST = 500, 30  # characters; pieces inside each other
_EXACT, _STEEPEST = 10**15, 1000.0  # whole numbers beyond are floats; the largest exponent
_CONSTANTS = {"pi": "pi", "e": "E", "E": "E"}
_FUNCTIONS = {  # by how many arguments they take; None is one or more
    1: """sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp exp2 expm1 log ln log2 log10 log1p sqrt cbrt
        abs Abs sign erf erfc gamma loggamma sinc floor ceiling""".split(),
    2: ["atan2", "hypot"],
    None: ["Min", "Max", "min", "max"],
}
_COUNTS = {name: count for count, names in _FUNCTIONS.items() for name in names}
_ELSEWHERE = {"exp2", "expm1", "hypot", "log10", "log1p", "log2"}  # in sympy.codegen.cfunctions
_CALLED = {"abs": "Abs", "ln": "log", "min": "Min", "max": "Max"}


def parse(text: str, names: Sequence[str]) -> Any:
    """The SymPy expression of a formula in real variables of these names, or a ValueError that names what is wrong."""
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name in _CONSTANTS | _COUNTS:
            raise ValueError(f"a variable cannot be named {name!r}")
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError(f"the expression must have at most {_LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = getattr(error, "msg", None) or "too deeply nested"
        raise ValueError(f"the expression cannot be read: {what} in {text!r:.80}") from None
    return _Reader(text, names).read(tree)


class _Reader:
    """One walk over the tree."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text, self.names = text, names

    @property
    def sympy(self) -> Any:
        """Imported when the first number or name is read: most of what is refused is refused before that."""
        return needed("sympy", "symbolic")

    def read(self, node: ast.expr, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"the expression is nested more than {_DEEPEST} deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(value, node)
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
                value = self.read(operand, depth + 1)
                return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.chain(node, ast.Add, depth)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self.chain(node, ast.Mult, depth)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self.finite(self.power(self.read(left, depth + 1), self.read(right, depth + 1), node), node)
            case ast.BinOp(op=ast.BitXor()):
                raise ValueError(f"a power is written **, not ^: {self.piece(node)}")
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _COUNTS:
                return self.call(name, [self.read(a, depth + 1) for a in args], node)
            case ast.Call(func=ast.Name(id=name)) if name not in _COUNTS:
                raise ValueError(f"unknown function {name!r}; there are {', '.join(_COUNTS)}")
        raise ValueError(f"only numbers, variables, + - * / ** and known functions are allowed, got {self.piece(node)}")

    def piece(self, node: ast.expr) -> str:
        return f"{ast.get_source_segment(self.text, node) or self.text!r:.60}"

    def name(self, name: str) -> Any:
        if name in self.names:
            return self.sympy.Symbol(name, real=True)
        if name in _CONSTANTS:
            return getattr(self.sympy, _CONSTANTS[name])
        known = ", ".join([*self.names, "pi", "e"])
        raise ValueError(f"unknown name {name!r}; there are {known}" + " and functions to call" * (name in _COUNTS))

    def number(self, value: int | float, node: ast.expr) -> Any:
        if isinstance(value, int) and abs(value) <= _EXACT:
            return self.sympy.Integer(value)
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")
        if not isfinite(value):
            raise ValueError(f"this is not a finite real number: {self.piece(node)}")
        return self.sympy.Float(value)

    def finite(self, value: Any, node: ast.expr) -> Any:
        """Numbers stay numbers of bounded size, and what is none is refused."""
        if value.has(self.sympy.zoo, self.sympy.nan, self.sympy.oo, -self.sympy.oo, self.sympy.I):
            raise ValueError(f"this is not a finite real number: {self.piece(node)}")
        if value.is_Rational and max(abs(value.p), value.q) > _EXACT:
            return self.number(_float(value), node)
        return value

    def chain(self, node: ast.BinOp, kind: type[ast.Add | ast.Mult], depth: int) -> Any:
        """A sum or product of any number of terms, which are not nested."""
        together, apart, inverse = (
            (self.sympy.Add, ast.Sub, operator.neg) if kind is ast.Add else (self.sympy.Mul, ast.Div, lambda t: 1 / t)
        )
        terms, at = [], cast(ast.expr, node)
        while isinstance(at, ast.BinOp) and isinstance(at.op, kind | apart):
            term = self.read(at.right, depth + 1)
            terms.append(inverse(term) if isinstance(at.op, apart) else term)
            at = at.left
        return self.finite(together(self.read(at, depth + 1), *reversed(terms)), node)

    def power(self, base: Any, exponent: Any, node: ast.expr) -> Any:
        if exponent.free_symbols:
            return base**exponent
        if not abs(_float(exponent)) <= _STEEPEST:
            raise ValueError(f"the exponent must be at most {_STEEPEST:g}: {self.piece(node)}")
        if base.free_symbols:
            return base**exponent
        try:
            value = _float(base) ** _float(exponent)
        except (OverflowError, ZeroDivisionError):
            value = float("inf")
        if isinstance(value, complex) or not isfinite(value):
            raise ValueError(f"this is not a finite real number: {self.piece(node)}")
        exact = base.is_Integer and exponent.is_Integer and 1 / _EXACT <= abs(value) <= _EXACT
        return base**exponent if exact else self.sympy.Float(value)

    def call(self, name: str, arguments: list[Any], node: ast.expr) -> Any:
        count = _COUNTS[name]
        if not arguments or count not in (None, len(arguments)):
            raise ValueError(f"{name} takes {count or 'one or more'} argument{'s' * (count != 1)}: {self.piece(node)}")
        constant = not any(a.free_symbols for a in arguments)
        if constant:  # floats, as exact arithmetic has no end: the gamma function of a whole number is one, all digits
            arguments = [a.evalf(17) for a in arguments]
        try:
            value = self.function(name, arguments, evaluate=constant)
            return self.number(_float(value.evalf(17)), node) if constant else value
        except OverflowError:
            raise ValueError(f"this is not a finite real number: {self.piece(node)}") from None

    def function(self, name: str, arguments: list[Any], evaluate: bool) -> Any:
        """Of variables it stays as it was written: SymPy may take long to see what becomes of it."""
        if name == "sqrt":
            return self.sympy.sqrt(*arguments)
        if name == "cbrt":  # of negative numbers, too
            sign, size = (getattr(self.sympy, part)(*arguments, evaluate=evaluate) for part in ("sign", "Abs"))
            return sign * size ** self.sympy.Rational(1, 3)
        home = needed("sympy.codegen.cfunctions", "symbolic") if name in _ELSEWHERE else self.sympy
        return getattr(home, _CALLED.get(name, name))(*arguments, evaluate=evaluate)


def _float(value: Any) -> float:
    """A number, or nan where it is none or complex."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except TypeError:
        return float("nan")
