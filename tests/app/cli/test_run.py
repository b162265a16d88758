"""``fathom run`` in real processes: good answers, bad input, Ctrl-C, pipes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpers.fathom_process import FATHOM, TIMEOUT_S, assert_one_clear_line, fathom, one_object
from helpers.tiny_gguf import (
    REASONING_CHATML,
    TinyModel,
    patch,
    set_counts,
    truncate,
    write_text,
    write_tiny,
    write_unknown_architecture,
)
from models.library.demo import find_demo

JSON_KEYS = [
    "text",
    "reasoning",
    "prompt_tokens",
    "completion_tokens",
    "ttft_s",
    "prefill_tok_s",
    "decode_tok_s",
    "stop_reason",
    "devices",
    "peak_rss_bytes",
]
DEVICE_KEYS = ["name", "weights_bytes", "kv_bytes", "compute_bytes"]
SKY = ["--prompt", "Why is the sky blue?", "--temp", "0", "--seed", "1", "--ctx", "512"]
LONG_STORY = ["--prompt", "Tell a very long story about the sea.", "--temp", "0", "--ctx", "2048"]

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")


@pytest.fixture
def demo_copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that may be damaged."""
    demo = find_demo()
    assert demo is not None
    return Path(shutil.copy(demo, tmp_path / "copy.gguf"))


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.model
def test_a_sensible_answer_with_the_documented_keys(base_dir: Path) -> None:
    limits = ["--max-tokens", "24", "--json"]
    done = fathom("run", "demo", *SKY, *limits, "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    data = one_object(done.stdout)
    assert list(data) == JSON_KEYS
    assert "scattering" in data["text"]
    assert data["reasoning"] == ""
    assert data["stop_reason"] in ("end", "length")
    assert 0 < data["completion_tokens"] <= 24
    assert data["prompt_tokens"] > 5
    assert data["ttft_s"] > 0
    assert data["prefill_tok_s"] > 0
    assert data["decode_tok_s"] > 0
    assert [list(device) for device in data["devices"]] == [DEVICE_KEYS] * len(data["devices"])
    weights_bytes = sum(device["weights_bytes"] for device in data["devices"])
    assert 80_000_000 < weights_bytes < 120_000_000
    assert data["peak_rss_bytes"] > weights_bytes


@pytest.mark.model
def test_the_answer_goes_to_stdout_and_the_figures_to_stderr(base_dir: Path) -> None:
    arguments = ["run", "demo", *SKY, "--max-tokens", "24"]
    first = fathom(*arguments, "--basedir", base_dir)
    second = fathom(*arguments, "--basedir", base_dir)
    assert first.returncode == 0
    assert "scattering" in first.stdout
    assert first.stdout == second.stdout
    assert first.stdout.endswith("\n")
    figures = first.stderr.splitlines()[-1]
    assert figures.startswith("fathom: ")
    assert "tok/s" in figures
    assert "first token after" in figures
    assert "\x1b" not in first.stderr


@pytest.mark.model
def test_a_system_prompt_and_a_question_from_standard_input(base_dir: Path) -> None:
    done = fathom(
        "run",
        "demo",
        "--prompt",
        "-",
        "--system",
        "You answer with the word banana.",
        "--max-tokens",
        "3",
        "--json",
        "--basedir",
        base_dir,
        stdin="What is your favourite fruit?",
    )
    assert done.returncode == 0
    data = one_object(done.stdout)
    assert data["completion_tokens"] <= 3
    assert data["prompt_tokens"] > 10


@pytest.mark.model
def test_reasoning_is_kept_apart_and_never_goes_to_a_pipe(tmp_path: Path, base_dir: Path) -> None:
    model = TinyModel("deepseek2", template=REASONING_CHATML)
    path = write_tiny(tmp_path / "tiny.gguf", model)
    arguments = ["run", path, "--prompt", "x", "--seed", "3", "--max-tokens", "8"]
    data = one_object(fathom(*arguments, "--json", "--basedir", base_dir).stdout)
    assert data["reasoning"]
    assert data["text"] == ""
    plain = fathom(*arguments, "--basedir", base_dir)
    assert (plain.returncode, plain.stdout) == (0, "")


@pytest.mark.model
def test_settings_apply_unless_an_option_says_otherwise(base_dir: Path) -> None:
    folder = base_dir / "config"
    folder.mkdir()
    (folder / "settings.toml").write_text(
        "[chat]\nmax_tokens = 2\n[sampling]\ntemperature = 0.0\n", encoding="utf-8"
    )
    arguments = ["run", "demo", "--prompt", "Hi", "--json", "--basedir", base_dir]
    assert one_object(fathom(*arguments).stdout)["completion_tokens"] == 2
    longer = one_object(fathom(*arguments, "--max-tokens", "4").stdout)
    assert longer["completion_tokens"] == 4
    assert longer["stop_reason"] == "length"


# --- bad input: one line, code 2 ------------------------------------------------------------------


def run_bad(model: str | Path, base_dir: Path, *more: str) -> str:
    done = fathom("run", model, "--prompt", "x", *more, "--basedir", base_dir)
    assert done.stdout == ""
    return assert_one_clear_line(done, code=2)


def test_no_such_file(tmp_path: Path, base_dir: Path) -> None:
    line = run_bad(tmp_path / "nothing.gguf", base_dir)
    assert "nothing.gguf" in line


def test_no_such_name(base_dir: Path) -> None:
    assert "demo" in run_bad("dmeo", base_dir)


def test_a_folder(tmp_path: Path, base_dir: Path) -> None:
    assert "folder" in run_bad(tmp_path, base_dir)


def test_a_text_file_named_gguf(tmp_path: Path, base_dir: Path) -> None:
    assert "notes.gguf" in run_bad(write_text(tmp_path / "notes.gguf"), base_dir)


def test_an_empty_file(tmp_path: Path, base_dir: Path) -> None:
    run_bad(write_text(tmp_path / "empty.gguf", ""), base_dir)


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01, 0.0001])
def test_a_truncated_checkpoint(demo_copy: Path, base_dir: Path, keep: float) -> None:
    truncate(demo_copy, keep=keep)
    assert "copy.gguf" in run_bad(demo_copy, base_dir)


