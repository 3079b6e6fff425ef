"""Functions in machine code: programs of one step, which calls a C function pointer once a lane without the GIL."""

import ctypes
from copy import copy
from typing import Any

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from ..kernels import backend
from .program import Input, Program, Step

# kinds of csrc/fastdiff.h, by signature without spaces, names and const
KINDS = {
    "double(double)": 0,
    "double(double,void*)": 1,
    "double(double,int)": 2,
    "double(int,double*)": 3,
    "double(int,double*,void*)": 4,
    "void(int,double*,int,double*)": 5,
}
# ctypes and numba pass pointers on as void *
_ALIASES = {
    "double(int,void*)": "double(int,double*)",
    "double(int,void*,void*)": "double(int,double*,void*)",
    "void(int,void*,int,void*)": "void(int,double*,int,double*)",
}
SCALAR, POINT, VECTOR = (0, 1, 2), (3, 4), (5,)


class NativeFunction:
    """A C function as fastdiff calls it.

    Parameters
    ----------
    f
        A ctypes or cffi function pointer, `scipy.LowLevelCallable`, numba `cfunc`, or a capsule named by its signature,
        as Cython exports them. Signatures: ``double(double)``, ``double(double, void *)`` for elementwise functions;
        ``double(int n, double *x)``, ``double(int n, double *x, void *)`` for a number at a point; and
        ``void(int n, const double *x, int m, double *out)`` for a vector of m numbers at a point.
    outputs
        m, for the last of these.

    Raises
    ------
    TypeError
        If f is none of these, or has another signature.

    Notes
    -----
    f is called from several threads at once and without the GIL: it must not touch Python. The function object is kept
    alive as long as this is. Immutable, hence thread-safe.

    Examples
    --------
    >>> import ctypes, ctypes.util
    >>> from fastdiff.functions.native import NativeFunction
    >>> sin = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(abs)
    >>> NativeFunction(sin).program()([-1.0, 2.0])
    array([1., 2.])
    """

    def __init__(self, f: Any, outputs: int | None = None) -> None:
        found = _pointer(f)
        if found is None:
            raise TypeError(f"{f!r} is no C function")
        address, signature, user = found
        self.signature = _normal(signature)
        if self.signature not in KINDS:
            raise TypeError(f"the C function has signature {signature!r}; accepted are {', '.join(KINDS)}")
        self.kind = KINDS[self.signature]
        if self.kind in VECTOR and outputs is None:
            raise TypeError("a C function with a vector out needs outputs, the number of its elements")
        if self.kind in (1, 4) and user is None:
            user = 0
        self.outputs = outputs if self.kind in VECTOR else 1
        self.words = np.array([address, user or 0, self.kind], np.intp)
        self.inner_loop = 0
        self.f = f

    def program(self, inputs: int = 1) -> Program:
        """The function as a program, of one number a lane or of points of `inputs` numbers."""
        if self.kind in SCALAR:
            x: NDArray[Any] = np.zeros((), np.int64)
            step = Step("native", self, (np.array([0]),), (np.array([1]),))
            outputs: NDArray[Any] = np.array(1)
        else:
            x = np.arange(inputs)
            made = inputs + np.arange(self.outputs or 1)
            step = Step("native", self, (x,), (made,), call=True)
            outputs = made if self.kind in VECTOR else made.reshape(())
        return Program(
            inputs=[Input("x", x)],
            steps=[step],
            constants=np.zeros(1),
            bool_rows=np.zeros(x.size + step.items, bool),
            outputs=outputs,
            elementwise=self.kind in SCALAR,
        )

    def program_of(self, inputs: int, x: NDArray[float64] | None = None, evaluations: int = 0) -> tuple[Program, int]:
        """The program for an operator, of points, or for so many evaluations of numbers like x; and how often f was called to
        make it."""
        if x is not None and (self.kind not in SCALAR or inputs != 1):
            raise TypeError(f"the C function {self.signature} takes points; derivative wants double(double)")
        if x is None and self.kind in SCALAR:
            raise TypeError(f"the C function {self.signature} takes a number; gradient and the like want points")
        function, calls = (self, 0) if x is None else self.with_loop(x, evaluations)
        return function.program(inputs), calls

    def with_loop(self, x: NDArray[float64], evaluations: int) -> "tuple[NativeFunction, int]":
        """The same, for so many evaluations of numbers like x, with an inner loop of its own if numba can make one; and how
        often f was called to check it."""
        if self.signature != "double(double)" or not _of_numba(self.f) or backend.NAME != "compiled":
            return self, 0
        from .numba_loops import loop_of

        found = copy(self)
        found.inner_loop, calls = loop_of(self.f, x, evaluations)
        return found, calls

    # --- for the NumPy backend: the same calls through ctypes ---

    def fill(self, x: NDArray[float64], out: NDArray[float64]) -> None:
        c = ctypes
        more = {0: (), 1: (c.c_void_p,), 2: (c.c_int,)}[self.kind]
        call = c.CFUNCTYPE(c.c_double, c.c_double, *more)(int(self.words[0]))
        extra = {0: (), 1: (int(self.words[1]),), 2: (0,)}[self.kind]
        out[...] = [call(v, *extra) for v in np.broadcast_to(x, out.shape).tolist()]

    def at_points(self, points: NDArray[float64], outputs: int) -> NDArray[float64]:
        c = ctypes
        points = np.ascontiguousarray(points)
        out = np.empty((len(points), outputs))
        d = points.shape[1]
        for point, result in zip(points, out, strict=True):
            if self.kind in VECTOR:
                fill = c.CFUNCTYPE(None, c.c_int, c.c_void_p, c.c_int, c.c_void_p)(int(self.words[0]))
                fill(d, point.ctypes.data, outputs, result.ctypes.data)
                continue
            call = c.CFUNCTYPE(c.c_double, c.c_int, c.c_void_p, c.c_void_p)(int(self.words[0]))
            result[0] = call(d, point.ctypes.data, int(self.words[1]))
        return out


