"""The public keys of who may release Fathom. No Qt here."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path

from models.errors import InstallationError

KEYS_FILE = Path(__file__).resolve().parents[2] / "resources" / "updates" / "keys.json"
_KEY_BYTES = 32


def load_keys(file: Path | None = None) -> tuple[bytes, ...]:
    """Return the public keys that came with this Fathom; none for a build of one's own.

    Raises:
        InstallationError: the file is missing or damaged.
    """
    try:
        text = (file or KEYS_FILE).read_text(encoding="utf-8")
        listed = json.loads(text)["ed25519"]
        keys = tuple(base64.b64decode(key["public"], validate=True) for key in listed)
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise InstallationError(
            "The keys that updates are checked with cannot be read.",
            hint="Install Fathom again.",
            details=f"{type(error).__name__}: {error}",
        ) from error
    if any(len(key) != _KEY_BYTES for key in keys):
        raise InstallationError("A key of updates is none.", hint="Install Fathom again.")
    return keys
