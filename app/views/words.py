"""Words and numbers that several pages say in the same way."""

from __future__ import annotations


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
