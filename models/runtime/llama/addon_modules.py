"""Loads add-ons' modules into the engine child: tried out first, so that none ends it. No Qt here.

A module is foreign code with a driver below it. Whether it fits is read from its manifest; then a
copy of this process asks the driver and opens the module: what crashes or hangs there is not opened
here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

from models.addons.installed import Addon, find_addons, host_here, program_addons
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.cuda_age import hide_too_old
from models.runtime.llama.ggml_abi import API_VERSION, Registry
from models.runtime.protocol import AddonState

# Of all together. A driver that wakes eight GPUs takes seconds; the child has 30 s until it has to
# say hello.
TRIAL_LIMIT_S = 15.0
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_TRIED_OK = b"ok"
# For a reason of a few words from the trial.
_REASON_BYTES = 2000
_REAP_LIMIT_S = 2.0
_REAP_PERIOD_S = 0.001


def load_addons(library: LlamaLibrary, user_folder: Path | None) -> tuple[AddonState, ...]:
    """Load every add-on that fits, and say of each that is there how it stands.

    Args:
        library: started.
        user_folder: ``addons`` among the user's data.
    """
    host = host_here(library.ggml.version())
    found = find_addons(user_folder, host, program_folder=program_addons())
    states: list[AddonState] = []
    in_use: set[str] = set()
    # One limit for all: two that hang must not cost the time in which the child has to say hello.
    end_s = time.monotonic() + TRIAL_LIMIT_S
    for addon in found:
        try:
            problem = _load(library, addon, in_use, end_s)
        except OSError as error:
            # No process or pipe to be had for the trial, or (on Windows) a fault in the module.
            problem = f"It cannot be tried out ({error.strerror or error})."
        if not problem:
            in_use.add(addon.name)
        version = addon.manifest.version if addon.manifest else ""
        states.append(AddonState(addon.name, addon.title, version, problem))
    return tuple(states)


def _load(library: LlamaLibrary, addon: Addon, in_use: set[str], end_s: float) -> str:
    """Load an add-on; return why it was not, empty when it was."""
    manifest = addon.manifest
    if addon.problem or manifest is None:
        return addon.problem
    if addon.name in in_use:
        return "The one that came with Fathom is used."
    path = addon.folder / manifest.module
    if problem := _trial(path, manifest.cuda, end_s):
        return problem
    before = library.ggml.dev_count()
    if not library.ggml.load_one(os.fsencode(path)):
        return "llama.cpp does not take it."
    # ggml puts new ones behind those that it has.
    new = [library.ggml.dev_get(index) for index in range(before, library.ggml.dev_count())]
    if not new:
        return "It finds no device on this machine."
    return hide_too_old(library, new, _DRIVER) if manifest.cuda else ""


def driver_problem(needed: str, name: str = _DRIVER) -> str:
    """Return what is wrong with the NVIDIA driver, in a sentence; empty when it will do.

    Args:
        needed: the lowest CUDA version that it has to speak, such as ``13.0``.
        name: of the driver's library.
    """
    try:
        driver = ctypes.CDLL(name)
        number = ctypes.c_int()
        # Asks no GPU and starts nothing; 1000 * major + 10 * minor.
        failed = driver.cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return "There is no NVIDIA driver here."
    if failed:
        return "The NVIDIA driver does not answer."
    has = (number.value // 1000, number.value % 1000 // 10)
    major, minor = (int(part) for part in needed.split(".")[:2])
    if has < (major, minor):
        return (
            f"The NVIDIA driver is too old: it speaks CUDA {has[0]}.{has[1]}, and {needed} is "
            "needed. Update the driver."
        )
    return ""


# --- the trial ------------------------------------------------------------------------------------


def _trial(path: Path, cuda: str, end_s: float) -> str:
    """Open a module, and the driver below it, in a copy of this process.

    Args:
        path: the module.
        cuda: as ``AddonManifest.cuda``.
        end_s: until when it may take, on the monotonic clock.

    Returns:
        Why the module must not be opened here; empty when it may be.

    Raises:
        OSError: the system has no process or pipe for that.
    """
    if time.monotonic() >= end_s:
        return "It was not tried out, as another one took too long."
    if sys.platform == "win32":
        return _tried(path, cuda)
    readable, writable = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(readable)
        os.close(writable)
        raise
    if child == 0:
        _be_the_trial(path, cuda, writable)
    os.close(writable)
    with open(readable, "rb", buffering=0) as answers:  # noqa: PTH123 - a descriptor
        if select.select([answers], [], [], max(end_s - time.monotonic(), 0.0))[0]:
            said = answers.read(_REASON_BYTES)
        else:
            os.kill(child, signal.SIGKILL)
            said = b"It gives no answer in time."
    status = _reaped(child)
    if said == _TRIED_OK:
        return ""
    if said:
        return said.decode("utf-8", "replace")
    return f"It would end the engine ({_way_of_ending(status)}). Remove it, or update the driver."


def _reaped(child: int) -> int | None:
    """Return the status of a process that ends; None where the system does not let it go.

    A driver that hangs in the system keeps a process beyond SIGKILL. It is left behind, then.
    """
    end_s = time.monotonic() + _REAP_LIMIT_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(_REAP_PERIOD_S)
    return None


def _way_of_ending(status: int | None) -> str:
    if status is None:
        return "it does not end"
    code = os.waitstatus_to_exitcode(status)
    # Not all signals have names.
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _be_the_trial(path: Path, cuda: str, writable: int) -> None:
    """Open the module, answer through the pipe, and end; never returns."""
    with contextlib.suppress(BaseException):
        # Its own end, should the process that waits for it be killed meanwhile.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, TRIAL_LIMIT_S + _REAP_LIMIT_S)
        if sys.platform == "linux":
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        problem = _tried(path, cuda)
        os.write(writable, problem.encode()[:_REASON_BYTES] or _TRIED_OK)
    # Nothing of the parent's is written twice, and no library is taken down.
    os._exit(0)


def _tried(path: Path, cuda: str) -> str:
    return (driver_problem(cuda) if cuda else "") or _opened(path)


def _opened(path: Path) -> str:
    """Open a module as ggml will; return why that fails, empty when it does not.

    What ggml itself finds wrong it writes to its log as an error; here it becomes a sentence.
    """
    try:
        module = ctypes.CDLL(str(path))
        initialize = module.ggml_backend_init
    except (OSError, AttributeError) as error:
        return f"It cannot be opened here ({error})."
    score = getattr(module, "ggml_backend_score", None)
    if score is not None and score() == 0:
        return "It does not run on this processor."
    initialize.restype = ctypes.c_void_p
    registry = initialize()
    if not registry:
        return "It does not start on this machine."
    found = Registry.from_address(registry).api_version
    if found != API_VERSION:
        return f"It speaks version {found} of ggml's interface, and this is {API_VERSION}."
    return ""
