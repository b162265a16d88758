"""The supervisor over the real engine child and the demo checkpoint."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_harness import Recorder
from models.errors import NotGgufError, OutOfMemoryError, PromptTooLongError
from models.library.demo import find_demo
from models.runtime.command import engine_command
from models.runtime.protocol import (
    Cancelled,
    Delta,
    Done,
    GenerateRequest,
    Loaded,
    LoadSettings,
    PromptMessage,
    Sampling,
    Started,
)
from models.runtime.supervisor import EngineState, EngineSupervisor, EventReceived

LIMIT_S = 120.0
QUESTION = GenerateRequest(
    (PromptMessage("user", "Why is the sea salty?"),), Sampling(temperature=0), max_tokens=12
)
STORY = GenerateRequest((PromptMessage("user", "Write a very long story."),), Sampling(seed=1))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def supervisor(recorder: Recorder) -> Iterator[EngineSupervisor]:
    engine = EngineSupervisor(engine_command(), listener=recorder)
    yield engine
    engine.stop()
    assert engine.state is EngineState.STOPPED


def load_demo(supervisor: EngineSupervisor) -> Loaded:
    demo = find_demo()
    assert demo is not None
    request_id = supervisor.load(str(demo), LoadSettings(n_ctx=1024))
    loaded = supervisor.wait(request_id, LIMIT_S).body
    assert isinstance(loaded, Loaded)
    return loaded


def is_delta(notice: object) -> bool:
    return isinstance(notice, EventReceived) and isinstance(notice.event.body, Delta)


def test_load_answer_and_stop(supervisor: EngineSupervisor) -> None:
    loaded = load_demo(supervisor)
    assert supervisor.state is EngineState.READY
    assert supervisor.model == loaded.model
    done = supervisor.wait(supervisor.generate(QUESTION), LIMIT_S).body
    assert isinstance(done, Done)
    assert done.usage.completion_tokens == 12
    assert done.usage.devices == loaded.devices


def test_a_file_that_cannot_be_loaded_leaves_the_loaded_one_in_place(
    supervisor: EngineSupervisor, tmp_path: Path
) -> None:
    loaded = load_demo(supervisor)
    text = tmp_path / "notes.gguf"
    text.write_text("not a checkpoint")
    with pytest.raises(NotGgufError):
        supervisor.wait(supervisor.load(str(text), LoadSettings()), LIMIT_S)
    assert supervisor.state is EngineState.READY
    assert supervisor.model == loaded.model
    assert isinstance(supervisor.wait(supervisor.generate(QUESTION), LIMIT_S).body, Done)


def test_a_first_load_that_fails_leaves_nothing_loaded(
    supervisor: EngineSupervisor, tmp_path: Path
) -> None:
    text = tmp_path / "notes.gguf"
    text.write_text("not a checkpoint")
    with pytest.raises(NotGgufError):
        supervisor.wait(supervisor.load(str(text), LoadSettings()), LIMIT_S)
    assert supervisor.state is EngineState.IDLE
    assert supervisor.model is None


def test_cancel_an_answer_and_ask_again(supervisor: EngineSupervisor, recorder: Recorder) -> None:
    load_demo(supervisor)
    request_id = supervisor.generate(STORY)
    recorder.wait_for(is_delta)
    supervisor.cancel(request_id)
    cancelled = supervisor.wait(request_id, LIMIT_S).body
    assert isinstance(cancelled, Cancelled)
    assert cancelled.usage is not None
    assert cancelled.usage.completion_tokens >= 1
    assert isinstance(supervisor.wait(supervisor.generate(QUESTION), LIMIT_S).body, Done)


def asking(text: str) -> GenerateRequest:
    return GenerateRequest((PromptMessage("user", text),), Sampling(temperature=0), max_tokens=1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("the sea " * 500_000, id="words"),
        # Tokenizing so many takes minutes, in which nothing stops it.
        pytest.param("<|im_end|>" * 400_000, id="special"),
        pytest.param("<|im_end|> " * 10_000, id="many special ones in a text that might fit"),
    ],
)
def test_what_is_far_too_long_is_not_tokenized(supervisor: EngineSupervisor, text: str) -> None:
    load_demo(supervisor)
    with pytest.raises(PromptTooLongError, match="far more tokens"):
        supervisor.wait(supervisor.generate(asking(text)), LIMIT_S)
    assert isinstance(supervisor.wait(supervisor.generate(QUESTION), LIMIT_S).body, Done)


def test_long_tokens_make_long_texts_short(
    supervisor: EngineSupervisor, recorder: Recorder
) -> None:
    load_demo(supervisor)
    # 64 spaces are one token of the demo's; few texts of so many bytes fit.
    request_id = supervisor.generate(asking(" " * 64 * 800))
    notice = recorder.wait_for(
        lambda notice: isinstance(notice, EventReceived) and isinstance(notice.event.body, Started)
    )
    assert isinstance(notice, EventReceived)
    assert isinstance(notice.event.body, Started)
    assert 800 <= notice.event.body.prompt_tokens < 1024
    supervisor.cancel(request_id)
    # Where the machine is the faster one, there is an answer.
    assert isinstance(supervisor.wait(request_id, LIMIT_S).body, (Cancelled, Done))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_engine_is_explained_and_comes_back(
    supervisor: EngineSupervisor, recorder: Recorder
) -> None:
    load_demo(supervisor)
    request_id = supervisor.generate(STORY)
    recorder.wait_for(is_delta)
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    with pytest.raises(OutOfMemoryError) as caught:
        supervisor.wait(request_id, LIMIT_S)
    assert caught.value.hint
    assert supervisor.state is EngineState.CRASHED
    load_demo(supervisor)
    assert isinstance(supervisor.wait(supervisor.generate(QUESTION), LIMIT_S).body, Done)
