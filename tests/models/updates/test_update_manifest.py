"""What is believed of a manifest, and what is not: every field, and any bytes at all."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.release_site import PLATFORM, ReleaseSite, new_key
from models.errors import UpdateRefusedError
from models.updates.manifest import (
    CONTEXT,
    MAX_ENVELOPE_BYTES,
    MAX_FILE_BYTES,
    Manifest,
    open_envelope,
    read_payload,
)
from models.updates.platforms import best_file, installed_kind, platform_name
from models.updates.signing import sign
from models.updates.version import version_of

KEY, PUBLIC = new_key()
NAME = "fathom_0.2.0_amd64.deb"


def payload(**changed: Any) -> dict[str, Any]:
    return {**ReleaseSite("https://example.org").payload("0.2.0", NAME, b"data"), **changed}


def changed_file(**changed: Any) -> dict[str, Any]:
    sound = payload()
    return {**sound, "files": [{**sound["files"][0], **changed}]}


def test_a_sound_one_is_read() -> None:
    manifest = open_envelope(sign(payload(), KEY), [new_key()[1], PUBLIC])
    assert isinstance(manifest, Manifest)
    assert (manifest.version, manifest.minimum_version) == ("0.2.0", "0.0.1")
    assert manifest.notes == "It is quicker."
    (file,) = manifest.files_for(PLATFORM)
    assert (file.name, file.size_bytes, file.kind) == (NAME, 4, "deb")
    assert manifest.files_for("windows-x86_64") == ()


def test_another_key_is_no_key() -> None:
    with pytest.raises(UpdateRefusedError, match="not signed"):
        open_envelope(sign(payload(), KEY), [new_key()[1]])
    with pytest.raises(UpdateRefusedError, match="not signed"):
        open_envelope(sign(payload(), KEY), [])


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_of_it_can_be_changed(place: int, bit: int) -> None:
    """What is changed is refused, or says the same: spaces round the envelope are no part of it."""
    data = bytearray(sign(payload(), KEY))
    before = open_envelope(bytes(data), [PUBLIC])
    data[place % len(data)] ^= 1 << bit
    with contextlib.suppress(UpdateRefusedError):
        assert open_envelope(bytes(data), [PUBLIC]) == before


def test_a_signature_for_something_else_is_none() -> None:
    text = json.dumps(payload())
    for prefix in (b"", b"fathom update manifest 2\n"):
        raw = KEY.sign(prefix + text.encode())
        assert prefix != CONTEXT
        data = {"payload": text, "signature": base64.b64encode(raw).decode()}
        with pytest.raises(UpdateRefusedError, match="not signed"):
            open_envelope(json.dumps(data).encode(), [PUBLIC])


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(UpdateRefusedError):
        open_envelope(data, [PUBLIC])


@pytest.mark.parametrize(
    "data",
    [
        b"[]", b"{}", b"null", b'{"payload": 1, "signature": "x"}', b"[" * 100_000,
        b'{"payload": "{}", "signature": "no base64"}',
        b'{"payload": "\\ud800", "signature": "AAAA"}',
        b" " * (MAX_ENVELOPE_BYTES + 1),
    ],
)  # fmt: skip
def test_what_is_no_envelope(data: bytes) -> None:
    with pytest.raises(UpdateRefusedError):
        open_envelope(data, [PUBLIC])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"product": "fathom2"}, "another program"),
        ({"format": 2}, "another version"),
        ({"format": "1"}, "another version"),
        ({"files": []}, "no files"),
        ({"files": [{}] * 65}, "too many"),
        ({"files": ["x"]}, "makes no sense"),
        ({"version": "1.0-rc1"}, "makes no sense"),
        ({"version": "1" * 40}, "makes no sense"),
        ({"minimum_version": None}, "makes no sense"),
        ({"date": "2026-01-01"}, "makes no sense"),
        ({"date": "soon"}, "makes no sense"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expires"),
        ({"expires": "2099-01-01T00:00:00Z"}, "too late"),
        ({"notes_url": "http://example.org"}, "without encryption"),
        ({"notes_url": "javascript:alert(1)"}, "without encryption"),
        ({"notes": "x" * 4001}, "makes no sense"),
    ],
)
def test_what_makes_no_sense_is_refused_though_it_is_signed(
    changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(UpdateRefusedError, match=words):
        open_envelope(sign(payload(**changed), KEY), [PUBLIC])


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "../fathom.deb"}, {"name": "a/b.deb"}, {"name": ".bashrc"}, {"name": "x" * 121},
        {"name": "fathom.deb\n"}, {"name": "a b"}, {"name": "fathom\u202egpj.exe"}, {"name": None},
        {"size_bytes": 0}, {"size_bytes": -1}, {"size_bytes": MAX_FILE_BYTES + 1},
        {"size_bytes": True}, {"size_bytes": "4"}, {"size_bytes": 4.0},
        {"sha256": "A" * 64}, {"sha256": "0" * 63}, {"sha256": None},
        {"url": "http://example.org/x"}, {"url": "file:///etc/passwd"}, {"url": "https://"},
        {"url": "https://exa mple.org/"}, {"url": "https://example.org:x/"},
        {"platform": "linux"}, {"platform": "../x-y"}, {"kind": "DEB;rm"},
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UpdateRefusedError):
        read_payload(changed_file(**changed))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.2.3", (1, 2, 3)), ("0.1.0", (0, 1)), ("1.0", (1,)), ("0.0", ()), ("1.10", (1, 10)),
        ("1", None), ("", None), ("1.2.3.4.5", None), ("1.2a", None), ("1.\u0662", None),
        ("999999.0", None), ("1.2\n", None),
    ],
)  # fmt: skip
def test_versions(text: str, numbers: tuple[int, ...] | None) -> None:
    assert version_of(text) == numbers


def test_the_file_for_this_installation(tmp_path: Any) -> None:
    sound = payload()["files"][0]
    kinds = [{**sound, "kind": kind} for kind in ("tar.gz", "deb")]
    files = read_payload(payload(files=kinds)).files_for(PLATFORM)
    for kind, chosen in (("deb", "deb"), ("appimage", "tar.gz"), ("", "tar.gz")):
        best = best_file(files, kind)
        assert best is not None
        assert best.kind == chosen
    assert best_file((), "deb") is None
    assert installed_kind({"APPIMAGE": "/x"}, tmp_path / "none") == "appimage"
    assert installed_kind({}, tmp_path / "none") == ""
    (tmp_path / "list").touch()
    assert installed_kind({}, tmp_path / "list") == "deb"
    assert platform_name("win32", "AMD64") == "windows-x86_64"
    assert platform_name("darwin", "arm64") == "macos-aarch64"
    assert platform_name("linux", "x86_64") == "linux-x86_64"
