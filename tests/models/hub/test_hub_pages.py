"""Pages and cards of repositories: from real servers, with real faults."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from helpers.fake_hub import COMMIT, PENDING_TOKEN, STRANGER_TOKEN, TOKEN, Fault
from helpers.hub_pages import DATA, NAME, PLACE, QUICK, hub_at
from models.errors import (
    AccessPendingError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    OfflineError,
    RemoteNotFoundError,
    ServerAnswerError,
    TokenInvalidError,
)
from models.hub.client import HubClient
from models.hub.names import RepositoryPlace
from models.hub.pages import Gate
from models.hub.quants import RemoteFile
from models.hub.store import HeaderStore
from models.network.answers import Asked
from models.stopping import never


def test_a_page_has_all_that_the_hub_says(server):
    page = hub_at(server).page(PLACE)
    assert (page.repository, page.publisher, page.commit) == (NAME, "unsloth", COMMIT)
    assert (page.endpoint, page.revision) == (server.endpoint, "main")
    assert (page.licence, page.licence_url) == ("mit", "")
    assert page.base_models == ("deepseek-ai/DeepSeek-R1",)
    assert (page.downloads, page.likes, page.gate) == (12_345, 67, Gate.OPEN)
    assert page.is_readable
    assert not page.is_from_store
    assert page.flagged == ()
    assert page.files[0] == RemoteFile(
        "DeepSeek-R1-Q4_K_M.gguf", len(DATA), f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    )
    assert page.files[1].digest.startswith("git-sha1:")
    assert len(server.requests) == 1


LICENCES = {
    "none": ({}, [], ("", "")),
    "by tag": ({}, ["license:apache-2.0"], ("apache-2.0", "")),
    "its own": (
        {"license": "other", "license_name": "deepseek", "license_link": "LICENSE-MODEL"},
        [],
        ("deepseek", f"/{NAME}/blob/{COMMIT}/LICENSE-MODEL"),
    ),
    "elsewhere": (
        {"license": "other", "license_link": "https://example.org/l"},
        [],
        ("other", "https://example.org/l"),
    ),
    "a script": ({"license": "x\u202e", "license_link": "javascript:alert(1)"}, [], ("x", "")),
    "a list": ({"license": ["mit", "x"]}, [], ("mit", "")),
}


@pytest.mark.parametrize(("card", "tags", "wanted"), LICENCES.values(), ids=LICENCES)
def test_licences_as_cards_give_them(server, card, tags, wanted):
    server.describe(NAME, card=card, tags=tags)
    page = hub_at(server).page(PLACE)
    assert (page.licence, page.licence_url.removeprefix(server.endpoint)) == wanted


def test_files_that_the_hubs_own_scanners_warn_of(server):
    server.describe(NAME, flagged=["DeepSeek-R1-Q4_K_M.gguf"])
    assert hub_at(server).page(PLACE).flagged == ("DeepSeek-R1-Q4_K_M.gguf",)


def test_a_repository_that_was_renamed_is_found(server):
    onward = {"Location": f"/api/models/{NAME}/revision/main?blobs=true"}
    server.fail("api", Fault("status", 307, headers=onward))
    page = hub_at(server).page(RepositoryPlace("unsloth/old-name"))
    assert page.commit == COMMIT
    assert len(page.files) == 2


def test_a_page_is_pinned_to_its_commit(server):
    hub = hub_at(server)
    old = hub.page(PLACE)
    newer = server.replace(NAME, "DeepSeek-R1-Q4_K_M.gguf", b"GGUF, newer")
    assert hub.page(PLACE).commit == newer
    again = hub.page(RepositoryPlace(NAME, revision=old.commit))
    assert again.files[0] == old.files[0]


def test_a_gated_page_is_shown_and_says_what_to_do(server):
    server.gated.add(NAME)
    server.shows_gated = True
    server.describe(NAME, gate="manual")
    assert hub_at(server).page(PLACE).gate is Gate.MANUAL
    words = {None: "logged in", STRANGER_TOKEN: "Accept its terms", PENDING_TOKEN: "not given yet"}
    for token, note in words.items():
        page = hub_at(server, token=token).page(PLACE)
        assert not page.is_readable
        assert note in page.access_note
        assert page.files
    page = hub_at(server, token=TOKEN).page(PLACE)
    assert (page.is_readable, page.access_note) == (True, "")


def test_a_mirror_that_cannot_say_who_may_read_is_given_the_benefit(server):
    server.gated.add(NAME)
    server.shows_gated = True
    server.fail("api", Fault("status", 404), path="auth-check")
    assert hub_at(server).page(PLACE).is_readable


def test_a_gated_page_that_is_not_shown(server):
    server.gated.add(NAME)
    refusals = {None: LoginNeededError, STRANGER_TOKEN: LicenceNotAcceptedError}
    refusals |= {PENDING_TOKEN: AccessPendingError, "hf_wrong": TokenInvalidError}
    for token, kind in refusals.items():
        with pytest.raises(FathomError) as caught:
            hub_at(server, token=token).page(PLACE)
        assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["owner/two--dashes", "owner/two..dots", "owner/model.git"])
def test_a_name_that_no_repository_has(server, name):
    with pytest.raises(RemoteNotFoundError, match="cannot be a repository"):
        hub_at(server).page(RepositoryPlace(name))
    assert server.requests == []


def test_a_private_repository_looks_like_none(server):
    server.private.add(NAME)
    with pytest.raises(RemoteNotFoundError, match="or it is private"):
        hub_at(server).page(PLACE)
    assert hub_at(server, token=TOKEN).page(PLACE).commit == COMMIT


def test_a_page_that_was_seen_is_there_without_a_network(server, tmp_path):
    store = HeaderStore(tmp_path)
    seen = hub_at(server, store=store).page(PLACE)
    for place in (PLACE, RepositoryPlace(NAME, revision=COMMIT)):
        kept = hub_at(server, store=store, is_offline=True).page(place)
        assert kept.is_from_store
        assert (kept.files, kept.licence, kept.commit) == (seen.files, seen.licence, seen.commit)
        assert (kept.revision, kept.updated_s) == (place.revision, seen.updated_s)
    server.fail("api", Fault("reset"), times=None)
    assert hub_at(server, store=store).page(PLACE).is_from_store


def test_a_page_that_is_gone_is_told_though_it_was_seen(server, tmp_path):
    hub = hub_at(server, store=HeaderStore(tmp_path))
    hub.page(PLACE)
    server.files.clear()
    with pytest.raises(RemoteNotFoundError):
        hub.page(PLACE)


@pytest.mark.parametrize(
    "damage", [b"{}", b"[1]", b"null", b'{"version": 3, "page": {"files": 3}}']
)
def test_a_kept_page_that_makes_no_sense_is_as_good_as_none(server, tmp_path, damage):
    store = HeaderStore(tmp_path)
    hub_at(server, store=store).page(PLACE)
    url = f"{server.endpoint}/api/models/{NAME}/revision/main"
    entry = store.get(url)
    store.put(type(entry)(url, entry.etag, len(damage), damage))
    with pytest.raises(OfflineError):
        hub_at(server, store=store, is_offline=True).page(PLACE)


ODD = {
    "sizes": {"siblings": [{"rfilename": "a.gguf", "size": "many"}]},
    "a list": [],
    "no commit": {"id": NAME, "sha": "main", "siblings": []},
    "nothing": {},
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_answer_that_is_no_hubs(server, answer, monkeypatch):
    monkeypatch.setattr("helpers.fake_hub_server.model_json", lambda *a, **k: answer)
    with pytest.raises(ServerAnswerError, match="does not answer like a hub"):
        hub_at(server).page(PLACE)


def test_an_answer_without_end_is_not_taken_into_memory(server, monkeypatch):
    files = [{"rfilename": "x" * 200, "size": 1}] * 100_000
    answer = {"id": NAME, "sha": COMMIT, "siblings": files}
    monkeypatch.setattr("helpers.fake_hub_server.model_json", lambda *a, **k: answer)
    with pytest.raises(ServerAnswerError) as caught:
        hub_at(server).page(PLACE)
    assert "longer than" in caught.value.details


def test_an_answer_that_is_packed_beyond_all_measure(server):
    packed = Fault("headers", headers={"Content-Encoding": "zstd"})
    server.fail("api", packed)
    with pytest.raises(ServerAnswerError) as caught:
        hub_at(server).page(PLACE)
    assert "packed" in caught.value.details


def test_an_answer_nested_too_deep_to_be_read(server):
    client = HubClient(QUICK)
    with pytest.raises(ServerAnswerError):
        client.call(
            lambda: json.loads("[" * 100_000),
            asked=Asked("a list", "hub.example"),
            stop=never,
            deadline=time.monotonic() + 30,
        )


def test_a_hub_that_leads_round_in_circles_is_left_soon(server):
    where = f"{server.endpoint}/api/models/{NAME}/revision/main"
    server.fail("api", Fault("status", status=302, headers={"Location": where}), times=None)
    with pytest.raises(ServerAnswerError) as caught:
        hub_at(server).page(PLACE)
    assert "TooManyRedirects" in caught.value.details
    assert len(server.requests) < 10


# --- cards --------------------------------------------------------------------------------------


def test_a_card_without_what_stands_there_for_machines(server):
    hub = hub_at(server)
    assert hub.card(hub.page(PLACE)) == "# DeepSeek R1\n\nThinks."


CARDS = {
    "no front": ("# A\n---\nb\n---\n", "# A\n---\nb\n---"),
    "windows": ("---\r\na: b\r\n---\r\n# A\r\n", "# A"),
    "open front": ("---\na: b\n# A", "---\na: b\n# A"),
    "only front": ("---\na: b\n---", ""),
    "a mark first": ("\ufeff---\na: b\n---\n# A", "# A"),
    "not text": (b"# \xff\xfe", "# \ufffd\ufffd"),
}


@pytest.mark.parametrize(("data", "wanted"), CARDS.values(), ids=CARDS)
def test_cards_of_every_kind(server, data, wanted):
    server.add(NAME, "README.md", data)
    hub = hub_at(server)
    assert hub.card(hub.page(PLACE)) == wanted


def test_a_repository_without_a_card(server):
    del server.files[NAME, "README.md"]
    hub = hub_at(server)
    assert hub.card(hub.page(PLACE)) == ""


def test_an_endless_card_is_cut_at_a_line(server):
    server.add(NAME, "README.md", b"0123456789\n" * 200_000)
    hub = hub_at(server)
    text = hub.card(hub.page(PLACE))
    assert 1_000_000 < len(text) <= 1024 * 1024
    assert text.endswith("0123456789")
    assert server.sent_bytes < 1_200_000


def test_a_card_that_was_seen_is_there_without_a_network(server, tmp_path):
    store = HeaderStore(tmp_path)
    hub = hub_at(server, store=store)
    text = hub.card(hub.page(PLACE))
    before = len(server.requests)
    offline = hub_at(server, store=store, is_offline=True)
    assert offline.card(offline.page(PLACE)) == text
    assert len(server.requests) == before


# --- who asks -----------------------------------------------------------------------------------
