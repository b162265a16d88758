"""What a card file may say: every key, its type and bounds. No Qt, no files here."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from models.catalog.card import (
    Card,
    GgufRepository,
    KnownQuant,
    Reasoning,
    ReasoningFacts,
    SamplingAdvice,
)
from models.catalog.prompt_format import format_ids
from models.errors import CatalogError

_T = TypeVar("_T")
Number = int | float | str | tuple[int, ...]

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_RELEASED = re.compile(r"\d{4}-\d{2}(-\d{2})?", re.ASCII)
_MOST_PARAMETERS = 10**14
_MOST_TOKENS = 2**32
_MOST_BYTES = 2**50
_HOTTEST = 2.0


class Fields:
    """Takes the keys out of a table of a card's file; what is left at the end is refused."""

    def __init__(self, source: str, table: Mapping[str, Any], prefix: str = "") -> None:
        self._source = source
        self._left = dict(table)
        self._prefix = prefix

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default it has to be there and not be empty."""
        value = self._taken(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.refuse(key, "is not a text" if not isinstance(value, str) else "is empty")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], what: str) -> str:
        """Return a text of a certain form."""
        text = self.text(key)
        if not pattern.fullmatch(text):
            self.refuse(key, f"is not {what}")
        return text

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number within bounds."""
        value = self._taken(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, f"is not a whole number from {low:,} to {high:,}")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """Return a number within bounds, None when it is not there."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            self.refuse(key, f"is not a number from {low} to {high}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a yes or no."""
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "is neither true nor false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty when it is not there."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(x, str) and x for x in value):
            self.refuse(key, "is not a list of texts")
        return tuple(value)

    def table(self, key: str) -> Fields:
        """Return a table of its own; a missing one is empty."""
        value = self._left.pop(key, {})
        if not isinstance(value, dict):
            self.refuse(key, "is not a table")
        return Fields(self._source, value, f"{self._prefix}{key}.")

    def tables(self, key: str, read: Callable[[Fields], _T]) -> tuple[_T, ...]:
        """Return a list of tables, each as ``read`` understands it."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(x, dict) for x in value):
            self.refuse(key, "is not a list of tables")
        found = []
        for number, table in enumerate(value):
            fields = Fields(self._source, table, f"{self._prefix}{key}[{number}].")
            found.append(read(fields))
            fields.end()
        return tuple(found)

    def numbers(self) -> Mapping[str, Number]:
        """Return everything that is left, nested tables as keys with dots."""
        found = dict(self._flat(self._left, ""))
        self._left = {}
        return found

    def refuse(self, key: str, what: str) -> NoReturn:
        """Raise for a key."""
        raise CatalogError(
            f'The catalogue card {self._source} is not sound: "{self._prefix}{key}" {what}.',
            hint="Install Fathom again.",
        )

    def end(self) -> None:
        """Refuse what nobody took."""
        for key in self._left:
            self.refuse(key, "is no key of a card")

    def _taken(self, key: str, default: object) -> Any:
        if key not in self._left and default is None:
            self.refuse(key, "is missing")
        return self._left.pop(key, default)

    def _flat(self, table: Mapping[str, Any], prefix: str) -> list[tuple[str, Number]]:
        found: list[tuple[str, Number]] = []
        for key, value in table.items():
            if isinstance(value, dict):
                found += self._flat(value, f"{prefix}{key}.")
            elif isinstance(value, list) and all(type(x) is int for x in value):
                found.append((prefix + key, tuple(value)))
            elif isinstance(value, int | float | str):
                found.append((prefix + key, value))
            else:
                self.refuse(prefix + key, "is neither a number, a text nor a list of numbers")
        return found


def read_card(card_id: str, source: str, data: Mapping[str, Any]) -> tuple[Card, str]:
    """Return a card, and the name of the card that it has its hyperparameters from (or nothing).

    Raises:
        CatalogError: a key is missing, of another type, out of bounds or unknown.
    """
    fields = Fields(source, data)
    shared = fields.text("hyperparameters_of", "")
    card = Card(
        card_id=card_id,
        title=fields.text("title"),
        series=fields.text("series"),
        purpose=fields.text("purpose"),
        released=_released(fields),
        parameters=fields.whole("parameters", 1, _MOST_PARAMETERS),
        active_parameters=fields.whole("active_parameters", 1, _MOST_PARAMETERS),
        architecture=fields.text("architecture", ""),
        n_ctx_train=fields.whole("n_ctx_train", 1, _MOST_TOKENS),
        licence=fields.text("licence"),
        licence_url=fields.text("licence_url", ""),
        official=fields.matching("official", _REPOSITORY, "a repository (owner/name)"),
        gguf=fields.tables("gguf", _gguf),
        reasoning=_reasoning(fields),
        sampling=_sampling(fields),
        prompt_format=fields.text("prompt_format"),
        hyperparameters=fields.table("hyperparameters").numbers(),
        caveats=fields.texts("caveats"),
        unchecked=fields.texts("unchecked"),
        runs=fields.flag("runs", default=True),
        quants=fields.tables("quants", _quant),
        aliases=fields.texts("aliases"),
    )
    fields.end()
    _check(card, fields, shared)
    return card, shared


def _released(fields: Fields) -> str:
    released = fields.matching("released", _RELEASED, "a date (2025-01-20) or month (2025-01)")
    try:
        datetime.date.fromisoformat(released if released.count("-") > 1 else f"{released}-01")
    except ValueError:
        fields.refuse("released", "is not a date")
    return released


def _gguf(fields: Fields) -> GgufRepository:
    repository = fields.matching("repository", _REPOSITORY, "a repository (owner/name)")
    return GgufRepository(repository, fields.text("note", ""))


def _quant(fields: Fields) -> KnownQuant:
    return KnownQuant(fields.text("name"), fields.whole("size_bytes", 0, _MOST_BYTES, 0))


def _reasoning(fields: Fields) -> ReasoningFacts:
    table = fields.table("reasoning")
    kind = table.text("kind")
    if kind not in [known.value for known in Reasoning]:
        table.refuse("kind", f"is none of {', '.join(Reasoning)}")
    facts = ReasoningFacts(
        kind=Reasoning(kind),
        open_tag=table.text("open_tag", ""),
        close_tag=table.text("close_tag", ""),
        note=table.text("note", ""),
    )
    if (facts.kind is not Reasoning.NONE) != bool(facts.open_tag and facts.close_tag):
        table.refuse("open_tag", "does not go with the kind: one that reasons has both tags")
    table.end()
    return facts


def _sampling(fields: Fields) -> SamplingAdvice:
    table = fields.table("sampling")
    top_k = table.whole("top_k", 0, _MOST_TOKENS, 0)
    advice = SamplingAdvice(
        temperature=table.number("temperature", 0.0, _HOTTEST),
        top_p=table.number("top_p", 0.0, 1.0),
        top_k=top_k or None,
        min_p=table.number("min_p", 0.0, 1.0),
        note=table.text("note", ""),
    )
    table.end()
    return advice


def _check(card: Card, fields: Fields, shared: str) -> None:
    """Refuse a card that contradicts itself."""
    if card.active_parameters > card.parameters:
        fields.refuse("active_parameters", "is more than all parameters")
    if card.prompt_format not in format_ids():
        fields.refuse("prompt_format", f"is none of {', '.join(format_ids())}")
    if card.runs and not card.architecture:
        fields.refuse("architecture", "is missing although llama.cpp can run it")
    if bool(shared) and bool(card.hyperparameters):
        fields.refuse("hyperparameters_of", "is there beside hyperparameters of its own")
    if card.runs and not shared and not card.hyperparameters:
        fields.refuse("hyperparameters", "is missing although llama.cpp can run it")
    if "\n" in card.purpose or not card.purpose.endswith("."):
        fields.refuse("purpose", "is not one sentence")
