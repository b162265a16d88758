"""The conversation file: creation, versions, damage, locks, permissions, two programs at once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.chat import schema
from models.chat.database import translate
from models.chat.search import search_text
from models.chat.store import ConversationStore, set_aside
from models.errors import StoreCorruptError, StoreError, StoreLockedError, StoreVersionError

REPO_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.sqlite3"


def fill(path: Path) -> None:
    with ConversationStore(path) as store:
        c = store.create_conversation("kept")
        store.add_message(c.id, None, "user", "hello " * 2000)


def titles(path: Path) -> list[str]:
    with ConversationStore(path) as store:
        return [conversation.title for conversation in store.list_conversations()]


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if not file.name.endswith("-shm")
    }


def run_python(code: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=REPO_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


# --- opening --------------------------------------------------------------------------------------


def test_a_new_file_is_durable_and_private(path: Path) -> None:
    with ConversationStore(path) as store:
        store.create_conversation("t")
        with store._database.read() as connection:
            pragma = {
                name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")
            }
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "user_version": schema.SCHEMA_VERSION,
    }
    if os.name == "posix":
        assert set(modes.values()) == {0o600}
        assert len(modes) == 3
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_a_file_open_to_others_is_closed_to_them(path: Path) -> None:
    fill(path)
    path.chmod(0o644)
    fill(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_open_and_close_twice(path: Path) -> None:
    store = ConversationStore(path)
    store.open()
    store.open()
    store.close()
    store.close()
    with pytest.raises(StoreError, match="not open"):
        store.list_conversations()


def test_an_odd_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "Ünï %20 ? #1.sqlite3"
    fill(path)
    assert path.is_file()
    assert titles(path) == ["kept"]


def test_a_missing_folder_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        ConversationStore(tmp_path / "drive" / "data" / "c.sqlite3").open()
    assert "folder" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be opened"):
        ConversationStore(tmp_path / "data" / "c.sqlite3").open()


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a file"):
        ConversationStore(tmp_path).open()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_nobody_can_write_to() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        ConversationStore(Path("/proc/self/conversations.sqlite3")).open()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(path: Path) -> None:
    fill(path)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError):
            ConversationStore(path).open()
    finally:
        path.parent.chmod(0o700)


# --- versions -------------------------------------------------------------------------------------


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()


def test_a_newer_file_is_refused_and_untouched(path: Path) -> None:
    fill(path)
    make_newer(path)
    before = fingerprint(path.parent)
    with pytest.raises(StoreVersionError, match="newer Fathom"):
        ConversationStore(path).open()
    assert fingerprint(path.parent) == before


def test_a_newer_file_that_crashed_is_untouched_too(path: Path) -> None:
    """Its version is only in the log that it left behind."""
    fill(path)
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("PRAGMA user_version = 99")
os._exit(0)
"""
    with run_python(code, str(path)) as child:
        child.communicate(timeout=60)
    before = fingerprint(path.parent)
    assert any(name.endswith("-wal") for name in before)
    with pytest.raises(StoreVersionError):
        ConversationStore(path).open()
    assert fingerprint(path.parent) == before


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("search_text", 1, search_text, deterministic=True)
    return connection


def test_migrations_go_through_one_by_one(path: Path) -> None:
    fill(path)
    later = (
        *schema.MIGRATIONS,
        ("ALTER TABLE conversation ADD COLUMN folder TEXT NOT NULL DEFAULT 'none'",),
        ("CREATE TABLE folder (name TEXT)", "INSERT INTO folder VALUES ('none')"),
    )
    connection = connect(path)
    version = schema.SCHEMA_VERSION
    assert schema.migrate(connection, later) == [version + 1, version + 2]
    assert schema.migrate(connection, later) == []
    assert connection.execute("SELECT title, folder FROM conversation").fetchall() == [
        ("kept", "none")
    ]
    connection.close()


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    fill(path)
    broken = (
        *schema.MIGRATIONS,
        ("CREATE TABLE good (name TEXT)",),
        ("DELETE FROM message", "CREATE TABLE bad (name TEXT)", "INSERT INTO nowhere VALUES (1)"),
    )
    connection = connect(path)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        schema.migrate(connection, broken)
    assert schema.user_version(connection) == schema.SCHEMA_VERSION + 1
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    assert "good" in tables
    assert "bad" not in tables
    assert connection.execute("SELECT count(*) FROM message").fetchone() == (1,)
    connection.close()


