"""The conversation on the page: shown, asked, asked again in other words, answered once more.

A message of the user is in the store before the engine hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, Signal, Slot

from app.actions.answer import LiveAnswer, WaitingAnswer
from app.actions.answering import Answering
from app.actions.branch import Branch, commit_edit, commit_question, read_branch, to_sibling
from app.actions.load_model import LoadModel
from app.bridges.engine import EngineBridge
from app.messages import Messages
from app.tasks import TaskRunner
from models.chat.conversation import Message
from models.chat.store import ConversationStore
from models.errors import FathomError, StoreError
from models.runtime.protocol import Stats
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns
from models.settings import Settings


class Chat(QObject):
    """Everything that happens in a conversation. Main thread only; nothing here waits."""

    branch_shown = Signal(object)  # Branch | None: show it from scratch
    delta = Signal(int, str, str)  # message id, text, reasoning
    answer_ended = Signal(int)
    state_changed = Signal()  # what is live or waiting has changed
    conversations_changed = Signal()
    send_failed = Signal(str)  # the text, so that it is not lost
    stats = Signal(Stats)  # the engine's, while the conversation on the page is answered

    def __init__(
        self,
        *,
        supervisor: EngineSupervisor,
        turns: EngineTurns,
        bridge: EngineBridge,
        loader: LoadModel,
        store: ConversationStore,
        settings: Settings,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._loader = loader
        self._store = store
        self._settings = settings
        self._runner = runner
        self._messages = messages
        self._branch: Branch | None = None
        self._wanted_id: int | None = None
        self._answering = Answering(
            supervisor=supervisor,
            turns=turns,
            bridge=bridge,
            loader=loader,
            store=store,
            settings=settings,
            runner=runner,
            messages=messages,
            parent=self,
        )
        self._answering.began.connect(self._on_began)
        self._answering.delta.connect(self._on_delta)
        self._answering.ended.connect(self._on_ended)
        self._answering.changed.connect(self.state_changed)
        bridge.stats.connect(self._on_stats)

    # --- what the page asks ---------------------------------------------------------------------

    @property
    def branch(self) -> Branch | None:
        """What is on the page; None for a conversation that has not begun."""
        return self._branch

    @property
    def conversation_id(self) -> int | None:
        """The conversation on the page."""
        return self._branch.conversation.id if self._branch else None

    @property
    def live(self) -> LiveAnswer | None:
        """The answer being written, in whatever conversation."""
        return self._answering.live

    @property
    def is_answering_here(self) -> bool:
        """Whether the conversation on the page is being answered or about to be."""
        return self._answering.is_answering(self.conversation_id)

    @property
    def is_waiting_here(self) -> bool:
        """Whether a question on the page waits for the engine."""
        return self._answering.is_waiting(self.conversation_id)

    @property
    def is_behind_program(self) -> bool:
        """Whether the next answer waits for one that another program is given."""
        return self._answering.is_behind_program

    @property
    def answering_id(self) -> int | None:
        """The conversation that is being answered."""
        return self.live.message.conversation_id if self.live else None

    def error_of(self, message_id: int) -> FathomError | None:
        """Return why an answer of this session ended early."""
        return self._answering.error_of(message_id)

    # --- what the user does ---------------------------------------------------------------------

    def show(self, conversation_id: int | None) -> None:
        """Put a conversation on the page; None for a new one."""
        self._wanted_id = conversation_id
        if conversation_id is None:
            self._set_branch(None)
            return
        self._read(partial(read_branch, self._store, conversation_id))

    def send(self, text: str) -> None:
        """Commit a message of the user and have it answered."""
        text = text.strip()
        if text:
            system_prompt = str(self._settings.get("chat.system_prompt"))
            self._ask(
                partial(commit_question, self._store, self.conversation_id, text, system_prompt),
                text,
            )

    def edit(self, message_id: int, text: str) -> None:
        """Ask again in other words: a sibling of a message of the user."""
        text = text.strip()
        if text:
            self._ask(partial(commit_edit, self._store, message_id, text), text)

    def regenerate(self, message_id: int) -> None:
        """Have a question answered once more: a sibling of an answer, or an answer at last."""
        message = self._message(message_id)
        if message is None:
            return
        parent_id = message.id if message.role == "user" else message.parent_id
        if parent_id is not None:
            self._answering.enqueue(WaitingAnswer(message.conversation_id, parent_id))

    def continue_answer(self, message_id: int) -> None:
        """Go on with an answer that ended early; the short one stays as a sibling."""
        message = self._message(message_id)
        if message is not None and message.parent_id is not None:
            self._answering.enqueue(
                WaitingAnswer(message.conversation_id, message.parent_id, message.id)
            )

    def retry(self, message_id: int) -> None:
        """Have a failed answer written again, and start the engine for it if need be."""
        if not self._loader.status.is_ready:
            self._loader.retry()
        self.regenerate(message_id)

    def show_sibling(self, message_id: int, offset: int) -> None:
        """Go to the sibling before (-1) or after (+1) a message."""
        turn = self._branch.turn(message_id) if self._branch else None
        if turn is None or self.is_answering_here:
            return
        index = turn.sibling_ids.index(message_id) + offset
        if 0 <= index < len(turn.sibling_ids):
            sibling_id = turn.sibling_ids[index]
            self._read(partial(to_sibling, self._store, turn.message.conversation_id, sibling_id))

    @Slot()
    def stop(self) -> None:
        """Stop the answer on the page, and forget what waits there."""
        if self.conversation_id is not None:
            self.stop_in(self.conversation_id)

    def stop_in(self, conversation_id: int) -> None:
        """Stop the answer in a conversation, and forget what waits there."""
        self._answering.stop_in(conversation_id)

    def cancel_waiting(self) -> None:
        """Forget every question that still waits for the engine."""
        self._answering.cancel_waiting()

    # --- asking ---------------------------------------------------------------------------------

    def _ask(self, operation: Callable[[], Branch], text: str) -> None:
        asking = _Asking(self, text, self.conversation_id)
        self._runner.run(operation, done=asking.committed, error=asking.failed, lane="store")

    def question_committed(self, branch: Branch, asked_from: int | None) -> None:
        """Show a question that is in the store now, and have it answered."""
        if self._wanted_id == asked_from:
            self._wanted_id = branch.conversation.id
            self._set_branch(branch)
        self.conversations_changed.emit()
        question = branch.turns[-1].message
        # Of two questions in a row the first needs no answer of its own: that to the second one,
        # which has both before it, is the answer.
        self._answering.give_up(question.parent_id)
        self._answering.enqueue(WaitingAnswer(question.conversation_id, question.id))

    def question_failed(self, text: str, error: Exception) -> None:
        """Give back a question that could not be committed."""
        self.send_failed.emit(text)
        self._on_store_error(error)

    # --- what becomes of the answers ------------------------------------------------------------

    @Slot(object)
    def _on_began(self, branch: Branch) -> None:
        if self._wanted_id == branch.conversation.id:
            self._set_branch(branch)
        self.conversations_changed.emit()

    @Slot(int, str, str)
    def _on_delta(self, message_id: int, text: str, reasoning: str) -> None:
        if self.answering_id == self.conversation_id:
            self.delta.emit(message_id, text, reasoning)

    @Slot(object)
    def _on_ended(self, message: Message) -> None:
        if self._branch and self._branch.turn(message.id):
            self._branch = self._branch.with_message(message)
            self.answer_ended.emit(message.id)
        self.conversations_changed.emit()

    @Slot(Stats)
    def _on_stats(self, stats: Stats) -> None:
        if self.live and self.answering_id == self.conversation_id:
            self.stats.emit(stats)

    # --- the branch on the page -----------------------------------------------------------------

    def _message(self, message_id: int) -> Message | None:
        turn = self._branch.turn(message_id) if self._branch else None
        return turn.message if turn else None

    def _read(self, operation: Callable[[], Branch]) -> None:
        self._runner.run(operation, done=self._on_branch, error=self._on_store_error, lane="store")

    def _on_branch(self, branch: Branch) -> None:
        if branch.conversation.id == self._wanted_id:
            self._set_branch(branch)

    def _set_branch(self, branch: Branch | None) -> None:
        self._branch = self._answering.current(branch) if branch else None
        self.branch_shown.emit(self._branch)
        self.state_changed.emit()

    def _on_store_error(self, error: Exception) -> None:
        if not isinstance(error, StoreError):
            raise error
        self._messages.error(error)


class _Asking(QObject):
    """One question on its way into the store; remembers from where it was asked."""

    def __init__(self, chat: Chat, text: str, conversation_id: int | None) -> None:
        super().__init__(chat)
        self._chat = chat
        self._text = text
        self._conversation_id = conversation_id

    def committed(self, branch: Branch) -> None:
        """Hand the branch to the chat."""
        self._chat.question_committed(branch, self._conversation_id)
        self.deleteLater()

    def failed(self, error: Exception) -> None:
        """Hand the text back."""
        self._chat.question_failed(self._text, error)
        self.deleteLater()
