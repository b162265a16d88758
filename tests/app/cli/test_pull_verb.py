"""``search``, ``pull``, ``ls``, ``verify`` and ``rm``: whole runs beside a hub on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.pull import _queue_folder
from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.fathom_process import FATHOM, assert_one_clear_line, fathom, one_object
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from helpers.transfers import gguf_shards
from models.errors import DiskError

REPOSITORY = "maker/DeepSeek-Tiny-GGUF"
STREAM_KEYS = {"state", "bytes_done", "bytes_total", "rate_bytes_s", "eta_s", "bytes_refetched"}
FETCHED_BYTES = 400_000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        # Whether a mirror can be compared with Hugging Face is tested with the hub.
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        yield running


@pytest.fixture
def offered(hub: FakeHub, tmp_path: Path) -> dict[str, bytes]:
    """Put a checkpoint in one file and one in shards on the hub; return the files."""
    folder = tmp_path / "offered"
    folder.mkdir()
    model = TinyModel("deepseek2")
    one = write_tiny(folder / "DeepSeek-Tiny-Q8_0.gguf", model)
    shards = write_tiny_shards(folder, model, stem="DeepSeek-Tiny-F16")
    files = {path.name: path.read_bytes() for path in (one, *shards)}
    for name, data in files.items():
        hub.add(REPOSITORY, name, data)
    hub.add(REPOSITORY, "README.md", "---\nlicense: mit\n---\n# Tiny\n")
    hub.add(REPOSITORY, "train.py", "print('never fetched')\n")
    return files


def pulled(base_dir: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    done = fathom("pull", REPOSITORY, *more, "--json", "--basedir", base_dir)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def folder_of(base_dir: Path) -> Path:
    return base_dir / "data" / "models" / REPOSITORY


def test_search_finds_repositories_and_says_when_there_are_none(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path
) -> None:
    done = fathom("search", "deepseek", "tiny", "--json", "--basedir", base_dir)
    assert done.returncode == 0, done.stderr
    (hit,) = one_object(done.stdout)["hits"]
    assert hit["repository"] == REPOSITORY
    plain = fathom("search", "tiny", "--basedir", base_dir)
    assert REPOSITORY in plain.stdout
    nothing = fathom("search", "no-such-words", "--basedir", base_dir)
    assert nothing.returncode == 1
    assert "no-such-words" in nothing.stdout


def test_a_set_is_pulled_checked_listed_verified_and_deleted(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path
) -> None:
    done, lines = pulled(base_dir, "--quant", "f16")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(set(line) >= STREAM_KEYS for line in lines)
    assert lines[0]["state"] == "queued"
    assert lines[-1]["state"] == "ready"
    assert lines[-1]["bytes_done"] == lines[-1]["bytes_total"]
    progress = [line["bytes_done"] for line in lines]
    assert progress == sorted(progress)
    folder = folder_of(base_dir)
    parts = {name: data for name, data in offered.items() if "-of-" in name}
    assert len(parts) > 1
    assert lines[-1]["path"] == str(folder / min(parts))
    for name, data in parts.items():
        assert (folder / name).read_bytes() == data
    assert {path.name for path in folder.iterdir()} == {*parts, "README.md", ".fathom"}

    listed = one_object(fathom("ls", "--json", "--basedir", base_dir).stdout)["checkpoints"]
    (entry,) = [one for one in listed if one["source"] == "fathom"]
    assert (entry["repository"], entry["shards"]) == (REPOSITORY, len(parts))
    assert entry["verified_s"] is not None

    intact = fathom("verify", entry["name"], "--json", "--basedir", base_dir)
    assert one_object(intact.stdout)["is_good"]
    refused = fathom("rm", entry["name"], "--basedir", base_dir)
    assert "--yes" in assert_one_clear_line(refused, code=2)
    gone = fathom("rm", entry["name"], "--yes", "--for-good", "--json", "--basedir", base_dir)
    assert len(one_object(gone.stdout)["deleted"]) >= len(parts)
    assert not list(base_dir.rglob("*.gguf"))


def test_damage_is_told_and_repaired_by_what_is_damaged_alone(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path
) -> None:
    pulled(base_dir, "--file", "DeepSeek-Tiny-Q8_0.gguf")
    path = folder_of(base_dir) / "DeepSeek-Tiny-Q8_0.gguf"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    told = fathom("verify", "DeepSeek-Tiny-Q8_0", "--basedir", base_dir)
    assert "--repair" in assert_one_clear_line(told, code=1)
    mended = fathom("verify", "DeepSeek-Tiny-Q8_0", "--repair", "--json", "--basedir", base_dir)
    assert mended.returncode == 0, mended.stderr
    assert path.read_bytes() == offered[path.name]
    again = fathom("verify", "DeepSeek-Tiny-Q8_0", "--json", "--basedir", base_dir)
    assert one_object(again.stdout)["is_good"]


def test_without_a_quant_the_best_for_this_machine_is_taken(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path
) -> None:
    done = fathom("pull", REPOSITORY, "--basedir", base_dir)
    assert done.returncode == 0, done.stderr
    assert "tok/s" in done.stderr
    # Of two that are fast enough: 16 bits a weight are no better than 8.
    assert Path(done.stdout.strip()).name == "DeepSeek-Tiny-Q8_0.gguf"


def test_what_is_here_already_is_not_fetched_again(
    hub: FakeHub,
    offered: dict[str, bytes],
    base_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (name,) = (name for name in offered if "-of-" not in name)
    # In another program's cache, under its digest.
    content = hub.files[REPOSITORY, name]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    cache = tmp_path / "hf" / "hub" / "models--maker--Other"
    blob = cache / "blobs" / content.sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(offered[name])
    link = cache / "snapshots" / ("a" * 40) / name
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    done, lines = pulled(base_dir, "--file", name)
    assert done.returncode == 0, done.stderr
    assert [line["state"] for line in lines] == ["ready"]
    assert Path(lines[0]["path"]).read_bytes() == offered[name]
    assert not folder_of(base_dir).exists()
    assert not hub.seen("cdn")


def test_ctrl_c_keeps_what_came_and_the_same_command_goes_on(hub: FakeHub, base_dir: Path) -> None:
    ((name, data),) = gguf_shards(1, 3_000_000, stem="big-Q8_0").items()
    hub.add(REPOSITORY, name, data)
    hub.rate_bytes_s = 1_000_000
    command = [*FATHOM, "pull", REPOSITORY, "--quant", "Q8_0", "--basedir", base_dir]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as running:
        hub.wait_for_bytes(FETCHED_BYTES)
        running.send_signal(signal.SIGINT)
        words = running.communicate()[1]
    assert running.returncode == 130
    assert words.splitlines()[-1].startswith("fathom: Stopped.")
    before = hub.sent_bytes
    hub.rate_bytes_s = None
    done, lines = pulled(base_dir, "--quant", "Q8_0")
    assert lines[-1]["state"] == "ready", done.stderr
    assert hub.sent_bytes - before < len(data) - FETCHED_BYTES // 4
    assert (folder_of(base_dir) / name).read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["maker/None-GGUF"], "no repository"),
        ([REPOSITORY, "--quant", "Q9_K"], "Did you mean Q8_0?"),
        ([REPOSITORY, "--file", "DeepSeek-Tiny-Q8.gguf"], "DeepSeek-Tiny-Q8_0"),
        (["r1-distil-qwen-7b"], "r1-distill-qwen-7b"),
        (["maker/Gated-GGUF"], "logged in"),
        ([REPOSITORY, "--quant", "Q8_0", "--to", "nowhere"], "no folder"),
    ],
)
def test_bad_input_is_one_clear_line(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path, arguments: list[str], words: str
) -> None:
    hub.add("maker/Gated-GGUF", "gated-Q8_0.gguf", offered["DeepSeek-Tiny-Q8_0.gguf"])
    hub.gated.add("maker/Gated-GGUF")
    done = fathom("pull", *arguments, "--basedir", base_dir)
    assert words in assert_one_clear_line(done, code=2)
    assert not list(base_dir.rglob("*.gguf*"))


def test_a_hub_that_sends_something_else_is_an_error_and_nothing_is_ready(
    hub: FakeHub, offered: dict[str, bytes], base_dir: Path
) -> None:
    hub.fail("cdn", Fault("corrupt", after=100), path="DeepSeek-Tiny-Q8_0", times=None)
    done, lines = pulled(base_dir, "--quant", "Q8_0")
    assert done.returncode == 1
    assert lines[-1]["error"]["code"] == "corrupt_download"
    assert not list(base_dir.rglob("*.gguf"))


def test_offline_is_said(offered: dict[str, bytes], base_dir: Path) -> None:
    done = fathom("pull", REPOSITORY, "--basedir", base_dir, env={"HF_HUB_OFFLINE": "1"})
    assert "offline" in assert_one_clear_line(done, code=1)


def test_what_killed_runs_left_is_swept_and_what_runs_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    killed, other = tmp_path / f"fathom-pull-{ended.pid}-a", tmp_path / "fathom-pull-x-a"
    runs = tmp_path / f"fathom-pull-{os.getppid()}-a"
    for folder in (killed, other, runs):
        (folder / "inside").mkdir(parents=True)
    made = _queue_folder()
    assert set(tmp_path.iterdir()) == {other, runs, made}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with pytest.raises(DiskError, match="temporary"):
        _queue_folder()


def test_without_a_stream_for_errors_nothing_crashes(base_dir: Path) -> None:
    command = [*FATHOM, "ls", "--basedir", str(base_dir)]
    shell = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    done = subprocess.run(shell, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"name" in done.stdout