# --- damage ---------------------------------------------------------------------------------------


def damaged(path: Path, kind: str) -> bytes:
    fill(path)
    data = bytearray(path.read_bytes())
    if kind == "text":
        data = bytearray(b"This was never a database. " * 500)
    elif kind == "zeros":
        data = bytearray(len(data))
    elif kind == "short":
        del data[5000:]
    elif kind == "scrambled":
        data[100:8192] = b"\xa5" * (8192 - 100)
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("kind", ["text", "zeros", "short", "scrambled"])
def test_a_damaged_file_is_kept_aside(path: Path, kind: str) -> None:
    data = damaged(path, kind)
    store = ConversationStore(path)
    with pytest.raises(StoreCorruptError, match="damaged") as caught:
        store.open()
    assert "kept aside" in caught.value.hint
    assert path.read_bytes() == data
    aside = set_aside(path)
    assert aside.read_bytes() == data
    assert aside.parent == path.parent
    assert ".damaged-" in aside.name
    assert not path.exists()
    store.open()
    assert store.list_conversations() == []
    store.close()


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    connection = connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = fingerprint(path.parent)
    with pytest.raises(StoreCorruptError, match="another program"):
        ConversationStore(path).open()
    assert fingerprint(path.parent) == before


def test_setting_aside_replaces_nothing_and_takes_the_log_along(path: Path) -> None:
    asides = []
    for number in range(3):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"file {number}")
        path.with_name(path.name + "-wal").write_text(f"log {number}")
        asides.append(set_aside(path))
    assert len(set(asides)) == 3
    for number, aside in enumerate(asides):
        assert aside.read_text() == f"file {number}"
        assert aside.with_name(aside.name + "-wal").read_text() == f"log {number}"


