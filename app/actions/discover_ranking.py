"""Which families come first, and under which heading they stand. No Qt here."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.catalog.card import Card, Reasoning
from models.planner.compare import COMFORTABLE_TOK_S, Where
from models.planner.plan import SENSIBLE_TOK_S

if TYPE_CHECKING:
    from models.planning.judgement import Judgement

# Somebody who waits for thoughts waits for a thousand tokens before the answer begins.
_COMFORTABLE_THINKING_TOK_S = 15.0
_QUICK_TOK_S = 30.0
_FIRST_YEAR = 2023.0
# Models have become as good as ones of twice the size once every half year (Xiao et al.,
# "Densing Law of LLMs", arXiv 2412.04315: 3.3 months at the front; half of that pace here).
_DOUBLINGS_A_YEAR = 2.0
# Below four bits a weight quality goes; a whole point for each bit.
_GOOD_BITS = 4.0
# For each halving of a comfortable rate, and for what has to be read from the disk.
_SLOWNESS = 1.5
_FROM_DISK = 1.0
_CODE_SERIES = "coder"
# Made for one thing and not for a conversation.
_SPECIAL_SERIES = ("coder", "math", "prover", "proofs", "vision", "vl2", "ocr")


class Group(enum.StrEnum):
    """Where a family would live on this machine."""

    GPU = "gpu"
    EXPERTS_IN_RAM = "experts_in_ram"
    LAYERS_IN_RAM = "layers_in_ram"
    RAM = "ram"
    DISK = "disk"
    NOWHERE = "nowhere"
    UNJUDGED = "unjudged"


class Purpose(enum.StrEnum):
    """What one of the few that are shown first is best at."""

    ANSWERS = "answers"
    QUICK = "quick"
    CODE = "code"


class SortFamilies(enum.StrEnum):
    """How the families of a group are ordered."""

    BEST = "best"
    NEWEST = "newest"
    FASTEST = "fastest"
    SMALLEST = "smallest"


class FilterFamilies(enum.StrEnum):
    """Which families are shown."""

    ALL = "all"
    FITS = "fits"
    THINKS = "thinks"
    CODE = "code"


@dataclass(frozen=True)
class Pick:
    """A family that is shown first."""

    card: Card
    purpose: Purpose


def group_of(card: Card, judged: Judgement | None) -> Group:
    """Return the heading that a family stands under."""
    if judged is None or judged.where is None:
        return Group.UNJUDGED
    if judged.where is Where.GPU_AND_RAM:
        return Group.EXPERTS_IN_RAM if card.is_moe else Group.LAYERS_IN_RAM
    return Group(judged.where.value)


def quality(card: Card, judged: Judgement | None = None) -> float:
    """Return a rough order of how good a family's answers are; one more is twice the size.

    The size that counts is the geometric mean of all and of the active parameters, the usual rule
    of thumb for mixtures of experts; newer families get more out of the same size.
    """
    size = math.sqrt(max(card.parameters, 1) * max(card.active_parameters, 1))
    points = math.log2(size / 1e9) + _DOUBLINGS_A_YEAR * (released_year(card) - _FIRST_YEAR)
    if judged is not None and judged.size_bytes and card.parameters:
        bits = judged.size_bytes * 8 / card.parameters
        points -= max(_GOOD_BITS - bits, 0.0)
    return points


def released_year(card: Card) -> float:
    """Return the release as a year with its fraction; the first year where it is not known."""
    parts = card.released.split("-")
    try:
        year = float(parts[0])
        month = float(parts[1]) if len(parts) > 1 else 1.0
    except ValueError:
        return _FIRST_YEAR
    return year + (month - 1) / 12


def rate_tok_s(judged: Judgement | None) -> float:
    """Return the predicted rate, 0 where nothing runs."""
    if judged is None or judged.plan is None or not judged.plan.fits:
        return 0.0
    rate = judged.plan.speed.decode.mid
    return rate if math.isfinite(rate) else 0.0


def worth(card: Card, judged: Judgement | None) -> float:
    """Return how good a family is on this machine: its quality, less what one has to wait."""
    points, rate = quality(card, judged), rate_tok_s(judged)
    if judged is None or not rate:
        return points
    thinks = card.reasoning.kind is Reasoning.ALWAYS
    comfortable = _COMFORTABLE_THINKING_TOK_S if thinks else COMFORTABLE_TOK_S
    points -= _SLOWNESS * max(math.log2(comfortable / rate), 0.0)
    return points - (_FROM_DISK if judged.where is Where.DISK else 0.0)


def is_sensible(judged: Judgement | None) -> bool:
    """Whether somebody could want to run it."""
    return rate_tok_s(judged) >= SENSIBLE_TOK_S


def is_special(card: Card) -> bool:
    """Whether a family was made for one thing, such as code or proofs."""
    words = f"{card.series} {card.card_id}".lower()
    return any(word in words for word in _SPECIAL_SERIES)


def is_for_code(card: Card) -> bool:
    """Whether a family was made to write programs."""
    return _CODE_SERIES in f"{card.series} {card.card_id}".lower()


def picks(cards: Sequence[Card], judged: Mapping[str, Judgement]) -> tuple[Pick, ...]:
    """Return the few families to begin with: at most one for each purpose, the first the best.

    Empty where nothing runs at a sensible rate.
    """
    usable = [card for card in cards if card.gguf and is_sensible(judged.get(card.card_id))]
    general = [card for card in usable if not is_special(card)]
    found: list[Pick] = []
    best = _best(general, judged)
    if best is not None:
        found.append(Pick(best, Purpose.ANSWERS))
    quick = _best([c for c in general if rate_tok_s(judged.get(c.card_id)) >= _QUICK_TOK_S], judged)
    best_rate = rate_tok_s(judged.get(best.card_id)) if best else 0.0
    if quick is not None and quick is not best and best_rate < _QUICK_TOK_S:
        found.append(Pick(quick, Purpose.QUICK))
    code = _best([card for card in usable if is_for_code(card)], judged)
    if code is not None:
        found.append(Pick(code, Purpose.CODE))
    return tuple(found)


def _best(cards: Iterable[Card], judged: Mapping[str, Judgement]) -> Card | None:
    return max(cards, key=lambda card: worth(card, judged.get(card.card_id)), default=None)


def arranged(
    cards: Iterable[Card],
    judged: Mapping[str, Judgement],
    sort: SortFamilies = SortFamilies.BEST,
) -> dict[Group, list[Card]]:
    """Return the families under their headings, in the order of ``Group``; empty ones left out."""
    groups: dict[Group, list[Card]] = {group: [] for group in Group}
    for card in cards:
        groups[group_of(card, judged.get(card.card_id))].append(card)
    for members in groups.values():
        members.sort(key=lambda card: _key(card, judged.get(card.card_id), sort))
    return {group: members for group, members in groups.items() if members}


def _key(card: Card, judged: Judgement | None, sort: SortFamilies) -> tuple[bool, float, str]:
    # Who looks for the best one wants to talk to it.
    is_last = sort is SortFamilies.BEST and is_special(card) and not is_for_code(card)
    points = {
        SortFamilies.BEST: lambda: worth(card, judged),
        SortFamilies.NEWEST: lambda: released_year(card),
        SortFamilies.FASTEST: lambda: rate_tok_s(judged),
        SortFamilies.SMALLEST: lambda: (
            -float(judged.size_bytes if judged and judged.size_bytes else card.parameters)
        ),
    }[sort]()
    return is_last, -points, card.title.lower()


def is_shown(
    card: Card, judged: Judgement | None, words: str, chosen: FilterFamilies = FilterFamilies.ALL
) -> bool:
    """Whether a family passes the search words and the filter."""
    text = " ".join(
        (card.title, card.series, card.purpose, card.card_id, card.official, card.architecture)
    ).lower()
    if not all(word in text for word in words.lower().split()):
        return False
    if chosen is FilterFamilies.FITS:
        return judged is not None and judged.where not in (None, Where.NOWHERE)
    if chosen is FilterFamilies.THINKS:
        return card.reasoning.kind is not Reasoning.NONE
    if chosen is FilterFamilies.CODE:
        return is_for_code(card)
    return True
