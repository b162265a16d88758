"""The limits of a process on Windows: their layout everywhere, their effect there."""

from __future__ import annotations

import ctypes
import sys

import pytest

from models.checks.windows_limits import JobLimits, bound_this_process, job_limits


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the layout of 64 bits")
def test_the_limits_lie_where_windows_reads_them() -> None:
    # Sizes and places as in winnt.h for 64 bits.
    assert ctypes.sizeof(JobLimits) == 144
    limits = bytes(job_limits(memory_bytes=0x1122334455, cpu_s=3))
    assert int.from_bytes(limits[0:8], "little") == 30_000_000
    assert int.from_bytes(limits[16:20], "little") == 0x10A
    assert int.from_bytes(limits[40:44], "little") == 1
    assert int.from_bytes(limits[112:120], "little") == 0x1122334455


@pytest.mark.skipif(sys.platform == "win32", reason="it would bound the process of the tests")
def test_elsewhere_nothing_is_bounded() -> None:
    bound_this_process(1, 1)
    assert len(bytearray(1 << 20)) == 1 << 20
