"""A checkpoint whose header was read, wherever its weights are: plain data. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.gguf.header import GgufHeader
from models.gguf.header_file import HeaderFile
from models.gguf.shape import ModelShape

_TEMPLATE_KEY = "tokenizer.chat_template"


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint that can be planned.

    Attributes:
        text: what it was opened by; opening that again gives the same checkpoint.
        name: for people: the header's, else the file's.
        shape: what it is made of.
        files: all shards in their order; on this machine by path, else with their headers.
        template: the chat template's text, None when there is none of a sane length.
        is_remote: whether its weights are not on this machine.
        path: the first file when it lies on this machine.
    """

    text: str
    name: str
    shape: ModelShape
    files: tuple[HeaderFile, ...] = field(repr=False)
    template: str | None = field(repr=False)
    is_remote: bool
    path: Path | None


def template_of(header: GgufHeader) -> str | None:
    """Return the chat template's text, None when there is none of a sane length."""
    return header.text(_TEMPLATE_KEY)
