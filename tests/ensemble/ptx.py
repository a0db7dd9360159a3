"""Kernels in PTX, NVIDIA's assembly language for GPUs, executed by NumPy: what is compiled for a GPU is tested without one.

All threads of all blocks step together, each operation one on arrays over the threads. Where they diverge, those at the
lowest instruction go first, and at barriers and exchanges they wait for their block or warp. Numbers round as IEEE says,
fused multiply-adds once; functions that the hardware only approximates are exact, or, for doubles, as coarse as it says.
Whatever is not covered raises `NotImplementedError` with the instruction, and addresses outside of all buffers raise
`IndexError`. Source: NVIDIA, Parallel Thread Execution ISA.
"""

import dataclasses
import re

import numpy as np

TYPES = {
    f"{kind}{8 * size}": np.dtype(f"{code}{size}") for size in (1, 2, 4, 8) for kind, code in zip("bus", "uui", strict=True)
}
TYPES |= {"f32": np.dtype("f4"), "f64": np.dtype("f8"), "pred": np.dtype("?")}
# Addresses: global ones are places in one array of bytes, others have a mark and are offsets within a block's or a thread's.
SHARED, LOCAL, SPACE = 1 << 60, 1 << 61, (1 << 48) - 1
SHARED_BYTES, LONGEST = 1 << 14, 10**6


@dataclasses.dataclass(frozen=True)
class Instruction:
    """`@guard op.modifiers operands`; the guard is a predicate's name and the value at which it lets threads through."""

    text: str
    guard: tuple[str, bool] | None
    op: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @property
    def types(self):
        return [each for each in self.modifiers if each in TYPES]


@dataclasses.dataclass
class Function:
    """A function's instructions, the places of its labels, the width of its registers, its parameters' names, and the bytes
    of its threads' own memory."""

    program: list[Instruction]
    labels: dict[str, int]
    registers: dict[str, np.dtype]
    parameters: list[str]
    results: list[str]
    depots: dict[str, int]


def split(text):
    """Operands, which commas separate outside of brackets."""
    return [each.strip() for each in re.split(r",(?![^{\[(]*[}\])])", text) if each.strip()]


def declared(line, found):
    """Note what a directive declares."""
    if match := re.match(r"\.reg\s+\.(\w+)\s+(.*)", line):
        for name in split(match[2]):
            many = re.fullmatch(r"(%?\w+)<(\d+)>", name)
            names = [f"{many[1]}{k}" for k in range(int(many[2]))] if many else [name]
            kind = TYPES[match[1]]
            found.registers |= dict.fromkeys(names, kind if kind == "?" else np.dtype(f"u{kind.itemsize}"))
    elif match := re.match(r"\.local\s+.*?\.b8\s+([\w$]+)\[(\d+)\]", line):
        found.depots[match[1]] = int(match[2])


def instruction(line):
    guarded = re.match(r"@(!?)(%\w+)\s+(.*)", line)
    guard, rest = ((guarded[2], not guarded[1]), guarded[3]) if guarded else (None, line)
    name, _, operands = rest.partition(" ")
    op, *modifiers = name.replace("::", ".").split(".")
    return Instruction(line, guard, op, tuple(modifiers), tuple(split(operands)))


def function(head, body):
    results, parameters = re.match(r"(?:\(([^)]*)\))?[^(]*\(([^)]*)\)", head, re.S).groups()
    names = lambda text: re.findall(r"([\w$]+)(?:\[\d+\])?\s*(?:,|$)", text or "", re.M)
    found = Function([], {}, {}, names(parameters), names(results), {})
    for line in re.split(r";|(?<=:)\s*\n", body):
        line = " ".join(re.sub(r"^\s*\.(loc|file|pragma)\b[^\n]*", "", line, flags=re.M).split())
        while match := re.match(r"[{}]\s*|([$\w]+):(?!:)\s*", line):  # braces of scopes; labels
            if match[1]:
                found.labels[match[1]] = len(found.program)
            line = line[match.end() :]
        if line.count("}") > line.count("{"):
            line = line.rstrip("} ")
        if line.startswith("."):
            declared(line, found)
        elif line:
            found.program.append(instruction(line))
    return found


