"""Full-text search of conversations: safe queries, text without word borders. No Qt here.

The tokenizer is unicode61, which finds whole words and beginnings of words. It takes a run of
Chinese, Japanese or Thai for one long word, so such characters are indexed one by one (Korean
syllables too), and what is searched for becomes a phrase of them: words of one or two
characters, the usual length in Chinese, are found through the index. The trigram tokenizer
cannot do that: it finds nothing shorter than three characters.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator

from models.chat.conversation import SearchHit
from models.chat.rows import CONVERSATION_COLUMNS, conversation_from_row

# Zero-width space: unicode61 ends a word there, and taking it out again restores the text.
_BORDER = "\u200b"
# Scripts written without spaces between words, and Hangul.
_SINGLE = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff])"
)
_WORD = re.compile(r'"([^"]*)("|$)|([^\s"]+)')
# Noncharacters: no text that one may exchange contains them.
_MARK_START = "\ufdd0"
_MARK_END = "\ufdd1"
_SNIPPET_TOKENS = 20
MAX_QUERY_CHARACTERS = 1000

Snippet = tuple[str, tuple[tuple[int, int], ...]]

_HITS = f"""
    WITH found (conversation_id, message_id) AS (
        SELECT message.conversation_id, max(message.id)
        FROM message_search JOIN message ON message.id = message_search.rowid
        WHERE message_search MATCH :match GROUP BY message.conversation_id
        UNION ALL
        SELECT rowid, NULL FROM title_search WHERE title_search MATCH :match
    )
    SELECT {CONVERSATION_COLUMNS}, max(found.message_id)
    FROM found JOIN conversation ON conversation.id = found.conversation_id
    WHERE deleted_at IS NULL
    GROUP BY conversation.id ORDER BY pinned DESC, updated_at DESC, id DESC LIMIT :limit
"""


def search_text(text: str | None) -> str | None:
    """Return the text as the index reads it; the SQL function of the same name."""
    return None if text is None else _SINGLE.sub(rf"{_BORDER}\1{_BORDER}", text)


def match_expression(query: str) -> str:
    """Turn what a user typed into an FTS5 expression; empty when it has nothing to search for.

    All words must occur. ``"quoted words"`` must follow each other. The last word may be the
    beginning of a longer one, unless a space or quote ends it. Everything else that FTS5 gives a
    meaning to is text.
    """
    query = query[:MAX_QUERY_CHARACTERS].replace("\0", " ")
    terms = [(text, ended) for text, ended in _terms(query) if _has_token(text)]
    phrases = ['"' + (search_text(text) or "") + '"' for text, _ in terms]
    if terms and not terms[-1][1] and _has_token(query.rstrip()[-1:]) and not query[-1:].isspace():
        phrases[-1] += "*"
    return " ".join(phrases)


def search(
    connection: sqlite3.Connection, query: str, limit: int, *, snippets: bool = True
) -> list[SearchHit]:
    """Return the conversations in which all words occur in one message or in the title.

    Deleted ones are left out; the order is that of the list of conversations.
    """
    match = match_expression(query)
    if not match:
        return []
    rows = connection.execute(_HITS, {"match": match, "limit": limit}).fetchall()
    shown: dict[int, Snippet] = {}
    titled: dict[int, Snippet] = {}
    if snippets:
        shown = _snippets(connection, "message_search", match, [row[-1] for row in rows if row[-1]])
        titled = _snippets(connection, "title_search", match, [r[0] for r in rows if not r[-1]])
    hits = []
    for *conversation, message_id in rows:
        snippet = titled.get(conversation[0]) if message_id is None else shown.get(message_id)
        text, marks = snippet or ("", ())
        hits.append(SearchHit(conversation_from_row(conversation), message_id, text, marks))
    return hits


def _terms(query: str) -> Iterator[tuple[str, bool]]:
    """Yield the words and quoted phrases, and whether each was ended by a quote."""
    for match in _WORD.finditer(query):
        quoted, closing, word = match.groups()
        yield (quoted, closing == '"') if word is None else (word, False)


def _has_token(text: str) -> bool:
    """Return whether unicode61 sees at least one word in the text."""
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def _snippets(
    connection: sqlite3.Connection, table: str, match: str, row_ids: list[int]
) -> dict[int, Snippet]:
    """Return the snippets of these rows."""
    # The plus keeps SQLite from a search of its own for each row. With the beginning of a word
    # each of them would collect all words that begin so; with whole words they are the faster way.
    once = "+" if match.endswith("*") else ""
    rows = connection.execute(
        f"SELECT rowid, snippet({table}, 0, ?, ?, '…', ?) FROM {table}"
        f" WHERE {table} MATCH ? AND {once}rowid IN (SELECT value FROM json_each(?))",
        (_MARK_START, _MARK_END, _SNIPPET_TOKENS, match, json.dumps(row_ids)),
    )
    return {row_id: parse_snippet(marked) for row_id, marked in rows}


def parse_snippet(marked: str) -> Snippet:
    """Return a snippet in one line without its marks, and where they were."""
    marked = " ".join(marked.replace(_BORDER, "").split())
    text = ""
    marks: list[tuple[int, int]] = []
    for part in marked.split(_MARK_START):
        inside, end, after = part.partition(_MARK_END)
        if end:
            marks.append((len(text), len(text) + len(inside)))
        text += inside + after
    return text, _joined(marks)


def _joined(marks: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Make one mark of those that touch, as single characters do."""
    joined: list[tuple[int, int]] = []
    for start, end in marks:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
