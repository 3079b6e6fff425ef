"""Protects the answer to bad input: the argument is named, what came and what is taken; what f raises passes unchanged."""

import math
import re

import numpy as np
import pytest
from scipy import optimize

import fastdiff
from fastdiff import derivative, gradient, hessian, hvp, jacobian, jvp, mixed_partial, partials


def square_sum(x):
    return (x**2).sum(axis=-1)


def product(a, b):
    return a * b


X = np.array([1.0, 2.0, 3.0])

# Every operator, called the way it likes, with room for an option to go wrong.
OPERATORS = {
    "derivative": lambda f=np.sin, x=X, **o: derivative(f, x, **o),
    "partials": lambda f=product, x=X, **o: partials(f, x, 2.0, **o),
    "mixed_partial": lambda f=product, x=X, **o: mixed_partial(f, x, 2.0, **{"orders": (1, 1), **o}),
    "gradient": lambda f=square_sum, x=X, **o: gradient(f, x, **o),
    "jacobian": lambda f=np.sin, x=X, **o: jacobian(f, x, **o),
    "jvp": lambda f=np.sin, x=X, **o: jvp(f, x, **{"v": np.ones(3), **o}),
    "hessian": lambda f=square_sum, x=X, **o: hessian(f, x, **o),
    "hvp": lambda f=square_sum, x=X, **o: hvp(f, x, **{"v": np.ones(3), **o}),
}
every_operator = pytest.mark.parametrize("call", OPERATORS.values(), ids=OPERATORS)
POINTS = {name: OPERATORS[name] for name in ("gradient", "jacobian", "jvp", "hessian", "hvp")}
every_point_operator = pytest.mark.parametrize("call", POINTS.values(), ids=POINTS)


def says(error, *parts):
    """The error is raised with a message that holds all the parts."""
    return pytest.raises(error, match="".join(f"(?=.*{re.escape(part)})" for part in parts))


@every_operator
def test_the_calls_are_good(call):
    call()
    call(full_output=True)


def test_says_notices():
    with pytest.raises(AssertionError), says(ValueError, "one", "two"):
        raise ValueError("only one")


# --- options -------------------------------------------------------------------------------------------------------

METHODS = ("'central'", "'forward'", "'backward'", "'complex'")

