"""Several roots on several drives, and what is remembered of those that are not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from helpers.library_samples import COMMIT, REPOSITORY, content, fetched, only_entry, put, sha256
from models.errors import CheckpointNotFoundError
from models.library.foreign import find_foreign
from models.library.index import MAX_STAMPS, VERSION, LibraryIndex
from models.library.library import Library
from models.library.presence import Presence, RootState
from models.library.volumes import FAT_FILE_BYTES, Mount, Volumes, system_mounts


class Drives:
    """Which drives are connected; ``Library`` asks it instead of the system."""

    def __init__(self, *points: Path) -> None:
        self.mounts = [Mount("/"), *(Mount(str(point), "ext4") for point in points)]

    def __call__(self) -> list[Mount]:
        return self.mounts

    def unplug(self, point: Path, *, leaves_folder: bool) -> None:
        self.mounts = [mount for mount in self.mounts if mount.point != str(point)]
        point.rename(point.with_name("in-the-drawer"))
        if leaves_folder:
            point.mkdir()

    def plug(self, point: Path) -> None:
        shutil.rmtree(point, ignore_errors=True)
        point.with_name("in-the-drawer").rename(point)
        self.mounts.append(Mount(str(point), "ext4"))


@pytest.fixture
def usb(tmp_path: Path) -> Path:
    folder = tmp_path / "media" / "usb"
    folder.mkdir(parents=True)
    return folder


# --- offline -------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves_folder", [True, False], ids=["empty mount point", "no folder"])
def test_an_absent_drive_shows_its_checkpoints_as_offline(
    tmp_path: Path, usb: Path, leaves_folder: bool
) -> None:
    put(tmp_path / "home" / "here.gguf", content(1))
    path = fetched(usb / "models", "Model-Q4_K_M.gguf", content(2))
    drives = Drives(usb)
    roots = (tmp_path / "home", usb / "models")
    before = Library(roots, None, data_dir=tmp_path, list_mounts=drives).entries()
    assert [entry.is_offline for entry in before] == [False, False]
    drives.unplug(usb, leaves_folder=leaves_folder)
    # Another run of the program: all that is known comes from the file.
    library = Library(roots, None, data_dir=tmp_path, list_mounts=drives)
    here, away = library.entries()
    assert (here.name, here.is_offline) == ("here", False)
    assert (away.name, away.is_offline, away.path) == ("Model-Q4_K_M", True, path)
    assert (away.repository, away.commit, away.source) == (REPOSITORY, COMMIT, "fathom")
    assert (away.quant, away.size_bytes) == ("Q4_K_M", len(content(2)))
    assert str(usb) in away.note
    with pytest.raises(CheckpointNotFoundError, match="is not there now") as caught:
        library.resolve("Model-Q4_K_M")
    assert "Connect it" in caught.value.hint
    assert library.find_by_digest([sha256(content(2))]) is None
    drives.plug(usb)
    assert library.entries() == before


def test_what_was_deleted_is_gone_and_not_offline(tmp_path: Path, usb: Path) -> None:
    path = put(usb / "models" / "a.gguf", content(1))
    lone = put(usb / "lone.gguf", content(2))
    library = Library([usb / "models", lone], None, list_mounts=Drives(usb))
    assert len(library.entries()) == 2
    path.unlink()
    lone.unlink()
    assert library.entries() == ()


def test_a_root_that_was_taken_off_the_list_takes_its_checkpoints_along(
    tmp_path: Path, usb: Path
) -> None:
    put(usb / "a.gguf", content(1))
    drives = Drives(usb)
    library = Library([usb], None, list_mounts=drives)
    library.entries()
    drives.unplug(usb, leaves_folder=False)
    assert only_entry(library).is_offline
    library.set_roots([])
    assert library.entries() == ()


def test_an_offline_checkpoint_can_be_forgotten(tmp_path: Path, usb: Path) -> None:
    put(usb / "a.gguf", content(1))
    drives = Drives(usb)
    library = Library([usb], None, data_dir=tmp_path, list_mounts=drives)
    library.entries()
    drives.unplug(usb, leaves_folder=True)
    library.forget(only_entry(library))
    assert library.entries() == ()
    assert Library([usb], None, data_dir=tmp_path, list_mounts=drives).entries() == ()


def test_names_stay_apart_when_a_drive_is_absent(tmp_path: Path, usb: Path) -> None:
    put(usb / "same.gguf", content(1))
    drives = Drives(usb)
    library = Library([tmp_path / "home", usb], None, list_mounts=drives)
    library.entries()
    drives.unplug(usb, leaves_folder=False)
    put(tmp_path / "home" / "same.gguf", content(2))
    names = [entry.name for entry in library.entries()]
    assert sorted(names) == ["same", "usb/same"]


def test_a_real_drive_is_mounted_and_unmounted(usb: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path;"
        "from models.library.library import Library;"
        "usb = Path(sys.argv[1]); home = usb.parent.parent;"
        "mount = lambda: subprocess.run(['mount', '-t', 'tmpfs', 'none', usb], check=True);"
        "look = lambda: [(e.name, e.is_offline) for e in"
        " Library([usb], None, data_dir=home).entries()];"
        "mount(); (usb / 'a.gguf').write_bytes(b'GGUF'); print(look());"
        "subprocess.run(['umount', usb], check=True); print(look());"
        "mount(); print(look())"
    )
    # Mounts of its own need no rights where users may have name spaces.
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no mounts without rights here")
    ran = subprocess.run(
        [*command, sys.executable, "-c", program, str(usb)],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    # The last mount is another, empty drive at the same place: nothing of the old one is there.
    assert ran.stdout.splitlines() == ["[('a', False)]", "[('a', True)]", "[]"]


# --- drives that do not answer -----------------------------------------------------------------


def test_a_drive_that_never_answers_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    put(dead / "a.gguf", content(1))
    put(alive / "b.gguf", content(2))
    hangs, asked = threading.Event(), []

    def look(path: Path) -> object:
        if path == dead and len(asked) < 2:
            asked.append(threading.current_thread())
            if len(asked) == 2:
                hangs.wait(60)
        return path.stat()

    presence = Presence(look, answer_s=0.05)
    library = Library([dead, alive], None, presence=presence)
    assert [entry.is_offline for entry in library.entries()] == [False, False]
    try:
        assert [entry.is_offline for entry in library.entries()] == [True, False]
        # Nobody asks again as long as the first question hangs.
        assert presence.of(dead) is RootState.SILENT
        assert len(asked) == 2
    finally:
        hangs.set()
        asked[1].join(30)
    assert [entry.is_offline for entry in library.entries()] == [False, False]


def test_a_dead_drive_with_another_program_s_folder_holds_up_nothing(tmp_path: Path) -> None:
    store = tmp_path / ".lmstudio" / "models"
    put(store / "p" / "r" / "a.gguf", content(1))
    put(tmp_path / "mine" / "b.gguf", content(2))
    hangs, asked = threading.Event(), []

    def look(path: Path) -> object:
        if path == store:
            asked.append(threading.current_thread())
            hangs.wait(60)
        return path.stat()

    presence = Presence(look, answer_s=0.05)
    find = partial(find_foreign, {}, tmp_path, presence=presence)
    library = Library([tmp_path / "mine"], None, find_foreign=find)
    try:
        for _ in range(2):
            assert [entry.name for entry in library.entries()] == ["b"]
        assert len(asked) == 1
    finally:
        hangs.set()
        asked[0].join(30)
    assert [entry.name for entry in library.entries()] == ["a", "b"]


def test_a_folder_is_present_absent_or_nonsense(tmp_path: Path) -> None:
    presence = Presence()
    assert presence.of(tmp_path) is RootState.PRESENT
    for absent in (tmp_path / "gone", tmp_path / ("x" * 300), Path("/a\0b")):
        assert presence.of(absent) is RootState.ABSENT


# --- mounts ---------------------------------------------------------------------------------------


def test_the_system_says_what_is_mounted(tmp_path: Path) -> None:
    volumes = Volumes(system_mounts)
    mount = volumes.mount_of(tmp_path / "not" / "there")
    assert mount is not None
    assert volumes.is_mounted(mount.point)
    assert tmp_path.is_relative_to(mount.point)
    assert not volumes.is_mounted(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_the_nearest_mount_counts_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "usb" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "usb" / "deep")
    usb = Mount(str(tmp_path / "usb"), "vfat")
    volumes = Volumes(lambda: [Mount("/", "ext4"), usb])
    assert volumes.mount_of(tmp_path / "link" / "a.gguf") == usb
    assert volumes.mount_of(tmp_path) == Mount("/", "ext4")
    assert usb.file_limit_bytes == FAT_FILE_BYTES
    assert Mount("/", "ext4").file_limit_bytes is None


# --- what is remembered ------------------------------------------------------------------------


def test_when_a_checkpoint_was_used_is_remembered_and_changes_no_key(tmp_path: Path) -> None:
    put(tmp_path / "models" / "a.gguf", content(1))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path)
    before = only_entry(library)
    assert (before.last_used_s, before.verified_s) == (None, None)
    library.note_used(before, 1000.0)
    library.note_verified(before, 900.0)
    after = only_entry(Library([tmp_path / "models"], None, data_dir=tmp_path))
    assert (after.last_used_s, after.verified_s) == (1000.0, 900.0)
    assert after == before
    assert {before: 1}[after] == 1


def test_two_programs_share_what_is_remembered(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / "models" / f"{name}.gguf", content(1))
    window = Library([tmp_path / "models"], None, data_dir=tmp_path)
    command = Library([tmp_path / "models"], None, data_dir=tmp_path)
    a, b = window.entries()
    window.note_used(a, 1.0)
    command.note_used(b, 2.0)
    window.note_verified(a, 3.0)
    for library in (command, window, Library([tmp_path / "models"], None, data_dir=tmp_path)):
        assert [entry.last_used_s for entry in library.entries()] == [1.0, 2.0]
        assert [entry.verified_s for entry in library.entries()] == [3.0, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[1, 2]",
        '{"version": 99}',
        "[" * 100_000,
        '{"version": 1, "checkpoints": [7, {"files": []}, {"files": ["rel"]}], "stamps": [1]}',
        '{"version": 1, "checkpoints": 5, "stamps": {"/a": 5, "/b": {"used_s": "yesterday"}}}',
    ],
)
def test_a_damaged_file_costs_what_it_held_and_nothing_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "library.json").write_text(text)
    put(tmp_path / "models" / "a.gguf", content(1))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path)
    entry = only_entry(library)
    assert entry.last_used_s is None
    library.note_used(entry, 5.0)
    assert only_entry(library).last_used_s == 5.0
    assert json.loads((tmp_path / "library.json").read_text())["version"] == VERSION


@pytest.mark.parametrize("when", ["1e300", "1e999", "-5", "NaN"])
def test_a_time_that_no_calendar_has_is_none(tmp_path: Path, when: str) -> None:
    path = put(tmp_path / "models" / "a.gguf", content(1))
    stamps = f'{{"{path}": {{"used_s": {when}, "verified_s": {when}}}}}'
    (tmp_path / "library.json").write_text(f'{{"version": 1, "stamps": {stamps}}}')
    entry = only_entry(Library([tmp_path / "models"], None, data_dir=tmp_path))
    assert (entry.last_used_s, entry.verified_s) == (None, None)


def test_what_cannot_be_written_is_known_as_long_as_the_program_runs(tmp_path: Path) -> None:
    # A file where a folder should be: no permission or full disk that stops root as well.
    put(tmp_path / "data", b"")
    put(tmp_path / "models" / "a.gguf", content(1))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path / "data")
    library.note_used(only_entry(library), 5.0)
    assert only_entry(library).last_used_s == 5.0


def test_a_look_without_news_writes_nothing(tmp_path: Path) -> None:
    put(tmp_path / "models" / "a.gguf", content(1))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path)
    library.entries()
    written = (tmp_path / "library.json").stat()
    library.entries()
    again = (tmp_path / "library.json").stat()
    assert (written.st_ino, written.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_the_oldest_times_are_dropped(tmp_path: Path) -> None:
    index = LibraryIndex()
    for number in range(MAX_STAMPS + 2):
        index.stamp(Path(f"/{number}"), used_s=float(number))
    stamps = index.stamps()
    assert len(stamps) == MAX_STAMPS
    assert "/0" not in stamps
    assert stamps[f"/{MAX_STAMPS + 1}"].used_s == MAX_STAMPS + 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of any bytes")
def test_a_name_that_is_no_unicode_survives(tmp_path: Path, usb: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(usb) + b"/\xff.gguf"))
    path.write_bytes(content(1))
    drives = Drives(usb)
    Library([usb], None, data_dir=tmp_path, list_mounts=drives).entries()
    drives.unplug(usb, leaves_folder=True)
    again = Library([usb], None, data_dir=tmp_path, list_mounts=drives)
    assert only_entry(again).path == path


# --- what Fathom left in a folder ---------------------------------------------------------------


def test_unfinished_downloads_and_records_are_no_checkpoints(tmp_path: Path) -> None:
    fetched(tmp_path, "Model-Q4_K_M.gguf", content(1))
    folder = tmp_path / REPOSITORY
    put(folder / "Model-Q8_0.gguf.part", content(2))
    put(folder / "Model-Q8_0.gguf.part.json", b"{}")
    put(folder / ".fathom" / "other.gguf", content(3))
    entry = only_entry(Library([tmp_path], None))
    assert entry.name == "Model-Q4_K_M"
    assert entry.source == "fathom"
    assert entry.verified_s is not None


def test_a_set_that_is_being_fetched_says_so(tmp_path: Path) -> None:
    fetched(tmp_path, "M-00001-of-00002.gguf", content(1))
    put(tmp_path / REPOSITORY / "M-00002-of-00002.gguf.part", b"x")
    entry = only_entry(Library([tmp_path], None))
    assert (entry.shards, entry.missing) == (2, 1)
    assert entry.note == "1 of 2 parts are missing; it is being downloaded."
