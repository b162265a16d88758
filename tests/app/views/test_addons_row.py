"""The row of the settings for GPU add-ons: real archives, real keys, and every state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from app.actions.addons import Addons
from app.messages import Notice
from app.views.addons_row import AddonsRow
from app.views.settings_page import SettingsPage
from helpers.accessible import nameless
from helpers.addon_samples import signed_archive
from helpers.release_site import new_key
from helpers.window_parts import Parts, gpu
from models.hardware.readouts import GpuReadout

KEY, PUBLIC = new_key()
FILES = {"libggml-cuda.so": b"a module", "libcudart.so.13": b"x" * 300_000}
WAIT_MS = 20_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "addons"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return signed_archive(tmp_path / "cuda.tar.gz", KEY, FILES)


Make = Callable[..., AddonsRow]


@pytest.fixture
def make(parts: Parts, folder: Path, qtbot: QtBot) -> Make:
    def build(gpus: tuple[GpuReadout, ...] = (), gate: threading.Event | None = None) -> AddonsRow:
        def read_keys() -> list[bytes]:
            if gate is not None:
                assert gate.wait(WAIT_MS / 1000)
            return [PUBLIC]

        addons = Addons(
            folder=folder,
            read_keys=read_keys,
            gpus=lambda: gpus,
            stop_engine=parts.supervisor.stop,
            loader=parts.loader,
            runner=parts.runner,
            messages=parts.messages,
            parent=parts.messages,
        )
        row = AddonsRow(addons)
        page = SettingsPage(parts.settings_bridge, addons_row=row)
        qtbot.addWidget(page)
        page.show()
        idle(row, qtbot, parts)
        return row

    return build


def idle(row: AddonsRow, qtbot: QtBot, parts: Parts) -> None:
    qtbot.waitUntil(
        lambda: parts.runner.is_idle and not row._addons.status.is_busy, timeout=WAIT_MS
    )


def notices(parts: Parts) -> list[Notice]:
    told: list[Notice] = []
    parts.messages.posted.connect(told.append)
    parts.messages.attach()
    return told


def said(row: AddonsRow) -> str:
    return " ".join(label.text() for label in row.findChildren(QLabel) if label.isVisibleTo(row))


def test_with_nothing_there_it_says_what_they_are(make: Make) -> None:
    row = make()
    assert row.words == []
    assert row.add_button.isVisibleTo(row)
    assert not row.cancel_button.isVisibleTo(row)
    assert row.remove_buttons == {}
    assert nameless(row) == []


def test_a_gpu_of_nvidia_s_without_cuda_is_told_once_and_calmly(
    make: Make, archive: Path, parts: Parts, qtbot: QtBot
) -> None:
    row = make(gpus=(gpu(0, used_gb=1, total_gb=24),))
    assert len(row.words) == 1
    assert "NVIDIA" in row.words[0]
    row._addons.add(archive)
    idle(row, qtbot, parts)
    assert row.words == []


def test_one_is_added_from_a_file_and_removed(
    make: Make, archive: Path, folder: Path, parts: Parts, qtbot: QtBot
) -> None:
    told = notices(parts)
    row = make()
    row.add_button.click()
    dialog = row.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(archive))
    dialog.reject()
    assert row.cancel_button.isVisibleTo(row)
    assert not row.add_button.isVisibleTo(row)
    idle(row, qtbot, parts)
    assert "CUDA, for NVIDIA GPUs" in said(row)
    assert (folder / "cuda" / "libcudart.so.13").read_bytes() == FILES["libcudart.so.13"]
    assert nameless(row) == []
    row.remove_buttons["cuda"].click()
    idle(row, qtbot, parts)
    assert not (folder / "cuda").exists()
    assert row.remove_buttons == {}
    assert [notice.text for notice in told] == [
        "CUDA, for NVIDIA GPUs was added.",
        "The add-on cuda was removed.",
    ]


def test_one_that_nobody_signed_is_refused_in_a_sentence(
    make: Make, tmp_path: Path, folder: Path, parts: Parts, qtbot: QtBot
) -> None:
    row = make()
    row._addons.add(signed_archive(tmp_path / "bad.tar.gz", new_key()[0], FILES))
    idle(row, qtbot, parts)
    assert len(row.words) == 1
    assert "not signed by the makers of Fathom" in row.words[0]
    assert not (folder / "cuda").exists()


def test_adding_can_be_left(
    make: Make, archive: Path, folder: Path, parts: Parts, qtbot: QtBot
) -> None:
    gate = threading.Event()
    row = make(gate=gate)
    row.add_button.setFocus()
    row._addons.add(archive)
    row.cancel_button.click()
    gate.set()
    idle(row, qtbot, parts)
    assert row.words == []
    assert row.add_button.isVisibleTo(row)
    assert not (folder / "cuda").exists()


def test_what_cannot_be_used_says_why(make: Make, folder: Path, qtbot: QtBot) -> None:
    (folder / "odd").mkdir(parents=True)
    row = make()
    qtbot.waitUntil(lambda: "addon.json" in said(row), timeout=WAIT_MS)
    assert "odd" in row.remove_buttons
