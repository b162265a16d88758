from __future__ import annotations

import pytest

from app.views.words import tokens_words


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (0, "0"),
        (999, "999"),
        (3100, "3k"),
        (3584, "3.5k"),
        (16384, "16k"),
        (131072, "128k"),
        (163840, "160k"),
        (1048576, "1M"),
        (1572864, "1.5M"),
    ],
)
def test_tokens_are_counted_in_1024(tokens: int, words: str) -> None:
    assert tokens_words(tokens) == words
