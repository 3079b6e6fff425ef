"""Records NumPy code: a stand-in for an array notes every operation that is done with it.

The stand-in holds no numbers. It holds an array of *rows* (see `program`) of the shape, memory layout and aliasing
that NumPy's own array would have, so indexing and mutation are done on that array, with NumPy's own rules. What cannot
be recorded raises `Untraceable`, which says why and where.
"""

import linecache
import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn, cast

import numpy as np
from numpy import float64, int64
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .base import fits
from .borrowing import Borrower
from .program import Input, Loop, Program, Rows, Step

DRAWS = "f draws random numbers"
MOST_ROWS = 4_000_000  # a longer recording is given up: replaying it would not pay


class Untraceable(Exception):
    """The function does something that a recording cannot hold. The text says what, and where."""


def _where() -> str:
    """The innermost line that is neither ours nor NumPy's."""
    frame = sys._getframe(1)
    while frame is not None:
        name, module = frame.f_code.co_filename, frame.f_globals.get("__name__", "")
        if not module.startswith((__package__ or "", "numpy.")) and module != "numpy":
            line = linecache.getline(name, frame.f_lineno).strip()
            return f" at {name}:{frame.f_lineno}" + (f": {line}" if line else "")
        frame = cast(Any, frame.f_back)
    return ""


class Recorder:
    """What has been recorded so far. One recording, one thread."""

    def __init__(self, *, elementwise: bool, lane_shape: tuple[int, ...] = (), vectorized: bool = False) -> None:
        self.elementwise, self.lane_shape, self.vectorized = elementwise, lane_shape, vectorized
        self.rows = 0
        self.bools: list[slice] = []
        self.inputs: list[Input] = []
        self.steps: list[Step] = []
        self.constants: dict[tuple[str, bytes], int] = {}
        self.known: dict[Any, tuple[Rows, ...]] = {}
        self.captured: dict[int, tuple[Any, Rows]] = {}
        self.inexact = False
        self.failure: Untraceable | None = None
        from .array_functions import MAKERS  # which needs this module

        self.borrower = Borrower(
            {g: partial(own, self, g) for g, own in MAKERS.items()}, lambda *a, **k: self.fail(DRAWS)
        )
        self.inside: list[str] = []  # functions of NumPy whose own code is being recorded

    def fail(self, reason: str) -> NoReturn:
        # kept, because the function may catch it
        self.failure = Untraceable(": ".join([*self.inside[:1], reason]) + _where())
        raise self.failure

    def new(self, count: int, truth: bool) -> Rows:
        if self.rows + count > MOST_ROWS:
            self.fail(f"more than {MOST_ROWS} numbers a point (if f works on each number alone, it is elementwise)")
        first = self.rows
        self.rows += count
        if truth:
            self.bools.append(slice(first, self.rows))
        return np.arange(first, self.rows)

    def constant(self, values: ArrayLike, char: str = "d") -> Rows:
        """Rows of constants, of the shape and layout of the values."""
        array = np.asarray(values)
        array = array.astype(char, order="K") if char != "?" else array.astype(bool, order="K")
        rows = np.empty_like(array, int64, subok=False)
        unique: dict[bytes, int] = {}
        flat = [v.tobytes() for v in array.ravel()] if array.size > 1 else [array.tobytes()]
        numbers = []
        for raw in flat:
            number = unique.get(raw)
            if number is None:
                number = unique[raw] = self.constants.setdefault((char, raw), len(self.constants))
            numbers.append(-1 - number)
        rows[...] = np.array(numbers, int64).reshape(array.shape)
        return rows

    def constant_values(self, rows: Rows) -> NDArray[Any]:
        table = list(self.constants)
        found = [np.frombuffer(table[-1 - r][1], table[-1 - r][0])[0] for r in rows.ravel().tolist()]
        return np.array(found).reshape(rows.shape)

    def step(self, name: str, loop: Loop, operands: Sequence[Rows], types: str, **more: Any) -> list[Rows]:
        """Add a step on operands of equal length; gives the rows of its results."""
        matrix = more.get("matrix")
        key = (
            name,
            loop,
            tuple(o.tobytes() for o in operands),
            more.get("single"),
            id(matrix) if matrix is not None else None,
        )
        if key in self.known and "levels" not in more:
            return list(self.known[key])
        count = operands[0].size if matrix is None else matrix.shape[0]
        out = tuple(self.new(count, t == "?") for t in types.split("->")[1])
        self.steps.append(Step(name, loop, tuple(operands), out, **more))
        if "levels" not in more:
            self.known[key] = out
        return list(out)

    def finish(self, outputs: Rows, truth: bool) -> Program:
        """The program, without what its outputs do not need."""
        bools = np.zeros(self.rows, bool)
        for part in self.bools:
            bools[part] = True
        live = np.zeros(self.rows + 1, bool)
        live[outputs[outputs >= 0]] = True
        kept: list[Step] = []
        for step in reversed(self.steps):
            wanted = np.zeros(step.items, bool)
            for group in reversed(step.groups()):
                wanted[group] = np.logical_or.reduce([live[out[group]] for out in step.out])
                for rows in step.operands:
                    read = (
                        rows
                        if step.matrix is not None and wanted.any()
                        else rows[group][wanted[group]]
                        if step.matrix is None
                        else rows[:0]
                    )
                    live[read[read >= 0]] = True
            if not wanted.any():
                continue
            if not wanted.all() and step.matrix is None:
                levels = None
                if step.levels is not None:
                    before = np.concatenate([[0], np.cumsum(wanted)])
                    levels = tuple(dict.fromkeys(int(before[b]) for b in step.levels if before[b] < before[-1]))
                step = Step(
                    step.name,
                    step.loop,
                    tuple(o[wanted] for o in step.operands),
                    tuple(o[wanted] for o in step.out),
                    step.single,
                    levels,
                )
            kept.append(step)
        raw = np.zeros((max(len(self.constants), 1), 8), np.uint8)
        for (_, bits), number in self.constants.items():
            raw[number, : len(bits)] = np.frombuffer(bits, np.uint8)
        inputs = [i for i in self.inputs if i.captured is None or live[i.rows.ravel()].any()]
        return Program(
            inputs,
            kept[::-1],
            raw.view(float64).ravel(),
            bools,
            np.array(outputs, order="C"),
            truth,
            self.elementwise,
            self.inexact,
        )


