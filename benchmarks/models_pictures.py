"""Pictures of Discover, a repository, Downloads and Library for docs/images: the whole window.

    python -m benchmarks.models_pictures [--out docs/images]
        [--machine benchmarks/machines/desktop-64gb-12gb.json]

The families are those of the catalogue and everything is planned as the program does it, for a
described machine. The hub is the one of the tests, on loopback, with a header and sizes of real
files; so are the checkpoints of the library, sparse files of true size. The downloads are
described, not made. Nothing of the user's is touched and nothing but loopback is asked.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QTimer  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from app.application import Core, Fathom, GuiOptions  # noqa: E402
from app.views.discover_view import DiscoverView  # noqa: E402
from app.views.library_view import LibraryView  # noqa: E402
from app.views.main_window import MODELS  # noqa: E402
from app.views.models_page import ModelsPage  # noqa: E402
from benchmarks.plan_pictures import SIZE, snapshot, wait  # noqa: E402
from helpers.download_samples import job_spec, job_view  # noqa: E402
from helpers.fake_hub import FakeHub, RemoteFileContent, fake_hub  # noqa: E402
from helpers.true_scale import true_scale  # noqa: E402
from models.checks.decisions import stamp_of  # noqa: E402
from models.hub.hub import Hub  # noqa: E402
from models.paths import user_paths  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.machine_file import machine_from_json  # noqa: E402
from models.planning.service import Planning  # noqa: E402
from models.transfer.events import QueueReplaced  # noqa: E402
from models.transfer.job import JobState, JobView  # noqa: E402

REPOSITORY = "bartowski/DeepSeek-R1-Distill-Qwen-14B-GGUF"
STEM = "DeepSeek-R1-Distill-Qwen-14B"
# GB, as the repository has them.
QUANTS = {
    "Q2_K": 5.77, "Q3_K_M": 7.34, "IQ4_XS": 8.19, "Q4_K_M": 8.99, "Q5_K_M": 10.5, "Q6_K": 12.1,
    "Q8_0": 15.7,
}  # fmt: skip
README = """---
license: mit
---
# DeepSeek-R1-Distill-Qwen-14B, quantized

