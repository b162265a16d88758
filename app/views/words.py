"""Words and numbers that several pages say in the same way."""

from __future__ import annotations

import math

from PySide6.QtCore import QCoreApplication

from models.units import format_duration


def tokens_words(tokens: int) -> str:
    """Return tokens in short; contexts are counted in 1024: ``3.1k``, ``16k``, ``1M``."""
    if tokens < 1000:
        return str(tokens)
    thousands = tokens / 1024
    if thousands >= 1000:
        return f"{thousands / 1024:.1f}".removesuffix(".0") + "M"
    if thousands >= 100:
        return f"{thousands:.0f}k"
    return f"{thousands:.1f}".removesuffix(".0") + "k"


def eta_words(eta_s: float) -> str:
    """Return a time that is guessed: whole seconds, and no seconds above ten minutes."""
    if not math.isfinite(eta_s):
        return ""
    if eta_s < 59.5:
        return _tr("{0} s").format(max(round(eta_s), 1))
    if eta_s < 600:
        return format_duration(round(eta_s))
    if eta_s < 3600:
        return _tr("{0} min").format(round(eta_s / 60))
    return format_duration(round(eta_s))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Words", text)
