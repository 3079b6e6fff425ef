"""Checks of derivatives: a hand-written or automatic one against differences, with a verdict that needs no tolerance."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from ..arguments import whole
from . import search, second
from .claims import Claim, Map, Matrix
from .frameworks import Framework, as_array, of_symbolic, owner
from .lines import Lines
from .parameters import Parameters, named
from .report import Entry, Report, remark
from .search import Finding, Outcome
from .verdict import CORRECT, INCONCLUSIVE, WRONG, Judged, tolerance

__all__ = ["Entry", "Report", "check_gradient", "check_hessian", "check_jacobian", "check_jvp", "check_vjp"]

_MANY = 200  # derivatives to be found one by one; above, random directions are the default
_COTANGENTS = 3
_MISSING: Any = object()


def check_gradient(
    f: Callable[..., Any],
    grad: Any = None,
    x: Any = _MISSING,
    *,
    args: Sequence[Any] = (),
    vectorized: bool = False,
    directions: int | None = None,
    seed: int = 0,
    rtol: float | None = None,
    bounds: Any = None,
) -> Report:
    """Check the gradient of a scalar function.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` takes the parameters as they are held in x and returns a number. With `vectorized` every array
        in x has many points along a new first axis, k of them, and f returns (k,). A function of `fastdiff.symbolic`
        takes a point (d,), with one coordinate for each of its arguments.
    grad : callable, array or structure like x, optional
        ``grad(x, *args)``, always called with one point, or its value at x. It has the structure and the shapes of x.
        None, for x of PyTorch tensors or JAX arrays: the framework's own gradient of f; for f of `fastdiff.symbolic`
        the exact one. It may be left out: ``check_gradient(f, x)``.
    x : array_like, or dict, list, tuple, dataclass, NamedTuple or torch.nn.Module of arrays, nested
        Where to check. Arrays may be NumPy's, PyTorch's or JAX's, of any shape; f gets new ones of the same kind and
        dtype, and of a module a copy with new parameters. Integers, strings and the like inside a container are
        passed on as they are. Never modified.
    args : tuple, optional
        Further arguments of f and grad.
    vectorized : bool, optional
        f takes many points at once.
    directions : int, optional
        Compare derivatives along so many random directions, and when one fails, halve it down to the array and entry
        to blame. By default every entry is compared by itself, up to 200 of them; above that one to four directions
        are, as many as 60 evaluations of f allow.
    seed : int, optional
        Of the random directions.
    rtol : float, optional
        Let relative errors up to this pass. It only ever loosens the verdict: by default nothing passes but what
        float64, or the dtype that f returns, cannot tell (relative differences below the root of its roundoff).
    bounds : (lo, hi), optional
        f is never called outside. Each is a number, or has the structure of x.

    Returns
    -------
    Report
        `ok`, `verdict`, the worst entries by name, evaluations, and a reason where there is no verdict. Print it.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, such as a gradient without the shapes of x; the message names it. What f and grad
        raise passes through.

    See Also
    --------
    fastdiff.testing.assert_gradient : the same as an assertion.
    check_jacobian, check_hessian, check_jvp, check_vjp

    Notes
    -----
    A derivative is correct where it differs from the one found by `gradient` or `jvp`, and from the one extrapolated from
    differences at halving steps, by less than their error bars, and one of these is narrow. It is wrong where such
    differences contradict it at two sets of steps, and agree with each other. Then the remainder of the Taylor series
    falls like the step, instead of its third power. Where the given derivative changes by as much when x changes by a few
    roundoffs, it passes. All other cases are inconclusive: kinks, at the point or too near to step in front of, values
    that are not finite, noise, edges of the domain.

    An error in one entry of d changes the derivative along every random direction. What is smaller than roundoff of f
    lets be seen, or than the root of its unit, passes; `Report.resolution` says how much that is.

    Safe to call from several threads at once as far as f and grad are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import check_gradient
    >>> f = lambda x: np.log1p(np.exp(x)).sum()
    >>> grad = lambda x: 1 / (1 + np.exp(-x))
    >>> check_gradient(f, grad, np.linspace(-2, 2, 7)).verdict
    'correct'

    A parameter of a model with a wrong sign, found by its name:

    >>> model = {"weights": np.array([[0.5, -1.0], [2.0, 0.1]]), "bias": np.array([0.3, -0.2])}
    >>> data = np.array([1.0, 2.0])
    >>> loss = lambda p: np.sum((p["weights"] @ data + p["bias"]) ** 2)
    >>> def wrong(p):
    ...     r = 2 * (p["weights"] @ data + p["bias"])
    ...     return {"weights": np.outer(r, data), "bias": -r}
    >>> report = check_gradient(loss, wrong, model)
    >>> report.verdict, sorted(entry.name for entry in report.entries if entry.verdict == "wrong")
    ('wrong', ['bias[0]', 'bias[1]'])

    At a kink there is no gradient, so there is nothing to be said about one:

    >>> report = check_gradient(lambda x: abs(x).sum(), np.sign, [0.0, 1.0])
    >>> report.verdict, report.reason
    ('inconclusive', 'kink: slope -1 on one side, 1 on the other, at x[0]')
    """
    problem = _Problem("gradient", f, grad, x, args, vectorized, directions, seed, rtol, bounds)
    problem.scalar()
    return problem.first_order(problem.gradient_at(), scalar=True)


def check_jacobian(
    f: Callable[..., Any],
    jac: Any = None,
    x: Any = _MISSING,
    *,
    args: Sequence[Any] = (),
    vectorized: bool = False,
    directions: int | None = None,
    seed: int = 0,
    rtol: float | None = None,
    bounds: Any = None,
) -> Report:
    """Check the Jacobian of a function with any number of values.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array of any shape ``o``. With `vectorized`: ``(k, *o)`` for k points.
    jac : callable, array, scipy.sparse array or structure like x, optional
        ``jac(x, *args)``, or its value at x: for x an array of shape s an array ``(*o, *s)``, so (m, d) for vectors, which
        may be sparse: entries outside its pattern are taken as zeros, and checked. For a structure x the same
        structure with such arrays. None: the framework's own, as in `check_gradient`.
    x, args, vectorized, directions, seed, rtol, bounds
        As for `check_gradient`.

    Returns
    -------
    Report
        Entries are named ``f[i] by x[j]``.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit; the message names it. What f and jac raise passes through.

    Notes
    -----
    See `check_gradient`. Every value of f is compared along every direction. Safe to call from several threads at once
    as far as f and jac are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import check_jacobian
    >>> f = lambda x: np.array([x[0] * x[1], np.sin(x[1])])
    >>> transposed = lambda x: np.array([[x[1], 0.0], [x[0], np.cos(x[1])]])
    >>> report = check_jacobian(f, transposed, [2.0, 0.5])
    >>> report.verdict, sorted(entry.name for entry in report.entries if entry.verdict == "wrong")
    ('wrong', ['f[0] by x[1]', 'f[1] by x[0]'])
    """
    problem = _Problem("jacobian", f, jac, x, args, vectorized, directions, seed, rtol, bounds)
    return problem.first_order(problem.jacobian_at(), scalar=False)


def check_hessian(
    f: Callable[..., Any],
    hess: Any = None,
    x: Any = _MISSING,
    *,
    args: Sequence[Any] = (),
    vectorized: bool = False,
    directions: int | None = None,
    seed: int = 0,
    rtol: float | None = None,
    bounds: Any = None,
) -> Report:
    """Check the Hessian of a scalar function.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns a number. With `vectorized`: (k,) for k points.
    hess : callable, array, scipy.sparse array or structure like x, optional
        ``hess(x, *args)``, or its value at x: for x an array of shape s an array ``(*s, *s)``. For a structure x the same
        structure of the same structures, as `jax.hessian` returns it. None: the framework's own.
    x, args, vectorized, seed, rtol, bounds
        As for `check_gradient`.
    directions : int, optional
        Compare the second derivatives along so many pairs of random directions. By default every entry is compared by
        itself, up to 200 second derivatives (19 parameters); above that 3 pairs are.

    Returns
    -------
    Report
        Entries are named ``x[i], x[j]``.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit; the message names it. What f and hess raise passes through.

    Notes
    -----
    Second differences of f have some nine digits at best. Where there is a gradient that is known to be right,
    ``check_jacobian(grad, hess, x)`` sees more for less. Safe to call from several threads at once as far as f and
    hess are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import check_hessian
    >>> f = lambda x: x[0] ** 2 * np.sin(x[1])
    >>> hess = lambda x: np.array(
    ...     [[2 * np.sin(x[1]), 2 * x[0] * np.cos(x[1])], [2 * x[0] * np.cos(x[1]), -(x[0] ** 2) * np.sin(x[1])]]
    ... )
    >>> check_hessian(f, hess, [2.0, 1.0]).verdict
    'correct'
    """
    problem = _Problem("hessian", f, hess, x, args, vectorized, directions, seed, rtol, bounds)
    problem.scalar()
    claim = problem.claim(problem.hessian_at())
    lines, limit, d = problem.lines, problem.limit, len(problem.parameters)
    if isinstance(claim.here, Matrix) and (bad := claim.here.not_finite()):
        found = [Finding(_not_finite(float(claim.here.rows[i, j])), i, j, second=i) for i, j in bad]
        return problem.report(Outcome(tuple(found), len(found), 0, 0.0))
    if directions is None and d * (d + 1) // 2 <= _MANY:
        return problem.report(second.every_entry(lines, claim, limit))
    return problem.report(second.random_pairs(lines, claim, limit, problem.parameters, directions, seed))


def check_jvp(
    f: Callable[..., Any],
    jvp: Callable[..., Any] | None = None,
    x: Any = _MISSING,
    *,
    args: Sequence[Any] = (),
    vectorized: bool = False,
    directions: int | None = None,
    seed: int = 0,
    rtol: float | None = None,
    bounds: Any = None,
) -> Report:
    """Check a Jacobian-vector product, the forward mode of automatic differentiation.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array of any shape ``o``. With `vectorized`: ``(k, *o)`` for k points.
    jvp : callable, optional
        ``jvp(x, v, *args)``, with v like x, returns the derivative of f along v, of shape ``o``. None: the
        framework's own, as in `check_gradient`.
    x, args, vectorized, seed, rtol, bounds
        As for `check_gradient`.
    directions : int, optional
        How many random v are tried; by default up to 4, as many as 60 evaluations of f allow. When one fails it is halved
        down to the entry to blame.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        An argument does not fit; the message names it. What f and jvp raise passes through.

    Notes
    -----
    See `check_gradient`. Safe to call from several threads at once as far as f and jvp are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import check_jvp
    >>> check_jvp(lambda x: np.outer(x, x), lambda x, v: np.outer(x, v) + np.outer(v, x), [1.0, 2.0]).verdict
    'correct'
    """
    problem = _Problem("jvp", f, jvp, x, args, vectorized, directions, seed, rtol, bounds)
    claim = problem.claim(problem.jvp_at())
    return problem.report(
        search.random_directions(problem.lines, claim, problem.limit, problem.parameters, directions, seed)
    )


def check_vjp(
    f: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    x: Any = _MISSING,
    *,
    args: Sequence[Any] = (),
    vectorized: bool = False,
    directions: int | None = None,
    seed: int = 0,
    rtol: float | None = None,
    bounds: Any = None,
) -> Report:
    """Check a vector-Jacobian product, the reverse mode of automatic differentiation.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array of any shape ``o``. With `vectorized`: ``(k, *o)`` for k points.
    vjp : callable, optional
        ``vjp(x, u, *args)``, with u of shape ``o``, returns the gradient of ``sum(u * f(x))``, like x. None: the
        framework's own, as in `check_gradient`.
    x, args, vectorized, directions, seed, rtol, bounds
        As for `check_gradient`.

    Returns
    -------
    Report
        Three random u are tried; entries are named ``u[i] * f by x[j]``.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit; the message names it. What f and vjp raise passes through.

    Notes
    -----
    See `check_gradient`. Safe to call from several threads at once as far as f and vjp are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdiff import check_vjp
    >>> check_vjp(lambda x: np.outer(x, x), lambda x, u: (u + u.T) @ x, [1.0, 2.0]).verdict
    'correct'
    """
    problem = _Problem("vjp", f, vjp, x, args, vectorized, directions, seed, rtol, bounds)
    rows = problem.rows_of_vjp()
    return problem.first_order(rows, scalar=False)


class _Weighed(Lines):
    """f's values times random cotangents: (outputs,) one for each."""

    weights: NDArray[float64] | None = None

    def weigh(self, weights: NDArray[float64]) -> None:
        self.weights, self._here = weights, None

    def call(self, z: NDArray[Any]) -> NDArray[Any]:
        value = super().call(z)
        if self.weights is None:
            return value
        rows = value.reshape(len(z) if z.ndim > 1 else 1, -1) @ self.weights.T.astype(value.dtype)
        return np.asarray(rows if z.ndim > 1 else rows[0])


class _Problem:
    """The arguments of a check, in order, and how the derivative to be checked is asked for."""

    def __init__(
        self,
        kind: str,
        f: Callable[..., Any],
        given: Any,
        x: Any,
        args: Sequence[Any],
        vectorized: bool,
        directions: int | None,
        seed: int,
        rtol: float | None,
        bounds: Any,
    ) -> None:
        if x is _MISSING:
            x, given = given, None
        f, given = of_symbolic(f, given, kind)
        if not isinstance(args, tuple | list):
            raise TypeError(f"args must be a tuple of further arguments of f, got {type(args).__name__}")
        if directions is not None:
            whole("directions", directions, 1, None)
        whole("seed", seed, 0, None)
        if rtol is not None and not (isinstance(rtol, int | float | np.number) and 0 <= rtol < 1):
            raise ValueError(f"rtol must be a number from 0 to below 1, got {rtol!r}")
        self.kind, self.given, self.directions, self.seed = kind, given, directions, seed
        self.parameters = Parameters(x)
        self.lines = _Weighed(f, self.parameters, args, bounds, vectorized)
        self.name = {"gradient": "grad", "jacobian": "jac", "hessian": "hess"}.get(kind, kind)
        if not np.isfinite(self.parameters.vector).all():
            i = int(np.flatnonzero(~np.isfinite(self.parameters.vector))[0])
            raise ValueError(f"x must be finite, got {self.parameters.vector[i]} at {named(*self.parameters.entry(i))}")
        self.shape = self.lines.here.shape
        self.limit = tolerance(rtol, self.lines.eps)

    def scalar(self) -> None:
        if self.lines.here.size != 1:
            raise ValueError(
                f"f must return a scalar, got shape {self.shape}; check_jacobian takes functions with more values"
            )
        self.shape = ()

    # The derivative to be checked, as functions of the vector of parameters.

    def _ask(self, z: NDArray[float64], *more: Any) -> Any:
        if callable(self.given):
            with np.errstate(all="ignore"):
                return self.given(self.parameters.build(z), *more, *self.lines.args)
        return self.given

    def _framework(self) -> Framework:
        framework = self.parameters.framework
        if framework is None:
            raise TypeError(
                f"{self.name} must be given: only for x of PyTorch tensors or of JAX arrays, or f of fastdiff.symbolic, "
                "can it be left out"
            )
        return framework

    def _own(self, z: NDArray[float64]) -> tuple[Callable[[list[Any]], Any], list[Any]]:
        """f of a list of leaves, and the leaves, for the framework."""
        parts = self.parameters
        inputs = [leaf for _, leaf in parts.leaves_of(parts.build(z), "x")]
        f, args = self.lines.f, self.lines.args
        if not self.lines.vectorized:
            return lambda leaves: f(parts.put(leaves), *args), inputs
        return lambda leaves: f(parts.put([leaf[None] for leaf in leaves]), *args)[0], inputs

    def _flat(self, value: Any, before: tuple[int, ...] = ()) -> NDArray[float64]:
        return self.parameters.flattened(value, self.name, before)

    def _joined(self, leaves: Sequence[Any]) -> NDArray[float64]:
        return np.concatenate([as_array(leaf).astype(float64).reshape(-1) for leaf in leaves])

    def _sparse(self, value: Any, shape: tuple[int, int]) -> Matrix | None:
        if not (hasattr(value, "tocsr") and hasattr(value, "toarray")):
            return None
        if value.shape != shape:
            raise ValueError(f"{self.name} must have shape {shape}, got {value.shape}")
        return Matrix(value.tocsr())

    def gradient_at(self) -> Callable[[NDArray[float64]], Matrix | Map]:
        if self.given is not None:
            return lambda z: Matrix(self._flat(self._ask(z))[None])
        framework = self._framework()
        return lambda z: Matrix(self._joined(framework.vjp(*self._own(z), 1.0))[None])

    def jacobian_at(self) -> Callable[[NDArray[float64]], Matrix | Map]:
        m, d = self.lines.here.size, len(self.parameters)
        if self.given is not None:

            def given(z: NDArray[float64]) -> Matrix:
                value = self._ask(z)
                return self._sparse(value, (m, d)) or Matrix(self._flat(value, self.shape).reshape(m, d))

            return given
        framework = self._framework()
        units = [np.reshape(row, self.shape) for row in np.eye(m)]
        return lambda z: Matrix(np.stack([self._joined(framework.vjp(*self._own(z), u)) for u in units]))

    def hessian_at(self) -> Callable[[NDArray[float64]], Matrix | Map]:
        d = len(self.parameters)
        if self.given is not None:

            def given(z: NDArray[float64]) -> Matrix:
                value = self._ask(z)
                sparse = self._sparse(value, (d, d))
                if sparse is not None:
                    return sparse
                parts = self.parameters.leaves_of(value, self.name)
                rows = [self._flat(part, leaf.shape).reshape(-1, d) for leaf, part in parts]
                return Matrix(np.concatenate(rows))

            return given
        framework = self._framework()

        def product(z: NDArray[float64], v: NDArray[float64]) -> NDArray[float64]:
            tangents = self._tangents(v)
            return self._joined(framework.hvp(*self._own(z), tangents))

        if self.directions is None and d * (d + 1) // 2 <= _MANY:
            return lambda z: Matrix(np.stack([product(z, e) for e in np.eye(d)], axis=1))
        return lambda z: Map(lambda v: product(z, v))

    def _tangents(self, v: NDArray[float64]) -> list[Any]:
        return [leaf.make(v[leaf.start : leaf.stop].reshape(leaf.shape)) for leaf in self.parameters.leaves]

    def jvp_at(self) -> Callable[[NDArray[float64]], Matrix | Map]:
        if self.given is not None:
            if not callable(self.given):
                raise TypeError(f"jvp must be callable, got {type(self.given).__name__}")
            if self.parameters.is_module:
                raise TypeError("check_jvp takes no torch.nn.Module: pass dict(model.named_parameters())")

            def along(z: NDArray[float64], v: NDArray[float64]) -> NDArray[float64]:
                value = as_array(self._ask(z, self.parameters.build(v))).astype(float64)
                if value.shape != self.shape:
                    raise ValueError(f"jvp must have the shape of f's value, {self.shape}, got {value.shape}")
                return value.reshape(-1)

            return lambda z: Map(lambda v: along(z, v))
        framework = self._framework()
        if self.parameters.is_module:
            raise TypeError("check_jvp takes no torch.nn.Module: pass dict(model.named_parameters())")

        def own(z: NDArray[float64], v: NDArray[float64]) -> NDArray[float64]:
            return as_array(framework.jvp(*self._own(z), self._tangents(v))).astype(float64).reshape(-1)

        return lambda z: Map(lambda v: own(z, v))

    def rows_of_vjp(self) -> Callable[[NDArray[float64]], Matrix | Map]:
        rng = np.random.default_rng([self.seed, 1])
        m = self.lines.here.size
        weights = rng.choice([-1.0, 1.0], (_COTANGENTS, m)) * rng.integers(16, 32, (_COTANGENTS, m)) / 16.0
        shape, dtype = self.shape, self.lines.here.dtype
        raw = self.lines.f(self.parameters.build(self.lines.z), *self.lines.args) if callable(self.given) else None
        framework = owner(raw)
        self.lines.weigh(weights)
        self.shape = (_COTANGENTS,)
        if self.given is not None:
            if not callable(self.given):
                raise TypeError(f"vjp must be callable, got {type(self.given).__name__}")

            def given(z: NDArray[float64]) -> Matrix:
                rows = []
                for weight in weights:
                    u = weight.reshape(shape)
                    seed = (
                        framework.like(raw, u) if framework else u.astype(dtype if dtype.kind == "f" else float64)[()]
                    )
                    value = self._ask(z, seed)
                    if isinstance(value, tuple) and len(value) == 1:  # as jax.vjp returns it
                        value = value[0]
                    rows.append(self._flat(value))
                return Matrix(np.stack(rows))

            return given
        own = self._framework()
        return lambda z: Matrix(np.stack([self._joined(own.vjp(*self._own(z), w.reshape(shape))) for w in weights]))

    # The comparison, and the report.

    def claim(self, at: Callable[[NDArray[float64]], Matrix | Map]) -> Claim:
        return Claim(at, self.parameters, fixed=self.given is not None and not callable(self.given))

    def first_order(self, at: Callable[[NDArray[float64]], Matrix | Map], scalar: bool) -> Report:
        claim = self.claim(at)
        if not np.isfinite(self.lines.here).any():
            nothing = Judged(INCONCLUSIVE, np.nan, np.nan, np.inf, reason="f is not finite at x")
            return self.report(Outcome((Finding(nothing, 0, label="f"),), 0, 0, 0.0))
        bad = search.entries_not_finite(self.lines, claim)
        if bad:
            return self.report(Outcome(tuple(search.worst_first(bad)), len(bad), 0, 0.0))
        if self.directions is None and len(self.parameters) <= _MANY:
            return self.report(search.every_entry(self.lines, claim, self.limit, scalar))
        return self.report(
            search.random_directions(self.lines, claim, self.limit, self.parameters, self.directions, self.seed)
        )

    def report(self, found: Outcome) -> Report:
        entries = tuple(self._entry(finding) for finding in found.findings)
        verdicts = {e.verdict for e in entries}
        verdict = WRONG if WRONG in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts else CORRECT
        reason = ""
        if verdict == INCONCLUSIVE:
            first = next(e for e in entries if e.verdict == INCONCLUSIVE)
            reason = f"{first.reason}, at {first.name}" if first.path != "f" else first.reason
        return Report(
            self.kind, verdict, reason, entries, found.compared, found.directions, len(self.parameters),
            self.lines.nfev, found.resolution,
        )  # fmt: skip

    def _entry(self, f: Finding) -> Entry:
        path, index = (f.label, ()) if f.entry is None else self.parameters.entry(f.entry)
        if self.shape and self.kind != "hessian":
            output = named("u" if self.kind == "vjp" else "f", tuple(map(int, np.unravel_index(f.output, self.shape))))
            output += " * f" if self.kind == "vjp" else ""
            path = f"{output} {'by' if f.entry is not None else 'along'} {path}"
        if f.second is not None:
            path = f"{named(*self.parameters.entry(f.second))}, {path}"
        j = f.judged
        reason = j.reason
        if j.verdict == WRONG and not reason and f.entry is not None:
            reason = remark(j.given, j.estimated, j.error)
        return Entry(path, index, j.given, j.estimated, j.error, j.order, j.verdict, reason)


def _not_finite(given: float) -> Judged:
    return Judged(WRONG, given, np.nan, np.inf, reason="given is not finite")
