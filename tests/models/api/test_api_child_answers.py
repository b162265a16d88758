"""What clients of the real child read, and what its parent hears of them."""

import contextlib
import json
import socket

import pytest

from helpers.api_client import RunningServer, parse_answer, read_all, read_answer
from models.api.exchange import MAX_UNSENT_LENGTH
from models.api.protocol import ApiUsage, Begun, Ended, Failed, Gone, Piece, Queued
from models.runtime.protocol import PromptMessage

USAGE = ApiUsage(prompt_tokens=12, reused_tokens=5, completion_tokens=7, reasoning_tokens=3)
USAGE_JSON = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
    "prompt_cache_hit_tokens": 5,
    "prompt_cache_miss_tokens": 7,
}


@pytest.fixture(scope="module")
def shared():
    child = RunningServer()
    yield child
    assert child.close() == 0
    assert child.stderr == b""


@pytest.fixture
def server(shared):
    shared.so_far()
    return shared


def chunks_of(answer):
    """Return the JSON of a stream's events; the last is no JSON."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, last = [line for line in answer.events if not line.startswith(":")]
    assert last == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_stream_is_openais(server):
    with server.connect() as client:
        client.sendall(
            server.question(
                {"stream": True, "model": "deepseek-chat", "temperature": 0.5, "max_tokens": 9}
            )
        )
        asked = server.asked()
        assert asked.question.model == "deepseek-chat"
        assert asked.question.messages == (PromptMessage("user", "Hi"),)
        assert asked.question.sampling == {"temperature": 0.5}
        assert asked.question.max_tokens == 9
        server.say(
            Queued(asked.id, 2),
            Begun(asked.id, "demo", 12),
            Piece(asked.id, "", "Hm.\n"),
            Piece(asked.id, "He", ""),
            Piece(asked.id, "", ""),
            Piece(asked.id, "llo\u2028\n\ndata: 世界", ""),
            Ended(asked.id, "end", USAGE),
        )
        answer = read_answer(client)
    chunks = chunks_of(answer)
    assert {(c["object"], c["model"]) for c in chunks} == {("chat.completion.chunk", "demo")}
    assert len({c["id"] for c in chunks}) == 1
    choices = [c["choices"][0] for c in chunks]
    assert [c["delta"] for c in choices] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm.\n"},
        {"content": "He"},
        {"content": "llo\u2028\n\ndata: 世界"},
        {},
    ]
    assert [c["finish_reason"] for c in choices] == [None] * 4 + ["stop"]
    assert all("usage" not in c for c in chunks)
    assert server.so_far() == []


def test_a_stream_tells_its_figures_where_they_are_wanted(server):
    with server.connect() as client:
        client.sendall(server.question({"stream": True, "stream_options": {"include_usage": True}}))
        asked = server.asked()
        server.say(Begun(asked.id, "demo", 12), Ended(asked.id, "length", USAGE))
        *chunks, last = chunks_of(read_answer(client))
    assert [c["usage"] for c in chunks] == [None, None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert last["choices"] == []
    assert last["usage"] == USAGE_JSON


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [("end", "stop"), ("stop", "stop"), ("length", "length"), ("context_full", "length")],
)
def test_an_answer_in_one_piece_is_openais(server, stop_reason, finish_reason):
    with server.connect() as client:
        client.sendall(server.question({"n": 1}))
        asked = server.asked()
        server.say(
            Begun(asked.id, "demo", 12),
            Piece(asked.id, "", "Hm."),
            Piece(asked.id, "Hell", ""),
            Piece(asked.id, "o", ""),
            Ended(asked.id, stop_reason, USAGE),
        )
        data = read_answer(client).data
    assert (data["object"], data["model"]) == ("chat.completion", "demo")
    [choice] = data["choices"]
    assert choice["finish_reason"] == finish_reason
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Hello"
    assert choice["message"]["reasoning_content"] == "Hm."
    assert data["usage"] == USAGE_JSON


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failed", "status", "headers"),
    [
        (("model_not_found", 404, 0), 404, {"x-should-retry": None, "retry-after": None}),
        (("no_checkpoint", 503, 0), 503, {"x-should-retry": "false", "retry-after": None}),
        (("loading", 503, 7), 503, {"x-should-retry": None, "retry-after": "7"}),
        (("queue_full", 429, 1), 429, {"retry-after": "1"}),
        (("strange", 99, 0), 500, {}),
    ],
)
def test_what_fails_before_it_began_has_a_status(server, stream, failed, status, headers):
    code, told_status, retry_after_s = failed
    with server.connect() as client:
        client.sendall(server.question({"stream": stream}))
        asked = server.asked()
        server.say(Failed(asked.id, told_status, code, "No.", "Try this.", retry_after_s))
        answer = read_answer(client)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in headers} == headers
    assert (answer.error["code"], answer.error["message"]) == (code, "No. Try this.")
    assert server.so_far() == []


def test_what_fails_later_ends_the_stream_with_the_error(server):
    with server.connect() as client:
        client.sendall(server.question({"stream": True}))
        asked = server.asked()
        server.say(
            Begun(asked.id, "demo", 12),
            Piece(asked.id, "Hell", ""),
            Failed(asked.id, 500, "engine_crashed", "The engine crashed."),
        )
        answer = read_answer(client)
    assert answer.status == 200
    last = json.loads(answer.events[-1].removeprefix("data: "))
    assert last["error"]["code"] == "engine_crashed"
    assert last["error"]["type"] == "server_error"
    assert "[DONE]" not in answer.body.decode()


def test_an_answer_in_one_piece_that_fails_later_is_an_error(server):
    with server.connect() as client:
        client.sendall(server.question())
        asked = server.asked()
        server.say(
            Begun(asked.id, "demo", 12),
            Piece(asked.id, "Hell", ""),
            Failed(asked.id, 500, "engine_crashed", "The engine crashed."),
        )
        answer = read_answer(client)
    assert answer.status == 500
    assert answer.error["code"] == "engine_crashed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", ["nothing", "queued", "begun", "piece"])
def test_a_client_that_hangs_up_is_told_at_once(server, stream, said):
    with server.connect() as client:
        client.sendall(server.question({"stream": stream}))
        request_id = server.asked().id
        replies = [Queued(request_id, 1), Begun(request_id, "demo", 3), Piece(request_id, "a", "")]
        server.say(*replies[: ["nothing", "queued", "begun", "piece"].index(said)])
    assert server.expect(Gone) == Gone(request_id)
    # What is still said of it, and twice, harms nobody.
    server.say(*replies, Ended(request_id, "end", USAGE), Failed(request_id, 500, "a", "b"))
    assert server.ask(server.head()).status == 200
    assert server.so_far() == []


def test_a_client_that_shuts_its_side_has_hung_up(server):
    with server.connect() as client:
        client.sendall(server.question())
        request_id = server.asked().id
        client.shutdown(socket.SHUT_WR)
        assert server.expect(Gone) == Gone(request_id)


def test_several_clients_get_each_their_own(server):
    clients = [server.connect() for _ in range(8)]
    try:
        ids = []
        for index, client in enumerate(clients):
            client.sendall(server.question({"stream": index % 2 == 0}))
            ids.append(server.asked().id)
        assert len(set(ids)) == len(ids)
        server.say(*(Begun(request_id, "demo", 1) for request_id in ids))
        for round_number in range(20):
            server.say(*(Piece(i, f"<{i}:{round_number}>", "") for i in reversed(ids)))
        server.say(*(Ended(request_id, "end", USAGE) for request_id in ids))
        for index, (client, request_id) in enumerate(zip(clients, ids, strict=True)):
            answer = read_answer(client)
            whole = "".join(f"<{request_id}:{number}>" for number in range(20))
            if index % 2 == 0:
                deltas = [c["choices"][0]["delta"] for c in chunks_of(answer)]
                assert "".join(delta.get("content", "") for delta in deltas) == whole
            else:
                assert answer.data["choices"][0]["message"]["content"] == whole
    finally:
        for client in clients:
            client.close()


def test_a_connection_is_used_again_after_an_answer(server):
    raw = server.question().replace(b"connection: close\r\n", b"")
    with server.connect() as client:
        for _ in range(3):
            client.sendall(raw)
            request_id = server.asked().id
            server.say(Begun(request_id, "demo", 1), Ended(request_id, "end", USAGE))
            data = b""
            while not data.endswith(b"}}"):
                data += client.recv(1 << 16)
            assert parse_answer(data)[0].status == 200
    assert server.ask(server.head()).status == 200
    assert server.so_far() == []


def test_what_a_slow_reader_does_not_take_is_not_kept(server):
    """It reads nothing: the system's buffers fill, then the server's, and then it is left."""
    piece = "x" * (MAX_UNSENT_LENGTH // 16)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(server.question({"stream": True}))
        request_id = server.asked().id
        server.say(Begun(request_id, "demo", 1))
        events = []
        # Far above what any system keeps for a connection.
        for _ in range(4096):
            server.say(Piece(request_id, piece, ""))
            events = server.so_far()
            if events:
                break
        else:
            events = [server.next_event()]
        assert events == [Gone(request_id)]
        # It is cut off, whether it reads on or not.
        with contextlib.suppress(ConnectionError):
            assert b"[DONE]" not in read_all(client)
    assert server.ask(server.head()).status == 200


def test_the_largest_question_crosses_the_pipe(server):
    """Bytes that JSON writes out longest stay below the longest line."""
    text = '\u0001\\"é世' * 300_000
    body = json.dumps(
        {"messages": [{"role": "user", "content": text}]}, ensure_ascii=False
    ).encode()
    assert 4 << 20 < len(body) < 8 << 20
    with server.connect() as client:
        client.sendall(server.question(body))
        asked = server.asked()
        assert asked.question.messages[0].content == text
        server.say(Failed(asked.id, 418, "script", "No."))
        assert read_answer(client).status == 418