WRONG_OPTIONS = [
    ({"method": "centre"}, ValueError, ["method", "'centre'", *METHODS]),
    ({"method": None}, ValueError, ["method", "None", *METHODS]),
    ({"method": ["central"]}, ValueError, ["method", "['central']"]),
    ({"accuracy": 0}, ValueError, ["accuracy", "0", "from 1 to 16"]),
    ({"accuracy": -2}, ValueError, ["accuracy", "-2"]),
    ({"accuracy": 17}, ValueError, ["accuracy", "17"]),
    ({"accuracy": 2.0}, TypeError, ["accuracy", "integer", "float 2.0"]),
    ({"accuracy": "4"}, TypeError, ["accuracy", "integer", "str '4'"]),
    ({"accuracy": True}, TypeError, ["accuracy", "integer", "bool True"]),
    ({"richardson": -1}, ValueError, ["richardson", "-1", "from 0 to"]),
    ({"richardson": 7}, ValueError, ["richardson", "7"]),
    ({"richardson": 1.5}, TypeError, ["richardson", "integer", "float 1.5"]),
    ({"h": 0}, ValueError, ["h must be positive", "got 0.0"]),
    ({"h": -0.1}, ValueError, ["h must be positive", "got -0.1"]),
    ({"h": -1}, ValueError, ["h must be positive", "got -1.0"]),
    ({"h": 5e-324}, ValueError, ["h must be", "denormal", "got 5e-324"]),
    ({"h": 1e-310}, ValueError, ["h must be", "denormal", "got 1e-310"]),
    ({"h": np.nan}, ValueError, ["h must be", "finite", "got nan"]),
    ({"h": np.inf}, ValueError, ["h must be", "finite", "got inf"]),
    ({"h": -np.inf}, ValueError, ["h must be", "got -inf"]),
    ({"h": "big"}, ValueError, ["h must be", "'scaled'", "None", "'big'"]),
    ({"h": 1j}, TypeError, ["h must be real", "complex128"]),
    ({"h": object()}, TypeError, ["h must be a number", "object"]),
    ({"h": {}}, TypeError, ["h must be a number", "object"]),
    ({"h": [[0.1, 0.2], [0.3]]}, (TypeError, ValueError), ["h must be"]),
    ({"args": 3}, TypeError, ["args", "tuple", "int"]),
    ({"args": "ab"}, TypeError, ["args", "tuple", "str"]),
    ({"args": None}, TypeError, ["args", "tuple", "NoneType"]),
    ({"args": np.ones(2)}, TypeError, ["args", "tuple", "ndarray"]),
    ({"engine": "fast"}, ValueError, ["engine", "'fast'", "'auto'", "'python'", "'vectorized'"]),
    ({"engine": None}, ValueError, ["engine", "None"]),
    ({"engine": "native"}, ValueError, ["engine='native'"]),
    ({"engine": "vectorized"}, ValueError, ["engine='vectorized'"]),
    ({"threads": 0}, ValueError, ["threads", "0", "at least 1"]),
    ({"threads": -1}, ValueError, ["threads", "-1"]),
    ({"threads": 1.5}, TypeError, ["threads", "integer", "float 1.5"]),
    ({"threads": "2"}, TypeError, ["threads", "integer", "str '2'"]),
    ({"threads": True}, TypeError, ["threads", "integer", "bool True"]),
    ({"bounds": 1}, ValueError, ["bounds", "(lo, hi)", "1"]),
    ({"bounds": (0, [None])}, TypeError, ["bounds", "number"]),
    ({"bounds": ("0", "9")}, TypeError, ["bounds", "number"]),
    ({"bounds": (2, 0)}, ValueError, ["bounds", "lo <= hi", "lo=2.0", "hi=0.0"]),
    ({"bounds": (np.nan, 1)}, ValueError, ["bounds", "nan"]),
    ({"bounds": (0, np.nan)}, ValueError, ["bounds", "nan"]),
    ({"bounds": (1.5, 9)}, ValueError, ["x", "inside", "bounds", "x=1.0", "lo=1.5", "hi=9.0"]),
    ({"bounds": (-1, 1j)}, TypeError, ["bounds", "real"]),
]


@every_operator
@pytest.mark.parametrize(
    ("options", "error", "parts"), WRONG_OPTIONS, ids=[re.sub("0x.*", "", str(o[0]))[1:-1] for o in WRONG_OPTIONS]
)
def test_wrong_option(call, options, error, parts):
    with says(error, *parts):
        call(**options)


@every_operator
@pytest.mark.parametrize("bounds", [(), (1,), (1, 2, 3), "abc"], ids=str)
def test_bounds_that_are_no_pair(call, bounds):
    with says((ValueError, TypeError), "bounds"):
        call(bounds=bounds)


@pytest.mark.parametrize("n", [0, -1, 11])
def test_n_out_of_range(n):
    for call in (OPERATORS["derivative"], OPERATORS["partials"]):
        with says(ValueError, "n must be from 1 to 10", f"got {n}"):
            call(n=n)


@pytest.mark.parametrize("n", [1.0, "1", None, True])
def test_n_no_integer(n):
    for call in (OPERATORS["derivative"], OPERATORS["partials"]):
        with says(TypeError, "n must be an integer", repr(n)):
            call(n=n)


@pytest.mark.parametrize("n", [np.int64(2), np.uint8(2), 2])
def test_whole_numbers_of_numpy_are_taken(n):
    np.testing.assert_allclose(derivative(np.sin, 1.0, n=n, accuracy=n), -np.sin(1.0), rtol=1e-6)


@every_operator
def test_h_and_bounds_have_to_broadcast(call):
    with says(ValueError, "h must broadcast", "(2,)"):
        call(h=[0.1, 0.2])
    with says(ValueError, "bounds[0] must broadcast", "(2,)"):
        call(bounds=([0.0, 0.0], 9.0))
    with says(ValueError, "bounds[1] must broadcast", "(2,)"):
        call(bounds=(0.0, [9.0, 9.0]))


