"""The transfer protocol's data, both directions. docs/transfer.md is authoritative. No Qt here.

The lines are those of the engine protocol (one JSON object each); only what they mean differs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import EngineProtocolError, FathomError, error_from_json
from models.runtime.protocol import Json, decode_line, to_json
from models.runtime.wire import build
from models.transfer.events import TransferSettings
from models.transfer.job import FileState, FileView, JobFailure, JobSpec, JobState, JobView

TRANSFER_PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class FileLine:
    """Where a file of a job stands; files come in the order of the spec."""

    state: FileState
    bytes_done: int


@dataclass(frozen=True)
class JobLine:
    """One download; ``spec`` is left out when this child has sent it before."""

    job_id: str
    state: JobState
    position: int
    bytes_done: int
    rate_bytes_s: float
    eta_s: float | None
    bytes_refetched: int
    waits_until_s: float | None
    why: str
    failure: JobFailure | None
    files: tuple[FileLine, ...]
    spec: dict[str, Any] | None = None


@dataclass(frozen=True)
class HelloLine:
    """The child's first words."""

    protocol: int
    app_version: str
    pid: int


@dataclass(frozen=True)
class QueueLine:
    """All downloads, in their order."""

    jobs: tuple[JobLine, ...]


@dataclass(frozen=True)
class GoneLine:
    """A download has left the list."""

    job_id: str


@dataclass(frozen=True)
class AcceptedLine:
    """A request was taken and, where it changes the queue, is written down."""

    id: int


@dataclass(frozen=True)
class RefusedLine:
    """A request cannot be done."""

    id: int | None
    code: str
    message: str
    hint: str = ""
    details: str = ""

    def error(self) -> FathomError:
        """Return the error it carries."""
        return error_from_json(to_json(self))


@dataclass(frozen=True)
class TroubleLine:
    """The queue cannot be written (an empty ``code``: it can again)."""

    code: str
    message: str = ""
    hint: str = ""
    details: str = ""

    def error(self) -> FathomError | None:
        """Return the error it carries."""
        return error_from_json(to_json(self)) if self.code else None


@dataclass(frozen=True)
class ByeLine:
    """The child ends now."""


TransferLine = (
    HelloLine | QueueLine | JobLine | GoneLine | AcceptedLine | RefusedLine | TroubleLine | ByeLine
)

_NAMES: dict[type, str] = {
    HelloLine: "hello",
    QueueLine: "queue",
    JobLine: "job",
    GoneLine: "gone",
    AcceptedLine: "accepted",
    RefusedLine: "refused",
    TroubleLine: "trouble",
    ByeLine: "bye",
}
_TYPES = {name: cls for cls, name in _NAMES.items()}


def line_to_json(line: TransferLine) -> Json:
    """Return an event as the object of its line."""
    return {"event": _NAMES[type(line)], **to_json(line)}


def line_from_bytes(data: bytes) -> TransferLine:
    """Rebuild an event.

    Raises:
        EngineProtocolError: the line is no event of this protocol.
    """
    fields = decode_line(data)
    cls = _TYPES.get(str(fields.pop("event", None)))
    if cls is None:
        raise EngineProtocolError("The transfer child sent an unknown event.")
    line: TransferLine = build(cls, fields, strict=False)
    return line


# --- downloads ----------------------------------------------------------------------------------


def path_text(path: Path) -> str:
    """Return a path as text that means the same file whatever the reader's locale is."""
    if sys.platform == "win32":
        return str(path)
    # A name that is not UTF-8 becomes lone surrogates, which JSON carries escaped.
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_from_text(text: str) -> Path:
    """Return the path that ``path_text`` wrote down."""
    if sys.platform == "win32":
        return Path(text)
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))


def spec_to_json(spec: JobSpec) -> Json:
    """Return a spec as plain JSON data."""
    data: Json = to_json(spec)
    return {**data, "root": path_text(spec.root), "folder": path_text(spec.folder)}


def spec_from_json(data: Any) -> JobSpec:
    """Rebuild a spec.

    Raises:
        EngineProtocolError: a field is missing or of another type.
    """
    if not isinstance(data, dict):
        raise EngineProtocolError("A spec must be an object.")
    try:
        paths = {name: path_from_text(data[name]) for name in ("root", "folder")}
    except (KeyError, AttributeError, ValueError) as error:
        raise EngineProtocolError("A spec lacks its folders.", details=str(error)) from error
    spec = build(JobSpec, {**data, **paths}, strict=False)
    if not spec.files:
        raise EngineProtocolError("A spec has no files.")
    return spec


def settings_to_json(settings: TransferSettings) -> Json:
    """Return settings as plain JSON data; the token is in it."""
    data: Json = to_json(settings)
    return {**data, "roots": [path_text(root) for root in settings.roots]}


def settings_from_json(data: Any) -> TransferSettings:
    """Rebuild settings.

    Raises:
        EngineProtocolError: a field is of another type.
    """
    if not isinstance(data, dict) or not isinstance(data.get("roots", []), list):
        raise EngineProtocolError("The settings must be an object.")
    roots = [path_from_text(str(root)) for root in data.get("roots", [])]
    return build(TransferSettings, {**data, "roots": roots}, strict=True)


def job_line(view: JobView, *, with_spec: bool) -> JobLine:
    """Return a view as it crosses the pipe."""
    return JobLine(
        job_id=view.job_id,
        state=view.state,
        position=view.position,
        bytes_done=view.bytes_done,
        rate_bytes_s=round(view.rate_bytes_s, 1),
        eta_s=None if view.eta_s is None else round(view.eta_s, 1),
        bytes_refetched=view.bytes_refetched,
        waits_until_s=view.waits_until_s,
        why=view.why,
        failure=view.failure,
        files=tuple(FileLine(file.state, file.bytes_done) for file in view.files),
        spec=spec_to_json(view.spec) if with_spec else None,
    )


def view_of_line(line: JobLine, known: JobSpec | None) -> JobView:
    """Return the view that a line stands for.

    Args:
        line: what came.
        known: the spec that came earlier.

    Raises:
        EngineProtocolError: the spec never came, or the files are not those of the spec.
    """
    spec = spec_from_json(line.spec) if line.spec is not None else known
    if spec is None or spec.job_id != line.job_id:
        raise EngineProtocolError("The transfer child sent a download without its spec.")
    if len(line.files) != len(spec.files):
        raise EngineProtocolError("The transfer child sent a download with other files.")
    files = tuple(
        FileView(file.target, stand.state, stand.bytes_done, file.size_bytes)
        for file, stand in zip(spec.files, line.files, strict=True)
    )
    return JobView(
        spec=spec,
        state=line.state,
        position=line.position,
        bytes_done=line.bytes_done,
        rate_bytes_s=line.rate_bytes_s,
        eta_s=line.eta_s,
        bytes_refetched=line.bytes_refetched,
        waits_until_s=line.waits_until_s,
        why=line.why,
        failure=line.failure,
        files=files,
    )
