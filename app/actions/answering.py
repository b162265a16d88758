"""Answers, one after the other: the queue, the one being written, what is kept of it.

An answer is committed as it streams, and whatever ends it early leaves the text that had arrived.
Each answer takes a turn at the engine, which other programs may be using: it is asked for when the
answer could begin, and given back however the answer ends.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import partial

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from app.actions.answer import LiveAnswer, WaitingAnswer
from app.actions.branch import Branch, commit_beginning
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.bridges.engine import EngineBridge
from app.messages import Messages
from app.tasks import TaskRunner, expected
from models.chat.conversation import Message, MessageState
from models.chat.prompt import build_messages
from models.chat.store import ConversationStore
from models.engine_settings import sampling
from models.errors import EngineError, FathomError
from models.runtime.protocol import Cancelled, Done, GenerateRequest, PromptMessage, Started, Usage
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns, Turn
from models.settings import Settings

COMMIT_INTERVAL_MS = 400


class Answering(QObject):
    """Has one question after the other answered. Main thread only; nothing here waits."""

    began = Signal(object)  # Branch that ends with the empty answer
    delta = Signal(int, str, str)  # message id, text, reasoning
    ended = Signal(object)  # Message
    changed = Signal()  # what is live or waiting has changed
    _turn_came = Signal()

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
        self._supervisor = supervisor
        self._turns = turns
        self._turn: Turn | None = None
        # Given back in a lane: whoever is next may have a long question to send.
        self._is_ending_turn = False
        self._loader = loader
        self._store = store
        self._settings = settings
        self._runner = runner
        self._messages = messages
        self._live: LiveAnswer | None = None
        self._beginning: WaitingAnswer | None = None
        self._beginning_is_stopped = False
        self._waiting: deque[WaitingAnswer] = deque()
        # Ended before the engine lane told which answer the request belongs to.
        self._cancelled_early: set[int] = set()
        self._failed_early: dict[int, FathomError] = {}
        self._errors: dict[int, FathomError] = {}
        # Ended, and not in the store yet: a branch read meanwhile has an older state of them.
        self._unsaved: dict[int, Message] = {}
        self._commit_timer = QTimer(self)
        self._commit_timer.setInterval(COMMIT_INTERVAL_MS)
        self._commit_timer.timeout.connect(self._commit)
        # Told in the thread of whoever had the turn before.
        self._turn_came.connect(self._pump, Qt.ConnectionType.QueuedConnection)
        bridge.started.connect(self._on_started)
        bridge.delta.connect(self._on_delta)
        bridge.finished.connect(self._on_finished)
        bridge.failed.connect(self._on_failed)
        loader.status_changed.connect(self._on_model_status)
        loader.about_to_load.connect(self.stop_any)

    @property
    def live(self) -> LiveAnswer | None:
        """The answer being written, in whatever conversation."""
        return self._live

    def is_answering(self, conversation_id: int | None) -> bool:
        """Whether a conversation is being answered or about to be."""
        active = self._live.message if self._live else self._beginning
        return active is not None and active.conversation_id == conversation_id

    def is_waiting(self, conversation_id: int | None) -> bool:
        """Whether a question of a conversation waits for the engine."""
        return any(item.conversation_id == conversation_id for item in self._waiting)

    @property
    def is_behind_program(self) -> bool:
        """Whether the next answer waits for one that another program is given."""
        return self._turn is not None and not self._turn.has_begun

    def error_of(self, message_id: int) -> FathomError | None:
        """Return why an answer of this session ended early."""
        return self._errors.get(message_id)

    def current(self, branch: Branch) -> Branch:
        """Return a branch with what of its answers has not reached the store yet."""
        for message in self._unsaved.values():
            branch = branch.with_message(message)
        return branch.with_message(self._live.so_far()) if self._live else branch

    # --- what is asked for ----------------------------------------------------------------------

    def enqueue(self, waiting: WaitingAnswer) -> None:
        """Have an answer written as soon as the engine is free."""
        self._waiting.append(waiting)
        self.changed.emit()
        self._pump()

    def give_up(self, question_id: int | None) -> None:
        """Forget a question that waits, as when another one goes on from it."""
        self._keep_waiting([item for item in self._waiting if item.parent_id != question_id])

    def stop_in(self, conversation_id: int) -> None:
        """Stop the answer in a conversation, and forget what waits there."""
        self._keep_waiting(
            [item for item in self._waiting if item.conversation_id != conversation_id]
        )
        if self.is_answering(conversation_id):
            self.stop_any()

    @Slot()
    def stop_any(self) -> None:
        """Stop the answer that is being written; what has arrived is kept."""
        self._beginning_is_stopped = self._beginning is not None
        if self._live is not None and not self._live.is_stopping:
            self._live.is_stopping = True
            if self._live.request_id is not None:
                self._send_cancel(self._live.request_id)
        self.changed.emit()

    def cancel_waiting(self) -> None:
        """Forget every question that still waits for the engine."""
        self._keep_waiting([])

    def _keep_waiting(self, items: list[WaitingAnswer]) -> None:
        if len(items) != len(self._waiting):
            self._waiting = deque(items)
            self._pump()
            self.changed.emit()

    # --- the beginning --------------------------------------------------------------------------

    @Slot()
    def _pump(self) -> None:
        """Begin the next answer when the engine is free, whoever else it answers."""
        if self._live or self._beginning or self._is_ending_turn:
            return
        if not self._waiting or not self._loader.status.is_ready:
            self._end_turn()
            return
        if self._turn is None:
            self._turn = self._turns.ask(self._turn_came.emit)
        if not self._turn.has_begun:
            self.changed.emit()
            return
        waiting = self._waiting.popleft()
        self._beginning, self._beginning_is_stopped = waiting, False
        entry = self._loader.status.entry
        operation = partial(commit_beginning, self._store, waiting, entry.title if entry else "")
        self._runner.run(operation, done=self._on_begun, error=self._on_begin_failed, lane="store")
        self.changed.emit()

    def _end_turn(self) -> None:
        """Let somebody else have the engine."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._is_ending_turn = True
            self._runner.run(
                turn.end, done=self._on_turn_ended, error=self._on_turn_lost, lane="control"
            )

    def _on_turn_ended(self, _result: None) -> None:
        self._is_ending_turn = False
        self._pump()

    def _on_turn_lost(self, error: Exception) -> None:
        # Whoever is next went wrong; the chat goes on.
        self._on_turn_ended(None)
        self._on_error(error)

    def _on_begun(self, branch: Branch) -> None:
        waiting, self._beginning = self._beginning, None
        assert waiting is not None
        branch = self.current(branch)
        self._live = LiveAnswer(branch.turns[-1].message)
        self._cancelled_early.clear()
        self._failed_early.clear()
        self.began.emit(branch)
        if self._beginning_is_stopped:
            self._end("cancelled", None, "cancelled")
            return
        self._commit_timer.start()
        request = self._request(branch, continued=waiting.continued_id is not None)
        self._runner.run(
            partial(self._supervisor.generate, request),
            done=self._on_requested,
            error=self._on_refused,
            lane="engine",
        )
        self.changed.emit()

    def _on_begin_failed(self, error: Exception) -> None:
        self._beginning = None
        self._end_turn()
        self._on_error(error)
        self.changed.emit()
        self._pump()

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
        live = self._live
        if live is None or live.request_id not in (None, request_id):
            return
        live.request_id = request_id
        if request_id in self._cancelled_early:
            self._end("cancelled", None, "cancelled")
        elif request_id in self._failed_early:
            self._fail(self._failed_early[request_id])
        elif live.is_stopping:
            self._send_cancel(request_id)

    def _send_cancel(self, request_id: int) -> None:
        self._runner.run(
            partial(self._supervisor.cancel, request_id),
            done=self._ignore,
            error=self._on_error,
            lane="control",
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
        if self._is_live(request_id) and self._live:
            self._live.take(text, reasoning, tokens)
            self.delta.emit(self._live.message.id, text, reasoning)

    @Slot(int, object)
    def _on_finished(self, request_id: int, ending: Done | Cancelled) -> None:
        if self._live is None:
            return
        if isinstance(ending, Cancelled) and ending.usage is None:
            # Before the first word, or a load that was stopped: only its id tells.
            self._cancelled_early.add(request_id)
            if self._live.request_id == request_id:
                self._end("cancelled", None, "cancelled")
        elif self._is_live(request_id):
            if isinstance(ending, Done):
                self._end("complete", ending.usage, ending.stop_reason)
            else:
                self._end("cancelled", ending.usage, "cancelled")

    @Slot(object, FathomError)
    def _on_failed(self, request_id: int | None, error: FathomError) -> None:
        if self._live is None:
            return
        if request_id is not None and self._live.request_id is None:
            # It may be the end of what another program had asked before.
            self._failed_early[request_id] = error
        elif request_id in (None, self._live.request_id):
            self._fail(error)

    def _on_refused(self, error: Exception) -> None:
        error = expected(error)
        if self._live is not None:
            self._fail(error)

    @Slot(ModelStatus)
    def _on_model_status(self, status: ModelStatus) -> None:
        if status.phase is LoadPhase.FAILED and self._live is not None:
            self._fail(status.error or EngineError(self.tr("The engine has ended.")))
        self._pump()
        self.changed.emit()

    # --- the end, and what is kept --------------------------------------------------------------

    def _fail(self, error: FathomError) -> None:
        assert self._live is not None
        self._errors[self._live.message.id] = error
        state: MessageState = "interrupted" if isinstance(error, EngineError) else "failed"
        self._end(state, None, error.code)

    def _end(self, state: MessageState, usage: Usage | None, stop_reason: str) -> None:
        live, self._live = self._live, None
        assert live is not None
        self._end_turn()
        self._commit_timer.stop()
        figures = live.usage(usage, stop_reason)
        message = dataclasses.replace(live.so_far(), state=state, usage=figures)
        self._unsaved[message.id] = message
        self._runner.run(
            partial(_finish, self._store, message),
            done=self._on_saved,
            error=self._on_error,
            lane="store",
        )
        self.ended.emit(message)
        self.changed.emit()
        self._pump()

    def _on_saved(self, message_id: int) -> None:
        self._unsaved.pop(message_id, None)

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
        self._on_error(error)

    def _on_error(self, error: Exception) -> None:
        self._messages.error(expected(error))

    def _ignore(self, result: object) -> None:
        """Take a result that says nothing."""


def _finish(store: ConversationStore, message: Message) -> int:
    """Store the end of an answer; return its id. For the store lane."""
    store.finish_answer(
        message.id,
        message.content,
        message.reasoning,
        message.state,
        message.usage,
        reasoning_elapsed_s=message.reasoning_elapsed_s,
    )
    return message.id
