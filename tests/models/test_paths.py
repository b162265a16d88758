from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from models.errors import InstallationError
from models.paths import platform_paths, user_paths

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


def test_everything_lies_under_the_base_directory(tmp_path: Path) -> None:
    paths = user_paths(tmp_path / "base")
    for place in (paths.settings_file, paths.conversations_file, paths.cache_dir, paths.log_dir):
        assert place.is_relative_to(tmp_path / "base")
    assert paths.settings_file.name == "settings.toml"
    assert paths.conversations_file.name == "conversations.sqlite3"
    assert paths.models_dir == paths.data_dir / "models"


def test_a_relative_base_directory_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert user_paths(Path("here")).data_dir == tmp_path / "here" / "data"


@posix_only
def test_create_makes_private_folders_and_may_be_repeated(tmp_path: Path) -> None:
    paths = user_paths(tmp_path / "base")
    paths.create()
    paths.create()
    for folder in (paths.config_dir, paths.data_dir, paths.models_dir, paths.cache_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "base").write_text("a file is in the way")
    with pytest.raises(InstallationError, match="config"):
        user_paths(tmp_path / "base").create()


@pytest.mark.parametrize(
    ("platform", "env", "config", "data"),
    [
        ("linux", {}, "/home/u/.config/fathom", "/home/u/.local/share/fathom"),
        (
            "linux",
            {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "relative"},
            "/c/fathom",
            "/home/u/.local/share/fathom",
        ),
        (
            "darwin",
            {},
            "/home/u/Library/Application Support/Fathom",
            "/home/u/Library/Application Support/Fathom",
        ),
        (
            "win32",
            {"APPDATA": "/r", "LOCALAPPDATA": "/l"},
            "/r/Fathom",
            "/l/Fathom/Data",
        ),
    ],
)
@posix_only
def test_each_platform_has_its_own_places(
    platform: str, env: dict[str, str], config: str, data: str
) -> None:
    paths = platform_paths(platform, env, Path("/home/u"))
    assert paths.config_dir == Path(config)
    assert paths.data_dir == Path(data)