_CFunction: Any = ctypes.CFUNCTYPE(None).__mro__[1]  # of all ctypes functions


def is_native(f: Any) -> bool:
    """Whether f is a pointer to a C function, of whatever signature. Costs little for other functions."""
    return isinstance(f, NativeFunction) or _pointer(f) is not None


_C_TYPES: dict[Any, str] = {None: "void", ctypes.c_double: "double", ctypes.c_int: "int", ctypes.c_void_p: "void*"}
_NUMBA_TYPES = {
    "float64": "double",
    "int32": "int",
    "float64*": "double*",
    "void*": "void*",
    "none*": "void*",
    "voidptr": "void*",
    "void": "void",
    "none": "void",
}


def _of_numba(f: Any) -> bool:
    return type(f).__module__.startswith("numba.") and hasattr(f, "address") and hasattr(f, "_sig")


def _pointer(f: Any) -> tuple[int, str, int | None] | None:
    """Address, signature and user data of a C function; None if f is none."""
    module = type(f).__module__
    if isinstance(f, _CFunction):
        _C_TYPES.setdefault(ctypes.POINTER(ctypes.c_double), "double*")
        names = [_C_TYPES.get(t, str(t)) for t in (f.restype, *(f.argtypes or ()))]
        return ctypes.cast(f, ctypes.c_void_p).value or 0, f"{names[0]}({','.join(names[1:])})", None
    if type(f).__name__ == "PyCapsule":
        return (*_capsule(f)[:2], None)
    if module == "scipy._lib._ccallback" and isinstance(f, tuple):
        inner = _pointer(f.function)  # type: ignore[attr-defined]
        address, signature, context = _capsule(tuple.__getitem__(f, 0))
        if inner is not None and "*" in inner[1]:
            signature = inner[1]
        return address, signature, context
    if _of_numba(f):
        names = [_NUMBA_TYPES.get(str(t), str(t)) for t in (f._sig.return_type, *f._sig.args)]
        return f.address, f"{names[0]}({','.join(names[1:])})", None
    if module == "_cffi_backend":
        import cffi  # type: ignore[import-untyped, unused-ignore]

        ffi = cffi.FFI()
        try:
            kind = ffi.typeof(f)
        except TypeError:
            return None
        if kind.kind != "function":
            return None
        names = [t.cname for t in (kind.result, *kind.args)]
        return int(ffi.cast("intptr_t", f)), f"{names[0]}({','.join(names[1:])})", None
    return None


_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_context = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyCapsule_GetContext", ctypes.pythonapi))
_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _capsule(capsule: Any) -> tuple[int, str, int | None]:
    name = _name(capsule)
    return _address(capsule, name), (name or b"").decode(), _context(capsule)


def _normal(signature: str) -> str:
    """Without spaces, const and names of arguments."""
    result, _, arguments = signature.partition("(")
    kinds = []
    for argument in arguments.rstrip(") ").split(","):
        words = argument.replace("*", " * ").replace("const ", " ").split()
        kinds.append("".join(w for i, w in enumerate(words) if i == 0 or w == "*"))
    plain = f"{result.strip()}({','.join(kinds)})"
    return _ALIASES.get(plain, plain)
