"""The chat page over real parts: store, supervisor, and a child that talks on demand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.chat import Chat
from app.actions.conversations import Conversations
from app.actions.load_model import LoadModel
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages, Notice
from app.tasks import TaskRunner
from app.views.chat_page import ChatPage
from models.chat.store import ConversationStore
from models.library.library import Library
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns
from models.settings import Settings

TALKING_ENGINE = Path(__file__).resolve().parent / "talking_engine.py"
WAIT_MS = 15_000


@dataclass
class ChatWindow:
    """Everything that a test of the chat page needs."""

    qtbot: QtBot
    folder: Path
    runner: TaskRunner
    messages: Messages
    notices: list[Notice]
    settings: SettingsBridge
    bridge: EngineBridge
    supervisor: EngineSupervisor
    queue: EngineTurns
    store: ConversationStore
    loader: LoadModel
    chat: Chat
    conversations: Conversations
    page: ChatPage

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait, with the event loop running, until something is true."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def load(self) -> None:
        """Load the model that the folder has."""
        self.until(lambda: self.loader.entries)
        self.loader.load(self.loader.entries[0])
        self.until(lambda: self.loader.status.is_ready)

    def ask(self, text: str) -> None:
        """Write into the composer and send."""
        self.page.composer.set_text(text)
        self.page.composer.send_button.click()

    def wait_for_answer(self, turns: int = 2) -> None:
        """Wait until the page shows so many messages and nothing is being written."""
        self.until(lambda: len(self.turns()) == turns and self.chat.live is None)

    def turns(self) -> list[Any]:
        """Return the messages on the page."""
        return [turn.message for turn in self.chat.branch.turns] if self.chat.branch else []

    def stored(self) -> list[Any]:
        """Return the messages of the conversation on the page as the file has them."""
        conversation_id = self.chat.conversation_id
        assert conversation_id is not None
        found: list[Any] = []
        done: list[bool] = []
        self.runner.run(
            lambda: self.store.path_to_leaf(conversation_id),
            done=lambda messages: (found.extend(messages), done.append(True)),
            error=lambda _error: done.append(False),
            lane="store",
        )
        self.until(lambda: done)
        return found

    def close(self) -> None:
        """End everything in the order of the program."""
        self.supervisor.stop()
        QApplication.processEvents()
        self.bridge.detach()
        self.runner.run(self.store.close, done=_nothing, error=_nothing, lane="store")
        self.runner.shutdown()
        self.settings.flush()
        self.page.close()


def _nothing(_result: object) -> None:
    pass


def make_chat_window(
    qtbot: QtBot, folder: Path, script: dict[str, Any], *, engine: Path = TALKING_ENGINE
) -> ChatWindow:
    """Build the page; a second call with the same folder is a restart of the program."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "talking.gguf").write_bytes(b"GGUF" + bytes(64))
    messages = Messages()
    notices: list[Notice] = []
    messages.posted.connect(notices.append)
    messages.attach()
    runner = TaskRunner()
    settings = SettingsBridge(Settings(folder / "settings.toml"), runner, messages)
    settings.settings.load()
    bridge = EngineBridge()
    command = [sys.executable, str(engine), json.dumps(script)]
    supervisor = EngineSupervisor(command, listener=bridge.listener)
    store = ConversationStore(folder / "conversations.sqlite3")
    library = Library([folder / "models"], None)
    loader = LoadModel(
        supervisor=supervisor,
        bridge=bridge,
        library=library,
        settings=settings,
        runner=runner,
        messages=messages,
    )
    queue = EngineTurns()
    chat = Chat(
        supervisor=supervisor,
        turns=queue,
        bridge=bridge,
        loader=loader,
        store=store,
        settings=settings.settings,
        runner=runner,
        messages=messages,
    )
    conversations = Conversations(store=store, chat=chat, runner=runner, messages=messages)
    page = ChatPage(chat=chat, conversations=conversations, loader=loader, settings=settings)
    page.resize(1000, 700)
    qtbot.addWidget(page)
    page.show()
    conversations.open_store()
    loader.refresh()
    window = ChatWindow(
        qtbot,
        folder,
        runner,
        messages,
        notices,
        settings,
        bridge,
        supervisor,
        queue,
        store,
        loader,
        chat,
        conversations,
        page,
    )
    window.until(lambda: runner.is_idle)
    return window
