"""Bytes, rates, durations and counts as text: at most three significant digits. No Qt here.

Sizes are decimal (1 GB = 1,000,000,000 bytes), as on a disk's label and on the hub. Every
``split_*`` function returns value and unit apart, because the unit is set in a quieter tone.
"""

from __future__ import annotations

import math
import re

from models.errors import BadInputError

UNKNOWN = "\N{EN DASH}"

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_COUNT_UNITS = ("", "k", "M", "B", "T")
_SIZE = re.compile(r"\s*([0-9]+(?:[.,][0-9]+)?)\s*([kmgtp]?)(i?)(b?)\s*", re.IGNORECASE)
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


def split_bytes(size_bytes: int) -> tuple[str, str]:
    """Return a size as value and decimal unit: ``("18.2", "GB")``."""
    return _scaled(size_bytes, _BYTE_UNITS)


def format_bytes(size_bytes: int) -> str:
    """Return a size with its decimal unit: ``18.2 GB``."""
    return " ".join(split_bytes(size_bytes))


def format_byte_rate(rate_bytes_s: float) -> str:
    """Return how fast bytes come: ``41.3 MB/s``."""
    return f"{format_bytes(round(rate_bytes_s))}/s" if math.isfinite(rate_bytes_s) else UNKNOWN


def split_rate(rate_tok_s: float) -> tuple[str, str]:
    """Return a rate as value and unit: ``("41.3", "tok/s")``, ``("6,650", "tok/s")``."""
    if math.isfinite(rate_tok_s) and abs(rate_tok_s) >= 999.5:
        step = 10 ** (math.floor(math.log10(abs(rate_tok_s))) - 2)
        return f"{round(rate_tok_s / step) * step:,}", "tok/s"
    return _three_digits(rate_tok_s), "tok/s"


def format_rate(rate_tok_s: float) -> str:
    """Return a rate in tokens per second: ``41.3 tok/s``."""
    return " ".join(split_rate(rate_tok_s))


def split_duration(duration_s: float) -> tuple[str, str]:
    """Return a duration as value and last unit: ``("0.32", "s")``, ``("2 min 5", "s")``."""
    if not math.isfinite(duration_s) or duration_s < 0:
        return UNKNOWN, "s"
    if 0 < duration_s < 0.00995:
        return _three_digits(duration_s * 1000), "ms"
    if duration_s < 59.95:
        return f"{duration_s:.{2 if duration_s < 9.995 else 1}f}", "s"
    whole_s = round(duration_s)
    if whole_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S}", "s"
    if whole_s < _DAY_S:
        return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S}", "min"
    return f"{whole_s // _DAY_S} d {whole_s % _DAY_S // _HOUR_S}", "h"


def format_duration(duration_s: float) -> str:
    """Return a duration: ``4.00 ms``, ``0.32 s``, ``12.4 s``, ``2 min 5 s``, ``1 h 4 min``."""
    return " ".join(split_duration(duration_s))


def split_count(count: int) -> tuple[str, str]:
    """Return a count of tokens or parameters as value and unit: ``("3.1", "k")``."""
    value, unit = _scaled(count, _COUNT_UNITS)
    return (value.rstrip("0").rstrip(".") if "." in value else value), unit


def format_count(count: int) -> str:
    """Return a count in short: ``512``, ``3.1k``, ``16.4k``, ``135M``, ``671B``."""
    return "".join(split_count(count))


def parse_size(text: str) -> int:
    """Return the bytes that ``8GB``, ``512 MiB``, ``1.5g`` or ``4096`` mean.

    Raises:
        BadInputError: the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise BadInputError(f'"{text[:80]}" is not a size.', hint="Write it like 8GB or 512MiB.")
    factor: int = (1024 if match[3] else 1000) ** " kmgtp".index(match[2].lower() or " ")
    return round(float(match[1].replace(",", ".")) * factor)


def _three_digits(value: float) -> str:
    if not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{decimals}f}"


def _scaled(number: int, units: tuple[str, ...]) -> tuple[str, str]:
    size = float(number)
    # Above 999.5 the next unit is the one with three digits: 999,600 bytes are 1.00 MB.
    if abs(size) < 999.5:
        return str(number), units[0]
    power = 0
    while abs(size) >= 999.5 and power < len(units) - 1:
        size /= 1000
        power += 1
    return _three_digits(size), units[power]
