"""``fathom inspect``: the table, the JSON object, and what goes wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers import raw_gguf as raw
from helpers.fake_hub import fake_hub
from helpers.fathom_process import assert_one_clear_line, fathom, one_object
from helpers.tiny_gguf import TinyModel, truncate, write_text, write_tiny, write_tiny_shards

REPO_ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_v3(base_dir: Path, tmp_path: Path) -> None:
    path = raw.true_scale("v3-q4km", tmp_path)
    done = fathom("inspect", path, "--basedir", base_dir, env={"COLUMNS": "100"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == "DeepSeek-V3"
    assert "parameters     671B, 36.6B active per token" in lines
    assert "experts        256 routed, 8 used per token, 1 shared" in lines
    assert "layers         61, the first 3 dense; none for MTP" in lines
    assert "trained for    163,840 tokens" in lines
    assert "a token reads  22.9 GB of weights" in lines
    assert any(re.fullmatch(r"  f16 +70,272 +2\.30 GB", line) for line in lines)
    assert any(re.match(r"  routed experts +394 GB +97\.\d %", line) for line in lines)
    assert max(map(len, lines)) <= 100


def test_a_pre_mla_file_is_flagged(base_dir: Path, tmp_path: Path) -> None:
    path = raw.true_scale("v3-legacy-q4km", tmp_path)
    done = fathom("inspect", path, "--basedir", base_dir)
    words = " ".join(done.stdout.split())
    assert "164 GB (152 GiB) at 32,768 tokens instead of 2.30 GB (2.1 GiB)" in words


def test_json_has_the_documented_keys(base_dir: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("deepseek2", mtp=True))
    done = fathom("inspect", path, "--json", "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    data = one_object(done.stdout)
    assert data["has_mtp"]
    assert data["template"]["opens_reasoning"] == "never"
    assert data["kv_bytes_per_token"]["f16"] == 3 * 2 * 96
    section = (REPO_ROOT / "README.md").read_text(encoding="utf-8")
    section = section.split("### fathom inspect")[1].split("### ")[0]
    documented = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert set(data) == {key for cell in documented for key in re.findall(r"`(\w+)`", cell)}


def test_any_file_of_a_set_stands_for_all(base_dir: Path, tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, TinyModel("deepseek2"))
    data = one_object(fathom("inspect", paths[1], "--json", "--basedir", base_dir).stdout)
    assert [file["name"] for file in data["files"]] == [path.name for path in paths]
    assert data["size_bytes"] == sum(path.stat().st_size for path in paths)


def test_a_checkpoint_on_the_hub_is_inspected_by_its_header(base_dir: Path) -> None:
    data, size_bytes = raw.true_scale_bytes("v3-q4km")
    with fake_hub() as server:
        server.add("deep/V3-GGUF", "Q4_K_M/v3.gguf", data, size_bytes=size_bytes)
        done = fathom(
            "inspect",
            "deep/V3-GGUF/Q4_K_M/v3.gguf",
            "--json",
            "--basedir",
            base_dir,
            env={"HF_ENDPOINT": server.endpoint},
        )
        sent_bytes = server.sent_bytes
    assert (done.returncode, done.stderr) == (0, "")
    found = one_object(done.stdout)
    assert (found["is_remote"], found["size_bytes"]) == (True, size_bytes)
    assert found["kv_bytes_per_token"]["f16"] == 70_272
    assert sent_bytes < 20_000_000


def test_words_of_a_stranger_do_not_reach_the_terminal_as_they_are(
    base_dir: Path, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel(name="Red\x1b[31mAlert"))
    done = fathom("inspect", path, "--basedir", base_dir)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "Alert" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_not_there_is_one_line(options: tuple[str, ...], base_dir: Path) -> None:
    done = fathom("inspect", "/nowhere/a.gguf", *options, "--basedir", base_dir)
    assert "/nowhere/a.gguf" in assert_one_clear_line(done, code=2)
    if options:
        assert one_object(done.stdout)["error"]["code"] == "checkpoint_not_found"


def test_what_is_no_gguf_file_is_one_line(base_dir: Path, tmp_path: Path) -> None:
    done = fathom("inspect", write_text(tmp_path / "a.gguf"), "--basedir", base_dir)
    assert "not a GGUF file" in assert_one_clear_line(done, code=2)


def test_a_file_that_was_cut_off_is_one_line(base_dir: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    truncate(path, keep=0.7)
    done = fathom("inspect", path, "--basedir", base_dir)
    assert "incomplete" in assert_one_clear_line(done, code=2)


def test_numbers_that_cannot_be_true_are_one_line(base_dir: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("deepseek2"), expert_count=2**31)
    done = fathom("inspect", path, "--basedir", base_dir)
    assert "expert_count" in assert_one_clear_line(done, code=2)
