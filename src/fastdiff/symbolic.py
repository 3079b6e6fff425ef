"""SymPy expressions as functions of arrays, and their exact derivatives as the same kind of function.

SymPy is imported on use: ``pip install "fastdiff-numerics[symbolic]"``.
"""

import keyword
from collections.abc import Callable, Sequence
from functools import cache, reduce
from importlib.util import find_spec
from itertools import product
from math import factorial
from typing import Any

import numpy as np

from .expressions import parse
from .optional import needed

__all__ = ["Function", "function"]

_STYLE = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": False, "strict": True}


def function(args: Any, expr: Any) -> "Function":
    """Make a function of arrays from a SymPy expression.

    Parameters
    ----------
    args : Symbol, str, or sequence of them
        The arguments, in order. Names, such as ``"x y"``, stand for the symbols of `expr` that are called so.
    expr : Expr, str, Matrix, Array, or sequence of expressions, nested
        What is computed. A column Matrix counts as a vector. Text is read as a formula in real variables: numbers,
        names in `args`, ``+ - * / **``, pi, e, and functions such as sin, log, sqrt, erf, Min; nothing else is
        evaluated, so that text may come from anywhere.

    Returns
    -------
    Function
        To be called with arrays that broadcast.

    Raises
    ------
    ImportError
        SymPy is not installed.
    ValueError
        An argument does not fit; `expr` has further symbols, or something of which there is no NumPy code; text is no
        formula. The message names it.

    See Also
    --------
    fastdiff.check_gradient : compares finite differences with the exact gradient of such a function.

    Notes
    -----
    The function is plain NumPy (and SciPy for special functions, where it is installed), and what occurs more than
    once in `expr` is computed once. Operators record it like any other NumPy code.

    Safe to call from several threads at once; so are the functions it makes.

    Examples
    --------
    >>> import numpy as np
    >>> import sympy
    >>> from fastdiff import derivative, symbolic
    >>> x, y = sympy.symbols("x y")
    >>> f = symbolic.function([x, y], x**2 * y + y)
    >>> f(np.array([0.0, 1.0, 2.0]), 10.0)
    array([10., 20., 50.])
    >>> f.grad()
    function((x, y), [2*x*y, x**2 + 1])
    >>> f.grad()(np.array([0.0, 1.0, 2.0]), 10.0)  # the components along the last axis
    array([[ 0.,  1.],
           [20.,  2.],
           [40.,  5.]])

    The same for a formula, and for a point (d,) or a batch of them (..., d):

    >>> f = symbolic.function("x y", "exp(-x) * sin(y)")
    >>> f.at([1.0, 0.0]), f.grad().at([[0.0, 0.0], [0.0, 1.0]]).round(6)
    (np.float64(0.0), array([[-0.      ,  1.      ],
           [-0.841471,  0.540302]]))
    """
    return Function(args, expr)


