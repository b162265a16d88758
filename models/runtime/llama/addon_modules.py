"""Loads add-ons' modules into the engine child: tried out first, so that none ends it. No Qt here.

A module is foreign code with a driver below it. Whether it fits is read from its manifest, whether
there is a driver is asked before it is opened, and then a copy of this process opens it first: what
crashes or hangs there is not opened here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
from pathlib import Path

from models.addons.installed import Addon, find_addons, host_here, program_addons
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.ggml_abi import API_VERSION, Registry
from models.runtime.protocol import AddonState

# A driver that wakes eight GPUs takes seconds; the child has 30 s until it has to say hello.
TRIAL_LIMIT_S = 15.0
_DRIVERS = {"win32": "nvcuda.dll"}
_TRIED_OK = b"ok"
# For a reason of a few words from the trial.
_REASON_BYTES = 2000


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
    for addon in found:
        problem = _load(library, addon, in_use)
        if not problem:
            in_use.add(addon.name)
        version = addon.manifest.version if addon.manifest else ""
        states.append(AddonState(addon.name, addon.title, version, problem))
    return tuple(states)


def _load(library: LlamaLibrary, addon: Addon, in_use: set[str]) -> str:
    """Load an add-on; return why it was not, empty when it was."""
    manifest = addon.manifest
    if addon.problem or manifest is None:
        return addon.problem
    if addon.name in in_use:
        return "The one that came with Fathom is used."
    problem = driver_problem(manifest.cuda) if manifest.cuda else ""
    path = addon.folder / manifest.module
    problem = problem or _trial(path)
    if problem:
        return problem
    before = library.ggml.dev_count()
    if not library.ggml.load_one(os.fsencode(path)):
        return "llama.cpp does not take it."
    if library.ggml.dev_count() == before:
        return "It finds no device on this machine."
    return ""


def driver_problem(needed: str, name: str = _DRIVERS.get(sys.platform, "libcuda.so.1")) -> str:
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


def _trial(path: Path) -> str:
    """Open a module in a copy of this process; return why it must not be opened here."""
    if sys.platform == "win32":
        return _opened(path)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_trial(path, writable)
    os.close(writable)
    said = b""
    with open(readable, "rb", buffering=0) as answers:  # noqa: PTH123 - a descriptor
        if select.select([answers], [], [], TRIAL_LIMIT_S)[0]:
            said = answers.read(_REASON_BYTES)
        else:
            os.kill(child, signal.SIGKILL)
            said = f"It gives no answer within {TRIAL_LIMIT_S:g} s.".encode()
    _, status = os.waitpid(child, 0)
    if said == _TRIED_OK:
        return ""
    if said:
        return said.decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"It would end the engine ({how}). Remove it, or update the driver."


def _be_the_trial(path: Path, writable: int) -> None:
    """Open the module, answer through the pipe, and end; never returns."""
    with contextlib.suppress(BaseException):
        if sys.platform == "linux":
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        problem = _opened(path)
        os.write(writable, problem.encode()[:_REASON_BYTES] or _TRIED_OK)
    # Nothing of the parent's is written twice, and no library is taken down.
    os._exit(0)


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
