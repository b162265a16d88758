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
from models.updates.fields import FILE_NAME, PLATFORM, SHA256, Fields

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
_MODULE = re.compile(r"(?:lib)?ggml-[a-z0-9_]+\.(?:so|dylib|dll)")
# A second copy of one of these in a process would have a list of devices of its own.
_PROGRAMS_OWN = re.compile(
    r"(?:lib)?(?:llama[a-z-]*|ggml|ggml-base|ggml-cpu[\w-]*)(?:\.[a-z0-9]+)*"
)


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
    fields = Fields(data, _refused)
    fields.check_kind(PRODUCT, FORMAT, "It is not an add-on of Fathom.")
    manifest = AddonManifest(
        name=fields.matching("name", _NAME),
        title=_title(data),
        version=fields.version("version"),
        platform=fields.matching("platform", PLATFORM),
        llama_cpp=fields.version("llama_cpp"),
        ggml=fields.version("ggml"),
        module=fields.matching("module", _MODULE),
        cuda=fields.version("cuda") if data.get("cuda", "") != "" else "",
        files=_files(fields),
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


def _files(fields: Fields) -> tuple[AddonFile, ...]:
    files = tuple(_file(file) for file in fields.files(MAX_FILES))
    # Two names that differ by their case are one file on Windows and macOS.
    if len({file.name.lower() for file in files}) < len(files):
        raise _refused("It lists a file twice.")
    if sum(file.size_bytes for file in files) > MAX_TOTAL_BYTES:
        raise _refused("It is larger than an add-on can be.")
    return files


def _file(fields: Fields) -> AddonFile:
    name = fields.matching("name", FILE_NAME)
    if name.lower() == MANIFEST_NAME or _PROGRAMS_OWN.fullmatch(name.lower()):
        raise _refused("It holds a file that only the program itself may have.", name)
    return AddonFile(name, fields.size_bytes(), fields.matching("sha256", SHA256))


def _title(data: Mapping[str, Any]) -> str:
    title = data.get("title")
    if not isinstance(title, str) or not title.isprintable():
        raise _refused("It has no title.", repr(title)[:100])
    if not 0 < len(title) <= _MAX_TITLE_CHARS:
        raise _refused("It has no title.", repr(title)[:100])
    return title


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
