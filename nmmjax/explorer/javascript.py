"""Functions of a model, traced by JAX and written as JavaScript: the equations stand once, in Python.

A function is traced for arrays of fixed, small shapes; its jaxpr is evaluated with JavaScript expressions in place of
numbers, element by element, so that what remains is straight-line code without arrays. Complex numbers are pairs of
expressions, constants are folded, and an expression that was written before is used again.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from .._checks import require

# Element: a number, a string (the name of a JavaScript value), or a pair of both for complex numbers.


class Complex(NamedTuple):
    """A complex element."""

    re: Any
    im: Any


_REAL: dict[str, tuple[str, Callable[..., Any]]] = {  # primitive: JavaScript, and its value for constants
    "abs": ("Math.abs({0})", np.abs),
    "acos": ("Math.acos({0})", np.arccos),
    "acosh": ("Math.acosh({0})", np.arccosh),
    "and": ("({0} && {1})", lambda a, b: bool(a) and bool(b)),
    "asin": ("Math.asin({0})", np.arcsin),
    "asinh": ("Math.asinh({0})", np.arcsinh),
    "atan": ("Math.atan({0})", np.arctan),
    "atan2": ("Math.atan2({0}, {1})", np.arctan2),
    "atanh": ("Math.atanh({0})", np.arctanh),
    "cbrt": ("Math.cbrt({0})", np.cbrt),
    "ceil": ("Math.ceil({0})", np.ceil),
    "clamp": ("Math.min(Math.max({1}, {0}), {2})", lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "cos": ("Math.cos({0})", np.cos),
    "cosh": ("Math.cosh({0})", np.cosh),
    "eq": ("({0} === {1})", lambda a, b: a == b),
    "exp": ("Math.exp({0})", np.exp),
    "exp2": ("Math.pow(2, {0})", np.exp2),
    "expm1": ("Math.expm1({0})", np.expm1),
    "floor": ("Math.floor({0})", np.floor),
    "ge": ("({0} >= {1})", lambda a, b: a >= b),
    "gt": ("({0} > {1})", lambda a, b: a > b),
    "is_finite": ("Number.isFinite({0})", np.isfinite),
    "le": ("({0} <= {1})", lambda a, b: a <= b),
    "log": ("Math.log({0})", np.log),
    "log1p": ("Math.log1p({0})", np.log1p),
    "logistic": ("(1 / (1 + Math.exp(-{0})))", lambda x: 1 / (1 + np.exp(-x))),
    "lt": ("({0} < {1})", lambda a, b: a < b),
    "max": ("Math.max({0}, {1})", np.maximum),
    "min": ("Math.min({0}, {1})", np.minimum),
    "ne": ("({0} !== {1})", lambda a, b: a != b),
    "not": ("!{0}", lambda a: not a),
    "or": ("({0} || {1})", lambda a, b: bool(a) or bool(b)),
    "pow": ("Math.pow({0}, {1})", np.power),
    "rem": ("({0} % {1})", np.fmod),
    "round": ("Math.round({0})", np.round),
    "rsqrt": ("(1 / Math.sqrt({0}))", lambda x: 1 / np.sqrt(x)),
    "sign": ("Math.sign({0})", np.sign),
    "sin": ("Math.sin({0})", np.sin),
    "sinh": ("Math.sinh({0})", np.sinh),
    "sqrt": ("Math.sqrt({0})", np.sqrt),
    "square": ("({0} * {0})", np.square),
    "tan": ("Math.tan({0})", np.tan),
    "tanh": ("Math.tanh({0})", np.tanh),
    "xor": ("({0} !== {1})", lambda a, b: bool(a) != bool(b)),
}
_REDUCED = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
}
_SAME = ("convert_element_type", "copy", "copy_p", "stop_gradient", "optimization_barrier")


def translate(name: str, function: Callable[..., Any], *examples: Any) -> str:
    """A JavaScript function `name` with the values of `function`.

    - `function`: of arrays or numbers, traced for the shapes of `examples`; it returns an array
    - JavaScript: every argument with axes is an indexed array of its elements in order, others are numbers; the last
      argument `out` receives the elements of the result

    Raises `ValueError` with the name of an operation that is not elementwise, such as a loop or a solver inside.
    """
    closed = jax.make_jaxpr(lambda *given: jnp.asarray(function(*given)))(*examples)
    writer = _Writer()
    given, names = [], []
    for k, each in enumerate(examples):
        shape = np.shape(each)
        names.append(f"a{k}")
        elements = [f"a{k}[{i}]" for i in range(math.prod(shape))] if shape else [f"a{k}"]
        given.append(_array(elements, shape))
    (result,) = _run(writer, closed.jaxpr, closed.consts, given, name)
    for i, each in enumerate(result.ravel()):
        writer.lines.append(f"out[{i}] = {_text(each)};")
    body = "\n".join("  " + line for line in writer.lines)
    return f"function {name}({', '.join([*names, 'out'])}) {{\n{body}\n}}"


class _Writer:
    """Lines of JavaScript, and the name under which each value is known."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict[str, str] = {}

    def name(self, expression: str) -> str:
        if expression not in self.known:
            self.known[expression] = f"t{len(self.known)}"
            self.lines.append(f"const {self.known[expression]} = {expression};")
        return self.known[expression]

    def real(self, primitive: str, *values: Any) -> Any:
        pattern, constant = _REAL[primitive]
        if all(not isinstance(each, str) for each in values):
            return _plain(constant(*values))
        return self.name(pattern.format(*map(_text, values)))

    def add(self, a: Any, b: Any) -> Any:
        if isinstance(a, Complex) or isinstance(b, Complex):
            (ar, ai), (br, bi) = _pair(a), _pair(b)
            return Complex(self.add(ar, br), self.add(ai, bi))
        if not isinstance(a, str) and not isinstance(b, str):
            return a + b
        return self.name(f"{_text(a)} + {_text(b)}")

    def sub(self, a: Any, b: Any) -> Any:
        if isinstance(a, Complex) or isinstance(b, Complex):
            (ar, ai), (br, bi) = _pair(a), _pair(b)
            return Complex(self.sub(ar, br), self.sub(ai, bi))
        if not isinstance(a, str) and not isinstance(b, str):
            return a - b
        return self.name(f"{_text(a)} - {_text(b)}")

    def mul(self, a: Any, b: Any) -> Any:
        if isinstance(a, Complex) or isinstance(b, Complex):
            (ar, ai), (br, bi) = _pair(a), _pair(b)
            return Complex(self.sub(self.mul(ar, br), self.mul(ai, bi)), self.add(self.mul(ar, bi), self.mul(ai, br)))
        if not isinstance(a, str) and not isinstance(b, str):
            return a * b
        for one, other in ((a, b), (b, a)):
            if not isinstance(one, str) and one == 1:
                return other
        return self.name(f"{_text(a)} * {_text(b)}")

    def div(self, a: Any, b: Any) -> Any:
        if isinstance(b, Complex):
            size = self.add(self.mul(b.re, b.re), self.mul(b.im, b.im))
            top = self.mul(a, Complex(b.re, self.neg(b.im)))
            return Complex(self.div(top.re, size), self.div(top.im, size))
        if isinstance(a, Complex):
            return Complex(self.div(a.re, b), self.div(a.im, b))
        if not isinstance(a, str) and not isinstance(b, str):
            return _plain(np.divide(a, b))
        return self.name(f"{_text(a)} / {_text(b)}")

    def neg(self, a: Any) -> Any:
        if isinstance(a, Complex):
            return Complex(self.neg(a.re), self.neg(a.im))
        return -a if not isinstance(a, str) else self.name(f"-{a}")

    def choose(self, which: Any, cases: Sequence[Any]) -> Any:
        """The case of number `which`; both of two where `which` is a truth value."""
        if not isinstance(which, str):
            return cases[int(which)]
        if any(isinstance(each, Complex) for each in cases):
            pairs = [_pair(each) for each in cases]
            return Complex(self.choose(which, [a for a, _ in pairs]), self.choose(which, [b for _, b in pairs]))
        if len(cases) == 2:
            return self.name(f"({which} ? {_text(cases[1])} : {_text(cases[0])})")
        return self.name(f"[{', '.join(map(_text, cases))}][{which}]")

    def power(self, a: Any, n: int) -> Any:
        """a^n by squaring."""
        if n < 0:
            return self.div(1.0, self.power(a, -n))
        result, square = None, a
        while n:
            if n & 1:
                result = square if result is None else self.mul(result, square)
            n >>= 1
            square = self.mul(square, square) if n else square
        return 1.0 if result is None else result

    def sqrt(self, a: Complex) -> Complex:
        """The principal root, without cancellation."""
        size = self.name(f"Math.hypot({_text(a.re)}, {_text(a.im)})")
        large = self.name(f"Math.sqrt(({size} + Math.abs({_text(a.re)})) / 2)")
        small = self.name(f"({large} === 0 ? 0 : {_text(a.im)} / (2 * {large}))")
        right = self.name(f"({_text(a.re)} >= 0)")
        sign = self.name(f"({_text(a.im)} < 0 ? -1 : 1)")
        return Complex(
            self.name(f"({right} ? {large} : Math.abs({small}))"), self.name(f"({right} ? {small} : {sign} * {large})")
        )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _pair(value: Any) -> Complex:
    return value if isinstance(value, Complex) else Complex(value, 0.0)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return f"({text})" if value < 0 or text.startswith("-") else text


