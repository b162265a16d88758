"""Reading by ranges from real servers on loopback that fail in every way on demand."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from helpers.fake_hub import CERTIFICATE, COMMIT, TOKEN, FakeHub, Fault, fake_hub
from helpers.raw_gguf import gguf_bytes, string_entry, tensor
from models.errors import (
    AccessError,
    BadInputError,
    LicenceNotAcceptedError,
    LoginNeededError,
    NetworkError,
    NetworkTooSlowError,
    NotGgufError,
    RateLimitedError,
    RemoteChangedError,
    RemoteNotFoundError,
    ServerAnswerError,
    ServerError,
    StoppedError,
    TokenInvalidError,
    UnreachableError,
    UntrustedServerError,
)
from models.gguf.cursor import MAX_HEADER_BYTES
from models.gguf.header import parse_header
from models.gguf.http_source import FIRST_BYTES, LARGEST_BYTES, HttpRangeSource
from models.network.patience import Patience

REPOSITORY = "owner/model"
FILE = "model.gguf"
DATA = random.Random(3).randbytes(3_000_000)
# Limits of the network, short enough that a test does not wait for them.
QUICK = Patience(first_pause_s=0.0)
# For servers that are silent on purpose; a machine that is busy with other things is not silence.
IMPATIENT = Patience(first_pause_s=0.0, silence_s=0.3, connect_s=5.0)
LESS_PATIENT = Patience(first_pause_s=0.0, silence_s=1.0)


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def url(server: FakeHub) -> str:
    return server.add(REPOSITORY, FILE, DATA)


def source_of(url: str, **options: object) -> HttpRangeSource:
    return HttpRangeSource(url, **({"patience": QUICK} | options))


def read_all(source: HttpRangeSource) -> bytes:
    return source.read_at(0, source.size_bytes)


# --- what is asked for --------------------------------------------------------------------------


def test_one_small_read_gives_the_size_and_costs_64_kb(server, url):
    with source_of(url) as source:
        assert source.size_bytes == len(DATA)
        assert source.name == FILE
        assert source.read_at(0, 4) == DATA[:4]
        assert source.read_at(60_000, 5000) == DATA[60_000:65_000]
    server.wait_for_bytes(FIRST_BYTES)
    assert server.sent_bytes == FIRST_BYTES
    assert [request.range for request in server.seen("cdn")] == [f"bytes=0-{FIRST_BYTES - 1}"]


def test_ranges_grow_and_stay_bounded(server, url):
    with source_of(url) as source:
        assert read_all(source) == DATA
    sizes = []
    for request in server.seen("cdn"):
        first, last = map(int, request.range.removeprefix("bytes=").split("-"))
        sizes.append(last + 1 - first)
    assert sizes[0] == FIRST_BYTES
    assert sizes[1] > sizes[0]
    assert max(sizes) == LARGEST_BYTES
    server.wait_for_bytes(len(DATA))
    assert server.sent_bytes == len(DATA)
    assert len(sizes) <= 5


def test_what_was_read_is_not_asked_for_again(server, url):
    with source_of(url) as source:
        read_all(source)
        before = len(server.requests)
        assert source.read_at(1_234_567, 1000) == DATA[1_234_567:1_235_567]
        assert len(server.requests) == before


def test_reads_end_with_the_file(url):
    with source_of(url) as source:
        assert source.read_at(len(DATA) - 5, 100) == DATA[-5:]
        assert source.read_at(len(DATA), 1) == b""
        assert source.read_at(len(DATA) + 10, 1) == b""


def test_a_read_far_behind_the_header_takes_only_itself(server):
    size_bytes = 400_000_000_000
    url = server.add(REPOSITORY, FILE, DATA, size_bytes=size_bytes)
    with source_of(url) as source:
        assert source.size_bytes == size_bytes
        assert source.read_at(MAX_HEADER_BYTES + 5, 10) == bytes(10)
    server.wait_for_bytes(FIRST_BYTES + 10)
    assert server.sent_bytes == FIRST_BYTES + 10


@pytest.mark.parametrize("size", [1, FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + 1])
def test_small_files(server, size):
    url = server.add(REPOSITORY, "small.gguf", DATA[:size])
    with source_of(url) as source:
        assert source.size_bytes == size
        assert read_all(source) == DATA[:size]


def test_an_empty_file_is_told_as_one(server):
    url = server.add(REPOSITORY, "empty.gguf", b"")
    with source_of(url) as source:
        assert source.size_bytes == 0
        with pytest.raises(NotGgufError, match="is empty"):
            parse_header(source)


def test_a_header_is_parsed_through_the_cursors_windows(server):
    file = gguf_bytes(
        string_entry("general.name", "A" * 200_000),
        tensors=(tensor("blk.0.attn_q.weight", (32, 2)),),
        data_bytes=256,
    )
    url = server.add(REPOSITORY, FILE, file)
    with source_of(url) as source:
        header = parse_header(source, chunk_bytes=FIRST_BYTES)
        assert header.text("general.name") == "A" * 200_000
        assert [t.name for t in header.tensors] == ["blk.0.attn_q.weight"]
        assert source.read_at(0, header.data_offset) == file[: header.data_offset]


# --- where it is read ---------------------------------------------------------------------------


def test_the_redirect_is_asked_for_once(server, url):
    with source_of(url) as source:
        read_all(source)
    assert len(server.seen("hub")) == 1
    assert len(server.seen("cdn")) > 2


def test_the_token_goes_to_its_own_host_and_no_further(server, url):
    server.gated.add(REPOSITORY)
    with source_of(url, token=TOKEN) as source:
        read_all(source)
    assert [request.authorization for request in server.seen("hub")] == [f"Bearer {TOKEN}"]
    assert {request.authorization for request in server.seen("cdn")} == {None}


def test_an_expired_address_is_looked_up_again(server, url):
    with source_of(url) as source:
        server.signature += 1
        assert read_all(source) == DATA
    assert len(server.seen("hub")) == 2


def test_an_address_that_is_refused_at_once_is_an_error_and_no_loop(server, url):
    server.fail("cdn", *[Fault("status", 403)] * 2)
    with pytest.raises(AccessError):
        source_of(url)
    assert len(server.seen("cdn")) == 1


def test_redirects_in_circles_come_to_an_end(server, url):
    server.fail("hub", *[Fault("headers", headers={"Location": url})] * 20)
    with pytest.raises(ServerAnswerError, match="round in circles"):
        source_of(url)
    assert len(server.seen("hub")) < 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "https://host:x/", "ftp://host/x"])
def test_a_redirect_to_something_else_is_refused(server, url, target):
    server.fail("hub", Fault("headers", headers={"Location": target}))
    with pytest.raises(ServerAnswerError, match="cannot be followed"):
        source_of(url)


@pytest.mark.parametrize("url", ["", "model.gguf", "ftp://host/x", "https://", "https://h:x/y"])
def test_what_is_no_web_address(url):
    with pytest.raises(BadInputError, match="not a web address"):
        source_of(url)


def test_an_older_server_without_ranges_works(server):
    plain = server.add_plain("plain.gguf", DATA[:200_000])
    server.fail("cdn", *[Fault("no_range")] * 10)
    with source_of(plain) as source:
        assert source.size_bytes == 200_000
        assert read_all(source) == DATA[:200_000]


def test_a_server_that_does_not_know_if_range_sends_the_file_whole_only_once(server, url):
    server.knows_if_range = False
    with source_of(url) as source:
        assert read_all(source) == DATA
    assert sum(request.if_range is not None for request in server.seen("cdn")) == 1


# --- the file changes ---------------------------------------------------------------------------


def test_a_changed_file_is_noticed(server, url):
    with source_of(url) as source:
        server.files[REPOSITORY, FILE].version += 1
        with pytest.raises(RemoteChangedError, match=r"model\.gguf changed"):
            read_all(source)


def test_a_changed_file_is_noticed_where_only_its_date_tells(server, url):
    dated = {"ETag": "", "Last-Modified": "Mon, 01 Jan 2029 00:00:00 GMT"}
    later = dated | {"Last-Modified": "Tue, 02 Jan 2029 00:00:00 GMT"}
    server.redirects = False
    server.fail("hub", Fault("headers", headers=dated), Fault("headers", headers=later))
    with source_of(url) as source, pytest.raises(RemoteChangedError):
        read_all(source)


def test_a_changed_file_is_noticed_when_the_address_is_looked_up_again(server, url):
    with source_of(url) as source:
        server.signature += 1
        server.files[REPOSITORY, FILE].version += 1
        with pytest.raises(RemoteChangedError):
            read_all(source)


def test_a_file_of_another_size_is_noticed_without_an_etag(server, url):
    nothing = Fault("headers", headers={"ETag": ""})
    server.redirects = False
    server.fail("hub", *[nothing] * 9)
    with source_of(url) as source:
        server.files[REPOSITORY, FILE].size_bytes += 1
        with pytest.raises(RemoteChangedError, match="changed"):
            read_all(source)


def test_a_file_that_became_shorter_is_noticed(server, url):
    server.redirects = False
    server.fail("hub", *[Fault("headers", headers={"ETag": ""})] * 9)
    with source_of(url) as source:
        server.files[REPOSITORY, FILE] = type(server.files[REPOSITORY, FILE])(DATA[:100])
        with pytest.raises((RemoteChangedError, ServerAnswerError)):
            read_all(source)


# --- what breaks and is tried again -------------------------------------------------------------

PASSING = {
    "reset in mid-body": [Fault("reset", after=10_000)],
    "cut in mid-body": [Fault("cut", after=10_000)],
    "reset before the body": [Fault("reset")],
    "many resets that each bring something": [Fault("reset", after=2000)] * 12,
    "silence in mid-body": [Fault("stall", after=10_000)],
    "500, 502, then fine": [Fault("status", 500), Fault("status", 502)],
    "408": [Fault("status", 408)],
    "429 with a short wait": [Fault("status", 429, headers={"Retry-After": "0"})],
    "another range once": [Fault("other_bytes")],
    "a Content-Range that makes no sense": [Fault("headers", headers={"Content-Range": "lines 1"})],
    "a Content-Range beyond the end": [
        Fault("headers", headers={"Content-Range": f"bytes 0-{FIRST_BYTES - 1}/5"})
    ],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("moment", ["at first", "later"])
def test_what_passes_is_overcome(server, url, faults, moment):
    if moment == "at first":
        server.fail("cdn", *faults)
    with source_of(url, patience=LESS_PATIENT) as source:
        if moment == "later":
            server.fail("cdn", *faults)
        assert read_all(source) == DATA


def test_nothing_that_came_is_fetched_twice(server, url):
    server.fail("cdn", Fault("cut", after=40_000))
    with source_of(url) as source:
        assert source.size_bytes == len(DATA)
    assert server.seen("cdn")[1].range == f"bytes=40000-{FIRST_BYTES - 1}"


# --- what does not pass -------------------------------------------------------------------------

LASTING = {
    "reset": (Fault("reset"), NetworkError, "broke"),
    "500": (Fault("status", 500), ServerError, "HTTP 500"),
    "silent": (Fault("stall"), NetworkTooSlowError, "does not answer"),
    "other bytes": (Fault("other_bytes"), ServerAnswerError, "other bytes"),
    "416": (
        Fault("status", 416, headers={"Content-Range": "bytes */5000000"}),
        ServerAnswerError,
        "does not give parts",
    ),
    "a login page": (Fault("page"), ServerAnswerError, "web page"),
    "404": (Fault("status", 404), RemoteNotFoundError, "nothing at"),
    "busy for long": (
        Fault("status", 429, headers={"Retry-After": "300"}),
        RateLimitedError,
        "in 300 s",
    ),
    "packed": (Fault("headers", headers={"Content-Encoding": "br"}), ServerAnswerError, "packed"),
    "400": (Fault("status", 400), ServerAnswerError, "HTTP 400"),
}


@pytest.mark.parametrize(("fault", "kind", "words"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_told_in_words(server, url, fault, kind, words):
    server.fail("cdn", *[fault] * 20)
    with pytest.raises(kind) as caught:
        source_of(url, patience=IMPATIENT)
    assert type(caught.value) is kind
    assert words in caught.value.one_line()
    assert len(server.seen("cdn")) <= IMPATIENT.attempts


def test_an_endless_drip_is_too_slow(server, url):
    server.fail("cdn", Fault("drip", after=100))
    with pytest.raises(NetworkTooSlowError, match="too slowly"):
        source_of(url, patience=Patience(grace_s=0.2, least_rate_bytes_s=1e9))


def test_a_whole_file_of_unknown_size_is_refused(server, url):
    chunked = {"Content-Length": "none"}
    server.fail("cdn", Fault("no_range", headers=chunked))
    with pytest.raises((ServerAnswerError, NetworkError)):
        source_of(url, patience=Patience(attempts=1))


def test_no_server_at_all():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
        source_of(f"http://127.0.0.1:{port}/model.gguf")


def test_a_name_that_does_not_exist():
    with pytest.raises(UnreachableError, match="cannot be reached") as caught:
        source_of("https://nothing.invalid/model.gguf")
    assert "internet" in caught.value.hint


def test_an_unreachable_host_behind_a_redirect_is_named(server, url):
    away = {"Location": "https://cdn.invalid/model.gguf"}
    server.fail("hub", *[Fault("headers", headers=away)] * 9)
    with pytest.raises(NetworkError, match=r"cdn\.invalid cannot be reached"):
        source_of(url)


def test_a_proxy_that_cannot_be_used(monkeypatch, url):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(NetworkError, match="as the environment says") as caught:
        source_of(url)
    assert "ALL_PROXY" in caught.value.hint


def test_the_four_ways_to_be_kept_out(server, url):
    server.gated.add(REPOSITORY)
    missing = f"{server.endpoint}/owner/other/resolve/{COMMIT}/{FILE}"
    with pytest.raises(LoginNeededError):
        source_of(url)
    with pytest.raises(LicenceNotAcceptedError):
        source_of(url, token="hf_pending")
    with pytest.raises(TokenInvalidError):
        source_of(url, token="hf_wrong")
    with pytest.raises(RemoteNotFoundError):
        source_of(missing)
    assert server.seen("cdn") == []


# --- stopping -----------------------------------------------------------------------------------

STALLS = {
    "no answer": ("hub", Fault("silent")),
    "no answer after a redirect": ("cdn", Fault("silent")),
    "silence in mid-body": ("cdn", Fault("stall", after=100)),
    "an endless drip": ("cdn", Fault("drip", after=100)),
    "a wait that the server asked for": (
        "cdn",
        Fault("status", 429, headers={"Retry-After": "19"}),
    ),
}


@pytest.mark.parametrize(("where", "fault"), STALLS.values(), ids=STALLS)
def test_a_stop_ends_every_kind_of_waiting(server, url, where, fault):
    server.fail(where, fault)
    requests = 1 if where == "hub" else 2
    patient = Patience(silence_s=100.0, grace_s=100.0)
    with pytest.raises(StoppedError):
        source_of(url, patience=patient, stop=lambda: len(server.requests) >= requests)


def test_a_stop_ends_a_later_read(server, url):
    wanted = threading.Event()
    with source_of(url, patience=Patience(), stop=wanted.is_set) as source:
        server.fail("cdn", Fault("stall", after=100))
        before = len(server.requests)
        thread = threading.Thread(
            target=lambda: (server.wait_for_requests(before + 1), wanted.set())
        )
        thread.start()
        with pytest.raises(StoppedError):
            read_all(source)
        thread.join()


def test_after_a_stop_nothing_is_sent(server, url):
    with pytest.raises(StoppedError):
        source_of(url, stop=lambda: True)
    assert server.requests == []


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def secure_server() -> Iterator[FakeHub]:
    with fake_hub(CERTIFICATE) as running:
        yield running


def test_it_reads_over_tls(secure_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    url = secure_server.add(REPOSITORY, FILE, DATA)
    with source_of(url) as source:
        assert read_all(source) == DATA


def test_a_stop_wakes_a_silent_read_over_tls(secure_server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    url = secure_server.add(REPOSITORY, FILE, DATA)
    secure_server.fail("cdn", Fault("stall", after=100))
    # Left alone, the thread that reads would outlive the test by far, which fails it.
    with pytest.raises(StoppedError):
        source_of(
            url,
            patience=Patience(silence_s=100.0),
            stop=lambda: len(secure_server.requests) >= 2,
        )


def test_a_server_that_nobody_vouches_for_is_refused(secure_server):
    url = secure_server.add(REPOSITORY, FILE, DATA)
    with pytest.raises(UntrustedServerError, match="cannot prove") as caught:
        source_of(url)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert secure_server.requests == []


def test_a_redirect_never_leaves_tls(secure_server, server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    plain = server.add_plain("model.gguf", DATA)
    url = secure_server.add(REPOSITORY, FILE, DATA)
    secure_server.fail("hub", Fault("headers", headers={"Location": plain}))
    with pytest.raises(ServerAnswerError, match="cannot be followed"):
        source_of(url)
    assert server.requests == []
