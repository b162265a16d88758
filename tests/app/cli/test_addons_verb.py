"""``fathom addons``: lists what the engine says of each, adds what is signed, removes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from app.__main__ import main
from app.cli.checks import OK, WANTS_CUDA, WARN, check_addons
from helpers.addon_samples import MODULE, compile_module, put_folder, signed_archive
from helpers.fathom_process import assert_one_clear_line, fathom, one_object
from helpers.release_site import new_key
from helpers.window_parts import gpu
from models.runtime.protocol import AddonState

KEY, PUBLIC = new_key()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    keys = tmp_path / "keys.json"
    public = base64.b64encode(PUBLIC).decode()
    keys.write_text(json.dumps({"ed25519": [{"id": "test", "public": public}]}))
    # The keys are part of the program; nothing in the environment may name others.
    monkeypatch.setattr("models.updates.keys.KEYS_FILE", keys)
    module = compile_module(tmp_path / MODULE)
    return signed_archive(tmp_path / "cuda.tar.gz", KEY, {MODULE: module.read_bytes()})


def test_one_is_added_listed_and_removed(
    archive: Path, base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--basedir", str(base_dir)]
    assert main(["addons", "add", str(archive), *place]) == 0
    assert "CUDA, for NVIDIA GPUs is there." in capsys.readouterr().out
    assert main(["addons", "--json", *place]) == 0
    (row,) = one_object(capsys.readouterr().out)["addons"]
    assert (row["name"], row["signed"], row["in_use"], row["problem"]) == ("cuda", True, True, "")
    assert main(["addons", "rm", "cuda", *place]) == 0
    assert capsys.readouterr().out == "Removed.\n"
    assert main(["addons", "--json", *place]) == 0
    assert one_object(capsys.readouterr().out)["addons"] == []
    assert not (base_dir / "data" / "addons" / "cuda").exists()


def test_what_is_there_is_told_by_all_who_list(base_dir: Path, tmp_path: Path) -> None:
    module = compile_module(tmp_path / MODULE)
    put_folder(base_dir / "data" / "addons", module, cuda="99.0")
    done = fathom("addons", "--basedir", base_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not signed" in done.stdout
    assert "NVIDIA driver" in " ".join(done.stdout.split())
    (state,) = one_object(fathom("devices", "--json", "--basedir", base_dir).stdout)["addons"]
    assert "NVIDIA driver" in state["problem"]


def test_a_stranger_s_is_refused_in_one_line(base_dir: Path, tmp_path: Path) -> None:
    bad = signed_archive(tmp_path / "bad.tar.gz", new_key()[0], {MODULE: b"x"})
    words = assert_one_clear_line(fathom("addons", "add", bad, "--basedir", base_dir), code=2)
    assert "not signed by the makers of Fathom" in words
    words = assert_one_clear_line(fathom("addons", "add", "--basedir", base_dir), code=2)
    assert "add FILE" in words


def test_doctor_s_line() -> None:
    used = AddonState("cuda", "CUDA", "0.1.0", "")
    idle = AddonState("rocm", "ROCm", "0.1.0", "There is no driver.")
    assert check_addons((), ()).text == "none"
    assert WANTS_CUDA in check_addons((), (gpu(0, used_gb=1, total_gb=24),)).text
    assert (check_addons((used,), ()).status, check_addons((used, idle), ()).status) == (OK, WARN)
    assert "rocm: There is no driver." in check_addons((used, idle), ()).text
