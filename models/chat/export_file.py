"""Writes a conversation into a file of the user's. No Qt here."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from models.chat.export import conversation_to_json, conversation_to_markdown
from models.chat.store import ConversationStore
from models.errors import DiskError, DiskFullError
from models.whole_files import write_whole

# What no file system takes, and what a shell or an eye stumbles over.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*]+")
# Names of devices, on Windows with any ending.
_DEVICE = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)")
_MAX_NAME_CHARS = 80


def export_name(title: str) -> str:
    """Return a file name for a conversation, without an ending, that every system takes."""
    name = " ".join(_NOT_IN_NAMES.sub(" ", title).split())[:_MAX_NAME_CHARS].strip(". ")
    return f"{name}_" if _DEVICE.fullmatch(name) else name or "Conversation"


def export_text(store: ConversationStore, conversation_id: int, path: Path) -> str:
    """Return what a file holds: ``.json`` all branches, with any other ending the shown one.

    Raises:
        StoreError: the conversation cannot be read.
    """
    conversation = store.conversation(conversation_id)
    if path.suffix.lower() == ".json":
        return conversation_to_json(conversation, store.messages(conversation_id))
    return conversation_to_markdown(conversation, store.path_to_leaf(conversation_id))


def write_export(path: Path, text: str) -> None:
    """Write the file as a whole or not at all; one of that name is replaced.

    As a conversation is, it is for its owner only.

    Raises:
        DiskFullError: there is no room for the file.
        DiskError: it cannot be written for another reason.
    """
    # Half of a surrogate pair can be typed and stored, and no file takes it.
    content = text.encode("utf-8", "replace")
    try:
        write_whole(path, content, to_disk=True)
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError) -> DiskError | DiskFullError:
    message = f"{path.name} cannot be written."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(message, hint="The disk is full.", details=str(error))
    return DiskError(message, hint="Choose another folder.", details=str(error))