class Function:
    """A SymPy expression that can be called with arrays; `function` makes it.

    Attributes
    ----------
    args : tuple of Symbol
        The arguments, in order.
    expr : Expr, Matrix or Array
        What is computed: an expression, a column for a vector, a Matrix, or an Array of more axes.
    shape : tuple of int
        Of the value at one point, ``()`` for a single expression.

    Notes
    -----
    ``f(x, y, ...)`` takes arrays that broadcast to some shape s, or numbers, and returns s followed by `shape`: the
    entries of a vector or matrix are the last axes, as everywhere in fastdiff. (What Theano returned as a list of
    arrays, one for each variable, is ``np.moveaxis(f.grad()(x, y), -1, 0)``.) Constants broadcast with the rest.
    ``f.at(x)`` takes points (..., d).

    ``fastdiff.derivative(f, x)`` and ``fastdiff.partials(f, x, y)`` take a function as it is; ``gradient``, ``jacobian`` and
    ``hessian`` take ``f.at``, and ``fastdiff.gradient(f.at, x)`` estimates what ``f.grad().at(x)`` is.

    Derivatives are those of real variables. Where the formula of one is 0/0 the value is nan, as it is for
    ``sin(sqrt(x**2 + y**2))`` at the origin, and there are no warnings. At a kink it is what SymPy says, such as 0 for
    ``Abs(x)`` at 0 and 1/2 for ``Max(x, 0)``; second derivatives are nan there.

    Safe to call from several threads at once. Functions can be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> import sympy
    >>> from fastdiff import gradient, symbolic
    >>> r, t = sympy.symbols("r t")
    >>> polar = symbolic.function([r, t], [r * sympy.cos(t), r * sympy.sin(t)])
    >>> polar.jacobian().at(np.ones((7, 2))).shape  # 7 points, 2 values, 2 variables
    (7, 2, 2)
    >>> f = symbolic.function([r, t], sympy.exp(r) * t**3)
    >>> abs(gradient(f.at, [0.5, 2.0]) - f.grad().at([0.5, 2.0])).max() < 1e-10
    np.True_
    """

    def __init__(self, args: Any, expr: Any) -> None:
        self.args: tuple[Any, ...] = ()
        entries, self.shape = _entries(expr, _names(args))
        self.args = _symbols(args, entries)
        self._entries = entries
        self.expr = _shown(entries, self.shape)
        self._code, self._absent = _compiled(self.args, entries)

    def __call__(self, *values: Any) -> Any:
        """The values at arrays that broadcast, one for each argument."""
        if len(values) != len(self.args):
            hint = "; f.at takes a point" if len(values) == 1 else ""
            raise TypeError(f"this function takes {len(self.args)} arguments {self.args}, got {len(values)}{hint}")
        xs = [_numbers(value) for value in values]
        with np.errstate(all="ignore"):
            parts = self._code(*xs)
            for i, absent in enumerate(self._absent):
                for j in absent:  # np.where broadcasts without looking at shapes, which a recording may not do
                    parts[i] = np.where(True, parts[i], xs[j])
        if not self.shape:
            return parts[0][()]
        stacked = np.stack(parts, axis=-1)
        return stacked if len(self.shape) == 1 else stacked.reshape(stacked.shape[:-1] + self.shape)

    def at(self, x: Any) -> Any:
        """The values at points: x has shape (..., d), with one coordinate for each argument."""
        x = _numbers(x)
        if not x.ndim or x.shape[-1] != len(self.args):
            raise ValueError(f"x must have shape (..., {len(self.args)}) for {self.args}, got {x.shape}")
        return self(*(x[..., i] for i in range(len(self.args))))

    def diff(self, *wrt: Any) -> "Function":
        """The derivative as `sympy.diff` writes it: ``f.diff("x")``, ``f.diff("x", 2)``, ``f.diff("x", "y")``.

        It has the shape of f. A function of one argument needs no name for it.
        """
        if not wrt and len(self.args) > 1:
            raise ValueError(f"diff must be told by which of {self.args}; grad and jacobian are by all")
        times = [w if isinstance(w, int) else self._one(w) for w in wrt or self.args]
        orders: list[Any] = []
        for w in times:  # a number repeats the symbol before it
            if isinstance(w, int) and not (orders and w > 0):
                raise ValueError(
                    f"diff takes arguments of the function, each with a positive order after it, got {wrt}"
                )
            orders += [orders[-1]] * (w - 1) if isinstance(w, int) else [w]
        return self._made([_derived(e, orders) for e in self._entries], self.shape)

    def grad(self, *wrt: Any) -> "Function":
        """The gradient of a scalar function, of shape (d,): by these arguments (symbols or names), or by all."""
        self._scalar("grad", "jacobian")
        return self.jacobian(*wrt)

    def jacobian(self, *wrt: Any) -> "Function":
        """All first derivatives, of shape ``(*shape, d)``: by these arguments (symbols or names), or by all."""
        by = self._wrt(wrt)
        return self._made([_derived(e, [s]) for e, s in product(self._entries, by)], (*self.shape, len(by)))

    def hessian(self, *wrt: Any) -> "Function":
        """The second derivatives of a scalar function, of shape (d, d): by these arguments, or by all."""
        self._scalar("hessian", "jacobian().jacobian")
        by = self._wrt(wrt)
        first = [_derived(self._entries[0], [s]) for s in by]
        half = {(i, j): _derived(first[i], [by[j]]) for i in range(len(by)) for j in range(i, len(by))}
        entries = [half[min(i, j), max(i, j)] for i, j in product(range(len(by)), repeat=2)]
        return self._made(entries, (len(by), len(by)))

    def latex(self) -> str:
        """The expression in LaTeX."""
        return str(_sympy().latex(self.expr))

    def __repr__(self) -> str:
        shown = self.expr if len(self.shape) != 1 else self._entries
        return f"function({self.args}, {shown})"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __reduce__(self) -> Any:
        return Function, (self.args, _array(self._entries, self.shape))

    def _scalar(self, name: str, other: str) -> None:
        if self.shape:
            raise ValueError(f"{name} is for a single expression, and this one has shape {self.shape}: take {other}")

    def _one(self, wrt: Any) -> Any:
        found = next((a for a in self.args if wrt == a or wrt == a.name), None)
        if found is None:
            raise ValueError(f"derivatives are by the arguments {self.args}, got {wrt!r}")
        return found

    def _wrt(self, wrt: Sequence[Any]) -> Sequence[Any]:
        return [self._one(w) for w in wrt] or self.args

    def _made(self, entries: Sequence[Any], shape: tuple[int, ...]) -> "Function":
        return Function(self.args, _array(entries, shape))


