"""llama.cpp's own RPC worker in a child: the CPU of this machine as a device of another one.

Run as a program with a port, it serves until it is killed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

_START_LIMIT_S = 60.0
_THREADS = 1


class RpcWorker:
    """A worker on loopback; use it as a context manager.

    Attributes:
        endpoint: ``host:port`` where it listens.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.endpoint = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_it_listens(port)
        except BaseException:
            self.close()
            raise

    def _wait_until_it_listens(self, port: int) -> None:
        limit_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < limit_s:
            assert self.process.poll() is None, "the RPC worker ended"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except ConnectionRefusedError:
                continue
            return
        raise TimeoutError("the RPC worker does not listen")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> RpcWorker:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(port: int) -> None:
    """Lend the CPU at a port of loopback; does not return."""
    from models.runtime.llama.bindings import LlamaLibrary

    library = LlamaLibrary()
    library.start()
    ggml = library.ggml
    rpc = next(
        registry
        for registry in map(ggml.registry_get, range(ggml.registry_count()))
        if ggml.registry_name(registry) == b"RPC"
    )
    cpu = next(device for device in ggml.devices() if ggml.device_kind(device) == "cpu")
    start = ctypes.CFUNCTYPE(
        None,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_void_p),
    )(ggml.registry_function(rpc, b"ggml_backend_rpc_start_server"))
    start(f"127.0.0.1:{port}".encode(), None, _THREADS, 1, (ctypes.c_void_p * 1)(cpu))
    os._exit(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    serve(int(sys.argv[1]))
