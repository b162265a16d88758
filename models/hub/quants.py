"""Groups a repository's files into checkpoints: a shard set is one. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.gguf.shards import parse_shard_name

_SUFFIX = ".gguf"
# Files that belong to a model and are none: the vision part, and what quantizing was guided by.
_NO_CHECKPOINTS = ("mmproj", "imatrix")
# llama.cpp's names of file types (tools/quantize/quantize.cpp) and those of ik_llama.cpp, with the
# marks that publishers put before (UD-) or behind them (_XL, _R4).
_QUANT = re.compile(
    r"(?:^|[-._/ ])((?:UD-)?(?:"
    r"I?Q[1-8](?:_(?:K|[01]|X{0,3}[SML]|X?NL|K[SLT]{1,2}|R?[48]))*|TQ[12]_0"
    r"|MXFP[48](?:_MOE)?|NVFP4|BF16|FP?(?:8|16|32)))(?=$|[-._/ ])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; ``path`` as the hub writes it, with ``/``.

    ``digest`` as in ``models.transfer.remote.FileSpec``, empty when the hub gave none.
    """

    path: str
    size_bytes: int
    digest: str = ""


@dataclass(frozen=True)
class QuantFiles:
    """One checkpoint among several of the same model, by its file names alone.

    Attributes:
        name: the files' name without folder, shard number and suffix.
        quant: the quantization as the name has it, empty when it has none.
        size_bytes: of all its files that are there.
        text: what opens it.
        shards: how many files it has.
        missing: how many of them are not there.
    """

    name: str
    quant: str
    size_bytes: int
    text: str
    shards: int = 1
    missing: int = 0


def quant_name(path: str) -> str:
    """Return the quantization in a file's name or else its folder's, empty when there is none."""
    pure = PurePosixPath(path)
    for part in (_stem(pure.name), *reversed(pure.parts[:-1])):
        found = _QUANT.findall(part)
        if found:
            return str(found[-1]).upper()
    return ""


def is_checkpoint_file(path: str) -> bool:
    """Whether a file may be (a part of) a model, by its name."""
    name = PurePosixPath(path).name.lower()
    return name.endswith(_SUFFIX) and not any(word in name for word in _NO_CHECKPOINTS)


def group_quants(files: Sequence[RemoteFile], *, text_of: str) -> tuple[QuantFiles, ...]:
    """Group files into checkpoints, the smallest first.

    Args:
        files: of one repository at one commit; what is no checkpoint is left out.
        text_of: the text that opens one of them, with ``{path}`` for its path.
    """
    groups: dict[tuple[str, str, int], list[RemoteFile]] = {}
    for file in files:
        if is_checkpoint_file(file.path):
            pure = PurePosixPath(file.path)
            shard = parse_shard_name(pure.name)
            count = shard.count if shard else 1
            groups.setdefault((str(pure.parent), _stem(pure.name), count), []).append(file)
    found = [_quant(key, group, text_of) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda quant: (quant.size_bytes, quant.text)))


def _quant(key: tuple[str, str, int], group: Sequence[RemoteFile], text_of: str) -> QuantFiles:
    _, stem, count = key
    first = min(file.path for file in group)
    return QuantFiles(
        name=stem,
        quant=quant_name(first),
        size_bytes=sum(file.size_bytes for file in group),
        text=text_of.replace("{path}", first),
        shards=count,
        missing=count - len(group),
    )


def _stem(name: str) -> str:
    shard = parse_shard_name(name)
    return shard.stem if shard else name[: -len(_SUFFIX)] if _is_gguf(name) else name


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(_SUFFIX)