class Kernel:
    """The one entry of a PTX module, with the functions that it calls and its tables of constants."""

    def __init__(self, text):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
        self.functions, self.constants, self.shared = {}, {}, {}
        for name, values in re.findall(
            r"\.(?:global|const)\s+\.align\s+\d+\s+\.b8\s+([\w$]+)\[\d+\]\s*=\s*\{([^}]*)\}", text
        ):
            self.constants[name] = np.array([int(each) for each in values.split(",")], np.uint8)
        for name, size in re.findall(r"\.shared\s+\.align\s+\d+\s+\.b8\s+([\w$]+)(?:\[(\d*)\])?", text):
            self.shared[name] = int(size or 0)
        for match in re.finditer(r"\.(entry|func)\s+((?:\([^)]*\)\s*)?([\w$]+)\s*\([^)]*\))\s*([^;{]*)\{", text):
            depth, end = 1, match.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            self.functions[match[3]] = function(match[2], text[match.end() : end - 1])
            if match[1] == "entry":
                self.name = match[3]

    @property
    def parameters(self):
        return self.functions[self.name].parameters

    def run(self, blocks, threads, arrays):
        """Execute all blocks on `arrays`, one per parameter, which the kernel changes; returns how many instructions."""
        memory = Memory(self, blocks, threads, arrays)
        frame = Frame(memory, self.functions[self.name])
        frame.passed = {name: np.uint64(at) for name, at in zip(self.parameters, memory.begins, strict=False)}
        with np.errstate(all="ignore"):
            frame.go(np.ones(memory.count, bool))
        memory.read_back(arrays)
        return memory.executed


