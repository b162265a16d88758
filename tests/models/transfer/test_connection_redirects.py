"""Where a connection lets itself be led, and what it takes along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.fake_hub import CERTIFICATE, FakeHub, Fault, fake_hub
from models.errors import ServerAnswerError
from models.transfer.connection import Connections, Wanted
from models.transfer.patience import TransferPatience
from models.transfer.remote import Location

SECRET = ("Authorization", "Bearer hf_secret")


@pytest.fixture
def elsewhere() -> Iterator[FakeHub]:
    with fake_hub() as running:
        running.add_plain("m.gguf", b"0123456789")
        yield running


def asked(url: str) -> bytes:
    """Return what comes of asking for ten bytes with a secret."""
    connections = Connections(TransferPatience())
    connections.begin()
    try:
        answer = connections.get(Wanted(Location(url, "", 10, None, (SECRET,)), 0, 9))
        try:
            return b"".join(answer.chunks)
        finally:
            answer.close()
    finally:
        connections.end()
        connections.close()


def test_encryption_is_never_left(elsewhere: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with fake_hub(CERTIFICATE) as secure:
        url = secure.add_plain("m.gguf", b"0123456789")
        assert asked(url) == b"0123456789"
        away = {"Location": f"{elsewhere.cdn}/m.gguf"}
        secure.fail("cdn", Fault("status", status=302, headers=away))
        with pytest.raises(ServerAnswerError):
            asked(url)
    assert elsewhere.requests == []


def test_a_secret_goes_to_its_own_server_alone(elsewhere: FakeHub) -> None:
    with fake_hub() as own:
        url = own.add_plain("m.gguf", b"9876543210")
        own.fail("cdn", Fault("status", status=307, headers={"Location": "?here"}))
        own.fail(
            "cdn", Fault("status", status=302, headers={"Location": f"{elsewhere.cdn}/m.gguf"})
        )
        assert asked(url) == b"0123456789"
        assert [seen.authorization for seen in own.requests] == [SECRET[1], SECRET[1]]
    assert [seen.authorization for seen in elsewhere.requests] == [None]


def test_circles_end(elsewhere: FakeHub) -> None:
    again = Fault("status", status=302, headers={"Location": "?again"})
    elsewhere.fail("cdn", again, times=None)
    with pytest.raises(ServerAnswerError, match="circles"):
        asked(f"{elsewhere.cdn}/m.gguf")
    assert len(elsewhere.requests) <= 6
