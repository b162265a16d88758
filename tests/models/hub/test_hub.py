"""Lists of files from a real server, through huggingface_hub as it is."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.fake_hub import COMMIT, PENDING_TOKEN, STRANGER_TOKEN, TOKEN, FakeHub, Fault, fake_hub
from models.errors import (
    AccessPendingError,
    BadInputError,
    LicenceNotAcceptedError,
    LoginNeededError,
    NetworkError,
    NetworkTooSlowError,
    OfflineError,
    RateLimitedError,
    RemoteNotFoundError,
    ServerAnswerError,
    ServerError,
    StoppedError,
    TokenInvalidError,
)
from models.hub.hub import DEFAULT_ENDPOINT, Hub, hub_of_user
from models.hub.names import RepositoryPlace
from models.hub.quants import RemoteFile
from models.hub.store import HeaderStore
from models.network.patience import Patience

DATA = b"GGUF" + bytes(60)
PLACE = RepositoryPlace("owner/model")
QUICK = Patience(first_pause_s=0.0)
# For servers that are silent on purpose; a machine that is busy with other things is not silence.
IMPATIENT = Patience(first_pause_s=0.0, silence_s=0.3)
LESS_PATIENT = Patience(first_pause_s=0.0, silence_s=2.0)


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with fake_hub() as running:
        running.add("owner/model", "Q4/m.gguf", DATA)
        running.add("owner/model", "README.md", b"hello")
        yield running


@pytest.fixture(autouse=True)
def no_token_of_this_machine(monkeypatch, private_home: Path) -> None:
    """A token lies where huggingface_hub looks; it must never be sent."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    folder = private_home / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "token").write_text("hf_of_the_folder")


def hub_at(server: FakeHub, **options: object) -> Hub:
    return Hub(server.endpoint, **({"patience": QUICK} | options))


def test_files_with_their_sizes_pinned_to_a_commit(server):
    found = hub_at(server).files(PLACE)
    assert found.commit == COMMIT
    large = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    # What `git hash-object` prints for a file of "hello".
    small = "git-sha1:b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
    assert found.files == (RemoteFile("Q4/m.gguf", 64, large), RemoteFile("README.md", 5, small))


def test_nobody_is_told_a_token_that_was_not_given(server):
    hub_at(server).files(PLACE)
    hub_at(server, token=TOKEN).files(PLACE)
    assert [r.authorization for r in server.requests] == [None, f"Bearer {TOKEN}"]


def test_nothing_but_the_list_is_asked_for(server, monkeypatch):
    # In a child: what huggingface_hub does by itself it does once, by the environment it starts in.
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    code = (
        "import os, pathlib\n"
        "from models.hub.hub import hub_of_user\n"
        "from models.hub.names import RepositoryPlace\n"
        "hub = hub_of_user(os.environ, cache_dir=pathlib.Path('nowhere'))\n"
        "print(hub.files(RepositoryPlace('owner/model')).commit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.home()
    )
    assert (done.stdout.strip(), done.stderr) == (COMMIT, "")
    (request,) = server.requests
    assert request.path.startswith("/api/models/owner/model/revision/main")
    assert request.authorization is None


def test_a_revision_with_a_slash_is_escaped(server):
    with pytest.raises(RemoteNotFoundError, match="revision"):
        hub_at(server).files(RepositoryPlace("owner/model", revision="refs/pr/1"))
    assert "/revision/refs%2Fpr%2F1" in server.requests[0].path


def test_the_ways_to_be_kept_out(server):
    server.gated.add("owner/model")
    with pytest.raises(LoginNeededError) as caught:
        hub_at(server).files(PLACE)
    assert "A mirror is never shown a token" in caught.value.hint
    with pytest.raises(LicenceNotAcceptedError, match="owner/model") as caught:
        hub_at(server, token=STRANGER_TOKEN).files(PLACE)
    assert f"{server.endpoint}/owner/model" in caught.value.hint
    with pytest.raises(AccessPendingError, match="asked for and is not given yet"):
        hub_at(server, token=PENDING_TOKEN).files(PLACE)
    with pytest.raises(TokenInvalidError):
        hub_at(server, token="hf_wrong").files(PLACE)
    with pytest.raises(RemoteNotFoundError, match="no repository for owner/other"):
        hub_at(server, token=TOKEN).files(RepositoryPlace("owner/other"))
    assert hub_at(server, token=TOKEN).files(PLACE).commit == COMMIT


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("reset", after=20)],
        [Fault("cut", after=20)],
        [Fault("status", 503), Fault("status", 500)],
        [Fault("status", 429, headers={"Retry-After": "0"})],
        [Fault("stall", after=20)],
    ],
)
def test_what_passes_is_overcome(server, faults):
    server.fail("api", *faults)
    assert hub_at(server, patience=LESS_PATIENT).files(PLACE).commit == COMMIT


LASTING = {
    "broken": (Fault("reset"), NetworkError),
    "500": (Fault("status", 500), ServerError),
    "429": (Fault("status", 429, headers={"Retry-After": "300"}), RateLimitedError),
    "silent": (Fault("silent"), NetworkTooSlowError),
    "a web page": (Fault("page"), ServerAnswerError),
    "teapot": (Fault("status", 418), ServerAnswerError),
}


