from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase, ModelStatus
from app.crash import CrashReport
from app.demo import DemoParts, DemoRun
from helpers.real_window import RealWindow
from models.errors import OutOfMemoryError


@pytest.fixture
def real(qtbot: QtBot, base_dir: Path) -> Iterator[RealWindow]:
    real = RealWindow(qtbot, base_dir)
    yield real
    real.close()


def make_demo(real: RealWindow, deadline_s: float = 60.0) -> DemoRun:
    program, core = real.program, real.core
    parts = DemoParts(
        real.window, real.page, program.chat, program.loader, core.bridge, core.telemetry
    )
    return DemoRun(parts, "Why?", None, deadline_s=deadline_s)


def test_it_gives_up_at_its_deadline(
    real: RealWindow, qtbot: QtBot, capsys: pytest.CaptureFixture[str]
) -> None:
    real.until(lambda: real.core.runner.is_idle)
    demo = make_demo(real, deadline_s=0.05)
    with qtbot.waitSignal(demo.finished) as finished:
        demo.start()
    assert finished.args == [1]
    assert capsys.readouterr().err == "fathom: No answer within 0.05 s.\n"


def test_a_library_without_the_demo_ends_it(
    real: RealWindow, qtbot: QtBot, capsys: pytest.CaptureFixture[str]
) -> None:
    real.until(lambda: real.core.runner.is_idle)
    demo = make_demo(real)
    demo.start()
    real.program.loader._entries = ()
    with qtbot.waitSignal(demo.finished) as finished:
        real.program.loader.entries_changed.emit(())
    assert finished.args == [1]
    assert "came without the demo checkpoint" in capsys.readouterr().err


def test_a_failed_load_and_a_bug_end_it_once(
    real: RealWindow, qtbot: QtBot, capsys: pytest.CaptureFixture[str]
) -> None:
    real.until(lambda: real.core.runner.is_idle)
    demo = make_demo(real)
    demo.start()
    codes: list[int] = []
    demo.finished.connect(codes.append)
    error = OutOfMemoryError("Not enough RAM.", hint="Close something.")
    real.program.loader.status_changed.emit(ModelStatus(LoadPhase.FAILED, error=error))
    demo.crashed(CrashReport("ValueError: x", ""))
    assert codes == [1]
    assert capsys.readouterr().err == "fathom: Not enough RAM. Close something.\n"
