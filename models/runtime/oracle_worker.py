"""The oracle's child: answers what llama.cpp would allocate, until its input ends. No Qt here.

The main thread works requests off in order; a reader thread waits for the end of the input, so
that a child that hangs in llama.cpp does not outlive its parent.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from models.errors import EngineError, EngineProtocolError
from models.planner.plan import PlanSettings
from models.runtime.child_lines import error_event, own_error, read_until_gone, write_event
from models.runtime.child_setup import prepare_environment, take_protocol_fd
from models.runtime.oracle_protocol import OpenOracle, OracleAnswer, OracleOpened
from models.runtime.protocol import Json, decode_line, to_json
from models.runtime.wire import build

if TYPE_CHECKING:
    from models.runtime.llama.oracle_backend import OracleBackend


class OracleWorker:
    """Answers requests; ``open`` comes first."""

    def __init__(self) -> None:
        self._backend: OracleBackend | None = None

    def answer(self, line: bytes) -> Json:
        """Return the event that ends a request."""
        request_id: Any = None
        try:
            fields = decode_line(line)
            request_id = fields.pop("id", None)
            return {"id": request_id, **self._answer(fields.pop("op", None), fields)}
        except Exception as error:  # noqa: BLE001  The process boundary: a bug is reported.
            failure = own_error(error, "The dry run", EngineError)
            return {"id": request_id, **error_event(failure)}

    def _answer(self, op: Any, fields: Json) -> Json:
        if op == "open":
            return {
                "event": "opened",
                **to_json(self._open(build(OpenOracle, fields, strict=True))),
            }
        if op == "account" and self._backend is not None:
            settings = build(PlanSettings, fields.get("settings"), strict=True)
            buffers = self._backend.account(settings)
            backend = self._backend
            answer = OracleAnswer(buffers, backend.load_s, backend.context_s, backend.output_bytes)
            return {"event": "account", **to_json(answer)}
        raise EngineProtocolError(f"There is no request {op!r} here.")

    def _open(self, request: OpenOracle) -> OracleOpened:
        from models.runtime.llama.bindings import library_version
        from models.runtime.llama.oracle_backend import OracleBackend
        from models.runtime.llama.phantom import PhantomGpu

        if self._backend is not None:
            raise EngineProtocolError("The oracle is open already.")
        gpus = [PhantomGpu(**to_json(gpu)) for gpu in request.gpus]
        backend = OracleBackend(request.path, gpus, request.cpu_features)
        self._backend = backend
        return OracleOpened(
            library_version(),
            backend.cpu_features,
            backend.cpu_matches,
            backend.approximate_devices,
        )


def main() -> int:
    """Run the oracle's child on standard input and output; ends with its input."""
    protocol_fd = take_protocol_fd()
    prepare_environment()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    read_until_gone(lines.put)
    worker = OracleWorker()
    while True:
        write_event(protocol_fd, worker.answer(lines.get()))
