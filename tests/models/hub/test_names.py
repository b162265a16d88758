from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.hub.names import RepositoryPlace, is_commit, parse_hub_url, parse_place, quoted

HUB = "https://huggingface.co"

PLACES = {
    "unsloth/DeepSeek-R1-GGUF": ("unsloth/DeepSeek-R1-GGUF", "", "main"),
    "o/r/m.gguf": ("o/r", "m.gguf", "main"),
    "o/r/UD Q4/m-00001-of-00002.gguf": ("o/r", "UD Q4/m-00001-of-00002.gguf", "main"),
    "o/r/m.gguf@v1.0": ("o/r", "m.gguf", "v1.0"),
    "o/r/m.gguf@refs/pr/1": ("o/r", "m.gguf", "refs/pr/1"),
    "o/r@main": ("o/r", "", "main"),
    "o/a.b_c-d": ("o/a.b_c-d", "", "main"),
}
NO_PLACES = [
    "", "demo", "/o/r/m.gguf", "./o/r/m.gguf", "../o/m.gguf", "~/o/r/m.gguf", "o//m.gguf", "o/r//m",
    "o/r/../m.gguf", "o/r/./m.gguf", "o/r/m.gguf@", "o/r/m.gguf@../x", "o/.r", "o/r-/x", "o/r\n",
    "o/r/m\x00.gguf", "o/r/\u202egguf", "a b/c", "o/" + "r" * 200, "C:\\models\\m.gguf",
]  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), PLACES.items())
def test_what_people_write(text, parts):
    place = parse_place(text)
    assert place == RepositoryPlace(*parts)


@pytest.mark.parametrize("text", NO_PLACES)
def test_what_cannot_be_a_repository(text):
    assert parse_place(text) is None


def test_a_place_is_written_as_it_was_read():
    for text in ("o/r/a/m.gguf", "o/r/m.gguf@v1"):
        place = parse_place(text)
        assert place is not None
        assert place.is_file
        assert place.text_of(place.path) == text


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_none(text):
    place = parse_place(text)
    if place is not None and place.path:
        assert parse_place(place.text_of(place.path)) == place


URLS = {
    f"{HUB}/o/r": ("o/r", "", "main"),
    f"{HUB}/o/r/": ("o/r", "", "main"),
    f"{HUB}/o/r/tree/main/Q4_K_M": ("o/r", "Q4_K_M", "main"),
    f"{HUB}/o/r/tree/v2": ("o/r", "", "v2"),
    f"{HUB}/o/r/blob/main/Q4/m%20x.gguf": ("o/r", "Q4/m x.gguf", "main"),
    f"{HUB}/o/r/resolve/refs%2Fpr%2F1/m.gguf?download=true": ("o/r", "m.gguf", "refs/pr/1"),
    "https://hf.co/o/r": ("o/r", "", "main"),
    "HTTPS://HuggingFace.co/o/r": ("o/r", "", "main"),
}
NO_URLS = [
    "https://example.com/o/r", f"{HUB}/o", f"{HUB}/o/r/discussions/3", f"{HUB}/o/r/blob",
    f"{HUB}/o/r/blob/main/%2e%2e/x", "https://huggingface.co:444/o/r", "https://[bad/o/r",
    "https://huggingface.co:x/o/r", "https://huggingface.co.evil.test/o/r",
]  # fmt: skip


@pytest.mark.parametrize(("url", "parts"), URLS.items())
def test_addresses_of_the_hub(url, parts):
    assert parse_hub_url(url, HUB) == RepositoryPlace(*parts)


@pytest.mark.parametrize("url", NO_URLS)
def test_other_addresses(url):
    assert parse_hub_url(url, HUB) is None


def test_a_mirror_below_a_folder():
    mirror = "https://mirror.test/hf/"
    assert parse_hub_url("https://mirror.test/hf/o/r", mirror) == RepositoryPlace("o/r")
    assert parse_hub_url("https://mirror.test/o/r", mirror) is None
    assert parse_hub_url(f"{HUB}/o/r", mirror) is None


def test_commits_and_addresses():
    assert is_commit("0123456789abcdef" * 2 + "01234567")
    assert not is_commit("main")
    assert quoted("a b/ü#?.gguf") == "a%20b/%C3%BC%23%3F.gguf"
