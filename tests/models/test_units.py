from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadInputError
from models.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    parse_size,
    split_bytes,
    split_duration,
    split_rate,
)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (98_000_000, "98.0 MB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (18_249_999_999, "18.2 GB"),
        (9_995_000_000, "10.0 GB"),
        (404_553_517_856, "405 GB"),
        (2**64, "18.4 EB"),
        (-1_500_000, "-1.50 MB"),
    ],
)
def test_bytes(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@given(st.integers(min_value=0, max_value=10**18))
def test_bytes_have_three_digits_at_most_and_lose_at_most_half_a_percent(size_bytes: int) -> None:
    value, unit = split_bytes(size_bytes)
    assert sum(character.isdigit() for character in value) <= 3
    shown = float(value) * 1000 ** ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert abs(shown - size_bytes) <= 0.0051 * size_bytes


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0.00 tok/s"),
        (0.317, "0.32 tok/s"),
        (4.634, "4.63 tok/s"),
        (41.28, "41.3 tok/s"),
        (288.4, "288 tok/s"),
        (999.4, "999 tok/s"),
        (999.6, "1,000 tok/s"),
        (6653.2, "6,650 tok/s"),
        (125_245.0, "125,000 tok/s"),
        (float("nan"), "\N{EN DASH} tok/s"),
        (float("inf"), "\N{EN DASH} tok/s"),
    ],
)
def test_rates(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0, "0.00 s"),
        (0.0042, "4.20 ms"),
        (0.32, "0.32 s"),
        (12.44, "12.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (125.4, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (3840, "1 h 4 min"),
        (90_000, "1 d 1 h"),
        (-1.0, "\N{EN DASH} s"),
        (float("nan"), "\N{EN DASH} s"),
    ],
)
def test_durations(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text


@given(st.floats(min_value=0, max_value=1e7))
def test_durations_never_show_sixty_seconds_or_minutes(duration_s: float) -> None:
    *_, value, unit = format_duration(duration_s).split()
    assert float(value) < {"ms": 10, "s": 60, "min": 60, "h": 24}[unit]


def test_value_and_unit_come_apart() -> None:
    assert split_bytes(18_200_000_000) == ("18.2", "GB")
    assert split_rate(41.3) == ("41.3", "tok/s")
    assert split_duration(125) == ("2 min 5", "s")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512, "512"),
        (3_100, "3.1k"),
        (16_000, "16k"),
        (100_000, "100k"),
        (134_515_008, "135M"),
        (671_026_419_200, "671B"),
        (15_706_484_224, "15.7B"),
    ],
)
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8GB", 8_000_000_000),
        ("8 gb", 8_000_000_000),
        ("8GiB", 8 * 2**30),
        ("1.5g", 1_500_000_000),
        ("1,5 MB", 1_500_000),
        ("4096", 4096),
        ("512m", 512_000_000),
        ("12 B", 12),
    ],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1 GB", "8 XB", "1e9", "8iB", "8 GB free", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_size(text)
