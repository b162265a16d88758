"""How long the window holds its event loop up when a page is shown for the first time, and again.

    python -m benchmarks.first_show [--runs 5] [--before FOLDER] [--json]

Every run is a process of its own with compiled modules: the real window, engine and library with
the demo checkpoint. It stands still for a few seconds after its start, as before a person's first
click; then every page is shown, one after the other, is left alone until nothing more happens, and
is shown once more after all of them. Measured is the processor time of the main thread between two
ticks of a 1 ms timer: what one turn of the event loop takes, whatever else the machine does.
``longest`` is the longest turn of a showing, ``all`` what its turns take together, in ms (the
least of the runs: what else the machine does only adds). ``standing still`` is what is done ahead
of time, from the window's first painting on. With ``--before``, another checkout is measured in
turns with this one, and ratios are printed: the same load for both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AIM_MS = 16.0
TICK_MS = 1
# Below this a turn is the tick itself.
NOISE_MS = 0.3
STILL_S = 6.0
# A showing is over when no turn took longer than a frame's tenth for so long.
CALM_S = 0.5
CALM_MS = 1.6
MOST_S = 8.0
PAGES = ("models", "discover", "downloads", "monitor", "server", "settings", "plan", "inspector")


class Turns:
    """The processor time of every turn of the event loop, while it is asked for."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self.turns_ms: list[float] = []
        self.last_busy_s = 0.0
        self._last_s = time.thread_time()
        self._timer = QTimer(interval=TICK_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def begin(self) -> None:
        """Forget what was; a call that follows belongs to the first turn."""
        self.turns_ms = []
        self.last_busy_s = time.monotonic()
        self._last_s = time.thread_time()

    def seen(self) -> dict[str, float]:
        """Return the longest turn and all together, in ms."""
        turns = [turn for turn in self.turns_ms if turn > NOISE_MS] or [0.0]
        return {"longest_ms": max(turns), "all_ms": sum(turns)}

    def _tick(self) -> None:
        now_s = time.thread_time()
        self.turns_ms.append((now_s - self._last_s) * 1000)
        self._last_s = now_s
        if self.turns_ms[-1] > CALM_MS:
            self.last_busy_s = time.monotonic()


def steps(program: Any) -> dict[str, Callable[[], None]]:
    """Return what shows each page, and what a person would have to do for it."""
    from app.views import main_window

    window = program.window

    def tab(name: str) -> None:
        window.show_page(main_window.MODELS)
        window.page(main_window.MODELS).show_tab(name)

    def inspector() -> None:
        window.show_page(main_window.CHAT)
        window.page(main_window.CHAT).toggle_inspector()

    def plan() -> None:
        entry = program.loader.entries[0]
        program.planning.plan.choose_entry(entry)
        window.show_page(main_window.PLAN)

    shows = {
        "models": partial(tab, "library"),
        "discover": partial(tab, "discover"),
        "downloads": partial(tab, "downloads"),
        "monitor": partial(window.show_page, main_window.MONITOR),
        "server": partial(window.show_page, "server"),
        "settings": partial(window.show_page, main_window.SETTINGS),
        "plan": plan,
        "inspector": inspector,
    }
    # An older checkout to compare with has no such page.
    if not hasattr(main_window, "SERVER"):
        del shows["server"]
    return shows


def one_run(base_dir: Path) -> dict[str, Any]:
    """Open the window, show everything twice, close it; in a process of its own."""
    from app import application
    from app.garbage import MainThreadGarbage

    paths = application.user_paths(base_dir)
    paths.create()
    app = application._make_app()
    program = application.Fathom(
        app, application.Core(paths), application.GuiOptions(base_dir=base_dir)
    )
    program.start()
    # As run_gui does it: otherwise a collection of Python's falls into whatever turn it likes.
    garbage = MainThreadGarbage()
    turns = Turns()
    result: dict[str, Any] = {}

    def calm(name: str, least_s: float, most_s: float = MOST_S) -> None:
        began_s = time.monotonic()
        while time.monotonic() - began_s < most_s:
            app.processEvents()
            # The loop is this one: nothing is to be missed, and no processor taken for waiting.
            time.sleep(0.0002)
            still_s = time.monotonic() - max(turns.last_busy_s, began_s)
            if still_s > CALM_S and time.monotonic() - began_s > least_s:
                break
        result[name] = turns.seen()

    # The first painting belongs to the start, which benchmarks.frozen_start measures.
    calm("start", 0.0, 1.0)
    turns.begin()
    calm("standing still", STILL_S)
    garbage.spare_what_is_there()
    shows = steps(program)
    for again in ("", " again"):
        for name in shows:
            turns.begin()
            shows[name]()
            calm(name + again, CALM_S, 20.0 if name == "discover" else MOST_S)
    program.window.close()
    app.exec()
    program.finish()
    garbage.stop()
    return result


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    """Return the longest turns and the sums of two checkouts, and what the second is of the first.

    The least of the runs of each.
    """
    lines = [f"{'':16}{'longest turn, ms':>28}{'all turns, ms':>28}"]
    for key in (f"{name}{again}" for again in ("", " again") for name in PAGES):
        if key not in before[0]:
            continue
        line = f"{key:16}"
        for what in ("longest_ms", "all_ms"):
            old, new = (min(run[key][what] for run in runs) for runs in (before, after))
            line += f"{old:9.1f} ->{new:7.1f} ({new / max(old, NOISE_MS):4.2f})"
        lines.append(line)
    return "\n".join(lines)


def report(runs: list[dict[str, Any]]) -> str:
    """Return the table for people."""
    lines = [f"{'':16}{'first show':>20}{'again':>22}", f"{'':16}" + "   longest       all" * 2]
    for name in ("standing still", *PAGES):
        cells = [
            f"{min(run[key][what] for run in runs):7.1f} ms"
            for key in (name, f"{name} again")
            if key in runs[0]
            for what in ("longest_ms", "all_ms")
        ]
        lines.append(f"{name:16}" + "".join(cells))
    lines.append(f"aim: no turn above {AIM_MS:g} ms")
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        sys.stdout.write(json.dumps(one_run(options.one)) + "\n")
        return 0
    trees = [options.before.resolve(), ROOT] if options.before else [ROOT]
    runs: list[list[dict[str, Any]]] = [[] for _ in trees]
    with tempfile.TemporaryDirectory() as folder:
        # The first one of each compiles the modules.
        for number in range(options.runs + 1):
            for tree, found in zip(trees, runs, strict=True):
                base = Path(folder) / f"run{number}-{trees.index(tree)}"
                base.mkdir(mode=0o700)
                result = started(tree, base, Path(folder) / "bytecode")
                if number:
                    found.append(result)
    if options.json:
        sys.stdout.write(json.dumps(runs[-1]) + "\n")
    elif options.before:
        sys.stdout.write(compared(*runs) + "\n")
    else:
        sys.stdout.write(report(runs[0]) + "\n")
    sys.stderr.write(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    return 0


def started(tree: Path, base: Path, bytecode: Path) -> dict[str, Any]:
    """Run a checkout's window in a process of its own, and return what was measured."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env.setdefault("QT_QPA_PLATFORM", "offscreen")
    env |= {"PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONPATH": str(tree)}
    command = [sys.executable, "-P", __file__, "--one", str(base)]
    done = subprocess.run(command, cwd=tree, env=env, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    raise SystemExit(main())
