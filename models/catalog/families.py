"""The catalogue: cards by their name, their repositories, and a checkpoint's own words. No Qt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from models.catalog.card import Card
from models.errors import CatalogError

_MAKER = "deepseek"
_NO_WORDS = re.compile(r"[^a-z0-9]+")
# What publishers put behind a family's name in names of files and repositories.
_SIZE_KEYS = ("block_count", "embedding_length")


@dataclass(frozen=True)
class Catalog:
    """All cards, in the order in which they are shown."""

    cards: tuple[Card, ...]

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    def card(self, card_id: str) -> Card:
        """Return a card by its name.

        Raises:
            CatalogError: there is none.
        """
        for card in self.cards:
            if card.card_id == card_id:
                return card
        raise CatalogError(f'The catalogue has no card "{card_id}".')

    def of_repository(self, repository: str) -> Card | None:
        """Return the family a repository is of: by the card's own lists, else by its name."""
        wanted = repository.lower()
        for card in self.cards:
            known = (card.official, *(gguf.repository for gguf in card.gguf))
            if wanted in (name.lower() for name in known):
                return card
        return self._by_name(repository.partition("/")[2], self.cards)

    def of_checkpoint(
        self, name: str, architecture: str, *, numbers: Mapping[str, int] | None = None
    ) -> Card | None:
        """Return the family a checkpoint belongs to.

        Args:
            name: ``general.name`` of its header, or its file's name.
            architecture: ``general.architecture``.
            numbers: ``block_count`` and ``embedding_length`` of the header, to tell families of
                like names apart; None: only the name and the architecture count.

        Returns:
            None when it is of no family here, or says that it is of one whose architecture or
            size it does not have.
        """
        found = self._by_name(name, (card for card in self.cards if card.architecture))
        if found is None or not _is_architecture(found, architecture):
            return None
        return found if _has_numbers(found, numbers or {}) else None

    def _by_name(self, name: str, cards: Iterable[Card]) -> Card | None:
        """Return the card with the longest name that is part of ``name``."""
        text = _squeezed(name)
        is_distilled = _DISTILLED in text
        best: tuple[int, Card | None] = (0, None)
        for card in cards:
            for known in names_of(card):
                # What others distilled from R1 is no R1.
                if is_distilled and _DISTILLED not in known:
                    continue
                if known in text and len(known) > best[0]:
                    best = (len(known), card)
        return best[1]


def names_of(card: Card) -> tuple[str, ...]:
    """Return what names of the family contain, without signs and capitals."""
    official = card.official.partition("/")[2]
    names = {_squeezed(name) for name in (card.title, official, *card.aliases)}
    # R1-Distill-Qwen-7B says enough; V3 alone would be found in too many words.
    short = {name.removeprefix(_MAKER) for name in names}
    return tuple(sorted(names | {name for name in short if len(name) >= _LEAST_SHORT_NAME}))


_LEAST_SHORT_NAME = 6
_DISTILLED = "distill"


def _squeezed(text: str) -> str:
    return _NO_WORDS.sub("", text.lower())


def _is_architecture(card: Card, architecture: str) -> bool:
    # Files of V3.2 were also made without its indexer, as V3.
    also = {"deepseek32": "deepseek2"}.get(card.architecture, "")
    return architecture in (card.architecture, also)


def _has_numbers(card: Card, numbers: Mapping[str, int]) -> bool:
    for key in _SIZE_KEYS:
        own = card.hyperparameters.get(key)
        given = numbers.get(key)
        # MTP blocks, which not every file has, are counted with the others.
        slack = 1 if key == "block_count" else 0
        if isinstance(own, int) and given is not None and abs(own - given) > slack:
            return False
    return True