def _sympy() -> Any:
    return needed("sympy", "symbolic")


def _numbers(value: Any) -> Any:
    """An array of floats or complex numbers; what f is recorded with is left alone."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and dtype.kind in "fc":
        return value
    array = np.asarray(value)
    return array if array.dtype.kind in "fc" else array.astype(float)


def _names(args: Any) -> list[str]:
    if isinstance(args, str):
        return args.replace(",", " ").split()
    return [str(a) for a in args] if isinstance(args, Sequence) else [str(args)]


def _symbols(args: Any, entries: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments as symbols: names mean symbols of the expression, where it has such."""
    sympy = _sympy()
    free = set().union(*(e.free_symbols for e in entries))
    given = _names(args) if isinstance(args, str) else [*args] if isinstance(args, Sequence) else [args]
    named = {s.name: s for s in free}
    found = tuple(named.get(a) or sympy.Symbol(a, real=True) if isinstance(a, str) else a for a in given)
    for a in found:
        if not isinstance(a, sympy.Symbol):
            raise ValueError(f"args must be symbols or their names, got {a!r}")
    if not found or len(set(found)) < len(found):
        raise ValueError(f"args must be different symbols, at least one, got {args!r}")
    if free - set(found):
        raise ValueError(f"the expression has symbols that are not in args: {sorted(map(str, free - set(found)))}")
    return found


def _entries(expr: Any, names: Sequence[str]) -> tuple[list[Any], tuple[int, ...]]:
    """The single expressions, in C order, and how they are arranged."""
    if isinstance(expr, str):
        return [parse(expr, names)], ()
    sympy = _sympy()
    if isinstance(expr, sympy.MatrixBase):
        return list(expr), (expr.rows,) if expr.cols == 1 else expr.shape
    if isinstance(expr, sympy.NDimArray):
        return list(expr.reshape(len(expr))) if expr.shape else [expr[()]], expr.shape
    if isinstance(expr, Sequence | np.ndarray):
        parts = [_entries(e, names) for e in expr]
        shapes = {shape for _, shape in parts}
        if len(shapes) != 1:
            raise ValueError(f"a sequence of expressions must hold some, all of one shape, got {expr!r:.80}")
        return [e for entries, _ in parts for e in entries], (len(parts), *shapes.pop())
    one = sympy.sympify(expr, strict=True)
    if not isinstance(one, sympy.Expr):
        raise ValueError(f"expr must be an expression, or a list, Matrix or Array of them, got {expr!r:.80}")
    return [one], ()


def _array(entries: Sequence[Any], shape: tuple[int, ...]) -> Any:
    return _sympy().ImmutableDenseNDimArray(entries, shape) if shape else entries[0]


