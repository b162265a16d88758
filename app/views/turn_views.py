"""Messages of the store as the transcript shows them: words for states, figures with units."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication

from app.actions.branch import Branch, Turn
from app.actions.chat import Chat
from app.widgets.chat_turn import NoticeView, TurnView
from models.chat.conversation import Message
from models.errors import FathomError, PromptTooLongError
from models.units import format_duration, split_count, split_duration, split_rate


def turn_views(branch: Branch, chat: Chat) -> list[TurnView]:
    """Return what the transcript shows of a branch."""
    last = len(branch.turns) - 1
    return [turn_view(turn, chat, is_last=n == last) for n, turn in enumerate(branch.turns)]


def turn_view(turn: Turn, chat: Chat, *, is_last: bool) -> TurnView:
    """Return what the transcript shows of one message."""
    message = turn.message
    live = chat.live
    is_live = live is not None and live.message.id == message.id
    is_user = message.role == "user"
    usage = message.usage or {}
    ended_early = not is_user and not is_live and _ended_early(message)
    unanswered = is_user and is_last and not chat.is_answering_here and not chat.is_waiting_here
    notice = None if is_user or is_live else notice_view(message, chat.error_of(message.id))
    return TurnView(
        id=message.id,
        is_user=is_user,
        text=message.content,
        reasoning=message.reasoning,
        reasoning_elapsed_s=message.reasoning_elapsed_s,
        reasoning_tokens=int(usage.get("reasoning_tokens") or 0),
        is_live=is_live,
        figures=() if is_live else figures(usage),
        figures_hint=figures_hint(message),
        note=_tr("Stopped") if message.state == "cancelled" else _length_note(usage),
        notice=notice,
        number=turn.number,
        count=len(turn.sibling_ids),
        can_redo=unanswered or not (is_user or is_live),
        can_resume=ended_early and notice is None and bool(message.content),
    )


def figures(usage: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return rate, time to first token and tokens of an answer, where they are known."""
    result: list[tuple[str, str]] = []
    rate_tok_s = usage.get("decode_tok_s")
    if rate_tok_s:
        result.append(split_rate(float(rate_tok_s)))
    ttft_s = usage.get("ttft_s")
    if ttft_s is not None:
        value, unit = split_duration(float(ttft_s))
        result.append((value, _tr("{unit} to first token").format(unit=unit)))
    tokens = usage.get("completion_tokens")
    if tokens:
        value, unit = split_count(int(tokens)) if tokens >= 10_000 else (f"{tokens:,}", "")
        result.append((value + unit, _tr("tokens")))
    return tuple(result)


def figures_hint(message: Message) -> str:
    """Return the rest of the figures, for the tooltip."""
    usage = message.usage or {}
    lines = [message.checkpoint] if message.checkpoint else []
    if usage.get("prompt_tokens"):
        lines.append(
            _tr("Prompt: {count} tokens, {reused} reused").format(
                count=f"{usage['prompt_tokens']:,}", reused=f"{usage.get('reused_tokens') or 0:,}"
            )
        )
    if usage.get("prefill_tok_s"):
        rate = " ".join(split_rate(float(usage["prefill_tok_s"])))
        lines.append(_tr("Prompt read at {rate}").format(rate=rate))
    if usage.get("elapsed_s"):
        lines.append(_tr("Took {time}").format(time=format_duration(float(usage["elapsed_s"]))))
    if (usage.get("seed") or -1) >= 0:
        lines.append(_tr("Seed {seed}").format(seed=usage["seed"]))
    return "\n".join(lines)


def notice_view(message: Message, error: FathomError | None) -> NoticeView | None:
    """Return what went wrong with an answer, and what can be done."""
    stop_reason = (message.usage or {}).get("stop_reason")
    if stop_reason == "context_full":
        return NoticeView(
            _tr("The context is full."),
            hint=_tr("Begin a new chat, or load the model with a larger context."),
            tone="tight",
        )
    if message.state not in ("interrupted", "failed"):
        return None
    kept = bool(message.content or message.reasoning)
    if error is not None:
        return NoticeView(
            error.message,
            hint=error.hint,
            details=error.details,
            can_retry=not isinstance(error, PromptTooLongError),
            can_continue=bool(message.content),
        )
    return NoticeView(
        _tr("This answer was interrupted.") if kept else _tr("This question was not answered."),
        hint=_tr("What had arrived by then was kept.") if kept else "",
        tone="tight",
        can_retry=True,
        can_continue=bool(message.content),
    )


def _ended_early(message: Message) -> bool:
    stop_reason = (message.usage or {}).get("stop_reason")
    return message.state != "complete" or stop_reason == "length"


def _length_note(usage: dict[str, Any]) -> str:
    return _tr("Token limit reached") if usage.get("stop_reason") == "length" else ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("Turn", text)
