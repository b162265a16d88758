"""The engine protocol's data, both directions. docs/protocol.md is authoritative. No Qt here."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

from models.errors import EngineProtocolError

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 16 * 1024 * 1024

Json = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class TensorOverride:
    """Tensors whose name matches ``pattern`` (regular expression, searched) go to ``device``."""

    pattern: str
    device: str


@dataclass(frozen=True)
class LoadSettings:
    """How a checkpoint is placed; every field as in docs/protocol.md, ``load.settings``."""

    n_ctx: int = 0
    n_batch: int = 2048
    n_ubatch: int = 512
    n_threads: int = 0
    n_threads_batch: int = 0
    devices: tuple[str, ...] | None = None
    n_gpu_layers: int = -1
    tensor_split: tuple[float, ...] = ()
    overrides: tuple[TensorOverride, ...] = ()
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: str = "auto"
    op_offload: bool = True
    offload_kqv: bool = True
    use_extra_bufts: bool = True
    no_host: bool = False
    load_mtp: bool = False
    check_tensors: bool = False
    split_mode: str = "layer"
    main_gpu: int = 0
    load_mode: str = "auto"
    n_outputs_max: int = 0
    check_room: bool = True
    rpc_hosts: tuple[str, ...] = ()
    template: str = ""


@dataclass(frozen=True)
class Sampling:
    """Sampler settings; a temperature of 0 or less means greedy, a seed of -1 means drawn."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    seed: int = -1


@dataclass(frozen=True)
class PromptMessage:
    """One message as the chat template sees it."""

    role: str
    content: str
    reasoning: str = ""


@dataclass(frozen=True)
class GenerateRequest:
    """What to answer, and how; ``max_tokens`` 0 means until the context is full.

    With ``continue_answer`` the last message is the assistant's own, and is gone on with.
    """

    messages: tuple[PromptMessage, ...]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    template_options: dict[str, Any] = field(default_factory=dict)
    continue_answer: bool = False


@dataclass(frozen=True)
class DevicesRequest:
    """Which devices there are; those of the RPC hosts (``host:port``) are made known first."""

    rpc_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchRequest:
    """What to measure on the loaded checkpoint; every field as in docs/protocol.md, ``bench``."""

    depths: tuple[int, ...] = (0,)
    prompt_tokens: int = 512
    answer_tokens: int = 32
    repeats: int = 3
    limit_s: float = 0.0


@dataclass(frozen=True)
class BenchResult:
    """The speeds at one depth; ``prefill_s`` and ``decode_s`` hold one value per repeat.

    ``decode_s`` is the median time of a token in that repeat.
    """

    n_past: int
    prompt_tokens: int
    answer_tokens: int
    prefill_s: tuple[float, ...]
    decode_s: tuple[float, ...]
    prefill_tok_s: float
    decode_tok_s: float


@dataclass(frozen=True)
class LinkRate:
    """What copying to a device reaches from pinned memory, in bytes/s."""

    device: str
    bytes_s: float


@dataclass(frozen=True)
class Device:
    """A compute device as ggml lists it.

    ``remote`` is what an RPC host computes with as far as it can be told, ``cuda`` or ``cpu``;
    empty for devices of this machine.
    """

    name: str
    description: str
    kind: str
    backend: str
    total_bytes: int
    free_bytes: int
    remote: str = ""


