"""The frozen window through a chat: its picture, its children, what they load, and a crash."""

from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PySide6.QtGui import QImage

from helpers.frozen_program import (
    DEMO_FIGURES,
    LIMIT_S,
    FrozenProgram,
    child_of,
    mapped_files,
    poll,
)

QUESTION = "Why is the sea salty?"


def check_picture(file: Path) -> None:
    """Check that a picture shows a window with text and icons."""
    picture = QImage(str(file))
    assert picture.width() >= 640
    points = [(x, y) for y in range(0, picture.height(), 5) for x in range(0, picture.width(), 5)]
    assert len({picture.pixel(*point) for point in points}) > 30


def check_chat(output: str, picture: Path) -> None:
    """Check question, answer, figures and picture of a demonstration."""
    assert output.startswith(f"{QUESTION}\n\n")
    figures = DEMO_FIGURES.search(output)
    assert figures, output
    assert output[len(QUESTION) : figures.start()].strip()
    assert output.endswith(f"Screenshot: {picture}\n")
    check_picture(picture)


def test_a_chat_without_a_display(frozen: FrozenProgram, tmp_path: Path) -> None:
    """In a bare shell too, whose language is nobody's."""
    frozen = replace(frozen, env={"LC_ALL": "C", "LANG": ""})
    picture = tmp_path / "window.png"
    output = frozen.output("--demo-question", QUESTION, "--screenshot", picture)
    check_chat(output, picture)


def test_a_chat_on_a_display(frozen: FrozenProgram, tmp_path: Path) -> None:
    """Qt's platform for X11 and what it links are all there."""
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is missing")
    shown = FrozenProgram(frozen.folder, ("xvfb-run", "-a"), {"QT_QPA_PLATFORM": "xcb"})
    picture = tmp_path / "window.png"
    check_chat(shown.output("--demo-question", QUESTION, "--screenshot", picture), picture)


def test_a_crashed_engine_is_replaced(frozen: FrozenProgram) -> None:
    """Killed while it loads: the window goes on, and another child answers."""
    with frozen.running("--demo-question", QUESTION) as process:
        root = psutil.Process(process.pid)
        killed: list[int] = []

        def loads() -> bool:
            child = child_of(root, "engine")
            if child is None or not any(f.suffix == ".gguf" for f in mapped_files(child)):
                return False
            os.kill(child.pid, signal.SIGSEGV)
            killed.append(child.pid)
            return True

        poll(loads, process)
        seen: set[int] = set()

        def replaced() -> bool:
            child = child_of(root, "engine")
            seen.update([child.pid] if child else [])
            return bool(seen - set(killed))

        poll(replaced, process)
        output, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    assert DEMO_FIGURES.search(output), output


def test_each_library_is_loaded_once_and_from_the_right_place(frozen: FrozenProgram) -> None:
    """One copy of ggml: two would be two lists of devices. No Qt in the engine child."""
    window: set[Path] = set()
    engine: set[Path] = set()
    with frozen.running("--demo-question", QUESTION) as process:
        root = psutil.Process(process.pid)

        def has_loaded() -> bool:
            child = child_of(root, "engine")
            # As it is at the moment: it starts with the system's libz, and then anew with ours;
            # the engine looks into every module before it takes one.
            for found, process in ((window, root), (engine, child)):
                found.clear()
                found.update(mapped_files(process) if process else ())
            return any(file.suffix == ".gguf" for file in engine)

        poll(has_loaded, process)
        output, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    assert DEMO_FIGURES.search(output), output
    ours = sorted(file.name for file in engine if re.match(r"lib(ggml|llama)", file.name))
    (module,) = [name for name in ours if name.startswith("libggml-cpu-")]
    assert ours == sorted(
        ["libggml-base.so.0", module, "libggml-rpc.so", "libggml.so.0", "libllama.so"]
    )
    assert [file for file in engine if "Qt" in file.name] == []
    assert any(file.name.startswith("libQt6Widgets") for file in window)
    # The system's libraries are those that the program does not bring.
    inside = {path.name for path in frozen.folder.rglob("*.so*")}
    outside = {file for file in window | engine if not file.is_relative_to(frozen.folder)}
    assert {file for file in outside if soname(file) in inside} == set()
    assert any(soname(file) == "libc.so.6" for file in outside)


def soname(file: Path) -> str:
    """Return the name by which a library is linked: without the end of its version."""
    return re.sub(r"(\.so\.\d+)[.\d]*$", r"\1", file.name)
