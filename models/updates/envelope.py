"""A signed text: an envelope of one JSON object, and how its signature is looked at. No Qt here.

``payload`` is a JSON text, ``signature`` the Ed25519 signature (base64) of a context and the
payload's bytes. The text itself is signed, so that nothing depends on how JSON is written. The
context says what was signed: a signature for one kind of thing is none for another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class NoEnvelopeError(ValueError):
    """These bytes are no envelope; for whoever knows what should have been in it."""


@dataclass(frozen=True)
class Envelope:
    """A text and what is said to be its signature; nothing of it was believed so far."""

    payload: str
    signature: bytes

    def is_signed(self, context: bytes, keys: Sequence[bytes]) -> bool:
        """Tell whether one of the keys (public, 32 bytes each) signed the text in this context."""
        signed = context + self.payload.encode()
        return any(_is_signed_by(key, self.signature, signed) for key in keys)


def read_envelope(data: bytes) -> Envelope:
    """Return what an envelope holds; whoever calls bounds its length.

    Raises:
        ValueError: it is none.
    """
    envelope = json_object(data)
    payload, signature = envelope.get("payload"), envelope.get("signature")
    if not isinstance(payload, str) or not isinstance(signature, str):
        raise NoEnvelopeError("no payload or no signature")
    payload.encode()  # half a surrogate pair is no text
    return Envelope(payload, base64.b64decode(signature, validate=True))


def json_object(data: bytes) -> Mapping[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise NoEnvelopeError("nested too deeply") from error
    if not isinstance(found, dict):
        raise NoEnvelopeError(type(found).__name__)
    return found


def seal(
    payload: Mapping[str, Any], context: bytes, key: Ed25519PrivateKey | None, *, indent: int = 1
) -> bytes:
    """Return the envelope of a payload, whatever it says; without a key it is not signed."""
    text = json.dumps(payload, indent=indent)
    signature = key.sign(context + text.encode()) if key is not None else b""
    envelope = {"payload": text, "signature": base64.b64encode(signature).decode()}
    return json.dumps(envelope, indent=indent).encode() + b"\n"


def _is_signed_by(key: bytes, signature: bytes, signed: bytes) -> bool:
    # 40 ms to import, for something that hardly anybody does every day.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True
