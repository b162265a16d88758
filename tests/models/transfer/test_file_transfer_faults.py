"""Every fault of a server is survived, or told in plain words; no wrong file gets its name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.transfer_case import KIB, LAYOUT, NAME, PATIENCE, REPOSITORY, Case, content
from models.errors import (
    AccessError,
    LoginNeededError,
    NetworkError,
    OfflineError,
    RemoteChangedError,
    RemoteNotFoundError,
    ServerAnswerError,
    StoppedError,
)
from models.stopping import Stop
from models.transfer.remote import Location, RemoteObject

BLOCK = LAYOUT.block_bytes
SHORT = replace(PATIENCE, stall_s=0.3)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def case(hub: FakeHub, tmp_path: Path) -> Case:
    return Case(hub, tmp_path, content(6 * BLOCK + 777))


FAULTS = {
    "reset in the body": [Fault("reset", after=100_000)] * 3,
    "reset before the headers": [Fault("reset")] * 3,
    "polite end in the body": [Fault("cut", after=90_000)] * 4,
    "polite end before the body": [Fault("cut")] * 2,
    "silence in the body": [Fault("stall", after=50_000)],
    "no answer": [Fault("silent")],
    "a byte now and then": [Fault("drip", after=1000)],
    "500": [Fault("status", status=500)] * 2,
    "503": [Fault("status", status=503)] * 5,
    "408": [Fault("status", status=408)],
    "429": [Fault("status", status=429)] * 3,
    "429 with a time": [Fault("status", status=429, headers={"Retry-After": "0"})] * 3,
    "the whole file": [Fault("no_range")] * 2,
    "another range": [Fault("other_bytes")] * 2,
    "half of the range": [Fault("short")] * 3,
    "another size, for once": [Fault("wrong_size")],
    "a web page": [Fault("page")] * 2,
    "expired": [Fault("expire"), Fault("expire")],
    "refused for once": [Fault("status", status=403)],
    "gone for once": [Fault("status", status=410)],
    "400": [Fault("status", status=400)],
    "packed": [Fault("headers", headers={"Content-Encoding": "gzip"})],
    "another ETag": [Fault("headers", headers={"ETag": '"other"'})],
    "redirect in circles": [Fault("status", status=302, headers={"Location": "?again"})],
    "redirect astray": [Fault("status", status=302, headers={"Location": "file:///etc/passwd"})],
    "redirect to nonsense": [Fault("status", status=302, headers={"Location": "http://["})],
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_cdn_is_survived(case: Case, name: str):
    case.hub.fail("cdn", *FAULTS[name])
    case.run(patience=SHORT)
    case.assert_done()
    # Whatever had come before a break is used.
    assert case.heard[-1].bytes_refetched == 0 or name == "the whole file"


HUB_FAULTS = {
    "503": [Fault("status", status=503)] * 2,
    "429": [Fault("status", status=429, headers={"Retry-After": "0"})] * 2,
    "reset": [Fault("reset")] * 2,
}


@pytest.mark.parametrize("name", HUB_FAULTS)
def test_a_fault_of_the_hub_is_survived(case: Case, name: str):
    case.hub.fail("hub", *HUB_FAULTS[name])
    case.run()
    case.assert_done()


def test_a_line_that_resets_again_and_again_costs_no_byte_twice(hub: FakeHub, tmp_path: Path):
    # Row 5, scaled: RST every 300 KB, far below one block.
    case = Case(hub, tmp_path, content(16 * 1024 * KIB))
    hub.fail("cdn", Fault("reset", after=300 * KIB), times=None)
    case.run(layout=replace(LAYOUT, block_bytes=2048 * KIB))
    case.assert_done()
    # What was sent and never read is lost with the connection; that is bounded by its buffers.
    assert case.heard[-1].bytes_fetched == len(case.data)
    assert case.heard[-1].bytes_refetched == 0


def test_a_server_that_knows_no_condition_is_asked_without(case: Case):
    case.hub.knows_if_range = False
    case.run()
    case.assert_done()
    assert case.heard[-1].bytes_fetched <= len(case.data)


def test_a_server_that_knows_no_ranges_sends_the_file_in_one_piece(case: Case):
    case.hub.has_ranges = False
    case.slots.set_count(1)
    case.run()
    case.assert_done()
    # The first block came before it was known, and comes again with the rest in one stream.
    assert case.heard[-1].bytes_refetched == BLOCK
    assert len(case.hub.seen("cdn")) <= 4


def test_addresses_that_expire_all_the_time_are_asked_for_again(case: Case):
    # A block takes half a second, so nobody asks for a second one in time.
    case.hub.rate_bytes_s = 500_000
    case.hub.url_life_s = 0.3
    case.run()
    case.assert_done()
    assert case.locator.asked > 1


def test_an_address_is_left_before_it_expires(case: Case):
    class Dated:
        asked = 0

        def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
            self.asked += 1
            found = case.locator.locate(remote, stop=stop)
            # Long ago by this clock: it may be the clock that is wrong.
            return replace(found, expires_s=1.0)

    locator = Dated()
    case.run(locator=locator)
    case.assert_done()
    assert locator.asked == 1


def test_a_server_is_given_the_time_that_it_asks_for(case: Case):
    busy = Fault("status", status=503, headers={"Retry-After": "3600"})
    case.hub.fail("cdn", busy, times=None)
    stop_when = lambda: any(heard.waits_until_s for heard in case.heard)  # noqa: E731
    with pytest.raises(StoppedError):
        case.run(stop_when)
    waits = case.heard[-1]
    assert waits.waits_until_s is not None
    assert "503" in waits.why
    assert len(case.hub.seen("cdn")) <= case.slots.count


def test_a_network_that_is_gone_is_waited_for(case: Case):
    # DNS loss and an unplugged cable look alike here: the hub cannot be reached at all.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    remote = replace(case.remote, endpoint=gone)
    answers = iter([remote] * 8)

    class Unplugged:
        def locate(self, _remote: RemoteObject, *, stop: Stop) -> Location:
            return case.locator.locate(next(answers, case.remote), stop=stop)

    case.run(locator=Unplugged())
    case.assert_done()
    assert any("cannot be reached" in heard.why for heard in case.heard)


def test_a_network_that_stays_away_ends_it_after_its_time(case: Case):
    case.hub.fail("cdn", Fault("reset"), times=None)
    with pytest.raises(NetworkError, match="broke"):
        case.run(patience=replace(PATIENCE, give_up_s=0.3))
    assert not case.target.exists()


def test_a_clock_that_jumps_does_not_matter(case: Case, monkeypatch: pytest.MonkeyPatch):
    import time

    real = time.time
    case.hub.rate_bytes_s = 2_000_000
    jumps = iter(range(10_000))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 1e6)
    case.run()
    monkeypatch.undo()
    case.assert_done()
    assert case.locator.asked == 1


FATAL = {
    "gone at the hub": (RemoteNotFoundError, "file"),
    "gated": (LoginNeededError, "logged in"),
    "another file": (RemoteChangedError, "size"),
}


@pytest.mark.parametrize("name", FATAL)
def test_what_cannot_pass_ends_it_in_plain_words(case: Case, name: str):
    kind, words = FATAL[name]
    if name == "gone at the hub":
        del case.hub.files[REPOSITORY, NAME]
        case.hub.add(REPOSITORY, "README.md", "There was a file.")
    elif name == "gated":
        case.hub.gated.add(REPOSITORY)
    else:
        case.hub.add(REPOSITORY, NAME, b"another one")
    with pytest.raises(kind, match=words):
        case.run()
    assert not case.target.exists()
    assert len(case.hub.seen("hub")) <= case.slots.count


@pytest.mark.parametrize(
    "fault",
    [
        Fault("wrong_size"),
        Fault("status", status=416),
        Fault("headers", headers={"Content-Range": "bytes 0-1/2", "Content-Length": "2"}),
    ],
    ids=["another size", "416", "a shorter file"],
)
def test_another_file_at_the_same_place_is_not_taken(case: Case, fault: Fault):
    case.hub.fail("cdn", fault, times=None)
    with pytest.raises(RemoteChangedError, match="another file"):
        case.run()
    assert not case.target.exists()


@pytest.mark.parametrize(("status", "kind"), [(403, AccessError), (404, RemoteNotFoundError)])
def test_a_cdn_that_refuses_every_fresh_address_ends_it(
    case: Case, status: int, kind: type[Exception]
):
    case.hub.fail("cdn", Fault("status", status=status), times=None)
    with pytest.raises(kind):
        case.run(patience=replace(PATIENCE, refusals=3, first_pause_s=0.001))
    assert not case.target.exists()


def test_an_odd_refusal_ends_it_after_some_tries(case: Case):
    case.hub.fail("cdn", Fault("status", status=418), times=None)
    with pytest.raises(ServerAnswerError, match="418"):
        case.run(patience=replace(PATIENCE, refusals=3, first_pause_s=0.001))


def test_offline_is_no_failure_that_passes(case: Case):
    class Offline:
        def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
            raise OfflineError("Fathom is set to work offline.")

    with pytest.raises(OfflineError):
        case.run(locator=Offline())


def test_a_bug_of_a_locator_is_not_swallowed(case: Case):
    class Broken:
        def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        case.run(locator=Broken())


def test_headers_for_the_hub_go_nowhere_else(case: Case):
    class WithToken:
        def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
            found = case.locator.locate(remote, stop=stop)
            url = f"{remote.endpoint}/{REPOSITORY}/resolve/{remote.commit}/{NAME}"
            return replace(found, url=url, headers=(("Authorization", "Bearer hf_good"),))

    case.run(locator=WithToken())
    case.assert_done()
    shown = {seen.authorization for seen in case.hub.seen("hub") if seen.method == "GET"}
    assert shown == {"Bearer hf_good"}
    assert {seen.authorization for seen in case.hub.seen("cdn")} == {None}


def test_what_comes_packed_is_not_taken_for_the_file(hub: FakeHub, case: Case) -> None:
    packed = Fault("headers", headers={"Content-Encoding": "gzip"})
    hub.fail("cdn", *[packed] * 6)
    case.run()
    assert case.target.read_bytes() == case.data
    assert any("packed" in progress.why for progress in case.heard)
