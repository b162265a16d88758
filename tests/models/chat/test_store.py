"""The tree of messages and the list of conversations, in a real file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.chat.store import ConversationStore, Message
from models.errors import StoreError
from models.runtime.protocol import Usage


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    """A store whose clock goes on by one second at each look."""
    ticks = itertools.count(1000.0)
    with ConversationStore(tmp_path / "c.sqlite3", clock=lambda: next(ticks)) as store:
        yield store
        assert store.problems() == []


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


def test_a_new_conversation(store: ConversationStore) -> None:
    made = store.create_conversation("Hello", checkpoint="demo", system_prompt="Be short.")
    assert (made.title, made.checkpoint, made.system_prompt) == ("Hello", "demo", "Be short.")
    assert (made.created_at, made.updated_at) == (1000.0, 1000.0)
    assert made.leaf_id is None
    assert made.deleted_at is None
    assert made.pinned is False
    assert store.list_conversations() == [made]
    assert store.path_to_leaf(made.id) == []


def test_messages_become_the_leaf(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    question = store.add_message(c, None, "user", "question")
    answer = store.add_message(c, question.id, "assistant", "answer", checkpoint="demo")
    assert store.conversation(c).leaf_id == answer.id
    assert store.path_to_leaf(c) == [question, answer]
    assert store.path_to_leaf(c, question.id) == [question]
    assert store.message(answer.id).checkpoint == "demo"


def test_editing_and_regenerating_make_siblings(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    first = store.add_message(c, None, "user", "question")
    one = store.add_message(c, first.id, "assistant", "one")
    two = store.add_message(c, first.id, "assistant", "two")
    edited = store.add_message(c, None, "user", "better question")
    three = store.add_message(c, edited.id, "assistant", "three")
    assert contents(store.siblings(one.id)) == ["one", "two"]
    assert contents(store.siblings(edited.id)) == ["question", "better question"]
    assert contents(store.path_to_leaf(c)) == ["better question", "three"]
    assert contents(store.path_to_leaf(c, two.id)) == ["question", "two"]
    assert store.children(c) == {
        None: (first.id, edited.id),
        first.id: (one.id, two.id),
        edited.id: (three.id,),
    }
    assert contents(store.messages(c)) == ["question", "one", "two", "better question", "three"]


def test_the_chosen_branch_is_remembered(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    first = store.add_message(c, None, "user", "question")
    one = store.add_message(c, first.id, "assistant", "one")
    more = store.add_message(c, one.id, "user", "more")
    store.add_message(c, first.id, "assistant", "two")
    assert contents(store.path_to_leaf(c)) == ["question", "two"]
    assert store.newest_leaf(one.id) == more.id
    assert store.newest_leaf(more.id) == more.id
    store.set_leaf(c, store.newest_leaf(one.id))
    store.close()
    store.open()
    assert contents(store.path_to_leaf(c)) == ["question", "one", "more"]
    store.set_leaf(c, None)
    assert store.path_to_leaf(c) == []


def test_what_does_not_belong_together_is_refused(store: ConversationStore) -> None:
    c, other = store.create_conversation("a").id, store.create_conversation("b").id
    stranger = store.add_message(other, None, "user", "elsewhere").id
    with pytest.raises(StoreError):
        store.add_message(c, stranger, "assistant", "lost")
    with pytest.raises(StoreError):
        store.set_leaf(c, stranger)
    with pytest.raises(StoreError):
        store.add_message(99, None, "user", "lost")
    assert store.messages(c) == []
    assert store.path_to_leaf(c, stranger) == []


@pytest.mark.parametrize("method", ["message", "siblings", "newest_leaf", "conversation"])
def test_an_id_that_leads_nowhere(store: ConversationStore, method: str) -> None:
    with pytest.raises(StoreError, match="no longer there"):
        getattr(store, method)(99)


def test_renaming_a_lost_conversation(store: ConversationStore) -> None:
    with pytest.raises(StoreError, match="no longer there"):
        store.rename(99, "title")


# --- streaming ------------------------------------------------------------------------------------


def test_an_answer_streams(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    question = store.add_message(c, None, "user", "question")
    answer = store.add_message(c, question.id, "assistant", "", state="streaming")
    for length in (3, 3, 9, 14):
        store.update_answer(answer.id, "It is forty two"[:length], "thinking"[: length // 2])
        assert store.message(answer.id).content == "It is forty two"[:length]
    assert store.path_to_leaf(c)[-1].reasoning == "thinkin"
    usage = Usage(prompt_tokens=5, completion_tokens=7, ttft_s=0.5)
    done = store.finish_answer(
        answer.id, "It is forty two", "thinking", "complete", usage, reasoning_elapsed_s=1.5
    )
    assert done == store.message(answer.id)
    assert (done.content, done.reasoning, done.state) == ("It is forty two", "thinking", "complete")
    assert done.usage is not None
    assert (done.usage["completion_tokens"], done.usage["ttft_s"]) == (7, 0.5)
    assert done.reasoning_elapsed_s == 1.5
    assert store.conversation(c).updated_at == done.updated_at


def test_an_update_writes_only_what_is_new(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    answer = store.add_message(c, None, "assistant", "", state="streaming")
    text = ""
    for number in range(200):
        text += f"word {number} " * 50
        store.update_answer(answer.id, text)
    with store._database.read() as connection:
        written = connection.execute("SELECT sum(length(content)) FROM answer_part").fetchone()[0]
    assert written == len(text)
    store.finish_answer(answer.id, text)
    with store._database.read() as connection:
        assert connection.execute("SELECT count(*) FROM answer_part").fetchone()[0] == 0


def test_an_answer_may_take_text_back(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    answer = store.add_message(c, None, "assistant", "Be", state="streaming")
    store.update_answer(answer.id, "Before</th")
    store.update_answer(answer.id, "", "Before")
    store.update_answer(answer.id, "After", "Before")
    message = store.message(answer.id)
    assert (message.content, message.reasoning) == ("After", "Before")


def test_a_finished_answer_takes_no_update(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    answer = store.add_message(c, None, "assistant", "", state="streaming")
    store.finish_answer(answer.id, "said", state="cancelled")
    with pytest.raises(StoreError, match="already finished"):
        store.update_answer(answer.id, "said too late")
    assert store.message(answer.id).content == "said"
    with pytest.raises(ValueError, match="streaming"):
        store.finish_answer(answer.id, "said", state="streaming")
    with pytest.raises(StoreError, match="no longer there"):
        store.update_answer(99, "nobody")
    with pytest.raises(StoreError, match="no longer there"):
        store.finish_answer(99, "nobody")


def test_recover_after_a_crash(store: ConversationStore) -> None:
    c = store.create_conversation("t").id
    done = store.add_message(c, None, "assistant", "done").id
    left = store.add_message(c, done, "assistant", "It ", state="streaming").id
    store.update_answer(left, "It was gonnagetcut", "because")
    assert store.recover() == 0, "the answer is still being written"
    with ConversationStore(store.path) as later:
        assert later.list_conversations("gonnagetcut") == []
        assert later.recover() == 1
        assert later.recover() == 0
        message = later.message(left)
        assert (message.content, message.reasoning) == ("It was gonnagetcut", "because")
        assert message.state == "interrupted"
        assert [hit.id for hit in later.list_conversations("gonnagetcut")] == [c]
    # Its writer was alive after all.
    store.update_answer(left, "It was not over", "because")
    assert store.message(left).state == "streaming"
    assert store.finish_answer(left, "It was not over.").state == "complete"
    assert store.list_conversations("gonnagetcut") == []


# --- the list -------------------------------------------------------------------------------------


def titles(store: ConversationStore, query: str = "") -> list[str]:
    return [conversation.title for conversation in store.list_conversations(query)]


def test_the_list_is_newest_first(store: ConversationStore) -> None:
    one, two, three = (store.create_conversation(title).id for title in ("one", "two", "three"))
    assert titles(store) == ["three", "two", "one"]
    store.add_message(one, None, "user", "hello")
    assert titles(store) == ["one", "three", "two"]
    store.set_pinned(two, True)
    assert titles(store) == ["two", "one", "three"]
    store.rename(three, "drei")
    assert titles(store) == ["two", "one", "drei"]
    store.set_system_prompt(three, "Speak German.")
    store.set_checkpoint(three, "demo")
    assert store.conversation(three).system_prompt == "Speak German."
    assert store.conversation(three).checkpoint == "demo"


def test_delete_restore_purge(store: ConversationStore) -> None:
    keep, lose = store.create_conversation("keep me").id, store.create_conversation("lose me").id
    store.add_message(lose, None, "user", "secretword")
    store.delete(lose)
    assert titles(store) == ["keep me"]
    assert titles(store, "secretword") == titles(store, "lose") == []
    assert [deleted.id for deleted in store.list_deleted()] == [lose]
    store.restore(lose)
    assert titles(store, "secretword") == ["lose me"]
    store.delete(lose)
    assert store.purge_deleted(older_than_s=3600) == 0
    assert store.purge_deleted() == 1
    assert store.purge_deleted() == 0
    assert store.list_deleted() == []
    with pytest.raises(StoreError, match="no longer there"):
        store.restore(lose)
    assert store.conversation(keep).title == "keep me"
    store.close()
    for file in store.path.parent.iterdir():
        assert b"secretword" not in file.read_bytes()
    store.open()


def test_purging_a_long_conversation(store: ConversationStore) -> None:
    """Longer than SQLite's limit for triggers that set off each other."""
    c = store.create_conversation("long")
    messages = [Message(n, c.id, n - 1 if n else None, "user", f"number {n}") for n in range(3000)]
    long = store.import_conversation(c, messages)
    assert len(store.messages(long.id)) == 3000
    assert store.newest_leaf(store.messages(long.id)[0].id) == store.messages(long.id)[-1].id
    store.delete(long.id)
    assert store.purge_deleted() == 1


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("zero \0 inside", "zero \0 inside"),
        ("pair \ud83d\ude00", "pair 😀"),
        ("lone \ud83d half", "lone � half"),
        ("line\r\nends\n", "line\r\nends\n"),
        ("e\u0301 模型 \u200b 👩‍👩‍👧", "e\u0301 模型 \u200b 👩‍👩‍👧"),
    ],
)
def test_texts_come_back(store: ConversationStore, given_text: str, kept: str) -> None:
    c = store.create_conversation(given_text, system_prompt=given_text)
    message = store.add_message(c.id, None, "assistant", given_text, state="streaming")
    store.update_answer(message.id, given_text + "1", given_text)
    store.update_answer(message.id, given_text + "12", given_text + "3")
    assert store.message(message.id).content == kept + "12"
    done = store.finish_answer(message.id, given_text, given_text, usage={"note": given_text})
    assert (c.title, c.system_prompt, done.content, done.reasoning) == (kept,) * 4
    assert done.usage == {"note": kept}


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=25))
def test_any_tree_holds_together(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    """The store agrees with a tree of plain dictionaries."""
    path = tmp_path_factory.mktemp("tree") / "c.sqlite3"
    with ConversationStore(path) as store:
        c = store.create_conversation("tree").id
        parents: dict[int, int | None] = {}
        for choice, below in steps:
            known = list(parents)
            parent = known[choice % len(known)] if known and below else None
            parents[store.add_message(c, parent, "user", str(choice)).id] = parent
        for message_id, own_parent in parents.items():
            expected: list[int] = []
            at: int | None = message_id
            while at is not None:
                expected.insert(0, at)
                at = parents[at]
            assert [m.id for m in store.path_to_leaf(c, message_id)] == expected
            siblings = [i for i, parent in parents.items() if parent == own_parent]
            assert [m.id for m in store.siblings(message_id)] == siblings
            leaf = store.newest_leaf(message_id)
            assert leaf not in parents.values()
        assert store.problems() == []
