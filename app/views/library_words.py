"""What a row of the library says: where it comes from, what it is, when it was used and checked."""

from __future__ import annotations

import datetime as dt

from PySide6.QtCore import QCoreApplication, QDate, QLocale

from app.actions.library_task import LibraryTaskView, LibraryWork
from app.views.words import eta_words, tokens_words
from models.gguf.checkpoint import CheckpointFacts
from models.library.library import LibraryEntry
from models.units import format_bytes, format_count


def source_words(entry: LibraryEntry) -> str:
    """Return whose it is where it is not the user's own, empty otherwise."""
    words = {
        "demo": _tr("Demo, not a DeepSeek"),
        "huggingface": _tr("Hugging Face cache"),
        "lmstudio": _tr("LM Studio"),
        "ollama": _tr("Ollama"),
    }
    if entry.is_demo:
        return words["demo"]
    return words.get(entry.source, "")


def facts_words(
    entry: LibraryEntry, facts: CheckpointFacts | None, *, family: str = ""
) -> list[str]:
    """Return what a checkpoint is; by its names alone where its header cannot be read now.

    ``family`` is left out where the title says it already.
    """
    if facts is None:
        shards = _tr("{0} files").format(entry.shards) if entry.shards > 1 else ""
        return [word for word in (entry.quant, shards) if word]
    words = [] if _plain(family) in _plain(entry.title) else [family]
    words += [
        facts.quantization,
        facts.architecture,
        _tr("{0} parameters").format(format_count(facts.parameters)),
        _tr("{0} context").format(tokens_words(facts.n_ctx_train)),
    ]
    if len(facts.shards) > 1:
        words.append(_tr("{0} files").format(len(facts.shards)))
    return words


def history_words(entry: LibraryEntry, *, now_s: float) -> list[str]:
    """Return when it was used and verified, and that it is only read."""
    words = []
    if entry.last_used_s is not None:
        words.append(_tr("Used {0}").format(day_words(entry.last_used_s, now_s=now_s)))
    if entry.verified_s is not None:
        words.append(_tr("Verified {0}").format(day_words(entry.verified_s, now_s=now_s)))
    elif entry.source == "fathom":
        words.append(_tr("Not verified"))
    if entry.is_read_only and not entry.is_demo:
        words.append(_tr("Read only"))
    return words


def task_words(task: LibraryTaskView) -> tuple[str, float, str]:
    """Return what is being done with a checkpoint, how far it is (0 to 1), and for how long."""
    if task.is_stopping:
        return _tr("Stopping"), 0.0, ""
    verbs = {
        LibraryWork.VERIFY: _tr("Verifying, {0} of {1}"),
        LibraryWork.MOVE: _tr("Moving, {0} of {1}"),
        LibraryWork.DELETE: _tr("Deleting"),
    }
    done, total = format_bytes(task.bytes_done), format_bytes(task.bytes_total)
    share = task.bytes_done / task.bytes_total if task.bytes_total else 0.0
    eta = eta_words(task.eta_s) if task.eta_s is not None else ""
    return verbs[task.work].format(done, total), share, eta


def day_words(when_s: float, *, now_s: float) -> str:
    """Return a day in words: today, yesterday, or its date; ``when_s`` as of ``time.time``."""
    day = dt.datetime.fromtimestamp(when_s).astimezone().date()
    today = dt.datetime.fromtimestamp(now_s).astimezone().date()
    if day == today:
        return _tr("today")
    if day == today - dt.timedelta(days=1):
        return _tr("yesterday")
    return QLocale().toString(QDate(day.year, day.month, day.day), "d MMM yyyy")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _tr(text: str) -> str:
    return QCoreApplication.translate("Library", text)
