from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from helpers.logcheck import LogCheck
from models.log import LogSetup, configure

log = logging.getLogger("models.test")


@pytest.fixture
def setups() -> Iterator[list[LogSetup]]:
    level = logging.getLogger("models").level
    opened: list[LogSetup] = []
    yield opened
    for setup in opened:
        setup.close()
    left = [h for h in logging.getLogger().handlers if isinstance(h, RotatingFileHandler)]
    assert left == []
    assert logging.getLogger("models").level == level


def test_the_log_goes_to_a_file_and_debug_to_the_stream(
    tmp_path: Path, setups: list[LogSetup]
) -> None:
    stream = io.StringIO()
    setups.append(configure(tmp_path / "log", debug=True, stream=stream))
    log.debug("a detail")
    text = (tmp_path / "log" / "fathom.log").read_text()
    assert "a detail" in text
    assert "a detail" in stream.getvalue()


def test_without_debug_details_and_libraries_stay_out(
    tmp_path: Path, setups: list[LogSetup]
) -> None:
    setups.append(configure(tmp_path))
    log.debug("a detail")
    log.info("an event")
    logging.getLogger("somebody.elses").info("chatter")
    text = (tmp_path / "fathom.log").read_text()
    assert "an event" in text
    assert "detail" not in text
    assert "chatter" not in text


def test_a_log_folder_that_cannot_be_used_does_not_stop_the_start(
    tmp_path: Path, setups: list[LogSetup], allow_logs: LogCheck
) -> None:
    allow_logs("something broke")
    folder = tmp_path / "log"
    folder.write_text("a file is in the way")
    stream = io.StringIO()
    setups.append(configure(folder, stream=stream))
    assert setups[0].file is None
    assert setups[0].problem == f"No log is kept: {folder} cannot be written (File exists)."
    assert stream.getvalue() == ""
    log.info("an event")
    log.warning("something broke")
    assert stream.getvalue() == "fathom: something broke\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_no_reason_for_a_traceback(
    tmp_path: Path, setups: list[LogSetup], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fathom.log").symlink_to("/dev/full")
    setups.append(configure(tmp_path))
    log.info("an event")
    setups[0].close()
    assert capsys.readouterr().err == ""
