"""Who asks, and where files lie: from real servers, with real faults."""

from __future__ import annotations

import hashlib
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.fake_hub import (
    CERTIFICATE,
    COMMIT,
    PENDING_TOKEN,
    STRANGER_TOKEN,
    TOKEN,
    Fault,
    fake_hub,
)
from helpers.hub_pages import CARD, DATA, NAME, PLACE, hub_at, remote
from models.errors import (
    AccessPendingError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    OfflineError,
    RemoteChangedError,
    RemoteNotFoundError,
    ServerAnswerError,
    StoppedError,
    TokenInvalidError,
    UnreachableError,
)
from models.hub.hub import endpoint_of_user, hub_of_user, is_official
from models.hub.located import expiry_of
from models.hub.pages import RepositoryPage
from models.hub.store import HeaderStore
from models.network.patience import Patience
from models.stopping import never
from models.transfer.remote import Location


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
