"""An add-on from its folder to the user's: packed, signed, added, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from app.packaging.addon import main
from helpers.addon_samples import GGML, MODULE, compile_module
from helpers.release_site import new_key
from models.addons.archive import add_addon
from models.addons.installed import find_addons, host_here
from models.errors import AddonError

KEY, PUBLIC = new_key()
LINKING = "int other(void);\nint ggml_backend_init(void) { return other(); }\n"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    compile_module(tmp_path / "built" / MODULE)
    (tmp_path / "built" / "LICENCE.txt").write_text("Free.")
    return tmp_path / "built"


def packed(folder: Path, out: Path, *more: str) -> Path:
    options = ["--name", "cuda", "--title", "CUDA, for NVIDIA GPUs", "--cuda", "13.0"]
    assert main([str(folder), *options, *more, "--out", str(out)]) == 0
    (archive,) = out.iterdir()
    return archive


def test_what_is_packed_can_be_added(folder: Path, key: Path, tmp_path: Path) -> None:
    archive = packed(folder, tmp_path / "out", "--key", str(key))
    assert archive.name.startswith("fathom-addon-cuda-")
    manifest = add_addon(archive, tmp_path / "addons", keys=[PUBLIC], host=host_here(GGML))
    assert (manifest.module, manifest.cuda, manifest.ggml) == (MODULE, "13.0", GGML)
    (found,) = find_addons(tmp_path / "addons", host_here(GGML))
    assert found.problem == ""
    assert (found.folder / "LICENCE.txt").read_text() == "Free."


def test_the_same_folder_gives_the_same_archive(folder: Path, key: Path, tmp_path: Path) -> None:
    first = packed(folder, tmp_path / "one", "--key", str(key))
    (folder / MODULE).touch()
    second = packed(folder, tmp_path / "two", "--key", str(key))
    assert first.read_bytes() == second.read_bytes()


def test_one_that_is_not_signed_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = packed(folder, tmp_path / "out")
    assert "not signed" in capsys.readouterr().out
    with pytest.raises(AddonError, match="not signed"):
        add_addon(archive, tmp_path / "addons", keys=[PUBLIC], host=host_here())


def test_a_folder_that_is_not_whole_is_not_packed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> str:
        command = [str(folder), "--name", "cuda", "--title", "CUDA", "--out", str(tmp_path / "out")]
        assert main(command) == 2
        return capsys.readouterr().err

    source = tmp_path / "other.c"
    source.write_text("int other(void) { return 0; }\n")
    other = compile_module(tmp_path / "libother.so", source=source)
    source.write_text(LINKING)
    module = folder / "libggml-cuda.so"
    module.unlink()
    assert "one module" in refused()
    compile_module(module, str(other), source=source)
    assert "needs" in refused()
    # Its own library lies beside it, and it would not look there.
    (folder / "libother.so").write_bytes(other.read_bytes())
    compile_module(module, f"-L{tmp_path}", "-lother", source=source)
    assert "beside itself" in refused()
    compile_module(module, f"-L{tmp_path}", "-lother", "-Wl,-rpath,$ORIGIN", source=source)
    packed(folder, tmp_path / "out")
