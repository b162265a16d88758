"""Opening by every kind of text, against real files and a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.fake_hub import COMMIT, FakeHub, Fault, fake_hub
from helpers.raw_gguf import true_scale
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from models.errors import (
    BadInputError,
    CheckpointNotFoundError,
    CorruptGgufError,
    MissingShardError,
    NetworkError,
    NotGgufError,
    OfflineError,
    RemoteChangedError,
    RemoteNotFoundError,
    StoppedError,
    TruncatedGgufError,
)
from models.gguf.http_source import FIRST_BYTES
from models.hub.hub import Hub
from models.hub.store import HeaderStore
from models.library.library import Library
from models.network.patience import Patience
from models.planning.opening import OpenCheckpoint, open_checkpoint, quants_of
from models.stopping import never

REPOSITORY = "owner/Tiny-GGUF"
QUICK = Patience(first_pause_s=0.0)


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def hub(server: FakeHub, tmp_path: Path) -> Hub:
    return hub_again(server, tmp_path)


def hub_again(server: FakeHub, tmp_path: Path, **options: object) -> Hub:
    """A hub with the same store, as after a new start of the program."""
    store = HeaderStore(tmp_path / "cache")
    return Hub(server.endpoint, **({"store": store, "patience": QUICK} | options))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library([tmp_path / "library"], None)


@pytest.fixture
def open_it(library: Library, hub: Hub) -> Callable[..., OpenCheckpoint]:
    """Open a text with the test's own library and hub."""

    def opened(text: str, *, hub: Hub = hub, stop: Callable[[], bool] = never) -> OpenCheckpoint:
        return open_checkpoint(text, library=library, hub=hub, stop=stop)

    return opened


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny-Q8_0.gguf", TinyModel(architecture="deepseek2"))


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    (tmp_path / "sharded").mkdir()
    return list(write_tiny_shards(tmp_path / "sharded", tensors_each=12))


def put(server: FakeHub, path: Path, folder: str = "") -> str:
    """Put a file into the repository and return the text that opens it."""
    server.add(REPOSITORY, folder + path.name, path.read_bytes())
    return f"{REPOSITORY}/{folder}{path.name}"


def same_model(one: OpenCheckpoint, other: OpenCheckpoint) -> bool:
    """Whether two checkpoints are the same but for where they lie."""
    return (one.name, one.shape, one.template) == (other.name, other.shape, other.template)


# --- on this machine ----------------------------------------------------------------------------


def test_a_path(tiny, server, open_it):
    opened = open_it(str(tiny))
    assert (opened.text, opened.path, opened.is_remote) == (str(tiny), tiny, False)
    assert opened.shape.architecture == "deepseek2"
    (file,) = opened.files
    assert (file.name, file.size_bytes, file.path) == (tiny.name, tiny.stat().st_size, tiny)
    assert server.requests == []


def test_a_relative_path_is_good_in_any_folder(tiny, open_it, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    opened = open_it(f"./{tiny.name}")
    assert (opened.path, opened.files[0].path) == (tiny, tiny)


def test_any_file_of_a_set_opens_all_of_it(shards, open_it):
    whole = open_it(str(shards[0]))
    part = open_it(str(shards[2]))
    assert [file.path for file in part.files] == shards
    assert part.path == shards[0]
    assert same_model(whole, part)
    assert whole.shape.shard_bytes == tuple(path.stat().st_size for path in shards)


def test_a_name_in_the_library(tmp_path, open_it):
    (tmp_path / "library").mkdir()
    path = write_tiny(tmp_path / "library" / "Tiny-Q8_0.gguf")
    assert open_it("tiny-q8_0").path == path


def test_the_chat_template_comes_along(tmp_path, open_it):
    words = "{{ messages[0].content }}"
    path = write_tiny(tmp_path / "t.gguf", TinyModel(template=words))
    assert open_it(str(path)).template == words


def test_a_path_here_wins_over_a_repository(server, tiny, monkeypatch, tmp_path, open_it):
    text = put(server, tiny)
    here = tmp_path / "cwd" / text
    here.parent.mkdir(parents=True)
    here.write_bytes(tiny.read_bytes())
    monkeypatch.chdir(tmp_path / "cwd")
    assert not open_it(text).is_remote
    assert server.requests == []


def test_a_folder_here_is_no_repository(server, monkeypatch, tmp_path, open_it):
    (tmp_path / "owner" / "x.gguf" / "y.gguf").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFoundError, match="is a folder"):
        open_it("owner/x.gguf/y.gguf")
    assert server.requests == []


