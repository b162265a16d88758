"""How long the window keeps its event loop waiting while the catalogue is judged.

    python -m benchmarks.judging_latency [--interval-ms 5 1 0.2] [--runs 3] [--json]

The real Discover page with the whole catalogue, planned for a described machine with one GPU; it
is scrolled and painted sixty times a second meanwhile. Measured is how long an event waits that
another thread posts every 5 ms, and how long a paint of the page takes: while nothing is judged,
while a child judges (as the program does it), and while a thread of this process does, for several
intervals after which Python lets another thread run (``sys.setswitchinterval``). The last columns
are how long judging everything takes, and the processor time of this process's other threads
meanwhile: what the main thread shares the interpreter with, whatever else the machine does. p50,
p95, p99 and max in ms. Compare rows of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QTimer  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from app.actions.discover import Discover  # noqa: E402
from app.garbage import MainThreadGarbage  # noqa: E402
from app.tasks import TaskRunner  # noqa: E402
from app.theme import Appearance, load_fonts  # noqa: E402
from app.views.discover_view import DiscoverView  # noqa: E402
from benchmarks.gui_latency import POST_INTERVAL_S, Posted, Probe, Receiver  # noqa: E402
from helpers.discover_parts import discover_parts, gpu_machine  # noqa: E402
from models.catalog.loader import load_catalog  # noqa: E402
from models.hub.hub import Hub  # noqa: E402
from models.planning.planner_children import PlannerChildren  # noqa: E402

FRAME_MS = 16
# As app/tasks.py sets it.
INTERVAL_MS = 0.2
IDLE_S = 2.0
WAIT_S = 60.0


class Watch:
    """Posts events, scrolls and paints a view, and measures both while it is told to."""

    def __init__(self, view: DiscoverView) -> None:
        self._view = view
        self.posted, self.painted = Probe(), Probe()
        self._receiver = Receiver(self.posted)
        self._ended = threading.Event()
        self._poster = threading.Thread(target=self._post, daemon=True)
        self._timer = QTimer(interval=FRAME_MS)
        self._timer.timeout.connect(self._paint)
        self._poster.start()
        self._timer.start()
        self._others_s = _others_s()

    def end(self) -> dict[str, Any]:
        """Stop and return what was seen."""
        self._ended.set()
        self._poster.join()
        self._timer.stop()
        QCoreApplication.processEvents()
        return {
            "event": self.posted.summary(),
            "paint": self.painted.summary(),
            "others_s": round(_others_s() - self._others_s, 2),
        }

    def _post(self) -> None:
        while not self._ended.wait(POST_INTERVAL_S):
            QCoreApplication.postEvent(self._receiver, Posted())

    def _paint(self) -> None:
        began_s = time.perf_counter()
        bar = self._view.column.verticalScrollBar()
        bar.setValue((bar.value() + 24) % max(bar.maximum(), 1))
        self._view.repaint()
        self.painted.values_ms.append((time.perf_counter() - began_s) * 1000)


def _others_s() -> float:
    """Return the processor time of all threads but this one, in s."""
    return time.process_time() - time.thread_time()


def wait(app: QApplication, condition: Callable[[], bool]) -> None:
    """Run the event loop until something is true."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        app.processEvents()
        time.sleep(0.0005)
        if time.monotonic() > deadline_s:
            raise SystemExit("It takes too long.")


def measure(
    app: QApplication, interval_s: float, *, judges: bool, in_child: bool = False
) -> dict[str, Any]:
    """Open the page on a catalogue that is judged now, or was before."""
    runner = TaskRunner()
    sys.setswitchinterval(interval_s)
    children = PlannerChildren()
    with tempfile.TemporaryDirectory() as folder:
        parts = discover_parts(
            Path(folder),
            Hub(is_offline=True),
            gpu_machine(),
            families=load_catalog,
            children=children if in_child or not judges else None,
        )
        discover = Discover(parts, runner)
        view = DiscoverView(discover)
        view.resize(1200, 800)
        if not judges:
            discover.start()
            wait(app, lambda: bool(discover.cards) and not discover.is_judging)
        view.show()
        wait(app, lambda: len(view.families._cards) == len(discover.cards) > 0)
        began_s = time.monotonic()
        watch = Watch(view)
        if judges:
            wait(app, lambda: not discover.is_judging)
        else:
            wait(app, lambda: time.monotonic() - began_s > IDLE_S)
        seen = watch.end() | {"took_s": round(time.monotonic() - began_s, 2)}
        discover.stop()
        view.close()
        view.deleteLater()
        children.close()
        runner.shutdown()
    return seen


def line(name: str, seen: dict[str, Any]) -> str:
    """Return one row of the table."""
    figures = [
        f"{seen[what][key]:7.1f}"
        for what in ("event", "paint")
        for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")
    ]
    return f"{name:>12}" + "".join(figures) + f"{seen['took_s']:8.1f} s{seen['others_s']:8.2f} s"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interval-ms", type=float, nargs="+", default=[INTERVAL_MS])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    app = QApplication(["fathom"])
    load_fonts()
    appearance = Appearance(app)
    appearance.choose("light")
    # As in the program: no thread but the main one looks for garbage.
    garbage = MainThreadGarbage()
    garbage.spare_what_is_there()
    results = []
    for run in range(options.runs):
        interval_s = INTERVAL_MS / 1000
        results.append({"run": run, "where": "idle"} | measure(app, interval_s, judges=False))
        in_child = measure(app, interval_s, judges=True, in_child=True)
        results.append({"run": run, "where": "child"} | in_child)
        for interval_ms in options.interval_ms:
            seen = measure(app, interval_ms / 1000, judges=True)
            results.append({"run": run, "where": f"{interval_ms:g} ms"} | seen)
    garbage.stop()
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
        return 0
    sys.stdout.write(
        "                an event waits (ms)         a paint takes (ms)\n"
        "     judging    p50    p95    p99    max    p50    p95    p99    max    judging   others\n"
    )
    for seen in results:
        sys.stdout.write(line(seen["where"], seen) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