# --- which inner loop ---


def _plain_ufunc(ufunc: Any) -> np.ufunc:
    if isinstance(ufunc, np.ufunc):
        return ufunc
    inner = getattr(ufunc, "ufunc", None)  # numba's DUFunc holds one
    if isinstance(inner, np.ufunc):
        return inner
    raise Untraceable(f"{getattr(ufunc, '__name__', ufunc)} is no NumPy ufunc")


MOST_OPERANDS = 16  # FD_MAX_OPERANDS of csrc/fastdiff.h


INT = np.dtype(int64).char
MOST_EXACT = 2**53  # whole numbers up to here are exact as float64
LEAST_MOST = 2**20  # and up to here may be assigned to any whole numbers
# What NumPy computes of whole numbers as it does of float64, as long as they are exact.
WHOLE = frozenset({
    np.add, np.subtract, np.multiply, np.true_divide, np.square, np.negative, np.positive, np.absolute, np.maximum, np.minimum,
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or,
    np.logical_not, np.logical_xor,
})  # fmt: skip


def _resolve(ufunc: Any, dtypes: tuple[Any, ...]) -> tuple[np.ufunc, str]:
    """The inner loop that NumPy would call for these operands: ufunc, and types such as 'dd->d'."""
    plain = _plain_ufunc(ufunc)
    if plain.signature is not None:
        raise Untraceable(f"{plain.__name__} works on whole arrays (it is a generalized ufunc)")
    if plain.nargs > MOST_OPERANDS:
        raise Untraceable(f"{plain.__name__} has {plain.nargs} operands, more than {MOST_OPERANDS}")
    if plain is not ufunc and not any(set(t.replace("->", "")) <= set("d?") for t in plain.types):
        ufunc(*(np.float64(0.5) for _ in dtypes))  # numba compiles at the first call
        plain = _plain_ufunc(ufunc)
    try:
        found = cast(Any, plain).resolve_dtypes((*dtypes, *[None] * plain.nout))
    except TypeError:
        raise Untraceable(f"{plain.__name__} has no loop for these types") from None
    chars = "".join(d.char for d in found)
    types = f"{chars[: plain.nin]}->{chars[plain.nin :]}"
    if set(chars) - {*"d?l", INT} or set(chars[plain.nin :]) - {*"d?", *(INT if plain in WHOLE else "")}:
        raise Untraceable(f"{plain.__name__} would compute in {types}, not in float64")
    if types not in plain.types:
        raise Untraceable(f"{plain.__name__} has no inner loop {types}")
    if len(set(chars[plain.nin :])) > 1:
        raise Untraceable(f"{plain.__name__} returns truth values along with numbers")
    return plain, types


ADD = (np.add, np.add.types.index("dd->d"))


# Rounded correctly, or not at all: the same bits whatever loop NumPy takes. The loops of other ufuncs depend on strides.
EXACT = frozenset({
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.absolute, np.square, np.sqrt, np.floor,
    np.ceil, np.rint, np.trunc, np.sign, np.maximum, np.minimum, np.fmax, np.fmin, np.less, np.less_equal, np.greater,
    np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.isnan,
    np.isfinite, np.isinf, np.signbit, np.copysign, np.reciprocal, np.bitwise_and, np.bitwise_or, np.bitwise_xor,
    np.invert, np.remainder, np.fmod, np.floor_divide, np.heaviside, np.modf, np.divmod,
})  # fmt: skip


