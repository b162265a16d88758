"""Adding what is there already: in place, and only what can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.library_samples import content, put, snapshot
from helpers.tiny_gguf import write_tiny_shards
from models.errors import (
    CheckpointNotFoundError,
    CheckpointUnreadableError,
    LibraryError,
    NotGgufError,
)
from models.library.adding import plan_addition
from models.library.library import Library


def test_a_file_becomes_a_root_and_stays_where_it_is(tmp_path: Path) -> None:
    path = put(tmp_path / "downloads" / "a.gguf", content(1))
    put(tmp_path / "downloads" / "b.gguf", content(2))
    before = snapshot(tmp_path)
    addition = plan_addition(path, [])
    assert (addition.root, addition.is_known) == (path, False)
    (entry,) = Library([addition.root], None).entries()
    assert (entry.path, entry.source) == (path, "added")
    assert snapshot(tmp_path) == before


def test_any_file_of_a_set_means_the_set(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    addition = plan_addition(paths[1], [])
    assert addition.root == paths[0]
    assert [found.files for found in addition.found] == [paths]
    (entry,) = Library([addition.root], None).entries()
    assert (entry.shards, entry.missing, entry.paths) == (len(paths), 0, paths)


def test_a_folder_is_added_with_all_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "drive" / "a.gguf", content(1))
    put(tmp_path / "drive" / "deep" / "b.gguf", content(2))
    monkeypatch.chdir(tmp_path)
    addition = plan_addition(Path("drive"), [])
    assert addition.root == tmp_path / "drive"
    assert sorted(found.stem for found in addition.found) == ["a", "b"]


def test_what_the_library_has_already_is_known(tmp_path: Path) -> None:
    path = put(tmp_path / "models" / "a.gguf", content(1))
    assert plan_addition(path, [tmp_path / "models"]).is_known
    assert plan_addition(path.parent, [tmp_path]).is_known
    assert not plan_addition(path.parent, [path]).is_known


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("model.bin", b"PK\x03\x04", "ZIP"),
        ("a.gguf", b"", "is empty"),
        ("a.gguf", b"<!doctype html>", "web page"),
        ("a.gguf", bytes(100), "full of zeros"),
    ],
)
def test_what_is_no_gguf_is_refused_by_its_content(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    with pytest.raises(NotGgufError, match=words):
        plan_addition(put(tmp_path / name, data), [])


@pytest.mark.parametrize("suffix", [".part", ".incomplete", ".crdownload"])
def test_an_unfinished_download_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(LibraryError, match="was not finished"):
        plan_addition(put(tmp_path / f"a.gguf{suffix}", content(1)), [])


def test_other_refusals(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match="no GGUF file"):
        plan_addition(tmp_path / "empty", [])
    with pytest.raises(CheckpointNotFoundError, match="There is nothing"):
        plan_addition(tmp_path / "gone.gguf", [])
    with pytest.raises(CheckpointUnreadableError):
        plan_addition(tmp_path / ("x" * 300), [])
