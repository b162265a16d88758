"""GPU add-ons of the frozen program: used, refused with a reason, and never its end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.addon_samples import MODULE, compile_module, put_folder, signed_archive
from helpers.frozen_program import FrozenProgram


@pytest.fixture
def addons_dir() -> Iterator[Path]:
    """Where the user of these tests keeps add-ons, as long as one test runs."""
    folder = Path(os.environ["XDG_DATA_HOME"]) / "fathom/addons"
    folder.mkdir(parents=True, mode=0o700)
    yield folder
    shutil.rmtree(folder)


def test_an_add_on_brings_its_device_and_one_that_crashes_a_sentence(
    frozen: FrozenProgram, addons_dir: Path, tmp_path: Path
) -> None:
    put_folder(addons_dir, compile_module(tmp_path / "good.so"))
    put_folder(addons_dir, compile_module(tmp_path / "bad.so", CRASH=1), name="broken")
    found = json.loads(frozen.output("devices", "--json"))
    assert {"CPU", "CUDA0"} <= {device["name"] for device in found["devices"]}
    problems = {state["name"]: state["problem"] for state in found["addons"]}
    assert problems["cuda"] == ""
    assert problems["broken"]


def test_an_archive_that_the_programs_keys_did_not_sign_is_refused(
    frozen: FrozenProgram, addons_dir: Path, tmp_path: Path
) -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(b"stranger".ljust(32, b"."))
    archive = signed_archive(tmp_path / "cuda.tar.gz", stranger, {MODULE: b"module"})
    words = frozen.refusal("addons", "add", archive, code=2)
    assert "sign" in words
    assert not (addons_dir / "cuda").exists()