@pytest.mark.parametrize(
    "h", [[0.1, 0.0, 0.1], [0.1, np.inf, 1e-305], [1e-305, -2.0, 0.1], [0.1, np.nan, 0.1]], ids=str
)
def test_the_bad_one_of_many_steps_is_named(h):
    bad = next(v for v in h if not 0 < v < np.inf)
    with says(ValueError, f"got {bad}"):
        derivative(np.sin, X, h=h)


def test_complex_step_gives_plain_first_derivatives():
    for options in ({"n": 2}, {"accuracy": 4}, {"richardson": 1}):
        with says(ValueError, "method='complex'", "n, accuracy and richardson"):
            derivative(np.sin, 1.0, "complex", **options)
    for call in (hessian, lambda f, x, m: hvp(f, x, x, m)):
        with says(ValueError, "method='complex'", "first derivatives"):
            call(square_sum, X, "complex")
    with says(ValueError, "method='complex'"):
        mixed_partial(product, 1.0, 2.0, orders=(1, 1), method="complex")


def test_complex_step_needs_complex_values():
    for call in (
        lambda: derivative(np.abs, X, "complex"),
        lambda: gradient(lambda x: np.abs(x).sum(), X, "complex"),
        lambda: gradient(lambda x: np.abs(x).sum(axis=1), X, "complex", vectorized=True),
    ):
        with says(TypeError, "method='complex'", "complex values", "float64"):
            call()


def test_step_too_large_for_the_bounds():
    for call in (
        lambda **o: derivative(np.sin, 0.5, h=2.0, bounds=(0, 1), **o),
        lambda **o: gradient(square_sum, [0.5, 0.5], h=2.0, bounds=(0, 1), **o),
        lambda **o: derivative(np.sin, [0.5, 0.5], h=[0.1, 2.0], bounds=(0, 1), **o),
    ):
        for full_output in (False, True):
            with says(ValueError, "h=2", "too large", "bounds"):
                call(full_output=full_output)


def test_huge_step_without_bounds_is_not_blamed_on_them():
    r = derivative(np.arctan, 1.0, h=1e308, full_output=True)
    assert r.value == derivative(np.arctan, 1.0, h=1e308) == np.pi / 2e308


@pytest.mark.parametrize("orders", [None, 1, (1,), (1, 1, 1), "ab"])
def test_orders_one_for_each_argument(orders):
    with (
        says(ValueError, "orders", "2 arguments", repr(orders))
        if orders != "ab"
        else says((ValueError, TypeError), "orders")
    ):
        mixed_partial(product, 1.0, 2.0, orders=orders)


def test_orders_whole_and_some():
    with says(TypeError, "orders", "integer", "float 1.0"):
        mixed_partial(product, 1.0, 2.0, orders=(1.0, 1))
    with says(ValueError, "orders", "-1"):
        mixed_partial(product, 1.0, 2.0, orders=(1, -1))
    with says(ValueError, "orders", "10"):
        mixed_partial(product, 1.0, 2.0, orders=(6, 5))
    with says(ValueError, "orders"):
        mixed_partial(product, 1.0, 2.0, orders=(0, 0))


def test_options_are_keywords():
    with pytest.raises(TypeError):
        derivative(np.sin, 1.0, "central", 0.1, 1)
    with pytest.raises(TypeError, match="orders"):
        mixed_partial(product, 1.0, 2.0)


# --- x and v -------------------------------------------------------------------------------------------------------

WRONG_X = [
    (None, TypeError, "object"),
    ("1", TypeError, "<U1"),
    (["a", "b"], TypeError, "<U1"),
    (b"1", TypeError, "|S1"),
    (np.array([1, 2, 3], object), TypeError, "object"),
    ({}, TypeError, "object"),
    (np.array(["2020-01-01"] * 3, "M8[D]"), TypeError, "datetime64"),
    (np.array([1, 2, 3], "m8[s]"), TypeError, "timedelta64"),
    (1j * X, TypeError, "complex128"),
    ([[1, 2], [3]], (TypeError, ValueError), ""),
]


