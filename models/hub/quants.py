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
# How publishers name the pieces of a file that was too large for the hub in one; the pieces are no
# GGUF files and must be joined, unlike shards.
_CUT = re.compile(
    r"(?P<whole>.+\.gguf)[.-](?:part-?[0-9]+(?:-?of-?[0-9]+)?|split-[a-z]+|a[a-z])", re.IGNORECASE
)

# Folder, name without shard number, and how many shards.
_Key = tuple[str, str, int]


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
        path: of its first file, as the hub or the folder has it; empty when not known.
    """

    name: str
    quant: str
    size_bytes: int
    text: str
    shards: int = 1
    missing: int = 0
    path: str = ""


@dataclass(frozen=True)
class CutCheckpoint:
    """A checkpoint that cannot be used as it lies on the hub: pieces that must be joined first."""

    name: str
    quant: str
    size_bytes: int
    paths: tuple[str, ...]


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
    groups: dict[_Key, list[RemoteFile]] = {}
    for file in files:
        if is_checkpoint_file(file.path):
            groups.setdefault(_key(file.path), []).append(file)
    found = [_quant(key, group, text_of) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda quant: (quant.size_bytes, quant.text)))


def files_of_quant(quant: QuantFiles, files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Return the files of a checkpoint that ``group_quants`` found in ``files``, in their order."""
    key = _key(quant.path)
    same = (file for file in files if is_checkpoint_file(file.path) and _key(file.path) == key)
    return tuple(sorted(same, key=lambda file: file.path))


def quant_of_file(
    path: str, quants: Sequence[QuantFiles], files: Sequence[RemoteFile]
) -> QuantFiles | None:
    """Return the checkpoint that a file belongs to, None when to none.

    Args:
        path: as the hub has it; where no file is called just so, its case does not matter.
    """
    named = [file for file in files if file.path.lower() == path.lower()]
    found = next((file for file in named if file.path == path), named[0] if named else None)
    if found is None or not is_checkpoint_file(found.path):
        return None
    key = _key(found.path)
    return next((quant for quant in quants if _key(quant.path) == key), None)


def cut_checkpoints(files: Sequence[RemoteFile]) -> tuple[CutCheckpoint, ...]:
    """Return the checkpoints that were cut into pieces by hand (``.gguf.part1of2``)."""
    groups: dict[str, list[RemoteFile]] = {}
    for file in files:
        match = _CUT.fullmatch(file.path)
        if match:
            groups.setdefault(match["whole"], []).append(file)
    return tuple(
        CutCheckpoint(
            name=_stem(PurePosixPath(whole).name),
            quant=quant_name(whole),
            size_bytes=sum(file.size_bytes for file in group),
            paths=tuple(sorted(file.path for file in group)),
        )
        for whole, group in sorted(groups.items())
    )


def _key(path: str) -> _Key:
    pure = PurePosixPath(path)
    shard = parse_shard_name(pure.name)
    return str(pure.parent), _stem(pure.name), shard.count if shard else 1


def _quant(key: _Key, group: Sequence[RemoteFile], text_of: str) -> QuantFiles:
    _, stem, count = key
    first = min(file.path for file in group)
    return QuantFiles(
        name=stem,
        quant=quant_name(first),
        size_bytes=sum(file.size_bytes for file in group),
        text=text_of.replace("{path}", first),
        shards=count,
        missing=count - len(group),
        path=first,
    )


def _stem(name: str) -> str:
    shard = parse_shard_name(name)
    return shard.stem if shard else name[: -len(_SUFFIX)] if _is_gguf(name) else name


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(_SUFFIX)
