"""Admission by itself, over more rows than a real child can be asked in a test."""

import itertools

import pytest

from models.api.admission import (
    Door,
    Head,
    check_content_type,
    check_host,
    check_key,
    check_origin,
    normal_origin,
    preflight_headers,
)
from models.api.http_app import TurnAwayNotes
from models.api.origins import read_origin
from models.api.protocol import TurnedAway
from models.api.refusal import RefusedRequestError
from models.errors import ServerAddressError

PAGE = "https://chat.example"
DOOR = Door(8737, "fathom-key", frozenset({PAGE}))
HOSTS = (
    b"localhost:8737", b"127.0.0.1:8737", b"[::1]:8737", b"LOCALHOST:8737", b"localhost",
    b"localhost:80", b"evil.example", b"evil.example:8737", b"localhost.:8737", b"", b"*",
)  # fmt: skip
ORIGINS = (
    None, PAGE.encode(), b"HTTPS://Chat.Example:443", b"http://chat.example", b"null", b"",
    b"http://localhost:8737", b"https://evil.example", b"https://chat.example.evil",
)  # fmt: skip
SITES = (None, b"none", b"same-origin", b"same-site", b"cross-site", b"")
KEYS = (None, b"Bearer fathom-key", b"Bearer fathom-ke", b"Bearer ", b"Basic fathom-key")
KINDS = (None, b"application/json", b"application/json; charset=utf-8", b"text/plain", b"")


def is_admitted(fields):
    head = Head("POST", "/", tuple((name, value) for name, value in fields if value is not None))
    try:
        check_host(DOOR, head)
        check_origin(DOOR, head)
        check_key(DOOR, head)
        check_content_type(head)
    except RefusedRequestError:
        return False
    return True


def test_of_all_rows_only_honest_ones_are_admitted():
    admitted = set()
    for row in itertools.product(HOSTS, ORIGINS, SITES, KEYS, KINDS):
        host, origin, site, key, kind = row
        fields = [(b"host", host), (b"origin", origin), (b"sec-fetch-site", site),
                  (b"authorization", key), (b"content-type", kind)]  # fmt: skip
        if is_admitted(fields):
            admitted.add(row)
    from_programs = itertools.product(HOSTS[:4], [None], SITES[:3], [KEYS[1]], KINDS[1:3])
    from_the_page = itertools.product(HOSTS[:4], ORIGINS[1:3], SITES, [KEYS[1]], KINDS[1:3])
    assert admitted == {*from_programs, *from_the_page}


def test_without_allowed_pages_there_are_none():
    for allowed in (frozenset(), frozenset({""}), frozenset({"null"})):
        door = Door(8737, "key", allowed)
        for origin in (b"", b"null", b"https://chat.example"):
            with pytest.raises(RefusedRequestError):
                check_origin(door, Head("GET", "/", ((b"origin", origin),)))


def test_two_hosts_are_none_also_where_http_lets_them_through():
    for hosts in ([], [b"localhost:8737"] * 2, [b"localhost:8737", b"evil.example"]):
        with pytest.raises(RefusedRequestError):
            check_host(DOOR, Head("GET", "/", tuple((b"host", host) for host in hosts)))


def test_on_the_webs_own_port_hosts_have_none():
    check_host(Door(80, "key"), Head("GET", "/", ((b"host", b"localhost"),)))
    with pytest.raises(RefusedRequestError):
        check_host(Door(8080, "key"), Head("GET", "/", ((b"host", b"localhost"),)))


NORMAL = {
    "https://chat.example": "https://chat.example",
    "HTTPS://Chat.Example:443": "https://chat.example",
    "http://localhost:80": "http://localhost",
    "http://localhost:443": "http://localhost:443",
    "http://localhost:3000": "http://localhost:3000",
    "http://[::1]:3000": "http://[::1]:3000",
    "app://obsidian.md": "app://obsidian.md",
    "chrome-extension://abcdef": "chrome-extension://abcdef",
}
NO_ORIGINS = (
    "", "null", "*", "https://*", "https://*.example", "chat.example", "https://", "//x",
    "https://a/", "https://a/b", "https://a?b", "https://u@a", "https://a b", "file://",
    "file://a", "https://a\n", "https://a,https://b", "https://\xe4", "https://a:123456",
    "https://[::1", "https://::1", "https://\u212aelvin", "https://a:65536", "ftp://a",
    "ws://a", "wss://a:1",
)  # fmt: skip


def test_origins_are_those_of_browsers():
    assert {text: normal_origin(text) for text in NORMAL} == NORMAL
    assert {text for text in NO_ORIGINS if normal_origin(text)} == set()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("Chat.Example", "http://chat.example"),
        (
            "http://LOCALHOST:3000/chat?a=b#c",
            "Leave out what follows the name: http://localhost:3000",
        ),
        ("https://a?b", "Leave out what follows the name: https://a"),
        ("file:///tmp/a.html", "Write it as the browser does"),
        ("https://u:p@a/b", "Write it as the browser does"),
        ("", "Write it as the browser does"),
    ],
)
def test_what_is_nearly_an_address_is_refused_with_the_address_it_may_mean(text, advice):
    with pytest.raises(ServerAddressError) as caught:
        read_origin(text)
    assert advice in caught.value.hint


def test_a_preflight_names_no_header_that_it_does_not_know():
    asked = b"x-stainless-a,x-stainless-" + b"a" * 100 + b", x-stainless-\xe4, cookie, *"
    head = Head("OPTIONS", "/", ((b"access-control-request-headers", asked),))
    headers = dict(preflight_headers(head, PAGE))
    assert headers["Access-Control-Allow-Headers"] == (
        "accept, authorization, content-type, x-stainless-a"
    )
    assert "Access-Control-Allow-Private-Network" not in headers
    with pytest.raises(RefusedRequestError):
        preflight_headers(head, "")


def test_of_each_kind_one_a_second_is_told_with_how_many_came():
    told, now_s = [], [100.0]
    notes = TurnAwayNotes(told.append, clock=lambda: now_s[0])
    for shown in ("a", "b", "a", "a", "c", "d"):
        notes.take("origin", shown)
    notes.take("host", "e")
    now_s[0] += 0.999
    notes.take("origin", "f")
    now_s[0] += 0.001
    for shown in ("a", "f", "g", "b"):
        notes.take("origin", shown)
    assert told == [
        TurnedAway("origin", "a"),
        TurnedAway("origin", "b"),
        TurnedAway("origin", "c"),
        TurnedAway("host", "e"),
        # What other pages did is not counted among what this one did.
        TurnedAway("origin", "a", 3),
        TurnedAway("origin", "f", 2),
        TurnedAway("origin", "g"),
    ]


def test_ever_new_names_are_told_of_slowly_and_not_kept() -> None:
    told: list[TurnedAway] = []
    now_s = [0.0]
    notes = TurnAwayNotes(told.append, clock=lambda: now_s[0])
    for number in range(10_000):
        now_s[0] += 0.01
        notes.take("host", f"name{number}")
    assert 100 < len(told) <= 303
    assert len(notes._kinds) <= 32