@every_operator
@pytest.mark.parametrize(("x", "error", "part"), WRONG_X, ids=[str(x[0]) for x in WRONG_X])
def test_wrong_x(call, x, error, part):
    name = "argument 1" if call in (OPERATORS["partials"], OPERATORS["mixed_partial"]) else "x"
    with says(error, f"{name} must be", part):
        call(x=x)


@every_point_operator
def test_x_without_a_point(call):
    with says(ValueError, "x", "last axis", "scalar"):
        call(x=1.0)


@pytest.mark.parametrize("operator", [jvp, hvp])
def test_wrong_v(operator):
    f = square_sum
    for v, error, part in (
        ([1.0, 2.0], ValueError, "(2,)"),
        (np.ones((2, 3)), ValueError, "(2, 3)"),
        (None, TypeError, "object"),
        ("a", TypeError, "<U1"),
        (1j * X, TypeError, "complex128"),
        ([1.0, np.nan, 0.0], ValueError, "finite"),
        ([1.0, np.inf, 0.0], ValueError, "finite"),
    ):
        with says(error, "v must", part):
            operator(f, X, v)


def test_arguments_that_do_not_broadcast():
    for call in (partials, lambda *a: mixed_partial(*a, orders=(1, 1))):
        with says(ValueError, "broadcast", "(2,)", "(3,)"):
            call(product, [1.0, 2.0], X)
    with says(TypeError, "argument"):
        partials(product)


@every_operator
@pytest.mark.parametrize("f", [None, 3, "sin", X])
def test_f_not_callable(call, f):
    with says(TypeError, "f must be callable", type(f).__name__):
        call(f=f)


# --- what f does ---------------------------------------------------------------------------------------------------


class OddError(Exception):
    pass


@every_operator
@pytest.mark.parametrize("h", [None, "scaled", 0.125])
@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("error", [OddError("boo"), ValueError("mine"), KeyboardInterrupt()], ids=repr)
def test_what_f_raises_passes_unchanged(call, h, vectorized, after, error):
    if vectorized and call not in POINTS.values():
        pytest.skip("takes no vectorized")
    calls = []

    def f(*x):
        calls.append(x)
        if len(calls) > after:
            raise error
        return sum(x) if call not in (OPERATORS[k] for k in ("gradient", "hessian", "hvp")) else square_sum(x[0])

    with pytest.raises(type(error)) as caught:
        call(f=f, h=h, **({"vectorized": True} if vectorized else {}))
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(calls) == after + 1


@pytest.mark.parametrize("args", [(), (2.0,)])
def test_what_f_raises_with_part_of_the_elements_passes_too(args):
    """Only the hard element goes on, in a call of another shape; f that fails there and with all of them fails."""
    error = OddError("boo")
    calls = []

    def f(x, *more):
        calls.append(x.shape)
        if len(calls) > 5:
            raise error
        return np.where(x > 5, np.sin(1e5 * x), x)

    with pytest.raises(OddError) as caught:
        derivative(f, np.append(np.linspace(1, 2, 50), 6.0), args=args)
    assert caught.value is error


NO_NUMBERS = [None, "text", object(), {}, [None, 1.0, 2.0], np.array(["a", "b", "c"]), np.array([1, 2, None])]


@every_operator
@pytest.mark.parametrize("returned", NO_NUMBERS, ids=[re.sub(" at 0x.*", "", str(r)) for r in NO_NUMBERS])
def test_f_returns_no_numbers(call, returned):
    with says(TypeError, "f must return numbers"):
        call(f=lambda *x: returned)


@pytest.mark.parametrize(("returned", "part"), [(None, "None"), ("text", "str 'text'"), ({}, "dict {}")])
def test_what_f_returned_is_named(returned, part):
    with says(TypeError, "got", part):
        derivative(lambda x: returned, 1.0)


@every_operator
def test_f_returns_a_ragged_list(call):
    with says((TypeError, ValueError), "f must return"):
        call(f=lambda *x: [[1.0], [2.0, 3.0]])