def test_a_missing_shard_here(shards, open_it):
    shards[1].unlink()
    with pytest.raises(MissingShardError):
        open_it(str(shards[0]))


def test_shards_that_were_mixed(shards, open_it):
    shards[1].write_bytes(shards[2].read_bytes())
    with pytest.raises(CorruptGgufError):
        open_it(str(shards[0]))


def test_a_stop_before_anything_is_read(tiny, open_it):
    with pytest.raises(StoppedError):
        open_it(str(tiny), stop=lambda: True)


# --- on the hub ---------------------------------------------------------------------------------


def test_a_file_of_a_repository_is_the_same_as_here(server, tiny, open_it):
    here = open_it(str(tiny))
    there = open_it(put(server, tiny))
    assert same_model(here, there)
    assert (there.is_remote, there.path) == (True, None)
    (file,) = there.files
    assert (file.name, file.size_bytes, file.path) == (tiny.name, tiny.stat().st_size, None)
    assert tiny.read_bytes().startswith(file.header)
    first, _ = there.shape.data_spans[0]
    assert len(file.header) == first


def test_a_set_on_the_hub_opens_by_any_of_its_files(server, shards, open_it):
    texts = [put(server, path, "Q8_0/") for path in shards]
    here = open_it(str(shards[0]))
    there = open_it(texts[1])
    assert same_model(here, there)
    assert [file.name for file in there.files] == [path.name for path in shards]
    assert all(file.header for file in there.files)


def test_the_header_of_a_671b_model_takes_a_few_requests(server, tmp_path, open_it):
    path = true_scale("v3-q4km", tmp_path)
    with path.open("rb") as file:
        start = file.read(4_000_000)
    server.add(REPOSITORY, "v3.gguf", start, size_bytes=path.stat().st_size)
    opened = open_it(f"{REPOSITORY}/v3.gguf")
    assert opened.shape == open_it(str(path)).shape
    assert opened.files[0].size_bytes == 405_065_227_744
    assert len(server.requests) <= 8
    assert server.sent_bytes < 5_000_000


def test_another_revision(server, tiny, open_it):
    text = f"{put(server, tiny)}@{COMMIT}"
    assert open_it(text).text == text
    with pytest.raises(RemoteNotFoundError, match="revision"):
        open_it(f"{text[:-41]}@v9")


def test_the_hubs_own_addresses(server, tiny, open_it):
    put(server, tiny, "Q8 0/")
    for view in ("resolve", "blob"):
        url = f"{server.endpoint}/{REPOSITORY}/{view}/main/Q8%200/{tiny.name}?download=true"
        assert open_it(url).is_remote


def test_any_web_address(server, shards, tiny, open_it):
    url = server.add_plain(f"my files/{tiny.name}", tiny.read_bytes()).replace(" ", "%20")
    assert open_it(f"{url}?key=1").shape.n_layer_all > 0
    urls = [server.add_plain(path.name, path.read_bytes()) for path in shards]
    assert len(open_it(urls[2]).files) == 3


def test_a_shard_missing_from_the_list(server, shards, open_it):
    for path in shards[:2]:
        put(server, path)
    with pytest.raises(MissingShardError, match="1 of 3 parts") as caught:
        open_it(f"{REPOSITORY}/{shards[0].name}")
    assert shards[2].name in caught.value.message


def test_a_shard_missing_beside_an_address(server, shards, open_it):
    urls = [server.add_plain(path.name, path.read_bytes()) for path in shards[:2]]
    with pytest.raises(MissingShardError, match=shards[2].name):
        open_it(urls[0])


def test_a_part_under_another_name(server, shards, open_it):
    url = server.add_plain("renamed.gguf", shards[1].read_bytes())
    with pytest.raises(MissingShardError, match="does not lead to the others"):
        open_it(url)


def test_a_small_header_takes_one_request(server, tiny, open_it):
    put(server, tiny)
    server.files[REPOSITORY, tiny.name].size_bytes += 10_000_000
    open_it(f"{REPOSITORY}/{tiny.name}")
    assert len(server.seen("cdn")) == 1


