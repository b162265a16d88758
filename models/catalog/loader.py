"""Reads the catalogue's cards from their files. No Qt here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.catalog.card import Card
from models.catalog.families import Catalog
from models.catalog.schema import read_card
from models.errors import CatalogError

CATALOG_DIR = Path(__file__).resolve().parents[2] / "resources" / "catalog"
# The newest first; a series that is not named here comes last.
SERIES = ("V4", "V3", "R1", "R1 distills", "V2", "Coder", "Math and proofs", "Vision", "LLM")
_SUFFIX = ".toml"


def load_catalog(folder: Path = CATALOG_DIR) -> Catalog:
    """Read every card.

    Raises:
        CatalogError: a file cannot be read, or a card is not sound; it names file and key.
    """
    files = sorted(path for path in folder.glob(f"*{_SUFFIX}"))
    if not files:
        raise CatalogError(f"The catalogue in {folder} is not there.", hint="Install Fathom again.")
    read = {path.stem: read_card(path.stem, path.name, _table(path)) for path in files}
    cards = {card_id: card for card_id, (card, _) in read.items()}
    shared = {card_id: other for card_id, (_, other) in read.items() if other}
    resolved = [_with_numbers(card, shared, cards) for card in cards.values()]
    return Catalog(tuple(sorted(resolved, key=_order)))


def _table(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(
            f"The catalogue card {path.name} cannot be read.", details=str(error)
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(
            f"The catalogue card {path.name} is no TOML: {error}.", hint="Install Fathom again."
        ) from error


def _with_numbers(card: Card, shared: Mapping[str, str], cards: Mapping[str, Card]) -> Card:
    """Return a card with the hyperparameters of the card that it names."""
    other = shared.get(card.card_id)
    if other is None:
        return card
    if other not in cards or other in shared:
        raise CatalogError(
            f'The catalogue card {card.card_id}{_SUFFIX} is not sound: "hyperparameters_of" names '
            f'"{other}", which has none of its own.',
            hint="Install Fathom again.",
        )
    return replace(card, hyperparameters=cards[other].hyperparameters)


def _order(card: Card) -> tuple[int, str, int, str]:
    """Sort by series, then the newest first, then the largest."""
    series = SERIES.index(card.series) if card.series in SERIES else len(SERIES)
    age = "".join(chr(255 - ord(letter)) for letter in card.released)
    return series, age, -card.parameters, card.card_id
