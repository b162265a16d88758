from __future__ import annotations

from collections.abc import Callable

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError
from pytestqt.qtbot import QtBot

from app.actions.hub_token import HubToken, TokenState
from app.views.token_row import TokenRow
from helpers.accessible import nameless
from helpers.window_parts import Parts
from models.errors import TokenInvalidError
from models.hub.tokens import TokenStore

GOOD = "hf_" + "a" * 30


class MemoryKeyring(KeyringBackend):
    """A store of passwords that lives as long as a test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not there")


Make = Callable[..., HubToken]


@pytest.fixture
def keyring() -> MemoryKeyring:
    return MemoryKeyring()


@pytest.fixture
def make(parts: Parts, keyring: MemoryKeyring) -> Make:
    def build(
        *, has_keyring: bool = True, whoami: Callable[[], str] | None = None, **environ: str
    ) -> HubToken:
        store = TokenStore(environ, find_backend=lambda: keyring if has_keyring else None)
        return HubToken(store=store, runner=parts.runner, whoami=whoami, parent=parts.messages)

    return build


def refuse() -> str:
    raise TokenInvalidError("The token is not valid.", hint="Give another one.")


def settled(token: HubToken, parts: Parts, qtbot: QtBot) -> TokenState:
    qtbot.waitUntil(lambda: parts.runner.is_idle and not token.state.is_busy)
    return token.state


def test_a_token_is_kept_tried_and_forgotten(
    make: Make, keyring: MemoryKeyring, parts: Parts, qtbot: QtBot
) -> None:
    token = make(whoami=lambda: "reader")
    token.refresh()
    assert settled(token, parts, qtbot) == TokenState()
    with qtbot.waitSignal(token.token_changed):
        token.give(f" {GOOD}\n")
    assert token.state == TokenState("keyring", user="reader")
    assert list(keyring.kept.values()) == [GOOD]
    with qtbot.waitSignal(token.token_changed):
        token.forget()
    assert token.state == TokenState()
    assert keyring.kept == {}


def test_without_a_keyring_it_is_for_this_run_and_that_is_said(
    make: Make, parts: Parts, qtbot: QtBot
) -> None:
    token = make(has_keyring=False)
    row = TokenRow(token)
    qtbot.addWidget(row)
    settled(token, parts, qtbot)
    row.field.setText(GOOD)
    row.keep_button.click()
    settled(token, parts, qtbot)
    assert "for this run only" in row._state.text()
    assert "no store of passwords" in row._state.text()
    assert row._state.property("tone") == "tight"
    assert not row.forget_button.isHidden()


def test_one_that_the_hub_does_not_know_says_so(make: Make, parts: Parts, qtbot: QtBot) -> None:
    token = make(whoami=refuse)
    token.give(GOOD)
    state = settled(token, parts, qtbot)
    assert state.where == "keyring"
    assert state.error == "The token is not valid. Give another one."


def test_what_cannot_be_a_token_is_not_kept(
    make: Make, keyring: MemoryKeyring, parts: Parts, qtbot: QtBot
) -> None:
    token = make()
    token.give("my password is 123")
    state = settled(token, parts, qtbot)
    assert state.error.startswith("That is not a token.")
    assert keyring.kept == {}


def test_the_row_never_shows_what_was_typed(make: Make, parts: Parts, qtbot: QtBot) -> None:
    token = make(whoami=lambda: "reader")
    row = TokenRow(token)
    qtbot.addWidget(row)
    row.show()
    settled(token, parts, qtbot)
    assert nameless(row) == []
    assert row.field.echoMode() == row.field.EchoMode.Password
    assert not row.keep_button.isEnabled()
    row.field.setText(GOOD)
    assert row.keep_button.isEnabled()
    row.field.returnPressed.emit()
    assert row.field.text() == ""
    row.field.setText("another")
    assert not row.keep_button.isEnabled()
    row.field.clear()
    settled(token, parts, qtbot)
    assert "belongs to reader" in row._state.text()
    assert GOOD not in row._state.text()
    assert GOOD not in repr(token.state)
    row.forget_button.click()
    settled(token, parts, qtbot)
    assert row._state.text() == "None."
    assert row.forget_button.isHidden()


def test_one_of_the_environment_is_named(make: Make, parts: Parts, qtbot: QtBot) -> None:
    token = make(HF_TOKEN=GOOD)
    row = TokenRow(token)
    qtbot.addWidget(row)
    settled(token, parts, qtbot)
    assert "HF_TOKEN" in row._state.text()
    assert row.forget_button.isHidden()
