from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase, ModelStatus
from app.theme import Appearance
from app.views.monitor_page import MonitorPage
from app.widgets.buttons import TextButton
from helpers.accessible import nameless
from helpers.paint_counter import PaintCounter, settle
from helpers.window_parts import GB, gpu, loaded, snapshot
from models.runtime.protocol import DeviceMemory, Stats, Usage

CPU = DeviceMemory("CPU", "cpu", 4 * GB, 1 * GB, GB // 2, GB // 10)
GPU = DeviceMemory("CUDA0", "gpu", 8 * GB, 2 * GB, GB, 0)


@pytest.fixture
def page(qtbot: QtBot, qapp: QApplication, appearance: Appearance) -> Iterator[MonitorPage]:
    page = MonitorPage()
    page.resize(1100, 700)
    page.show()
    yield page
    page.close()
    page.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_before_a_model_it_leads_to_the_models(page: MonitorPage, qtbot: QtBot) -> None:
    assert page._nothing_loaded.isVisible()
    assert page._memory.isHidden()
    button = page._nothing_loaded.findChild(TextButton)
    with qtbot.waitSignal(page.models_requested):
        button.click()
    assert nameless(page) == []


def test_a_sample_adds_a_point_to_every_graph(page: MonitorPage) -> None:
    page.set_stats(Stats(phase="decode", decode_tok_s=41.3))
    page.set_hardware(snapshot(at_s=10.0))
    for card, value in (
        (page.decode, 41.3),
        (page.ram, 18 * GB),
        (page.cpu, 37.0),
        (page.fourth, 4 * GB),
    ):
        assert list(card.graph.series[0].points) == [(10.0, value)]
    assert page.decode._value.text() == "41.3 tok/s"
    assert page.ram._value.text() == "18.0 / 64.0 GB"
    assert page.cpu._value.text() == "37 %"
    assert page.fourth._note.text() == "No GPU"


def test_every_figure_says_where_it_comes_from(page: MonitorPage) -> None:
    page.set_hardware(snapshot(gpu(0, used_gb=9, total_gb=24)))
    assert "engine" in page.decode.toolTip()
    assert page.ram.toolTip() == "/proc/meminfo"
    assert "/proc/stat" in page.cpu.toolTip()
    assert "NVML" in page.fourth.toolTip()


def test_gpus_come_and_go(page: MonitorPage) -> None:
    page.set_hardware(snapshot(at_s=1))
    two = [gpu(0, used_gb=9, total_gb=24), gpu(1, used_gb=3, total_gb=12)]
    page.set_hardware(snapshot(*two, at_s=2))
    assert len(page.fourth.graph.series) == 2
    assert page.fourth.graph.top() == 24 * GB
    assert page.fourth._value.text() == "12.0 / 36.0 GB"
    page.set_hardware(snapshot(at_s=3))
    assert len(page.fourth.graph.series) == 1
    many = [gpu(i, used_gb=9, total_gb=24) for i in range(9)]
    page.set_hardware(snapshot(*many, at_s=4))
    assert len(page.fourth.graph.series) == 4


def test_the_end_of_an_answer_leaves_a_gap(page: MonitorPage) -> None:
    page.set_stats(Stats(phase="decode", decode_tok_s=41.3))
    page.set_hardware(snapshot(at_s=1))
    page.set_usage(Usage(decode_tok_s=40.0))
    page.set_hardware(snapshot(at_s=2))
    assert [value for _, value in page.decode.graph.series[0].points] == [41.3, None]
    assert page.decode._value.text() == "40.0 tok/s"


def test_what_the_model_holds_is_shown_per_device(page: MonitorPage) -> None:
    page.set_status(ModelStatus(LoadPhase.READY, loaded=loaded(GPU, CPU)))
    page.set_hardware(snapshot(gpu(0, used_gb=13, total_gb=24)))
    rows = page._memory._rows
    assert [row._name.full_text for row in rows] == ["Graphics card number 0", "RAM"]
    assert [figure.text() for figure in rows[0]._figures] == [
        "8.00 GB", "2.00 GB", "1.00 GB", "11.0 GB",
    ]  # fmt: skip
    assert rows[1]._figures[2].text() == "600 MB"
    assert "llama.cpp" in rows[0]._figures[0].toolTip()
    assert rows[0]._bar.accessibleDescription().startswith("Weights 8.00 GB")
    assert page._model.full_text == "DeepSeek R1 Distill Qwen 7B"
    page.set_status(ModelStatus(LoadPhase.READY, loaded=loaded(CPU)))
    assert len(page._memory._rows) == 1
    page.set_status(ModelStatus())
    assert page._nothing_loaded.isVisible()


def test_bars_are_at_one_scale(page: MonitorPage) -> None:
    page.set_status(ModelStatus(LoadPhase.READY, loaded=loaded(GPU, CPU)))
    page.set_hardware(snapshot(gpu(0, used_gb=13, total_gb=16)))
    bars = [row._bar for row in page._memory._rows]
    assert {bar._scale for bar in bars} == {64 * GB}
    assert [bar._total for bar in bars] == [16 * GB, 64 * GB]


def test_four_graphs_are_in_sight_at_640_and_columns_fold(page: MonitorPage, qtbot: QtBot) -> None:
    page.set_status(ModelStatus(LoadPhase.READY, loaded=loaded(GPU, CPU)))
    page.resize(588, 650)
    cards = (page.decode, page.fourth, page.ram, page.cpu)
    for card in cards:
        bottom = card.mapTo(page, card.rect().bottomRight())
        assert page.rect().contains(bottom)
    assert page._memory._rows[0]._figures[0].isHidden()
    qtbot.waitUntil(page._memory._rows[0]._figures[3].isVisible)
    page.resize(500, 650)
    qtbot.waitUntil(lambda: page.decode.geometry().left() == page.cpu.geometry().left())


def test_nothing_is_painted_while_nothing_changes(page: MonitorPage, qtbot: QtBot) -> None:
    page.set_status(ModelStatus(LoadPhase.READY, loaded=loaded(CPU)))
    page.set_hardware(snapshot())
    settle()
    counters = [PaintCounter(widget) for widget in page.findChildren(type(page._memory))]
    counters += [PaintCounter(row._bar) for row in page._memory._rows]
    for _ in range(5):
        page.set_stats(Stats(phase="decode", decode_tok_s=1, devices=(CPU,)))
        page._memory.set_hardware(snapshot())
    settle()
    assert sum(counter.count for counter in counters) == 0