@pytest.mark.parametrize("x", [1.0, np.ones(1), X, np.ones((2, 3)), np.ones((3, 1))], ids=np.shape)
@pytest.mark.parametrize(
    "returned", [np.ones(2), np.ones((2, 1)), np.ones((3, 2)), np.ones((1, 1)), np.ones(0)], ids=np.shape
)
def test_elementwise_f_returns_another_shape(x, returned):
    for call in (derivative, partials, lambda f, x: mixed_partial(lambda a, b: f(a), x, 0.0, orders=(1, 1))):
        with says(ValueError, "shape", str(np.shape(x)), str(returned.shape)):
            call(lambda x: returned, x)


def test_scalar_valued_f_returns_more():
    for operator in (gradient, hessian, lambda f, x, **o: hvp(f, x, x, **o)):
        for returned in (np.ones(2), np.ones((3, 1)), np.ones((2, 2)), np.ones(0)):
            with says(ValueError, "scalar", "(3,)", str(returned.shape), "jacobian"):
                operator(lambda x, r=returned: r, X)
            with says(ValueError, "vectorized=True", "(1, 3)", "(1,)", str(returned.shape)):
                operator(lambda x, r=returned: r, X, vectorized=True)


def test_vectorized_f_returns_another_number_of_points():
    x = np.ones((4, 3))
    for operator in (gradient, jacobian, hessian):
        for returned in (np.float64(1.0), np.ones(3), np.ones((3, 4)), np.ones((5, 1))):
            with says(ValueError, "vectorized=True", "(4, 3)", str(returned.shape)):
                operator(lambda x, r=returned: r, x, vectorized=True)


def test_forgotten_vectorized_is_explained():
    with says(ValueError, "scalar", "vectorized=True"):
        gradient(lambda x: x**2, X)


@pytest.mark.parametrize("vectorized", [False, True])
def test_f_returns_different_shapes(vectorized):
    calls = []

    def f(x):
        calls.append(x)
        lead = x.shape[:-1]
        return np.ones((*lead, 2 if len(calls) == 1 else 3))

    for operator in (jacobian, lambda f, x, **o: jvp(f, x, x, **o)):
        calls.clear()
        with says(ValueError, "shape", "(3,)", "(2,)"):
            operator(f, X, vectorized=vectorized)


def test_f_returns_complex_values_later():
    calls = []

    def f(x):
        calls.append(x)
        return x * (1.0 if len(calls) == 1 else 1j)

    for x in (1.0, X):
        calls.clear()
        with says(TypeError, "f returned real values", "complex"):
            derivative(f, x)


def test_a_constant_of_no_shape_is_taken():
    for returned in (3, 3.0, True, np.float32(3), np.array(3.0)):
        np.testing.assert_array_equal(derivative(lambda x, r=returned: r, X), np.zeros(3))
        np.testing.assert_array_equal(gradient(lambda x, r=returned: r, X), np.zeros(3))
    assert derivative(lambda x: 7, 1.0) == 0.0


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32, np.longdouble])
def test_any_real_dtype_is_taken(dtype):
    assert derivative(lambda x: x**2, np.ones(2, dtype)).dtype == np.float64
    assert gradient(square_sum, np.ones(2, dtype)).dtype == np.float64
    r = derivative(lambda x: np.asarray(x).astype(dtype), X, full_output=True)
    assert r.value.dtype == np.float64


# --- nothing to do -------------------------------------------------------------------------------------------------


def never(*x):
    raise AssertionError("f was called")


EMPTY = [
    ("derivative", (0,), (0,)),
    ("derivative", (0, 3), (0, 3)),
    ("partials", (0,), (0,)),
    ("mixed_partial", (0,), (0,)),
    ("gradient", (0, 3), (0, 3)),
    ("gradient", (0,), (0,)),
    ("gradient", (2, 0), (2, 0)),
    ("jacobian", (0, 3), (0, 3)),
    ("hessian", (0, 3), (0, 3, 3)),
    ("hessian", (0,), (0, 0)),
    ("hessian", (2, 0), (2, 0, 0)),
    ("jvp", (0, 3), (0,)),
    ("hvp", (0, 3), (0, 3)),
]


