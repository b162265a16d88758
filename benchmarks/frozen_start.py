"""How fast the frozen program starts: process start to window on an X display, and ``--version``.

    python -m benchmarks.frozen_start [--program dist/fathom/fathom] [--rounds 7] [--json]

The window is seen from outside, by a client of the same X server (Xvfb, no window manager): its
top-level window is viewable. Beside it the same start from the checkout. Warm: the first start of
each is not counted. The issue's bound is 0.8 s.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 60.0
_POLL_S = 0.002
_VIEWABLE = 2
_LEAST_WIDTH = 400


class _Attributes(ctypes.Structure):
    """``XWindowAttributes``: the fields up to ``map_state``, and room for the rest."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "border", "depth")),
        ("visual", ctypes.c_void_p),
        ("root", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("kind", "bit_gravity", "win_gravity", "backing")),
        *((name, ctypes.c_ulong) for name in ("planes", "pixel")),
        ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("map_installed", "map_state")),
        ("rest", ctypes.c_char * 256),
    )


class Display:
    """A client of an X server that looks for top-level windows."""

    def __init__(self, name: str) -> None:
        self._x11 = ctypes.CDLL("libX11.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XDefaultRootWindow.restype = ctypes.c_ulong
        # A window may be gone when it is asked about; by default that would end the process.
        self._handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(
            lambda _display, _event: 0
        )
        self._x11.XSetErrorHandler(self._handler)
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(name.encode()))
        if not self._display:
            raise OSError(f"no X server at {name}")
        self._root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._display))

    def has_window(self) -> bool:
        """Whether a window of a program is to be seen."""
        root, parent, children = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_void_p()
        count = ctypes.c_uint()
        found = (root, parent, children, count)
        self._x11.XQueryTree(self._display, self._root, *map(ctypes.byref, found))
        if not children:
            return False
        windows = ctypes.cast(children, ctypes.POINTER(ctypes.c_ulong))[: count.value]
        self._x11.XFree(children)
        return any(self._is_shown(window) for window in windows)

    def _is_shown(self, window: int) -> bool:
        found = _Attributes()
        shown = self._x11.XGetWindowAttributes(
            self._display, ctypes.c_ulong(window), ctypes.byref(found)
        )
        return bool(shown) and found.map_state == _VIEWABLE and found.width >= _LEAST_WIDTH

    def close(self) -> None:
        """Leave the server."""
        self._x11.XCloseDisplay(self._display)


@contextlib.contextmanager
def xvfb() -> Iterator[str]:
    """Run an X server without a screen; yields its name."""
    reading, writing = os.pipe()
    # -noreset: otherwise the server starts anew when its last client leaves.
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-noreset"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, pass_fds=(writing,), stdout=quiet, stderr=quiet) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                yield f":{pipe.readline().strip()}"
        finally:
            server.terminate()


def window_s(command: Sequence[str], display: str, base_dir: Path) -> float:
    """Return the seconds from process start to window; the program is ended politely.

    Raises:
        RuntimeError: the program ended before, or showed nothing in time.
    """
    client = Display(display)
    never = threading.Event()
    env = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
    began_s = time.perf_counter()
    process = subprocess.Popen([*command, "--basedir", str(base_dir)], env=env, cwd=ROOT)
    try:
        while not client.has_window():
            if process.poll() is not None or time.perf_counter() - began_s > LIMIT_S:
                raise RuntimeError(f"{command[0]}: no window")
            never.wait(_POLL_S)
        return time.perf_counter() - began_s
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        client.close()


def version_s(command: Sequence[str]) -> float:
    """Return how long ``--version`` takes."""
    began_s = time.perf_counter()
    subprocess.run([*command, "--version"], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began_s


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, dict[str, float]]:
    """Start everything in turn; return medians and extremes in seconds."""
    windows: dict[str, list[float]] = {name: [] for name in commands}
    versions: dict[str, list[float]] = {name: [] for name in commands}
    with xvfb() as display, tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            for name, command in commands.items():
                windows[name].append(window_s(command, display, Path(folder, name)))
                versions[name].append(version_s(command))
    return {
        name: {
            "window_s": statistics.median(windows[name][1:]),
            "window_least_s": min(windows[name][1:]),
            "window_most_s": max(windows[name][1:]),
            "version_s": statistics.median(versions[name][1:]),
        }
        for name in commands
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "dist" / "fathom" / "fathom")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.program.is_file() or shutil.which("Xvfb") is None:
        print("Not measured: run 'make package' first, and install Xvfb.")
        return 0
    commands = {
        "frozen": [str(options.program.resolve())],
        "checkout": [sys.executable, "-P", "-m", "app"],
    }
    result = measure(commands, options.rounds)
    if options.json:
        print(json.dumps(result))
        return 0
    for name, found in result.items():
        print(
            f"{name:9} window after {found['window_s']:.2f} s "
            f"({found['window_least_s']:.2f} to {found['window_most_s']:.2f}), "
            f"--version {found['version_s']:.2f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
