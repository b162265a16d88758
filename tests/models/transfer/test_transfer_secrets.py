"""The token is where it has to be, and nowhere else."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import psutil
import pytest

from helpers.fake_hub import TOKEN, fake_hub
from helpers.logcheck import LogCheck
from helpers.transfers import (
    REPOSITORY,
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.events import QueueReplaced, TransferSettings
from models.transfer.job import JobState

FILES = gguf_shards(2, 400_000)


def test_the_token_is_in_no_file_log_argument_or_foreign_request(
    base_dir: Path,
    caplog: pytest.LogCaptureFixture,
    allow_logs: LogCheck,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow_logs("ended unexpectedly")
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    root = make_root(base_dir)
    texts: list[str] = []
    with fake_hub() as hub, fake_hub() as mirror:
        settings = TransferSettings(token=TOKEN, token_endpoint=hub.endpoint)
        with running_client(base_dir, settings=settings) as (client, heard):
            for each in (hub, mirror):
                offer(each, FILES)
            hub.gated.add(REPOSITORY)
            spec = spec_for(hub, sorted(FILES), root)
            copy = spec_for(mirror, sorted(FILES), root, folder=root / "mirror" / "Model")
            client.add(spec)
            client.add(copy)
            heard.wait_for_state(JobState.READY, job_id=spec.job_id)
            pid = client.pid
            assert pid is not None
            process = psutil.Process(pid)
            texts += [*process.cmdline(), *process.environ().values()]
            heard.wait_for_state(JobState.READY, job_id=copy.job_id)
            # The words of a child that dies are logged.
            seen = len(heard.events)
            os.kill(pid, signal.SIGABRT)
            heard.wait_for(lambda event: isinstance(event, QueueReplaced), since=seen)
            texts += map(repr, heard.events)
        assert {r.authorization for r in hub.seen("hub")} == {f"Bearer {TOKEN}"}
        foreign = [*hub.seen("cdn"), *mirror.requests]
        assert foreign
        assert {request.authorization for request in foreign} == {None}
    assert_all_there(spec, FILES)
    texts += [record.getMessage() for record in caplog.records]
    texts += [path.read_bytes().decode("latin-1") for path in base_dir.rglob("*") if path.is_file()]
    for secret in (TOKEN, "hf_of_the_environment"):
        assert not [text[:200] for text in texts if secret in text]
    assert TOKEN not in repr(settings)


def test_an_answer_that_holds_the_token_does_not_carry_it_on(base_dir: Path) -> None:
    settings = TransferSettings(token="hf_secret_1", token_endpoint="http://hub")
    with running_client(base_dir, settings=settings) as (client, heard):
        heard.wait_for(lambda event: isinstance(event, QueueReplaced))
        root = base_dir / "hf_secret_1"
        with fake_hub() as hub:
            offer(hub, FILES)
            client.add(spec_for(hub, sorted(FILES), root))
            view = heard.wait_for_state(JobState.FAILED)
    assert view.failure is not None
    assert "[token]" in view.failure.message
