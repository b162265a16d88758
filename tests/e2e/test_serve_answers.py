"""``fathom serve demo`` as programs meet it: the real engine, real sockets, several clients."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers.fathom_process import TIMEOUT_S
from helpers.served_process import ServedProcess, question, serving

pytestmark = pytest.mark.model

SKY = "Why is the sky blue?"
STORY = question("Tell a very long story about the sea.", max_tokens=4000, stream=True)
_HOME = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
_XDG = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProcess]:
    """The demo, served for all tests of this module; each leaves its engine free."""
    home = tmp_path_factory.mktemp("served")
    env = dict.fromkeys((*_HOME, *_XDG), str(home))
    with serving("demo", "--ctx", "2048", base_dir=home / "base", env=env) as served:
        yield served


def test_what_is_served_is_told(demo: ServedProcess) -> None:
    told = demo.ask(path="/v1/models")
    assert told.status == 200
    assert [model["id"] for model in told.data["data"]] == ["demo"]


def test_an_answer_in_one_piece_and_the_same_one_streamed(demo: ServedProcess) -> None:
    demo.ask(question(SKY))  # from here on, both compute the same: the prompt is in the cache
    whole = demo.ask(question(SKY, model="demo"))
    assert whole.status == 200
    assert len(whole.text) > 10
    usage = whole.data["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["prompt_tokens"] > 5
    assert whole.data["choices"][0]["finish_reason"] == "length"
    streamed = demo.ask(question(SKY, stream=True))
    assert streamed.status == 200
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.streamed_text == whole.text
    assert len(streamed.chunks) > 2


def test_two_clients_at_once_are_both_answered(demo: ServedProcess) -> None:
    demo.ask(question(SKY))
    alone = demo.ask(question(SKY)).text
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        bodies = [question(SKY, stream=number % 2 == 0) for number in range(4)]
        answers = list(pool.map(demo.ask, bodies))
    texts = [
        answer.streamed_text if body["stream"] else answer.text
        for body, answer in zip(bodies, answers, strict=True)
    ]
    assert texts == [alone] * 4


def test_a_client_that_hangs_up_frees_the_engine(demo: ServedProcess) -> None:
    with contextlib.closing(demo.connect(STORY)) as connection:
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"data: ")
        answer.close()
    gone = demo.wait_for_request(lambda event: event["state"] == "gone")
    assert gone["completion_tokens"] < 4000
    assert demo.ask(question(SKY)).status == 200


def test_a_question_longer_than_the_context_is_refused(demo: ServedProcess) -> None:
    refused = demo.ask(question("word " * 5000))
    assert refused.status == 400
    assert refused.data["error"]["code"] == "context_length_exceeded"
    assert demo.ask(question(SKY)).status == 200


def test_another_model_is_refused_and_deepseeks_names_are_not(demo: ServedProcess) -> None:
    refused = demo.ask(question(SKY, model="gpt-4o"))
    assert (refused.status, refused.data["error"]["code"]) == (404, "model_not_found")
    assert demo.ask(question(SKY, model="deepseek-reasoner", max_tokens=2)).status == 200


def test_a_stop_string_and_a_given_beginning_are_heard(demo: ServedProcess) -> None:
    whole = demo.ask(question(SKY)).text
    stop = whole.split()[1]
    stopped = demo.ask(question(SKY, stop=[stop]))
    assert stopped.data["choices"][0]["finish_reason"] == "stop"
    assert stop not in stopped.text
    begun = question(SKY, max_tokens=3)
    begun["messages"].append({"role": "assistant", "content": "Blue is", "prefix": True})
    assert demo.ask(begun).status == 200


def test_the_only_internet_socket_is_on_the_loopback(demo: ServedProcess) -> None:
    with contextlib.closing(demo.connect(STORY)) as connection:
        assert connection.getresponse().readline()
        processes = [psutil.Process(demo.process.pid), *demo.children()]
        # The parent, the engine and the server.
        assert len(processes) == 3
        connections = [
            (process.pid, one) for process in processes for one in process.net_connections("inet")
        ]
    listening = [one for _, one in connections if one.status == psutil.CONN_LISTEN]
    assert [(one.laddr.ip, one.laddr.port) for one in listening] == [("127.0.0.1", demo.port)]
    assert {one.laddr.ip for _, one in connections} == {"127.0.0.1"}
    assert {one.raddr.ip for _, one in connections if one.raddr} <= {"127.0.0.1"}
    assert len({pid for pid, _ in connections}) == 1


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX'")
def test_kill_nine_of_the_parent_leaves_no_child(base_dir: Path) -> None:
    with serving("demo", "--ctx", "1024", base_dir=base_dir) as served:
        with contextlib.closing(served.connect(STORY)) as connection:
            assert connection.getresponse().readline()
            children = served.children()
            assert len(children) == 2
            os.kill(served.process.pid, signal.SIGKILL)
            _, alive = psutil.wait_procs(children, timeout=TIMEOUT_S)
        assert alive == []
        assert not _is_open(served.port)
