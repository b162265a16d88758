"""The chat page: conversations, model, transcript and composer, joined to the actions."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.actions.branch import Branch
from app.actions.chat import Chat
from app.actions.conversations import Conversations
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.bridges.settings import SettingsBridge
from app.theme import SPACE_L, SPACE_S, SPACE_XL, TEXT_COLUMN_WIDTH
from app.views.chat_frame import ChatFrame, MakeInspector
from app.views.composer import Composer
from app.views.conversation_list import EXPORT_KEYS, IMPORT_KEYS, ConversationList
from app.views.model_picker import ModelPicker
from app.views.transcript import Transcript
from app.views.turn_views import turn_view, turn_views
from app.widgets.buttons import IconButton
from app.widgets.chat_empty import ChatEmpty
from app.widgets.chat_notice import ChatNotice
from app.widgets.formula_book import FormulaBook
from app.widgets.page import HEADER_HEIGHT, hairline
from models.library.library import LibraryEntry
from models.runtime.protocol import Stats
from models.units import format_bytes


class ChatPage(ChatFrame):
    """Give it the actions and put it into the window.

    ``make_inspector`` makes what stands at the right; it is called when that is first opened.
    """

    models_requested = Signal()
    plan_requested = Signal(LibraryEntry)

    def __init__(
        self,
        *,
        chat: Chat,
        conversations: Conversations,
        loader: LoadModel,
        settings: SettingsBridge,
        make_inspector: MakeInspector | None = None,
        book: FormulaBook | None = None,
        parent: QWidget | None = None,
    ) -> None:
        side = ConversationList(conversations)
        side.setFocusProxy(side.list)
        super().__init__(side, settings=settings, make_inspector=make_inspector, parent=parent)
        self.conversation_list = side
        self._chat = chat
        self._conversations = conversations
        self._loader = loader
        self._shown_id: int | None = None
        self._asked_from_new = False
        self.setAccessibleName(self.tr("Chat"))
        self.transcript = Transcript(book=book)
        self.empty = ChatEmpty()
        self.composer = Composer()
        self.picker = ModelPicker(loader)
        self.banner = ChatNotice()
        self.banner.hide()
        self.new_button = IconButton("plus", self.tr("New chat (Ctrl+N)"))
        self._lay_out()
        self._connect()
        self._show_branch(chat.branch)
        self._on_model_status(loader.status)

    @Slot()
    def new_chat(self) -> None:
        """Begin a conversation; the cursor is in the composer."""
        self._conversations.new()
        self.close_drawer()
        self.composer.focus()

    @Slot()
    def focus_search(self) -> None:
        """Put the cursor into the search field of the conversations."""
        self.open_side()
        self.conversation_list.focus_search()

    # --- building -------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.transcript)
        banner_row = QHBoxLayout()
        banner_row.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, 0)
        banner_row.addWidget(self.banner)
        self.banner.setMaximumWidth(TEXT_COLUMN_WIDTH)
        self._banner_box = QWidget()
        self._banner_box.setLayout(banner_row)
        self._banner_box.hide()
        column = QVBoxLayout(self.main)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._make_header())
        column.addWidget(hairline())
        column.addWidget(self._banner_box)
        column.addWidget(self._stack, 1)
        column.addWidget(self.composer)
        self.setTabOrder(self.conversation_list, self.main)

    def _make_header(self) -> QWidget:
        header = QWidget()
        header.setFixedHeight(HEADER_HEIGHT)
        row = QHBoxLayout(header)
        row.setContentsMargins(SPACE_L, 0, SPACE_L, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(self.side_button)
        row.addWidget(self.new_button)
        row.addWidget(self.picker, 1)
        row.addWidget(self.inspector_button)
        return header

    def _connect(self) -> None:
        chat, conversations = self._chat, self._conversations
        chat.branch_shown.connect(self._show_branch)
        chat.delta.connect(self._on_delta)
        chat.answer_ended.connect(self._on_answer_ended)
        chat.state_changed.connect(self._on_chat_state)
        chat.send_failed.connect(self._on_send_failed)
        self._loader.status_changed.connect(self._on_model_status)
        self._loader.entries_changed.connect(self._on_entries)
        chat.stats.connect(self._on_stats)
        self.conversation_list.chosen.connect(self._on_chosen)
        self.conversation_list.opened.connect(self._on_opened)
        self.conversation_list.clicked.connect(self.close_drawer)
        self.conversation_list.new_requested.connect(self.new_chat)
        for keys, act in (
            (EXPORT_KEYS, self.conversation_list.export_current),
            (IMPORT_KEYS, self.conversation_list.choose_import),
        ):
            shortcut = QShortcut(keys, self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)
        conversations.listed.connect(self._on_chat_state)
        self.composer.send_requested.connect(self._on_send)
        self.composer.stop_requested.connect(chat.stop)
        self.transcript.acted.connect(self._on_acted)
        self.transcript.edited.connect(chat.edit)
        self.transcript.sibling_requested.connect(chat.show_sibling)
        self.empty.starter_chosen.connect(self._on_starter)
        self.empty.demo_requested.connect(self._loader.load_demo)
        self.banner.chosen.connect(self._on_banner)
        self.picker.models_requested.connect(self.models_requested)
        self.picker.plan_requested.connect(self.plan_requested)
        self.new_button.clicked.connect(self.new_chat)

    # --- the conversation on the page -----------------------------------------------------------

    @Slot(object)
    def _show_branch(self, branch: Branch | None) -> None:
        conversation_id = branch.conversation.id if branch else None
        same = conversation_id == self._shown_id
        if self._asked_from_new and conversation_id is not None:
            self.composer.adopt_conversation(conversation_id)
        elif not same:
            self.composer.show_conversation(conversation_id)
        self._asked_from_new = False
        self._shown_id = conversation_id
        views = turn_views(branch, self._chat) if branch else []
        self.transcript.set_turns(views, enabled=self._actions_enabled(), keep=same)
        self._stack.setCurrentWidget(self.transcript if views else self.empty)
        self.conversation_list.show_current(conversation_id)
        self._show_context(branch)
        self._show_banner()

    def _actions_enabled(self) -> bool:
        return not (self._chat.is_answering_here or self._chat.is_waiting_here)

    def _show_context(self, branch: Branch | None) -> None:
        used = 0
        for turn in reversed(branch.turns if branch else ()):
            if turn.message.usage:
                used = int(turn.message.usage.get("context_used") or 0)
                break
        loaded = self._loader.status.loaded
        self.composer.set_context(used, loaded.settings.n_ctx if loaded else 0)

    @Slot(int, str, str)
    def _on_delta(self, message_id: int, text: str, reasoning: str) -> None:
        answer = self.transcript.answer_of(message_id)
        if answer is not None:
            answer.append(text, reasoning)

    @Slot(int)
    def _on_answer_ended(self, message_id: int) -> None:
        branch = self._chat.branch
        turn = branch.turn(message_id) if branch else None
        if branch is None or turn is None:
            return
        is_last = branch.turns[-1] is turn
        view = turn_view(turn, self._chat, is_last=is_last)
        self.transcript.update_turn(view, enabled=self._actions_enabled())
        self._show_context(branch)

    @Slot()
    def _on_chat_state(self) -> None:
        answering = self._chat.is_answering_here or self._chat.is_waiting_here
        self.composer.set_answering(answering=answering)
        self.transcript.set_enabled_actions(enabled=not answering)
        self._refresh_question()
        self.conversation_list.model.set_live(self._chat.answering_id)
        self._show_model_hint()
        self._show_banner()

    def _refresh_question(self) -> None:
        """A question at the end may be waiting, or have been given up."""
        branch = self._chat.branch
        if branch and branch.turns and branch.turns[-1].message.role == "user":
            view = turn_view(branch.turns[-1], self._chat, is_last=True)
            self.transcript.update_turn(view, enabled=self._actions_enabled())

    @Slot(Stats)
    def _on_stats(self, stats: Stats) -> None:
        live = self._chat.live
        if live is None:
            return
        self.composer.set_context(stats.context_used, stats.context_total)
        answer = self.transcript.answer_of(live.message.id)
        if answer is None:
            return
        if stats.phase == "prefill" and stats.prefill_tokens_total:
            share = stats.prefill_tokens_done / stats.prefill_tokens_total
            text = self.tr("Reading the conversation, {percent} %")
            answer.set_waiting(text.format(percent=round(100 * share)))
        if live.reasoning_elapsed_s is not None:
            answer.set_live_reasoning(live.reasoning_elapsed_s, live.reasoning_tokens)

    # --- what the user does ---------------------------------------------------------------------

    @Slot(str)
    def _on_send(self, text: str) -> None:
        self._asked_from_new = self._chat.conversation_id is None
        self._chat.send(text)
        self.transcript.jump_to_latest()

    @Slot(str)
    def _on_send_failed(self, text: str) -> None:
        self._asked_from_new = False
        self.composer.give_back(text)

    @Slot(str)
    def _on_starter(self, prompt: str) -> None:
        self.composer.set_text(prompt)
        self.composer.focus()

    @Slot(str, int)
    def _on_acted(self, what: str, message_id: int) -> None:
        if what == "retry":
            self._chat.retry(message_id)
        elif what == "continue":
            self._chat.continue_answer(message_id)
        elif what == "redo":
            self._chat.regenerate(message_id)

    @Slot(int)
    def _on_chosen(self, conversation_id: int) -> None:
        # What is written from here on belongs to the chosen one.
        self._asked_from_new = False
        self._conversations.show(conversation_id)

    @Slot()
    def _on_opened(self) -> None:
        self.close_drawer()
        self.composer.focus()

    @Slot(str)
    def _on_banner(self, name: str) -> None:
        if name == "retry":
            self._loader.retry()
        elif name == "smaller":
            self._loader.retry(n_ctx=self._loader.status.smaller_context_tokens)
        elif name == "demo":
            self._loader.load_demo()
        elif name == "plan":
            self.show_inspector()
        elif name == "choose":
            self.picker.open()
        elif name == "dismiss":
            self._loader.dismiss_error()

    # --- the model ------------------------------------------------------------------------------

    @Slot(ModelStatus)
    def _on_model_status(self, status: ModelStatus) -> None:
        self._show_empty(status)
        self._show_model_hint()
        self._show_banner()
        if status.is_ready:
            self._show_context(self._chat.branch)

    @Slot(tuple)
    def _on_entries(self, _entries: tuple[LibraryEntry, ...]) -> None:
        self._show_empty(self._loader.status)

    def _demo(self) -> LibraryEntry | None:
        return next((entry for entry in self._loader.entries if entry.is_demo), None)

    def _show_empty(self, status: ModelStatus) -> None:
        demo = self._demo()
        if status.phase in (LoadPhase.NONE, LoadPhase.FAILED) and demo is not None:
            self.empty.show_state(
                self.tr("Fathom runs models on this computer. None is loaded yet."),
                button=self.tr("Load the demo model"),
                note=f"{demo.title}, {format_bytes(demo.size_bytes)}. {demo.note}",
            )
            return
        self.empty.show_state(
            self.tr("The model runs on this computer. Nothing you write leaves it."),
            button="",
            note="",
        )

    def _show_model_hint(self) -> None:
        status = self._loader.status
        if self._chat.is_waiting_here and status.is_loading:
            hint = self.tr("Your message will be answered when the model is loaded.")
        elif self._chat.is_waiting_here and self._chat.is_behind_program:
            hint = self.tr("A program is being answered. Your message comes after that.")
        elif self._chat.is_waiting_here and self._chat.answering_id is not None:
            hint = self.tr("Your message will be answered after the other conversation's.")
        elif status.is_loading:
            hint = self.tr("The model is loading. You can write and send already.")
        elif status.entry is not None and status.entry.is_demo and status.is_ready:
            hint = self.tr("A small demo is answering, not a DeepSeek. Check what it says.")
        else:
            hint = ""
        self.composer.set_model_hint(hint)

    def _show_banner(self) -> None:
        status = self._loader.status
        shown = True
        if status.error is not None and not self._is_told_below(status):
            self._show_load_error(status)
        elif self._chat.is_waiting_here and status.phase is LoadPhase.NONE:
            self._show_no_model()
        else:
            shown = False
        self.banner.setVisible(shown)
        self._banner_box.setVisible(shown)

    def _is_told_below(self, status: ModelStatus) -> bool:
        branch = self._chat.branch
        if branch is None or not branch.turns:
            return False
        return self._chat.error_of(branch.turns[-1].message.id) is status.error

    def _show_load_error(self, status: ModelStatus) -> None:
        assert status.error is not None
        buttons = [("choose", self.tr("Choose another model"), "quiet")]
        if status.entry is not None:
            buttons.insert(0, ("retry", self.tr("Try again"), ""))
        if status.smaller_context_tokens:
            text = self.tr("Load with a context of {tokens} tokens")
            text = text.format(tokens=f"{status.smaller_context_tokens:,}")
            buttons.insert(0, ("smaller", text, ""))
        if status.is_out_of_room and status.planned is not None:
            buttons.insert(0, ("plan", self.tr("See what fits"), ""))
        self.banner.show_notice(
            status.error.message,
            hint=status.error.hint,
            details=status.error.details,
            buttons=tuple(buttons),
        )

    def _show_no_model(self) -> None:
        buttons = [("choose", self.tr("Choose a model"), "")]
        if self._demo() is not None:
            buttons.insert(0, ("demo", self.tr("Load the demo model"), "primary"))
        self.banner.show_notice(
            self.tr("No model is loaded."),
            hint=self.tr("Your message is kept and will be answered once there is one."),
            tone="accent",
            buttons=tuple(buttons),
        )

    # --- geometry -------------------------------------------------------------------------------

    def columns_placed(self, *, side_beside: bool) -> None:
        """Offer a new chat here where the conversations are not in sight."""
        self.new_button.setVisible(not side_beside)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes the drawer or stops the answer; a letter goes into the composer."""
        if event.key() == Qt.Key.Key_Escape:
            if self.is_drawer_open:
                self.close_drawer()
            else:
                self._chat.stop()
        elif _is_typing(event):
            self.composer.focus()
            self.composer.field.insertPlainText(event.text())
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Put the cursor into the composer."""
        super().showEvent(event)
        self.composer.focus()


def _is_typing(event: QKeyEvent) -> bool:
    """Tell whether a key writes a letter: not Space, which presses buttons, and no shortcut."""
    commands = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    text = event.text()
    return bool(text.strip()) and text.isprintable() and not event.modifiers() & commands
