"""A picture of the page Server for docs/images: the whole window, while programs ask.

    python -m benchmarks.server_pictures [--port 8737] [--out docs/images]

The demo answers real clients on loopback; one shows a wrong key, one comes from a web page.
Nothing of the user's is touched.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QTimer  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from app.application import Core, Fathom, GuiOptions  # noqa: E402
from app.views.main_window import SERVER  # noqa: E402
from app.views.server_page import ServerPage  # noqa: E402
from benchmarks.plan_pictures import SIZE, wait  # noqa: E402
from helpers.served_process import ServedClient, question  # noqa: E402
from models.paths import user_paths  # noqa: E402

SETTLE_S = 0.6
QUESTIONS = ("Say hello.", "Why is the sea salty?", "What is a whale?", "Name a fish.")


def ask_all(app: QApplication, client: ServedClient, texts: tuple[str, ...]) -> None:
    """Ask one question after the other, and wait for the answers."""
    for text in texts:
        asking = threading.Thread(target=client.ask, args=(question(text, max_tokens=40),))
        asking.start()
        wait(app, lambda asking=asking: not asking.is_alive())  # type: ignore[misc]


def take(app: QApplication, core: Core, port: int, out: Path) -> None:
    """Open the window, have it asked, and save the page in both themes."""
    program = Fathom(app, core, GuiOptions(model="demo"))
    program.start()
    program.window.resize(*SIZE)
    serving = program.serving.serving
    core.settings_bridge.set("server.port", port)
    program.window.show_page(SERVER)
    page = program.window.page(SERVER)
    assert isinstance(page, ServerPage)
    wait(app, lambda: page.is_filled and program.loader.status.is_ready)
    serving.switch(True)
    wait(app, lambda: bool(serving.status.url))
    here = serving.status.url.split(":")[2].split("/")[0]
    client = ServedClient(int(here), serving.key.key)
    ask_all(app, ServedClient(int(here), "another"), QUESTIONS[:1])
    ask_all(app, client, QUESTIONS)
    program.window.setFocus()
    for theme in ("light", "dark"):
        program.appearance.choose(theme)
        settled_s = time.monotonic() + SETTLE_S
        wait(app, lambda settled_s=settled_s: time.monotonic() > settled_s)  # type: ignore[misc]
        program.window.grab().save(str(out / f"server-{theme}.png"))
    QTimer.singleShot(0, program.window, program.window.close)
    app.exec()
    program.finish()


def main() -> int:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8737)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = user_paths(Path(folder))
        paths.create()
        app = QApplication(["fathom"])
        take(app, Core(paths), options.port, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