class _Probe(np.ndarray[Any, Any]):
    """An array that says which ufunc an operator of arrays calls: x**2 is square, in some versions."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ufunc, inputs


class Traced:
    """Stands for an array of float64 or truth values while a function is recorded, or of whole numbers that NumPy would hold
    as int64: none is larger than `most`, which is None for all others."""

    __slots__ = ("most", "recorder", "rows", "scalar", "truth")
    __array_priority__ = 1e6
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, recorder: Recorder, rows: Rows, *, truth: bool = False, scalar: bool = False, most: int | None = None
    ) -> None:
        self.recorder, self.rows, self.truth = recorder, rows, truth
        self.most = None if most is None else max(most, LEAST_MOST)
        if self.most is not None and self.most > MOST_EXACT:
            raise Untraceable("whole numbers may become larger than 2**53")
        self.scalar = scalar and not recorder.elementwise  # NumPy would have a scalar, no array

    # --- what it looks like ---

    @property
    def __class__(self) -> Any:  # so that isinstance(x, np.ndarray) goes the way it would
        if self.scalar:
            return self.dtype.type
        return np.ndarray

    @__class__.setter
    def __class__(self, value: Any) -> None:
        self.recorder.fail("its class is changed")

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool if self.truth else float64 if self.most is None else int64)

    def _shape(self, what: str) -> tuple[int, ...]:
        if self.recorder.elementwise:
            self.recorder.fail(f"the function looks at the {what} of its argument")
        return self.rows.shape

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape("shape")

    @property
    def size(self) -> int:
        return math.prod(self._shape("size"))

    @property
    def ndim(self) -> int:
        return len(self._shape("number of dimensions"))

    def __len__(self) -> int:
        shape = self._shape("length")
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    @property
    def T(self) -> Any:
        return self.transpose()

    @property
    def real(self) -> "Traced":
        return self

    @property
    def flat(self) -> Any:
        return iter(self.ravel())

    def __repr__(self) -> str:
        self._refuse("a value is printed, or turned into text")

    __str__ = __repr__

    def __format__(self, how: str) -> str:
        self._refuse("a value is printed, or turned into text")

    def _refuse(self, what: str) -> NoReturn:
        self.recorder.fail(what)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        self.recorder.fail(f"the attribute .{name} is not recorded")

    def __bool__(self) -> bool:
        self._refuse("a branch depends on a value")

    def __float__(self) -> float:
        self._refuse("a value is converted to a Python number")

    __int__ = __index__ = __complex__ = item = tolist = __round__ = __trunc__ = __floor__ = __ceil__ = cast(
        Any, __float__
    )

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("a value is converted to a plain array (if by a.dot(x), write a @ x)")

    def __contains__(self, value: Any) -> bool:
        self._refuse("a search depends on a value")

    def __copy__(self) -> "Traced":
        return self.copy()

    def __deepcopy__(self, memo: Any) -> "Traced":
        return self.copy()

    # --- ufuncs and functions ---

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _guarded(self.recorder, _call_ufunc, ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        from .array_functions import call

        return _guarded(self.recorder, call, func, args, kwargs)

    # --- operators ---

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        return _power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return _power(other, self)

    def __neg__(self) -> Any:
        return np.negative(cast(Any, self))

    def __pos__(self) -> Any:
        return np.positive(cast(Any, self))

    def __abs__(self) -> Any:
        return np.absolute(cast(Any, self))

    def __invert__(self) -> Any:
        return np.invert(cast(Any, self))

    def __divmod__(self, other: Any) -> Any:
        return np.divmod(cast(Any, self), other)

    def __rdivmod__(self, other: Any) -> Any:
        return np.divmod(other, cast(Any, self))

    def __matmul__(self, other: Any) -> Any:
        return np.matmul(cast(Any, self), other)

    def __rmatmul__(self, other: Any) -> Any:
        return np.matmul(other, cast(Any, self))

    # --- indexing and mutation ---

    def __getitem__(self, index: Any) -> Any:
        return _guarded(self.recorder, _getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _guarded(self.recorder, _setitem, self, index, value)

    # --- methods ---

    def copy(self, order: Any = "C") -> "Traced":
        return self.like(self.rows.copy(order), scalar=self.scalar)

    def like(self, rows: Rows, *, scalar: bool = False) -> "Traced":
        """Other rows of the same kind."""
        return Traced(self.recorder, rows, truth=self.truth, scalar=scalar, most=self.most)

    def astype(self, dtype: DTypeLike, *args: Any, **kwargs: Any) -> "Traced":
        if np.dtype(dtype) == float64:
            return Traced(self.recorder, _numbers(self).copy("K"), scalar=self.scalar)
        if np.dtype(dtype) == bool and self.truth:
            return self.copy("K")
        self._refuse(f"values are converted to {np.dtype(dtype)}")

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(cast(Any, self), shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(cast(Any, self), (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self, order: Any = "C") -> Any:
        return np.ravel(cast(Any, self), order).copy()

    def conj(self) -> "Traced":
        return self

    conjugate = conj

    def fill(self, value: Any) -> None:
        self[...] = value

    def clip(self, min: Any = None, max: Any = None, **kwargs: Any) -> Any:
        return np.clip(cast(Any, self), min, max, **kwargs)


def _guarded(recorder: Recorder, function: Callable[..., Any], *args: Any) -> Any:
    if recorder.failure is not None:  # the function caught it and went on
        raise recorder.failure
    try:
        return function(*args)
    except Untraceable as reason:
        if recorder.failure is None:
            recorder.fail(str(reason))
        raise


def _operator(name: str, ufunc: np.ufunc) -> None:
    def forward(self: Any, other: Any) -> Any:
        return ufunc(self, other)

    def backward(self: Any, other: Any) -> Any:
        return ufunc(other, self)

    def inplace(self: Any, other: Any) -> Any:
        result = ufunc(self, other)
        if self.scalar:
            return result
        _guarded(self.recorder, _setitem, self, ..., result)
        return self

    setattr(Traced, f"__{name}__", forward)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Traced, f"__r{name}__", backward)
        setattr(Traced, f"__i{name}__", inplace)


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}.items():  # fmt: skip
    _operator(_name, {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}.get(_name, _ufunc))


def _ipow(self: Any, other: Any) -> Any:
    result = _power(self, other)
    if self.scalar:
        return result
    _guarded(self.recorder, _setitem, self, ..., result)
    return self


Traced.__ipow__ = _ipow  # type: ignore[attr-defined]


def _method(name: str) -> None:
    function = getattr(np, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    setattr(Traced, name, method)


for _name in ("sum", "mean", "prod", "max", "min", "dot", "var", "std", "cumsum", "cumprod", "ravel", "squeeze", "take", "repeat",
              "swapaxes", "all", "any", "diagonal", "trace"):  # fmt: skip
    _method(_name)


# --- operands ---


def _is_traced(value: Any) -> bool:
    return type(value) is Traced


def _check_kind(*values: Any) -> None:
    """Subclasses of arrays, as np.matrix, and other containers of arrays take operators over from NumPy's."""
    for value in values:
        kind = type(value)
        if kind in (Traced, np.ndarray, np.memmap) or not hasattr(kind, "__array_priority__"):
            continue
        if not isinstance(value, np.generic):
            raise Untraceable(f"a {kind.__name__} has rules of its own where a plain array has NumPy's")


