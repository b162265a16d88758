"""The Markdown splitter: the same chunks however a text arrives, and nothing shown wrongly."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtGui import QTextDocument

from app.theme import LIGHT
from app.widgets.chat_blocks import (
    OPEN_LIMIT_CHARS,
    Chunk,
    ChunkSplitter,
    close_inline_marks,
    has_references,
)
from app.widgets.chat_rich import ChunkDocument, RichStyle

WORDS = st.lists(
    st.sampled_from(["tide", "**moon**", "*sun*", "`code`", "sea", "1.5", "a_b", "<b>", "x*y"]),
    min_size=1,
    max_size=8,
).map(" ".join)
PARAGRAPH = st.lists(WORDS, min_size=1, max_size=3).map("\n".join)
HEADING = st.tuples(st.integers(1, 4), WORDS).map(lambda pair: "#" * pair[0] + " " + pair[1])
BULLETS = st.lists(WORDS, min_size=1, max_size=4).map(
    lambda items: "\n".join(f"- {item}" for item in items)
)
LOOSE_LIST = st.lists(WORDS, min_size=1, max_size=3).map(
    lambda items: "\n\n".join(f"{n}. {item}\n\n   more {item}" for n, item in enumerate(items, 1))
)
QUOTE = WORDS.map(lambda text: f"> {text}\n> {text}")
CODE = st.tuples(st.sampled_from(["", "python", "c++"]), st.lists(WORDS, max_size=4)).map(
    lambda pair: f"```{pair[0]}\n" + "\n\n".join(pair[1]) + "\n```"
)
TABLE = st.lists(st.sampled_from(["a", "bb", "12"]), min_size=2, max_size=2).map(
    lambda cells: f"| x | y |\n|---|---|\n| {cells[0]} | {cells[1]} |"
)
BLOCK = st.one_of(PARAGRAPH, HEADING, BULLETS, LOOSE_LIST, QUOTE, CODE, TABLE)
MARKDOWN = st.lists(BLOCK, min_size=1, max_size=6).map("\n\n".join)
# Anything at all: half-open fences, stray markers, blank lines with spaces.
NOISE = st.text(alphabet="ab \n`*#->|~1.\t[]()_", max_size=300)


def split(text: str, sizes: list[int] | None = None) -> list[Chunk]:
    splitter = ChunkSplitter()
    at = 0
    for size in sizes or []:
        splitter.feed(text[at : at + size])
        at += size
        _ = splitter.open_chunk
    splitter.feed(text[at:])
    splitter.finish()
    return splitter.closed


@settings(deadline=None)
@given(text=st.one_of(MARKDOWN, NOISE), sizes=st.lists(st.integers(1, 40), max_size=60))
def test_portions_do_not_matter(text: str, sizes: list[int]) -> None:
    assert split(text, sizes) == split(text)


@settings(deadline=None)
@given(text=st.one_of(MARKDOWN, NOISE))
def test_closed_chunks_never_change(text: str) -> None:
    splitter = ChunkSplitter()
    seen: list[Chunk] = []
    for letter in text:
        splitter.feed(letter)
        assert splitter.closed[: len(seen)] == seen
        seen = list(splitter.closed)


@settings(deadline=None)
@given(text=st.one_of(MARKDOWN, NOISE))
def test_no_text_is_lost(text: str) -> None:
    letters = "".join(chunk.text + chunk.language for chunk in split(text))
    kept = [letter for letter in letters if letter in "ab1"]
    # The info line of a fence keeps its first word only.
    assert len(kept) <= sum(letter in "ab1" for letter in text)
    if "`" not in text and "~" not in text:
        assert kept == [letter for letter in text if letter in "ab1"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=MARKDOWN)
def test_pieces_show_what_the_whole_would(qapp: object, text: str) -> None:
    whole = QTextDocument()
    whole.setMarkdown(
        text,
        QTextDocument.MarkdownFeature.MarkdownDialectGitHub
        | QTextDocument.MarkdownFeature.MarkdownNoHTML,
    )
    style = RichStyle.of(LIGHT)
    shown = []
    for chunk in split(text):
        document = ChunkDocument()
        document.show_chunk(chunk, style)
        shown.append(document.toPlainText())
    assert " ".join("\n".join(shown).split()) == " ".join(whole.toPlainText().split())


def test_a_list_with_blank_lines_is_one_chunk() -> None:
    assert len(split("1. a\n\n2. b\n\n   more\n\n3. c")) == 1


def test_paragraphs_and_headings_are_chunks() -> None:
    chunks = split("# Title\nfirst\n\nsecond\n## Next\nthird")
    assert [chunk.text for chunk in chunks] == ["# Title", "first", "second", "## Next", "third"]


def test_code_keeps_blank_lines_and_language() -> None:
    assert split("```python\na = 1\n\n\nb = 2\n```\nafter") == [
        Chunk("code", "a = 1\n\n\nb = 2", "python"),
        Chunk("text", "after"),
    ]


def test_a_longer_fence_holds_a_shorter_one() -> None:
    assert split("````md\n```\nx\n```\n````")[0].text == "```\nx\n```"


def test_code_inside_a_list_item_loses_the_indentation() -> None:
    chunks = split("1. do\n   ```sh\n   ls\n     -l\n   ```\n   then\n2. next")
    assert chunks == [
        Chunk("text", "1. do"),
        Chunk("code", "ls\n  -l", "sh", indent=3),
        Chunk("text", "then", indent=3),
        Chunk("text", "2. next"),
    ]


def test_an_unclosed_fence_is_code_up_to_the_end() -> None:
    splitter = ChunkSplitter()
    splitter.feed("```py\nx = 1\ny")
    assert splitter.open_chunk == Chunk("code", "x = 1\ny", "py")
    splitter.finish()
    assert splitter.closed == [Chunk("code", "x = 1\ny", "py")]


@pytest.mark.parametrize("beginning", ["-", "1.", "``", "==", "#", "|", "> "])
def test_a_line_that_may_become_anything_is_not_shown_yet(beginning: str) -> None:
    splitter = ChunkSplitter()
    splitter.feed("Text\n" + beginning)
    assert splitter.open_chunk == Chunk("text", "Text")


def test_a_line_without_end_is_cut_into_plain_chunks() -> None:
    text = "word " * 5_000
    chunks = split(text, [1000] * 30)
    assert chunks == split(text)
    assert all(len(chunk.text) <= OPEN_LIMIT_CHARS for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks).split() == text.split()


def test_the_source_of_code_has_a_fence_that_holds_it() -> None:
    assert Chunk("code", "```\nx\n```", "md").source == "````md\n```\nx\n```\n````"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **b", "a **b**"),
        ("a `b", "a `b`"),
        ("a **b**", "a **b**"),
        ("done **\n\nnext", "done **\n\nnext"),
        ("a **", "a "),
    ],
)
def test_open_marks_are_closed_for_display(text: str, shown: str) -> None:
    assert close_inline_marks(text) == shown


def test_references_are_noticed() -> None:
    assert has_references("see [a]\n\n[a]: http://x.y")
    assert not has_references("a[1]: b")
