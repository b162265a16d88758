from __future__ import annotations

import errno
import os
import stat
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidSettingError, SettingsFileError
from models.settings import SETTINGS, Settings, check_value
from models.settings_list import KINDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def loaded(path: Path) -> tuple[Settings, list[str]]:
    settings = Settings(path)
    return settings, settings.load()


def test_every_declaration_is_sound() -> None:
    assert len({spec.key for spec in SETTINGS}) == len(SETTINGS)
    for spec in SETTINGS:
        assert spec.kind in KINDS
        assert spec.title
        assert check_value(spec, spec.default) == spec.default
        assert spec.hidden or (spec.group and spec.help)


def test_without_a_file_everything_has_its_default(path: Path) -> None:
    settings, warnings = loaded(path)
    assert warnings == []
    assert settings.get("appearance.theme") == "system"
    assert settings.get_bool("engine.load_last_checkpoint") is True
    assert settings.get_float("sampling.temperature") == 0.8
    assert not path.exists()


def test_values_survive_a_restart(path: Path) -> None:
    settings, _ = loaded(path)
    settings.set("appearance.theme", "dark")
    settings.set("sampling.temperature", 1)
    settings.set("library.roots", [Path("/models"), '~/more \N{SNOWMAN} "quoted"'])
    settings.set("chat.system_prompt", 'two\nlines, "quotes" and \\ \t')
    settings.save()
    again, warnings = loaded(path)
    assert warnings == []
    assert again.get_str("appearance.theme") == "dark"
    assert again.get("sampling.temperature") == 1.0
    assert again.get_paths("library.roots")[0] == Path("/models")
    assert again.get_paths("library.roots")[1].is_absolute()
    assert again.get("chat.system_prompt") == 'two\nlines, "quotes" and \\ \t'


def test_only_what_differs_from_the_default_is_written(path: Path) -> None:
    settings, _ = loaded(path)
    settings.set("sampling.top_k", 20)
    settings.set("sampling.top_p", 0.5)
    settings.reset("sampling.top_p")
    settings.save()
    assert tomllib.loads(path.read_text()) == {"version": 1, "sampling": {"top_k": 20}}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_file_is_private_and_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_text("")
    path.symlink_to(target)
    settings, _ = loaded(path)
    settings.set("sampling.seed", 7)
    settings.save()
    assert path.is_symlink()
    assert "seed = 7" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_bad_values_are_reported_defaulted_and_kept_in_a_backup(path: Path) -> None:
    text = '[sampling]\ntop_k = "many"\ntop_p = 7.0\nmin_p = 0.1\n[appearance]\ntheme = "pink"\n'
    path.write_text(text)
    settings, warnings = loaded(path)
    assert len(warnings) == 3
    assert any("sampling.top_k" in warning for warning in warnings)
    assert settings.get("sampling.top_k") == 40
    assert settings.get("sampling.min_p") == 0.1
    settings.save()
    assert settings.backup_path.read_text() == text
    assert loaded(path)[1] == []


def test_unknown_keys_and_sections_are_kept(path: Path) -> None:
    path.write_text('[future]\ndepth = 3\n[sampling]\nnew = "x"\ntop_k = 5\n')
    settings, warnings = loaded(path)
    assert warnings == []
    settings.set("sampling.top_k", 6)
    settings.save()
    document = tomllib.loads(path.read_text())
    assert document["future"] == {"depth": 3}
    assert document["sampling"] == {"new": "x", "top_k": 6}


