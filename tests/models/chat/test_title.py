"""Titles from what people type first."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chat.title import MAX_COLUMNS, title_from


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("\n\n  Hello\tthere  \nsecond line", "Hello there"),
        ("# A heading\n\ntext", "A heading"),
        ("> quoted", "quoted"),
        ("1. first thing\n2. second", "first thing"),
        ("Explain **this** `code` and [that](https://example.org)", "Explain this code and that"),
        ("```python\nprint(1)\n```\nWhat does this do?", "What does this do?"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("~~~\nx = __init__\n~~~", "x = __init__"),
        ("def f(a_b, *args):\n    return a_b * 2", "def f(a_b, *args):"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("???", "???"),
        ("---\nreal text", "real text"),
        ("🙂", "🙂"),
        ("", ""),
        (" \n\t\u200b\u202e ", ""),
        (
            "Please explain to me how a mixture of experts chooses its experts",
            "Please explain to me how a mixture of experts…",
        ),
        ("Pneumonoultramicroscopicsilicovolcanoconiosis" * 3, None),
        ("Look at https://example.org/" + "a" * 200, None),
        ("请用简单的语言向我解释一下混合专家模型是如何选择专家的以及为什么这样做更快", None),
    ],
)
def test_titles(text: str, title: str | None) -> None:
    made = title_from(text)
    if title is not None:
        assert made == title
    else:
        assert made.endswith("…")
        assert columns(made) >= MAX_COLUMNS - 2


def columns(text: str) -> int:
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def test_no_character_is_parted_from_its_marks() -> None:
    family = "👩\u200d👩\u200d👧"
    assert title_from(family * 40) == family * (len(title_from(family * 40)) // len(family)) + "…"
    accented = "e\u0301" * 100
    assert title_from(accented) == "e\u0301" * (MAX_COLUMNS - 1) + "…"


@given(text=st.text(max_size=300))
def test_any_text_makes_one_short_line(text: str) -> None:
    title = title_from(text)
    assert columns(title) <= MAX_COLUMNS
    assert title == " ".join(title.split())
    assert all(unicodedata.category(char) not in ("Cc", "Cs") for char in title)
    assert bool(title) or not any(char.isalnum() for char in text)


def test_a_pasted_book_is_quick_to_name() -> None:
    assert title_from("word " * 1_000_000).startswith("word word")
