"""Checkpoints of several files: NAME-00001-of-00003.gguf and so on. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import CorruptGgufError, MissingShardError
from models.gguf.header import GgufHeader

COUNT_KEY = "split.count"
NUMBER_KEY = "split.no"
TENSORS_KEY = "split.tensors.count"

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)


@dataclass(frozen=True)
class ShardName:
    """A shard's name taken apart; ``number`` counts from 1."""

    stem: str
    number: int
    count: int

    def sibling(self, number: int) -> str:
        """Return the name of another shard of the set."""
        return f"{self.stem}-{number:05d}-of-{self.count:05d}.gguf"


def parse_shard_name(name: str) -> ShardName | None:
    """Take a file name apart, None when it is not a shard's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number, count = int(match["number"]), int(match["count"])
    return ShardName(match["stem"], number, count) if 1 <= number <= count else None


def shard_count(header: GgufHeader) -> int:
    """Return how many files the checkpoint has, by its own word."""
    return max(1, header.integer(COUNT_KEY) or 1)


def shard_paths(path: Path, count: int) -> tuple[Path, ...]:
    """Return the paths of all ``count`` shards of the set that ``path`` is one of.

    Raises:
        MissingShardError: a shard is not there, or the name does not say where the others are.
    """
    name = parse_shard_name(path.name)
    if name is None or name.count != count:
        raise MissingShardError(
            f"{path.name} is one of {count} parts, but its name does not lead to the others.",
            hint=f"Give the parts names that end in -00001-of-{count:05d}.gguf and so on.",
        )
    paths = tuple(path.with_name(name.sibling(number)) for number in range(1, count + 1))
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        which = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
        raise MissingShardError(
            f"{len(missing)} of {count} parts of the checkpoint are missing: {which}.",
            hint="Put all parts into one folder.",
            details="\n".join(missing[:100]),
        )
    return paths


def check_set(headers: Sequence[GgufHeader]) -> None:
    """Check that files belong together and are all of their set, in this order.

    Raises:
        CorruptGgufError: a file is another one than its place says, or of another set.
    """
    for number, header in enumerate(headers, start=1):
        own_number = (header.integer(NUMBER_KEY) or 0) + 1
        own_count = shard_count(header)
        if (own_number, own_count) != (number, len(headers)):
            raise CorruptGgufError(
                f"{header.name} is part {own_number} of {own_count} by its content.",
                offset=header.offset_of(NUMBER_KEY),
                hint="Parts of different checkpoints were mixed or renamed; download them again.",
            )
    promised = headers[0].integer(TENSORS_KEY)
    found = sum(len(header.tensors) for header in headers)
    if len(headers) > 1 and promised is not None and promised != found:
        raise CorruptGgufError(
            f"The parts of {headers[0].name} hold {found:,} tensors instead of {promised:,}.",
            offset=headers[0].offset_of(TENSORS_KEY),
            hint="Parts of different checkpoints were mixed; download them again.",
        )
