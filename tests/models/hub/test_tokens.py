"""The user's token: kept by the system's store of passwords, or for this run only."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from models.errors import BadInputError, KeyringError
from models.hub.tokens import (
    ENVIRONMENT,
    KEYRING,
    NOWHERE,
    SERVICE,
    SESSION,
    USER,
    TokenStore,
    checked_token,
)

GIVEN = "hf_AbCdEf123"


class Passwords(KeyringBackend):
    """A store of passwords in memory: the system's own cannot be had in a test."""

    priority = -1.0  # type: ignore[assignment]  # never chosen by keyring itself

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.forgets = False
        self.error: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.questions = 0

    def _asked(self) -> None:
        self.questions += 1
        self.may_answer.wait()
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self._asked()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._asked()
        if not self.forgets:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._asked()
        if (service, username) not in self.kept:
            raise PasswordDeleteError
        del self.kept[service, username]


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    backend = Passwords()
    yield backend
    backend.may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join()


def store_with(backend: Passwords | None, **environ: str) -> TokenStore:
    return TokenStore(environ, find_backend=lambda: backend, patience_s=30.0)


def test_a_token_is_kept_by_the_system_and_found_again(passwords):
    store = store_with(passwords)
    assert (store.get(), store.where) == ("", NOWHERE)
    assert store.set(f"  {GIVEN}\n") == KEYRING
    assert passwords.kept == {(SERVICE, USER): GIVEN}
    later = store_with(passwords)
    assert (later.get(), later.where, later.problem) == (GIVEN, KEYRING, "")


def test_the_system_is_asked_once_in_a_run(passwords):
    passwords.kept[SERVICE, USER] = GIVEN
    store = store_with(passwords)
    assert [store.get() for _ in range(3)] == [GIVEN] * 3
    assert passwords.questions == 1


def test_a_token_is_forgotten(passwords):
    store = store_with(passwords)
    store.set(GIVEN)
    store.forget()
    assert (store.get(), store.where, passwords.kept) == ("", NOWHERE, {})
    # Also when there is none.
    store.forget()


def test_without_a_store_a_token_lives_as_long_as_the_run():
    store = store_with(None)
    assert store.get() == ""
    assert store.set(GIVEN) == SESSION
    assert (store.get(), store.where) == (GIVEN, SESSION)
    assert "no store of passwords" in store.problem
    assert store_with(None).get() == ""
    store.forget()
    assert (store.get(), store.where) == ("", NOWHERE)


def test_a_token_of_the_environment_is_used_when_none_was_given(passwords):
    store = store_with(passwords, HF_TOKEN=" hf_environment ")
    assert (store.get(), store.where) == ("hf_environment", ENVIRONMENT)
    assert passwords.kept == {}
    store.set(GIVEN)
    assert (store.get(), store.where) == (GIVEN, KEYRING)
    store.forget()
    assert (store.get(), store.where) == ("hf_environment", ENVIRONMENT)


def test_a_store_that_fails_is_told_and_never_in_its_own_words(passwords, caplog):
    caplog.set_level("DEBUG")
    passwords.error = KeyringLocked(f"could not keep {GIVEN}")
    store = store_with(passwords)
    assert store.set(GIVEN) == SESSION
    assert store.problem == "The system's store of passwords cannot be used."
    assert GIVEN not in caplog.text
    assert store.get() == GIVEN


def test_a_store_that_keeps_nothing_is_noticed(passwords):
    passwords.forgets = True
    store = store_with(passwords)
    assert store.set(GIVEN) == SESSION
    assert "did not keep" in store.problem


def test_a_locked_store_is_not_waited_for_without_end(passwords):
    passwords.may_answer.clear()
    store = TokenStore({}, find_backend=lambda: passwords, patience_s=0.05)
    assert store.get() == ""
    assert "perhaps it is locked" in store.problem
    assert store.set(GIVEN) == SESSION
    assert store.get() == GIVEN


def test_a_token_that_cannot_be_removed_is_told(passwords):
    store = store_with(passwords)
    store.set(GIVEN)
    passwords.error = KeyringLocked()
    with pytest.raises(KeyringError, match="still in the system's store"):
        store.forget()
    # At least Fathom does not use it any more.
    assert store.get() == ""


def test_what_was_copied_along_is_cut_off():
    assert checked_token(f"Bearer {GIVEN} \n") == GIVEN


@pytest.mark.parametrize("text", ["", "  ", "hf_a b", "hf_\x1b[0m", "hf_\u00fc", "x" * 501])
def test_what_cannot_be_a_token(text, passwords):
    with pytest.raises(BadInputError, match="not a token") as caught:
        store_with(passwords).set(text)
    assert "huggingface.co/settings/tokens" in caught.value.hint
    assert passwords.kept == {}


def test_stores_that_do_not_keep_secrets_are_no_stores(monkeypatch, private_home: Path):
    # In a child: keyring chooses once in a process, by the environment it starts in.
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    code = (
        "import keyring, sys\n"
        "from keyring.backends import fail, null\n"
        "from models.hub.tokens import TokenStore, find_keyring\n"
        "from models.hub import tokens\n"
        "found = []\n"
        "for backend in (fail.Keyring(), null.Keyring()):\n"
        "    keyring.set_keyring(backend)\n"
        "    found.append(find_keyring())\n"
        "store = TokenStore({})\n"
        "print(found, store.set('hf_x'), sorted(n for n in sys.modules if 'cryptfile' in n))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[None, None] session []", "")
    written = [path for path in private_home.rglob("*") if path.is_file()]
    assert [path for path in written if b"hf_x" in path.read_bytes()] == []


def test_no_store_is_loaded_before_it_is_asked():
    code = (
        "import sys\n"
        "from models.hub.tokens import TokenStore\n"
        "TokenStore({})\n"
        "print('keyring' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