class Memory:
    """Global memory, in which arrays lie apart; that of blocks; that of threads; `begins` are the addresses of arrays."""

    def __init__(self, kernel, blocks, threads, arrays):
        self.kernel, self.threads, self.count, self.executed = kernel, threads, blocks * threads, 0
        self.thread = np.arange(self.count)
        parts = [np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in [*arrays, *kernel.constants.values()]]
        self.begins, end = [], 256
        for each in parts:
            self.begins.append(end)
            end += -(-each.size // 256) * 256 + 256
        self.bytes, self.live = np.zeros(end, np.uint8), np.zeros(end, bool)
        for at, each in zip(self.begins, parts, strict=True):
            self.bytes[at : at + each.size], self.live[at : at + each.size] = each, True
        self.symbols = dict(zip(kernel.constants, self.begins[len(arrays) :], strict=True))
        end = 0
        for name, size in kernel.shared.items():
            self.symbols[name] = SHARED + end
            end += -(-size // 1024) * 1024
        self.shared, self.local = np.zeros(blocks * SHARED_BYTES, np.uint8), np.zeros(self.count * 4096, np.uint8)

    def read_back(self, arrays):
        for at, each in zip(self.begins, arrays, strict=False):
            each[...] = self.bytes[at : at + each.nbytes].view(each.dtype).reshape(each.shape)

    def places(self, addresses, size, mask):
        """(bytes, places) of the addresses of the threads in `mask`, all in one kind of memory."""
        at = addresses[mask].astype(np.int64)
        offset = at & SPACE
        if at.size and at[0] & SHARED:
            whole, at = self.shared, offset + self.thread[mask] // self.threads * SHARED_BYTES
            inside = offset + size <= SHARED_BYTES
        elif at.size and at[0] & LOCAL:
            whole, at = self.local, offset + self.thread[mask] * 4096
            inside = offset + size <= 4096
        else:
            whole, inside = self.bytes, (at > 0) & (at + size <= self.bytes.size)
            inside &= self.live[np.where(inside, at, 0)] & self.live[np.where(inside, at + size - 1, 0)]
        if not inside.all() or (at % size).any():
            raise IndexError(f"{self.kernel.name} reaches beyond its buffers, at {at[~inside][:3]}")
        return whole, at // size

    def load(self, addresses, dtype, mask):
        whole, at = self.places(addresses, dtype.itemsize, mask)
        found = np.zeros(self.count, dtype)
        found[mask] = whole.view(dtype)[at]
        return found

    def store(self, addresses, values, mask):
        whole, at = self.places(addresses, values.dtype.itemsize, mask)
        whole.view(values.dtype)[at] = np.broadcast_to(values, mask.shape)[mask]


def two_product(a, b):
    """a b as a sum of two doubles (Dekker)."""
    high = lambda x: (134217729.0 * x) - (134217729.0 * x - x)
    p, ah, bh = a * b, high(a), high(b)
    return p, ((ah * bh - p) + ah * (b - bh) + (a - ah) * bh) + (a - ah) * (b - bh)


def fma(a, b, c):
    """a b + c rounded once (twice where the sum lies within 2⁻¹⁰⁶ of a tie)."""
    if a.dtype == np.float32:
        return (a.astype(np.float64) * b + c).astype(np.float32)
    p, error = two_product(a, b)
    total = p + c
    part = total - p
    exact = total + (((p - (total - part)) + (c - part)) + error)
    return np.where(np.isfinite(exact), exact, a * b + c)


def downwards(exact):
    """A double rounded to the float below it."""
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def coarse(x):
    """The upper half of a double: what approximations of functions of doubles give."""
    return (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)


FLOATS = ("f32", "f64")
ONE = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "ex2": np.exp2, "lg2": np.log2, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "not": np.invert, "rcp": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x),
}  # fmt: skip
TWO = {"add": np.add, "sub": np.subtract, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
ROUND = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
NOTHING = {"bar", "barrier", "fence", "membar", "griddepcontrol", "prefetch", "discard", "nanosleep"}


class Frame:
    """One function with registers of its own, executed by the threads that called it."""

    def __init__(self, memory, function):
        self.memory, self.function, self.count = memory, function, memory.count
        self.registers = {name: np.zeros(self.count, kind) for name, kind in function.registers.items()}
        self.carry = np.zeros(self.count, np.uint64)
        self.passed = {}  # the kernel's parameters, and those of calls, by name
        end, self.symbols = 0, dict(memory.symbols)
        for name, size in function.depots.items():
            self.symbols[name] = LOCAL + end
            end += -(-size // 16) * 16

    def go(self, mask):
        program, labels = self.function.program, self.function.labels
        end = len(program)
        at, waiting = np.where(mask, 0, end), np.zeros(self.count, bool)
        while (now := int(np.where(waiting, end, at).min())) < end:
            each, here = program[now], at == now
            if size := self.together(each):
                complete = (here | (at == end)).reshape(-1, size).all(axis=1)
                ready = here & np.repeat(complete, size)
                waiting = (waiting | here) & ~ready
                here = ready
                if not here.any():
                    continue
            run = here if each.guard is None else here & (self.registers[each.guard[0]] == each.guard[1])
            at[here] = now + 1
            self.memory.executed += 1
            if self.memory.executed > LONGEST:
                raise TimeoutError(f"{self.memory.kernel.name} goes on and on")
            if each.op == "bra":
                at[run] = labels[each.operands[0]]
            elif each.op in ("ret", "exit"):
                at[run], waiting = end, np.zeros_like(waiting)  # nobody waits for those that have ended
            elif each.op not in NOTHING and run.any():
                self.mask = run
                try:
                    self.do(each)
                except (KeyError, NotImplementedError) as error:
                    raise NotImplementedError(f"{self.memory.kernel.name}: {each.text} ({error!r})") from error
        if waiting.any():
            raise RuntimeError(f"{self.memory.kernel.name}: {waiting.sum()} threads wait for each other in two places")

    def together(self, each):
        """How many threads, those of a warp or of a block, wait for each other at an instruction; 0 if none."""
        return 32 if "sync" in each.modifiers and each.op != "bar" else self.memory.threads if each.op == "bar" else 0

    def do(self, each):
        op, kind = each.op, (each.types or [None])[-1]
        if own := getattr(self, f"_{op}", None):
            return own(each)
        if op in ONE:
            value = ONE[op](self.read(each.operands[1], kind))
            approximate = "approx" in each.modifiers and kind == "f64"
            return self.write(each.operands[0], coarse(value) if approximate else value, kind)
        if op in TWO:
            return self.write(each.operands[0], TWO[op](*(self.read(x, kind) for x in each.operands[1:3])), kind)
        raise NotImplementedError(op)

    # Operands
    def read(self, operand, kind):
        """An operand as an array of `kind`, over threads or of one number."""
        dtype = TYPES[kind]
        if operand in self.registers:
            bits = self.registers[operand]
            return bits if kind == "pred" else bits.astype(f"u{dtype.itemsize}", copy=False).view(dtype)
        if operand in self.symbols:
            return np.asarray([self.symbols[operand]], np.uint64).astype(f"u{dtype.itemsize}").view(dtype)
        if operand[:2] in ("0f", "0F", "0d", "0D"):
            size = 4 if operand[1] in "fF" else 8
            bits = np.array([int(operand[2:], 16)], f"u{size}")
            return bits.view(f"f{size}").astype(dtype) if dtype.kind == "f" else bits.astype(dtype)
        if operand.startswith("%"):
            return self.special(operand).astype(dtype)
        if kind == "pred":
            return np.array([operand in ("1", "true", "-1")])
        bits = int(operand.rstrip("U"), 0) & ((1 << 8 * dtype.itemsize) - 1)
        return np.array([bits], f"u{dtype.itemsize}").view(dtype)

    def special(self, name):
        thread, threads = self.memory.thread, self.memory.threads
        known = {
            "%tid.x": thread % threads, "%ctaid.x": thread // threads, "%laneid": thread % 32, "%ntid.x": threads,
            "%nctaid.x": self.count // threads, "%ntid.y": 1, "%ntid.z": 1,
        }  # fmt: skip
        return np.broadcast_to(0 if name[-2:] in (".y", ".z") and name not in known else known[name], self.count)

    def write(self, name, value, kind):
        if name == "_":
            return
        register = self.registers[name]
        if kind != "pred":
            value = np.asarray(value, TYPES[kind])
            if value.dtype.kind == "f":
                value = value.view(f"u{value.dtype.itemsize}")
            value = value.astype(register.dtype)  # numbers with a sign keep it
        register[self.mask] = np.broadcast_to(value, register.shape)[self.mask]

    def address(self, operand):
        base, _, offset = operand.strip("[]").partition("+")
        at = self.read(base.strip(), "u64")
        return np.broadcast_to(at + np.int64(int(offset or "0", 0)).astype(np.uint64), self.count)

    # Moves
    def _mov(self, each):
        (kind,), (to, value) = each.types, each.operands
        parts = lambda text: [part.strip() for part in text.strip("{}").split(",")]
        if to.startswith("{"):
            whole, size = self.read(value, kind), TYPES[kind].itemsize // len(parts(to))
            pieces = np.ascontiguousarray(np.broadcast_to(whole, self.count)).view(f"u{size}").reshape(self.count, -1)
            for k, name in enumerate(parts(to)):
                self.write(name, pieces[:, k], f"b{8 * size}")
        elif value.startswith("{"):
            size = TYPES[kind].itemsize // len(parts(value))
            pieces = [np.broadcast_to(self.read(part, f"b{8 * size}"), self.count) for part in parts(value)]
            self.write(to, np.ascontiguousarray(np.stack(pieces, axis=1)).view(TYPES[kind])[:, 0], kind)
        else:
            self.write(to, self.read(value, kind), kind)

    def _cvta(self, each):
        self.write(each.operands[0], self.read(each.operands[1], "u64"), "u64")  # marks of memory stay

    def _ld(self, each):
        kind, (to, source) = each.types[-1], each.operands
        name, _, offset = source.strip("[]").partition("+")
        names, size = split(to.strip("{}")), TYPES[kind].itemsize
        if "param" in each.modifiers:
            given = self.passed[name]
            if given.ndim:  # of a call: bytes of every thread
                begin = int(offset or 0)
                given = np.ascontiguousarray(given[:, begin : begin + size]).view(TYPES[kind])[:, 0]
            return self.write(to, given, kind)
        at = self.address(source)
        for k, each_name in enumerate(names):
            self.write(each_name, self.memory.load(at + np.uint64(k * size), TYPES[kind], self.mask), kind)

    def _st(self, each):
        kind, (target, value) = each.types[-1], each.operands
        size = TYPES[kind].itemsize
        if "param" in each.modifiers:
            name, _, offset = target.strip("[]").partition("+")
            held, begin = self.passed.setdefault(name, np.zeros((self.count, 16), np.uint8)), int(offset or 0)
            new = np.ascontiguousarray(np.broadcast_to(self.read(value, kind), self.count)).view(np.uint8)
            held[self.mask, begin : begin + size] = new.reshape(self.count, size)[self.mask]
            return
        at = self.address(target)
        for k, name in enumerate(split(value.strip("{}"))):
            self.memory.store(at + np.uint64(k * size), self.read(name, kind), self.mask)

    def _call(self, each):
        results, name, given = each.operands if len(each.operands) == 3 else ("()", *each.operands)
        called = self.memory.kernel.functions[name]
        frame, inside = Frame(self.memory, called), lambda text: split(text.strip("()"))
        frame.passed = {own: self.passed[outer] for own, outer in zip(called.parameters, inside(given), strict=True)}
        frame.go(self.mask)
        for outer, own in zip(inside(results), called.results, strict=True):
            self.passed.setdefault(outer, np.zeros((self.count, 16), np.uint8))[self.mask] = frame.passed[own][self.mask]

    # Arithmetic
    def _mul(self, each):
        kind, (a, b) = each.types[-1], (self.read(x, each.types[-1]) for x in each.operands[1:3])
        self.write(each.operands[0], *self.product(each, kind, a, b))

    def product(self, each, kind, a, b):
        """(a b, kind) of the part of a product that is asked for."""
        if "wide" in each.modifiers:
            wide = kind[0] + str(2 * int(kind[1:]))
            return a.astype(TYPES[wide]) * b.astype(TYPES[wide]), wide
        if "hi" in each.modifiers:
            bits = 8 * TYPES[kind].itemsize
            whole = a.astype(object) * b.astype(object)
            return np.array([int(x) >> bits for x in np.atleast_1d(whole)]).astype(TYPES[kind]), kind
        return a * b, kind

    def _mad(self, each):
        kind, operands = each.types[-1], each.operands
        if kind in FLOATS:
            return self._fma(each)
        part, kind = self.product(each, kind, self.read(operands[1], kind), self.read(operands[2], kind))
        self.add(each, part, self.read(operands[3], kind), kind)

    def add(self, each, a, b, kind, borrow=False):
        """a ± b with the carry that the instruction reads and writes, in 32 bits."""
        takes, gives = each.op in ("addc", "subc", "madc"), "cc" in each.modifiers
        if not takes and not gives:
            return self.write(each.operands[0], a - b if borrow else a + b, kind)
        if TYPES[kind].itemsize != 4:
            raise NotImplementedError("a carry of 64 bits")
        a, b = (np.broadcast_to(x, self.count).view(np.uint32).astype(np.uint64) for x in (a, b))
        b = b + self.carry if takes else b
        total = a - b if borrow else a + b
        self.write(each.operands[0], (total & np.uint64(0xFFFFFFFF)).astype(np.uint32), "u32")
        if gives:
            self.carry[self.mask] = (total >> np.uint64(32) & np.uint64(1))[self.mask]

    def _plus(self, each, borrow):
        kind = each.types[-1]
        self.add(each, *(np.ascontiguousarray(self.read(x, kind)) for x in each.operands[1:3]), kind, borrow)

    def _add(self, each):
        self._plus(each, False)

    def _sub(self, each):
        self._plus(each, True)

    _addc, _subc, _madc = _add, _sub, _mad

    def _fma(self, each):
        kind = each.types[-1]
        a, b, c = (self.read(x, kind) for x in each.operands[1:4])
        exact = downwards(a.astype(np.float64) * b + c) if "rm" in each.modifiers else fma(a, b, c)
        self.write(each.operands[0], self.saturated(each, exact), kind)

    def saturated(self, each, value):
        return np.where(np.isnan(value), 0, np.clip(value, 0, 1)) if "sat" in each.modifiers else value

    def _div(self, each):
        kind = each.types[-1]
        if kind not in FLOATS:
            raise NotImplementedError("of integers")
        a, b = (self.read(x, kind) for x in each.operands[1:3])
        self.write(each.operands[0], a / b, kind)

    def extreme(self, each, ordered, spread):
        kind = each.types[-1]
        choose = spread if "NaN" in each.modifiers else ordered
        self.write(each.operands[0], choose(*(self.read(x, kind) for x in each.operands[1:3])), kind)

    def _min(self, each):
        self.extreme(each, np.fmin, np.minimum)

    def _max(self, each):
        self.extreme(each, np.fmax, np.maximum)

    def _copysign(self, each):
        kind = each.types[-1]
        sign, size = (self.read(x, kind) for x in each.operands[1:3])
        self.write(each.operands[0], np.copysign(size, sign), kind)

    # Comparisons and choices
    def _setp(self, each):
        kind = each.types[-1]
        rule, a, b = each.modifiers[0], *(self.read(x, kind) for x in each.operands[1:3])
        floats = kind in FLOATS
        unordered = (np.isnan(a) | np.isnan(b)) if floats else np.zeros(1, bool)
        if rule in ("num", "nan"):
            value = unordered if rule == "nan" else ~unordered
        elif floats and rule[-1] == "u":
            value = COMPARE[rule[:-1]](a, b) | unordered
        else:
            value = COMPARE[rule](a, b) & ~unordered
        if len(each.operands) == 4:
            other = self.read(each.operands[3].lstrip("!"), "pred") ^ each.operands[3].startswith("!")
            value = TWO[each.modifiers[1]](value, other)
        self.write(each.operands[0].split("|")[0], value, "pred")

    def _selp(self, each):
        kind, (to, a, b, when) = each.types[-1], each.operands
        self.write(to, np.where(self.read(when, "pred"), self.read(a, kind), self.read(b, kind)), kind)

    # Bits
    def shifted(self, each, shift):
        kind = each.types[-1]
        value, by = self.read(each.operands[1], kind), self.read(each.operands[2], "u32")
        bits = 8 * value.dtype.itemsize
        once = shift(value, np.minimum(by, bits - 1).astype(value.dtype))
        gone = once if value.dtype.kind == "i" and shift is np.right_shift else np.zeros_like(once)
        self.write(each.operands[0], np.where(by >= bits, gone, once), kind)

    def _shl(self, each):
        self.shifted(each, np.left_shift)

    def _shr(self, each):
        self.shifted(each, np.right_shift)

    def _shf(self, each):
        low, high, by = (self.read(x, "u32").astype(np.uint64) for x in each.operands[1:4])
        by = by & np.uint64(31) if "wrap" in each.modifiers else np.minimum(by, np.uint64(32))
        both = high << np.uint64(32) | low
        value = both << by >> np.uint64(32) if "l" in each.modifiers else both >> by
        self.write(each.operands[0], (value & np.uint64(0xFFFFFFFF)).astype(np.uint32), "u32")

    def _bfe(self, each):
        if each.types[-1] != "u32":
            raise NotImplementedError("only of 32 bits without sign")
        value, at, size = (self.read(x, "u32").astype(np.uint64) for x in each.operands[1:4])
        self.write(each.operands[0], (value >> at & ((np.uint64(1) << size) - np.uint64(1))).astype(np.uint32), "u32")

    def _clz(self, each):
        value, bits = self.read(each.operands[1], each.types[-1]), 8 * TYPES[each.types[-1]].itemsize
        self.write(each.operands[0], np.array([bits - int(x).bit_length() for x in value], np.uint32), "u32")

    def _prmt(self, each):
        low, high, how = (self.read(x, "u32").astype(np.uint64) for x in each.operands[1:4])
        both, total = high << np.uint64(32) | low, np.uint64(0)
        for k in range(4):
            code = how >> np.uint64(4 * k) & np.uint64(15)
            byte = both >> (code & np.uint64(7)) * np.uint64(8) & np.uint64(255)
            sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
            total = total | np.where(code & np.uint64(8), sign, byte) << np.uint64(8 * k)
        self.write(each.operands[0], total.astype(np.uint32), "u32")

    def _lop3(self, each):
        a, b, c = (self.read(x, "u32") for x in each.operands[1:4])
        table, total = int(each.operands[4], 0), np.uint32(0)
        for k in range(8):
            if table >> k & 1:
                total = total | (a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c)
        self.write(each.operands[0], total, "u32")

    def _cvt(self, each):
        to, came = each.types
        value, target = self.read(each.operands[1], came), TYPES[to]
        for modifier in each.modifiers:
            value = ROUND[modifier](value) if modifier in ROUND else value
        if target.kind in "iu" and value.dtype.kind == "f":  # beyond the range: its end; NaN: 0
            ends = np.iinfo(target)
            whole = np.nan_to_num(value.astype(np.float64))
            inside = np.clip(whole, -(2.0**62), 2.0**62).astype(np.int64).astype(target)
            value = np.where(whole <= ends.min, ends.min, np.where(whole >= ends.max, ends.max, inside))
        self.write(each.operands[0], self.saturated(each, value.astype(target)), to)

    # Between threads of a warp
    def _shfl(self, each):
        how = next(x for x in each.modifiers if x in ("bfly", "down", "up", "idx"))
        to = each.operands[0].split("|")[0]
        value = np.broadcast_to(self.read(each.operands[1], "b32"), self.count)
        by = self.read(each.operands[2], "u32").astype(np.int64)
        lane = self.memory.thread % 32
        source = np.broadcast_to({"bfly": lane ^ by, "down": lane + by, "up": lane - by, "idx": by}[how], self.count)
        inside = (source >= 0) & (source < 32)
        self.write(to, np.where(inside, value[self.memory.thread - lane + np.where(inside, source, lane)], value), "b32")

    def _elect(self, each):
        self.write(each.operands[0].split("|")[1], self.memory.thread % 32 == 0, "pred")

    def _redux(self, each):
        kind = each.types[-1]
        how = {"max": np.max, "min": np.min, "add": np.sum, "or": np.bitwise_or.reduce, "and": np.bitwise_and.reduce}
        found = how[next(x for x in each.modifiers if x in how)](self.read(each.operands[1], kind).reshape(-1, 32), axis=1)
        self.write(each.operands[0], np.repeat(found, 32), kind)

    def _vote(self, each):
        asked = np.broadcast_to(self.read(each.operands[1].lstrip("!"), "pred"), self.count) ^ each.operands[1].startswith(
            "!"
        )
        here, warps = self.mask.reshape(-1, 32), (asked & self.mask).reshape(-1, 32)
        if "ballot" in each.modifiers:
            words = (warps.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(axis=1).astype(np.uint32)
            return self.write(each.operands[0], np.repeat(words, 32), "b32")
        found = warps.any(axis=1) if "any" in each.modifiers else (warps | ~here).all(axis=1)
        self.write(each.operands[0], np.repeat(found, 32), "pred")
