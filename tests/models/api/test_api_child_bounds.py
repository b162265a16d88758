"""The real child with clients that are too large, too slow, too many, or unclear."""

import contextlib
import json
import socket

import pytest

from helpers.api_client import (
    KEY,
    RunningServer,
    ScriptedParent,
    parse_answer,
    read_all,
    read_answer,
)
from models.api.protocol import Asked, Begun, Failed, Gone, NotListening, Piece, TurnedAway
from models.api.worker import open_listener
from models.errors import ServerPortError

MAX_BODY_BYTES = 2000
QUESTION = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()


def no_answer(event):
    if isinstance(event, Asked):
        yield Failed(event.id, 418, "script", "The script has no answer.")


@pytest.fixture(scope="module")
def shared():
    child = RunningServer(no_answer, max_body_bytes=MAX_BODY_BYTES)
    yield child
    assert child.close() == 0
    assert child.stderr == b""


@pytest.fixture
def server(shared):
    """One child for all tests that leave it as it was."""
    shared.so_far()
    return shared


@pytest.fixture
def start():
    """Return a maker of children that end with the test."""
    made = []

    def make(script=no_answer, **options):
        made.append(RunningServer(script, **options))
        return made[-1]

    yield make
    for child in made:
        assert child.close() == 0
        assert child.stderr == b""


def asked(server):
    """Return how many questions have reached the parent; what was answered to a client has."""
    return sum(isinstance(event, Asked) for event in server.so_far())


