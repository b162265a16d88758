"""Plain text tables."""

from __future__ import annotations

from app.cli.table import format_table


def test_columns_are_aligned_and_lines_end_without_spaces() -> None:
    rows = [("a", "long value", "x"), ("abc", "v", "")]
    assert format_table(rows, wrap=1, width=80) == "a    long value  x\nabc  v"


def test_long_values_are_wrapped_under_each_other() -> None:
    rows = [("key", "one two three four five six seven", "source")]
    lines = format_table(rows, wrap=1, width=33).splitlines()
    assert lines == [
        "key  one two three four    source",
        "     five six seven",
    ]


def test_a_narrow_terminal_still_gets_every_word() -> None:
    rows = [("key", "one two three", "a long source text")]
    assert "three" in format_table(rows, wrap=1, width=10)


def test_nothing_is_an_empty_text() -> None:
    assert format_table([], wrap=0) == ""
