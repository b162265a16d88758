"""The branch of a conversation that is on the page: read and changed in one go each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.actions.answer import WaitingAnswer
from models.chat.conversation import Conversation, Message
from models.chat.store import ConversationStore
from models.chat.title import title_from


@dataclass(frozen=True)
class Turn:
    """A message of the branch and its siblings' ids, itself included, in creation order."""

    message: Message
    sibling_ids: tuple[int, ...]

    @property
    def number(self) -> int:
        """Which of the siblings this is, from 1."""
        return self.sibling_ids.index(self.message.id) + 1


@dataclass(frozen=True)
class Branch:
    """A conversation and the messages from the first to its leaf."""

    conversation: Conversation
    turns: tuple[Turn, ...] = ()

    def turn(self, message_id: int) -> Turn | None:
        """Return the turn of a message, or None when it is not on this branch."""
        return next((turn for turn in self.turns if turn.message.id == message_id), None)

    def with_message(self, message: Message) -> Branch:
        """Return the branch with a newer state of one of its messages."""
        turns = tuple(
            replace(turn, message=message) if turn.message.id == message.id else turn
            for turn in self.turns
        )
        return replace(self, turns=turns)


def read_branch(store: ConversationStore, conversation_id: int) -> Branch:
    """Read the branch that is shown. For the store lane.

    Raises:
        StoreError: there is no such conversation, or the store cannot be read.
    """
    conversation = store.conversation(conversation_id)
    tree = store.children(conversation_id)
    turns = tuple(
        Turn(message, tree.get(message.parent_id, (message.id,)))
        for message in store.path_to_leaf(conversation_id)
    )
    return Branch(conversation, turns)


def commit_question(
    store: ConversationStore, conversation_id: int | None, text: str, system_prompt: str
) -> Branch:
    """Store a question at the end of a conversation, or in a new one. For the store lane.

    Raises:
        StoreError: it could not be stored.
    """
    parent_id: int | None = None
    if conversation_id is None:
        title = title_from(text)
        conversation_id = store.create_conversation(title, system_prompt=system_prompt).id
    else:
        # Asked here and not by the page: an earlier question may have been stored meanwhile.
        parent_id = store.conversation(conversation_id).leaf_id
    store.add_message(conversation_id, parent_id, "user", text)
    return read_branch(store, conversation_id)


def commit_edit(store: ConversationStore, message_id: int, text: str) -> Branch:
    """Store a question in other words, as a sibling of the first. For the store lane.

    Raises:
        StoreError: it could not be stored.
    """
    old = store.message(message_id)
    store.add_message(old.conversation_id, old.parent_id, "user", text)
    return read_branch(store, old.conversation_id)


def commit_beginning(store: ConversationStore, waiting: WaitingAnswer, checkpoint: str) -> Branch:
    """Store the empty answer that is about to be written. For the store lane.

    Raises:
        StoreError: it could not be stored.
    """
    old: Message | None = None
    if waiting.continued_id is not None:
        old = store.message(waiting.continued_id)
    store.add_message(
        waiting.conversation_id,
        waiting.parent_id,
        "assistant",
        old.content if old else "",
        state="streaming",
        reasoning=old.reasoning if old else "",
        checkpoint=checkpoint,
    )
    store.set_checkpoint(waiting.conversation_id, checkpoint)
    return read_branch(store, waiting.conversation_id)


def to_sibling(store: ConversationStore, conversation_id: int, message_id: int) -> Branch:
    """Show the newest branch through a message. For the store lane.

    Raises:
        StoreError: there is no such message, or the choice cannot be kept.
    """
    store.set_leaf(conversation_id, store.newest_leaf(message_id))
    return read_branch(store, conversation_id)
