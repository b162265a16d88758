"""The tables of the conversation file, and how older files become newer ones. No Qt here.

``PRAGMA user_version`` counts the migrations a file has had. A migration is never changed once
released; a new one is added at the end. Each runs in one transaction, so that a file is always
at one version or the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

Migration = Sequence[str]

# "Fath": says that a SQLite file is ours.
APPLICATION_ID = 0x46617468

# The full-text index holds no text of its own: it reads message_text and title_text, in which
# search_text() (models/chat/search.py) has put the characters of Chinese, Japanese, Korean and
# Thai apart. Answers enter it when they are finished, not at each update while they stream.
_FIRST: Migration = (
    """
    CREATE TABLE conversation (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        checkpoint TEXT NOT NULL DEFAULT '',
        system_prompt TEXT NOT NULL DEFAULT '',
        pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
        deleted_at REAL,
        leaf_id INTEGER,
        FOREIGN KEY (id, leaf_id) REFERENCES message (conversation_id, id)
            DEFERRABLE INITIALLY DEFERRED
    ) STRICT
    """,
    """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id INTEGER NOT NULL REFERENCES conversation (id),
        parent_id INTEGER,
        role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
        content TEXT NOT NULL,
        reasoning TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (
            state IN ('complete', 'streaming', 'cancelled', 'interrupted', 'failed')
        ),
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        checkpoint TEXT NOT NULL DEFAULT '',
        usage TEXT,
        reasoning_elapsed_s REAL,
        writer TEXT NOT NULL DEFAULT '',
        UNIQUE (conversation_id, id),
        FOREIGN KEY (conversation_id, parent_id) REFERENCES message (conversation_id, id)
    ) STRICT
    """,
    "CREATE INDEX message_parent ON message (conversation_id, parent_id)",
    "CREATE INDEX message_streaming ON message (id) WHERE state = 'streaming'",
    # What a streaming answer gained at each update, so that an update writes only what is new.
    """
    CREATE TABLE answer_part (
        message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        content TEXT NOT NULL,
        reasoning TEXT NOT NULL,
        PRIMARY KEY (message_id, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE VIEW message_text AS
        SELECT id, search_text(content) AS content FROM message WHERE state <> 'streaming'
    """,
    "CREATE VIEW title_text AS SELECT id, search_text(title) AS title FROM conversation",
    """
    CREATE VIRTUAL TABLE message_search USING fts5 (
        content, content = 'message_text', content_rowid = 'id',
        tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE VIRTUAL TABLE title_search USING fts5 (
        title, content = 'title_text', content_rowid = 'id',
        tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER message_added AFTER INSERT ON message WHEN new.state <> 'streaming' BEGIN
        INSERT INTO message_search (rowid, content) VALUES (new.id, search_text(new.content));
    END
    """,
    """
    CREATE TRIGGER message_changed AFTER UPDATE OF content, state ON message
    WHEN old.content <> new.content OR (old.state = 'streaming') <> (new.state = 'streaming') BEGIN
        INSERT INTO message_search (message_search, rowid, content)
            SELECT 'delete', old.id, search_text(old.content) WHERE old.state <> 'streaming';
        INSERT INTO message_search (rowid, content)
            SELECT new.id, search_text(new.content) WHERE new.state <> 'streaming';
    END
    """,
    """
    CREATE TRIGGER message_removed AFTER DELETE ON message WHEN old.state <> 'streaming' BEGIN
        INSERT INTO message_search (message_search, rowid, content)
            VALUES ('delete', old.id, search_text(old.content));
    END
    """,
    """
    CREATE TRIGGER title_added AFTER INSERT ON conversation BEGIN
        INSERT INTO title_search (rowid, title) VALUES (new.id, search_text(new.title));
    END
    """,
    """
    CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversation
    WHEN old.title <> new.title BEGIN
        INSERT INTO title_search (title_search, rowid, title)
            VALUES ('delete', old.id, search_text(old.title));
        INSERT INTO title_search (rowid, title) VALUES (new.id, search_text(new.title));
    END
    """,
    """
    CREATE TRIGGER title_removed AFTER DELETE ON conversation BEGIN
        INSERT INTO title_search (title_search, rowid, title)
            VALUES ('delete', old.id, search_text(old.title));
    END
    """,
)

MIGRATIONS: tuple[Migration, ...] = (_FIRST,)
SCHEMA_VERSION = len(MIGRATIONS)


def user_version(connection: sqlite3.Connection) -> int:
    """Return how many migrations the file has had."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(connection: sqlite3.Connection) -> bool:
    """Return whether the file is another program's database."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id == APPLICATION_ID:
        return False
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS
) -> list[int]:
    """Bring the file to the newest version; return the versions it went through.

    The connection is in autocommit mode. After an error the file is at the last version whose
    migration went through as a whole.

    Raises:
        sqlite3.Error: a statement failed.
    """
    reached: list[int] = []
    while user_version(connection) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again under the write lock: another process may have been faster.
            version = user_version(connection)
            if version < len(migrations):
                _apply(connection, migrations[version], version + 1)
                reached.append(version + 1)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return reached


def _apply(connection: sqlite3.Connection, migration: Migration, version: int) -> None:
    for statement in migration:
        connection.execute(statement)
    # PRAGMA takes no parameters; both are integers of ours.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
