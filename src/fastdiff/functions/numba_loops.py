"""An inner loop with a numba cfunc inside, for functions that take less time than the wrapper through which C calls them."""

import ctypes
import itertools
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy import float64
from numpy.typing import NDArray

# From so many evaluations of a function on: a loop takes some 40 ms to compile, less than the function itself did.
LEAST_EVALUATIONS = 1 << 22
CHECKED = 64  # numbers at which a loop is compared with f: three calls each


@dataclass
class Loop:
    """What is known of a cfunc: how often it was called, and the address of its loop, if it has one, in the library."""

    evaluations: int = 0
    tried: bool = False
    address: int = 0
    library: Any = None


_loops: "WeakKeyDictionary[Any, Loop]" = WeakKeyDictionary()
_numbers = itertools.count()


def loop_of(f: Any, x: NDArray[float64], evaluations: int) -> tuple[Loop, int]:
    """The loop around a cfunc double(double), which is about to be called so many times, at points like x; and how often f
    was called to check it. A loop has the signature of a ufunc's inner loops.

    It is compiled from the code of f as it was compiled, not from its source, and dropped where its values at some of x
    differ from those of f: numba may vectorize a loop with other functions than it calls for a number. Thread-safe.
    """
    loop = _loops.setdefault(f, Loop())
    loop.evaluations += evaluations
    if loop.tried or loop.evaluations < LEAST_EVALUATIONS:
        return loop, 0
    from numba.core.compiler_lock import global_compiler_lock  # type: ignore[import-untyped, unused-ignore]

    with global_compiler_lock:
        if loop.tried:  # by a thread that came here first
            return loop, 0
        try:
            loop.library, address = _compiled(f)
            loop.address = address if _agrees(address, x) else 0
        except Exception:  # these parts of numba are not public: where they have changed, C goes on to call f
            return loop, 0
        finally:
            loop.tried = True
        return loop, 3 * CHECKED


def _compiled(f: Any) -> tuple[Any, int]:
    """Numba makes of f a function that returns a status, and of that the wrapper. In a loop over numbers that lie side by
    side the former is inlined, and where it fails the latter is called, which says why; in others the latter is called."""
    from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
    from numba.core import cgutils  # type: ignore[import-untyped, unused-ignore]
    from numba.core.registry import cpu_target  # type: ignore[import-untyped, unused-ignore]

    library = cpu_target.target_context.codegen().create_library("fastdiff")
    module = library.create_ir_module("fastdiff")
    name = f"fastdiff.{next(_numbers)}.{f.native_name}"
    word, number, byte, status = ir.IntType(64), ir.DoubleType(), ir.IntType(8).as_pointer(), ir.IntType(32)
    one, words = number.as_pointer(), word.as_pointer()

    quick_type = ir.FunctionType(status, [one, byte.as_pointer(), number])
    quick = ir.Function(module, quick_type, f.native_name.removeprefix("cfunc."))
    quick.attributes.add("alwaysinline")
    wrapper = ir.Function(module, ir.FunctionType(number, [number]), f.native_name)
    loop = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte.as_pointer(), words, words, byte]), name)
    arrays, dimensions, steps, _ = loop.args

    build = ir.IRBuilder(loop.append_basic_block("entry"))
    value, error = build.alloca(number), build.alloca(byte)
    source, target = (build.load(build.gep(arrays, [word(i)])) for i in (0, 1))
    step, stride = (build.load(build.gep(steps, [word(i)])) for i in (0, 1))
    count = build.load(dimensions)
    x, out = build.bitcast(source, one), build.bitcast(target, one)
    side_by_side = build.and_(build.icmp_signed("==", step, word(8)), build.icmp_signed("==", stride, word(8)))
    with build.if_else(side_by_side) as (contiguous, strided):
        with contiguous, cgutils.for_range(build, count, intp=word) as each:
            at, to = build.gep(x, [each.index]), build.gep(out, [each.index])
            argument = build.load(at)
            failed = build.call(quick, [value, error, argument])
            build.store(build.load(value), to)
            with build.if_then(build.icmp_signed("!=", failed, status(0)), likely=False):
                build.store(build.call(wrapper, [argument]), to)
        with strided, cgutils.for_range(build, count, intp=word) as each:
            at = build.bitcast(build.gep(source, [build.mul(each.index, step)]), one)
            to = build.bitcast(build.gep(target, [build.mul(each.index, stride)]), one)
            build.store(build.call(wrapper, [build.load(at)]), to)
    build.ret_void()
    library.add_ir_module(module)
    library.add_linking_library(f._library)
    library.finalize()
    return library, library.get_pointer_to_function(name)


def _agrees(address: int, x: NDArray[float64]) -> bool:
    """Whether numbers side by side come out as numbers two places apart, for which f itself is called."""
    some = x.flat[np.linspace(0, x.size - 1, CHECKED).astype(np.intp)]
    side_by_side = np.repeat(some, 2)
    results = np.empty((2, 2 * CHECKED))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
    for out, apart in zip(results, (1, 2)):
        pointers = np.array([side_by_side.ctypes.data, out.ctypes.data], np.intp)
        count, steps = np.array([2 * CHECKED // apart], np.intp), np.full(2, 8 * apart, np.intp)
        call(pointers.ctypes.data, count.ctypes.data, steps.ctypes.data, None)
    return np.array_equal(results[0, ::2], results[1, ::2], equal_nan=True)
