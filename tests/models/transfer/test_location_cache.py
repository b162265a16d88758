"""When the hub is asked again where the bytes are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from models.errors import NetworkError
from models.stopping import Stop, never
from models.transfer.location import LocationCache
from models.transfer.remote import FileSpec, Location, RemoteObject

REMOTE = RemoteObject("https://h", "o/n", "c" * 40, FileSpec("m.gguf", "m.gguf", 1, "sha256:0"))


@dataclass
class Hub:
    """A locator that counts; ``life_s`` is how long its addresses work."""

    life_s: float | None = None
    asked: int = 0
    errors: list[NetworkError] = field(default_factory=list)

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        self.asked += 1
        if self.errors:
            raise self.errors.pop()
        expires_s = None if self.life_s is None else time.time() + self.life_s
        return Location(f"https://cdn/{self.asked}", "", 1, expires_s)


@pytest.mark.parametrize(("life_s", "asked"), [(None, 1), (3600.0, 1), (59.0, 3), (-1e9, 3)])
def test_an_address_is_left_a_minute_before_it_expires(
    monkeypatch: pytest.MonkeyPatch, life_s: float | None, asked: int
) -> None:
    # Else a wrong clock would have it asked for with every block.
    monkeypatch.setattr("models.transfer.location._LEAST_S", 0.0)
    hub = Hub(life_s)
    cache = LocationCache(REMOTE, hub)
    for _ in range(3):
        cache.current(never)
    assert hub.asked == asked


def test_a_clock_that_is_wrong_does_not_have_the_hub_asked_all_the_time() -> None:
    hub = Hub(-1e9)
    cache = LocationCache(REMOTE, hub)
    assert cache.current(never) is cache.current(never)


def test_what_does_not_work_is_forgotten_and_a_newer_one_is_not() -> None:
    hub = Hub()
    cache = LocationCache(REMOTE, hub)
    first = cache.current(never)
    cache.forget(first)
    second = cache.current(never)
    cache.forget(first)
    assert cache.current(never) is second
    assert hub.asked == 2


def test_it_is_known_where_the_bytes_are_from_the_first_answer_on() -> None:
    hub = Hub(errors=[NetworkError("no")])
    cache = LocationCache(REMOTE, hub)
    with pytest.raises(NetworkError):
        cache.current(never)
    assert not cache.was_known
    cache.forget(cache.current(never))
    assert cache.was_known
