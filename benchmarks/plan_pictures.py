"""Pictures of the plan page for docs/images: the whole window, a 671B header, a described machine.

    python -m benchmarks.plan_pictures [--out docs/images]
        [--machine benchmarks/machines/server-4gpu-512gb.json] [--checkpoint v3-q4km]

The checkpoint is a sparse file of true size with nothing but its header; everything that is shown
is planned and checked with llama.cpp as the program does it. Nothing of the user's is touched.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from app.actions.plan_status import PlanState  # noqa: E402
from app.application import Core, Fathom, GuiOptions  # noqa: E402
from app.views.main_window import PLAN  # noqa: E402
from helpers.true_scale import true_scale  # noqa: E402
from models.hardware.readouts import (  # noqa: E402
    CpuReadout,
    GpuReadout,
    HardwareSnapshot,
    RamReadout,
)
from models.hub.hub import Hub  # noqa: E402
from models.paths import user_paths  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.machine_file import machine_from_json  # noqa: E402
from models.planning.service import Planning  # noqa: E402

SIZE = (1280, 840)
NAMES = {"v3-q4km": "DeepSeek-V3-0324-Q4_K_M"}
WAIT_S = 60.0


def snapshot(machine: Machine) -> HardwareSnapshot:
    """Return what the status bar would show on the described machine."""
    source = "described"
    gpus = tuple(
        GpuReadout(
            name=gpu.name,
            vendor="",
            index=number,
            total_bytes=gpu.total_bytes,
            used_bytes=gpu.total_bytes - gpu.free_bytes,
            load_percent=None,
            temperature_c=None,
            power_w=None,
            source=source,
        )
        for number, gpu in enumerate(machine.gpus)
    )
    ram = machine.ram
    used = ram.total_bytes - ram.available_bytes
    return HardwareSnapshot(
        gpus,
        RamReadout(ram.total_bytes, used, ram.available_bytes, source),
        CpuReadout(None, machine.cpu.cores, machine.cpu.cores, "", (), source),
        time.monotonic(),
    )


def wait(app: QApplication, condition: Callable[[], bool]) -> None:
    """Run the event loop until something is true."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        if time.monotonic() > deadline_s:
            raise SystemExit("It takes too long.")


def take(app: QApplication, core: Core, machine: Machine, path: Path, out: Path) -> None:
    """Open the window on the plan of a file and save it in both themes."""
    planning = Planning(
        library=core.library,
        hub=Hub(is_offline=True),
        read_machine=lambda _path: machine,
        work_dir=core.paths.cache_dir / "dry-runs",
    )
    program = Fathom(app, core, GuiOptions(), make_planning=lambda: planning)
    program.start()
    program.window.resize(*SIZE)
    loader, plan = program.loader, program.planning.plan
    wait(app, lambda: any(entry.path == path for entry in loader.entries))
    plan.choose_entry(next(entry for entry in loader.entries if entry.path == path))
    program.window.show_page(PLAN)
    wait(app, lambda: plan.status.state is PlanState.EXACT)
    core.telemetry.sampled.disconnect(program.status_bar.set_hardware)
    program.status_bar.set_hardware(snapshot(machine))
    # Nobody has pressed a key yet.
    program.window.setFocus()
    for theme in ("light", "dark"):
        program.appearance.choose(theme)
        settled_s = time.monotonic() + 0.5
        wait(app, lambda settled_s=settled_s: time.monotonic() > settled_s)  # type: ignore[misc]
        program.window.grab().save(str(out / f"plan-{theme}.png"))
    QTimer.singleShot(0, program.window, program.window.close)
    app.exec()
    program.finish()


def main() -> int:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "benchmarks" / "machines" / "server-4gpu-512gb.json"
    parser.add_argument("--machine", type=Path, default=default)
    parser.add_argument("--checkpoint", default="v3-q4km")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    machine = machine_from_json(options.machine.read_text(encoding="utf-8"))
    # As it looks to whoever sits before that machine.
    machine = dataclasses.replace(machine, is_described=False)
    with tempfile.TemporaryDirectory() as folder:
        paths = user_paths(Path(folder))
        paths.create()
        name = NAMES.get(options.checkpoint, options.checkpoint)
        path = paths.models_dir / f"{name}.gguf"
        whole = true_scale(options.checkpoint).files[0]
        with path.open("wb") as file:
            file.write(whole.header)
            file.truncate(whole.size_bytes)
        app = QApplication(["fathom"])
        take(app, Core(paths), machine, path, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
