"""What Windows lets a process take of memory, time and children: a job object. No Qt here.

https://learn.microsoft.com/windows/win32/procthread/job-objects
"""

from __future__ import annotations

import ctypes
import sys

# winnt.h
_EXTENDED_LIMIT_INFORMATION = 9
_LIMIT_PROCESS_TIME = 0x2
_LIMIT_ACTIVE_PROCESS = 0x8
_LIMIT_PROCESS_MEMORY = 0x100
_TICKS_PER_S = 10_000_000


class _Basic(ctypes.Structure):
    _fields_ = (
        ("process_user_time_ticks", ctypes.c_int64),
        ("job_user_time_ticks", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set_bytes", ctypes.c_size_t),
        ("most_working_set_bytes", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class JobLimits(ctypes.Structure):
    """``JOBOBJECT_EXTENDED_LIMIT_INFORMATION``, as Windows lays it out."""

    _fields_ = (
        ("basic", _Basic),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory_bytes", ctypes.c_size_t),
        ("job_memory_bytes", ctypes.c_size_t),
        ("peak_process_memory_bytes", ctypes.c_size_t),
        ("peak_job_memory_bytes", ctypes.c_size_t),
    )


def job_limits(memory_bytes: int, cpu_s: int) -> JobLimits:
    """Return limits for one process that may have no children."""
    limits = JobLimits()
    limits.basic.flags = _LIMIT_PROCESS_MEMORY | _LIMIT_PROCESS_TIME | _LIMIT_ACTIVE_PROCESS
    limits.basic.process_user_time_ticks = cpu_s * _TICKS_PER_S
    limits.basic.active_processes = 1
    limits.process_memory_bytes = memory_bytes
    return limits


def bound_this_process(memory_bytes: int, cpu_s: int) -> None:
    """Put this process into a job of its own, for the rest of its life; nothing elsewhere.

    Raises:
        OSError: Windows refuses.
    """
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.SetInformationJobObject.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint32,
        ]
        kernel.AssignProcessToJobObject.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        # Never closed: the job lives as long as the process.
        job = kernel.CreateJobObjectW(None, None)
        limits = job_limits(memory_bytes, cpu_s)
        done = (
            job
            and kernel.SetInformationJobObject(
                job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
            )
            and kernel.AssignProcessToJobObject(job, kernel.GetCurrentProcess())
        )
        if not done:
            raise ctypes.WinError(ctypes.get_last_error())
