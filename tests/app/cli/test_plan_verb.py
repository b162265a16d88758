"""``fathom plan``: whole runs of the program on headers at full size and described machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.described_machines import machine
from helpers.fathom_process import assert_one_clear_line, fathom, one_object
from helpers.tiny_gguf import TinyModel, write_tiny, write_unknown_architecture
from helpers.true_scale import true_scale
from models.planner.machine_file import machine_to_json

_KEYS = {
    "checkpoint",
    "fits",
    "tier",
    "settings",
    "devices",
    "host",
    "disk_bytes",
    "decode_tok_s",
    "prefill_tok_s",
    "bound_by",
    "explanation",
    "warnings",
    "llama_cpp_flags",
    "alternatives",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with checkpoints of which only the headers take room."""
    for name in ("v2lite-q4km", "v3-q4km"):
        for file in true_scale(name).files:
            path = tmp_path / "models" / file.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.header)
            with path.open("r+b") as stream:
                stream.truncate(file.size_bytes)
    return tmp_path / "models"


def described(tmp_path: Path, *cards: float, ram: float = 64) -> Path:
    file = tmp_path / "machine.json"
    file.write_text(machine_to_json(machine(cards, ram)))
    return file


@pytest.mark.model
def test_a_plan_is_checked_with_llama_cpp(base_dir: Path, folder: Path, tmp_path: Path) -> None:
    on = described(tmp_path, 24, ram=512)
    done = fathom("plan", folder / "v3-q4km.gguf", "--machine", on, "--json", "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    data = one_object(done.stdout)
    assert set(data) >= _KEYS
    assert data["tier"] == "exact"
    assert data["fits"]
    card = next(device for device in data["devices"] if device["name"] == "CUDA0")
    assert card["routed_bytes"] > 0
    assert card["used_bytes"] <= card["budget_bytes"]
    assert card["used_bytes"] == sum(
        card[f"{part}_bytes"] for part in ("weights", "kv", "compute", "output")
    )
    # Nothing of the dry run is left behind.
    assert not list((base_dir / "cache").rglob("*.gguf"))


def test_what_is_fixed_is_kept_and_the_machine_may_be_any(
    base_dir: Path, folder: Path, tmp_path: Path
) -> None:
    done = fathom(
        "plan",
        folder / "v2lite-q4km.gguf",
        *("--machine", described(tmp_path, 8, 8)),
        *("--ctx", "4096", "--kv", "q8_0", "--profile", "prefill"),
        *("--fix", "n_ubatch=256", "--fix", "op_offload=off"),
        *("--fast", "--json", "--basedir", base_dir),
    )
    data = one_object(done.stdout)
    assert data["tier"] == "fast"
    assert data["profile"] == "prefill"
    settings = data["settings"]
    assert (settings["n_ctx"], settings["n_ubatch"], settings["op_offload"]) == (4096, 256, False)
    assert settings["type_k"] == settings["type_v"] == "q8_0"
    assert set(data["fixed"]) == {"n_ctx", "type_k", "type_v", "n_ubatch", "op_offload"}


def test_the_text_says_where_everything_goes(base_dir: Path, folder: Path, tmp_path: Path) -> None:
    on = described(tmp_path, 12)
    path = folder / "v2lite-q4km.gguf"
    done = fathom("plan", path, "--machine", on, "--fast", "--basedir", base_dir)
    assert done.returncode == 0
    for words in ("DeepSeek-V2-Lite", "Fits", "CUDA0", "tok/s", "llama.cpp: -c", "Everything lies"):
        assert words in done.stdout


def test_several_are_compared_and_one_is_recommended(
    base_dir: Path, folder: Path, tmp_path: Path
) -> None:
    on = described(tmp_path, 12, ram=32)
    done = fathom("plan", "--compare", folder, "--machine", on, "--json", "--basedir", base_dir)
    assert done.returncode == 0
    rows = json.loads(done.stdout)["rows"]
    assert [row["name"] for row in rows] == ["DeepSeek-V2-Lite", "DeepSeek-V3"]
    assert [row["recommended"] for row in rows] == [True, False]
    assert rows[0]["where"] == "gpu"
    assert rows[0]["most_ctx"] > rows[0]["plan"]["settings"]["n_ctx"]
    assert rows[1]["where"] == "disk"
    text = fathom("plan", "--compare", folder, "--machine", on, "--basedir", base_dir).stdout
    assert [line[0] for line in text.splitlines()[:3]] == [" ", ">", " "]
    assert "(recommended)" in text


def test_an_unreadable_file_is_a_row_of_its_own(
    base_dir: Path, folder: Path, tmp_path: Path
) -> None:
    broken = folder / "broken.gguf"
    broken.write_bytes(b"GGUF")
    on = described(tmp_path, 12)
    done = fathom("plan", "--compare", folder, "--machine", on, "--json", "--basedir", base_dir)
    rows = json.loads(done.stdout)["rows"]
    assert rows[-1]["error"]["code"] == "corrupt_gguf" or "gguf" in rows[-1]["error"]["code"]
    assert len(rows) == 3


def test_what_does_not_fit_exits_with_one(base_dir: Path, folder: Path, tmp_path: Path) -> None:
    on = described(tmp_path, 8, ram=16)
    done = fathom(
        "plan",
        folder / "v2lite-q4km.gguf",
        *("--machine", on, "--fix", "n_gpu_layers=28", "--fix", "expert_layers=26", "--fast"),
        *("--basedir", base_dir),
    )
    assert done.returncode == 1
    assert "Does not fit" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing-here.gguf",), "nothing-here"),
        (("a", "b"), "--compare"),
        (("demo", "--fix", "n_ctx=x"), "n_ctx"),
        (("demo", "--machine", "/no/such/machine.json"), "machine"),
        (("demo", "--ctx", "0"), "whole number"),
        (("demo", "--kv", "q3"), "kv"),
        (("demo", "--exact", "--fast"), "--fast"),
    ],
)
def test_bad_input_is_one_line(base_dir: Path, arguments: tuple[str, ...], words: str) -> None:
    done = fathom("plan", *arguments, "--basedir", base_dir)
    assert words in assert_one_clear_line(done, code=2)