def _plain(value: Any) -> NDArray[Any]:
    """A constant as an array of real numbers."""
    _check_kind(value)
    if isinstance(value, (list, tuple)) and _holds_traced(value):
        raise Untraceable("a list of recorded values is used as an array")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise Untraceable(f"a constant has type {array.dtype}")
    return array


def _rows(recorder: Recorder, value: Any, char: str) -> Rows:
    """Rows of an operand, as doubles ('d'), truth values ('?') or integers ('l')."""
    if _is_traced(value):
        if char == "d":
            return _numbers(value)
        if char == "?":
            return _truth(value)
        raise Untraceable("a recorded value is used as an integer")
    array = _plain(value)
    if array.size == 1 or not recorder.elementwise:
        rows = recorder.constant(array, char)
        return rows.reshape(()) if recorder.elementwise else rows
    rows = _captured(recorder, value, array)
    if char == "d":
        return rows
    if char != "?":
        raise Untraceable("a captured array of integers runs along with the argument")
    return recorder.step("truth", "truth", (rows.reshape(1),), "d->?")[0].reshape(())


def _captured(recorder: Recorder, value: Any, array: NDArray[Any]) -> Rows:
    """The row of an array that runs along with the lanes, as doubles."""
    found = recorder.captured.get(id(value))
    if found is not None:
        return found[1]
    if not fits(array.shape, recorder.lane_shape):
        raise Untraceable(f"an array of shape {array.shape} meets the argument, whose shape is {recorder.lane_shape}")
    rows = recorder.new(1, False).reshape(())
    recorder.inputs.append(Input(f"captured{len(recorder.captured)}", rows, np.array(array, float64)))
    recorder.captured[id(value)] = (value, rows)
    return rows


def _cast(value: Traced, loop: str, types: str) -> Rows:
    rows = value.rows
    out = np.empty_like(rows)
    flat = rows.transpose(np.argsort([-s for s in out.strides], kind="stable")).ravel()
    if (flat < 0).all():
        constants = value.recorder.constant(value.recorder.constant_values(rows), types[-1])
        return constants
    (made,) = value.recorder.step(loop, loop, (flat.copy(),), types)
    _like(out, made)
    return out


