"""Which kind of function it is: the one place that decides how f is called.

The kinds that replay programs are imported when one is needed, so that other sessions do not load them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from ..kernels import backend
from .base import Function
from .elementwise import Elementwise, captures
from .point import Directions, PointFunction
from .vectorized import VectorizedFunction

if TYPE_CHECKING:
    from .program import Program

# From so many evaluations on a recording is tried. It costs some tens of calls of f for one point, or a few milliseconds
# where f takes many: at most a twentieth of what is to come.
LEAST_CALLS = 2**12
LEAST_ELEMENTS = 2**20
LEAST_EACH = 16  # and so many in each direction, which is compiled for itself
# Evaluations of a lane, at least: at given steps, at automatic ones, and at these if f has to be called with all elements
# until the last of them is done.
GIVEN, AUTOMATIC, ALL_TOGETHER = 2, 6, 24


class Choice:
    """How one call of an operator calls f, of which so many `arguments` move one after the other.

    The decision is made once; where several functions are asked for, as by a Hessian, they share one recording.
    """

    reason = ""
    _program: "Program | None" = None
    _tried = False
    _checks = 0

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        engine: str,
        threads: int | None,
        arguments: int,
        automatic: bool,
    ) -> None:
        self.f, self.args, self.engine, self.threads = f, tuple(args), engine, threads
        self.automatic, self.nodes = automatic, arguments * (AUTOMATIC if automatic else GIVEN)
        self.native = engine in ("auto", "native") and is_native(f)
        if engine == "native" and not self.native:
            raise ValueError(f"engine='native' cannot run this function: {type(f).__name__} is no C function")

    def elementwise(self, xs: Sequence[NDArray[float64]], moves: Sequence[float | NDArray[float64]]) -> Function:
        """f of numbers: `xs` broadcast together, and move by `moves`."""
        program = self._of_elements(xs)
        if program is None:  # f gets copies, and so does what is computed from x after f was called
            return self._told(Elementwise(self.f, self.args, [np.array(x) for x in xs], moves))
        from . import replayed

        return self._told(replayed.elementwise(self.f, self.args, program, xs, moves, self._name, self.threads))

    def partials(self, xs: Sequence[NDArray[float64]]) -> Function | None:
        """f of numbers, of which each moves alone: lanes are elements times arguments. None where f is called from
        Python, and nothing is gained by having all in one."""
        program = self._of_elements(xs)
        if program is None:
            return None
        from . import replayed

        return self._told(replayed.partials(self.f, self.args, program, xs, self._name, self.threads))

    def _of_elements(self, xs: Sequence[NDArray[float64]]) -> "Program | None":
        shape = np.broadcast_shapes(*(x.shape for x in xs))
        size = int(np.prod(shape))

        def record() -> "Program":
            from .recording import of_elements

            return of_elements(self.f, self.args, xs, shape)

        if not size:
            return None
        if not self.may_replay(size, 1, True):
            more = ALL_TOGETHER // AUTOMATIC if self.automatic else 1
            if not (self.may_replay(size, more, True) and captures(self.f, self.args, shape)):
                return None
        return self._native(len(xs), xs[0], size * self.nodes) if self.native else self._recorded(record)

    def of_points(
        self, points: NDArray[float64], directions: Directions, vectorized: bool, scalar_valued: bool
    ) -> Function:
        """f of points (b, d), or with `vectorized` of many at once."""

        def record() -> "Program":
            from .recording import of_points

            return of_points(self.f, self.args, points, vectorized, scalar_valued)

        if self.may_replay(len(points), directions.count, vectorized) and len(points) * directions.count:
            program = self._native(points.shape[1]) if self.native else self._recorded(record)
            if program is not None:
                from . import replayed

                return self._told(
                    replayed.of_points(self.f, self.args, program, points, directions, self._name, self.threads)
                )
        kind = VectorizedFunction if vectorized else PointFunction
        return self._told(kind(self.f, self.args, points, directions, scalar_valued))

    @property
    def _name(self) -> str:
        return "native" if self.native else "traced"

    def may_replay(self, points: int, directions: int, many: bool) -> bool:
        """Whether this may be more than calls of f from Python; `many` of its points go into each."""
        if self.native or self.engine == "traced":
            return True
        if self.engine != "auto" or backend.NAME != "compiled":  # replaying in NumPy gains nothing
            return False
        least = LEAST_ELEMENTS if many else LEAST_CALLS
        each = points * self.nodes
        return each >= LEAST_EACH and (each * directions >= least or self._program is not None)

    def _recorded(self, record: Callable[[], "Program"]) -> "Program | None":
        if not self._tried:
            from .recording import CHECKED
            from .tracing import Untraceable

            self._tried = True
            try:
                self._program = record()
                self._checks = CHECKED
            except Untraceable as reason:
                if self.engine == "traced":
                    raise ValueError(f"engine='traced' cannot run f: {reason}") from None
                self.reason = f"f is called from Python: {reason}"
        return self._program

    def _native(self, inputs: int, x: NDArray[float64] | None = None, evaluations: int = 0) -> "Program | None":
        """The C function as a program; None where it has another signature and may be called from Python."""
        from .native import NativeFunction

        if self.args:
            raise ValueError("args do not reach a C function: what else it needs goes into its user data")
        try:
            function = self.f if isinstance(self.f, NativeFunction) else NativeFunction(self.f)
            program, self._checks = function.program_of(inputs, x, evaluations)
            return program
        except TypeError as error:
            if self.engine == "native" or not callable(self.f):
                raise
            self.native = False
            self.reason = f"f is called from Python: {error}"
            return None

    def _told(self, function: Function) -> Function:
        function.reason, function.threads = self.reason, self.threads
        function.nfev, self._checks = self._checks, 0
        return function


_HOMES = ("ctypes", "_ctypes", "_cffi_backend", "scipy._lib._ccallback")


def is_native(f: Any) -> bool:
    """Whether f is a pointer to a C function, of whatever signature. Costs little for other functions."""
    kind = type(f)
    home = kind.__module__
    if home in _HOMES or home.startswith(("numba.", "fastdiff.")) or kind.__name__ == "PyCapsule":
        from . import native

        return native.is_native(f)
    return False
