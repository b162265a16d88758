"""What the plan panel shows, as plain data: words, figures, controls. No planning here, no Qt.

``make_plan_view`` (plan_words.py) makes it from a plan; the panel only paints it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from app.widgets.device_bar import BarPart
from app.widgets.device_bars import DeviceRowView
from models.planner.wishes import Wishes


class PlanPhase(enum.StrEnum):
    """How far it is.

    EMPTY: no checkpoint is chosen. OPENING: its header is being read. PLANNING: the first plan is
    being made. READY: there is a plan. FAILED: it cannot be planned; the error says why.
    """

    EMPTY = "empty"
    OPENING = "opening"
    PLANNING = "planning"
    READY = "ready"
    FAILED = "failed"


class LoadPhase(enum.StrEnum):
    """What became of this plan: nothing yet, being loaded, or what is loaded now.

    OTHER: this checkpoint is loaded, but with other settings.
    """

    NONE = "none"
    LOADING = "loading"
    LOADED = "loaded"
    OTHER = "other"


class ControlKind(enum.StrEnum):
    """How a value is changed."""

    CONTEXT = "context"
    SLIDER = "slider"
    CHOICE = "choice"
    SWITCH = "switch"
    FIXED_ONLY = "fixed_only"


@dataclass(frozen=True)
class ChoiceView:
    """One value of a choice; ``why_not`` is why it cannot be chosen here."""

    value: str
    text: str
    why_not: str = ""


@dataclass(frozen=True)
class ControlView:
    """A control with its present value.

    Attributes:
        key: as in plan_wishes.py.
        value: tokens, count, percent, the value of a choice, or 0 and 1 of a switch.
        is_fixed: fixed by the user; None where there is nothing to release (the profile).
        words: the value in words, at the right of the title.
        note: a quiet sentence below, such as why something cannot be chosen.
        marks: of a slider, with words or without.
        is_more: belongs into the folded part.
    """

    key: str
    kind: ControlKind
    title: str
    value: int | str
    is_fixed: bool | None
    help: str = ""
    minimum: int = 0
    maximum: int = 0
    words: str = ""
    note: str = ""
    choices: tuple[ChoiceView, ...] = ()
    marks: tuple[tuple[int, str], ...] = ()
    is_more: bool = False


@dataclass(frozen=True)
class SpeedView:
    """A predicted rate: the likely figure, its range, and what binds it, in words."""

    title: str
    value: str
    unit: str
    range: str
    bound: str
    tooltip: str = ""


@dataclass(frozen=True)
class NoticeView:
    """A sentence that stands out; ``tone`` is ``fail``, ``tight`` or ``accent``."""

    text: str
    hint: str = ""
    details: str = ""
    tone: str = "tight"


@dataclass(frozen=True)
class AlternativeView:
    """Another way; ``wishes`` is what choosing it wishes, None where it cannot be chosen here.

    ``wants_models``: what it proposes is another checkpoint.
    """

    text: str
    figures: str = ""
    action: str = ""
    wishes: Wishes | None = None
    wants_models: bool = False


@dataclass(frozen=True)
class FigureCell:
    """A number of the table: value and unit apart, exact bytes in the tooltip."""

    value: str
    unit: str = ""
    tooltip: str = ""
    token: str = "text"


@dataclass(frozen=True)
class FigureRow:
    """A device of the table; a cell is None where there is nothing to say."""

    name: str
    cells: tuple[FigureCell | None, ...]


@dataclass(frozen=True)
class FigureTable:
    """Devices by part, planned and, after a load, measured.

    ``wide_columns`` are the columns that are left out where there is little room.
    """

    title: str
    heads: tuple[str, ...] = ()
    rows: tuple[FigureRow, ...] = ()
    wide_columns: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LoadView:
    """The button at the bottom and the sentence beside it; ``stop`` is the one beside that."""

    text: str = ""
    enabled: bool = False
    verdict: str = ""
    tone: str = ""
    is_primary: bool = True
    stop: str = ""


@dataclass(frozen=True)
class PlanView:
    """Everything the panel shows."""

    phase: PlanPhase
    wishes: Wishes
    name: str = ""
    facts: str = ""
    notice: NoticeView | None = None
    is_stale: bool = False
    fits: bool = True
    tier: str = ""
    tier_tone: str = "quiet"
    tier_tooltip: str = ""
    rows: tuple[DeviceRowView, ...] = ()
    scale: float = 1.0
    legend: tuple[BarPart, ...] = ()
    speeds: tuple[SpeedView, ...] = ()
    controls: tuple[ControlView, ...] = ()
    explanation: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    alternatives: tuple[AlternativeView, ...] = ()
    flags: str = ""
    table: FigureTable | None = None
    measured: FigureTable | None = None
    load: LoadView = LoadView()
