"""Makes signed manifests, for whoever releases Fathom; the program itself never does. No Qt here.

    python -m models.updates.signing --key KEY.pem --release RELEASE.json FILE... > manifest.json

``RELEASE.json`` holds a payload without ``files`` but with a list ``downloads`` of ``name``,
``platform``, ``kind`` and ``url``; sizes and digests are taken from the files themselves. The key
is made with ``openssl genpkey -algorithm ed25519``; docs/updates.md has the whole way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadInputError, FathomError
from models.updates.envelope import seal
from models.updates.manifest import CONTEXT, FORMAT, PRODUCT, read_payload

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(payload: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return the envelope of a payload, whatever it says."""
    return seal(payload, CONTEXT, key)


def payload_of(release: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Return the payload of a release whose files lie here.

    Raises:
        BadInputError: a file is not described, or a description has no file.
        UpdateRefusedError: Fathom would not believe it.
        OSError: a file cannot be read.
    """
    described = {one["name"]: one for one in release.get("downloads", ())}
    if described.keys() != {path.name for path in files}:
        raise BadInputError(
            "The files that are given are not those that the release describes.",
            details=f"{sorted(described)} and {sorted(path.name for path in files)}",
        )
    listed = [{**described[path.name], **_measured(path)} for path in files]
    rest = {key: value for key, value in release.items() if key != "downloads"}
    payload = {"product": PRODUCT, "format": FORMAT, **rest, "files": listed}
    read_payload(payload)
    return payload


def _measured(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size_bytes": path.stat().st_size, "sha256": digest}


def load_key(file: Path) -> Ed25519PrivateKey:
    """Return the private key of a PEM file without a password.

    Raises:
        BadInputError: it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise BadInputError(f"{file} holds no private key.", details=str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(f"The key in {file} is not for Ed25519.")
    return key


def main(argv: Sequence[str] | None = None) -> int:
    """Write a signed manifest to standard output; 2 when it would not be believed."""
    parser = argparse.ArgumentParser(prog="models.updates.signing", allow_abbrev=False)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args(argv)
    try:
        release = json.loads(options.release.read_text(encoding="utf-8"))
        envelope = sign(payload_of(release, options.files), load_key(options.key))
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{options.release}: {error!r}\n")
        return BadInputError.exit_code
    except FathomError as error:
        sys.stderr.write(f"{error.one_line()} {error.details}\n")
        return BadInputError.exit_code
    sys.stdout.write(envelope.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