def _like(target: Rows, flat: Rows) -> None:
    """Fill in the order of memory: ravel(order="K") undone."""
    order = np.argsort([-s for s in target.strides], kind="stable")
    view = target.transpose(order)
    view[...] = flat.reshape(view.shape)


def _numbers(value: Traced) -> Rows:
    return _cast(value, "number", "?->d") if value.truth else value.rows


def _double(value: Traced) -> Rows:
    """The same where it makes a difference that whole numbers are no float64."""
    if value.most is not None:
        raise Untraceable("whole numbers are used where float64 was expected (multiply them by 1.0)")
    return _numbers(value)


def _most(value: Any) -> int:
    """The largest size of whole numbers or truth values."""
    if _is_traced(value):
        return 1 if value.truth else cast(int, value.most)
    array = _plain(value)
    return max(abs(int(array.max())), abs(int(array.min()))) if array.size else 0


def _truth(value: Traced) -> Rows:
    return value.rows if value.truth else _cast(value, "truth", "d->?")


def _dtype_of(value: Any) -> Any:
    if _is_traced(value):
        return value.dtype
    if type(value) in (int, float):
        return type(value)
    if type(value) is complex:
        raise Untraceable("a constant has type complex")
    return _plain(value).dtype


def _recorder_of(values: Any) -> Recorder:
    for value in values:
        if _is_traced(value):
            return cast(Recorder, value.recorder)
        if isinstance(value, (list, tuple)) and _holds_traced(value):
            return _recorder_of(value)
    raise Untraceable("nothing recorded among the arguments")


def _holds_traced(values: Any) -> bool:
    return any(_is_traced(v) or (isinstance(v, (list, tuple)) and _holds_traced(v)) for v in values)


def _size_is_one(recorder: Recorder, value: Any) -> bool:
    if _is_traced(value):
        return value.rows.size == 1 and not recorder.elementwise
    return np.size(value) == 1


def _apply(
    recorder: Recorder, name: str, loop: Loop, types: str, values: Sequence[Any], most: int | None = None
) -> Any:
    """An elementwise operation: broadcast, fold constants, add the step."""
    kinds, results = types.split("->")
    operands = [_rows(recorder, v, c) for v, c in zip(values, kinds, strict=True)]
    scalar = all(_scalar_like(v) for v in values)
    iterator = cast(Any, np.nditer)(
        [*operands, None],
        ["zerosize_ok", "multi_index", "refs_ok"],
        [["readonly"]] * len(operands) + [["writeonly", "allocate"]],
        op_dtypes=[int64] * (len(operands) + 1),
        order="K",
    )  # its last operand has the layout that NumPy would give the result
    shape_like = cast(Any, iterator.operands[-1])
    single = tuple(_size_is_one(recorder, v) for v in values)
    spread = [np.broadcast_to(o, shape_like.shape) for o in operands]
    if not shape_like.size:
        return _wrap(recorder, [np.empty_like(shape_like) for _ in results], results, scalar, most)
    order = np.argsort([-s for s in shape_like.strides], kind="stable")
    flat = [o.transpose(order).flatten() for o in spread]  # a copy: rows change when the function assigns
    if all((f < 0).all() for f in flat) and isinstance(loop, tuple):
        made = loop[0](
            *[
                recorder.constant_values(o) if not s else recorder.constant_values(o.ravel()[:1])[0]
                for o, s in zip(operands, single, strict=True)
            ]
        )
        many = made if isinstance(made, tuple) else (made,)
        return _wrap(
            recorder,
            [recorder.constant(np.broadcast_to(m, shape_like.shape), c) for m, c in zip(many, results, strict=True)],
            results,
            scalar,
            most,
        )
    made_rows = recorder.step(name, loop, flat, types, single=single)
    outs = []
    for rows in made_rows:
        out = np.empty_like(shape_like)
        _like(out, rows)
        outs.append(out)
    return _wrap(recorder, outs, results, scalar, most)


def _scalar_like(value: Any) -> bool:
    # zero-dimensional operands, arrays too, make NumPy return a scalar
    return (value.rows.ndim == 0) if _is_traced(value) else np.ndim(value) == 0


def _wrap(recorder: Recorder, outs: list[Rows], results: str, scalar: bool, most: int | None) -> Any:
    wrapped = [
        Traced(recorder, o, truth=c == "?", scalar=scalar and o.ndim == 0, most=most)
        for o, c in zip(outs, results, strict=True)
    ]
    return wrapped[0] if len(wrapped) == 1 else tuple(wrapped)


