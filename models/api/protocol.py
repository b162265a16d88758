"""What the child that speaks HTTP and its parent tell each other. No Qt here.

docs/protocol.md, "The server", is authoritative. The child knows no engine and no checkpoint: it
admits requests, reads them, and writes what the parent answers as HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.errors import EngineProtocolError
from models.runtime.protocol import Json, PromptMessage, to_json
from models.runtime.wire import build

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8737
LARGEST_PORT = 65_535


def other_port(port: int) -> int:
    """Return a port to try where one cannot be had."""
    return port + 1 if 1024 <= port < LARGEST_PORT else DEFAULT_PORT


@dataclass(frozen=True)
class ServerOptions:
    """How to serve; the first line to the child, with ``"op": "open"``.

    Attributes:
        port: 0 takes any free one.
        key: what every request has to show.
        allowed_origins: web pages that may ask, as browsers write them (``http://localhost:3000``).
        max_body_bytes: of one request.
        max_connections: at the same time.
        patience_s: how long a client may take to send a request.
    """

    port: int
    key: str = field(repr=False)
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 1024 * 1024
    max_connections: int = 64
    patience_s: float = 30.0


# --- from the child -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A conversation to be answered.

    Attributes:
        model: as the client named it; empty where it named none.
        sampling: fields of ``Sampling`` that the client gave; the parent's settings for the rest.
        max_tokens: None: as the parent's settings say.
        template_options: for the chat template: ``enable_thinking``, ``thinking``.
        continue_answer: the last message is the beginning of the answer.
    """

    model: str
    messages: tuple[PromptMessage, ...]
    sampling: dict[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    template_options: dict[str, bool] = field(default_factory=dict)
    continue_answer: bool = False


@dataclass(frozen=True)
class Listening:
    """The socket is open; ``address`` is the one that the system tells, not the one asked for."""

    address: str
    port: int


@dataclass(frozen=True)
class NotListening:
    """The socket cannot be had; the child ends. Fields as of every error."""

    code: str
    message: str
    hint: str = ""
    details: str = ""


@dataclass(frozen=True)
class AskedForModels:
    """A client wants to know what there is; answered with ``ModelsKnown``."""

    id: int


@dataclass(frozen=True)
class Asked:
    """A client wants an answer: ``Queued`` (any number), ``Begun``, ``Piece``s, then one end."""

    id: int
    question: Question


@dataclass(frozen=True)
class Gone:
    """The client of a request has hung up before its end."""

    id: int


@dataclass(frozen=True)
class TurnedAway:
    """A request was not admitted; at most one of a reason is told a second.

    Attributes:
        reason: ``host``, ``origin``, ``key``, ``content_type``, ``too_large``, ``too_slow``,
            ``too_many``.
        shown: the offending header, printable and at most 200 characters; empty for keys.
        count: how many of this reason since the last one that was told.
    """

    reason: str
    shown: str = ""
    count: int = 1


FromChild = Listening | NotListening | AskedForModels | Asked | Gone | TurnedAway


# --- to the child -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServedModel:
    """A checkpoint that can be asked: its name for clients, and its context in tokens."""

    name: str
    context_tokens: int


@dataclass(frozen=True)
class ModelsKnown:
    """The answer to ``AskedForModels``."""

    id: int
    models: tuple[ServedModel, ...]


@dataclass(frozen=True)
class Queued:
    """So many come before this one."""

    id: int
    ahead: int


@dataclass(frozen=True)
class Begun:
    """The engine has taken the prompt; ``model`` answers."""

    id: int
    model: str
    prompt_tokens: int


@dataclass(frozen=True)
class Piece:
    """More of the answer; either may be empty."""

    id: int
    text: str
    reasoning: str


@dataclass(frozen=True)
class ApiUsage:
    """The figures of an answer."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    ttft_s: float | None = None
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0
    elapsed_s: float = 0.0
    seed: int = -1


@dataclass(frozen=True)
class Ended:
    """The answer is whole; ``stop_reason`` as the engine says it."""

    id: int
    stop_reason: str
    usage: ApiUsage


@dataclass(frozen=True)
class Failed:
    """There is no answer, or no more of it.

    Attributes:
        status: HTTP's, for a client that has not been answered yet.
        retry_after_s: when asking again may help; 0: it will not.
    """

    id: int
    status: int
    code: str
    message: str
    hint: str = ""
    retry_after_s: int = 0


ToChild = ModelsKnown | Queued | Begun | Piece | Ended | Failed

_FROM_CHILD: dict[str, type[FromChild]] = {
    "listening": Listening,
    "not_listening": NotListening,
    "asked_for_models": AskedForModels,
    "asked": Asked,
    "gone": Gone,
    "turned_away": TurnedAway,
}
_TO_CHILD: dict[str, type[ToChild]] = {
    "models": ModelsKnown,
    "queued": Queued,
    "begun": Begun,
    "piece": Piece,
    "ended": Ended,
    "failed": Failed,
}
_EVENT_NAMES = {cls: name for name, cls in _FROM_CHILD.items()}
_OP_NAMES = {cls: name for name, cls in _TO_CHILD.items()}


def options_to_line(options: ServerOptions) -> Json:
    """Return the first line to the child."""
    return {"op": "open", **to_json(options)}


def options_from_line(line: Json) -> ServerOptions:
    """Read the first line in the child.

    Raises:
        EngineProtocolError: it is something else.
    """
    if line.pop("op", None) != "open":
        raise EngineProtocolError("The first line to the server was not 'open'.")
    return build(ServerOptions, line, strict=True)


def event_to_line(event: FromChild) -> Json:
    """Return what the child writes."""
    return {"event": _EVENT_NAMES[type(event)], **to_json(event)}


def event_from_line(line: Json) -> FromChild:
    """Read what the child wrote.

    Raises:
        EngineProtocolError: it is no event of this protocol.
    """
    event: FromChild = _read(_FROM_CHILD, line.pop("event", None), line)
    return event


def reply_to_line(reply: ToChild) -> Json:
    """Return what the parent writes."""
    return {"op": _OP_NAMES[type(reply)], **to_json(reply)}


def reply_from_line(line: Json) -> ToChild:
    """Read what the parent wrote.

    Raises:
        EngineProtocolError: it is no reply of this protocol.
    """
    reply: ToChild = _read(_TO_CHILD, line.pop("op", None), line)
    return reply


def _read(known: dict[str, Any], name: object, line: Json) -> Any:
    if not isinstance(name, str) or name not in known:
        raise EngineProtocolError(f"The server's protocol has no {str(name)[:80]!r}.")
    return build(known[name], line, strict=True)
