"""An inner loop with a numba cfunc inside, for functions that take less time than the wrapper through which C calls them."""

import ctypes
import itertools
import re
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy import float64
from numpy.typing import NDArray

# From so many evaluations of a function on: its loop takes 15 to 60 ms to compile, about as long as the function itself.
LEAST_EVALUATIONS = 1 << 22
CHECKED = 67  # numbers at which a loop is compared with f, two calls each; odd, for what is left over by vectors


@dataclass(eq=False)
class _Known:
    """Of a cfunc: how often it was called, or a little more than that was counted, and its loop once there is one."""

    evaluations: int = 0
    tried: bool = False
    address: int = 0
    library: Any = None


_known: "WeakKeyDictionary[Any, _Known]" = WeakKeyDictionary()
_numbers = itertools.count()


def loop_of(f: Any, x: NDArray[float64], evaluations: int) -> tuple[int, int]:
    """The address of a loop around a cfunc float64(float64), which is about to be called so many times at points like x, or
    0; and how often f was called to check it. A loop has the signature of a ufunc's and lives as long as f does.

    It is made of the code of f as it was compiled, not of its source, and dropped where its values at some of x differ from
    those of f. Thread-safe: while one thread compiles others call f, and a count that two change at once may be too low.
    """
    known = _known.setdefault(f, _Known())
    known.evaluations += evaluations
    if known.tried or known.evaluations < LEAST_EVALUATIONS:
        return known.address, 0
    try:
        from numba.core.compiler_lock import global_compiler_lock

        with global_compiler_lock:
            if known.tried:  # by a thread that came here first
                return known.address, 0
            known.tried = True
            known.library, address = _compiled(f)
    except Exception:  # these parts of numba are not public: where they have changed, C goes on to call f
        return 0, 0
    if _agrees(address, f, x):
        known.address = address
    return known.address, 2 * CHECKED


# Where vectors, or code that is optimised once more, may give other numbers: vectors of functions, flags of fastmath, and
# what machines do as they like: conversions and shifts out of range.
_LOOSE = re.compile(
    r"__svml|= (?:\w+ ){1,3}(?:nnan|ninf|nsz|arcp|contract|afn|reassoc|fast) "
    r"|\b(?:fptosi|fptoui)\b|\b(?:shl|lshr|ashr) [^,\n]*, %"
)


def _compiled(f: Any) -> tuple[Any, int]:
    """A cfunc is a wrapper around a function that returns a status beside its value. The loop gives numbers that lie side by
    side to that function, inlined where LLVM finds it worthwhile, and to the wrapper where it fails, which then fails in its
    own way; other numbers go to the wrapper."""
    from llvmlite import ir
    from numba.core import cgutils

    context, result, arguments = f._targetdescr.target_context, f._sig.return_type, f._sig.args
    library = context.codegen().create_library("fastdiff")
    module = library.create_ir_module("fastdiff")
    word, number, byte = ir.IntType(64), ir.DoubleType(), ir.IntType(8).as_pointer()
    words, numbers, name = word.as_pointer(), number.as_pointer(), f"fastdiff.{next(_numbers)}"
    of_number = ir.FunctionType(number, [number])

    def wrapped(x: Any) -> Any:
        return build.call(build.inttoptr(word(f.address), of_number.as_pointer()), [x])

    inner_type = context.call_conv.get_function_type(result, arguments)
    inner = ir.Function(module, inner_type, f.native_name.removeprefix("cfunc."))
    one = ir.Function(module, of_number, f"{name}.one")
    one.attributes.add("alwaysinline")
    build = ir.IRBuilder(one.append_basic_block("entry"))
    status, value = context.call_conv.call_function(build, inner, result, arguments, one.args)
    with build.if_then(status.is_error, likely=False):
        build.ret(wrapped(*one.args))
    build.ret(value)

    loop = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte.as_pointer(), words, words, byte]), name)
    arrays, dimensions, steps, _ = loop.args
    build = ir.IRBuilder(loop.append_basic_block("entry"))
    source, target = (build.load(build.gep(arrays, [word(i)])) for i in (0, 1))
    step, stride = (build.load(build.gep(steps, [word(i)])) for i in (0, 1))
    count = build.load(dimensions)
    x, out = build.bitcast(source, numbers), build.bitcast(target, numbers)
    side_by_side = build.and_(build.icmp_signed("==", step, word(8)), build.icmp_signed("==", stride, word(8)))
    with build.if_else(side_by_side) as (contiguous, strided):
        with contiguous, cgutils.for_range(build, count, intp=word) as each:
            at, to = build.gep(x, [each.index]), build.gep(out, [each.index])
            build.store(build.call(one, [build.load(at)]), to)
        with strided, cgutils.for_range(build, count, intp=word) as each:
            at = build.bitcast(build.gep(source, [build.mul(each.index, step)]), numbers)
            to = build.bitcast(build.gep(target, [build.mul(each.index, stride)]), numbers)
            build.store(wrapped(build.load(at)), to)
    build.ret_void()
    library.add_ir_module(module)
    linked = library._final_module
    linked.link_in(f._library._get_module_for_linking(), preserve=True)
    for function in linked.functions:  # names are not unique: of two functions from numba's cache one may be the other
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
    library.finalize()
    if _LOOSE.search(library.get_llvm_str()):
        raise NotImplementedError("a loop might give other numbers than f")
    return library, library.get_pointer_to_function(name)


def _agrees(address: int, f: Any, x: NDArray[float64]) -> bool:
    """Whether the loop gives the numbers of f at some of x."""
    some, out = x.flat[np.linspace(0, x.size - 1, CHECKED).astype(np.intp)], np.empty(CHECKED)
    arrays, dimensions, steps = (
        np.array(words, np.intp) for words in ([some.ctypes.data, out.ctypes.data], [CHECKED], [8, 8])
    )
    loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
    loop(arrays.ctypes.data, dimensions.ctypes.data, steps.ctypes.data, None)
    return np.array_equal(out, [f.ctypes(v) for v in some.tolist()], equal_nan=True)
