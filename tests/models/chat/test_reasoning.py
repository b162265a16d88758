"""Thinking and stop strings in streams, cut at every possible place."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chat.reasoning import ReasoningSplitter, StopStrings

# Letters and parts of tags, so that almost-tags and tags across borders are common.
PARTS = ["<think>", "</think>", "<", "</", "think>", "thi", ">", " ", "\n", "a", "b", "```", "模"]
texts = st.lists(st.sampled_from(PARTS), max_size=14).map("".join)


def split(chunks: list[str], *, open_at_start: bool = False) -> tuple[str, str]:
    splitter = ReasoningSplitter(open_at_start)
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)] + splitter.finish()
    assert all(piece.text for piece in pieces)
    reasoning = "".join(piece.text for piece in pieces if piece.reasoning)
    return reasoning, "".join(piece.text for piece in pieces if not piece.reasoning)


def cut(text: str, places: list[int]) -> list[str]:
    borders = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(borders)]


@pytest.mark.parametrize(
    ("text", "open_at_start", "reasoning", "answer"),
    [
        ("<think>\nfirst\n</think>\n\nHello", False, "first", "Hello"),
        ("first, then\n</think>\n\nHello", True, "first, then", "Hello"),
        ("<think>\nagain\n</think>\nHello", True, "again", "Hello"),
        ("<think>\n\n</think>\n\nHello", False, "", "Hello"),
        (" \n <think>a</think>b", False, "a", "b"),
        ("</think>\n\nHello", False, "", "Hello"),
        ("Hello </think> you", False, "", "Hello </think> you"),
        ("  Hello\n", False, "", "  Hello\n"),
        ("<think>never closed \n", False, "never closed \n", ""),
        ("<think>a </thin", False, "a </thin", ""),
        ("<thin", False, "", "<thin"),
        ("<think>a <think> b</think>c", False, "a <think> b", "c"),
        ("<think>a</think>b</think>c", False, "a", "b</think>c"),
        ("Write:\n```\n<think>x</think>\n```\n", False, "", "Write:\n```\n<think>x</think>\n```\n"),
        ("<think>a</think>\n```\n<think>x</think>\n```", False, "a", "```\n<think>x</think>\n```"),
        ("one\n\n  two\n</think>x", True, "one\n\n  two", "x"),
        ("", True, "", ""),
    ],
)
def test_where_thinking_ends(text: str, open_at_start: bool, reasoning: str, answer: str) -> None:
    assert split([text], open_at_start=open_at_start) == (reasoning, answer)
    assert split(list(text), open_at_start=open_at_start) == (reasoning, answer)


@given(text=texts, places=st.lists(st.integers(0, 200), max_size=8), open_at_start=st.booleans())
def test_any_cut_gives_the_same(text: str, places: list[int], open_at_start: bool) -> None:
    whole = split([text], open_at_start=open_at_start)
    assert split(cut(text, places), open_at_start=open_at_start) == whole


def split_whole(text: str, *, open_at_start: bool) -> tuple[str, str]:
    """Split a whole text the obvious way."""
    space = " \t\r\n"
    start = text.lstrip(space)
    if not open_at_start and start.startswith("</think>"):
        return "", start.removeprefix("</think>").lstrip(space)
    if not open_at_start and not start.startswith("<think>"):
        return "", text
    thought, tag, answer = start.removeprefix("<think>").lstrip(space).partition("</think>")
    return (thought.rstrip(space), answer.lstrip(space)) if tag else (thought, "")


@given(text=texts, open_at_start=st.booleans())
def test_streaming_agrees_with_the_obvious_way(text: str, open_at_start: bool) -> None:
    expected = split_whole(text, open_at_start=open_at_start)
    assert split(list(text), open_at_start=open_at_start) == expected


@given(answer=st.text(), reasoning=st.text())
def test_deepseeks_own_form_comes_apart_again(answer: str, reasoning: str) -> None:
    thought = reasoning.replace("</think>", "").strip(" \t\r\n")
    said = answer.lstrip(" \t\r\n")
    assert split([f"<think>\n{thought}\n</think>\n\n{said}"]) == (thought, said)
    assert split([thought + "</think>" + said], open_at_start=True)[1] == said


def test_text_is_held_back_only_where_a_tag_could_begin() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed("\n<th") == []
    assert [p.text for p in splitter.feed("is is text <think>")] == ["\n<this is text <think>"]
    splitter = ReasoningSplitter(open_at_start=True)
    assert [p.text for p in splitter.feed("thought </")] == ["thought"]
    assert [p.text for p in splitter.feed("b")] == [" </b"]


def stop_at(text: str, stops: list[str]) -> tuple[str, bool]:
    """Find the first complete stop the slow and obvious way."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(
    text=st.text(alphabet="abc\n", max_size=30),
    stops=st.lists(st.text(alphabet="abc\n", max_size=4), max_size=4),
    places=st.lists(st.integers(0, 200), max_size=8),
)
def test_stop_strings_agree_with_the_obvious_way(
    text: str, stops: list[str], places: list[int]
) -> None:
    finder = StopStrings(stops)
    shown = ""
    stopped = False
    for chunk in cut(text, places):
        emitted, stopped = finder.feed(chunk)
        shown += emitted
        # Never more shown than is safe, and never less than a stop could still need.
        longest = max((len(stop) for stop in stops), default=0)
        assert stop_at(text, stops)[0].startswith(shown)
        if stopped:
            break
        assert longest == 0 or len(finder._held) < longest
    if not stopped:
        shown += finder.flush()
    assert (shown, stopped) == stop_at(text, stops)


def test_stop_strings_after_the_stop() -> None:
    finder = StopStrings(["###"])
    assert finder.feed("one #") == ("one ", False)
    assert finder.feed("## two") == ("", True)
    assert finder.feed("three") == ("", True)
    assert finder.flush() == ""


def test_only_what_could_become_a_stop_waits() -> None:
    finder = StopStrings(["</s>", "User:"])
    assert finder.feed("Hello </") == ("Hello ", False)
    assert finder.feed("b> Us") == ("</b> ", False)
    assert finder.feed("e it") == ("Use it", False)
    assert StopStrings([]).feed("all of it") == ("all of it", False)


@pytest.mark.parametrize("reasoning", [True, False])
def test_text_that_goes_on_in_the_middle_keeps_its_first_space(reasoning: bool) -> None:
    splitter = ReasoningSplitter.in_middle(reasoning=reasoning)
    pieces = splitter.feed(" and on") + splitter.finish()
    assert "".join(piece.text for piece in pieces) == " and on"
    assert {piece.reasoning for piece in pieces} == {reasoning}
