"""Cutting streams into lines, keeping tails, and pipes that never block for good."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.engine_harness import PIPES, WAIT_S
from models.errors import EngineProtocolError
from models.runtime.pipes import STDERR, STDOUT, LineFramer, Tail

ECHO = "import os, sys; [os.write(1, line) for line in sys.stdin.buffer]"


@given(st.lists(st.binary(max_size=20)), st.randoms(use_true_random=False))
def test_lines_are_the_same_wherever_the_chunks_end(lines, random):
    lines = [line.replace(b"\n", b"") for line in lines]
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    framer, found = LineFramer(), []
    while stream:
        size = random.randint(1, 30)
        found += framer.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
    assert framer.unfinished() == b"rest"


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6] * 2, [b"x" * 11 + b"\n"], [b"x" * 22]])
def test_a_line_above_the_limit_is_refused(chunks):
    framer = LineFramer(limit_bytes=10)
    for chunk in chunks[:-1]:
        framer.feed(chunk)
    with pytest.raises(EngineProtocolError, match="16 MiB"):
        framer.feed(chunks[-1])


def test_a_line_of_just_the_limit():
    assert LineFramer(limit_bytes=10).feed(b"x" * 10 + b"\n") == [b"x" * 10]


@given(st.lists(st.binary(max_size=30)))
def test_a_tail_is_the_end_of_everything(parts):
    tail = Tail(limit_bytes=40)
    for part in parts:
        tail.append(part)
    assert tail.text() == b"".join(parts)[-40:].decode(errors="replace")


@pytest.fixture(params=PIPES, ids=lambda pipes: pipes.__name__)
def start(request):
    """Return a starter of a Python child with its pipes; both are closed after the test."""
    made = []

    def starter(code):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        made.append((process, request.param(process)))
        return made[-1]

    yield starter
    for process, pipes in made:
        process.kill()
        process.wait(WAIT_S)
        pipes.close()


def read_all(pipes, wanted_bytes=None):
    """Return what both outputs said, until both ended or standard output said enough."""
    data, ended, limit = {STDOUT: b"", STDERR: b""}, set(), time.monotonic() + WAIT_S
    while len(ended) < 2 and time.monotonic() < limit:
        for chunk in pipes.wait(0.2):
            data[chunk.stream] += chunk.data
            if not chunk.data:
                ended.add(chunk.stream)
        if wanted_bytes is not None and len(data[STDOUT]) >= wanted_bytes:
            break
    return data


def test_both_outputs_are_read_to_their_ends(start):
    _, pipes = start("import os; os.write(1, b'o' * 300000); os.write(2, b'e' * 300000)")
    assert read_all(pipes) == {STDOUT: b"o" * 300_000, STDERR: b"e" * 300_000}


def test_more_than_a_pipe_holds_goes_through(start):
    _, pipes = start("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read(3_000_000))")
    pipes.write(b"x" * 3_000_000)
    assert read_all(pipes)[STDOUT] == b"x" * 3_000_000


def test_a_child_that_reads_nothing_does_not_block_the_writer(start):
    _, pipes = start("import threading; threading.Event().wait()")
    for _ in range(50):
        pipes.write(b"x" * 100_000)
    assert pipes.wait(0.01) == []


def test_writing_to_a_child_that_is_gone(start):
    process, pipes = start("pass")
    process.wait(WAIT_S)
    for _ in range(3):
        pipes.write(b"x" * 100_000)
        pipes.wait(0.05)


def test_another_thread_wakes_the_wait(start):
    _, pipes = start("import threading; threading.Event().wait()")
    woken = threading.Event()

    def wait():
        pipes.wait(WAIT_S * 4)
        woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    pipes.wake()
    assert woken.wait(WAIT_S)
    waiter.join(WAIT_S)


def test_many_wakes_do_no_harm(start):
    _, pipes = start(ECHO)
    for _ in range(100_000):
        pipes.wake()
    pipes.write(b"still there\n")
    assert read_all(pipes, wanted_bytes=12)[STDOUT] == b"still there\n"


def test_wake_after_close(start):
    process, pipes = start("pass")
    process.wait(WAIT_S)
    pipes.close()
    pipes.wake()


def test_an_input_that_is_closed_gives_the_child_all_of_it_and_then_its_end(start):
    process, pipes = start(ECHO + "; os.write(1, b'end')")
    line = b"x" * 100_000 + b"\n"
    for _ in range(5):
        pipes.write(line)
    pipes.close_input()
    pipes.write(b"too late\n")
    assert read_all(pipes)[STDOUT] == line * 5 + b"end"
    assert process.wait(WAIT_S) == 0


def test_an_input_may_be_closed_twice_and_after_the_child(start):
    process, pipes = start("")
    assert process.wait(WAIT_S) == 0
    pipes.close_input()
    pipes.close_input()
    read_all(pipes)
