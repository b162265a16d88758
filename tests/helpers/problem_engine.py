"""A real engine child that speaks the protocol and fails on demand; it loads no model.

    python problem_engine.py '{"load": "segv", "words": 20}'

It is written from docs/protocol.md alone and imports nothing of Fathom, so that a mistake in the
codec cannot hide itself. The script (one JSON object) says what goes wrong:

hello       ok | never | old | garbage | not_first | twice | error | exit | segv
load        ok | error | hang | slow | segv | abort | abort_repacked | kill | exit | partial |
            out_of_memory | wrong_final      (hang ignores cancel, slow obeys it)
generate    ok | segv_late | segv_early | segv_early_repacked | null_pointer | kill | exit |
            garbage | long_line | partial | ignore_cancel | flood | close_stdout | late
words, rate_words_s, progress_steps, stderr (text)
ignore      list of: shutdown, term, eof, stdin, cancel
orphan      true: leave a process behind that holds the outputs open
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

MAX_LINE_BYTES = 16 * 1024 * 1024
_USAGE = {"prompt_tokens": 7, "completion_tokens": 0, "elapsed_s": 0.5, "seed": 1}


def _die(number: int) -> NoReturn:
    sys.stdout.flush()
    os.kill(os.getpid(), number)
    # A signal to oneself is delivered before kill returns; this is for the type checker.
    os._exit(99)


class ProblemEngine:
    """The child; requests are worked off in the main thread, as in the real one."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        self._ignore = set(script.get("ignore", []))
        self._lock = threading.Lock()
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._running: int | None = None
        self._waiting: set[int] = set()
        self._cancelled = threading.Event()
        self._ends = threading.Event()
        self._repacked = True
        self._last_id: int | None = None

    def run(self) -> None:
        """Speak until the parent has had enough."""
        if "term" in self._ignore:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if "stderr" in self._script:
            os.write(2, self._script["stderr"].encode())
        if self._script.get("orphan"):
            print_orphan_pid()
        self._say_hello()
        if "stdin" in self._ignore:
            self._hang()
        threading.Thread(target=self._read, daemon=True).start()
        while (request := self._requests.get()) is not None:
            self._work(request)

    # --- output ---------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        with self._lock:
            while data:
                data = data[os.write(1, data) :]

    def _emit(self, event: str, request_id: int | None, **fields: Any) -> None:
        line = json.dumps({"event": event, "id": request_id, **fields})
        self._write(line.encode() + b"\n")

    def _hello(self, protocol: int = 1) -> None:
        self._emit(
            "hello",
            None,
            protocol=protocol,
            app_version="0.0.0",
            engine="problem",
            engine_version="0",
            pid=os.getpid(),
            field_of_a_newer_child=True,
        )

    def _say_hello(self) -> None:
        kind = self._script.get("hello", "ok")
        if kind == "never":
            self._hang()
        elif kind == "garbage":
            self._write(b"Welcome to libnoise 3.1 \xff\n")
        elif kind == "not_first":
            self._emit("log", None, level="info", text="too early")
        elif kind == "error":
            words = {"message": "No libllama.", "hint": "Install it.", "details": "dlopen"}
            self._emit("error", None, code="installation", **words)
            os._exit(1)
        elif kind == "exit":
            raise RuntimeError("no module named libllama")
        elif kind == "segv":
            _die(signal.SIGSEGV)
        self._hello(protocol=0 if kind == "old" else 1)
        if kind == "twice":
            self._hello()

    # --- input ----------------------------------------------------------------------------------

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._take(json.loads(line))
        if "eof" not in self._ignore:
            os._exit(0)

    def _take(self, request: dict[str, Any]) -> None:
        op = request["op"]
        if op == "ping":
            self._emit("pong", request["id"])
        elif op == "cancel":
            self._cancel(request)
        elif op == "shutdown":
            if "shutdown" not in self._ignore:
                self._emit("bye", request["id"])
                os._exit(0)
        else:
            self._waiting.add(request["id"])
            self._requests.put(request)

    def _cancel(self, request: dict[str, Any]) -> None:
        target = request["target"]
        found = target in self._waiting
        if "cancel" not in self._ignore and found:
            self._cancelled.set()
        self._emit("cancel_accepted", request["id"], target=target, found=found)

    # --- work -----------------------------------------------------------------------------------

    def _work(self, request: dict[str, Any]) -> None:
        request_id = request["id"]
        if not self._cancelled.is_set():
            handlers: dict[str, Callable[[dict[str, Any]], None]] = {
                "load": self._load,
                "generate": self._generate,
                "unload": lambda r: self._emit("unloaded", r["id"]),
                "devices": self._devices,
            }
            handlers[request["op"]](request)
        else:
            self._emit("cancelled", request_id)
        self._waiting.discard(request_id)
        self._cancelled.clear()
        self._last_id = request_id

    def _hang(self) -> NoReturn:
        while True:
            self._ends.wait(3600.0)

    def _fail_as(self, kind: str, prefix: str) -> None:
        """Fail in one of the ways that can happen at any time."""
        if kind in ("segv", "segv_early", "segv_late"):
            _die(signal.SIGSEGV)
        if kind == "abort":
            _die(signal.SIGABRT)
        if kind == "null_pointer":
            ctypes.string_at(0)
        if kind == "kill":
            _die(signal.SIGKILL)
        if kind == "exit":
            os._exit(0)
        if kind == "partial":
            self._write(b'{"event":"' + prefix.encode() + b'","id":')
            os._exit(3)
        if kind == "out_of_memory":
            os.write(2, b"CUDA error: out of memory\n  in function ggml_cuda_malloc\n")
            _die(signal.SIGABRT)

    def _devices(self, request: dict[str, Any]) -> None:
        device = {"name": "CPU", "description": "problem", "kind": "cpu", "backend": "CPU"}
        memory = {"total_bytes": 2, "free_bytes": 1}
        self._emit(
            "devices",
            request["id"],
            devices=[device | memory],
            cpu_features=["AVX2"],
            backends=["CPU"],
            system_info="",
        )

    def _load(self, request: dict[str, Any]) -> None:
        kind = self._script.get("load", "ok")
        request_id, settings = request["id"], request["settings"]
        self._repacked = settings["use_extra_bufts"]
        self._progress(request_id, self._script.get("progress_steps", 2))
        if kind == "abort_repacked" and self._repacked:
            _die(signal.SIGABRT)
        self._fail_as(kind, "loaded")
        if kind == "hang":
            self._hang()
        if kind == "slow":
            self._cancelled.wait(3600.0)
        if self._cancelled.is_set():
            self._emit("cancelled", request_id)
        elif kind == "error":
            self._emit(
                "error", request_id, code="load", message="No.", hint="Another one.", details="d"
            )
        elif kind == "wrong_final":
            self._emit("pong", request_id)
        else:
            self._loaded(request)

    def _progress(self, request_id: int, steps: int) -> None:
        for step in range(steps):
            self._emit(
                "load_progress",
                request_id,
                stage="reading",
                bytes_done=step * 100,
                bytes_total=steps * 100,
                elapsed_s=0.1 * step,
                eta_s=None,
            )

    def _loaded(self, request: dict[str, Any]) -> None:
        numbers = dict.fromkeys(
            ["parameters", "size_bytes", "n_ctx_train", "n_layer", "n_vocab"], 100
        )
        words = dict.fromkeys(["name", "architecture", "template_source", "quantization"], "x")
        self._emit(
            "loaded",
            request["id"],
            model={"path": request["path"], **numbers, **words},
            devices=[],
            settings=request["settings"],
            warnings=[],
            elapsed_s=0.1,
        )

    def _generate(self, request: dict[str, Any]) -> None:
        kind = self._script.get("generate", "ok")
        request_id = request["id"]
        self._emit("started", request_id, prompt_tokens=7, reused_tokens=0, reasoning_open=False)
        if kind == "segv_early" or (kind == "segv_early_repacked" and self._repacked):
            _die(signal.SIGSEGV)
        if kind == "late" and self._last_id is not None:
            self._delta(self._last_id, "late")
            self._emit("done", self._last_id, stop_reason="end", **_USAGE)
        if self._speak(request_id, kind):
            self._emit("cancelled", request_id, **_USAGE)
        else:
            self._emit("done", request_id, stop_reason="end", **_USAGE)

    def _speak(self, request_id: int, kind: str) -> bool:
        """Stream words; return whether somebody cancelled."""
        rate = self._script.get("rate_words_s", 0)
        count = 10**9 if kind == "flood" else self._script.get("words", 5)
        for number in range(count):
            if number == 2:
                self._misbehave(kind)
            if rate:
                self._cancelled.wait(1.0 / rate)
            if self._cancelled.is_set() and kind != "ignore_cancel":
                return True
            self._delta(request_id, f"word{number} ")
        if kind == "ignore_cancel":
            self._hang()
        return False

    def _misbehave(self, kind: str) -> None:
        self._fail_as(kind, "delta")
        if kind == "garbage":
            self._write(b"ggml_debug: 12 tensors\n")
            self._hang()
        elif kind == "long_line":
            self._write(b"x" * (MAX_LINE_BYTES + 4096))
            self._hang()
        elif kind == "close_stdout":
            os.close(1)
            self._hang()

    def _delta(self, request_id: int, text: str) -> None:
        self._emit("delta", request_id, text=text, reasoning="", tokens=1)


def print_orphan_pid() -> None:
    """Leave a process that holds both outputs open, and name it on standard error."""
    orphan = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    os.write(2, f"orphan {orphan.pid}\n".encode())


def _without_core_files() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _without_core_files()
    ProblemEngine(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}).run()
