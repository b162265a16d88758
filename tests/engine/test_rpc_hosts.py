"""Other machines' devices: workers that serve, that are busy, gone, or something else."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.fathom_process import fathom, one_object
from helpers.rpc_worker import RpcWorker
from helpers.tiny_gguf import TinyModel, write_tiny
from models.errors import InvalidSettingError, RpcHostError
from models.runtime.llama.rpc import greet, split_endpoint

LIMIT_S = 20.0
NOBODY = "127.0.0.1:1"


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", TinyModel("deepseek2"))


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Serve one connection: read the greeting, say something; None: say nothing until the end."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(64)
            if answer is None:
                over.wait(LIMIT_S)
            else:
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join(LIMIT_S)


def hello(major: int, minor: int) -> bytes:
    return struct.pack("<Q4B24x", 28, major, minor, 0, 0)


# --- the greeting -------------------------------------------------------------------------------


def test_a_worker_answers_the_greeting_again_and_again() -> None:
    with RpcWorker() as worker:
        for _ in range(3):
            greet(worker.endpoint, LIMIT_S)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "does not answer"),
        (b"", "not an RPC worker"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not an RPC worker"),
        (struct.pack("<Q28x", 9), "not an RPC worker"),
        (hello(6, 0), "another version"),
        (hello(7, 9), "another version"),
    ],
)
def test_others_that_answer_are_told_apart(answer: bytes | None, words: str) -> None:
    with answering(answer) as endpoint, pytest.raises(RpcHostError, match=words):
        greet(endpoint, 0.3 if answer is None else LIMIT_S)


def test_the_right_answer_is_accepted() -> None:
    with answering(hello(7, 0)) as endpoint:
        greet(endpoint, LIMIT_S)


def test_nobody_there() -> None:
    with pytest.raises(RpcHostError, match="cannot be reached") as caught:
        greet(NOBODY, LIMIT_S)
    assert caught.value.hint


@pytest.mark.parametrize(
    "endpoint", ["", "host", "host:", ":50052", "host:0", "host:65536", "host:x", "::1:80", " h:1"]
)
def test_malformed_hosts(endpoint: str) -> None:
    with pytest.raises(InvalidSettingError, match="not an RPC host"):
        split_endpoint(endpoint)


# --- the engine ---------------------------------------------------------------------------------


def test_layers_on_an_rpc_host_answer(engine: EngineProcess, path: Path) -> None:
    with RpcWorker() as worker:
        loaded = engine.load(path, n_ctx=512, rpc_hosts=[worker.endpoint])
        assert loaded["event"] == "loaded", loaded
        held = {device["name"]: device for device in loaded["devices"]}
        assert held["RPC0"]["kind"] == "rpc"
        assert held["RPC0"]["weights_bytes"] > held["CPU"]["weights_bytes"]
        assert engine.answer("Hello", max_tokens=4)[2]["event"] == "done"
        # The worker serves one program at a time; the engine itself is not in its own way.
        listed = engine.ask("devices", rpc_hosts=[worker.endpoint])[-1]
        assert [device["name"] for device in listed["devices"]] == ["CPU", "RPC0"]
        assert listed["rpc_problems"] == []
        with pytest.raises(RpcHostError, match="does not answer"):
            greet(worker.endpoint, 0.3)
        engine.ask("unload")
        greet(worker.endpoint, LIMIT_S)


def test_two_hosts_share_the_layers(engine: EngineProcess, path: Path) -> None:
    with RpcWorker() as first, RpcWorker() as second:
        hosts = [first.endpoint, second.endpoint]
        loaded = engine.load(path, n_ctx=512, rpc_hosts=hosts, tensor_split=[1.0, 1.0])
        assert loaded["event"] == "loaded", loaded
        names = [device["name"] for device in loaded["devices"]]
        assert names == ["RPC0", "RPC1", "CPU"]
        assert engine.answer("Hello", max_tokens=4)[2]["event"] == "done"
        engine.ask("unload")


def test_a_host_that_is_not_asked_for_is_not_used(engine: EngineProcess, path: Path) -> None:
    with RpcWorker() as worker:
        engine.ask("devices", rpc_hosts=[worker.endpoint])
        assert [device["name"] for device in engine.ask("devices")[-1]["devices"]] == ["CPU"]
        loaded = engine.load(path, n_ctx=512)
        assert {device["name"] for device in loaded["devices"]} == {"CPU"}
        greet(worker.endpoint, LIMIT_S)  # it was left alone


def test_a_host_that_is_gone_ends_neither_the_engine_nor_the_checkpoint(
    engine: EngineProcess, path: Path
) -> None:
    with RpcWorker() as worker:
        assert engine.load(path, n_ctx=512)["event"] == "loaded"
        engine.ask("devices", rpc_hosts=[worker.endpoint])
    failed = engine.load(path, n_ctx=512, rpc_hosts=[worker.endpoint])
    assert (failed["event"], failed["code"]) == ("error", "rpc_host")
    assert failed["still_loaded"]
    assert engine.answer("Hello", max_tokens=2)[2]["event"] == "done"
    listed = engine.ask("devices", rpc_hosts=[worker.endpoint, NOBODY, "nonsense"])[-1]
    assert [device["name"] for device in listed["devices"]] == ["CPU"]
    assert len(listed["rpc_problems"]) == 3
    assert engine.load(path, n_ctx=512)["event"] == "loaded"


def test_a_host_that_leaves_in_the_middle_ends_the_engine_child(path: Path) -> None:
    """llama.cpp gives up then; that it does so in a child is what keeps the window."""
    process = EngineProcess()
    with RpcWorker() as worker:
        assert process.load(path, n_ctx=512, rpc_hosts=[worker.endpoint])["event"] == "loaded"
    process.send("generate", messages=[{"role": "user", "content": "Hello"}])
    assert process.process.wait(LIMIT_S) == -signal.SIGABRT
    process.close()


def test_a_malformed_host_is_refused(engine: EngineProcess, path: Path) -> None:
    failed = engine.load(path, n_ctx=512, rpc_hosts=["nonsense"])
    assert (failed["event"], failed["code"]) == ("error", "invalid_setting")


# --- the command line ---------------------------------------------------------------------------


def test_devices_shows_rpc_hosts_of_the_settings(base_dir: Path) -> None:
    with RpcWorker() as worker:
        settings = base_dir / "config" / "settings.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'[engine]\nrpc_hosts = "{worker.endpoint}, {NOBODY}"\n')
        done = fathom("devices", "--json", "--basedir", base_dir)
        table = fathom("devices", "--basedir", base_dir)
    assert done.returncode == 0, done.stderr
    data = one_object(done.stdout)
    remote = next(device for device in data["devices"] if device["kind"] == "rpc")
    assert (remote["description"], remote["remote"]) == (worker.endpoint, "cpu")
    assert any(NOBODY in note for note in data["notes"])
    assert worker.endpoint in table.stdout