def chunked(*chunks, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def chunked_head(server):
    return server.head("POST", "/v1/chat/completions", transfer_encoding="chunked")


# --- too large ----------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_not_read(server):
    head = server.head("POST", "/v1/chat/completions", content_length=str(MAX_BODY_BYTES + 1))
    with server.connect() as client:
        client.sendall(head)
        # Nothing of the body was sent: the answer is there all the same.
        answer, _ = parse_answer(first_answer(client))
    assert answer.status == 413
    assert answer.error["code"] == "too_large"
    assert asked(server) == 0


def first_answer(client):
    """Read until a whole answer with a length is there."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(length.split(b":")[1]):
        body += client.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def test_a_body_that_does_not_say_its_length_is_bounded_too(server):
    large = chunked(*[b" " * 500] * 5)
    answer = server.ask(chunked_head(server) + large)
    assert answer.status == 413
    fits = chunked(QUESTION[:7], QUESTION[7:], b" " * (MAX_BODY_BYTES - len(QUESTION)))
    assert asked(server) == 0
    assert server.ask(chunked_head(server) + fits).status == 418
    assert asked(server) == 1


def test_a_head_is_bounded(server):
    for head in (server.head(x_long="x" * 40_000), b"GET /" + b"x" * 40_000):
        assert server.ask(head).status in (400, 431)
    many = b"".join(b"X-%d: 1\r\n" % index for index in range(5000))
    assert server.ask(server.head()[:-2] + many + b"\r\n").status in (400, 431)


def test_who_asks_first_whether_to_send_is_told(server):
    length = str(len(QUESTION))
    head = server.head("POST", "/chat/completions", content_length=length, expect="100-continue")
    with server.connect() as client:
        client.sendall(head)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        client.sendall(QUESTION)
        assert read_answer(client).status == 418
    large = server.head("POST", "/chat/completions", content_length="5000", expect="100-continue")
    assert server.ask(large).status == 413
    no_key = server.head(
        "POST", "/chat/completions", content_length="5", expect="100-continue", authorization=None
    )
    assert server.ask(no_key).status == 401


# --- unclear ------------------------------------------------------------------------------------


SMUGGLED = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 6",
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: 99999999999999999999999999",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"X-Nul: a\x00b",
        b"X Space: a",
        b": no name",
        b"no colon",
        b"X-CR: a\rb",
    ],
)
def test_unclear_requests_are_refused_and_nothing_after_them_is_read(server, lines):
    head = server.head("POST", "/v1/chat/completions")[:-2] + lines + b"\r\n\r\n"
    answer = server.ask(head + chunked(QUESTION) + SMUGGLED)
    assert answer.status in (400, 413, 415)
    assert answer.error["message"]
    assert asked(server) == 0


def test_old_spellings_are_read_once_and_in_one_way(server):
    """Bare line feeds, folded lines, the same length twice: one answer, and then the end."""
    length = b"Content-Length: %d" % len(QUESTION)
    head = server.head("POST", "/v1/chat/completions")[:-2]
    for raw in (
        (head + length + b"\r\n\r\n").replace(b"\r\n", b"\n"),
        head + b"X-Folded: a\r\n Content-Length: 5\r\n" + length + b"\r\n\r\n",
        head + length + b"\r\n" + length + b"\r\n\r\n",
    ):
        assert server.ask(raw + QUESTION + SMUGGLED).status == 418
        assert asked(server) == 1
    # A folded line belongs to the header before it: this one's host is not this machine.
    folded = server.head().replace(b"\r\nauthorization", b"\r\n .evil.example\r\nauthorization")
    assert server.ask(folded).status == 403


def test_broken_chunks_are_refused(server):
    for body in (b"zz\r\n", b"-1\r\n", b"5;" + b"x" * 40_000, b"5\r\nabcdefgh\r\n0\r\n\r\n"):
        assert server.ask(chunked_head(server) + body).status == 400
    assert asked(server) == 0


def test_other_protocols_get_one_refusal(server):
    for raw in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\n\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\x00" * 50 + b"\r\n\r\n",
    ):
        assert server.ask(raw).status in (400, 403)
    upgrade = {"connection": "close, upgrade", "upgrade": "websocket", "sec_websocket_key": "x"}
    assert server.ask(server.head(**upgrade)).status == 200


def test_a_get_with_a_body_is_refused(server):
    body = {"content_length": str(len(SMUGGLED))}
    assert server.ask(server.head(**body) + SMUGGLED).status == 400


# --- one after the other ------------------------------------------------------------------------


def test_a_connection_may_be_used_again(server):
    with server.connect() as client:
        for _ in range(3):
            client.sendall(server.head(connection=None))
            assert parse_answer(first_answer(client))[0].status == 200
        client.sendall(server.head())
        assert read_answer(client).status == 200


def test_requests_that_do_not_wait_for_their_turn_are_not_looked_at(server):
    health = server.head(connection=None)
    assert server.ask(health + server.question()).status == 200
    assert server.ask(server.question() + server.question()).status == 418
    assert asked(server) == 1


def test_what_comes_while_an_answer_is_under_way_is_dropped_and_hanging_up_is_seen(start):
    server = start(lambda _: ())
    with server.connect() as client:
        client.sendall(server.question({"stream": True}) + server.question())
        question = server.asked()
        client.sendall(server.question() * 100)
        server.say(Begun(question.id, "demo", 3), Piece(question.id, "Hello", ""))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert server.expect(Gone) == Gone(question.id)


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_hanging_up_is_seen_also_of_who_would_rather_speak_another_protocol(start, offer):
    server = start(lambda _: ())
    with server.connect() as client:
        offered = server.head("POST", "/v1/chat/completions", connection="upgrade", upgrade=offer)
        length = b"Content-Length: %d\r\n\r\n" % len(QUESTION)
        client.sendall(offered[:-2] + length + QUESTION)
        question = server.asked()
        client.sendall(server.question())
    assert server.expect(Gone) == Gone(question.id)


# --- too slow -----------------------------------------------------------------------------------


def dribble(client, data):
    """Send a byte now and then for as long as the server takes it; return what it said."""
    heard = b""
    client.settimeout(0.01)
    for index in range(1 << 20):
        try:
            more = client.recv(1 << 16)
        except TimeoutError:
            # Sending into a connection that has just ended tells no more than that.
            with contextlib.suppress(ConnectionError):
                client.send(data[index % len(data) :][:1])
            continue
        except ConnectionError:
            more = b""
        if not more:
            return heard
        heard += more
    raise AssertionError("the server goes on listening")


def test_the_slow_are_not_waited_for(start):
    server = start(patience_s=0.2)
    with server.connect() as silent:
        assert read_all(silent) == b""
    post = server.head("POST", "/v1/chat/completions", content_length="1000")
    for begin, more in ((b"GET /health HTTP/1.1\r\nX: ", b"x"), (post, b" ")):
        heard = b""
        while not heard:
            # Where this process is the slow one, not even the begin comes in time: once more.
            with server.connect() as client, contextlib.suppress(ConnectionError):
                client.sendall(begin)
                heard = dribble(client, more)
        assert heard.startswith(b"HTTP/1.1 408 ")
        assert parse_answer(heard)[0].error["code"] == "too_slow"
    assert server.expect(TurnedAway).reason == "too_slow"
    with server.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(server.head(connection=None) + b"GET")
        # It comes to an end although the first was asked in time.
        dribble(client, b" /")
    assert asked(server) == 0


# --- too many -----------------------------------------------------------------------------------


def test_too_many_programs_with_the_key_are_told_so(start):
    server = start(lambda _: (), max_connections=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(server.connect()).sendall(server.question())
            server.asked()
        answer = server.ask(server.head())
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        # Whoever has no key learns nothing of it.
        assert server.ask(server.head(authorization=None)).status == 401
    # The ends of those connections may be noticed after the next one's begin.
    while server.ask(server.head()).status == 503:
        pass


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: "], ids=["silent", "slow"])
def test_strangers_who_keep_connections_open_keep_nobody_out(start, begun):
    server = start(lambda _: (), max_connections=2)
    with contextlib.ExitStack() as stack:
        known = stack.enter_context(server.connect())
        known.sendall(server.question())
        question = server.asked()
        strangers = []
        for _ in range(3):
            for _ in range(3):
                strangers.append(stack.enter_context(server.connect()))
                strangers[-1].sendall(begun)
            # As many as may be are there, and who has the key is answered.
            assert server.ask(server.head()).status == 200
        # The first of them had to go for that, and who had shown the key before did not.
        with contextlib.suppress(ConnectionError):
            assert strangers[0].recv(1) == b""
        server.say(Failed(question.id, 418, "script", "It is still there."))
        assert read_answer(known).status == 418
    assert server.expect(TurnedAway).reason == "too_many"


# --- begin and end ------------------------------------------------------------------------------


def test_it_ends_with_its_parent_in_the_middle_of_an_answer(start):
    server = start(lambda _: ())
    with server.connect() as client, server.connect() as waiting:
        client.sendall(server.question({"stream": True}))
        question = server.asked()
        server.say(Begun(question.id, "demo", 3), Piece(question.id, "Hello", ""))
        waiting.sendall(server.question())
        server.asked()
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert server.close() == 0
        with contextlib.suppress(ConnectionError):
            read_all(client)
        with contextlib.suppress(ConnectionError):
            assert read_all(waiting) == b""


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b'{"op": "open", "port": 0}\n', b'{"op": "open", "port": 0, "key": ""}\n'],
    ids=["nonsense", "no key", "empty key"],
)
def test_a_parent_that_cannot_be_understood_is_left(line):
    child = ScriptedParent(line)
    assert child.next_event() is None
    assert child.wait() == 2
    assert child.stderr != b""


def test_a_parent_that_talks_nonsense_later_is_left():
    child = RunningServer()
    child.say(Piece(77, "for a request that is long over", ""))
    assert child.ask(child.head()).status == 200
    child.send(b'{"op": "begun", "id": "1"}\n')
    assert child.next_event() is None
    assert child.wait() == 2
    assert b"Begun" in child.stderr


def test_a_parent_that_ends_at_once_leaves_no_child():
    child = ScriptedParent(b"")
    assert child.close() == 0


def test_a_port_in_use_is_told(server):
    for port, words in ((server.port, "in use"), (70_000, "no port")):
        options = {"op": "open", "port": port, "key": KEY}
        child = ScriptedParent(json.dumps(options).encode() + b"\n")
        event = child.expect(NotListening)
        assert event.code == "server_port_busy"
        assert words in event.message
        assert "another port" in event.hint
        # Programs that asked the one who is there have shown it their key.
        assert ("new key" in event.hint) == (words == "in use")
        assert child.wait() == 1


def test_a_port_can_be_had_again_at_once(start):
    for _ in range(3):
        first = start()
        # The server ends this connection first, so that the system keeps it in mind for a minute.
        assert first.ask(first.head()).status == 200
        assert first.close() == 0
        # Any program may be given the port in between, yet hardly three times.
        with contextlib.suppress(ServerPortError), open_listener(first.port) as listener:
            assert listener.getsockname() == ("127.0.0.1", first.port)
            return
    pytest.fail("the port cannot be had again")


def test_other_addresses_of_this_machine_do_not_lead_to_it(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # No packet is sent: the system only says which address it would take.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        address = probe.getsockname()[0]
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection((address, server.port), timeout=5.0)
