"""Checkpoints of other programs: found, offered, and never written to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub.utils import _shared_blobs as shared_blobs

from helpers.fake_hub import fake_hub
from helpers.library_samples import (
    content,
    fetched,
    ollama_model,
    only_entry,
    put,
    sha256,
    snapshot,
)
from models.errors import LibraryError
from models.library.deletion import plan_deletion
from models.library.entry import LibraryEntry
from models.library.foreign import find_foreign
from models.library.library import Library
from models.library.moving import plan_move
from models.library.verifying import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")

REPOSITORY = "someone/Model-GGUF"
OWN = ("registry.ollama.ai", "library")


def library_of(
    home: Path, *roots: Path, environ: Mapping[str, str] | None = None, shows: bool = True
) -> Library:
    return Library(
        roots,
        None,
        find_foreign=partial(find_foreign, environ or {}, home),
        shows_foreign=shows,
    )


def names(library: Library) -> list[str]:
    return [entry.name for entry in library.entries()]


def folders(environ: Mapping[str, str], home: Path) -> list[tuple[str, str]]:
    stores = find_foreign(environ, home)
    return [(store.source, str(store.folder.relative_to(home))) for store in stores]


# --- where they are -----------------------------------------------------------------------------


def test_every_program_is_found_at_its_usual_places(tmp_path: Path) -> None:
    places = [
        ("huggingface", ".cache/huggingface/hub"),
        ("lmstudio", ".lmstudio/models"),
        ("lmstudio", ".cache/lm-studio/models"),
        ("ollama", ".ollama/models"),
    ]
    assert folders({}, tmp_path) == []
    for _, place in places:
        (tmp_path / place).mkdir(parents=True)
    assert folders({}, tmp_path) == places


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "{home}/elsewhere"}, ("huggingface", "elsewhere")),
        ({"HF_HOME": "{home}/hf"}, ("huggingface", "hf/hub")),
        ({"HF_HOME": "~/hf"}, ("huggingface", "hf/hub")),
        ({"XDG_CACHE_HOME": "{home}/xdg"}, ("huggingface", "xdg/huggingface/hub")),
        ({"OLLAMA_MODELS": "{home}/llamas"}, ("ollama", "llamas")),
    ],
)
def test_the_programs_own_variables_are_obeyed(
    tmp_path: Path, variables: dict[str, str], expected: tuple[str, str]
) -> None:
    (tmp_path / expected[1]).mkdir(parents=True)
    environ = {key: value.format(home=tmp_path) for key, value in variables.items()}
    assert folders(environ, tmp_path) == [expected]


def test_lm_studio_says_itself_where_its_models_are(tmp_path: Path) -> None:
    (tmp_path / "chosen").mkdir()
    settings = {"downloadsFolder": str(tmp_path / "chosen")}
    put(tmp_path / "lms" / "settings.json", json.dumps(settings).encode())
    put(tmp_path / ".lmstudio-home-pointer", str(tmp_path / "lms").encode())
    assert folders({}, tmp_path) == [("lmstudio", "chosen")]
    for nonsense in (
        b"",
        b"[]",
        b"{",
        b'{"downloadsFolder": 5}',
        b'{"downloadsFolder": "\\u0000"}',
    ):
        put(tmp_path / "lms" / "settings.json", nonsense)
        assert folders({}, tmp_path) == []


# --- Hugging Face -------------------------------------------------------------------------------


def test_a_cache_that_hugging_face_made_is_read(tmp_path: Path) -> None:
    data = content(1)
    cache = tmp_path / ".cache" / "huggingface" / "hub"
    with fake_hub() as hub:
        hub.add(REPOSITORY, "sub/Model-Q4_K_M.gguf", data)
        # Its library keeps threads and connections: it fetches in a process of its own.
        program = (
            "import sys; from huggingface_hub import hf_hub_download as fetch;"
            "fetch(*sys.argv[1:3], endpoint=sys.argv[3], cache_dir=sys.argv[4], token=False)"
        )
        call = (REPOSITORY, "sub/Model-Q4_K_M.gguf", hub.endpoint, str(cache))
        subprocess.run([sys.executable, "-c", program, *call], check=True, timeout=60)
    before = snapshot(cache)
    library = library_of(tmp_path)
    entry = only_entry(library)
    assert (entry.name, entry.source, entry.is_read_only) == ("Model-Q4_K_M", "huggingface", True)
    assert (entry.repository, len(entry.commit), entry.quant) == (REPOSITORY, 40, "Q4_K_M")
    assert entry.path.read_bytes() == data
    assert library.find_by_digest([f"sha256:{sha256(data)}"], [len(data)]) == entry
    assert library.find_by_digest([sha256(content(2))]) is None
    found = verify(entry, records=library.records)
    assert (found.is_good, found.has_reference) == (True, True)
    assert snapshot(cache) == before


def cached(cache: Path, commit: str, name: str, data: bytes, *, ref: str = "") -> Path:
    """Leave a file in a cache as hugginface_hub does: link -> blob."""
    folder = cache / f"models--{REPOSITORY.replace('/', '--')}"
    blob = put(folder / "blobs" / sha256(data), data)
    link = folder / "snapshots" / commit / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path("../../blobs") / blob.name)
    if ref:
        put(folder / "refs" / ref, commit.encode())
    return link


def test_the_store_that_repositories_share_is_followed(tmp_path: Path) -> None:
    cache, data = tmp_path / "hub", content(1)
    link = cached(cache, "a" * 40, "Model-Q8_0.gguf", data)
    blob = link.resolve()
    is_shared = shared_blobs.publish_blob_to_shared_store(
        blob_path=blob, xet_hash="5" * 64, cache_dir=cache, expected_size=len(data)
    )
    assert is_shared
    # symlink -> symlink -> file, and the last name is another digest than that of the content.
    assert blob.is_symlink()
    assert link.resolve().name == "5" * 64
    before = snapshot(cache)
    library = library_of(tmp_path, environ={"HF_HUB_CACHE": str(cache)})
    entry = only_entry(library)
    assert (entry.path, entry.size_bytes) == (link, len(data))
    assert library.find_by_digest([sha256(data)]) == entry
    assert library.find_by_digest(["5" * 64]) is None
    assert verify(entry, records=library.records).is_good
    assert snapshot(cache) == before


def test_commits_that_share_files_are_told_apart(tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    one, two, new_two = content(1), content(2), content(3)
    old, new = "a" * 40, "b" * 40
    cached(cache, old, "M-00001-of-00002.gguf", one)
    cached(cache, old, "M-00002-of-00002.gguf", two)
    cached(cache, new, "M-00001-of-00002.gguf", one, ref="main")
    cached(cache, new, "M-00002-of-00002.gguf", new_two)
    cached(cache, new, "same.gguf", content(4))
    cached(cache, old, "same.gguf", content(4))
    entries = library_of(tmp_path, environ={"HF_HUB_CACHE": str(cache)}).entries()
    assert sorted((entry.title, entry.commit, entry.missing) for entry in entries) == [
        ("M", old, 0),
        ("M", new, 0),
        ("same", new, 0),
    ]
    assert len({entry.name for entry in entries}) == 3


def test_a_broken_cache_is_passed_over(tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    link = cached(cache, "a" * 40, "gone.gguf", content(1))
    link.resolve().unlink()
    put(cache / "models--no-owner" / "snapshots" / ("a" * 40) / "x.gguf", content(1))
    put(cache / "models--a--b" / "snapshots" / "not-a-commit" / "x.gguf", content(1))
    put(cache / "models--a--c" / "blobs" / f"{'e' * 64}.incomplete", content(1))
    put(cache / "datasets--a--d" / "snapshots" / ("a" * 40) / "x.gguf", content(1))
    put(cache / "models--a--e" / "refs", b"a file")
    assert library_of(tmp_path, environ={"HF_HUB_CACHE": str(cache)}).entries() == ()


# --- Ollama -------------------------------------------------------------------------------------


def test_ollama_s_models_have_ollama_s_names(tmp_path: Path) -> None:
    store = tmp_path / ".ollama" / "models"
    blob = ollama_model(store, (*OWN, "deepseek-r1", "7b"), content(1))
    ollama_model(store, (*OWN, "other", "latest"), content(2))
    ollama_model(store, ("registry.ollama.ai", "me", "mine", "q8_0"), content(3))
    ollama_model(store, ("hf.co", "someone", "Model-GGUF", "Q4_K_M"), content(4))
    ollama_model(store, (*OWN, "same-as-r1", "7b"), content(1))
    before = snapshot(store)
    library = library_of(tmp_path)
    assert names(library) == [
        "deepseek-r1:7b",
        "hf.co/someone/Model-GGUF:Q4_K_M",
        "me/mine:q8_0",
        "other",
    ]
    entry = library.resolve("deepseek-r1:7b")
    assert (entry.path, entry.source, entry.is_read_only) == (blob, "ollama", True)
    assert library.resolve("hf.co/someone/Model-GGUF:Q4_K_M").quant == "Q4_K_M"
    assert library.find_by_digest([sha256(content(1))], [len(content(1))]) == entry
    assert verify(entry, records=library.records).has_reference
    assert snapshot(store) == before


def test_what_is_no_model_of_ollama_is_passed_over(tmp_path: Path) -> None:
    store = tmp_path / ".ollama" / "models"
    media = "application/vnd.ollama.image.model"
    # Where the digest were taken for a part of a path, this would lead to a file that is there.
    outside = put(store.parent / "secret", content(1))
    (store / "blobs" / "sha256-..").mkdir(parents=True)
    digests = [
        f"sha256:../../../../{outside.name}",
        f"sha256:{'0' * 64}",
        "sha256:" + "Z" * 64,
        5,
    ]
    for number, digest in enumerate(digests):
        manifest = {"layers": [{"mediaType": media, "digest": digest}]}
        place = store.joinpath("manifests", *OWN, "m", str(number))
        put(place, json.dumps(manifest).encode())
    for number, text in enumerate([b"", b"[]", b"{}", b'{"layers": 3}', b"[" * 100_000, b"\xff"]):
        put(store.joinpath("manifests", *OWN, "n", str(number)), text)
    ollama_model(store, (*OWN, "safetensors", "latest"), b"not GGUF at all")
    assert names(library_of(tmp_path)) == []


# --- LM Studio, and all together ----------------------------------------------------------------


def test_lm_studio_s_files_are_candidates_by_size_until_they_are_read(tmp_path: Path) -> None:
    data = content(1)
    store = tmp_path / ".lmstudio" / "models"
    put(store / "publisher" / "Model-GGUF" / "Model-Q4_K_M.gguf", data)
    put(store / "publisher" / "Model-GGUF" / "mmproj-Model.gguf", content(2))
    library = library_of(tmp_path)
    entry = only_entry(library)
    assert (entry.source, entry.is_read_only, entry.quant) == ("lmstudio", True, "Q4_K_M")
    wanted = [f"sha256:{sha256(data)}"]
    assert library.find_by_digest(wanted, [len(data)]) is None
    assert library.find_by_size([len(data)]) == (entry,)
    assert library.find_by_size([len(data) + 1]) == ()
    assert not verify(entry, records=library.records).has_reference
    assert library.find_by_digest(wanted, [len(data)]) == entry
    assert library.find_by_size([len(data)]) == ()


def test_other_programs_are_shown_only_where_that_is_wanted(tmp_path: Path) -> None:
    put(tmp_path / ".lmstudio" / "models" / "p" / "r" / "a.gguf", content(1))
    assert names(library_of(tmp_path)) == ["a"]
    hidden = library_of(tmp_path, shows=False)
    assert names(hidden) == []
    hidden.set_shows_foreign(True)
    assert names(hidden) == ["a"]


@pytest.mark.parametrize("shows", [True, False])
def test_a_folder_of_another_program_stays_its_own_when_it_is_added(
    tmp_path: Path, shows: bool
) -> None:
    store = tmp_path / ".lmstudio" / "models"
    put(store / "p" / "r" / "a.gguf", content(1))
    linked = tmp_path / "mine" / "linked"
    linked.parent.mkdir()
    linked.symlink_to(store)
    for root in (store, tmp_path / ".lmstudio", linked.parent):
        entry = only_entry(library_of(tmp_path, root, shows=shows))
        assert (entry.source, entry.is_read_only) == ("lmstudio", True)


@pytest.mark.parametrize("shows", [True, False])
def test_what_fathom_fetched_into_another_program_s_folder_is_its_own(
    tmp_path: Path, shows: bool
) -> None:
    store = tmp_path / ".lmstudio" / "models"
    put(store / "p" / "r" / "theirs.gguf", content(1))
    fetched(store, "ours.gguf", content(2))
    ours, theirs = library_of(tmp_path, store, shows=shows).entries()
    assert (ours.name, ours.source, ours.is_read_only) == ("ours", "fathom", False)
    assert (theirs.name, theirs.source, theirs.is_read_only) == ("theirs", "lmstudio", True)
    # Where LM Studio's folder is no folder of the library, all in it is LM Studio's.
    assert all(entry.is_read_only for entry in library_of(tmp_path).entries())


def test_what_two_names_lead_to_is_listed_once(tmp_path: Path) -> None:
    store = tmp_path / ".lmstudio" / "models"
    path = put(store / "p" / "r" / "a.gguf", content(1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hard.gguf").hardlink_to(path)
    entry = only_entry(library_of(tmp_path, tmp_path / "mine"))
    assert (entry.name, entry.is_read_only) == ("hard", False)


def foreign_entries(home: Path) -> tuple[LibraryEntry, ...]:
    put(home / ".lmstudio" / "models" / "p" / "r" / "a.gguf", content(1))
    ollama_model(home / ".ollama" / "models", (*OWN, "b", "latest"), content(2))
    cached(home / ".cache" / "huggingface" / "hub", "a" * 40, "c.gguf", content(3))
    return library_of(home).entries()


def test_nothing_of_another_program_is_deleted_or_moved(tmp_path: Path) -> None:
    entries = foreign_entries(tmp_path / "home")
    (tmp_path / "root").mkdir()
    assert len(entries) == 3
    before = snapshot(tmp_path / "home")
    for entry in entries:
        with pytest.raises(LibraryError, match="only reads it"):
            plan_deletion(entry)
        with pytest.raises(LibraryError, match="only reads it"):
            plan_move(entry, tmp_path / "root")
    assert snapshot(tmp_path / "home") == before
