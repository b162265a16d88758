from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.actions.download_totals import DownloadTotals
from app.actions.load_model import LoadPhase, ModelStatus
from app.theme import Appearance
from app.views.status_bar import StatusBar
from helpers.accessible import spoken_name
from helpers.window_parts import GB, gpu, loaded, snapshot
from models.hardware.readouts import GpuReadout
from models.runtime.protocol import LoadProgress, Stats, Usage

DECODING = Stats(
    phase="decode", decode_tok_s=41.34, ttft_s=0.32, context_used=3100, context_total=16384
)


@pytest.fixture
def bar(qtbot: QtBot, appearance: Appearance) -> Iterator[StatusBar]:
    holder = QWidget()
    qtbot.addWidget(holder)
    bar = StatusBar()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(bar)
    holder.resize(1280, 40)
    holder.show()
    yield bar
    holder.close()


def resize(bar: StatusBar, width: int) -> None:
    bar.window().resize(width, 40)
    bar.window().layout().activate()


def shown(bar: StatusBar) -> list[QWidget]:
    return [child for child in bar.findChildren(QWidget) if child.isVisible()]


def assert_apart(bar: StatusBar) -> None:
    """No readout overlaps another or leaves the bar."""
    rects = [child.geometry() for child in shown(bar)]
    for rect in rects:
        assert bar.rect().adjusted(0, -2, 0, 4).contains(rect)
    for one in rects:
        assert sum(one.intersects(other) for other in rects) == 1


def test_it_begins_with_no_model(bar: StatusBar) -> None:
    assert bar.speed.text() == "No model loaded"
    assert bar.context.isHidden()
    assert bar.no_gpu.isHidden()


def test_it_shows_speed_ttft_and_context_while_decoding(bar: StatusBar) -> None:
    bar.set_status(ModelStatus(LoadPhase.READY, loaded=loaded()))
    assert bar.speed.text() == "Ready"
    bar.set_stats(DECODING)
    assert bar.speed.text() == "41.3 tok/s"
    assert bar.ttft.text() == "TTFT 0.32 s"
    assert bar.context.accessibleDescription() == "3k / 16k"
    bar.set_usage(Usage(decode_tok_s=40.0, ttft_s=0.31, context_used=3600, context_total=16384))
    assert bar.speed.text() == "40.0 tok/s"
    assert bar.context.accessibleDescription() == "3.5k / 16k"


def test_after_an_answer_its_mean_stays_and_after_one_without_figures_nothing_runs_on(
    bar: StatusBar,
) -> None:
    bar.set_status(ModelStatus(phase=LoadPhase.READY, loaded=loaded()))
    bar.set_stats(DECODING)
    bar.set_usage(Usage(decode_tok_s=20.0, ttft_s=0.5, context_used=4000, context_total=16384))
    assert (bar.speed.text(), bar.ttft.text()) == ("20.0 tok/s", "TTFT 0.50 s")
    bar.set_stats(Stats(phase="prefill", prefill_tokens_total=10, context_total=16384))
    assert "Reading" in bar.speed.text()
    bar.set_usage(Usage())
    assert (bar.speed.text(), bar.ttft.text()) == ("Ready", "")
    assert "16,384" in bar.context.toolTip()


def test_it_shows_reading_the_prompt_and_loading(bar: StatusBar) -> None:
    bar.set_stats(Stats(phase="prefill", prefill_tokens_done=50, prefill_tokens_total=200))
    assert bar.speed.text() == "Reading 25 %"
    progress = LoadProgress("reading", 1 * GB, 4 * GB, 1.0, None)
    bar.set_status(ModelStatus(LoadPhase.LOADING, progress=progress))
    assert bar.speed.text() == "Loading 25 %"
    bar.set_status(ModelStatus(LoadPhase.FAILED))
    assert bar.speed.text() == "Not loaded"


def test_without_a_gpu_it_says_so_and_shows_ram(bar: StatusBar) -> None:
    bar.set_hardware(snapshot())
    assert bar.no_gpu.isVisible()
    assert bar.no_gpu.text() == "No GPU"
    assert bar.ram.accessibleDescription() == "18.0 / 64 GB"
    assert bar.ram.toolTip() == "/proc/meminfo"


def test_every_gpu_has_a_gauge_that_comes_and_goes(bar: StatusBar) -> None:
    bar.set_hardware(snapshot(gpu(0, used_gb=9.8, total_gb=12), gpu(1, used_gb=23.9, total_gb=24)))
    assert [spoken_name(gauge) for gauge in bar.gpus] == ["GPU0", "GPU1"]
    assert bar.gpus[0].accessibleDescription() == "9.8 / 12 GB"
    assert [gauge.token for gauge in bar.gpus] == ["accent", "fail"]
    assert "NVML" in bar.gpus[0].toolTip()
    assert bar.no_gpu.isHidden()
    bar.set_hardware(snapshot())
    assert bar.gpus == []
    assert bar.no_gpu.isVisible()


def test_a_gpu_that_does_not_tell_its_memory(bar: StatusBar) -> None:
    silent = GpuReadout("A card", "Intel", 0, None, None, None, None, None, "sysfs")
    shared = GpuReadout(
        "Inside", "AMD", 1, 0, None, None, None, None, "sysfs", integrated=True,
        shared_total_bytes=16 * GB, shared_used_bytes=2 * GB,
    )  # fmt: skip
    bar.set_hardware(snapshot(silent, shared))
    assert bar.gpus[0].accessibleDescription() == "\N{EN DASH}"
    assert bar.gpus[1].accessibleDescription() == "2.0 / 16 GB"


@pytest.mark.parametrize("gpus", [0, 1, 2, 8])
@pytest.mark.parametrize("width", [1920, 1280, 900, 640, 400])
def test_nothing_overlaps_in_any_width(bar: StatusBar, width: int, gpus: int) -> None:
    bar.set_status(ModelStatus(LoadPhase.READY, loaded=loaded()))
    bar.set_stats(DECODING)
    bar.set_hardware(snapshot(*(gpu(i, used_gb=11, total_gb=24) for i in range(gpus))))
    resize(bar, width)
    assert bar.speed.isVisible()
    if width >= 640:
        assert bar.ram.isVisible()
        assert_apart(bar)
    if gpus == 8 and width <= 900:
        assert bar.more_gpus.text() == "+7 GPUs"


def test_a_click_space_and_the_screen_reader_can_press_it(bar: StatusBar, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.clicked):
        qtbot.mouseClick(bar, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(bar.clicked):
        qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.speed.geometry().center())
    with qtbot.waitSignal(bar.clicked):
        qtbot.keyClick(bar, Qt.Key.Key_Space)
    assert "Monitor" in spoken_name(bar)


def test_the_speed_of_downloads_is_shown_while_there_are_some(qtbot: QtBot) -> None:
    bar = StatusBar()
    qtbot.addWidget(bar)
    bar.resize(900, 32)
    bar.show()
    assert bar.downloads.isHidden()
    bar.set_downloads(DownloadTotals(2, 1, 5_000_000_000, 41_300_000.0, 120.0))
    assert bar.downloads.text() == "Downloads 41.3 MB/s"
    assert bar.downloads.isVisible()
    with qtbot.waitSignal(bar.downloads_clicked):
        qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.downloads.geometry().center())
    with (
        qtbot.assertNotEmitted(bar.downloads_clicked),
        qtbot.waitSignal(bar.clicked),
    ):
        qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.rect().bottomRight() / 2)
    bar.set_downloads(DownloadTotals(1, 0, 5_000_000_000))
    assert bar.downloads.isHidden()
