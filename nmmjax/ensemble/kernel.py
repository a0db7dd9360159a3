"""The GPU path: every time loop of a block of lanes as one fused kernel, with all else left to XLA.

On a GPU, XLA launches several kernels per time step. Here the program of one block of lanes, `Task.lane` under `jax.vmap`,
is traced once, and each of its time loops becomes one Pallas kernel on a grid of blocks: it loads the block's parameters,
state and accumulators, takes all steps of the stretch in registers, and writes state and accumulators back. There is no
second copy of the equations: the kernel's body is the traced loop's own. The code before and after a loop (coefficients,
cuts, the refinement of peaks) is a few elementwise operations per stretch and stays with XLA; so complex coefficients, jumps
of the input and sample times need nothing special.

Back ends, in order: Pallas for Mosaic GPU (Hopper and newer), Pallas for Triton (deprecated since JAX 0.11), plain XLA.
`best_call` takes the first that compiles on the device at hand and agrees there with XLA on one block; a loop whose body a
kernel can't express (a look-up in a recorded input, say) so ends with XLA.

Proved without a GPU (tests/ensemble/test_gpu_*.py): every kind of sweep but recorded input compiles to machine code for an
H200; what is compiled, executed by an interpreter of PTX, equals XLA; registers and instructions per step stay within
budgets. Not yet run on a GPU: `benchmarks/ensemble/gpu_check.py` does that.
"""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from .gradient import derivative_name
from .task import Task, compiled

# Lanes per program: one per thread of a warp group, so that a lane's numbers stay in its own thread's registers.
WIDTH = 128
BACKENDS = ("mosaic", "triton")
# One block of a task must agree with XLA in this share of its lanes, to this many times √ε: rounding moves a few further.
_SHARE, _CLOSE = 0.9, 100
# With so many steps at most, if the numbers stay finite: XLA's own path takes a second for 10⁵ of them.
_COMPARED = 2**13
# Steps between two looks of XLA's path at whether a loop goes on.
_CHUNK = 32


