"""Whether Qt can run on this processor, asked before Qt is loaded: it would end the process.

Qt 6 is built for processors with SSE4.2 and POPCNT (x86-64-v2: Intel since 2008, AMD since 2011).
On an older one it ends the process, by an abort or by an instruction that is not there, before
Python could say a word. Python, the command line and the engine run on every x86-64 processor.
No Qt here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# As Linux names them -> as people do.
_NEEDED = {
    "pni": "SSE3",
    "ssse3": "SSSE3",
    "sse4_1": "SSE4.1",
    "sse4_2": "SSE4.2",
    "popcnt": "POPCNT",
}
# PF_... of winnt.h; POPCNT has no number there, and no processor has SSE4.2 without it.
_WINDOWS_NUMBERS = {"SSE3": 13, "SSSE3": 36, "SSE4.1": 37, "SSE4.2": 38}
# Windows 10 2004: older ones do not know these numbers and say no to all.
_WINDOWS_BUILD = 19041
# The first processor of the list; the whole is some MB on large machines.
_FIRST_BYTES = 8192
_TRIAL_LIMIT_S = 30.0


def missing_for_qt(root: Path = Path("/")) -> tuple[str, ...]:
    """Return what Qt needs and this processor lacks, such as ``SSE4.2``; nothing if unknown."""
    if sys.platform == "win32":
        return _missing_on_windows()
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return ()
    flags = _first_flags(root / "proc/cpuinfo")
    return tuple(name for flag, name in _NEEDED.items() if flag not in flags) if flags else ()


def is_virtual(root: Path = Path("/")) -> bool:
    """Whether this is a virtual machine, as far as Linux knows."""
    return sys.platform.startswith("linux") and "hypervisor" in _first_flags(root / "proc/cpuinfo")


def too_old(missing: tuple[str, ...]) -> str:
    """Return what the user is told, in two or three sentences."""
    listed = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
    # A virtual machine may have been given a plainer processor than the real one.
    virtual = is_virtual()
    whose = "virtual machine" if virtual else "computer"
    more = "If the real processor has that, let the machine have it too. " if virtual else ""
    return (
        f"This {whose}'s processor is too old for Fathom's window: it lacks {listed}. {more}"
        "The command line works: 'fathom run demo --prompt TEXT'."
    )


def qt_runs(command: list[str], environment: dict[str, str]) -> bool:
    """Try Qt out in a child; a Qt that somebody built for older processors runs all the same.

    So does, for all that is known, one that takes its time: what Qt lacks ends it at once.

    Args:
        command: paints something with Qt and returns 0.
    """
    env = {**environment, "QT_QPA_PLATFORM": "offscreen"}
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, env=env, stdin=quiet, stdout=quiet, stderr=quiet,
            timeout=_TRIAL_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
    return done.returncode == 0


def _first_flags(file: Path) -> frozenset[str]:
    try:
        with file.open("rb") as opened:
            text = opened.read(_FIRST_BYTES).decode("ascii", "replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def _missing_on_windows() -> tuple[str, ...]:
    if sys.platform == "win32":
        import ctypes

        if sys.getwindowsversion().build >= _WINDOWS_BUILD and "AMD64" in sys.version:
            has = ctypes.windll.kernel32.IsProcessorFeaturePresent
            return tuple(name for name, number in _WINDOWS_NUMBERS.items() if not has(number))
    return ()
