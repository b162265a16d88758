"""Search: any text is safe, words are found in every script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.chat.search import match_expression, parse_snippet, search_text
from models.chat.store import ConversationStore

TEXTS = {
    "Quantized keys": "Why does the KV cache of a pre-MLA file take 78,080 MiB at 16k?",
    "Naïve code": 'x = "don\'t" + f(a_b) -- AND NOT (this OR that) NEAR* ^col:umn',
    "中文": "如何在本地运行深度求索模型。需要多少显存",
    "日本語": "モデルを読み込むのに時間がかかります。GPU使用率は。",
    "한국어": "모델을 불러오는 데 시간이 걸립니다",
    "ไทย": "โมเดลนี้ใช้หน่วยความจำเท่าไร",
    "Café": "Crème brûlée, ΑΘΗΝΑ, straße, Ёлка",
    "Symbols": "→ ≠ 🙂 +++",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConversationStore]:
    with ConversationStore(tmp_path_factory.mktemp("search") / "c.sqlite3") as store:
        for title, text in TEXTS.items():
            store.add_message(store.create_conversation(title).id, None, "user", text)
        yield store
        assert store.problems() == []


def found(store: ConversationStore, query: str) -> list[str]:
    return [conversation.title for conversation in store.list_conversations(query)]


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("cache", "Quantized keys"),
        ("CACHE kv", "Quantized keys"),
        ("quanti", "Quantized keys"),
        ('"pre-MLA file"', "Quantized keys"),
        ("78,080", "Quantized keys"),
        ("don't", "Naïve code"),
        ('x = "don', "Naïve code"),
        ("a_b", "Naïve code"),
        ("naive", "Naïve code"),
        ("NOT (this OR", "Naïve code"),
        ("NEAR* ^col:umn", "Naïve code"),
        ("col : umn", "Naïve code"),
        ("NEAR(", "Naïve code"),
        ("模型", "中文"),
        ("显", "中文"),
        ("深度求索", "中文"),
        ("显存 运行", "中文"),
        ("読み込む", "日本語"),
        ("GPU", "日本語"),
        ("GPU使用", "日本語"),
        ("モデル", "日本語"),
        ("모델", "한국어"),
        ("시간이", "한국어"),
        ("หน่วยความจำ", "ไทย"),
        ("creme brul", "Café"),
        ("αθηνα", "Café"),
        ("ёлк", "Café"),
    ],
)
def test_what_is_found(store: ConversationStore, query: str, title: str) -> None:
    assert found(store, query) == [title]


@pytest.mark.parametrize(
    "query",
    [
        "cach ",  # the space ends the word
        '"cach"',
        "cach kv",  # only the last word may be a beginning
        '"file pre-MLA"',
        "型模",
        "cache 模型",
        "ache",
        "+++",
        '"',
        '""',
        "* ^ : ( ) -",
        "🙂",
    ],
)
def test_what_is_not_found(store: ConversationStore, query: str) -> None:
    assert found(store, query) == []


def test_operators_are_words(store: ConversationStore) -> None:
    assert found(store, "cache OR this") == []
    assert found(store, "NOT cache") == []


@settings(max_examples=300, deadline=None)
@given(query=st.text() | st.text(alphabet='"*^:(){}+-,.\\ANDORTNE 模\0\u200b\ufdd0'))
@example(query="\ud800")
@example(query='a" OR "b')
@example(query="x" * 5000)
def test_no_text_breaks_the_search(store: ConversationStore, query: str) -> None:
    for hit in store.search(query):
        assert all(0 <= start < end <= len(hit.snippet) for start, end in hit.marks)


@settings(max_examples=200, deadline=None)
@given(word=st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1))
def test_every_word_becomes_a_phrase(word: str) -> None:
    expression = match_expression(word)
    assert expression.startswith('"')
    assert expression.endswith('"*')
    assert expression[1:-2] == search_text(word)


def test_a_snippet_shows_where(store: ConversationStore) -> None:
    (hit,) = store.search("显存")
    assert hit.snippet == TEXTS["中文"]
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["显存"]
    assert hit.message_id is not None
    (hit,) = store.search("naïv")
    assert (hit.snippet, hit.marks, hit.message_id) == ("Naïve code", ((0, 5),), None)


def test_a_snippet_of_a_long_text_is_one_short_line(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "c.sqlite3") as store:
        c = store.create_conversation("long").id
        long_text = "before\n\n" * 500 + "the\tneedle here\n" + "after\n" * 500
        store.add_message(c, None, "user", "an older needle")
        newest = store.add_message(c, None, "user", long_text)
        (hit,) = store.search("needle")
    assert hit.message_id == newest.id
    assert "the needle here after" in hit.snippet
    assert len(hit.snippet) < 300
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["needle"]


def test_marks_that_touch_are_one() -> None:
    marked = "a \ufdd0x\ufdd1\u200b\ufdd0y\ufdd1 b \ufdd0z\ufdd1"
    assert parse_snippet(marked) == ("a xy b z", ((2, 4), (7, 8)))
    assert parse_snippet("plain") == ("plain", ())


def test_the_limit_and_the_order(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "c.sqlite3") as store:
        for number in range(12):
            store.create_conversation(f"word {number}")
        assert [hit.conversation.title for hit in store.search("word", limit=2)] == [
            "word 11",
            "word 10",
        ]
        assert len(store.list_conversations("word")) == 12


def test_the_index_follows_every_change(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "c.sqlite3") as store:
        c = store.create_conversation("first name").id
        answer = store.add_message(c, None, "assistant", "", state="streaming").id
        store.update_answer(answer, "unfinished business")
        assert found(store, "business") == []
        store.finish_answer(answer, "finished business")
        assert found(store, "business") == ["first name"]
        store.finish_answer(answer, "finished trade", state="cancelled")
        assert found(store, "business") == []
        assert found(store, "trade") == ["first name"]
        store.rename(c, "second 名字")
        assert found(store, "first") == []
        assert found(store, "名字") == ["second 名字"]
        assert store.problems() == []