def _power(x: Any, n: int) -> Any:
    if n < 2:
        return 1 / _power(x, -n) if n < 0 else x if n == 1 else jnp.ones_like(x)
    half = _power(x, n // 2)
    return half * half * x if n % 2 else half * half


def _root(x: Any) -> Any:
    """√x from 1/√x, with one correction by Newton's method."""
    inverse = jax.lax.rsqrt(x)
    root = x * inverse
    return jnp.where((x == 0) | (x == jnp.inf), x, root + (x - root * root) * inverse / 2)


def _floor(x: Any) -> Any:
    """⌊x⌋, by additions that round to a whole number; numbers so large that they are whole are left as they are."""
    half = 2.0 ** (jnp.finfo(x.dtype).nmant - 1)
    whole = (x + 3 * half) - 3 * half
    return jnp.where(jnp.abs(x) < half, jnp.where(whole > x, whole - 1, whole), x)


def _bits(x: Any, dtype: Any) -> Any:
    """The bits of x as another type. Mosaic's own leaves integers with or without sign as they were."""
    if np.issubdtype(x.dtype, np.integer) and np.issubdtype(dtype, np.integer):
        return x.astype(dtype)
    return jax.lax.bitcast_convert_type(x, dtype)


def _some(x: Any, axes: Any = None) -> Any:
    return jnp.max(jnp.where(x, 1.0, 0.0).astype(jnp.float32), axis=axes) > 0


_Rules = Mapping[str, Callable[..., Any]]
# Inside a kernel: what some back end lacks, made of what it has.
_IN_TRITON: _Rules = {
    "optimization_barrier": lambda params, *each: list(each),
    "stop_gradient": lambda params, *each: list(each),
    "add_any": lambda params, x, y: x + y,
    "reduce_or": lambda params, x: _some(x, params["axes"]) if params["axes"] else x,
    "reduce_and": lambda params, x: ~_some(~x, params["axes"]) if params["axes"] else x,
    "is_finite": lambda params, x: x - x == 0,
    "integer_pow": lambda params, x: _power(x, params["y"]),
}
_IN_MOSAIC: _Rules = {
    **_IN_TRITON,
    "sqrt": lambda params, x: _root(x),
    "floor": lambda params, x: _floor(x),
    "bitcast_convert_type": lambda params, x: _bits(x, params["new_dtype"]),
    "pow": lambda params, x, y: jnp.exp(y.astype(x.dtype) * jnp.log(x)),
}


def _evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], rules: _Rules) -> list[Any]:
    """The traced function at `args`, with the primitives named in `rules` replaced, also within functions that it calls."""
    env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    read = lambda atom: atom.val if isinstance(atom, jex.Literal) else env[atom]
    for eqn in jaxpr.eqns:
        values = [read(atom) for atom in eqn.invars]
        name, params = eqn.primitive.name, eqn.params
        inner = params.get("jaxpr", params.get("call_jaxpr"))
        if name in rules:
            out = rules[name](params, *values)
        elif name in ("jit", "pjit", "closed_call", "custom_jvp_call") and inner is not None:
            out = _evaluate(inner.jaxpr, inner.consts, values, rules)
        else:
            bound = eqn.primitive.get_bind_params(params)
            functions, params = bound if isinstance(bound, tuple) else ((), bound)  # JAX before 0.10: (functions, params)
            out = eqn.primitive.bind(*functions, *values, **params)
        env.update(zip(eqn.outvars, out if isinstance(out, (list, tuple)) else [out], strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _parts(params: Any, operands: Sequence[Any]) -> Any:
    """Constants, initial carry and scanned arrays of a scan; JAX 0.12 records differently which are which."""
    if "ft_in" in params:
        return [list(each) for each in params["ft_in"].update(operands).unpack()]
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    return list(operands[:first]), list(operands[first:second]), list(operands[second:])


def _loop(params: Any, operands: Sequence[Any], rules: _Rules) -> tuple[Any, Any, tuple[Any, ...]]:
    """(condition, body, initial values) of a traced loop, where lanes that are done wait for the others."""
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def unfinished(carry) -> Any:
        return _evaluate(cond.jaxpr, cond.consts, [*operands[:first], *carry], rules)[0]

    def go_on(carry) -> Any:
        open_lanes = unfinished(carry)
        return _some(open_lanes) if open_lanes.shape else open_lanes

    def advance(carry) -> Any:
        moved = _evaluate(body.jaxpr, body.consts, [*operands[first:second], *carry], rules)
        if not cond.out_avals[0].shape:
            return tuple(moved)
        # Lanes with conditions of their own: those that are done wait.
        open_lanes = unfinished(carry)
        wide = lambda new: open_lanes.reshape(open_lanes.shape + (1,) * (new.ndim - 1))
        return tuple(jnp.where(wide(new), new, old) for new, old in zip(moved, carry, strict=True))

    return go_on, advance, tuple(operands[second:])


def fused(function: Callable[..., Any], backend: str, interpret: bool = False) -> Callable[..., Any]:
    """`function` of one block of lanes with its loops as kernels, under `jax.vmap` over blocks."""

    def loop(params, *operands) -> Any:
        """A loop as one kernel from its constants and initial values to its final values."""
        second = params["cond_nconsts"] + params["body_nconsts"]

        def steps(*operands) -> list[Any]:
            go_on, advance, start = _loop(params, operands, _IN_MOSAIC if backend == "mosaic" else _IN_TRITON)
            return list(jax.lax.while_loop(go_on, advance, start))

        call = jax.custom_batching.custom_vmap(steps)

        @call.def_vmap
        def _(blocks: int, batched: Sequence[bool], *operands) -> Any:
            full = [
                x if many else jnp.broadcast_to(x, (blocks, *x.shape)) for x, many in zip(operands, batched, strict=True)
            ]
            out = _launch(steps, full, full[second:], backend, interpret)
            return out, [True] * len(out)

        return call(*operands)

    return _traced(function, {"while": loop})


def _traced(function: Callable[..., Any], own: _Rules) -> Callable[..., Any]:
    """`function`, traced, with primitives replaced by rules, also within its scans."""

    def scan(params, *operands) -> Any:
        """A scan over stretches stays one."""
        inner = params["jaxpr"]
        consts, start, xs = _parts(params, operands)

        def body(carry, now) -> Any:
            out = _evaluate(inner.jaxpr, inner.consts, [*consts, *carry, *now], rules)
            return out[: len(carry)], out[len(carry) :]

        carry, ys = jax.lax.scan(body, start, xs, length=params["length"], reverse=params["reverse"])
        return [*carry, *ys]

    rules: _Rules = {**own, "scan": scan}

    def call(*args) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        flat = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args), rules)
        return jax.tree.unflatten(jax.tree.structure(shape), flat)

    return call


def _launch(
    steps: Callable[..., list[Any]], operands: Sequence[Any], like: Sequence[Any], backend: str, interpret: bool
) -> list[Any]:
    """One kernel for a whole loop, one program per block; booleans, which kernels don't store, travel as integers."""
    stored = lambda x: jnp.where(x, 1, 0).astype(jnp.int32) if x.dtype == jnp.bool_ else x
    truth = [each.dtype == jnp.bool_ for each in operands]
    inputs = [stored(x) for x in operands]
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, stored(x).dtype) for x in like)

    def body(refs: Sequence[Any], at) -> None:
        given = [ref[at] != 0 if b else ref[at] for ref, b in zip(refs, truth, strict=False)]
        for ref, value in zip(refs[len(inputs) :], steps(*given), strict=True):
            ref[at] = stored(value)

    out = (_mosaic if backend == "mosaic" else _triton)(body, inputs, shapes, interpret)
    return [x.astype(each.dtype) for x, each in zip(out, like, strict=True)]


