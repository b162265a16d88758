"""From a page to a download: what is found, what belongs to it, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import COMMIT, FakeHub, Fault, fake_hub
from models.errors import (
    BadInputError,
    CorruptDownloadError,
    MissingShardError,
    RemoteNotFoundError,
    UnsafeNameError,
)
from models.hub.fetching import find_quant, job_spec, page_quants, second_opinion
from models.hub.hub import DEFAULT_ENDPOINT, Hub
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import RemoteFile, cut_checkpoints
from models.network.patience import Patience

ROOT = Path("/models")
REPOSITORY = "unsloth/DeepSeek-R1-GGUF"
QUICK = Patience(first_pause_s=0.0, attempts=1)


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def file(path: str, size_bytes: int = 100) -> RemoteFile:
    return RemoteFile(path, size_bytes, digest(path))


def page_with(*files: RemoteFile, endpoint: str = DEFAULT_ENDPOINT) -> RepositoryPage:
    return RepositoryPage(REPOSITORY, "main", COMMIT, endpoint, files)


PAGE = page_with(
    file("Q8_0/R1-Q8_0-00002-of-00002.gguf", 300),
    file("Q8_0/R1-Q8_0-00001-of-00002.gguf", 200),
    file("R1-Q4_K_M.gguf", 150),
    file("R1-UD-Q2_K_XL.gguf", 90),
    file("R1-BF16.gguf.part1of2"),
    file("R1-BF16.gguf.part2of2"),
    file("README.md", 5),
    file("LICENSE", 6),
    file("config.json", 7),
    file("mmproj-R1-f16.gguf"),
)


# --- finding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Q8_0", "q8_0", " Q8_0 ", "R1-Q8_0", "r1-q8_0.gguf", "Q8_0/R1-Q8_0-00002-of-00002.gguf"],
)
def test_a_checkpoint_by_each_of_its_names(name):
    assert find_quant(PAGE, name).path == "Q8_0/R1-Q8_0-00001-of-00002.gguf"


def test_names_that_differ_in_case_alone_are_told_apart():
    page = page_with(file("m-q8_0.gguf", 1), file("M-Q8_0.gguf", 2))
    assert [find_quant(page, name).path for name in ("M-Q8_0.gguf", "m-q8_0.gguf")] == [
        "M-Q8_0.gguf",
        "m-q8_0.gguf",
    ]


def test_a_misspelt_name_brings_those_that_are_near():
    with pytest.raises(RemoteNotFoundError) as caught:
        find_quant(PAGE, "Q4_K_L")
    assert "Did you mean" in caught.value.hint
    assert "Q4_K_M" in caught.value.hint


def test_a_name_without_any_likeness_brings_all():
    with pytest.raises(RemoteNotFoundError) as caught:
        find_quant(PAGE, "xyz")
    assert caught.value.hint == "It has: UD-Q2_K_XL, Q4_K_M, Q8_0."


def test_a_repository_without_models():
    with pytest.raises(RemoteNotFoundError, match=r"no checkpoint called") as caught:
        find_quant(page_with(file("model.safetensors")), "Q4_K_M")
    assert "no GGUF files" in caught.value.hint


def test_a_quantization_that_two_checkpoints_have_is_asked_back():
    page = page_with(file("a-Q4_K_M.gguf"), file("b-Q4_K_M.gguf"))
    with pytest.raises(BadInputError, match="2 checkpoints") as caught:
        find_quant(page, "Q4_K_M")
    assert "a-Q4_K_M.gguf, b-Q4_K_M.gguf" in caught.value.hint
    assert find_quant(page, "b-Q4_K_M.gguf").name == "b-Q4_K_M"


@pytest.mark.parametrize("name", ["BF16", "R1-BF16", "R1-BF16.gguf.part1of2"])
def test_pieces_cut_by_hand_are_explained(name):
    with pytest.raises(BadInputError, match="2 pieces, which are no shards") as caught:
        find_quant(PAGE, name)
    assert "joined by hand" in caught.value.hint


def test_the_ways_that_pieces_are_called():
    paths = ["a.gguf.part1of3", "a.gguf.part2of3", "b/b-Q6_K.gguf-split-a", "b/b-Q6_K.gguf-split-b",
             "c.gguf.part1", "d.gguf-part-1-of-2", "e.gguf", "f-00001-of-00002.gguf"]  # fmt: skip
    cut = cut_checkpoints([file(path) for path in paths])
    assert [(one.name, one.quant, len(one.paths)) for one in cut] == [
        ("a", "", 2),
        ("b-Q6_K", "Q6_K", 2),
        ("c", "", 1),
        ("d", "", 1),
    ]
    assert cut[0].size_bytes == 200


# --- the download -------------------------------------------------------------------------------


def test_a_set_of_shards_is_one_download_with_its_texts():
    spec = job_spec(PAGE, find_quant(PAGE, "Q8_0"), root=ROOT)
    assert [f.path for f in spec.files] == [
        "Q8_0/R1-Q8_0-00001-of-00002.gguf",
        "Q8_0/R1-Q8_0-00002-of-00002.gguf",
        "LICENSE",
        "README.md",
    ]
    assert spec.files[0].digest == digest("Q8_0/R1-Q8_0-00001-of-00002.gguf")
    assert [f.target for f in spec.files] == [f.path for f in spec.files]
    assert spec.size_bytes == 200 + 300 + 6 + 5
    assert spec.folder == ROOT / "unsloth" / "DeepSeek-R1-GGUF"
    assert (spec.commit, spec.endpoint, spec.quant) == (COMMIT, DEFAULT_ENDPOINT, "Q8_0")
    assert spec.title == "DeepSeek-R1 Q8_0"
    assert spec.is_independent
    assert not spec.repairs


def test_every_download_has_an_id_of_its_own():
    quant = find_quant(PAGE, "Q4_K_M")
    ids = {job_spec(PAGE, quant, root=ROOT).job_id for _ in range(3)}
    assert len(ids) == 3
    assert all(len(bytes.fromhex(job_id)) == 16 for job_id in ids)


def test_a_set_that_lacks_a_shard_is_refused():
    page = page_with(file("m-Q8_0-00001-of-00003.gguf"), file("m-Q8_0-00003-of-00003.gguf"))
    with pytest.raises(MissingShardError, match="1 of 3 parts"):
        job_spec(page, find_quant(page, "Q8_0"), root=ROOT)


@pytest.mark.parametrize("wrong", ["", "md5:abc", "sha256:", "sha256:" + "g" * 64])
def test_a_file_without_a_digest_is_never_fetched(wrong):
    page = page_with(replace(file("m-Q8_0.gguf"), digest=wrong))
    with pytest.raises(BadInputError, match="no digest"):
        job_spec(page, find_quant(page, "Q8_0"), root=ROOT)


def test_an_empty_file_is_no_checkpoint():
    page = page_with(file("m-Q8_0.gguf", 0))
    with pytest.raises(BadInputError, match="is empty"):
        job_spec(page, find_quant(page, "Q8_0"), root=ROOT)


def test_a_checkpoint_of_another_page_is_not_mixed_in():
    with pytest.raises(BadInputError, match="has no checkpoint"):
        job_spec(page_with(file("x-Q2_K.gguf")), find_quant(PAGE, "Q8_0"), root=ROOT)


@pytest.mark.parametrize("path", ["nul/m-Q8_0.gguf", "m-Q8_0:x.gguf", "$m-Q8_0.gguf"])
def test_names_that_no_file_should_get_are_refused(path):
    page = page_with(file(path))
    with pytest.raises(UnsafeNameError):
        job_spec(page, page_quants(page)[0], root=ROOT)


def test_texts_that_would_be_the_same_file_somewhere_are_left_out():
    page = page_with(file("m-Q8_0.gguf"), file("README.md", 5), file("readme.md", 5))
    # They are no reason to refuse the model that they belong to.
    spec = job_spec(page, page_quants(page)[0], root=ROOT)
    assert [f.target for f in spec.files] == ["m-Q8_0.gguf"]


def test_a_text_too_large_to_be_one_is_left_out():
    page = page_with(file("m-Q8_0.gguf"), file("README.md", 50_000_000))
    assert len(job_spec(page, page_quants(page)[0], root=ROOT).files) == 1


# --- mirrors ------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[FakeHub, FakeHub]]:
    """A mirror, and what stands for Hugging Face."""
    with fake_hub() as mirror, fake_hub() as official:
        for server in (mirror, official):
            server.add("owner/model", "m-Q8_0.gguf", b"GGUF" + bytes(60))
            server.add("owner/model", "README.md", b"hello")
        yield mirror, official


def asked(mirror: FakeHub, official: FakeHub) -> tuple[RepositoryPage, RepositoryPage | None]:
    page = Hub(mirror.endpoint, patience=QUICK).page(RepositoryPlace("owner/model"))
    return page, second_opinion(page, official=Hub(official.endpoint, patience=QUICK))


def test_a_mirror_alone_vouches_for_itself(pair):
    page, _ = asked(*pair)
    assert not job_spec(page, page_quants(page)[0], root=ROOT).is_independent


def test_a_mirror_with_hugging_faces_digests_is_vouched_for(pair):
    page, opinion = asked(*pair)
    spec = job_spec(page, page_quants(page)[0], root=ROOT, endpoint_official=opinion)
    assert spec.is_independent
    assert spec.endpoint == pair[0].endpoint


def test_a_mirror_with_other_digests_is_refused(pair):
    mirror, official = pair
    mirror.add("owner/model", "m-Q8_0.gguf", b"GGUF" + bytes(59) + b"!")
    page, opinion = asked(mirror, official)
    with pytest.raises(CorruptDownloadError, match=r"another m-Q8_0\.gguf than Hugging Face"):
        job_spec(page, page_quants(page)[0], root=ROOT, endpoint_official=opinion)


def test_hugging_face_is_asked_for_the_mirrors_commit(pair):
    mirror, official = pair
    official.replace("owner/model", "m-Q8_0.gguf", b"GGUF, newer")
    page, opinion = asked(mirror, official)
    assert opinion is not None
    assert opinion.commit == page.commit == COMMIT
    assert job_spec(page, page_quants(page)[0], root=ROOT, endpoint_official=opinion).is_independent


@pytest.mark.parametrize("fault", [Fault("reset"), Fault("status", 503), Fault("page")])
def test_no_second_opinion_is_no_error(pair, fault):
    mirror, official = pair
    official.fail("api", fault, times=None)
    page, opinion = asked(mirror, official)
    assert opinion is None
    assert not job_spec(page, page_quants(page)[0], root=ROOT).is_independent


def test_no_second_opinion_where_the_commit_is_unknown(pair):
    mirror, official = pair
    official.replace("owner/model", "m-Q8_0.gguf", b"GGUF, newer")
    official.forget_history("owner/model")
    assert asked(mirror, official)[1] is None


def test_hugging_face_itself_is_not_asked_twice():
    assert second_opinion(PAGE) is None
