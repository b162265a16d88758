"""What the chat template gets from a branch."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from models.chat.conversation import MESSAGE_STATES, ROLES, Message, MessageState, Role
from models.chat.prompt import build_messages
from models.runtime.protocol import PromptMessage


def message(
    role: Role, content: str, state: MessageState = "complete", reasoning: str = ""
) -> Message:
    return Message(1, 1, None, role, content, reasoning, state)


def test_a_plain_conversation() -> None:
    path = [
        message("user", "Why?"),
        message("assistant", "Because.", reasoning="Hm."),
        message("user", " And then?\n"),
    ]
    assert build_messages(path, "Be short.\n") == (
        PromptMessage("system", "Be short."),
        PromptMessage("user", "Why?"),
        PromptMessage("assistant", "Because.", "Hm."),
        PromptMessage("user", " And then?\n"),
    )
    assert build_messages(path, " \n")[0].role == "user"
    assert build_messages([]) == ()


def test_failed_and_empty_answers_are_left_out() -> None:
    for state in MESSAGE_STATES:
        path = [message("user", "a"), message("assistant", " \n", state), message("user", "b")]
        assert build_messages(path) == (PromptMessage("user", "a\n\nb"),)


def test_what_was_said_before_a_stop_is_kept() -> None:
    for state in ("cancelled", "interrupted", "failed"):
        path = [message("user", "a"), message("assistant", "It is", state), message("user", "b")]
        assert [m.content for m in build_messages(path)] == ["a", "It is", "b"]


def test_the_answer_being_written_is_not_its_own_prompt() -> None:
    path = [message("user", "a"), message("assistant", "It", "streaming")]
    assert build_messages(path) == (PromptMessage("user", "a"),)


def test_system_messages_come_first_and_together() -> None:
    path = [
        message("system", "One."),
        message("user", "a"),
        message("system", "Two."),
        message("user", "b"),
    ]
    assert build_messages(path, "Zero.") == (
        PromptMessage("system", "Zero.\n\nOne.\n\nTwo."),
        PromptMessage("user", "a\n\nb"),
    )


def test_answers_in_a_row_become_one() -> None:
    path = [
        message("user", "a"),
        message("assistant", "b", reasoning="r1"),
        message("assistant", "c"),
        message("assistant", "d", reasoning="r2"),
    ]
    assert build_messages(path)[1] == PromptMessage("assistant", "b\n\nc\n\nd", "r1\n\nr2")


messages = st.builds(
    message,
    st.sampled_from(ROLES),
    st.sampled_from(["", " ", "a", "b"]),
    st.sampled_from(MESSAGE_STATES),
)


@given(path=st.lists(messages, max_size=10), system=st.sampled_from(["", "s"]))
def test_roles_always_alternate(path: list[Message], system: str) -> None:
    built = build_messages(path, system)
    roles = [m.role for m in built]
    assert "system" not in roles[1:]
    assert all(a != b for a, b in itertools.pairwise(roles))
    for said in path:
        if said.role == "user" and said.content.strip():
            assert any(m.role == "user" and said.content in m.content for m in built)