def _array(elements: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """An object array of elements, which may be pairs."""
    flat = np.empty(len(elements), object)
    for i, each in enumerate(elements):
        flat[i] = each
    return flat.reshape(shape)


def _constants(value: Any) -> np.ndarray:
    given = np.asarray(value)
    elements = [
        Complex(float(each.real), float(each.imag)) if np.iscomplexobj(given) else each.item() for each in given.ravel()
    ]
    return _array(elements, given.shape)


def _each(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """`function` of all elements; arrays of one shape, or with no axes."""
    shape = np.broadcast_shapes(*(each.shape for each in arrays))
    flat = [np.broadcast_to(each, shape).ravel() for each in arrays]
    return _array([function(*each) for each in zip(*flat, strict=True)], shape)


def _run(writer: _Writer, jaxpr: Any, consts: Sequence[Any], given: Sequence[np.ndarray], name: str) -> list[np.ndarray]:
    known: dict[Any, np.ndarray] = {}
    read = lambda each: _constants(each.val) if isinstance(each, jex.Literal) else known[each]
    known |= zip(jaxpr.constvars, map(_constants, consts), strict=True)
    known |= zip(jaxpr.invars, given, strict=True)
    for eqn in jaxpr.eqns:
        values = [read(each) for each in eqn.invars]
        known |= zip(eqn.outvars, _apply(writer, eqn, values, name), strict=True)
    return [read(each) for each in jaxpr.outvars]


def _apply(writer: _Writer, eqn: Any, values: list[np.ndarray], name: str) -> list[np.ndarray]:
    """The values of one equation of a jaxpr."""
    primitive, params = eqn.primitive.name, eqn.params
    inner = next((params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params), None)
    if inner is not None and primitive not in ("scan", "while", "custom_root", "custom_linear_solve"):
        closed = hasattr(inner, "consts")
        return _run(writer, inner.jaxpr if closed else inner, inner.consts if closed else (), values, name)
    if primitive in _ARITHMETIC:
        return [_each(_ARITHMETIC[primitive](writer, params), *values)]
    is_complex = any(isinstance(each, Complex) for array in values for each in array.ravel())
    if primitive in _SAME:
        return list(values)
    if primitive == "sqrt" and is_complex:
        return [_each(lambda a: writer.sqrt(_pair(a)), *values)]
    if primitive in _REAL and not is_complex:
        return [_each(lambda *each: writer.real(primitive, *each), *values)]
    if primitive in _REDUCED:
        return [_reduced(writer, _REDUCED[primitive], values[0], params["axes"])]
    if primitive in _SHAPES:
        return [_SHAPES[primitive](params, eqn, *values)]
    if primitive == "dot_general":
        return [_product(writer, params["dimension_numbers"], *values)]
    if primitive == "platform_index":  # a page takes what is written for CPUs
        platforms = params["platforms"]
        here = [k for k, each in enumerate(platforms) if each is None or "cpu" in each]
        return [_array([here[0]], ())]
    if primitive == "cond":
        return _branches(writer, params["branches"], *values, name=name)
    if primitive == "split":
        places = np.cumsum(params["sizes"])[:-1]
        return list(np.split(values[0], places, axis=params["axis"]))
    rule = f"be made of elementwise operations to be shown on a page: `{name}` holds `{primitive}`"
    require("model", primitive, rule, False)
    return []


def _branches(
    writer: _Writer, branches: Sequence[Any], which: np.ndarray, *given: np.ndarray, name: str
) -> list[np.ndarray]:
    """The branch that is known to be taken, or else one of all, which have no side effects."""
    taken = which.item()
    if not isinstance(taken, str):
        chosen = branches[int(taken)]
        return _run(writer, chosen.jaxpr, chosen.consts, given, name)
    results = [_run(writer, each.jaxpr, each.consts, given, name) for each in branches]
    return [_each(lambda *cases: writer.choose(taken, cases), *cases) for cases in zip(*results, strict=True)]


_ARITHMETIC: dict[str, Callable[[_Writer, Any], Callable[..., Any]]] = {
    "add": lambda w, _: w.add,
    "add_any": lambda w, _: w.add,
    "sub": lambda w, _: w.sub,
    "mul": lambda w, _: w.mul,
    "div": lambda w, _: w.div,
    "neg": lambda w, _: w.neg,
    "complex": lambda w, _: Complex,
    "real": lambda w, _: lambda a: _pair(a).re,
    "imag": lambda w, _: lambda a: _pair(a).im,
    "conj": lambda w, _: lambda a: Complex(_pair(a).re, w.neg(_pair(a).im)),
    "integer_pow": lambda w, params: lambda a: w.power(a, params["y"]),
    "select_n": lambda w, _: lambda which, *cases: w.choose(which, cases),
}


def _sliced(params: Any, _: Any, x: np.ndarray) -> np.ndarray:
    steps = params["strides"] or [1] * x.ndim
    return x[tuple(map(slice, params["start_indices"], params["limit_indices"], steps))]


def _dynamic(params: Any, eqn: Any, x: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    known = all(not isinstance(each.item(), str) for each in starts)
    require("model", eqn.primitive.name, "use indices that are known beforehand to be shown on a page", known)
    sizes = params["slice_sizes"]
    first = [min(max(int(each.item()), 0), full - size) for each, full, size in zip(starts, x.shape, sizes, strict=True)]
    return x[tuple(slice(a, a + size) for a, size in zip(first, sizes, strict=True))]


def _gathered(params: Any, eqn: Any, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """JAX gathers the numbers of the elements, which tell where each one goes."""
    known = all(not isinstance(each, str) for each in indices.ravel())
    require("model", eqn.primitive.name, "use indices that are known beforehand to be shown on a page", known)
    numbers = jnp.arange(x.size, dtype=float).reshape(x.shape)
    wanted = indices.astype(eqn.invars[1].aval.dtype)
    with jax.ensure_compile_time_eval():
        found = np.asarray(eqn.primitive.bind(numbers, jnp.asarray(wanted), **params))
    outside = _array([math.nan], (1,))
    return np.concatenate([x.ravel(), outside])[np.where(np.isfinite(found), found, x.size).astype(int)]


def _broadcast(params: Any, _: Any, x: np.ndarray) -> np.ndarray:
    shape = [1] * len(params["shape"])
    for axis, size in zip(params["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = size
    return np.broadcast_to(x.reshape(shape), params["shape"])


_SHAPES: dict[str, Callable[..., np.ndarray]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, _, *xs: np.concatenate(xs, axis=params["dimension"]),
    "dynamic_slice": _dynamic,
    "expand_dims": lambda params, _, x: np.expand_dims(x, params["dimensions"]),
    "gather": _gathered,
    "iota": lambda params, eqn: _constants(
        np.broadcast_to(
            np.expand_dims(
                np.arange(params["shape"][params["dimension"]]),
                [a for a in range(len(params["shape"])) if a != params["dimension"]],
            ),
            params["shape"],
        )
    ),
    "reshape": lambda params, _, x: x.reshape(params["new_sizes"]),
    "rev": lambda params, _, x: np.flip(x, params["dimensions"]),
    "slice": _sliced,
    "stack": lambda params, _, *xs: np.stack(xs, axis=params.get("axis", params.get("dimension", 0))),
    "squeeze": lambda params, _, x: np.squeeze(x, tuple(params["dimensions"])),
    "transpose": lambda params, _, x: np.transpose(x, params["permutation"]),
}


def _reduced(writer: _Writer, primitive: str, x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    combine = {"add": writer.add, "mul": writer.mul}.get(primitive, lambda a, b: writer.real(primitive, a, b))
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    rows = np.transpose(x, [*kept, *axes]).reshape([x.shape[axis] for axis in kept] + [count])
    result = rows[..., 0]
    for i in range(1, count):
        result = _each(combine, np.asarray(result, object), rows[..., i])
    return result if isinstance(result, np.ndarray) else _array([result], ())


def _product(writer: _Writer, numbers: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A sum of products over the contracted axes; axes of batches come first."""
    (a_sum, b_sum), (a_batch, b_batch) = numbers  # axes
    require(
        "model", "dot_general", "be without batches of matrix products to be shown on a page", not a_batch and not b_batch
    )
    a_free = [axis for axis in range(a.ndim) if axis not in a_sum]
    b_free = [axis for axis in range(b.ndim) if axis not in b_sum]
    rows, columns = [a.shape[axis] for axis in a_free], [b.shape[axis] for axis in b_free]
    left = np.transpose(a, [*a_free, *a_sum]).reshape(math.prod(rows), -1)
    right = np.transpose(b, [*b_free, *b_sum]).reshape(math.prod(columns), -1)
    elements = []
    for row in left:
        for column in right:
            total: Any = None
            for x, y in zip(row, column, strict=True):
                # A weight that is exactly 0 sends nothing.
                if 0 in (x, y) and not (isinstance(x, Complex) or isinstance(y, Complex)):
                    continue
                total = writer.mul(x, y) if total is None else writer.add(total, writer.mul(x, y))
            elements.append(0.0 if total is None else total)
    return _array(elements, (*rows, *columns))
