"""What is believed of an ``addon.json``: every field, any bytes, and whom it fits."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.addon_samples import GGML, MODULE, payload
from helpers.release_site import new_key
from models.addons.advice import wants_cuda
from models.addons.manifest import (
    CONTEXT,
    MAX_MANIFEST_BYTES,
    MAX_TOTAL_BYTES,
    Host,
    is_signed,
    misfit,
    open_manifest,
    read_manifest,
    read_payload,
)
from models.errors import AddonError
from models.updates.envelope import seal

KEY, PUBLIC = new_key()
FILES = {MODULE: b"a module", "libcudart.so.13": b"c"}


def sound(**changed: Any) -> dict[str, Any]:
    return {**payload(FILES, platform="linux-x86_64", llama_cpp="0.3.36"), **changed}


def file_with(**changed: Any) -> dict[str, Any]:
    first, *rest = sound()["files"]
    return sound() | {"files": [{**first, **changed}, *rest]}


def test_a_sound_one_is_read() -> None:
    manifest = open_manifest(seal(sound(cuda="13.0"), CONTEXT, KEY), [new_key()[1], PUBLIC])
    assert (manifest.name, manifest.version, manifest.cuda) == ("cuda", "0.1.0", "13.0")
    assert manifest.size_bytes == 9
    assert manifest == read_manifest(seal(sound(cuda="13.0"), CONTEXT, None))
    assert is_signed(seal(sound(), CONTEXT, KEY), [PUBLIC])
    assert not is_signed(b"{}", [PUBLIC])


@pytest.mark.parametrize(
    "data",
    [
        sound(product="fathom"),
        sound(format=2),
        sound(name="../x"),
        sound(name="CUDA"),
        sound(name=".hidden"),
        sound(title=""),
        sound(title="two\nlines"),
        sound(title="x" * 81),
        sound(version="new"),
        sound(platform="Linux"),
        sound(ggml=None),
        sound(cuda="thirteen"),
        sound(cuda=13),
        sound(module="libevil.so"),
        sound(module="libggml-rpc.so"),
        sound(files=[]),
        sound(files=sound()["files"] * 40),
        sound(files=[*sound()["files"], sound()["files"][0]]),
        sound(files=["a"]),
        file_with(name="a/b"),
        file_with(name=".."),
        file_with(name="addon.json"),
        file_with(name="ADDON.JSON"),
        file_with(name="libggml-base.so.0"),
        file_with(name="libggml.so"),
        file_with(name="libllama.so"),
        file_with(name="ggml-cpu-haswell.dll"),
        file_with(size_bytes=-1),
        file_with(size_bytes=True),
        file_with(size_bytes=MAX_TOTAL_BYTES + 1),
        file_with(sha256="0" * 63),
    ],
)
def test_what_makes_no_sense_is_refused_even_signed(data: dict[str, Any]) -> None:
    with pytest.raises(AddonError, match="cannot be used") as caught:
        open_manifest(seal(data, CONTEXT, KEY), [PUBLIC])
    assert caught.value.hint


def test_one_that_is_too_long_is_not_read() -> None:
    with pytest.raises(AddonError, match="not an add-on"):
        open_manifest(b" " * (MAX_MANIFEST_BYTES + 1), [PUBLIC])


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_of_it_can_be_changed(place: int, bit: int) -> None:
    """What is changed is refused, or says the same: spaces round the envelope are no part of it."""
    data = bytearray(seal(sound(), CONTEXT, KEY))
    before = open_manifest(bytes(data), [PUBLIC])
    data[place % len(data)] ^= 1 << bit
    with contextlib.suppress(AddonError):
        assert open_manifest(bytes(data), [PUBLIC]) == before


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(AddonError):
        read_manifest(data)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (Host("linux-x86_64", "0.3.36"), ""),
        (Host("linux-x86_64", "0.3.36", GGML), ""),
        (Host("linux-aarch64", "0.3.36"), "made for linux-x86_64"),
        (Host("linux-x86_64", "0.3.37"), "0.3.37"),
        (Host("linux-x86_64", "0.3.36", "0.25.4"), "ggml 0.25.4"),
        (Host("linux-x86_64", ""), "made for llama.cpp"),
    ],
)
def test_whom_it_fits(host: Host, words: str) -> None:
    said = misfit(read_payload(sound()), host)
    assert words in said
    assert bool(said) == bool(words)


def test_cuda_is_advised_where_it_helps() -> None:
    from helpers.window_parts import gpu

    here = (gpu(0, used_gb=1, total_gb=24),)
    assert wants_cuda(here, (), "linux-x86_64", has_own=False)
    assert not wants_cuda(here, (), "linux-x86_64", has_own=True)
    assert not wants_cuda(here, (), "macos-aarch64", has_own=False)
    assert not wants_cuda((), (), "linux-x86_64", has_own=False)
