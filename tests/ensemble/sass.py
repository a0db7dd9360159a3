"""Registers and instructions of GPU kernels, from their machine code (SASS) as NVIDIA's assembler makes it of PTX."""

import dataclasses
import pathlib
import re
import subprocess
import sysconfig
import tempfile

import pytest

LINE = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")
SHORT = 8  # instructions: loops of fewer are no time loops


def tools():
    """The folder of ptxas and nvdisasm; skips the test where their wheels are not installed."""
    found = sorted(pathlib.Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/bin/ptxas"))
    if not found or not found[0].with_name("nvdisasm").exists():
        pytest.skip("nvidia-cuda-nvcc and nvidia-cuda-nvdisasm are not installed")
    return found[0].parent


@dataclasses.dataclass(frozen=True)
class Loop:
    """The time loop of a kernel: instructions per step but for slow paths that are usually jumped over, those on doubles,
    special functions, and accesses of memory; and the kernel's registers and bytes of spills."""

    instructions: int
    doubles: int
    special: int
    memory: int
    registers: int
    spills: int


def time_loop(ptx):
    """The longest loop of the one kernel in a PTX module."""
    folder = tools()
    with tempfile.TemporaryDirectory() as scratch:
        source, binary = pathlib.Path(scratch, "k.ptx"), pathlib.Path(scratch, "k.cubin")
        source.write_text(ptx)
        command = [folder / "ptxas", "-arch=sm_90a", "-v", source, "-o", binary]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        text = subprocess.run([folder / "nvdisasm", "-c", binary], capture_output=True, text=True, check=True).stdout
    body, labels, pending = [], {}, []
    for line in text.splitlines():
        if mark := re.match(r"\s*(\.L_x?_?\w+):", line):
            pending.append(mark[1])
        elif match := LINE.match(line):
            labels |= dict.fromkeys(pending, int(match[1], 16))
            pending = []
            body.append((int(match[1], 16), match[2], match[3], match[4]))
    to = lambda operands: labels.get(mark[1]) if (mark := re.search(r"`\((\.L_x?_?\w+)\)", operands)) else None
    loops = [(to(rest), at) for at, _, op, rest in body if op.startswith("BRA") and to(rest) is not None and to(rest) < at]
    first, last = max(loops, key=lambda each: each[1] - each[0])
    inside = [each for each in body if first <= each[0] <= last]
    skipped = set()
    for at, guard, op, rest in inside:
        if guard and op.startswith("BRA") and (end := to(rest)) and at < end <= last:
            between = [each for each in inside if at < each[0] < end]
            skipped |= {each[0] for each in between} if any(each[2].startswith("CALL") for each in between) else set()
    counted = [op for at, _, op, _ in inside if at not in skipped]
    assert len(counted) > SHORT
    many = lambda pattern: sum(bool(re.match(pattern, op)) for op in counted)
    number = lambda pattern: sum(int(each) for each in re.findall(pattern, said))
    return Loop(
        len(counted),
        many(r"D(FMA|MUL|ADD|SETP|MNMX)"),
        many(r"MUFU|F2F|F2I|I2F|FRND"),
        many(r"LD|ST|ATOM|RED"),
        max(int(each) for each in re.findall(r"Used (\d+) registers", said)),
        number(r"(\d+) bytes spill (?:stores|loads)"),
    )
