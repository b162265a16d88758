"""What the transcript shows of one message, as strings and numbers. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NoticeView:
    """Why an answer is not what it should be, and what can be done."""

    text: str
    hint: str = ""
    details: str = ""
    tone: str = "fail"
    can_retry: bool = False
    can_continue: bool = False


@dataclass(frozen=True)
class TurnView:
    """One message of the transcript.

    Attributes:
        figures: value and unit of each figure below an answer.
        note: why the answer ended, where that was not its natural end.
        number, count: which of its siblings it is, from 1.
        can_redo: whether it can be answered (again).
        can_resume: whether the answer ended early and can be gone on with.
    """

    id: int
    is_user: bool
    text: str
    reasoning: str = ""
    reasoning_elapsed_s: float | None = None
    reasoning_tokens: int = 0
    is_live: bool = False
    figures: tuple[tuple[str, str], ...] = ()
    figures_hint: str = ""
    note: str = ""
    notice: NoticeView | None = None
    number: int = 1
    count: int = 1
    can_redo: bool = False
    can_resume: bool = False