def _shown(entries: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """As SymPy's users write it: vectors are columns."""
    if len(shape) in (1, 2):
        return _sympy().ImmutableMatrix(*(*shape, 1)[:2], entries)
    return _array(entries, shape)


def _derived(expr: Any, by: Sequence[Any]) -> Any:
    """The derivative for real variables: of complex ones Abs has none."""
    sympy = _sympy()
    real = {s: sympy.Dummy(s.name, real=True) for s in expr.free_symbols if not s.is_real}
    found = expr.xreplace(real).diff(*(real.get(s, s) for s in by))
    return found.xreplace({dummy: s for s, dummy in real.items()})


def _compiled(args: Sequence[Any], entries: Sequence[Any]) -> tuple[Callable[..., list[Any]], list[list[int]]]:
    """NumPy code of all entries, in which what they share is computed once; and of each the arguments that it does
    not depend on, which its value has to be broadcast with."""
    sympy = _sympy()
    special = find_spec("scipy") is not None
    modules = [np, needed("scipy.special", "symbolic")] if special else [np]

    def safe(name: str) -> bool:  # an argument that is called as a function is would hide it
        return name.isidentifier() and not keyword.iskeyword(name) and not any(hasattr(m, name) for m in modules)

    own = {
        a: sympy.Symbol(f"argument{i}", **a.assumptions0)
        for i, a in enumerate(args) if not safe(a.name) or type(a) is not sympy.Symbol
    }  # fmt: skip
    taken = {a.name for a in args}
    fresh = (s for s in sympy.numbered_symbols("v") if s.name not in taken)
    inner = [own.get(a, a) for a in args]
    shared, reduced = sympy.cse([e.xreplace(own) if own else e for e in entries], symbols=fresh, list=False)
    behind: dict[Any, set[Any]] = {a: {a} for a in inner}
    for symbol, e in shared:
        behind[symbol] = set().union(*(behind[s] for s in e.free_symbols))
    needs = [set().union(*(behind[s] for s in e.free_symbols)) for e in reduced]
    try:
        code = sympy.lambdify(
            inner, reduced, modules=["scipy", "numpy"] if special else ["numpy"], printer=_printer(special)(_STYLE),
            cse=lambda found: (shared, found), docstring_limit=0,
        )  # fmt: skip
    except NotImplementedError as error:
        what = str(error).splitlines()[0].rpartition(": ")[2]
        scipy = "" if special else "; there may be with SciPy installed"
        raise ValueError(f"there is no NumPy code for a part of the expression: {what}{scipy}") from None
    return code, [[i for i, a in enumerate(inner) if a not in need] for need in needs]


@cache
def _printer(special: bool) -> Any:
    """How SymPy writes code: so that it broadcasts, and is refused where it cannot be run."""
    module = needed("sympy.printing.numpy", "symbolic")
    base: Any = module.SciPyPrinter if special else module.NumPyPrinter

    class Printer(base):  # type: ignore[misc]
        def nested(self, name: str, parts: Sequence[Any]) -> str:
            function = self._module_format(f"numpy.{name}")
            return str(reduce(lambda one, other: f"{function}({one}, {other})", map(self._print, parts)))

        def _print_Max(self, expr: Any) -> str:
            return self.nested("maximum", expr.args)

        def _print_Min(self, expr: Any) -> str:
            return self.nested("minimum", expr.args)

        def _print_And(self, expr: Any) -> str:
            return self.nested("logical_and", expr.args)

        def _print_Or(self, expr: Any) -> str:
            return self.nested("logical_or", expr.args)

        def _print_Piecewise(self, expr: Any) -> str:
            where, code = self._module_format("numpy.where"), self._print(_sympy().nan)
            for value, condition in reversed(expr.args):
                code = f"{where}({self._print(condition)}, {self._print(value)}, {code})"
            return str(code)

        def _print_polygamma(self, expr: Any) -> str:  # SciPy's own is no ufunc, which could be recorded
            n, at = expr.args
            if not (special and n.is_Integer and n >= 0):
                return str(self._print_not_supported(expr))
            if n == 0:
                return f"{self._module_format('scipy.special.psi')}({self._print(at)})"
            factor = (-1.0) ** (n + 1) * factorial(n)
            return f"({factor}*{self._module_format('scipy.special.zeta')}({n + 1}, {self._print(at)}))"

        def _print_Integral(self, expr: Any) -> str:  # which would take one number at a time
            return str(self._print_not_supported(expr))

        def _print_DiracDelta(self, expr: Any) -> str:  # of second derivatives at kinks, where there is none
            return f"{self._module_format('numpy.where')}({self._print(expr.args[0])} == 0, {self._print(_sympy().nan)}, 0.0)"

    return Printer