def test_a_machine_file_that_describes_nothing_is_refused(base_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_text('{"gpus": 3}')
    done = fathom("plan", "demo", "--machine", file, "--basedir", base_dir)
    assert "gpus" in assert_one_clear_line(done, code=2)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ("devices=CUDA9", "no device CUDA9"),
        ("tensor_split=1,2,3", "3 shares for 1 GPU"),
        ("gpu_share=CUDA7:50%", "no device CUDA7"),
        ("overrides=exps=CUDA4", "no device CUDA4"),
        ("expert_layers=27", "27 layers"),
        ("n_ctx=100000000", "n_ctx"),
        ("margin_bytes=-1", "margin_bytes"),
    ],
)
def test_a_wish_that_cannot_be_kept_is_one_line(
    base_dir: Path, folder: Path, tmp_path: Path, fixed: str, words: str
) -> None:
    on = described(tmp_path, 12)
    path = folder / "v2lite-q4km.gguf"
    done = fathom("plan", path, "--machine", on, "--fast", "--fix", fixed, "--basedir", base_dir)
    assert words in assert_one_clear_line(done, code=2)


def test_a_set_that_lacks_a_part_is_a_row_that_says_so(
    base_dir: Path, folder: Path, tmp_path: Path
) -> None:
    for file in true_scale("v2lite-q8", 3).files[1:]:
        with (folder / file.name).open("wb") as stream:
            stream.write(file.header)
            stream.truncate(file.size_bytes)
    on = described(tmp_path, 12)
    done = fathom("plan", "--compare", folder, "--machine", on, "--json", "--basedir", base_dir)
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 3
    assert rows[-1]["error"]["code"] == "missing_shard"
    assert done.returncode == 0


def test_a_hostile_name_writes_nothing_to_the_terminal(base_dir: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tïny one.gguf", TinyModel(name="evil\x1b[2J\x07name"))
    on = described(tmp_path, 12)
    for arguments in (("plan", "--fast"), ("plan", "--compare"), ("inspect",)):
        verb, *options = arguments
        machine_file = ("--machine", on) if verb == "plan" else ()
        done = fathom(verb, path, *options, *machine_file, "--basedir", base_dir)
        assert done.returncode == 0, done.stderr
        # A comparison leaves out the name that all rows share.
        assert "name" in done.stdout or "--compare" in options
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout


def test_another_architecture_is_planned_and_said_to_be_approximate(
    base_dir: Path, tmp_path: Path
) -> None:
    on = described(tmp_path, 12)
    path = write_unknown_architecture(tmp_path / "unknown.gguf")
    done = fathom("plan", path, "--machine", on, "--fast", "--json", "--basedir", base_dir)
    data = one_object(done.stdout)
    assert data["checkpoint"]["is_approximate"]
    assert any("approximate" in text for text in data["warnings"])
