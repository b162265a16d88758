"""Reads Ollama's store: manifests that name blobs; nothing is written. No Qt here.

``manifests/HOST/NAMESPACE/MODEL/TAG`` is JSON with layers; the weights are the layer whose media
type ends in ``image.model``, in ``blobs/sha256-HEX``: the name is the digest.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.library.scan import FoundCheckpoint

_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-f]{64})")
_MAGIC = b"GGUF"
_MAX_MANIFEST_BYTES = 1_000_000
_MAX_MANIFESTS = 5_000
_OWN_HOST, _OWN_NAMESPACE, _LATEST = "registry.ollama.ai", "library", "latest"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OllamaCheckpoint:
    """A checkpoint of Ollama, under the name that Ollama shows."""

    name: str
    found: FoundCheckpoint


def scan_ollama(store: Path) -> list[OllamaCheckpoint]:
    """Return the models whose weights are one GGUF file; each file once, under its first name."""
    checkpoints: dict[tuple[int, int], OllamaCheckpoint] = {}
    for parts, manifest in _manifests(store / "manifests"):
        weights = _weights(manifest)
        checkpoint = _checkpoint(store, _name(parts), weights) if weights else None
        if checkpoint is not None:
            (identity,) = checkpoint.found.identities
            checkpoints.setdefault(identity, checkpoint)
    return list(checkpoints.values())


def digest_of_blob(path: Path) -> str:
    """Return the SHA-256 (hex) that a blob's name promises, empty when it is none."""
    match = _DIGEST.fullmatch(path.name)
    return match["hex"] if match and path.parent.name == "blobs" else ""


def _manifests(folder: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    try:
        paths = sorted(folder.glob("*/*/*/*"))
    except OSError as error:
        _log.info("Ollama's manifests cannot be read: %s", error)
        return
    for path in paths[:_MAX_MANIFESTS]:
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(_MAX_MANIFEST_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            _log.info("A manifest of Ollama is passed over: %s", error)
            continue
        yield path.relative_to(folder).parts, document


def _weights(manifest: Any) -> str:
    """Return the digest (hex) of the layer with the weights, empty when there is not just one."""
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    digests = [
        str(layer.get("digest"))
        for layer in (layers if isinstance(layers, list) else ())
        if isinstance(layer, dict) and layer.get("mediaType") == _MODEL
    ]
    # The digest becomes part of a path: nothing but 64 hex digits may.
    match = _DIGEST.fullmatch(digests[0]) if len(digests) == 1 else None
    return match["hex"] if match else ""


def _checkpoint(store: Path, name: str, digest_hex: str) -> OllamaCheckpoint | None:
    path = store / "blobs" / f"sha256-{digest_hex}"
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
        status = path.stat()
    except OSError as error:
        _log.info("A model of Ollama is passed over: %s", error)
        return None
    identities = frozenset({(status.st_dev, status.st_ino)})
    found = FoundCheckpoint(name, path, status.st_size, 0, 1, (path,), identities)
    return OllamaCheckpoint(name, found)


def _name(parts: tuple[str, ...]) -> str:
    """Return a model's name as Ollama shows it: what is understood is left out."""
    host, namespace, model, tag = parts
    name = model if tag == _LATEST else f"{model}:{tag}"
    if (host, namespace) == (_OWN_HOST, _OWN_NAMESPACE):
        return name
    return f"{namespace}/{name}" if host == _OWN_HOST else f"{host}/{namespace}/{name}"