def test_setting_aside_what_is_not_there(path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be renamed"):
        set_aside(path)


def test_damage_found_while_reading(path: Path) -> None:
    fill(path)
    with ConversationStore(path) as store:
        c = store.list_conversations()[0].id
        for number in range(200):
            store.add_message(c, None, "user", f"{number} " * 400)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = os.urandom(len(data) - len(data) // 2)
    path.write_bytes(data)
    store = ConversationStore(path)
    with pytest.raises(StoreCorruptError), store:
        store.messages(c)
    store.close()


def test_a_full_disk_has_words(tmp_path: Path) -> None:
    connection = connect(tmp_path / "full.sqlite3")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE fits (a)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE does_not (a)")
    error = translate(caught.value, tmp_path)
    assert error.message == "The disk is full."
    connection.close()


# --- two programs at once -------------------------------------------------------------------------


def test_a_locked_file_says_so(path: Path) -> None:
    with (
        ConversationStore(path) as first,
        ConversationStore(path, busy_timeout_s=0.05) as second,
        first._database.write(),
    ):
        assert second.list_conversations() == []
        with pytest.raises(StoreLockedError, match="Another program"):
            second.create_conversation("t")
    with ConversationStore(path) as store:
        assert store.create_conversation("t").title == "t"


def test_opening_waits_for_a_lock_only_so_long(path: Path) -> None:
    path.parent.mkdir()
    connection = connect(path)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreLockedError):
        ConversationStore(path, busy_timeout_s=0.05).open()
    connection.close()
    fill(path)


WRITER = """
import sys
from pathlib import Path
from models.chat.store import ConversationStore
sys.stdin.readline()
with ConversationStore(Path(sys.argv[1])) as store:
    c = store.create_conversation(sys.argv[2])
    parent = None
    for number in range(25):
        parent = store.add_message(c.id, parent, "user", f"{sys.argv[2]} {number}").id
"""


def test_four_programs_create_and_write_at_once(path: Path) -> None:
    path.parent.mkdir()
    names = ["anna", "bert", "cleo", "dora"]
    children = [run_python(WRITER, str(path), name) for name in names]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    with ConversationStore(path) as store:
        assert sorted(c.title for c in store.list_conversations()) == names
        for conversation in store.list_conversations():
            said = [message.content for message in store.path_to_leaf(conversation.id)]
            assert said == [f"{conversation.title} {number}" for number in range(25)]
        assert store.problems() == []


STREAMER = """
import sys
from pathlib import Path
from models.chat.store import ConversationStore
store = ConversationStore(Path(sys.argv[1]))
store.open()
c = store.create_conversation("streams").id
answer = store.add_message(c, None, "assistant", "", state="streaming")
store.update_answer(answer.id, "so far")
print("ready", flush=True)
sys.stdin.readline()
"""


def test_recover_leaves_another_programs_answer_alone(path: Path) -> None:
    path.parent.mkdir()
    with run_python(STREAMER, str(path)) as child, ConversationStore(path) as store:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"ready"
        assert store.recover() == 0
        child.kill()
        child.communicate(timeout=60)
        assert store.recover() == 1
        (conversation,) = store.list_conversations()
        (message,) = store.path_to_leaf(conversation.id)
    assert (message.content, message.state) == ("so far", "interrupted")


def test_the_thread_behind_the_worker_may_change(path: Path) -> None:
    with ConversationStore(path) as store:
        made: list[str] = []
        for number in range(3):
            thread = threading.Thread(
                target=lambda n=number: made.append(store.create_conversation(f"{n}").title)
            )
            thread.start()
            thread.join(timeout=60)
        assert made == ["0", "1", "2"]


def test_an_update_that_found_the_file_locked_is_made_good_by_the_next(path: Path) -> None:
    with (
        ConversationStore(path, busy_timeout_s=0.05) as store,
        ConversationStore(path) as other,
    ):
        c = store.create_conversation("t").id
        answer = store.add_message(c, None, "assistant", "", state="streaming").id
        store.update_answer(answer, "one ")
        with other._database.write(), pytest.raises(StoreLockedError):
            store.update_answer(answer, "one two ")
        assert store.message(answer).content == "one "
        store.update_answer(answer, "one two three ")
        assert other.message(answer).content == "one two three "


def test_threads_at_once_do_not_mix_their_transactions(path: Path) -> None:
    with ConversationStore(path) as store:
        c = store.create_conversation("t").id

        def work() -> None:
            for _ in range(20):
                said = store.add_message(c, None, "user", "a")
                assert store.path_to_leaf(c, said.id) == [said]

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(store.messages(c)) == 80
        assert store.problems() == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="process 1 is known to be old")
@pytest.mark.parametrize(
    ("writer", "created_at", "recovered"),
    [
        ("1:another", 9e9, 0),  # process 1 lives, and did when the answer began
        ("1:another", 1.0, 1),  # its number was given to a younger process
        (f"{2**22 + 1}:another", 9e9, 1),  # no such process
        # With a name, so that all workers of a run call it the same.
        pytest.param(f"{os.getpid()}:another", 9e9, 1, id="a closed store of this process"),
        ("", 9e9, 1),
    ],
)
def test_who_still_writes_an_answer(
    path: Path, writer: str, created_at: float, recovered: int
) -> None:
    with ConversationStore(path) as store:
        c = store.create_conversation("t").id
        answer = store.add_message(c, None, "assistant", "", state="streaming").id
        with store._database.write() as connection:
            connection.execute(
                "UPDATE message SET writer = ?, created_at = ? WHERE id = ?",
                (writer, created_at, answer),
            )
        assert store.recover() == recovered
        assert (store.message(answer).state == "interrupted") == bool(recovered)
