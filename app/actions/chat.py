"""Asking and answering: what is sent, in which order, what is kept, what happens on a failure.

A message of the user is in the store before the engine hears of it. An answer is committed as it
streams, and whatever ends it early leaves the text that had arrived.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.answer import LiveAnswer, WaitingAnswer
from app.actions.branch import Branch, commit_beginning, commit_question, read_branch, to_sibling
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus, sampling
from app.bridges.engine import EngineBridge
from app.messages import Messages
from app.tasks import TaskRunner
from models.chat.conversation import MessageState
from models.chat.prompt import build_messages
from models.chat.store import ConversationStore
from models.errors import EngineError, FathomError, StoreError
from models.runtime.protocol import (
    Cancelled,
    Done,
    GenerateRequest,
    PromptMessage,
    Started,
    Stats,
    Usage,
)
from models.runtime.supervisor import EngineSupervisor
from models.settings import Settings

COMMIT_INTERVAL_MS = 400


class Chat(QObject):
    """Everything that happens in a conversation. Main thread only; nothing here waits."""

    branch_shown = Signal(object)  # Branch | None: show it from scratch
    answer_began = Signal(int)  # message id, on the branch that is shown
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
        bridge: EngineBridge,
        loader: LoadModel,
        store: ConversationStore,
        settings: Settings,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._supervisor = supervisor
        self._loader = loader
        self._store = store
        self._settings = settings
        self._runner = runner
        self._messages = messages
        self._branch: Branch | None = None
        self._wanted_id: int | None = None
        self._live: LiveAnswer | None = None
        self._beginning: WaitingAnswer | None = None
        self._waiting: deque[WaitingAnswer] = deque()
        self._errors: dict[int, FathomError] = {}
        self._commit_timer = QTimer(self)
        self._commit_timer.setInterval(COMMIT_INTERVAL_MS)
        self._commit_timer.timeout.connect(self._commit)
        bridge.started.connect(self._on_started)
        bridge.stats.connect(self._on_stats)
        bridge.delta.connect(self._on_delta)
        bridge.finished.connect(self._on_finished)
        bridge.failed.connect(self._on_failed)
        loader.status_changed.connect(self._on_model_status)
        loader.about_to_load.connect(self.stop_any)

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
        return self._live

    @property
    def is_answering_here(self) -> bool:
        """Whether the conversation on the page is being answered or about to be."""
        active = self._live.message if self._live else self._beginning
        return active is not None and active.conversation_id == self.conversation_id

    @property
    def is_waiting_here(self) -> bool:
        """Whether a question on the page waits for the engine."""
        return any(item.conversation_id == self.conversation_id for item in self._waiting)

    @property
    def answering_id(self) -> int | None:
        """The conversation that is being answered."""
        return self._live.message.conversation_id if self._live else None

    def error_of(self, message_id: int) -> FathomError | None:
        """Return why an answer of this session ended early."""
        return self._errors.get(message_id)

    # --- what the user does ---------------------------------------------------------------------

    def show(self, conversation_id: int | None) -> None:
        """Put a conversation on the page; None for a new one."""
        self._wanted_id = conversation_id
        if conversation_id is None:
            self._set_branch(None)
            return
        self._runner.run(
            partial(read_branch, self._store, conversation_id),
            done=self._on_branch,
            error=self._on_store_error,
            lane="store",
        )

    def send(self, text: str) -> None:
        """Commit a message of the user and have it answered."""
        text = text.strip()
        if not text:
            return
        conversation_id = self.conversation_id
        leaf_id = self._branch.turns[-1].message.id if self._branch and self._branch.turns else None
        self._ask(text, conversation_id, leaf_id)

    def edit(self, message_id: int, text: str) -> None:
        """Ask again in other words: a sibling of a message of the user."""
        turn = self._branch.turn(message_id) if self._branch else None
        if turn is None or not text.strip():
            return
        self._ask(text.strip(), turn.message.conversation_id, turn.message.parent_id)

    def regenerate(self, message_id: int) -> None:
        """Have a question answered once more: a sibling of an answer, or an answer at last."""
        turn = self._branch.turn(message_id) if self._branch else None
        if turn is None:
            return
        message = turn.message
        parent_id = message.id if message.role == "user" else message.parent_id
        if parent_id is not None:
            self._enqueue(WaitingAnswer(message.conversation_id, parent_id))

    def continue_answer(self, message_id: int) -> None:
        """Go on with an answer that ended early; the short one stays as a sibling."""
        turn = self._branch.turn(message_id) if self._branch else None
        if turn is None or turn.message.parent_id is None:
            return
        message = turn.message
        assert message.parent_id is not None
        self._enqueue(WaitingAnswer(message.conversation_id, message.parent_id, message.id))

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
        if not 0 <= index < len(turn.sibling_ids):
            return
        conversation_id = turn.message.conversation_id
        self._runner.run(
            partial(to_sibling, self._store, conversation_id, turn.sibling_ids[index]),
            done=self._on_branch,
            error=self._on_store_error,
            lane="store",
        )

    def stop(self) -> None:
        """Stop the answer on the page, and forget what waits there."""
        if self.conversation_id is not None:
            self.stop_in(self.conversation_id)

    def stop_in(self, conversation_id: int) -> None:
        """Stop the answer in a conversation, and forget what waits there."""
        self._waiting = deque(
            item for item in self._waiting if item.conversation_id != conversation_id
        )
        if self._live and self._live.message.conversation_id == conversation_id:
            self.stop_any()
        self.state_changed.emit()

    @Slot()
    def stop_any(self) -> None:
        """Stop the answer that is being written; what has arrived is kept."""
        if self._live is None or self._live.is_stopping:
            return
        self._live.is_stopping = True
        if self._live.request_id is not None:
            self._send_cancel(self._live.request_id)
        self.state_changed.emit()

    def cancel_waiting(self) -> None:
        """Forget every question that still waits for the engine."""
        self._waiting.clear()
        self.state_changed.emit()

    # --- the queue ------------------------------------------------------------------------------

    def _ask(self, text: str, conversation_id: int | None, parent_id: int | None) -> None:
        system_prompt = str(self._settings.get("chat.system_prompt"))
        operation = partial(
            commit_question, self._store, conversation_id, parent_id, text, system_prompt
        )
        asking = _Asking(self, text, conversation_id)
        self._runner.run(operation, done=asking.committed, error=asking.failed, lane="store")

    def question_committed(self, branch: Branch, asked_from: int | None) -> None:
        """Show a question that is in the store now, and have it answered."""
        if self._wanted_id == asked_from:
            self._wanted_id = branch.conversation.id
            self._set_branch(branch)
        self.conversations_changed.emit()
        question = branch.turns[-1].message
        self._enqueue(WaitingAnswer(question.conversation_id, question.id))

    def question_failed(self, text: str, error: Exception) -> None:
        """Give back a question that could not be committed."""
        self.send_failed.emit(text)
        self._on_store_error(error)

    def _enqueue(self, waiting: WaitingAnswer) -> None:
        self._waiting.append(waiting)
        self.state_changed.emit()
        self._pump()

    def _pump(self) -> None:
        """Begin the next answer when the engine is free."""
        if self._live or self._beginning or not self._waiting or not self._loader.status.is_ready:
            return
        waiting = self._waiting.popleft()
        self._beginning = waiting
        entry = self._loader.status.entry
        operation = partial(commit_beginning, self._store, waiting, entry.title if entry else "")
        self._runner.run(operation, done=self._on_begun, error=self._on_begin_failed, lane="store")
        self.state_changed.emit()

    def _on_begun(self, branch: Branch) -> None:
        waiting, self._beginning = self._beginning, None
        assert waiting is not None
        message = branch.turns[-1].message
        self._live = LiveAnswer(message)
        self._commit_timer.start()
        request = self._request(branch, continued=waiting.continued_id is not None)
        if self._wanted_id == message.conversation_id:
            self._set_branch(branch)
            self.answer_began.emit(message.id)
        self._runner.run(
            partial(self._supervisor.generate, request),
            done=self._on_requested,
            error=self._on_refused,
            lane="engine",
        )
        self.state_changed.emit()
        self.conversations_changed.emit()

    def _on_begin_failed(self, error: Exception) -> None:
        self._beginning = None
        self._on_store_error(error)
        self.state_changed.emit()

    def _request(self, branch: Branch, *, continued: bool) -> GenerateRequest:
        *path, answer = (turn.message for turn in branch.turns)
        prompt = build_messages(path, branch.conversation.system_prompt)
        if continued:
            prompt = (*prompt, PromptMessage("assistant", answer.content, answer.reasoning))
        return GenerateRequest(
            messages=prompt,
            sampling=sampling(self._settings),
            max_tokens=int(str(self._settings.get("chat.max_tokens"))),
            continue_answer=continued,
        )

    # --- what the engine says -------------------------------------------------------------------

    def _on_requested(self, request_id: int) -> None:
        if self._live is None:
            return
        self._live.request_id = request_id
        if self._live.is_stopping:
            self._send_cancel(request_id)

    def _send_cancel(self, request_id: int) -> None:
        self._runner.run(
            partial(self._supervisor.cancel, request_id),
            done=self._ignore,
            error=self._on_engine_error,
        )

    def _is_live(self, request_id: int | None) -> bool:
        """Tell whether a request is the live one; an event may come before the lane's answer."""
        if self._live is None or request_id is None:
            return False
        if self._live.request_id is None:
            self._live.request_id = request_id
        return self._live.request_id == request_id

    @Slot(int, Started)
    def _on_started(self, request_id: int, started: Started) -> None:
        if self._is_live(request_id) and self._live:
            self._live.prompt_tokens = started.prompt_tokens

    @Slot(int, str, str, int)
    def _on_delta(self, request_id: int, text: str, reasoning: str, tokens: int) -> None:
        if not self._is_live(request_id) or self._live is None:
            return
        self._live.take(text, reasoning, tokens)
        if self._live.message.conversation_id == self.conversation_id:
            self.delta.emit(self._live.message.id, text, reasoning)

    @Slot(Stats)
    def _on_stats(self, stats: Stats) -> None:
        if self._live and self._live.message.conversation_id == self.conversation_id:
            self.stats.emit(stats)

    @Slot(int, object)
    def _on_finished(self, request_id: int, ending: Done | Cancelled) -> None:
        if isinstance(ending, Cancelled) and ending.usage is None:
            return
        if not self._is_live(request_id):
            return
        if isinstance(ending, Done):
            self._end("complete", ending.usage, ending.stop_reason)
        else:
            self._end("cancelled", ending.usage, "cancelled")

    @Slot(object, FathomError)
    def _on_failed(self, request_id: int | None, error: FathomError) -> None:
        if self._live is None:
            return
        if request_id is not None and not self._is_live(request_id):
            return
        self._fail(error)

    def _on_refused(self, error: Exception) -> None:
        if not isinstance(error, FathomError):
            raise error
        if self._live is not None:
            self._fail(error)

    def _fail(self, error: FathomError) -> None:
        assert self._live is not None
        self._errors[self._live.message.id] = error
        state: MessageState = "interrupted" if isinstance(error, EngineError) else "failed"
        self._end(state, None, error.code)

    def _end(self, state: MessageState, usage: Usage | None, stop_reason: str) -> None:
        live, self._live = self._live, None
        assert live is not None
        self._commit_timer.stop()
        figures = live.usage(usage, stop_reason)
        message = dataclasses.replace(
            live.message,
            content=live.content,
            reasoning=live.reasoning,
            state=state,
            usage=figures,
            reasoning_elapsed_s=live.reasoning_elapsed_s,
        )
        self._runner.run(
            partial(
                self._store.finish_answer,
                message.id,
                message.content,
                message.reasoning,
                state,
                figures,
                reasoning_elapsed_s=message.reasoning_elapsed_s,
            ),
            done=self._ignore,
            error=self._on_store_error,
            lane="store",
        )
        if self._branch and self._branch.turn(message.id):
            self._branch = self._branch.with_message(message)
            self.answer_ended.emit(message.id)
        self.state_changed.emit()
        self.conversations_changed.emit()
        self._pump()

    @Slot()
    def _commit(self) -> None:
        live = self._live
        if live is None or live.is_committing or not live.take_dirty():
            return
        live.is_committing = True
        self._runner.run(
            partial(self._store.update_answer, live.message.id, live.content, live.reasoning),
            done=self._on_committed,
            error=self._on_commit_failed,
            lane="store",
        )

    def _on_committed(self, _result: None) -> None:
        if self._live:
            self._live.is_committing = False

    def _on_commit_failed(self, error: Exception) -> None:
        if self._live:
            self._live.is_committing = False
        self._on_store_error(error)

    @Slot(ModelStatus)
    def _on_model_status(self, status: ModelStatus) -> None:
        if status.phase is LoadPhase.FAILED and self._live is not None:
            self._fail(status.error or EngineError(self.tr("The engine has ended.")))
        self._pump()
        self.state_changed.emit()

    # --- the branch on the page -----------------------------------------------------------------

    def _on_branch(self, branch: Branch) -> None:
        if branch.conversation.id != self._wanted_id:
            return
        live = self._live
        if live and branch.turn(live.message.id):
            message = dataclasses.replace(
                live.message, content=live.content, reasoning=live.reasoning
            )
            branch = branch.with_message(message)
        self._set_branch(branch)

    def _set_branch(self, branch: Branch | None) -> None:
        self._branch = branch
        self.branch_shown.emit(branch)
        self.state_changed.emit()

    def _on_store_error(self, error: Exception) -> None:
        if not isinstance(error, StoreError):
            raise error
        self._messages.error(error)

    def _on_engine_error(self, error: Exception) -> None:
        if not isinstance(error, FathomError):
            raise error
        self._messages.error(error)

    def _ignore(self, result: object) -> None:
        """Take a result that says nothing."""


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
