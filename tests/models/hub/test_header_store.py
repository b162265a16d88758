from __future__ import annotations

import os
import stat
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.hub.store import Entry, HeaderStore, _unpacked

URL = "https://hub.test/owner/model/resolve/main/model.gguf"


def entry(url: str = URL, *, etag: str = '"one"', data: bytes = b"GGUF" + bytes(100)) -> Entry:
    return Entry(url, etag, 10**12, data)


@pytest.fixture
def store(tmp_path):
    return HeaderStore(tmp_path / "cache" / "headers")


def files_of(store):
    return sorted(store._folder.iterdir())


def test_what_was_put_is_there_again(store):
    store.put(entry())
    assert store.get(URL) == entry()
    assert store.get(URL, etag='"one"') == entry()


def test_other_content_and_other_addresses_are_not(store):
    store.put(entry())
    assert store.get(URL, etag='"two"') is None
    assert store.get(URL + "x") is None


def test_newer_content_takes_the_place_of_older(store):
    store.put(entry())
    store.put(entry(etag='"two"', data=b"other"))
    assert store.get(URL) == entry(etag='"two"', data=b"other")
    assert len(files_of(store)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of another kind")
def test_nobody_else_can_read_it(store):
    store.put(entry())
    (path,) = files_of(store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_flipped_byte_makes_an_entry_void(store, at):
    store.put(entry())
    (path,) = files_of(store)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    assert store.get(URL) is None
    store.put(entry())
    assert store.get(URL) == entry()


@pytest.mark.parametrize("raw", [b"", b"\n", b"{}\n", b"[1]\n", b"[" * 9000 + b"\n", b"no line"])
def test_what_is_no_entry_is_left_out(store, raw):
    store.put(entry())
    (path,) = files_of(store)
    path.write_bytes(raw)
    assert store.get(URL) is None


@given(st.binary(max_size=400))
def test_no_bytes_whatever_break_it(raw):
    assert _unpacked(raw) is None


def test_the_least_recently_used_make_room(tmp_path):
    one = len(entry().data) + 400
    store = HeaderStore(tmp_path, limit_bytes=3 * one)
    for number in range(3):
        store.put(entry(f"{URL}{number}"))
    for age, path in enumerate(sorted(tmp_path.iterdir())):
        os.utime(path, (1000 + age, 1000 + age))
    store.get(f"{URL}0")
    for number in range(3, 5):
        store.put(entry(f"{URL}{number}"))
    kept = [number for number in range(5) if store.get(f"{URL}{number}")]
    assert 0 in kept
    assert kept[-2:] == [3, 4]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * one


def test_an_entry_above_the_limit_is_not_kept(tmp_path):
    store = HeaderStore(tmp_path, limit_bytes=1000)
    store.put(entry(data=bytes(5000)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = HeaderStore(tmp_path / "file" / "headers")
    store.put(entry())
    assert store.get(URL) is None


def test_a_folder_of_its_name_is_no_error(store):
    store.put(entry())
    (path,) = files_of(store)
    path.unlink()
    path.mkdir()
    store.put(entry())
    assert store.get(URL) is None
    assert files_of(store) == [path]