def test_files_that_are_not_what_they_should_be(server, tiny, open_it):
    data = tiny.read_bytes()
    cases = {
        "page.gguf": (b"<!doctype html><html>", NotGgufError),
        "short.gguf": (data[: len(data) // 2], TruncatedGgufError),
        "odd.gguf": (data[:8] + b"\xff" * 16 + data[24:], CorruptGgufError),
    }
    for name, (content, kind) in cases.items():
        server.add(REPOSITORY, name, content)
        with pytest.raises(kind):
            open_it(f"{REPOSITORY}/{name}")


def test_one_broken_shard_ends_the_reading_of_the_others(server, shards, open_it):
    for path in shards:
        put(server, path)
    server.files[REPOSITORY, shards[1].name].data = b"<html>" + bytes(1000)
    with pytest.raises(NotGgufError):
        open_it(f"{REPOSITORY}/{shards[0].name}")


def test_a_stop_while_shards_are_read(server, shards, tmp_path, open_it):
    for path in shards:
        put(server, path)
    server.fail("cdn", Fault("headers"), Fault("stall", after=9), Fault("stall", after=9))
    hub = hub_again(server, tmp_path, patience=Patience(silence_s=100.0))
    with pytest.raises(StoppedError):
        open_it(
            f"{REPOSITORY}/{shards[0].name}",
            hub=hub,
            stop=lambda: len(server.seen("cdn")) >= 3,
        )


# --- once seen ----------------------------------------------------------------------------------


def test_what_was_opened_can_be_opened_offline(server, shards, tiny, tmp_path, open_it):
    texts = [put(server, path) for path in (tiny, *shards)][:2]
    texts.append(server.add_plain("plain.gguf", tiny.read_bytes()))
    seen = [open_it(text) for text in texts]
    before = len(server.requests)
    offline = hub_again(server, tmp_path, is_offline=True)
    assert [open_it(text, hub=offline) for text in texts] == seen
    assert len(server.requests) == before


def test_what_was_opened_can_be_opened_while_the_network_is_down(server, tiny, tmp_path, open_it):
    text, url = put(server, tiny), server.add_plain("plain.gguf", tiny.read_bytes())
    seen = [open_it(each) for each in (text, url)]
    server.fail("api", *[Fault("reset")] * 9)
    server.fail("cdn", *[Fault("reset")] * 9)
    again = hub_again(server, tmp_path)
    assert [open_it(each, hub=again) for each in (text, url)] == seen


def test_a_header_of_a_commit_is_read_once(server, tiny, hub, open_it):
    text = put(server, tiny)
    open_it(text)
    before = len(server.seen("hub"))
    open_it(text)
    assert len(server.seen("hub")) == before


def test_a_changed_file_at_an_address_is_read_anew(server, tiny, tmp_path, open_it):
    url = server.add_plain("m.gguf", tiny.read_bytes())
    old = open_it(url)
    other = write_tiny(tmp_path / "other.gguf", TinyModel(architecture="llama"))
    server.add_plain("m.gguf", other.read_bytes())
    new = open_it(url)
    assert (old.shape.architecture, new.shape.architecture) == ("deepseek2", "llama")


def test_an_unchanged_large_header_at_an_address_costs_64_kb(server, tmp_path, open_it):
    path = true_scale("v4f-mxfp4", tmp_path)
    with path.open("rb") as file:
        start = file.read(4_000_000)
    url = server.add_plain("v4.gguf", start, size_bytes=path.stat().st_size)
    first = open_it(url)
    before = server.sent_bytes
    assert open_it(url) == first
    assert server.sent_bytes - before == FIRST_BYTES


def test_a_damaged_cache_is_read_again(server, tiny, tmp_path, open_it):
    text = put(server, tiny)
    seen = open_it(text)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert open_it(text) == seen


def test_without_a_store_nothing_is_kept(server, tiny, tmp_path, open_it):
    text = put(server, tiny)
    assert open_it(text, hub=Hub(server.endpoint)).is_remote
    with pytest.raises(OfflineError):
        open_it(text, hub=Hub(server.endpoint, is_offline=True))


def test_a_file_that_changes_while_it_is_read(server, tmp_path, open_it):
    path = true_scale("v3-q4km", tmp_path)
    with path.open("rb") as file:
        url = server.add_plain("v3.gguf", file.read(4_000_000), size_bytes=path.stat().st_size)
    server.fail("cdn", Fault("headers"), Fault("changed"))
    with pytest.raises(RemoteChangedError):
        open_it(url)


# --- texts that lead nowhere --------------------------------------------------------------------


def test_a_file_that_the_repository_does_not_have(server, tiny, open_it):
    put(server, tiny)
    with pytest.raises(RemoteNotFoundError, match=r"no file tiny-Q9_0\.gguf") as caught:
        open_it(f"{REPOSITORY}/tiny-Q9_0.gguf")
    assert f"Did you mean {REPOSITORY}/tiny-Q8_0.gguf?" in caught.value.hint
    assert "on this machine" in caught.value.hint


def test_a_repository_that_is_not_there(open_it):
    with pytest.raises(RemoteNotFoundError, match="no repository") as caught:
        open_it("owner/none/m.gguf")
    assert "on this machine" in caught.value.hint


def test_no_network_where_a_path_may_have_been_meant(server, open_it):
    server.fail("api", *[Fault("status", 503)] * 9)
    with pytest.raises(NetworkError) as caught:
        open_it("models/sub/m.gguf")
    assert "on this machine" in caught.value.hint


def test_a_repository_instead_of_a_file(server, open_it):
    for text in (REPOSITORY, f"{REPOSITORY}/Q4_K_M", f"{server.endpoint}/{REPOSITORY}"):
        with pytest.raises(CheckpointNotFoundError, match="names a repository") as caught:
            open_it(text)
        assert f"fathom plan --compare {REPOSITORY}" in caught.value.hint
    assert server.requests == []


@pytest.mark.parametrize("text", ["", "nothing", "x.gguf", "folder/x.gguf", "/no/r/x.gguf", "a\0b"])
def test_texts_that_can_only_mean_this_machine(text, server, open_it):
    with pytest.raises(BadInputError) as caught:
        open_it(text)
    assert caught.value.exit_code == 2
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["https://host/model.bin", "https://", "https://[bad/x.gguf", "https://h:x/m.gguf"]
)
def test_addresses_of_something_else(url, open_it):
    with pytest.raises(BadInputError, match="not the address of a GGUF file"):
        open_it(url)


# --- quants -------------------------------------------------------------------------------------


def test_quants_of_a_repository_open_by_their_text(server, tiny, shards, hub, open_it):
    put(server, tiny)
    for path in shards:
        put(server, path, "big/")
    quants = quants_of(REPOSITORY, hub=hub)
    assert sorted(q.shards for q in quants) == [1, 3]
    for quant in quants:
        opened = open_it(quant.text)
        assert opened.shape.file_bytes == quant.size_bytes
    url = f"{server.endpoint}/{REPOSITORY}"
    assert quants_of(url, hub=hub) == quants
    assert [q.shards for q in quants_of(f"{url}/tree/main/big", hub=hub)] == [3]
    assert [q.shards for q in quants_of(f"{REPOSITORY}/big/{shards[1].name}", hub=hub)] == [3]


def test_quants_of_a_folder_open_by_their_text(tiny, shards, hub, tmp_path, open_it):
    assert tiny.parent == shards[0].parent.parent == tmp_path
    quants = quants_of(str(tmp_path), hub=hub)
    assert {quant.shards for quant in quants} == {1, 3}
    for quant in quants:
        opened = open_it(quant.text)
        assert opened.shape.file_bytes == quant.size_bytes
    assert [q.quant for q in quants_of(str(tiny), hub=hub)] == ["Q8_0"]


def test_quants_of_nothing(server, hub, tmp_path):
    (tmp_path / "empty").mkdir()
    server.add("owner/words", "README.md", b"words")
    cases = {
        "nowhere": CheckpointNotFoundError,
        str(tmp_path / "empty"): CheckpointNotFoundError,
        "owner/none": RemoteNotFoundError,
        "owner/words": RemoteNotFoundError,
        "https://host/x": CheckpointNotFoundError,
        "https://[bad": CheckpointNotFoundError,
    }
    for text, kind in cases.items():
        with pytest.raises(kind):
            quants_of(text, hub=hub)
