"""Windowed programs, no terminal, foreign locales, folders with any name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.fake_hub import fake_hub
from helpers.transfers import (
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.job import JobState
from models.transfer.protocol import path_from_text, path_text, spec_to_json

FILES = gguf_shards(2, 300_000)
PARENT = Path(__file__).resolve().parents[2] / "helpers" / "transfer_parent.py"


def test_a_windowed_program_has_no_standard_streams(base_dir: Path) -> None:
    # With the library that would fail first: it prints to stderr.
    with fake_hub() as hub, running_client(base_dir, no_stderr=1) as (client, heard):
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES), make_root(base_dir))
        client.add(spec)
        heard.wait_for_state(JobState.READY)
    assert_all_there(spec, FILES)


@pytest.mark.skipif(sys.platform == "win32", reason="names there are always Unicode")
@pytest.mark.parametrize("name", ["深度 求索 user", "Größe"])
def test_a_parent_of_another_locale_means_the_same_folder(tmp_path: Path, name: str) -> None:
    base_dir = tmp_path / name
    with fake_hub() as hub:
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES), make_root(base_dir))
        spec_file = tmp_path / "spec.json"
        spec_file.write_text(json.dumps(spec_to_json(spec)), "utf-8")
        env = {
            **os.environ,
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONIOENCODING": "ascii:backslashreplace",
        }
        done = subprocess.run(
            [sys.executable, "-P", str(PARENT), str(base_dir), str(spec_file)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert done.stdout.split() == [b"ready", b"ascii"], done.stderr
    assert_all_there(spec, FILES)


@pytest.mark.skipif(sys.platform == "win32", reason="names there are always Unicode")
def test_a_name_that_is_no_text_survives_the_pipe() -> None:
    path = Path(os.fsdecode(b"/tmp/\xff\xfe name"))
    assert path_from_text(json.loads(json.dumps(path_text(path)))) == path
