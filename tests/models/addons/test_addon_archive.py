"""Adding and removing add-ons: what is signed gets in whole, and nothing else leaves a trace."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from helpers.addon_samples import (
    MODULE,
    Member,
    members_of,
    pack,
    payload,
    signed_archive,
)
from helpers.release_site import new_key
from models.addons.archive import add_addon, remove_addon
from models.addons.installed import find_addons, host_here, signed_by
from models.addons.manifest import CONTEXT, MANIFEST_NAME, MAX_MANIFEST_BYTES, AddonManifest
from models.errors import AddonError, DiskError, DiskFullError, StoppedError
from models.file_locks import try_lock
from models.updates.envelope import seal
from models.updates.manifest import CONTEXT as UPDATE_CONTEXT

KEY, PUBLIC = new_key()
FILES = {MODULE: b"a module" * 4, "libcudart.so.13": b"c" * 1536, "LICENCE.txt": b"read me"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "addons"


def add(file: Path, folder: Path, **more: Any) -> AddonManifest:
    return add_addon(file, folder, **{"keys": [PUBLIC], "host": host_here(), **more})


def inside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def unchanged(folder: Path) -> bool:
    """Whether nothing but the lock is there."""
    return not folder.exists() or inside(folder) <= {".lock"}


def manifest_bytes(**changed: Any) -> bytes:
    return seal(payload(FILES, **changed), CONTEXT, KEY)


# --- what gets in ---------------------------------------------------------------------------------


def test_a_signed_one_is_there_whole_and_its_owner_s(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    file = signed_archive(tmp_path / "a.tar.gz", KEY, FILES)
    manifest = add(file, folder, listen=lambda done, total: told.append((done, total)))
    place = folder / "cuda"
    assert {path.name: path.read_bytes() for path in place.iterdir()}.items() >= FILES.items()
    assert {path.name for path in place.iterdir()} == {*FILES, MANIFEST_NAME}
    assert told[-1] == (manifest.size_bytes, manifest.size_bytes)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    (found,) = find_addons(folder, host_here())
    assert (found.name, found.problem) == ("cuda", "")
    assert signed_by(found, [PUBLIC])
    assert not signed_by(found, [new_key()[1]])


def test_a_newer_one_takes_the_place_of_the_older(folder: Path, tmp_path: Path) -> None:
    add(signed_archive(tmp_path / "a.tar.gz", KEY, {**FILES, "old.so": b"old"}), folder)
    add(signed_archive(tmp_path / "b.tar.gz", KEY, FILES, version="0.2.0"), folder)
    (found,) = find_addons(folder, host_here())
    assert found.manifest is not None
    assert found.manifest.version == "0.2.0"
    assert not (folder / "cuda" / "old.so").exists()
    assert inside(folder) == {"cuda", ".lock"}


def test_one_that_is_removed_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    add(signed_archive(tmp_path / "a.tar.gz", KEY, FILES), folder)
    remove_addon(folder, "cuda")
    assert unchanged(folder)
    for name in ("cuda", "", ".", "..", ".lock", "../data", "a/b"):
        with pytest.raises(AddonError, match="no add-on called"):
            remove_addon(folder, name)


def test_what_an_end_in_the_middle_left_is_tidied(folder: Path, tmp_path: Path) -> None:
    add(signed_archive(tmp_path / "a.tar.gz", KEY, FILES), folder)
    (folder / ".old-1").mkdir()
    (folder / "cuda").rename(folder / ".old-1" / "cuda")
    (folder / ".new-1").mkdir()
    (folder / ".new-1" / MODULE).write_bytes(b"half")
    other = signed_archive(tmp_path / "b.tar.gz", KEY, FILES, name="other")
    add(other, folder)
    # What was moved away for a newer one that never came is back.
    assert inside(folder) == {"cuda", "other", ".lock"}


# --- what does not get in -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    [
        seal(payload(FILES), CONTEXT, new_key()[0]),
        seal(payload(FILES), CONTEXT, None),
        # Signed, as a list of updates.
        seal(payload(FILES), UPDATE_CONTEXT, KEY),
    ],
)
def test_what_is_not_signed_as_an_add_on_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, manifest: bytes
) -> None:
    file = pack(tmp_path / "a.tar.gz", members_of(manifest, FILES))
    with pytest.raises(AddonError, match="not signed by the makers") as caught:
        add(file, folder)
    assert "docs/addons.md" in caught.value.hint
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"platform": "plan9-vax"}, "made for plan9-vax"),
        ({"llama_cpp": "0.3.1"}, "made for llama.cpp 0.3.1"),
    ],
)
def test_what_was_made_for_another_fathom_is_refused(
    folder: Path, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    with pytest.raises(AddonError, match=words):
        add(signed_archive(tmp_path / "a.tar.gz", KEY, FILES, **changed), folder)
    assert not folder.exists()


def _special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"cuda/{name}")
    member.type, member.linkname = kind, link
    return member


SOUND = members_of(manifest_bytes(), FILES)
DAMAGED: dict[str, list[Member | tarfile.TarInfo]] = {
    "a link": [SOUND[0], _special(MODULE, tarfile.SYMTYPE, "/etc/passwd"), *SOUND[2:]],
    "a hard link": [SOUND[0], _special(MODULE, tarfile.LNKTYPE, "../x"), *SOUND[2:]],
    "a device": [SOUND[0], _special(MODULE, tarfile.CHRTYPE), *SOUND[2:]],
    "a folder": [SOUND[0], _special("more", tarfile.DIRTYPE), *SOUND[1:]],
    "a path out": [SOUND[0], ("../../evil", b"x"), *SOUND[1:]],
    "an absolute path": [SOUND[0], ("/tmp/evil", b"x"), *SOUND[1:]],
    "a path out of its folder": [SOUND[0], (f"cuda/../{MODULE}", FILES[MODULE]), *SOUND[2:]],
    "a file that is not listed": [*SOUND[:2], ("cuda/evil.so", b"x"), *SOUND[2:]],
    "a file at its end": [*SOUND, ("cuda/evil.so", b"x")],
    "another order": [SOUND[0], SOUND[2], SOUND[1], SOUND[3]],
    "a file that is missing": SOUND[:-1],
    "a file of another size": [SOUND[0], (SOUND[1][0], b"longer" * 100), *SOUND[2:]],
    "a changed byte": [SOUND[0], (SOUND[1][0], b"A" + FILES[MODULE][1:]), *SOUND[2:]],
    "another folder": members_of(manifest_bytes(), FILES, "rocm"),
    "no manifest": list(SOUND[1:]),
    "a manifest at its end": [*SOUND[1:], SOUND[0]],
    "a manifest that is a link": [_special(MANIFEST_NAME, tarfile.SYMTYPE, "x"), *SOUND[1:]],
    "a manifest without end": [(SOUND[0][0], b" " * (MAX_MANIFEST_BYTES + 1)), *SOUND[1:]],
    "nothing": [],
}


@pytest.mark.parametrize("what", DAMAGED)
def test_an_archive_that_is_not_as_signed_leaves_nothing(
    folder: Path, tmp_path: Path, what: str
) -> None:
    file = pack(tmp_path / "a.tar.gz", DAMAGED[what])
    with pytest.raises(AddonError, match="not a whole add-on"):
        add(file, folder)
    assert unchanged(folder)
    assert {path.name for path in tmp_path.iterdir()} <= {"a.tar.gz", "data"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF" * 100,
        gzip.compress(b"no archive" * 1000, mtime=0),
        gzip.compress(b"", mtime=0),
    ],
    ids=["empty", "other", "zipped-text", "zipped-nothing"],
)
def test_what_is_no_archive_is_refused(folder: Path, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.tar.gz"
    file.write_bytes(data)
    with pytest.raises(AddonError, match="not a whole add-on"):
        add(file, folder)
    assert unchanged(folder)


def test_one_that_ends_anywhere_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = signed_archive(tmp_path / "a.tar.gz", KEY, FILES).read_bytes()
    file = tmp_path / "b.tar.gz"
    # The last bytes are gzip's own and the padding of tar.
    for size_bytes in range(0, len(whole) - 60, 53):
        file.write_bytes(whole[:size_bytes])
        with pytest.raises(AddonError):
            add(file, folder)
        assert unchanged(folder)


def _packed(header: tarfile.TarInfo, size_bytes: int) -> bytes:
    """Return an archive whose first member says that it has so many zeros, and has them."""
    header.size = size_bytes
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size_bytes >> 20):
            stream.write(bytes(1 << 20))
    return target.getvalue()


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_a_bomb_is_not_unpacked(folder: Path, tmp_path: Path, kind: bytes) -> None:
    """Names and records of tar may be of any length, and are read whole by whoever lets them."""
    import tracemalloc

    header = tarfile.TarInfo("cuda/addon.json")
    header.type = kind
    file = tmp_path / "a.tar.gz"
    file.write_bytes(_packed(header, 64 << 20))
    assert file.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(AddonError, match="not a whole add-on"):
            add(file, folder)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 << 20
    assert unchanged(folder)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize(
    "record",
    [
        b"21 GNU.sparse.size=x\n",
        b"20 GNU.sparse.map=x\n",
        b"9" * 5000 + b" a=b\n",
        b"0 a=b\n",
    ],
)
def test_records_that_make_no_sense_are_an_archive_that_makes_none(
    folder: Path, tmp_path: Path, kind: bytes, record: bytes
) -> None:
    header = tarfile.TarInfo("cuda/addon.json")
    header.type, header.size = kind, len(record)
    begin = header.tobuf(tarfile.GNU_FORMAT) + record + bytes(-len(record) % tarfile.BLOCKSIZE)
    sound = gzip.decompress(signed_archive(tmp_path / "a.tar.gz", KEY, FILES).read_bytes())
    file = tmp_path / "b.tar.gz"
    file.write_bytes(gzip.compress(begin + sound))
    with pytest.raises(AddonError, match="not a whole add-on"):
        add(file, folder)
    assert unchanged(folder)


# --- the disk, and others -------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="not there"):
        add(tmp_path / "none.tar.gz", folder)
    assert not folder.exists()


def test_without_room_nothing_is_begun(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A full drive cannot be had without being root.
    monkeypatch.setattr("models.addons.archive.free_bytes", lambda _folder: 1000)
    with pytest.raises(DiskFullError, match="no room"):
        add(signed_archive(tmp_path / "a.tar.gz", KEY, FILES), folder)
    assert unchanged(folder)


def test_a_stop_leaves_the_older_one_as_it_was(folder: Path, tmp_path: Path) -> None:
    add(signed_archive(tmp_path / "a.tar.gz", KEY, FILES), folder)
    newer = signed_archive(tmp_path / "b.tar.gz", KEY, FILES, version="0.2.0")
    with pytest.raises(StoppedError):
        add(newer, folder, stop=lambda: True)
    (found,) = find_addons(folder, host_here())
    assert found.manifest is not None
    assert found.manifest.version == "0.1.0"
    assert inside(folder) == {"cuda", ".lock"}


def test_two_at_once_do_not_get_into_each_other_s_way(folder: Path, tmp_path: Path) -> None:
    file = signed_archive(tmp_path / "a.tar.gz", KEY, FILES)
    folder.mkdir(parents=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        assert try_lock(handle)
        with pytest.raises(AddonError, match="Another Fathom"):
            add(file, folder)
    finally:
        os.close(handle)
    assert add(file, folder).name == "cuda"
