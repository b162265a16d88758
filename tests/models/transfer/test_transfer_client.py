"""The parent's side with children that fail in every way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers.logcheck import LogCheck
from helpers.small_transfers import child_command
from helpers.transfers import Heard, running_client
from models.transfer.client import TransferClient, has_unfinished
from models.transfer.events import (
    QueueReplaced,
    TransferDown,
    TransferEvent,
    TransferSettings,
)
from models.transfer.protocol import (
    TRANSFER_PROTOCOL_VERSION,
    line_from_bytes,
    settings_from_json,
    settings_to_json,
)

HELLO = f'{{"event":"hello","protocol":{TRANSFER_PROTOCOL_VERSION},"app_version":"","pid":1}}'


def script(text: str) -> list[str]:
    return [sys.executable, "-S", "-c", text]


def downs(heard: Heard) -> list[TransferDown]:
    return heard.of(TransferDown)


def is_final(event: TransferEvent) -> bool:
    return isinstance(event, TransferDown) and event.is_final


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("print('nonsense', flush=True); input()", "not JSON"),
        ('print(\'{"event":"bye"}\', flush=True); input()', "was not hello"),
        (f"print('{HELLO}'.replace('1', '99', 1), flush=True); input()", "protocol 99"),
        (f"print('{HELLO}\\n{{}}', flush=True); input()", "unknown event"),
    ],
)
def test_a_child_that_fails_is_started_again_but_not_for_ever(
    base_dir: Path, text: str, words: str, allow_logs: LogCheck
) -> None:
    allow_logs("ended unexpectedly|broke the protocol")
    with running_client(base_dir, command=script(text)) as (client, heard):
        heard.wait_for(is_final)
        assert len(downs(heard)) == 4
        assert words in downs(heard)[-1].error.message
        assert client.pid is None
        # Somebody asks for it: it is tried again.
        client.start()
        heard.wait_for(lambda _: len(downs(heard)) > 4)


def test_a_program_that_is_not_there(base_dir: Path, allow_logs: LogCheck) -> None:
    allow_logs("cannot be started")
    with running_client(base_dir, command=["/nowhere/fathom"]) as (_, heard):
        heard.wait_for(is_final)
        assert len(downs(heard)) == 1


def test_a_child_that_does_not_end_is_ended(base_dir: Path) -> None:
    text = f"import signal; signal.signal(15, 1); print('{HELLO}', flush=True)\nwhile 1: input()"
    heard = Heard()
    client = TransferClient(script(text), data_dir=base_dir, listener=heard)
    client.start()
    client.stop(timeout_s=0.6)
    assert client.pid is None
    assert not heard.events


def test_a_listener_that_fails_does_no_harm(base_dir: Path, allow_logs: LogCheck) -> None:
    allow_logs("listener of downloads failed")

    class Failing(Heard):
        def __call__(self, event: TransferEvent) -> None:
            super().__call__(event)
            raise ValueError("a bug")

    with running_client(base_dir, heard=Failing()) as (client, heard):
        heard.wait_for(lambda event: isinstance(event, QueueReplaced))
        assert client.jobs() == ()


def test_stop_and_start_again(base_dir: Path) -> None:
    heard = Heard()
    client = TransferClient(child_command(), data_dir=base_dir, listener=heard)
    for count in (1, 2):
        client.start()
        heard.wait_for(lambda _, n=count: len(heard.of(QueueReplaced)) == n)
        client.stop()
        client.stop()
    assert not downs(heard)


def test_a_request_starts_the_child(base_dir: Path) -> None:
    heard = Heard()
    client = TransferClient(child_command(), data_dir=base_dir, listener=heard)
    client.resume("nothing of that name")
    heard.wait_for(lambda event: isinstance(event, QueueReplaced))
    client.stop()


def test_a_request_after_the_end_starts_nothing(base_dir: Path) -> None:
    heard = Heard()
    client = TransferClient(child_command(), data_dir=base_dir, listener=heard)
    client.start()
    client.stop()
    client.pause("whatever")
    assert client.pid is None
    assert not heard.of(TransferDown)


def test_nothing_is_unfinished_where_nothing_is(tmp_path: Path) -> None:
    assert not has_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_settings_cross_the_pipe_and_hide_their_token() -> None:
    settings = TransferSettings(1.5, 8, "hf_x", "https://hub", True, (Path("/a b"), Path("/深")))
    assert settings_from_json(settings_to_json(settings)) == settings
    assert "hf_x" not in repr(settings)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b'{"event":"gone"}',
        b'{"event":"job","job_id":3}',
        b'{"event":"queue","jobs":[{"job_id":"a","state":"dancing"}]}',
    ],
)
def test_lines_that_make_no_sense_are_refused(line: bytes) -> None:
    from models.errors import EngineProtocolError

    with pytest.raises(EngineProtocolError):
        line_from_bytes(line)