@pytest.mark.parametrize(("fault", "kind"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_told_in_words(server, fault, kind):
    server.fail("api", *[fault] * 9)
    with pytest.raises(NetworkError) as caught:
        hub_at(server, patience=IMPATIENT).files(PLACE)
    assert type(caught.value) is kind
    assert "127.0.0.1" in caught.value.message


@pytest.mark.parametrize("fault", [Fault("silent"), Fault("stall", after=10), Fault("drip")])
def test_a_stop_ends_the_wait(server, fault):
    server.fail("api", fault)
    hub = hub_at(server, patience=Patience(silence_s=100.0))
    with pytest.raises(StoppedError):
        hub.files(PLACE, stop=lambda: len(server.requests) > 0)


def test_an_endless_answer_is_too_slow(server):
    server.fail("api", Fault("drip"))
    hub = hub_at(server, patience=Patience(grace_s=0.2, least_rate_bytes_s=1e9))
    with pytest.raises(NetworkTooSlowError, match="too slowly"):
        hub.files(PLACE)


def test_offline_nothing_is_sent(server):
    hub = hub_at(server, is_offline=True)
    with pytest.raises(OfflineError) as caught:
        hub.files(PLACE)
    assert "HF_HUB_OFFLINE" in caught.value.hint
    with pytest.raises(OfflineError, match=r"m\.gguf"):
        hub.open_url(hub.file_url("owner/model", COMMIT, "Q4/m.gguf"))
    assert server.requests == []


def test_a_list_that_was_seen_is_there_without_a_network(server, tmp_path):
    store = HeaderStore(tmp_path)
    seen = hub_at(server, store=store).files(PLACE)
    assert hub_at(server, store=store, is_offline=True).files(PLACE) == seen
    server.fail("api", *[Fault("reset")] * 9)
    assert hub_at(server, store=store).files(PLACE) == seen


def test_a_list_of_a_commit_is_asked_for_once(server, tmp_path):
    hub = hub_at(server, store=HeaderStore(tmp_path))
    place = RepositoryPlace("owner/model", revision=COMMIT)
    assert hub.files(place) == hub.files(place)
    assert len(server.requests) == 1


def test_a_list_of_a_branch_is_asked_for_again(server, tmp_path):
    hub = hub_at(server, store=HeaderStore(tmp_path))
    hub.files(PLACE)
    server.add("owner/model", "new.gguf", b"GGUF")
    assert [file.path for file in hub.files(PLACE).files][-1] == "new.gguf"


def test_a_repository_that_is_gone_is_told_though_it_was_seen(server, tmp_path):
    hub = hub_at(server, store=HeaderStore(tmp_path))
    hub.files(PLACE)
    server.files.clear()
    with pytest.raises(RemoteNotFoundError):
        hub.files(PLACE)


def test_names_that_cannot_be_files_are_left_out(server):
    for path in ("../../evil.gguf", "a//b.gguf", "x\u202efgg.gguf", "good.gguf"):
        server.add("owner/odd", path, b"GGUF")
    found = hub_at(server).files(RepositoryPlace("owner/odd"))
    assert [file.path for file in found.files] == ["good.gguf"]


def test_files_are_opened_with_the_token_of_their_own_hub_only(server):
    server.gated.add("owner/model")
    hub = hub_at(server, token=TOKEN)
    with hub.open_url(hub.file_url("owner/model", COMMIT, "Q4/m.gguf")) as source:
        assert (source.name, source.size_bytes) == ("m.gguf", 64)
    with hub.open_url(server.add_plain("owner/model/resolve/main/m.gguf", b"GGUF")) as source:
        assert source.size_bytes == 4
    sent = {request.authorization for request in server.seen("cdn")}
    assert sent == {None}


# --- what the environment says ------------------------------------------------------------------


def user_hub(tmp_path: Path, **environ: str) -> Hub:
    return hub_of_user(environ, cache_dir=tmp_path)


def test_without_a_word_it_is_hugging_face(tmp_path):
    hub = user_hub(tmp_path)
    assert (hub.endpoint, hub.host, hub.is_offline) == (DEFAULT_ENDPOINT, "huggingface.co", False)


def test_a_mirror_gets_no_token(server, tmp_path):
    hub = user_hub(tmp_path, HF_ENDPOINT=f"{server.endpoint}/", HF_TOKEN=TOKEN)
    hub.files(PLACE)
    assert hub.endpoint == server.endpoint
    assert server.requests[0].authorization is None


def test_hugging_face_itself_gets_the_token(tmp_path):
    assert user_hub(tmp_path, HF_TOKEN=" hf_x ")._token == "hf_x"
    assert user_hub(tmp_path, HF_TOKEN="hf_x", HF_ENDPOINT="http://huggingface.co")._token is None
    assert user_hub(tmp_path, HF_TOKEN="hf_x", HF_ENDPOINT="https://hf.co")._token == "hf_x"


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_offline_by_the_environment(tmp_path, value):
    assert user_hub(tmp_path, HF_HUB_OFFLINE=value).is_offline


def test_offline_by_the_settings(tmp_path):
    assert hub_of_user({}, cache_dir=tmp_path, is_offline=True).is_offline
    assert not user_hub(tmp_path, HF_HUB_OFFLINE="0").is_offline


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://x", "https://", "https://[bad"])
def test_an_endpoint_that_is_none(tmp_path, endpoint):
    with pytest.raises(BadInputError, match="not the address of a hub"):
        user_hub(tmp_path, HF_ENDPOINT=endpoint)


def test_an_endpoint_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(BadInputError) as caught:
        Hub("https://me:hunter2@mirror.example")
    assert "hunter2" not in str(caught.value.to_json())


def test_the_network_libraries_are_loaded_when_they_are_needed():
    code = (
        "import sys, models.planning.opening\n"
        "print([m for m in ('httpx2', 'httpcore2', 'huggingface_hub', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
