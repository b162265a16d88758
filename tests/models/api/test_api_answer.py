"""Answers that are made where no clock has to be waited for: comments, and what is too long."""

import asyncio
import json

import pytest

from models.api.client import HttpClient, HungUpError
from models.api.exchange import MAX_UNSENT_LENGTH, MAX_WHOLE_LENGTH, Exchange, Inbox
from models.api.protocol import ApiUsage, Begun, Ended, Failed, Piece, Queued
from models.api.question import ChatForm, read_question
from models.api.refusal import RefusedRequestError

FORM = ChatForm(read_question(b'{"messages": [{"role": "user", "content": "Hi"}]}').question)


class Sent:
    """An ASGI client that keeps what it is sent, and tells who waits for the next piece."""

    def __init__(self, on_piece=lambda _sent: None):
        self.messages = []
        self._on_piece = on_piece
        scope = {
            "method": "POST", "path": "/", "headers": [], "http_version": "1.1",
            "state": {"connection": None},
        }  # fmt: skip
        self.client = HttpClient(scope, asyncio.Event().wait, self.send)

    async def send(self, message):
        self.messages.append(message)
        self._on_piece(self)

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()


def stream(replies_to):
    """Run a stream that is told the next replies whenever it has sent something."""
    inbox = Inbox(lambda: None)
    steps = iter(replies_to)
    sent = Sent(lambda _: [inbox.put(reply) for reply in next(steps, ())])

    async def run():
        inbox.put(Queued(1, 2))
        await Exchange(sent.client, FORM, inbox, comment_s=0.001).answer_stream()

    asyncio.run(run())
    return sent


def test_while_nothing_happens_comments_say_why():
    sent = stream(
        [
            (),
            (),
            [Queued(1, 1)],
            [],
            [],
            [Begun(1, "demo", 3)],
            [],
            [],
            [Ended(1, "end", ApiUsage())],
        ]
    )
    lines = [line for line in sent.text.split("\n\n") if line.startswith(":")]
    assert lines[:2] == [": waiting, 2 ahead"] * 2
    assert ": waiting, 1 ahead" in lines
    assert ": working" in lines
    assert lines.index(": waiting, 1 ahead") < lines.index(": working")
    assert sent.text.endswith("data: [DONE]\n\n")
    assert not sent.messages[-1].get("more_body")


def test_what_fails_while_it_waits_is_told_in_the_stream():
    sent = stream([(), (), [Failed(1, 503, "no_checkpoint", "No checkpoint is loaded.")]])
    last = sent.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "no_checkpoint"


def test_an_answer_without_end_is_not_collected_for_ever():
    inbox = Inbox(lambda: None)
    sent = Sent()
    piece = Piece(1, "x" * (MAX_UNSENT_LENGTH // 2), "")

    async def run():
        answering = asyncio.create_task(Exchange(sent.client, FORM, inbox).answer_whole())
        pieces = 0
        while not answering.done():
            inbox.put(piece)
            pieces += 1
            # Lets the exchange take it.
            await asyncio.sleep(0)
            assert pieces * len(piece.text) < 2 * MAX_WHOLE_LENGTH + MAX_UNSENT_LENGTH
        await answering

    with pytest.raises(RefusedRequestError, match="too long"):
        asyncio.run(run())
    assert sent.messages == []


def test_an_inbox_that_overflows_says_so_once_and_keeps_nothing():
    overflows = []
    inbox = Inbox(lambda: overflows.append(1))
    piece = Piece(1, "", "x" * (MAX_UNSENT_LENGTH // 4))
    for _ in range(9):
        inbox.put(piece)
    assert overflows == [1]
    assert inbox.has_overflowed
    with pytest.raises(HungUpError):
        asyncio.run(inbox.take())


def test_empty_pieces_take_room_too():
    inbox = Inbox(lambda: None)
    for _ in range(MAX_UNSENT_LENGTH // 16):
        inbox.put(Piece(1, "", ""))
    assert inbox.has_overflowed