def test_an_unknown_architecture(tmp_path: Path, base_dir: Path) -> None:
    path = write_unknown_architecture(tmp_path / "new.gguf")
    assert "deepseek99" in run_bad(path, base_dir)


def test_a_header_with_impossible_counts(demo_copy: Path, base_dir: Path) -> None:
    set_counts(demo_copy, tensors=2**63)
    assert "copy.gguf" in run_bad(demo_copy, base_dir)


def test_a_header_of_noise(demo_copy: Path, base_dir: Path) -> None:
    patch(demo_copy, 24, b"\xff" * 4096)
    assert "copy.gguf" in run_bad(demo_copy, base_dir)


def test_hyperparameters_that_would_abort_llama_cpp(tmp_path: Path, base_dir: Path) -> None:
    run_bad(write_tiny(tmp_path / "tiny.gguf", block_count=0), base_dir)


@pytest.mark.model
def test_a_context_that_cannot_fit_in_memory(base_dir: Path) -> None:
    line = run_bad("demo", base_dir, "--ctx", "16777216")
    assert "context" in line


@pytest.mark.model
def test_a_prompt_longer_than_the_context(base_dir: Path) -> None:
    done = fathom(
        "run", "demo", "--prompt", "-", "--ctx", "256", "--basedir", base_dir, stdin="word " * 900
    )
    assert_one_clear_line(done, code=2)


def test_a_prompt_that_is_no_text(base_dir: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*FATHOM, "run", "demo", "--prompt", "-", "--basedir", base_dir],
        input=b"\xff\xfe\xfa",
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert b"UTF-8" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_bad_input_with_json_is_an_object_too(tmp_path: Path, base_dir: Path) -> None:
    path = write_text(tmp_path / "notes.gguf")
    done = fathom("run", path, "--prompt", "x", "--json", "--basedir", base_dir)
    assert done.returncode == 2
    error = one_object(done.stdout)["error"]
    assert list(error) == ["code", "message", "hint", "details"]
    assert error["code"] == "not_gguf"
    assert len(done.stderr.splitlines()) == 1


# --- Ctrl-C and pipes -----------------------------------------------------------------------------


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``fathom`` and end it at the latest with the block."""
    child = subprocess.Popen(
        [*FATHOM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


@posix_only
@pytest.mark.model
def test_ctrl_c_keeps_the_answer_so_far(base_dir: Path) -> None:
    with running("run", "demo", *LONG_STORY, "--basedir", base_dir) as child:
        assert child.stdout
        assert child.stderr
        first = child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        rest, words = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 130
    assert first
    assert rest.endswith(b"\n")
    assert b"stopped by you" in words
    assert b"Traceback" not in words


@posix_only
@pytest.mark.model
def test_ctrl_c_with_json_prints_what_there_is(base_dir: Path) -> None:
    with running("run", "demo", *LONG_STORY, "--json", "--debug", "--basedir", base_dir) as child:
        assert child.stderr
        # The debug log says when the answer has begun.
        while b"engine: generating" not in (line := child.stderr.readline()):
            assert line
        child.send_signal(signal.SIGINT)
        out, words = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 130
    assert one_object(out.decode())["stop_reason"] == "cancelled"
    assert b"Traceback" not in words


@posix_only
@pytest.mark.model
def test_a_second_ctrl_c_ends_at_once(base_dir: Path) -> None:
    with running("run", "demo", *LONG_STORY, "--basedir", base_dir) as child:
        assert child.stdout
        child.stdout.read(1)
        # Stopped, so that both arrive before anything is done about the first.
        for number in (signal.SIGINT, signal.SIGINT):
            child.send_signal(number)
        _, words = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 130
    assert b"Traceback" not in words


@posix_only
@pytest.mark.model
def test_a_reader_that_leaves_early_ends_the_run_without_a_word(base_dir: Path) -> None:
    with running("run", "demo", *LONG_STORY, "--basedir", base_dir) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.read(4)
        child.stdout.close()
        assert child.wait(TIMEOUT_S) == 141
        assert child.stderr.read() == b""


@posix_only
@pytest.mark.model
def test_on_a_terminal_the_load_shows_progress(base_dir: Path) -> None:
    import pty

    reader_fd, writer_fd = pty.openpty()
    try:
        child = subprocess.Popen(
            [*FATHOM, "run", "demo", *SKY, "--max-tokens", "3", "--basedir", str(base_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writer_fd,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(writer_fd)
        with child:
            shown = read_terminal(reader_fd)
            answer, _ = child.communicate(timeout=TIMEOUT_S)
    finally:
        os.close(reader_fd)
    assert child.returncode == 0
    assert answer.endswith(b"\n")
    assert "Loading SmolLM2 135M Instruct" in shown
    assert "\r\x1b[2Kfathom: 3 tokens at " in shown


def read_terminal(reader_fd: int) -> str:
    """Return all that is written to a terminal; a slow load shows more than it gives at once."""
    shown = b""
    # Linux says so when nobody has it open any more, others with an empty read.
    with suppress(OSError):
        while more := os.read(reader_fd, 65536):
            shown += more
    return shown.decode()
