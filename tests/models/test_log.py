from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from helpers.logcheck import LogCheck
from models.log import EngineLog, LogSetup, configure, private

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
    allow_logs("No log file in")
    (tmp_path / "log").write_text("a file is in the way")
    stream = io.StringIO()
    setups.append(configure(tmp_path / "log", stream=stream))
    assert setups[0].file is None
    assert "No log file" in stream.getvalue()


def test_text_of_a_conversation_is_logged_by_length_only() -> None:
    assert private("my secret question") == "<18 characters>"


def test_the_engine_has_its_own_bounded_file(tmp_path: Path) -> None:
    engine_log = EngineLog(tmp_path / "log", limit_bytes=100)
    for number in range(5):
        engine_log.write(b"%d" % number * 60)
    assert engine_log.path.read_bytes() == b"4" * 60
    assert (tmp_path / "log" / "engine.log.1").read_bytes() == b"3" * 60
    assert len(list((tmp_path / "log").iterdir())) == 2


def test_an_engine_log_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file is in the way")
    EngineLog(tmp_path / "log").write(b"lost")