def _mosaic(body: Callable[..., None], inputs: Sequence[Any], shapes: Any, interpret: bool) -> Any:
    from jax.experimental.mosaic import gpu
    from jax.experimental.pallas import mosaic_gpu

    options: Any = {"grid": (inputs[0].shape[0],), "grid_names": ("blocks",)}
    # A lane is a thread; JAX 0.11 made semantics of whole warp groups the default, which lack masks within loops.
    semantics = getattr(gpu, "LoweringSemantics", None)
    if semantics is not None and "lowering_semantics" in inspect.signature(mosaic_gpu.CompilerParams).parameters:
        options["compiler_params"] = mosaic_gpu.CompilerParams(lowering_semantics=semantics.Lane)
    # The older name of this argument still works if both are accepted, but warns.
    options["out_type" if "out_type" in inspect.signature(mosaic_gpu.kernel).parameters else "out_shape"] = shapes
    if interpret:
        options["interpret"] = mosaic_gpu.InterpretGPUParams()  # pyright: ignore[reportAttributeAccessIssue]
    return mosaic_gpu.kernel(lambda *refs: body(refs, jax.lax.axis_index("blocks")), **options)(*inputs)


def _triton(body: Callable[..., None], inputs: Sequence[Any], shapes: Any, interpret: bool) -> Any:
    from jax.experimental import pallas
    from jax.experimental.pallas import triton

    def spec(each) -> Any:
        return pallas.BlockSpec((None, *each.shape[1:]), lambda i: (i,) + (0,) * (each.ndim - 1))

    return pallas.pallas_call(
        lambda *refs: body(refs, ...),
        out_shape=shapes,
        grid=(inputs[0].shape[0],),
        in_specs=[spec(each) for each in inputs],
        out_specs=tuple(spec(each) for each in shapes),
        compiler_params=triton.CompilerParams(num_warps=4),
        interpret=interpret,
    )(*inputs)


def _blocks(values: object) -> tuple[int, int]:
    """Numbers of blocks and of lanes in each."""
    group, lanes, *_ = jax.tree.leaves(values)[0].shape
    return group, lanes