Made with llama.cpp from DeepSeek-R1-Distill-Qwen-14B. Q4_K_M is a good place to begin.
"""
# What lies in the library: header, file name.
LIBRARY = {
    "v3-q4km": "DeepSeek-V3-0324-Q4_K_M",
    "qwen7-q4km": "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M",
    "qwen15-q4km": "DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M",
}
GB = 1_000_000_000
SETTLE_S = 0.6


def fill(hub: FakeHub) -> None:
    """Put one repository there: true sizes, the header of a model of the same make."""
    header = true_scale("qwen7-q4km").files[0].header
    for quant, size_gb in QUANTS.items():
        content = RemoteFileContent(header, round(size_gb * GB))
        # Nobody reads gigabytes for a digest.
        content._known[content.size_bytes] = f"{content.size_bytes:064x}"
        hub.add(REPOSITORY, f"{STEM}-{quant}.gguf", content)
    hub.add(REPOSITORY, "README.md", README)
    facts = hub.facts[REPOSITORY]
    facts.downloads, facts.likes, facts.card = 61_400, 187, {"license": "mit"}


def fill_library(folder: Path) -> None:
    """Put sparse files of true size there."""
    for name, title in LIBRARY.items():
        whole = true_scale(name).files[0]
        with (folder / f"{title}.gguf").open("wb") as file:
            file.write(whole.header)
            file.truncate(whole.size_bytes)


def downloads() -> tuple[JobView, ...]:
    """Return a queue as it may well be."""
    return (
        job_view(
            job_spec(1, title="DeepSeek-R1-Distill-Qwen-14B Q4_K_M", shard_bytes=8_990_000_000),
            JobState.DOWNLOADING, share=0.62, rate_bytes_s=41_300_000, eta_s=83.0,
        ),
        job_view(
            job_spec(2, title="DeepSeek-V3-0324 UD-Q2_K_XL", shards=5, shard_bytes=45 * GB),
            JobState.WAITING, share=0.21, position=1, why="The network cannot be reached.",
            waits_until_s=time.time() + 12.4,
        ),
        job_view(
            job_spec(3, title="DeepSeek-Coder-V2-Lite-Instruct Q6_K", shard_bytes=14_100_000_000),
            JobState.PAUSED, share=0.35, position=2,
        ),
        job_view(
            job_spec(4, title="DeepSeek-R1-Distill-Qwen-7B Q4_K_M", shard_bytes=4_680_000_000),
            JobState.READY, share=1.0, position=3,
        ),
    )  # fmt: skip


class Camera:
    """The window, brought to a state and grabbed."""

    def __init__(self, app: QApplication, program: Fathom, machine: Machine, out: Path) -> None:
        self._app = app
        self._program = program
        self._machine = machine
        self._out = out

    def page(self) -> ModelsPage:
        """Return the page of models."""
        page = self._program.window.page(MODELS)
        assert isinstance(page, ModelsPage)
        return page

    def grab(self, name: str) -> None:
        """Save a picture of the window."""
        self._program.status_bar.set_hardware(snapshot(self._machine))
        # Nobody has pressed a key yet.
        self._program.window.setFocus()
        settled_s = time.monotonic() + SETTLE_S
        wait(self._app, lambda: time.monotonic() > settled_s)
        self._program.window.grab().save(str(self._out / f"{name}.png"))

    def take_all(self) -> None:
        """Take Discover in both themes, then a repository, Downloads and Library."""
        program = self._program
        program.pages.show_models_tab("discover")
        view = self.page().view("discover")
        assert isinstance(view, DiscoverView)
        discover = program.fetching.discover
        assert discover is not None
        wait(self._app, lambda: bool(discover.cards) and not discover.is_judging)
        for theme in ("dark", "light"):
            program.appearance.choose(theme)
            self.grab(f"discover-{theme}")
        view.open_repository(REPOSITORY)
        look = discover.look
        wait(self._app, lambda: look.status.text is not None and not look.status.is_judging)
        self.grab("repository")
        program.fetching.bridge.listener(QueueReplaced(downloads()))
        program.pages.show_models_tab("downloads")
        self.grab("downloads")
        program.pages.show_models_tab("library")
        library = self.page().library
        wait(self._app, lambda: self._is_known(library))
        self.grab("library")

    def _is_known(self, library: LibraryView) -> bool:
        entries = self._program.loader.entries
        if not all(entry.path in library._rows for entry in entries):
            return False
        rows = [library.row(entry) for entry in entries]
        return len(rows) > len(LIBRARY) and all(row._rate.text() for row in rows)


def take(app: QApplication, core: Core, machine: Machine, hub: FakeHub, out: Path) -> None:
    """Open the window, take every picture, close it."""
    planning = Planning(
        library=core.library,
        hub=Hub(hub.endpoint),
        read_machine=lambda _path: machine,
        work_dir=core.paths.cache_dir / "dry-runs",
    )
    program = Fathom(app, core, GuiOptions(), make_planning=lambda: planning)
    program.start()
    program.window.resize(*SIZE)
    wait(app, lambda: len(program.loader.entries) > len(LIBRARY))
    now_s = time.time()
    for days, entry in enumerate(program.loader.entries):
        if not entry.is_demo:
            # These headers were made without the tokens that a check would miss.
            stamp = stamp_of(entry.path)
            assert stamp is not None
            program.safety.checks._decisions.note_clear(stamp)
            core.library.note_used(entry, now_s - days * 86_400)
            core.library.note_verified(entry, now_s - 9 * 86_400)
    program.loader.refresh()
    core.telemetry.sampled.disconnect(program.status_bar.set_hardware)
    Camera(app, program, machine, out).take_all()
    QTimer.singleShot(0, program.window, program.window.close)
    app.exec()
    program.finish()


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "benchmarks" / "machines" / "desktop-64gb-12gb.json"
    parser.add_argument("--machine", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    machine = machine_from_json(options.machine.read_text(encoding="utf-8"))
    # As it looks to whoever sits before that machine.
    machine = dataclasses.replace(machine, is_described=False)
    with tempfile.TemporaryDirectory() as folder, fake_hub() as hub:
        fill(hub)
        os.environ["HF_ENDPOINT"] = hub.endpoint
        paths = user_paths(Path(folder))
        paths.create()
        fill_library(paths.models_dir)
        app = QApplication(["fathom"])
        take(app, Core(paths), machine, hub, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
