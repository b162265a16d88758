from __future__ import annotations

import pytest

from app.actions.card_text import LIMIT_CHARS, is_safe_link, readable_card

TYPICAL = """---
license: mit
---
<!-- markdownlint-disable -->
<div align="center">
  <img src="https://example.org/logo.png" width="60%" alt="DeepSeek" />
</div>
<p align="center">
  <a href="https://example.org/paper.pdf"><b>Paper Link</b>&#128064;</a>
</p>

## 1. Introduction
[![badge](x.svg)](https://example.org) It writes `<think>` or <think> first: a < b > c.
<script>alert(1)</script>
```html
<div><img src="kept"></div>
```
| a | b |
|---|---|
| 1 | 2 |
"""


def test_html_becomes_markdown_and_pictures_go() -> None:
    text = readable_card(TYPICAL)
    assert text.startswith("[**Paper Link**\U0001f440](https://example.org/paper.pdf)")
    assert "## 1. Introduction" in text
    for gone in ("license", "markdownlint", "logo.png", "badge", "alert", "<p", "[]("):
        assert gone not in text
    assert "|---|---|" in text


def test_code_and_words_that_look_like_tags_stay() -> None:
    text = readable_card(TYPICAL)
    assert '<div><img src="kept"></div>' in text
    assert "It writes `<think>` or <think> first: a < b > c." in text


def test_references_are_put_where_they_are_used() -> None:
    text = readable_card(
        "See [the paper][1] and [it][].\n\n[1]: https://a.org/x\n[it]: file:///etc\n"
    )
    assert text == "See [the paper](https://a.org/x) and it."


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "file:///etc/passwd", "fathom://x", "/settings", "https://"]
)
def test_only_addresses_of_the_web_may_be_opened(address: str) -> None:
    assert not is_safe_link(address)
    assert "](" not in readable_card(f'<a href="{address}">words</a>')


def test_addresses_of_the_web_may_be_opened() -> None:
    assert is_safe_link("https://huggingface.co/deepseek-ai")
    assert readable_card("<a href=https://a.org/(x)>w</a>") == "[w](https://a.org/(x%29)"


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        "`",
        "`a ``b ```c ",
        "![",
        "<script",
        "<script>",
        "[ ",
        "<",
        "<!--",
        "| ",
        "[a][",
        "]:",
    ],
)
def test_hostile_cards_stay_within_their_length(piece: str) -> None:
    # One that takes time out of proportion runs into the suite's own time limit.
    text = readable_card(piece * (2 * LIMIT_CHARS // len(piece)))
    assert len(text) <= 2 * LIMIT_CHARS