def _kernel_call(task: Task, width: int, backend: str, interpret: bool = False) -> Any:
    """Like `task.compiled(task, …)`, for any number of blocks of any size; programs of `width` lanes.

    Derivatives are those along one parameter per program, whose numbers then have the shapes of the state; programs for
    other parameters compute the results once more.
    """
    names = () if task.method.reverse else task.gradient

    def one(base, values, steps, direction) -> Any:
        if names:
            return jax.vmap(lambda values: task.slope(base, values, steps, direction))(values)
        return jax.vmap(lambda values: task.lane(base, values, steps))(values), {}

    def call(base, values, steps) -> Any:
        group, lanes = _blocks(values)
        programs, count = -(-lanes // width), max(len(names), 1)
        # A block's last lane is repeated to fill its last program.
        which = np.minimum(np.arange(programs * width), lanes - 1)
        many = lambda each, n: each if n == 1 else jnp.repeat(each, n, axis=0)
        cut = lambda each: many(each[:, which].reshape((group * programs, width, *each.shape[2:])), count)
        steps = jax.tree.map(lambda each: many(each, programs * count), steps)
        kind = lambda name: jax.tree.leaves(values[name])[0].dtype
        direction = {name: jnp.tile(jnp.eye(count, dtype=kind(name))[k], group * programs) for k, name in enumerate(names)}
        arguments = base, jax.tree.map(cut, values), steps, direction
        out, slopes = jax.vmap(fused(one, backend, interpret), in_axes=(None, 0, 0, 0))(*arguments)

        def joined(each: Any, k: int) -> Any:
            own = each.reshape((group, programs, count, width, *each.shape[2:]))[:, :, k]
            return own.reshape((group, programs * width, *each.shape[2:]))[:, :lanes]

        out = jax.tree.map(lambda each: joined(each, 0), out)
        return out | {
            derivative_name(variable, name): joined(slope, k)
            for k, name in enumerate(names)
            for variable, slope in slopes.items()
        }

    return jax.jit(call)


kernel_call = functools.lru_cache(maxsize=16)(_kernel_call)


def _chunk(params: Any, *operands: Any) -> list[Any]:
    """A loop whose condition is looked at after every `_CHUNK` steps only: on a GPU that takes as long as several steps."""
    go_on, advance, start = _loop(params, operands, _PLAIN)
    open_lanes = params["cond_jaxpr"].out_avals[0].shape  # then `advance` itself lets lanes wait

    def step(_: Any, carry: Any) -> Any:
        moved = advance(carry)
        if open_lanes:
            return moved
        going = go_on(carry)
        return tuple(jnp.where(going, new, old) for new, old in zip(moved, carry, strict=True))

    return list(jax.lax.while_loop(go_on, lambda carry: jax.lax.fori_loop(0, _CHUNK, step, carry), start))


_PLAIN: _Rules = {"optimization_barrier": lambda params, *each: list(each), "while": _chunk}


def _plain_call(task: Task) -> Any:
    """XLA's path for accelerators: all lanes of all blocks as one, since width is what counts, each with the steps of its
    block, as kernels take them. Nothing keeps XLA from fusing a step."""

    def call(base, values, steps) -> Any:
        group, lanes = _blocks(values)
        flat = jax.tree.map(lambda each: each.reshape((group * lanes, *each.shape[2:])), values)
        own = jax.tree.map(lambda each: jnp.repeat(each, lanes, axis=0), steps)
        every = _traced(jax.vmap(task.lane, in_axes=(None, 0, 0)), _PLAIN)
        out = every(base, flat, own)
        return jax.tree.map(lambda each: each.reshape((group, lanes, *each.shape[1:])), out)

    return jax.jit(call)


plain_call = functools.lru_cache(maxsize=16)(_plain_call)


def _agree(ours: Any, theirs: Any) -> bool:
    """Whether two results of one block are equal but for rounding."""

    def near(a, b) -> bool:
        a, b = np.asarray(a), np.asarray(b)
        if not np.issubdtype(b.dtype, np.floating):
            return bool(np.mean(a == b) >= _SHARE)
        eps = float(np.finfo(b.dtype).eps)
        close = np.isclose(a, b, rtol=_CLOSE * eps**0.5, atol=_CLOSE * eps, equal_nan=True)
        return bool(np.mean(close) >= _SHARE)

    return all(jax.tree.leaves(jax.tree.map(near, ours, theirs)))


def _ended_well(out: Any) -> bool:
    """Whether most lanes have a finite state, so that comparing them says something."""
    return all(np.mean(np.isfinite(each)) >= _SHARE for each in jax.tree.leaves(out[".y"]))


def _confirmed(call: Any, task: Task, example: Any, platform: str) -> bool:
    """Whether a kernel's results equal XLA's, on the block with the fewest steps: blocks that only fill a call have none."""
    base, values, steps = example
    group, _ = _blocks(values)
    total = np.concatenate([np.asarray(each).reshape(group, -1) for each in jax.tree.leaves(steps)], axis=1).sum(axis=1)
    row = int(np.argmin(np.where(total > 0, total, np.inf)))
    pick = lambda tree: jax.tree.map(lambda each: each[row : row + 1], tree)
    plain = compiled(task, 1, platform)

    def both(steps: Any) -> tuple[Any, Any]:
        return pick(jax.block_until_ready(call(base, values, steps))), plain(base, *pick((values, steps)))

    if total[row] > _COMPARED:  # long steps are as good to compare, unless they lead to infinity
        share = _COMPARED / total[row]
        ours, theirs = both(jax.tree.map(lambda each: np.ceil(np.asarray(each) * share).astype(each.dtype), steps))
        if _ended_well(theirs):
            return _agree(ours, theirs)
    return _agree(*both(steps))


def best_call(task: Task, width: int, example: Any, backends: Sequence[str] | None = None) -> tuple[Any, str]:
    """The fastest way that works here to call `task`, as `task.compiled` would, and its name: "mosaic", "triton" or "xla".

    `example` are the arguments (base, values, steps) of one call, numpy arrays or on the device; programs have `width`
    lanes, a multiple of 128 for Mosaic. A kernel is compiled, run on `example`, and one block compared with XLA. Warns
    where none works.
    """
    base, values, _ = example
    group, _ = _blocks(values)
    (device,) = jnp.asarray(jax.tree.leaves(values)[0]).devices()
    if device.platform == "cpu" and backends is None:
        return compiled(task, group, "cpu"), "xla"
    if base.nodes:  # products with the weights of a network are XLA's own kernels
        return plain_call(task), "xla"
    reasons = []
    for backend in BACKENDS if backends is None else backends:
        call = kernel_call(task, width, backend)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if _confirmed(call, task, example, device.platform):
                    return call, backend
            reasons.append(f"{backend}: results differ from XLA's")
        except Exception as error:  # whatever a compiler raises
            reasons.append(f"{backend}: {(str(error).strip() or type(error).__name__).splitlines()[0][:120]}")
    why = "; ".join(reasons)
    warnings.warn(f"No fused kernel for this sweep on {device.device_kind}, so plain XLA runs it ({why}).", stacklevel=2)
    return plain_call(task), "xla"
