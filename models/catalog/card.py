"""A DeepSeek family as a card: plain data from ``resources/catalog``. No Qt, no files here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Reasoning(enum.StrEnum):
    """Whether a family thinks before it answers."""

    NONE = "none"
    ALWAYS = "always"
    SWITCHABLE = "switchable"


@dataclass(frozen=True)
class ReasoningFacts:
    """How it thinks: the tags round it, and how it is switched."""

    kind: Reasoning
    open_tag: str = ""
    close_tag: str = ""
    note: str = ""


@dataclass(frozen=True)
class SamplingAdvice:
    """What the publisher recommends; None where nothing is said."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    note: str = ""


@dataclass(frozen=True)
class GgufRepository:
    """A well-known repository of GGUF files."""

    repository: str
    note: str = ""

    @property
    def publisher(self) -> str:
        """Who made the files."""
        return self.repository.partition("/")[0]


@dataclass(frozen=True)
class KnownQuant:
    """A quantization that is known to exist; ``size_bytes`` of its files, 0 when not known."""

    name: str
    size_bytes: int = 0


@dataclass(frozen=True)
class Card:
    """One family.

    Attributes:
        card_id: the file's name without suffix, such as "r1-distill-qwen-7b".
        title: such as "DeepSeek-R1-Distill-Qwen-7B".
        series: heading it belongs to, such as "R1" or "Coder".
        purpose: what it is for, one sentence.
        released: ISO date or month.
        parameters, active_parameters: total and touched by a token.
        architecture: llama.cpp's name, such as "deepseek2"; "" when llama.cpp has none.
        n_ctx_train: context in tokens that the publisher vouches for; files may name more.
        licence: short name; ``licence_url`` its text.
        official: the publisher's own repository.
        gguf: repositories of GGUF files, the best known first.
        prompt_format: how a conversation is written out, as ``models.catalog`` describes it.
        hyperparameters: what sizes it, by llama.cpp's GGUF key names without the architecture.
        caveats: what one should know before choosing it.
        unchecked: names of fields whose fact could not be checked.
        runs: whether the llama.cpp that is built in can run it as text.
        quants: what the repositories of ``gguf`` have of it, the smallest first; empty: not known,
            the usual ones are assumed.
        aliases: other names that files of the family carry.
    """

    card_id: str
    title: str
    series: str
    purpose: str
    released: str
    parameters: int
    active_parameters: int
    architecture: str
    n_ctx_train: int
    licence: str
    licence_url: str
    official: str
    gguf: tuple[GgufRepository, ...]
    reasoning: ReasoningFacts
    sampling: SamplingAdvice
    prompt_format: str
    hyperparameters: Mapping[str, int | float | str | tuple[int, ...]] = field(repr=False)
    caveats: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    runs: bool = True
    quants: tuple[KnownQuant, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def is_moe(self) -> bool:
        """Whether only a part of it is touched by a token."""
        return self.active_parameters < self.parameters
