"""Search, pages, cards, who asks, and where files lie: from real servers, with real faults."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.fake_hub import (
    CERTIFICATE,
    COMMIT,
    PENDING_TOKEN,
    STRANGER_TOKEN,
    TOKEN,
    FakeHub,
    Fault,
    fake_hub,
)
from models.errors import (
    AccessPendingError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    NetworkError,
    NetworkTooSlowError,
    OfflineError,
    RateLimitedError,
    RemoteChangedError,
    RemoteNotFoundError,
    ServerAnswerError,
    ServerError,
    StoppedError,
    TokenInvalidError,
    UnreachableError,
)
from models.hub.client import HubClient
from models.hub.hub import Hub, endpoint_of_user, hub_of_user, is_official
from models.hub.located import expiry_of
from models.hub.names import RepositoryPlace
from models.hub.pages import Gate, RepositoryPage, SortBy
from models.hub.quants import RemoteFile
from models.hub.store import HeaderStore
from models.network.answers import Asked
from models.network.patience import Patience
from models.stopping import never
from models.transfer.remote import FileSpec, Location, RemoteObject

NAME = "unsloth/DeepSeek-R1-GGUF"
PLACE = RepositoryPlace(NAME)
QUICK = Patience(first_pause_s=0.0, silence_s=0.3)
DATA = b"GGUF" + bytes(range(200))
CARD = "---\nlicense: mit\nbase_model: deepseek-ai/DeepSeek-R1\n---\n# DeepSeek R1\n\nThinks.\n"


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with fake_hub() as running:
        running.add(NAME, "DeepSeek-R1-Q4_K_M.gguf", DATA)
        running.add(NAME, "README.md", CARD)
        running.describe(
            NAME,
            downloads=12_345,
            likes=67,
            tags=["license:mit", "base_model:quantized:deepseek-ai/DeepSeek-R1"],
            card={"license": "mit", "base_model": "deepseek-ai/DeepSeek-R1"},
            gguf={"total": 671_026_419_200, "architecture": "deepseek2", "context_length": 163_840},
        )
        yield running


def hub_at(server: FakeHub, **options: object) -> Hub:
    return Hub(server.endpoint, **({"patience": QUICK} | options))


def remote(server: FakeHub, path: str = "DeepSeek-R1-Q4_K_M.gguf", **changes: object) -> object:
    page = hub_at(server, token=TOKEN).page(PLACE)
    listed = next(file for file in page.files if file.path == path)
    file = {"path": path, "target": path, "size_bytes": listed.size_bytes, "digest": listed.digest}
    about = {"endpoint": server.endpoint, "repository": NAME, "commit": page.commit}
    file |= {key: value for key, value in changes.items() if key in file}
    about |= {key: value for key, value in changes.items() if key in about}
    return RemoteObject(**about, file=FileSpec(**file))


# --- searching ----------------------------------------------------------------------------------


def test_a_search_brings_what_the_list_says(server):
    (hit,) = hub_at(server).search("deepseek")
    assert (hit.repository, hit.publisher) == (NAME, "unsloth")
    assert (hit.downloads, hit.likes, hit.gate) == (12_345, 67, Gate.OPEN)
    assert (hit.architecture, hit.parameters) == ("deepseek2", 671_026_419_200)
    assert hit.n_ctx_train == 163_840
    assert hit.created_s == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert hit.updated_s == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def test_a_search_is_narrowed_and_ordered(server):
    server.add("other/DeepSeek-V3-GGUF", "m.gguf", DATA)
    server.describe("other/DeepSeek-V3-GGUF", downloads=5, likes=900, trending=9)
    server.add("other/DeepSeek-V3", "model.safetensors", DATA)
    hub = hub_at(server)

    def found(words: str = "deepseek", **options: object) -> list[str]:
        return [hit.repository for hit in hub.search(words, **options)]

    assert found() == [NAME, "other/DeepSeek-V3-GGUF"]
    assert found(sort=SortBy.LIKES) == ["other/DeepSeek-V3-GGUF", NAME]
    assert found(sort=SortBy.TRENDING)[0] == "other/DeepSeek-V3-GGUF"
    assert found(author="unsloth") == [NAME]
    assert found("V3") == ["other/DeepSeek-V3-GGUF"]
    assert found("  V3   deepseek ", gguf_only=False)[1:] == ["other/DeepSeek-V3"]
    assert found("nothing like it") == []
    for sort in SortBy:
        assert len(found(sort=sort)) == 2


def test_a_long_list_comes_in_pages_and_no_longer_than_wanted(server):
    for number in range(30):
        server.add(f"many/Model-{number:02d}-GGUF", "m.gguf", DATA)
    server.page_size = 10
    assert len(hub_at(server).search("many", limit=25)) == 25
    assert len(server.requests) == 3
    assert len(hub_at(server).search("many", limit=7)) == 7


def test_gated_repositories_are_found_as_such(server):
    server.gated.add(NAME)
    assert hub_at(server).search("deepseek")[0].gate is Gate.AUTOMATIC
    server.describe(NAME, gate="manual")
    assert hub_at(server).search("deepseek")[0].gate is Gate.MANUAL


SHORT_LIVED = {
    "reset": [Fault("reset", after=5)],
    "cut": [Fault("cut", after=5)],
    "busy, then broken": [Fault("status", 503), Fault("status", 500)],
    "asked too often": [Fault("status", 429, headers={"Retry-After": "0"})],
    "silence": [Fault("stall", after=5)],
}


@pytest.mark.parametrize("faults", SHORT_LIVED.values(), ids=SHORT_LIVED)
def test_a_search_overcomes_what_passes(server, faults):
    server.fail("api", *faults)
    assert len(hub_at(server).search("deepseek")) == 1
    # The library would also try again by itself, with pauses that nobody can end.
    assert len(server.requests) == len(faults) + 1


LASTING = {
    "broken": (Fault("reset"), NetworkError),
    "503": (Fault("status", 503), ServerError),
    "429": (Fault("status", 429, headers={"Retry-After": "300"}), RateLimitedError),
    "silent": (Fault("silent"), NetworkTooSlowError),
    "a web page": (Fault("page"), ServerAnswerError),
}


@pytest.mark.parametrize(("fault", "kind"), LASTING.values(), ids=LASTING)
def test_a_search_tells_what_lasts(server, fault, kind):
    server.fail("api", fault, times=None)
    with pytest.raises(NetworkError) as caught:
        hub_at(server).search("deepseek")
    assert type(caught.value) is kind
    assert len(server.requests) <= QUICK.attempts


@pytest.mark.parametrize("fault", [Fault("silent"), Fault("drip", after=3), Fault("stall")])
def test_a_stop_ends_a_search(server, fault):
    server.fail("api", fault)
    hub = hub_at(server, patience=Patience(silence_s=100.0))
    with pytest.raises(StoppedError):
        hub.search("deepseek", stop=lambda: len(server.requests) > 0)


@pytest.mark.parametrize("ask", ["search", "page", "locate"])
def test_after_a_stop_nothing_waits_any_more(server, ask):
    wanted = remote(server)
    before = len(server.requests)
    for where in ("api", "hub"):
        server.fail(where, Fault("silent"))
    hub = hub_at(server, patience=Patience(silence_s=100.0))
    calls = {"search": lambda stop: hub.search("deepseek", stop=stop)}
    calls["page"] = lambda stop: hub.page(PLACE, stop=stop)
    calls["locate"] = lambda stop: hub.locate(wanted, stop=stop)
    with pytest.raises(StoppedError):
        calls[ask](lambda: len(server.requests) > before)
    # The socket was shut down, so that the thread that read from it has ended as well.
    assert [thread for thread in threading.enumerate() if thread.name == "network"] == []


def test_offline_nothing_is_searched(server):
    with pytest.raises(OfflineError, match="Searching needs the network"):
        hub_at(server, is_offline=True).search("deepseek")
    assert server.requests == []


# --- pages --------------------------------------------------------------------------------------


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


def test_who_asks(server):
    assert hub_at(server, token=TOKEN).whoami(never) == "reader"
    assert hub_at(server, token=PENDING_TOKEN).whoami(never) == "waiter"
    with pytest.raises(TokenInvalidError) as caught:
        hub_at(server, token="hf_wrong").whoami()
    assert "in the settings" in caught.value.hint
    before = len(server.requests)
    with pytest.raises(LoginNeededError, match="No token"):
        hub_at(server).whoami()
    assert len(server.requests) == before


# --- where files lie ----------------------------------------------------------------------------


def test_a_large_file_lies_at_another_server(server):
    server.url_life_s = 100.0
    wanted = remote(server)
    before_s = time.time()
    found = hub_at(server).locate(wanted)
    assert found.url.startswith(f"{server.cdn}/{NAME}/")
    assert (found.etag, found.size_bytes) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert found.headers == ()
    assert found.expires_s is not None
    assert before_s + 98 <= found.expires_s <= time.time() + 100
    # Only asked where it is: nothing of it was fetched.
    assert [request.method for request in server.seen("hub")] == ["HEAD"]
    assert server.seen("cdn") == []


def test_a_small_file_lies_at_the_hub_and_needs_the_token_there(server):
    server.gated.add(NAME)
    wanted = remote(server, "README.md")
    found = hub_at(server, token=TOKEN).locate(wanted)
    assert found.url == f"{server.endpoint}/{NAME}/resolve/{COMMIT}/README.md"
    assert found.headers == (("Authorization", f"Bearer {TOKEN}"),)
    assert (found.size_bytes, found.expires_s) == (len(CARD), None)


def test_a_token_is_not_sent_along_to_another_server(server):
    server.gated.add(NAME)
    assert hub_at(server, token=TOKEN).locate(remote(server)).headers == ()


def test_a_token_is_not_shown_to_another_hub(server):
    with fake_hub() as other:
        other.add(NAME, "README.md", CARD)
        wanted = remote(server, "README.md", endpoint=other.endpoint)
        found = hub_at(server, token=TOKEN).locate(wanted)
        assert found.headers == ()
        assert {request.authorization for request in other.requests} == {None}


def test_the_ways_to_be_kept_from_a_file(server):
    server.gated.add(NAME)
    server.shows_gated = True
    wanted = remote(server)
    refusals = {None: LoginNeededError, STRANGER_TOKEN: LicenceNotAcceptedError}
    refusals |= {PENDING_TOKEN: AccessPendingError, "hf_wrong": TokenInvalidError}
    for token, kind in refusals.items():
        with pytest.raises(FathomError) as caught:
            hub_at(server, token=token).locate(wanted)
        assert type(caught.value) is kind
    assert server.seen("cdn") == []


def test_a_file_that_is_gone(server):
    wanted = remote(server)
    del server.files[NAME, "DeepSeek-R1-Q4_K_M.gguf"]
    with pytest.raises(RemoteNotFoundError, match=r"no file unsloth/DeepSeek-R1-GGUF/DeepSeek"):
        hub_at(server).locate(wanted)


def test_a_repository_that_was_made_anew(server):
    wanted = remote(server)
    server.replace(NAME, "DeepSeek-R1-Q4_K_M.gguf", b"GGUF" + bytes(200))
    assert hub_at(server).locate(wanted).size_bytes == len(DATA)
    server.forget_history(NAME)
    with pytest.raises(RemoteNotFoundError, match="no such revision"):
        hub_at(server).locate(wanted)


CHANGES = {
    "the size": {"size_bytes": 7},
    "the digest": {"digest": f"sha256:{'0' * 64}"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_file_than_was_listed(server, change):
    with pytest.raises(RemoteChangedError, match="not the file that was listed"):
        hub_at(server).locate(remote(server, **change))


def test_a_size_that_the_hub_itself_gets_wrong(server):
    wanted = remote(server)
    server.fail("hub", Fault("wrong_size"))
    with pytest.raises(RemoteChangedError):
        hub_at(server).locate(wanted)


def test_another_commit_than_was_asked_for(server):
    wanted = remote(server)
    server.fail("hub", Fault("headers", headers={"X-Repo-Commit": "f" * 40}))
    with pytest.raises(RemoteChangedError):
        hub_at(server).locate(wanted)


def test_a_mirror_that_names_no_commit_but_the_digest(server):
    wanted = remote(server)
    server.fail("hub", Fault("no_commit"))
    assert hub_at(server).locate(wanted).size_bytes == len(DATA)


ASTRAY = {
    "a login page": Fault("page"),
    "nothing of a hub": Fault("headers", headers={"X-Repo-Commit": "", "X-Linked-Etag": '"x"'}),
    "a file here": Fault("headers", headers={"Location": "file:///etc/passwd"}),
    "circles": Fault("status", status=302, headers={"Location": "?again"}),
    "no address": Fault("status", status=302, headers={"Location": "http://[::1"}),
    "an odd address": Fault("status", status=302, headers={"Location": "http://a:99999/x"}),
}


@pytest.mark.parametrize("fault", ASTRAY.values(), ids=ASTRAY)
def test_an_answer_that_leads_astray(server, fault):
    wanted = remote(server)
    server.fail("hub", fault, times=None)
    with pytest.raises(ServerAnswerError):
        hub_at(server).locate(wanted)


def test_where_a_file_lies_is_asked_again_when_that_helps(server):
    wanted = remote(server)
    server.fail("hub", Fault("status", 503), Fault("reset"))
    assert hub_at(server).locate(wanted).size_bytes == len(DATA)


def test_a_stop_ends_asking_where_a_file_lies(server):
    wanted = remote(server)
    before = len(server.requests)
    server.fail("hub", Fault("silent"))
    with pytest.raises(StoppedError):
        hub_at(server, patience=Patience(silence_s=100.0)).locate(
            wanted, stop=lambda: len(server.requests) > before
        )


def test_offline_nobody_is_asked_where_a_file_lies(server):
    wanted = remote(server)
    before = len(server.requests)
    with pytest.raises(OfflineError):
        hub_at(server, is_offline=True).locate(wanted)
    assert len(server.requests) == before


def test_no_hub_at_all(server):
    wanted = remote(server)
    server.close()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
        hub_at(server).locate(wanted)


def test_over_tls_it_never_leads_out_of_it(server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with fake_hub(CERTIFICATE) as secure:
        secure.add(NAME, "DeepSeek-R1-Q4_K_M.gguf", DATA)
        wanted = remote(secure)
        assert hub_at(secure).locate(wanted).url.startswith("https://")
        secure.fail("hub", Fault("headers", headers={"Location": f"{server.cdn}/m.gguf"}))
        with pytest.raises(ServerAnswerError):
            hub_at(secure).locate(wanted)
        secure.fail("api", Fault("status", status=302, headers={"Location": server.endpoint}))
        with pytest.raises(ServerAnswerError) as caught:
            hub_at(secure).page(PLACE)
        assert "without encryption" in caught.value.details
        assert server.requests == []


NOW_S = 1_800_000_000.0
ADDRESSES = {
    "https://c/x?Expires=1800000600&Signature=a": NOW_S + 600,
    # Signed ten minutes ago; at a time that this machine's clock makes no sense of; some time.
    "https://c/x?X-Amz-Date=20270115T075000Z&X-Amz-Expires=3600": NOW_S + 3000,
    "https://c/x?X-Amz-Date=20200101T000000Z&X-Amz-Expires=3600": NOW_S + 3600,
    "https://c/x?X-Amz-Date=20270115T090000Z&X-Amz-Expires=3600": NOW_S + 3600,
    "https://c/x?X-Amz-Expires=60": NOW_S + 60,
    "https://c/x?se=2027-01-15T09%3A00%3A00Z&sig=a": datetime(
        2027, 1, 15, 9, tzinfo=UTC
    ).timestamp(),
    "https://c/x": None,
    "https://c/x?Expires=soon": None,
    "https://c/x?se=tomorrow": None,
    # This machine's clock is ahead: better no word than a wrong one.
    "https://c/x?Expires=1700000000": None,
}


@pytest.mark.parametrize(("url", "expires_s"), ADDRESSES.items())
def test_until_when_an_address_works(url, expires_s):
    assert expiry_of(url, NOW_S) == expires_s


# --- several at once ----------------------------------------------------------------------------


def test_hubs_do_not_disturb_each_other(server):
    """huggingface_hub has one client for the whole process; a new hub must not close it."""
    results: list[RepositoryPage | Location | FathomError] = []
    wanted = remote(server)

    def ask(number: int) -> None:
        hub = hub_at(server, token=TOKEN if number % 2 else None, patience=Patience())
        try:
            results.append(hub.page(PLACE) if number % 3 else hub.locate(wanted))
        except FathomError as error:
            results.append(error)

    server.fail("api", Fault("delay", delay_s=0.2), times=4)
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result for result in results if isinstance(result, FathomError)] == []
    assert len(results) == 12


# --- which hub, and who asks --------------------------------------------------------------------


def test_the_setting_goes_before_the_environment(tmp_path):
    environ = {"HF_ENDPOINT": "https://one.test", "HF_TOKEN": "hf_environment"}
    hub = hub_of_user(environ, cache_dir=tmp_path, endpoint=" https://two.test/hf/ ")
    assert hub.endpoint == "https://two.test/hf"
    assert not hub.is_official
    assert endpoint_of_user(environ) == "https://one.test"
    assert endpoint_of_user({}) == "https://huggingface.co"


def test_a_given_token_goes_before_the_environments_and_to_no_mirror(server, tmp_path):
    official = hub_of_user({"HF_TOKEN": "hf_environment"}, cache_dir=tmp_path, token="hf_given")
    assert official._token == "hf_given"
    mirror = hub_of_user({}, cache_dir=tmp_path, endpoint=server.endpoint, token=TOKEN)
    mirror.page(PLACE)
    mirror.search("deepseek")
    mirror.locate(remote(server))
    sent = [request.authorization for request in server.requests]
    # Two of them are this test's own, as a user who is known.
    assert [who for who in sent if who] == [f"Bearer {TOKEN}"]


OFFICIAL = ["https://huggingface.co", "https://hf.co/", "https://huggingface.co:443"]
NOT_OFFICIAL = ["http://huggingface.co", "https://huggingface.co.evil.test", "https://hf-mirror.com",
                "https://huggingface.co:8443", "https://huggingface.co@evil.test", "https://[bad",
                "https://huggingface.co:x"]  # fmt: skip


def test_who_is_hugging_face():
    assert all(is_official(address) for address in OFFICIAL)
    assert not any(is_official(address) for address in NOT_OFFICIAL)


def test_the_store_of_pages_holds_no_token(server, tmp_path: Path):
    server.gated.add(NAME)
    hub = hub_at(server, token=TOKEN, store=HeaderStore(tmp_path))
    hub.card(hub.page(PLACE))
    kept = [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(kept) >= 2
    assert not any(TOKEN.encode() in data for data in kept)
