"""Searching the hub: what is found, what fails, what stops; with real servers and faults."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from helpers.fake_hub import Fault
from helpers.hub_pages import DATA, IMPATIENT, LESS_PATIENT, NAME, PLACE, hub_at, remote
from models.errors import (
    NetworkError,
    NetworkTooSlowError,
    OfflineError,
    RateLimitedError,
    ServerAnswerError,
    ServerError,
    StoppedError,
)
from models.hub.pages import Gate, SortBy
from models.network.patience import Patience


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
    assert len(hub_at(server, patience=LESS_PATIENT).search("deepseek")) == 1
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
        hub_at(server, patience=IMPATIENT).search("deepseek")
    assert type(caught.value) is kind
    assert len(server.requests) <= IMPATIENT.attempts


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