@pytest.mark.parametrize("h", [None, "scaled", 0.1])
@pytest.mark.parametrize(("name", "shape", "expected"), EMPTY, ids=str)
def test_empty(name, shape, expected, h):
    options = {"v": np.ones(shape[-1])} if name in ("jvp", "hvp") else {}
    for vectorized in (False, True) if name in POINTS else (None,):
        if vectorized is not None:
            options["vectorized"] = vectorized
        found = OPERATORS[name](f=never, x=np.zeros(shape), h=h, full_output=True, **options)
        for r in found if isinstance(found, tuple) else [found]:
            assert r.value.shape == r.error.shape == r.h.shape == r.converged.shape == expected
            assert r.value.dtype == np.float64
            assert r.nfev == 0


@pytest.mark.parametrize("h", [None, "scaled", 0.1])
@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_points_of_no_coordinates(batch, vectorized, h):
    """There is nothing to move along; what f would return is not asked."""

    def f(x):
        return x.sum(axis=-1)

    x = np.zeros((*batch, 0))
    assert jacobian(f, x, h=h, vectorized=vectorized).shape == (*batch, 0)
    assert (jvp(f, x, [], h=h, vectorized=vectorized) == np.zeros(batch)).all()
    assert hvp(f, x, [], h=h, vectorized=vectorized).shape == (*batch, 0)


def test_results_cannot_be_changed():
    r = derivative(np.sin, 1.0, full_output=True)
    with pytest.raises(AttributeError):
        r.value = 3.0


def test_public_exceptions_are_builtin():
    """Whatever is wrong with the input comes as ValueError or TypeError, from every operator, not as an assertion."""
    for call in OPERATORS.values():
        for options in ({"h": "?"}, {"method": "?"}, {"args": 1}, {"bounds": "?"}, {"engine": "?"}):
            with pytest.raises((ValueError, TypeError)):
                call(**options)
    assert fastdiff.Result.__dataclass_params__.frozen


@pytest.mark.parametrize("f", [np.sum, np.mean, lambda x: x @ x])
def test_a_function_of_the_whole_array_is_not_differentiated_element_by_element(f):
    with pytest.raises(ValueError, match="gradient is for functions that map an array to a number"):
        fastdiff.derivative(f, [1.0, 2.0, 3.0])


def test_a_constant_function_may_return_one_number():
    assert fastdiff.derivative(lambda x: 2.5, [1.0, 2.0]).tolist() == [0.0, 0.0]


def test_bounds_may_be_those_of_scipy():
    bounds = optimize.Bounds([0.0, 0.0], [1.0, np.inf])
    got = fastdiff.gradient(lambda p: p[0] ** 2 * np.sqrt(p[1]), [1.0, 0.25], bounds=bounds)
    np.testing.assert_allclose(got, [1.0, 1.0], rtol=1e-7)
    with pytest.raises(ValueError, match=r"tuple\(zip\(\*bounds\)\)"):
        fastdiff.gradient(np.sum, np.ones(3), bounds=[(0, 2), (0, 2), (0, 2)])


def test_masked_elements_of_x_have_no_derivative():
    x = np.ma.array([1.0, 2.0], mask=[True, False])
    got = fastdiff.derivative(np.sin, x)
    assert np.isnan(got[0])
    assert abs(got[1] - np.cos(2.0)) < 1e-11


def test_hessian_times_nothing_where_f_is_not_finite():
    r = fastdiff.hvp(lambda p: np.nan, np.ones(3), np.zeros(3), full_output=True)
    assert np.isnan(r.value).all()
    assert not r.converged.any()


def test_names_that_load_on_demand_are_listed():
    assert {*fastdiff.__all__} <= {*dir(fastdiff)}


@pytest.mark.parametrize("f", [math.sin, lambda x: x if x > 0 else -x])
def test_what_takes_single_numbers_only_gets_a_note(f):
    with pytest.raises((TypeError, ValueError)) as error:
        fastdiff.derivative(f, [1.0, 2.0])
    assert "numpy.vectorize" in error.value.__notes__[0]
    assert fastdiff.derivative(np.vectorize(f), [1.0, 2.0]).shape == (2,)


@pytest.mark.parametrize("x", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("h", [1e-5, "scaled"])
def test_f_is_not_asked_where_a_number_x_is_not_finite(x, h):
    """Or math.sin would raise."""
    assert np.isnan(fastdiff.derivative(math.sin, x, h=h))
