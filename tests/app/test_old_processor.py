"""A processor that Qt does not run on: what is found out, what is said, and where."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from app import __main__ as entry
from app import early_words, processor
from app.cli import checks

# First lines of /proc/cpuinfo, shortened: an Intel Core 2 (Penryn) and a Xeon of today.
PENRYN = "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse sse2 ht pni ssse3 cx16 sse4_1 lahf_lm\n\n"
TODAY = "flags\t\t: fpu sse sse2 pni ssse3 sse4_1 sse4_2 popcnt avx avx2\nbugs\t\t:\n"
ONLY_X86 = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine != "x86_64",
    reason="reads Linux's list of an x86-64 processor's features",
)


def machine(folder: Path, cpuinfo: str) -> Path:
    """Return the root of a machine with this list of features."""
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(cpuinfo, encoding="ascii")
    return folder


@ONLY_X86
@pytest.mark.parametrize(
    ("cpuinfo", "missing"),
    [
        (PENRYN, ("SSE4.2", "POPCNT")),
        (PENRYN.replace(" sse4_1", ""), ("SSE4.1", "SSE4.2", "POPCNT")),
        (TODAY, ()),
        # The processors of a machine are alike; the rest of the list is not looked at.
        (TODAY + "x" * 100_000 + PENRYN, ()),
        ("processor\t: 0\n", ()),
        ("", ()),
    ],
)
def test_what_a_processor_lacks(tmp_path: Path, cpuinfo: str, missing: tuple[str, ...]) -> None:
    assert processor.missing_for_qt(machine(tmp_path, cpuinfo)) == missing


@ONLY_X86
def test_where_nothing_is_told_nothing_is_missing(tmp_path: Path) -> None:
    assert processor.missing_for_qt(tmp_path) == ()


def test_this_machine_runs_qt() -> None:
    assert processor.missing_for_qt() == ()


@pytest.mark.parametrize(("code", "runs"), [("", True), ("import os; os.abort()", False)])
def test_qt_is_tried_out_before_anybody_is_sent_away(code: str, runs: bool) -> None:
    assert processor.qt_runs([sys.executable, "-c", code], dict(os.environ)) is runs


def test_a_slow_machine_is_not_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_TRIAL_LIMIT_S", 0.01)
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert processor.qt_runs(waits, dict(os.environ))


@ONLY_X86
def test_a_virtual_machine_may_hide_what_the_processor_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not processor.is_virtual(tmp_path)
    root = machine(tmp_path, PENRYN.replace(" ht ", " ht hypervisor "))
    assert processor.is_virtual(root)
    monkeypatch.setattr(processor, "is_virtual", lambda: True)
    assert processor.too_old(("SSE4.2",)) == (
        "This virtual machine's processor is too old for Fathom's window: it lacks SSE4.2. If the "
        "real processor has that, let the machine have it too. The command line works: "
        "'fathom run demo --prompt TEXT'."
    )


def test_a_program_that_is_not_there_runs_no_qt(tmp_path: Path) -> None:
    assert not processor.qt_runs([str(tmp_path / "nothing")], dict(os.environ))


@pytest.fixture
def old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor, no virtual one, lacks something, and Qt ends its process."""
    monkeypatch.setattr(processor, "is_virtual", lambda: False)
    monkeypatch.setattr(processor, "missing_for_qt", lambda: ("SSE4.2", "POPCNT"))
    monkeypatch.setattr(checks, "missing_for_qt", lambda: ("SSE4.2", "POPCNT"))
    aborts = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr("models.runtime.command.program_command", lambda _verb: aborts)
    monkeypatch.setattr(checks, "program_command", lambda _verb: aborts)


@pytest.mark.usefixtures("old_processor")
def test_the_window_says_why_it_does_not_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert entry.main(["--basedir", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "fathom: This computer's processor is too old for Fathom's window: it lacks SSE4.2 and "
        "POPCNT. The command line works: 'fathom run demo --prompt TEXT'.\n"
    )


@pytest.mark.usefixtures("old_processor")
def test_the_doctor_says_so_in_place_of_a_signal() -> None:
    check = checks.check_qt()[0]
    assert check.status == "fail"
    assert check.text.startswith("This computer's processor is too old for Fathom's window")


@pytest.mark.usefixtures("old_processor")
def test_the_command_line_does_not_care(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["ls", "--json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A desktop whose boxes only note their words, in the file that is returned."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the desktops of Linux")
    noted = tmp_path / "noted"
    program = tmp_path / "zenity"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{noted}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":1")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    return noted


def test_without_a_terminal_a_box_says_it_too(
    desktop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early_words.tell_early("Qt <b> & --flag cannot be loaded.")
    assert capsys.readouterr().err == "fathom: Qt <b> & --flag cannot be loaded.\n"
    lines = desktop.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["--error", "--no-markup"]
    assert lines[-1] == "--text=Qt <b> & --flag cannot be loaded."


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_terminal_the_line_is_enough(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    early_words.tell_early("No.")
    assert terminal.getvalue() == "fathom: No.\n"
    assert not desktop.exists()


def test_without_a_terminal_and_a_display_there_is_the_line(
    desktop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    early_words.tell_early("No.")
    assert capsys.readouterr().err == "fathom: No.\n"
    assert not desktop.exists()


def test_no_box_waits_where_nobody_looks(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    early_words.tell_early("No.")
    assert not desktop.exists()


def test_a_desktop_without_boxes_is_left_alone(
    desktop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    early_words.tell_early("No.")
    assert not desktop.exists()
