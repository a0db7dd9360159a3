"""The interpreter of PTX that the tests of the GPU path rest on, against numbers known beforehand."""

from fractions import Fraction

import numpy as np
import ptx
import pytest

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
PLACE = """
    ld.param.b64 %rd1, [p_0];
    ld.param.b64 %rd2, [p_1];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mad.lo.s32 %r3, %r2, 64, %r1;
    mul.wide.u32 %rd3, %r3, 8;
    add.s64 %rd1, %rd1, %rd3;
    add.s64 %rd2, %rd2, %rd3;
    ld.global.b64 %rd4, [%rd1];
"""
REGISTERS = ".reg .b32 %r<30>;\n.reg .b64 %rd<30>;\n.reg .pred %p<5>;\n"


def run(body, x, before="", dtype=None):
    """What a kernel of 64 threads a block makes of `x`: each thread has its own number in %rd4 and leaves one in %rd5."""
    text = (
        f"{HEAD}{before}.visible .entry k(\n.param .u64 p_0,\n.param .u64 p_1\n)\n.maxntid 64, 1, 1\n{{\n{REGISTERS}{PLACE}"
    )
    kernel = ptx.Kernel(text + body + "\nst.global.b64 [%rd2], %rd5;\nret;\n}\n")
    out = np.zeros(x.shape, dtype or x.dtype)
    kernel.run(x.size // 64, 64, [x, out])
    return out


def numbers(count=128):
    return np.random.default_rng(1).normal(size=count)


def test_loops_end_thread_by_thread_and_barriers_wait():
    """The number of times that x can be halved until it is below 1; the code that threads meet at lies before a detour."""
    body = """
    mov.b64 %rd5, 0d0000000000000000;
    bra.uni $L2;
$L1:
    mul.f64 %rd4, %rd4, 0d3FE0000000000000;
    add.f64 %rd5, %rd5, 0d3FF0000000000000;
$L2:
    bar.sync 0;
    setp.ge.f64 %p1, %rd4, 0d3FF0000000000000;
    selp.b32 %r4, 1, 0, %p1;
    shfl.sync.bfly.b32 %r5, %r4, 16, 31, -1;
    max.s32 %r4, %r4, %r5;
    shfl.sync.bfly.b32 %r5, %r4, 8, 31, -1;
    max.s32 %r4, %r4, %r5;
    shfl.sync.bfly.b32 %r5, %r4, 4, 31, -1;
    max.s32 %r4, %r4, %r5;
    shfl.sync.bfly.b32 %r5, %r4, 2, 31, -1;
    max.s32 %r4, %r4, %r5;
    shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1;
    max.s32 %r4, %r4, %r5;
    setp.eq.s32 %p2, %r4, 0;
    @%p2 bra $L4;
    @!%p1 bra $L3;
    bra.uni $L1;
$L3:
    mov.b32 %r9, 0;
    bra.uni $L2;
$L4:
    mov.b32 %r9, 1;
"""
    x = 2.0 ** np.random.default_rng(0).uniform(-2, 30, 128)
    np.testing.assert_array_equal(run(body, x), np.where(x < 1, 0, np.floor(np.log2(x)) + 1))


def test_multiplications_and_additions_round_once():
    """x · x − (x · x rounded), the error of the product."""
    x = numbers()
    body = "mul.rn.f64 %rd6, %rd4, %rd4;\nneg.f64 %rd6, %rd6;\nfma.rn.f64 %rd5, %rd4, %rd4, %rd6;"
    exact = [float(Fraction(each) ** 2 - Fraction(each * each)) for each in x.tolist()]
    np.testing.assert_array_equal(run(body, x), exact)


def test_approximations_of_doubles_are_coarse():
    x = np.abs(numbers()) + 0.1
    found = run("rcp.approx.ftz.f64 %rd5, %rd4;", x)
    assert 1e-8 < np.max(np.abs(found * x - 1)) < 1e-6
    np.testing.assert_array_equal(run("rcp.rn.f64 %rd5, %rd4;", x), 1 / x)


def test_products_of_words_carry():
    """The product of 64-bit numbers out of words of 32 bits."""
    x = np.random.default_rng(2).integers(0, 2**64, 64, np.uint64)
    body = """
    mov.b64 {%r4, %r5}, %rd4;
    mov.b32 %r6, -1640531527;
    mul.lo.u32 %r7, %r4, %r6;
    mul.hi.u32 %r8, %r4, %r6;
    mad.lo.cc.u32 %r9, %r5, %r6, %r8;
    addc.u32 %r10, 7, 0;
    mov.b64 %rd5, {%r7, %r9};
"""
    expected = [int(each) * (2**32 - 1640531527) % 2**64 for each in x]
    np.testing.assert_array_equal(run(body, x), np.array(expected, np.uint64))


def test_conversions_keep_to_their_range():
    x = np.array([0.5, 1.5, 2.5, -0.5, -2.5, 1e12, -1e12, np.nan] * 8)
    expected = [0, 2, 2, 0, -2, 2**31 - 1, -(2**31), 0] * 8
    found = run("cvt.rni.s32.f64 %r4, %rd4;\ncvt.rn.f64.s32 %rd5, %r4;", x)
    np.testing.assert_array_equal(found, expected)
    whole = run("cvt.rzi.s32.f64 %r4, %rd4;\ncvt.rn.f64.u32 %rd5, %r4;", x)  # bits without sign
    np.testing.assert_array_equal(whole[:5], [0, 1, 2, 0, 2**32 - 2])


def test_functions_tables_and_memory_of_threads():
    before = """
.global .align 16 .b8 table[16] = {0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 64};
.func (.param .b64 func_retval0) plus(
    .param .b64 plus_param_0
)
{
    .local .align 8 .b8 __local_depot0[16];
    .reg .b64 %SPL;
    .reg .b64 %rd<9>;
    mov.b64 %SPL, __local_depot0;
    ld.param.b64 %rd1, [plus_param_0];
    st.local.b64 [%SPL+8], %rd1;
    ld.local.b64 %rd2, [%SPL+8];
    mov.b64 %rd3, table;
    ld.global.nc.v2.b64 {%rd4, %rd5}, [%rd3];
    add.f64 %rd6, %rd2, %rd4;
    mul.f64 %rd6, %rd6, %rd5;
    st.param.b64 [func_retval0], %rd6;
    ret;
}
"""
    body = """
    { // callseq 0
    .param .b64 param0;
    .param .b64 retval0;
    st.param.b64 [param0], %rd4;
    call.uni (retval0), plus, (param0);
    ld.param.b64 %rd5, [retval0];
    } // callseq 0
"""
    x = numbers(64)
    np.testing.assert_array_equal(run(body, x, before), 2 * (x + 1))


def test_what_is_wrong_or_unknown_is_said(monkeypatch):
    monkeypatch.setattr(ptx, "LONGEST", 1000)
    with pytest.raises(IndexError, match="k reaches beyond its buffers"):
        run("add.s64 %rd2, %rd2, 1024;\nmov.b64 %rd5, %rd4;", numbers(64))
    with pytest.raises(NotImplementedError, match=r"wgmma\.fence"):
        run("wgmma.fence;\nmov.b64 %rd5, %rd4;", numbers(64))
    with pytest.raises(TimeoutError, match="goes on and on"):
        run("$L1:\nbra.uni $L1;\nmov.b64 %rd5, %rd4;", numbers(64))
