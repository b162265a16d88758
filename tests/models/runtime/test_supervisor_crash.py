"""What is left, and what the user reads, when the child crashes or talks nonsense."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest

from helpers.engine_harness import QUESTION, SETTINGS, WAIT_S
from models.errors import (
    EngineBusyError,
    EngineCrashedError,
    EngineProtocolError,
    EngineStartError,
    EngineVersionError,
    OutOfMemoryError,
)
from models.runtime.protocol import Delta, Done, Loaded
from models.runtime.supervisor import (
    EngineFailed,
    EngineState,
    EngineSupervisor,
    Limits,
    SafeModeRetry,
)

SHORT = Limits(hello_s=0.3, silence_s=0.1, stop_terminate_s=0.2)


def failure_of(h, request_id, kind):
    with pytest.raises(kind) as caught:
        h.engine.wait(request_id, WAIT_S)
    failed = h.notes.wait_for(lambda notice: isinstance(notice, EngineFailed))
    assert failed.error is caught.value
    assert failed.request_id == request_id
    assert h.engine.state is EngineState.CRASHED
    assert h.engine.pid is None
    return caught.value


# --- at the start -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"hello": "never"}, r"did not start within 0\.3 s"),
        ({"hello": "never", "ignore": ["term"]}, r"did not start within 0\.3 s"),
    ],
)
def test_a_child_that_never_says_hello_is_ended(any_pipes, script, words):
    h = any_pipes(script, limits=SHORT)
    with pytest.raises(EngineStartError, match=words):
        h.engine.start()
    assert h.engine.state is EngineState.CRASHED
    assert h.engine.pid is None


@pytest.mark.parametrize(
    ("hello", "kind", "words", "details"),
    [
        ("old", EngineVersionError, "speaks protocol 0, this Fathom speaks 1", "Fathom 0.0.0"),
        ("garbage", EngineStartError, "does not speak Fathom's protocol", "libnoise"),
        ("not_first", EngineStartError, "does not speak Fathom's protocol", "not hello"),
        ("error", EngineStartError, r"No libllama\.", "dlopen"),
        ("exit", EngineStartError, r"failed while it was starting \(exit code 1\)", "libllama"),
        ("segv", EngineStartError, r"crashed while it was starting.*\(SIGSEGV\)", ""),
    ],
)
def test_a_bad_start_is_explained(any_pipes, hello, kind, words, details):
    h = any_pipes({"hello": hello})
    with pytest.raises(kind, match=words) as caught:
        h.engine.start()
    assert details in caught.value.details
    assert h.engine.state is EngineState.CRASHED
    # Whoever called start knows already.
    assert not h.notes.of(EngineFailed)


def test_a_program_that_does_not_exist(harness):
    notes = harness().notes
    engine = EngineSupervisor(["/nowhere/engine"], listener=notes)
    with pytest.raises(EngineStartError, match="could not be started") as caught:
        engine.load("x", SETTINGS)
    assert "/nowhere/engine" in caught.value.details
    assert engine.state is EngineState.CRASHED
    engine.stop()
    assert notes.states() == ["STARTING", "CRASHED", "STOPPED"]


def test_hello_twice_breaks_the_protocol(harness):
    h = harness({"hello": "twice"})
    h.engine.start()
    h.notes.wait_for(lambda notice: isinstance(notice, EngineFailed))
    assert h.engine.state is EngineState.CRASHED


# --- in the middle of something -----------------------------------------------------------------


@pytest.mark.parametrize("generate", ["segv_late", "null_pointer"])
def test_a_crash_in_mid_answer_is_reported_and_not_retried(any_pipes, generate):
    h = any_pipes({"generate": generate, "stderr": "ggml: last words\n"})
    h.load()
    answer_id = h.engine.generate(QUESTION)
    error = failure_of(h, answer_id, EngineCrashedError)
    assert error.message == (
        "The engine crashed while it answered: it used memory that is not its own (SIGSEGV)."
    )
    assert error.hint
    assert "last words" in error.details
    # What had come is not lost.
    assert h.notes.text(answer_id) == "word0 word1 "
    assert not h.notes.of(SafeModeRetry)
    assert h.engine.model is None


def test_a_load_after_a_crash_starts_a_new_child(harness):
    h = harness()
    h.load()
    os.kill(h.engine.pid, signal.SIGSEGV)
    failed = h.notes.wait_for(lambda notice: isinstance(notice, EngineFailed))
    assert failed.request_id is None
    assert h.engine.state is EngineState.CRASHED
    with pytest.raises(EngineBusyError, match="not running"):
        h.engine.generate(QUESTION)
    h.load()
    assert h.engine.state is EngineState.READY


@pytest.mark.parametrize("script", [{"load": "kill"}, {"load": "out_of_memory"}])
def test_no_memory_is_reported_and_not_retried(any_pipes, script):
    h = any_pipes(script)
    error = failure_of(h, h.engine.load("x", SETTINGS), OutOfMemoryError)
    assert "memory" in error.message
    assert "smaller" in error.hint
    assert not h.notes.of(SafeModeRetry)


def test_an_exit_nobody_asked_for(harness):
    h = harness({"load": "exit"})
    error = failure_of(h, h.engine.load("x", SETTINGS), EngineCrashedError)
    assert re.search(r"ended without being asked to .* \(exit code 0\)", error.message)


def test_a_line_cut_off_by_death(any_pipes):
    h = any_pipes({"generate": "partial"})
    h.load()
    error = failure_of(h, h.engine.generate(QUESTION), EngineCrashedError)
    assert "exit code 3" in error.message
    assert '"event":"delta"' in error.details


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"generate": "garbage"}, "not JSON"),
        ({"generate": "long_line"}, "longer than 16 MiB"),
        ({"generate": "close_stdout"}, "closed its output"),
        ({"generate": "garbage", "ignore": ["term"]}, "not JSON"),
    ],
)
def test_a_child_that_breaks_the_protocol_is_ended(any_pipes, script, words):
    h = any_pipes(script, limits=Limits(silence_s=0.1, stop_terminate_s=0.2))
    h.load()
    error = failure_of(h, h.engine.generate(QUESTION), EngineProtocolError)
    assert words in error.message
    assert h.notes.states()[-2:] == ["STOPPING", "CRASHED"]


def test_the_final_event_of_another_request_breaks_the_protocol(harness):
    h = harness({"load": "wrong_final"})
    error = failure_of(h, h.engine.load("x", SETTINGS), EngineProtocolError)
    assert "answered load with Pong" in error.message


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="POSIX")
def test_a_process_left_behind_does_not_hide_the_death(harness):
    h = harness({"orphan": True})
    h.load()
    os.kill(h.engine.pid, signal.SIGKILL)
    h.notes.wait_for_state(EngineState.CRASHED)
    found = re.search(r"orphan (\d+)", h.engine.stderr_tail())
    assert found
    psutil.Process(int(found[1])).kill()


def test_there_is_no_endless_crash_loop(harness):
    h = harness({"hello": "segv"}, limits=Limits(crash_limit=2))
    for _ in range(2):
        with pytest.raises(EngineStartError, match="SIGSEGV"):
            h.engine.start()
    with pytest.raises(EngineStartError, match="crashed 2 times in a short time"):
        h.engine.load("x", SETTINGS)
    assert h.notes.states() == ["STARTING", "CRASHED"] * 2


# --- safe mode ----------------------------------------------------------------------------------


def test_an_abort_in_a_load_is_retried_in_safe_mode(any_pipes, caplog):
    caplog.set_level("INFO", "models")
    h = any_pipes({"load": "abort_repacked", "stderr": "ggml: tile of clay\n"})
    request_id = h.engine.load("x", SETTINGS)
    loaded = h.engine.wait(request_id, WAIT_S)
    assert isinstance(loaded.body, Loaded)
    assert loaded.request_id == request_id
    assert loaded.body.settings.use_extra_bufts is False
    assert h.engine.safe_mode is True
    assert h.engine.state is EngineState.READY
    h.engine.stop()
    (retry,) = h.notes.of(SafeModeRetry)
    assert "SIGABRT" in retry.error.message
    assert "tile of clay" in caplog.text
    assert not h.notes.of(EngineFailed)
    assert h.notes.states()[:6] == ["STARTING", "IDLE", "LOADING", "STARTING", "IDLE", "LOADING"]


def test_a_second_abort_is_reported(harness):
    h = harness({"load": "abort"})
    error = failure_of(h, h.engine.load("x", SETTINGS), EngineCrashedError)
    assert "crashed in safe mode while it loaded the checkpoint" in error.message
    assert len(h.notes.of(SafeModeRetry)) == 1
    assert h.engine.safe_mode is False


def test_what_was_loaded_without_repacking_is_not_retried(harness):
    h = harness({"load": "abort"})
    with pytest.raises(EngineCrashedError):
        h.load(use_extra_bufts=False)
    h.notes.wait_for(lambda notice: isinstance(notice, EngineFailed))
    assert not h.notes.of(SafeModeRetry)


def test_a_crash_before_the_first_word_is_retried_under_the_same_id(any_pipes):
    h = any_pipes({"generate": "segv_early_repacked", "words": 2})
    h.load()
    first_pid = h.engine.pid
    request_id = h.engine.generate(QUESTION)
    done = h.engine.wait(request_id, WAIT_S)
    assert isinstance(done.body, Done)
    assert done.request_id == request_id
    assert h.engine.pid != first_pid
    assert h.engine.safe_mode is True
    # Once per load: the next answer of the same checkpoint needs no retry.
    h.engine.wait(h.engine.generate(QUESTION), WAIT_S)
    h.engine.stop()
    assert h.notes.text(request_id) == "word0 word1 "
    assert len(h.notes.of(SafeModeRetry)) == 1
    assert h.notes.states()[2:10] == [
        "LOADING", "READY", "GENERATING", "STARTING", "IDLE", "LOADING", "READY", "GENERATING",
    ]  # fmt: skip


def test_a_crash_before_the_first_word_in_safe_mode_is_reported(harness):
    h = harness({"generate": "segv_early"})
    h.load()
    error = failure_of(h, h.engine.generate(QUESTION), EngineCrashedError)
    assert "in safe mode" in error.message
    assert len(h.notes.of(SafeModeRetry)) == 1
    # A new load is a new try, not in safe mode.
    h.load()
    assert h.engine.safe_mode is False


def test_other_requests_end_with_the_crash(harness):
    h = harness({"generate": "segv_late", "rate_words_s": 2})
    h.load()
    answer_id = h.engine.generate(QUESTION)
    devices_id = h.engine.request_devices()  # waits behind the answer
    failure_of(h, answer_id, EngineCrashedError)
    with pytest.raises(EngineCrashedError):
        h.engine.wait(devices_id, WAIT_S)
    assert len(h.notes.of(EngineFailed)) == 1
    assert isinstance(h.notes.bodies(answer_id)[1], Delta)
