"""What an add-on says of itself: what it is, what it fits, which files it has. No Qt here.

``addon.json`` is an envelope (models/updates/envelope.py); docs/addons.md has the fields. An
add-on that comes as an archive is believed only when its signature is good; a folder that is there
already is looked at for what it fits, as its owner put it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import AddonError
from models.updates.envelope import Envelope, json_object, read_envelope
from models.updates.version import version_of

PRODUCT = "fathom-addon"
FORMAT = 1
# Signed before the payload: a signature for a list of updates is none for an add-on.
CONTEXT = b"fathom addon 1\n"
MANIFEST_NAME = "addon.json"
MAX_MANIFEST_BYTES = 256 * 1024
MAX_FILES = 64
# CUDA's libraries are 0.6 to 1.2 GB.
MAX_TOTAL_BYTES = 6 * 1024**3

_MAX_TITLE_CHARS = 80
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,118}[A-Za-z0-9]")
_MODULE = re.compile(r"(?:lib)?ggml-[a-z0-9_]+\.(?:so|dylib|dll)")
# A second copy of one of these in a process would have a list of devices of its own.
_PROGRAMS_OWN = re.compile(
    r"(?:lib)?(?:llama[a-z-]*|ggml|ggml-base|ggml-cpu[\w-]*)(?:\.[a-z0-9]+)*"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLATFORM = re.compile(r"[a-z0-9]{1,16}-[a-z0-9_]{1,16}")
_NUMBERS = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){1,3}")


@dataclass(frozen=True)
class AddonFile:
    """One file of an add-on.

    Attributes:
        name: good on every system; never a path.
        sha256: 64 hex digits.
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class AddonManifest:
    """What an add-on says of itself.

    Attributes:
        name: such as ``cuda``; its folder is called so.
        title: for people, in one line.
        version: of the Fathom that it was made with.
        platform: such as ``linux-x86_64``.
        llama_cpp: the version of llama-cpp-python that its module was built from.
        ggml: the version of ggml in that; a module fits only the same one.
        module: the file that ggml loads; the others are libraries that it needs.
        cuda: the lowest CUDA version that the NVIDIA driver has to speak, such as ``13.0``; empty
            where no NVIDIA driver is needed.
    """

    name: str
    title: str
    version: str
    platform: str
    llama_cpp: str
    ggml: str
    module: str
    cuda: str
    files: tuple[AddonFile, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class Host:
    """What an add-on has to fit.

    Attributes:
        platform: as ``AddonManifest.platform``.
        llama_cpp: the version of llama-cpp-python here.
        ggml: the version of ggml; empty where llama.cpp is not loaded, and nobody knows.
    """

    platform: str
    llama_cpp: str
    ggml: str = ""


def open_manifest(data: bytes, keys: Sequence[bytes]) -> AddonManifest:
    """Return what a signed ``addon.json`` says.

    Args:
        keys: public keys, 32 bytes each; one of them must have signed.

    Raises:
        AddonError: it is none, is not signed, or makes no sense.
    """
    envelope = _envelope(data)
    if not envelope.is_signed(CONTEXT, keys):
        raise AddonError(
            "This add-on is not signed by the makers of Fathom.",
            hint="Fetch it again from where Fathom comes from. docs/addons.md tells how to use "
            "one that you built yourself.",
            details=f"{len(keys)} keys tried",
        )
    return read_payload(_object(envelope.payload.encode()))


def read_manifest(data: bytes) -> AddonManifest:
    """Return what an ``addon.json`` says, whoever wrote it.

    Raises:
        AddonError: it is none, or makes no sense.
    """
    return read_payload(_object(_envelope(data).payload.encode()))


def is_signed(data: bytes, keys: Sequence[bytes]) -> bool:
    """Tell whether an ``addon.json`` is signed by one of the keys."""
    try:
        return _envelope(data).is_signed(CONTEXT, keys)
    except AddonError:
        return False


def read_payload(data: Mapping[str, Any]) -> AddonManifest:
    """Return a payload as a manifest.

    Raises:
        AddonError: it is of another product or format, or makes no sense.
    """
    if data.get("product") != PRODUCT:
        raise _refused("It is not an add-on of Fathom.", repr(data.get("product"))[:100])
    if data.get("format") != FORMAT:
        raise _refused(
            "It is written for another version of Fathom.", repr(data.get("format"))[:40]
        )
    version = _matching(data, "version", _NUMBERS)
    if version_of(version) is None:
        raise _refused("It makes no sense.", "version")
    manifest = AddonManifest(
        name=_matching(data, "name", _NAME),
        title=_title(data),
        version=version,
        platform=_matching(data, "platform", _PLATFORM),
        llama_cpp=_matching(data, "llama_cpp", _NUMBERS),
        ggml=_matching(data, "ggml", _NUMBERS),
        module=_matching(data, "module", _MODULE),
        cuda=_matching(data, "cuda", _NUMBERS) if data.get("cuda", "") != "" else "",
        files=_files(data.get("files")),
    )
    if manifest.module not in {file.name for file in manifest.files}:
        raise _refused("Its module is not among its files.", manifest.module)
    return manifest


def misfit(manifest: AddonManifest, host: Host) -> str:
    """Return why an add-on does not fit, in a sentence; empty when it does."""
    if manifest.platform != host.platform:
        return f"It was made for {manifest.platform}, and this is {host.platform}."
    is_same_ggml = not host.ggml or manifest.ggml == host.ggml
    if manifest.llama_cpp != host.llama_cpp or not is_same_ggml:
        return (
            f"It was made for llama.cpp {_engine(manifest.llama_cpp, manifest.ggml)}, and this "
            f"Fathom has {_engine(host.llama_cpp, host.ggml)}. Get the one for this version."
        )
    return ""


def _engine(llama_cpp: str, ggml: str) -> str:
    return f"{llama_cpp} (ggml {ggml})" if ggml else llama_cpp


def _files(listed: object) -> tuple[AddonFile, ...]:
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_FILES:
        raise _refused("It lists no files, or too many.")
    files = tuple(_file(one) for one in listed)
    # Two names that differ by their case are one file on Windows and macOS.
    if len({file.name.lower() for file in files}) < len(files):
        raise _refused("It lists a file twice.")
    if sum(file.size_bytes for file in files) > MAX_TOTAL_BYTES:
        raise _refused("It is larger than an add-on can be.")
    return files


def _file(data: object) -> AddonFile:
    if not isinstance(data, dict):
        raise _refused("One of its files makes no sense.", repr(data)[:100])
    name = _matching(data, "name", _FILE_NAME)
    if name.lower() == MANIFEST_NAME or _PROGRAMS_OWN.fullmatch(name.lower()):
        raise _refused("It holds a file that only the program itself may have.", name)
    size_bytes = data.get("size_bytes")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise _refused("One of its files has no size.", repr(size_bytes)[:100])
    return AddonFile(name, size_bytes, _matching(data, "sha256", _SHA256))


def _title(data: Mapping[str, Any]) -> str:
    title = data.get("title")
    if not isinstance(title, str) or not title.isprintable():
        raise _refused("It has no title.", repr(title)[:100])
    if not 0 < len(title) <= _MAX_TITLE_CHARS:
        raise _refused("It has no title.", repr(title)[:100])
    return title


def _matching(data: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _refused("It makes no sense.", f"{key}: {value!r}"[:200])
    return value


def _envelope(data: bytes) -> Envelope:
    if len(data) > MAX_MANIFEST_BYTES:
        raise _refused("It is not an add-on of Fathom.", f"{len(data):,} bytes")
    try:
        return read_envelope(data)
    except ValueError as error:
        raise _refused("It is not an add-on of Fathom.", str(error)[:200]) from error


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        return json_object(data)
    except ValueError as error:
        raise _refused("It is not an add-on of Fathom.", str(error)[:200]) from error


def _refused(what: str, details: str = "") -> AddonError:
    return AddonError(
        f"This add-on cannot be used. {what}",
        hint="Fetch it again from where Fathom comes from.",
        details=details,
    )
