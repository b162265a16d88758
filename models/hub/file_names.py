"""Which names from the hub may become names on this machine, and which files are fetched. No Qt.

The hub's own rules stop little (measured: ``CON``, ``model.gguf:stream``, trailing dots, control
characters, bidi overrides and ``.git/config`` all pass), so these rules know no exception: what
they do not allow is refused, on every system alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from models.errors import UnsafeNameError

MAX_NAME_CHARS = 120
# Leaves room for the endings of what lies beside a file while it is fetched, within 255 bytes.
MAX_NAME_BYTES = 240
MAX_PATH_CHARS = 240

_ALLOWED = frozenset("._+@()=,~ -")
# Letters, the marks that belong to them, decimal digits.
_ALLOWED_KINDS = ("L", "M", "Nd")
# Names of devices on Windows, whatever ending they have.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE
)
_MODEL_SUFFIX = ".gguf"
# At the top of a repository only: what one should be able to read without a network.
_TEXT = re.compile(
    r"readme(?:\.md)?|(?:model[-_])?licen[cs]e(?:[-_](?:model|code))?(?:\.(?:md|txt))?"
    r"|notice(?:\.(?:md|txt))?|copying|use_policy\.md",
    re.IGNORECASE,
)


def safe_target(path: str) -> str:
    """Return how a file of a repository is called on this machine, with ``/``.

    The same name with its accents composed (NFC); it stays below its folder on every system.

    Raises:
        UnsafeNameError: no file on this machine should be called so; the message says why.
    """
    parts = [unicodedata.normalize("NFC", part) for part in path.split("/")]
    target = "/".join(parts)
    for part in parts:
        reason = _reason_against(part)
        if reason:
            raise _unsafe(path, reason)
    if len(target) > MAX_PATH_CHARS:
        raise _unsafe(path, f"it is longer than {MAX_PATH_CHARS} characters")
    return target


def safe_folder(repository: str) -> str:
    """Return the folder of a repository below a library's root: ``owner/name``.

    Raises:
        UnsafeNameError: no folder on this machine should be called so.
    """
    target = safe_target(repository)
    if target.count("/") != 1:
        raise _unsafe(repository, "it is not an owner and a name")
    return target


def is_fetchable(path: str) -> bool:
    """Whether a file is of a kind that is ever fetched: GGUF, and a few texts about it."""
    return path.lower().endswith(_MODEL_SUFFIX) or is_text(path)


def is_text(path: str) -> bool:
    """Whether a file is one of the texts that are kept beside a checkpoint."""
    return _TEXT.fullmatch(path) is not None


def check_collisions(targets: Iterable[str]) -> None:
    """Check that no two names mean the same file where case does not count, nor file and folder.

    Raises:
        UnsafeNameError: two of them do.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for target in targets:
        key = _folded(target)
        parts = key.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        clash = files.get(key) or folders.get(key)
        clash = clash or next((files[name] for name in above if name in files), None)
        if clash is not None:
            raise _unsafe(target, f'"{_shown(clash)}" would be the same file on some systems')
        files[key] = target
        folders.update(dict.fromkeys(above, target))


def _reason_against(part: str) -> str:
    """Return why one part of a path is refused, empty when it is not."""
    if not part:
        return "a part of it is empty"
    if part.startswith((".", " ")) or part.endswith((".", " ")):
        return "a part of it begins or ends with a dot or a space"
    strange = next((char for char in part if not _is_allowed(char)), None)
    if strange is not None:
        return f"it has the character U+{ord(strange):04X}"
    if _DEVICE.fullmatch(part.partition(".")[0].rstrip()):
        return "Windows has a device of that name"
    if len(part) > MAX_NAME_CHARS or len(part.encode()) > MAX_NAME_BYTES:
        return f"a part of it is longer than {MAX_NAME_CHARS} characters"
    return ""


def _is_allowed(char: str) -> bool:
    return char in _ALLOWED or unicodedata.category(char).startswith(_ALLOWED_KINDS)


def _folded(target: str) -> str:
    # As file systems that ignore case compare: also ß and ss, and accents apart or composed.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", target).casefold())


def _unsafe(path: str, reason: str) -> UnsafeNameError:
    return UnsafeNameError(
        f'The file "{_shown(path)}" is not fetched: {reason}.',
        hint="Tell its publisher, or choose another repository.",
    )


def _shown(path: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in path)[:200]