@pytest.mark.parametrize(
    "content",
    [b"not toml at all", b"\xff\xfe\x00", b"a = [" * 5000, b"\x00" * 100],
    ids=["words", "not utf-8", "deep", "zeros"],
)
def test_a_file_that_is_no_toml_gives_defaults_and_a_backup(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    settings, warnings = loaded(path)
    assert len(warnings) == 1
    assert settings.get("sampling.top_k") == 40
    assert settings.backup_path.read_bytes() == content


def test_a_value_where_a_section_should_be_is_reported(path: Path) -> None:
    path.write_text("sampling = 3\n")
    settings, warnings = loaded(path)
    assert len(warnings) == 1
    settings.set("sampling.top_k", 3)
    settings.save()
    assert loaded(path)[0].get("sampling.top_k") == 3


def test_a_file_that_cannot_be_read_or_written_is_an_error(path: Path) -> None:
    path.mkdir()
    settings = Settings(path)
    with pytest.raises(SettingsFileError, match="read"):
        settings.load()
    settings.set("sampling.top_k", 3)
    with pytest.raises(SettingsFileError, match="write"):
        settings.save()
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.toml"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sampling.top_k", True),
        ("sampling.top_k", 1.5),
        ("sampling.top_k", -1),
        ("sampling.top_k", 10**30),
        ("sampling.temperature", float("nan")),
        ("sampling.temperature", 10**400),
        ("sampling.temperature", "0.8"),
        ("appearance.theme", "Dark"),
        ("engine.load_last_checkpoint", 1),
        ("chat.system_prompt", "\udc80"),
        ("chat.system_prompt", None),
        ("library.roots", "/models"),
        ("library.roots", ["/models", 3]),
        ("library.roots", [""]),
    ],
)
def test_a_value_out_of_bounds_is_refused_and_changes_nothing(
    path: Path, key: str, value: object
) -> None:
    settings, _ = loaded(path)
    before = settings.get(key)
    with pytest.raises(InvalidSettingError) as caught:
        settings.set(key, value)
    assert key in caught.value.message
    assert settings.get(key) == before


def test_an_unknown_key_gets_the_near_one_as_hint(path: Path) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        Settings(path).get("sampling.temprature")
    assert "sampling.temperature" in caught.value.hint


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(ANYTHING | st.dictionaries(st.text(), ANYTHING))
def test_a_checked_value_is_accepted_again(value: object) -> None:
    for spec in SETTINGS:
        try:
            checked = check_value(spec, value)
        except InvalidSettingError:
            continue
        assert check_value(spec, checked) == checked


def test_a_worker_reads_and_writes_while_others_save(path: Path) -> None:
    settings, _ = loaded(path)

    def work(number: int) -> None:
        for step in range(20):
            settings.set("sampling.top_k", number * 100 + step)
            settings.get("sampling.top_k")
            settings.save()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work, number) for number in range(3)]:
            done.result(60)
    assert loaded(path)[0].get("sampling.top_k") == settings.get("sampling.top_k")
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.toml"]


def rename_theme(document: dict[str, object]) -> None:
    document["appearance"] = {"theme": document.pop("skin")}


def fail_halfway(document: dict[str, object]) -> None:
    document.clear()
    raise KeyError("skin")


def test_an_old_file_is_migrated_and_kept_as_a_backup(path: Path) -> None:
    path.write_text('version = 1\nskin = "dark"\n')
    settings = Settings(path, migrations=[rename_theme])
    assert settings.load() == []
    assert settings.get("appearance.theme") == "dark"
    assert settings.backup_path.read_text() == 'version = 1\nskin = "dark"\n'
    settings.save()
    assert tomllib.loads(path.read_text()) == {"version": 2, "appearance": {"theme": "dark"}}


def test_a_failed_migration_is_rolled_back_and_can_run_later(path: Path) -> None:
    path.write_text('version = 1\nskin = "dark"\n[sampling]\ntop_k = 7\n')
    settings = Settings(path, migrations=[fail_halfway])
    warnings = settings.load()
    assert len(warnings) == 1
    assert settings.get("sampling.top_k") == 7
    assert settings.backup_path.exists()
    settings.save()
    document = tomllib.loads(path.read_text())
    assert (document["version"], document["skin"]) == (1, "dark")
    corrected = Settings(path, migrations=[rename_theme])
    assert corrected.load() == []
    assert corrected.get("appearance.theme") == "dark"


def test_a_newer_file_keeps_its_version(path: Path) -> None:
    path.write_text("version = 9\n[sampling]\ntop_k = 7\n[later]\na = 1\n")
    settings, warnings = loaded(path)
    assert len(warnings) == 1
    assert settings.get("sampling.top_k") == 7
    settings.save()
    assert tomllib.loads(path.read_text())["version"] == 9


def test_a_full_disk_is_told_as_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = loaded(path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # A file system that is full of itself is not to be had everywhere.
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsFileError) as caught:
        settings.save()
    assert caught.value.hint == "Free some space."
    assert not list(path.parent.iterdir())
