"""A worker that greets as it should and lies from then on: it costs the engine child at most."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.fathom_process import fathom
from helpers.tiny_gguf import TinyModel, write_tiny
from models.runtime.llama.rpc import greet

LIMIT_S = 60.0
HELLO = struct.pack("<Q4B24x", 28, 7, 0, 0, 0)
GREETING_BYTES = 33

Answer = Callable[[random.Random], bytes]


@contextlib.contextmanager
def lying_worker(answer: Answer) -> Iterator[str]:
    """Greet everybody like a worker, and answer whatever comes then with ``answer``."""
    is_over = threading.Event()
    threads: list[threading.Thread] = []
    rng = random.Random(5)

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0.1)
            got = b""
            while len(got) < GREETING_BYTES and not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    piece = connection.recv(GREETING_BYTES - len(got))
                    if not piece:
                        return
                    got += piece
            connection.sendall(HELLO)
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(65536):
                        return
                    connection.sendall(answer(rng))

    def serve() -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = server.accept()
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        server_thread = threading.Thread(target=serve)
        server_thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            for thread in (server_thread, *threads):
                thread.join(LIMIT_S)


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(4096)


def immense(_rng: random.Random) -> bytes:
    """An answer that says it is as long as no memory is."""
    return struct.pack("<Q", 2**62) + bytes(64)


def ones(_rng: random.Random) -> bytes:
    """What a 64-bit number of devices, bytes or an address would be at its largest."""
    return struct.pack("<QQQ", 16, 2**64 - 1, 2**64 - 1)


@pytest.mark.parametrize("answer", [noise, immense, ones])
def test_a_worker_that_lies_costs_the_engine_child_at_most(tmp_path: Path, answer: Answer) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", TinyModel("deepseek2"))
    process = EngineProcess()
    with lying_worker(answer) as endpoint:
        greet(endpoint, LIMIT_S)
        process.send("load", path=str(path), settings={"n_ctx": 512, "rpc_hosts": [endpoint]})
        # llama.cpp gives up on an answer that it cannot use.
        assert process.process.wait(LIMIT_S) == -signal.SIGABRT
    process.close()


def test_the_program_says_so_and_goes_on(base_dir: Path) -> None:
    with lying_worker(noise) as endpoint:
        settings = base_dir / "config" / "settings.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'[engine]\nrpc_hosts = "{endpoint}"\n')
        done = fathom("devices", "--basedir", base_dir)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "engine" in done.stderr