def _call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .array_functions import _matmul

    recorder = _recorder_of((*inputs, *kwargs.get("out", ())))
    _check_kind(*inputs)
    if ufunc in (np.matmul, np.vecdot) and method == "__call__" and not kwargs:
        return _matmul(recorder, *inputs) if ufunc is np.matmul else _matmul(recorder, *inputs, vecdot=True)
    if method == "reduce" and ufunc in _REDUCTIONS:
        return _reduce(recorder, ufunc, *inputs, **kwargs)
    if method == "accumulate" and ufunc is np.add and not kwargs.get("out"):
        return _cumsum(*inputs, **kwargs)
    if method == "outer" and len(inputs) == 2 and not kwargs:
        a, b = (v if _is_traced(v) else np.asarray(v) for v in inputs)
        if recorder.elementwise:
            raise Untraceable(f"{ufunc.__name__}.outer in an elementwise function")
        return ufunc(a[(..., *[None] * np.ndim(b))], b)
    if method != "__call__":
        raise Untraceable(f"{ufunc.__name__}.{method}")
    out = kwargs.pop("out", None)
    mask = kwargs.pop("where", True)
    if (
        kwargs.pop("dtype", None) not in (None, float, float64, np.dtype(float64))
        or kwargs.pop("casting", "same_kind") != "same_kind"
    ):
        raise Untraceable(f"{ufunc.__name__} with a dtype or casting of its own")
    if kwargs:
        raise Untraceable(f"{ufunc.__name__} with {', '.join(kwargs)}=")
    if ufunc is np.conjugate:
        return inputs[0].copy()
    plain, types = _resolve(ufunc, tuple(_dtype_of(v) for v in inputs))
    most = None
    if INT in types.split("->")[1] or any(c == INT and _is_traced(v) for v, c in zip(inputs, types)):
        types, most = _whole(plain, types, inputs)
    if plain not in EXACT and any(s < 0 for v in inputs for s in _strides(v)):
        raise Untraceable(f"NumPy computes {plain.__name__} differently where elements run backwards (copy them first)")
    result = _apply(recorder, plain.__name__, (plain, plain.types.index(types)), types, inputs, most)
    if most is not None and plain in (np.multiply, np.negative):  # no whole number is -0.0
        result = _apply(recorder, "add", ADD, "dd->d", (result, 0.0), most)
    if mask is not True:
        if out is None or len(out) != 1 or not _is_traced(out[0]):
            raise Untraceable(f"{ufunc.__name__} with where= and no recorded out=")
        result = _where_function(mask, result, out[0])
    if out is None:
        return result
    if len(out) != 1 or not _is_traced(out[0]):
        raise Untraceable("a result is written into a plain array")
    _setitem(out[0], ..., result)
    return out[0]


def _whole(ufunc: np.ufunc, types: str, values: Sequence[Any]) -> tuple[str, int | None]:
    """The types with float64 in place of whole numbers, and the largest size of these in the result."""
    if ufunc not in WHOLE:
        raise Untraceable(f"{ufunc.__name__} of whole numbers")
    sizes = [_most(v) for v, c in zip(values, types) if c != "d"]
    if max(sizes) > MOST_EXACT:
        raise Untraceable("whole numbers larger than 2**53")
    if INT not in types.split("->")[1]:
        return types.replace(INT, "d"), None
    if ufunc is np.square:
        sizes *= 2
    most = math.prod(sizes) if ufunc in (np.multiply, np.square) else sum(sizes)
    return types.replace(INT, "d"), most


def _strides(value: Any) -> tuple[int, ...]:
    array = value.rows if _is_traced(value) else np.asarray(value)
    return tuple(s for s, n in zip(array.strides, array.shape, strict=True) if n > 1)


def _power(a: Any, b: Any) -> Any:
    """The operator: for arrays NumPy may call square, sqrt, ...; for two scalars it calls pow of the C library."""
    recorder = _recorder_of((a, b))

    def act() -> Any:
        scalars = [(v.scalar if _is_traced(v) else isinstance(v, (float, int, np.generic))) for v in (a, b)]
        if all(scalars):
            if any(_is_traced(v) and v.dtype != float64 for v in (a, b)):
                raise Untraceable("a power of truth values or whole numbers")
            _plain(a if not _is_traced(a) else 0.0), _plain(b if not _is_traced(b) else 0.0)
            return _apply(recorder, "pow", "power", "dd->d", (a, b))
        if _is_traced(a) and not _is_traced(b):
            kind = np.empty(1, a.dtype).view(_Probe)
            try:
                ufunc, inputs = cast(Any, kind**b)
            except Exception:
                return np.power(a, b)
            return ufunc(*(a if isinstance(v, _Probe) else v for v in inputs))
        return np.power(a, b)

    return _guarded(recorder, act)


# --- indexing ---


def _check_index(recorder: Recorder, index: Any) -> None:
    for part in index if isinstance(index, tuple) else (index,):
        if _is_traced(part) or (isinstance(part, list) and _holds_traced(part)):
            raise Untraceable("an index depends on a value")


def _getitem(self: Traced, index: Any) -> Any:
    _check_index(self.recorder, index)
    if self.recorder.elementwise:
        if index in (..., ()) if not isinstance(index, np.ndarray) else False:
            return self
        raise Untraceable("an elementwise function indexes its argument")
    found = self.rows[index]
    return self.like(np.asarray(found), scalar=not isinstance(found, np.ndarray))