@dataclass(frozen=True)
class DeviceMemory:
    """What the loaded checkpoint holds on one device, in bytes."""

    name: str
    kind: str
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    output_bytes: int = 0
    source: str = "llama.cpp"

    @property
    def total_bytes(self) -> int:
        """All four parts together."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.output_bytes


@dataclass(frozen=True)
class ModelInfo:
    """What the engine says about the checkpoint it loaded."""

    path: str
    name: str
    architecture: str
    parameters: int
    size_bytes: int
    n_ctx_train: int
    n_layer: int
    n_vocab: int
    template_source: str
    quantization: str


@dataclass(frozen=True)
class Stats:
    """The live figures, streamed at 2 Hz while a request runs."""

    phase: str
    prefill_tokens_done: int = 0
    prefill_tokens_total: int = 0
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0
    decode_mean_tok_s: float = 0.0
    ttft_s: float | None = None
    completion_tokens: int = 0
    context_used: int = 0
    context_total: int = 0
    devices: tuple[DeviceMemory, ...] = ()
    rss_bytes: int = 0
    peak_rss_bytes: int = 0


@dataclass(frozen=True)
class Usage:
    """The figures of one finished or cancelled answer."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    ttft_s: float | None = None
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0
    elapsed_s: float = 0.0
    seed: int = -1
    context_used: int = 0
    context_total: int = 0
    devices: tuple[DeviceMemory, ...] = ()
    peak_rss_bytes: int = 0


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The child's first words."""

    protocol: int
    app_version: str
    engine: str
    engine_version: str
    pid: int


@dataclass(frozen=True)
class AddonState:
    """An add-on that is there; ``problem`` says why it is not used, and is empty when it is."""

    name: str
    title: str
    version: str
    problem: str


@dataclass(frozen=True)
class DeviceList:
    """Answer to ``devices``; ``rpc_problems`` says why devices of an RPC host are missing."""

    devices: tuple[Device, ...]
    cpu_features: tuple[str, ...]
    backends: tuple[str, ...]
    system_info: str
    rpc_problems: tuple[str, ...] = ()
    addons: tuple[AddonState, ...] = ()


@dataclass(frozen=True)
class LoadProgress:
    """How far a load is; ``eta_s`` is None while unknown."""

    stage: str
    bytes_done: int
    bytes_total: int
    elapsed_s: float
    eta_s: float | None


@dataclass(frozen=True)
class Loaded:
    """A checkpoint is ready; ``settings`` as applied."""

    model: ModelInfo
    devices: tuple[DeviceMemory, ...]
    settings: LoadSettings
    warnings: tuple[str, ...]
    elapsed_s: float


@dataclass(frozen=True)
class Unloaded:
    """The checkpoint's memory is free again."""


@dataclass(frozen=True)
class Started:
    """The prompt is rendered and tokenized; prefill begins."""

    prompt_tokens: int
    reused_tokens: int
    reasoning_open: bool


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer; ``tokens`` is how many tokens it covers."""

    text: str
    reasoning: str
    tokens: int


@dataclass(frozen=True)
class StatsEvent:
    """Live figures."""

    stats: Stats


@dataclass(frozen=True)
class Done:
    """An answer is finished."""

    stop_reason: str
    usage: Usage


@dataclass(frozen=True)
class BenchProgress:
    """How far a ``bench`` is, in tokens to compute."""

    tokens_done: int
    tokens_total: int
    elapsed_s: float
    eta_s: float | None


@dataclass(frozen=True)
class Benched:
    """A ``bench`` is finished; depths that the context has no room for are left out."""

    results: tuple[BenchResult, ...]
    n_threads: int
    elapsed_s: float


@dataclass(frozen=True)
class Streams:
    """Answer to ``streams``; None where something could not be measured."""

    ram_bytes_s: float | None
    disk_bytes_s: float | None
    links: tuple[LinkRate, ...]


@dataclass(frozen=True)
class Cancelled:
    """A request was cancelled; ``usage`` is set when it was a ``generate``."""

    usage: Usage | None


@dataclass(frozen=True)
class CancelAccepted:
    """Answer to ``cancel``; ``found`` is false when the target was not running or waiting."""

    target: int
    found: bool


@dataclass(frozen=True)
class Pong:
    """Answer to ``ping``."""


@dataclass(frozen=True)
class Bye:
    """Answer to ``shutdown``; the child exits with 0."""


@dataclass(frozen=True)
class ErrorEvent:
    """A request failed; see ``models.errors.error_from_json``.

    ``still_loaded`` is for a failed ``load``: the checkpoint from before is still there.
    """

    code: str
    message: str
    hint: str = ""
    details: str = ""
    still_loaded: bool = False


@dataclass(frozen=True)
class Log:
    """A line for the log."""

    level: str
    text: str


EventBody = (
    Hello
    | DeviceList
    | LoadProgress
    | Loaded
    | Unloaded
    | Started
    | Delta
    | StatsEvent
    | Done
    | BenchProgress
    | Benched
    | Streams
    | Cancelled
    | CancelAccepted
    | Pong
    | Bye
    | ErrorEvent
    | Log
)

_EVENT_NAMES: dict[type, str] = {
    Hello: "hello",
    DeviceList: "devices",
    LoadProgress: "load_progress",
    Loaded: "loaded",
    Unloaded: "unloaded",
    Started: "started",
    Delta: "delta",
    StatsEvent: "stats",
    Done: "done",
    BenchProgress: "bench_progress",
    Benched: "benched",
    Streams: "streams",
    Cancelled: "cancelled",
    CancelAccepted: "cancel_accepted",
    Pong: "pong",
    Bye: "bye",
    ErrorEvent: "error",
    Log: "log",
}
_EVENT_TYPES = {name: cls for cls, name in _EVENT_NAMES.items()}
FINAL_EVENTS = (
    DeviceList,
    Loaded,
    Unloaded,
    Done,
    Benched,
    Streams,
    Cancelled,
    CancelAccepted,
    Pong,
    Bye,
    ErrorEvent,
)


@dataclass(frozen=True)
class Event:
    """One line from the child: the request it belongs to (None: no request) and its body."""

    request_id: int | None
    body: EventBody

    @property
    def is_final(self) -> bool:
        """Whether this ends its request."""
        return isinstance(self.body, FINAL_EVENTS)


@dataclass(frozen=True)
class Request:
    """One line to the child. ``fields`` is JSON-ready."""

    id: int
    op: str
    fields: Json


def to_json(value: Any) -> Any:
    """Turn a protocol dataclass into plain JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def event_to_json(event: Event) -> Json:
    """Return an event as the object of its line."""
    body: Json = to_json(event.body)
    if isinstance(event.body, StatsEvent):
        body = body["stats"]
    elif isinstance(event.body, (Done, Cancelled)):
        usage = body.pop("usage")
        body.update(usage or {})
    return {"event": _EVENT_NAMES[type(event.body)], "id": event.request_id, **body}


def event_from_json(data: Json) -> Event:
    """Rebuild an event.

    Raises:
        EngineProtocolError: the object is not an event of this protocol.
    """
    from models.runtime.wire import build

    request_id = data.get("id")
    if request_id is not None and not isinstance(request_id, int):
        raise EngineProtocolError("The engine sent an event with a malformed id.")
    cls = _EVENT_TYPES.get(str(data.get("event")))
    if cls is None:
        raise EngineProtocolError("The engine sent an unknown event.", details=repr(data)[:500])
    body = {key: value for key, value in data.items() if key not in ("event", "id")}
    if cls is StatsEvent:
        body = {"stats": body}
    elif cls is Done:
        body = {"stop_reason": body.pop("stop_reason", ""), "usage": body}
    elif cls is Cancelled:
        body = {"usage": body or None}
    return Event(request_id, build(cls, body, strict=False))


def encode_line(data: Json) -> bytes:
    """Return one protocol line, newline included."""
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        # A path whose name is not UTF-8 holds lone surrogates; escaped, they survive the pipe.
        return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> Json:
    """Parse one protocol line.

    Raises:
        EngineProtocolError: it is not one JSON object, or it is too long.
    """
    if len(line) > MAX_LINE_BYTES:
        raise EngineProtocolError("A protocol line is longer than 16 MiB.")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EngineProtocolError(
            "A protocol line is not JSON.", details=repr(line[:200])
        ) from error
    if not isinstance(data, dict):
        raise EngineProtocolError("A protocol line is not an object.", details=repr(line[:200]))
    return data