def _setitem(self: Traced, index: Any, value: Any) -> None:
    recorder = self.recorder
    if not self.rows.flags.writeable:
        raise Untraceable("the function modifies its argument")
    if self.truth and not (_is_traced(value) and value.truth) and np.dtype(_dtype_of(value)) != np.dtype(bool):
        raise Untraceable("numbers are assigned to truth values")
    if self.most is not None:
        if np.dtype(_dtype_of(value)).kind not in "bi":
            raise Untraceable("numbers are assigned to whole numbers")
        if _most(value) > self.most:  # there may be views
            raise Untraceable("larger whole numbers are assigned to whole numbers")
    rows = _rows(recorder, value, "?" if self.truth else "d")
    if _is_traced(index) and index.truth:  # x[mask] = value
        if rows.size != 1:
            raise Untraceable("an array is assigned where a mask says")
        self.rows[...] = _where_function(index, self.like(rows.reshape(())), self.copy()).rows
        return
    _check_index(recorder, index)
    if recorder.elementwise and not (index is ... or (isinstance(index, slice) and index == slice(None))):
        raise Untraceable("an elementwise function indexes its argument")
    self.rows[index if not recorder.elementwise else ...] = rows


# --- reductions ---

_REDUCTIONS = (np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or)


def _axes(rows: Rows, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rows.ndim))
    return tuple(operator.index(a) % rows.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _reduce(recorder: Recorder, ufunc: np.ufunc, x: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
            keepdims: Any = False, initial: Any = np._NoValue, where: Any = True) -> Any:  # fmt: skip
    name = "sum" if ufunc is np.add else "prod" if ufunc is np.multiply else ufunc.__name__
    if recorder.elementwise:
        raise Untraceable(f"{name} runs over elements, so the function is not elementwise")
    if out not in (None, (None,)) or (initial is not np._NoValue and initial is not None) or where is not True:
        raise Untraceable(f"{name} with out=, initial= or where=")
    if dtype is not None and np.dtype(dtype) != float64:
        raise Untraceable(f"{name} in {np.dtype(dtype)}")
    if not _is_traced(x):
        x = _stack_like(recorder, x)
    logical = ufunc in (np.logical_and, np.logical_or)
    if x.truth and ufunc not in (np.add, np.logical_and, np.logical_or):
        raise Untraceable(f"{name} of truth values is no number")
    rows = _truth(x) if logical else _numbers(x) if ufunc is np.add else _double(x)
    counted = (x.truth or x.most is not None) and not logical
    keepdims = keepdims is not np._NoValue and keepdims
    axes = _axes(rows, axis)
    # blocks[result, outer, inner]: what one result is made of, in the order of memory
    by_stride = sorted(range(rows.ndim), key=lambda a: -abs(rows.strides[a]))
    if rows.size and not recorder.vectorized:  # there an axis of one stands for all points
        by_stride = [a for a in by_stride if rows.shape[a] > 1] or by_stride
    kept = [a for a in range(rows.ndim) if a not in axes]
    gone = [a for a in by_stride if a in axes]
    inner: list[int] = []
    if gone and by_stride and by_stride[-1] == gone[-1]:
        inner = [gone[-1]]
        for a in reversed(gone[:-1]):
            n = inner[0]
            if by_stride[by_stride.index(n) - 1] != a or rows.strides[a] != rows.strides[n] * rows.shape[n]:
                break
            inner.insert(0, a)
    outer = [a for a in gone if a not in inner]
    rest = [a for a in axes if a not in gone]
    results = tuple(rows.shape[a] for a in kept)
    blocks = rows.transpose(kept + outer + rest + inner).reshape(
        math.prod(results), math.prod(rows.shape[a] for a in outer + rest), math.prod(rows.shape[a] for a in inner)
    )
    if rows.size == 0:
        made = recorder.constant(np.full(results, ufunc.reduce(np.empty(0))), "?" if logical else "d")
    elif ufunc is np.add:
        made = _sum(recorder, blocks).reshape(results)
    else:
        fold = blocks.reshape(len(blocks), -1)
        types = "??->?" if logical else "dd->d"
        made = _fold(recorder, ufunc, types, name, fold)[:, -1].reshape(results)
    if keepdims:
        made = made.reshape([1 if a in axes else rows.shape[a] for a in range(rows.ndim)])
    most = _most(x) * math.prod(blocks.shape[1:]) if counted else None
    return Traced(recorder, made, truth=logical, scalar=made.ndim == 0, most=most)


def _sum(recorder: Recorder, blocks: Rows) -> Rows:
    """Sums in NumPy's order: zero, then each run along the innermost axis, summed pairwise."""
    count, outer, inner = blocks.shape
    lefts: list[Rows] = []
    rights: list[Rows] = []
    begin = recorder.rows
    made = 0

    def add(a: Rows, b: Rows) -> Rows:
        nonlocal made
        shape = np.broadcast_shapes(a.shape, b.shape)
        lefts.append(np.broadcast_to(a, shape).ravel())
        rights.append(np.broadcast_to(b, shape).ravel())
        out = np.arange(begin + made, begin + made + lefts[-1].size).reshape(shape)
        made += out.size
        return out

    def pairwise(a: Rows) -> Rows:
        n = a.shape[-1]
        if n < 8:
            total = a[:, 0]
            for i in range(1, n):
                total = add(total, a[:, i])
            return total
        if n <= 128:
            eight = a[:, :8]
            for i in range(8, n - n % 8, 8):
                eight = add(eight, a[:, i : i + 8])
            pairs = add(eight[:, 0::2], eight[:, 1::2])
            pairs = add(pairs[:, 0::2], pairs[:, 1::2])
            total = add(pairs[:, 0], pairs[:, 1])
            for i in range(n - n % 8, n):
                total = add(total, a[:, i])
            return total
        half = n // 2 - n // 2 % 8
        return add(pairwise(a[:, :half]), pairwise(a[:, half:]))

    total = np.broadcast_to(recorder.constant(0.0), (count,))
    if inner == 1:
        for i in range(outer):
            total = add(total, blocks[:, i, 0])
    else:
        runs = pairwise(blocks.reshape(count * outer, inner)).reshape(count, outer)
        for i in range(outer):
            total = add(total, runs[:, i])
    levels = tuple(np.cumsum([0, *(a.size for a in lefts[:-1])]).tolist())
    (out,) = recorder.step(
        "sum", ADD, (np.concatenate(lefts), np.concatenate(rights)), "dd->d", levels=levels, single=(False, False)
    )
    assert out[0] == begin
    return total


def _fold(recorder: Recorder, ufunc: np.ufunc, types: str, name: str, items: Rows) -> Rows:
    """All partial results, [result, item]: ((a0 op a1) op a2) ..."""
    count, n = items.shape
    if n == 1:
        return items
    begin = recorder.rows
    out = (begin + np.arange((n - 1) * count)).reshape(n - 1, count)
    left = np.concatenate([items[:, 0], out[:-1].ravel()])
    levels = tuple(range(0, (n - 1) * count, count))
    loop = (ufunc, ufunc.types.index(types))
    recorder.step(name, loop, (left, items[:, 1:].T.flatten()), types, levels=levels, single=(False, False))
    return np.concatenate([items[:, :1], out.T], axis=1)


def _cumsum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _cumulated(np.add, "cumsum", x, axis, dtype, out)


def _cumulated(ufunc: np.ufunc, name: str, x: Any, axis: Any, dtype: Any, out: Any) -> Any:
    recorder = x.recorder
    if recorder.elementwise or out is not None or dtype not in (None, float, float64) or x.truth:
        raise Untraceable(f"{name}, in this form")
    rows = _double(x)
    if axis is None:
        rows, axis = rows.ravel(), 0
    moved = np.moveaxis(rows, axis, -1)
    if not moved.size:
        return Traced(recorder, rows.copy())
    made = _fold(recorder, ufunc, "dd->d", name, moved.reshape(-1, moved.shape[-1]))
    return Traced(recorder, np.ascontiguousarray(np.moveaxis(made.reshape(moved.shape), -1, axis)))


def _stack_like(recorder: Recorder, value: Any) -> Traced:
    """An array-like as a stand-in: constants, or a list with recorded values in it."""
    if _is_traced(value):
        return cast(Traced, value)
    if isinstance(value, (list, tuple)) and _holds_traced(value):
        return cast(Traced, np.stack([cast(Any, _stack_like(recorder, v)) for v in value]))
    array = _plain(value)
    if array.dtype not in (bool, int64, float64):
        raise Untraceable(f"an array of {array.dtype} where float64 was expected")
    truth, most = array.dtype == bool, _most(array) if array.dtype == int64 else None
    return Traced(recorder, _rows(recorder, array, "?" if truth else "d"), truth=truth, most=most)


def _where_function(condition: Any, a: Any = None, b: Any = None) -> Any:
    if a is None or b is None:
        raise Untraceable("where with one argument gives indices")
    recorder = _recorder_of((condition, a, b))
    if not _is_traced(condition) and not recorder.elementwise and np.asarray(condition).dtype != bool:
        condition = np.asarray(condition).astype(bool)
    kind = np.result_type(*(v.dtype if _is_traced(v) else v if type(v) in (int, float) else _plain(v) for v in (a, b)))
    if kind not in (float64, int64):
        raise Untraceable(f"where would give {kind}, not float64")
    most = max(map(_most, (a, b))) if kind == int64 else None
    result = _apply(recorder, "where", "where", "?dd->d", (condition, a, b), most)
    result.scalar = False  # where gives arrays, also of no dimensions
    return result
