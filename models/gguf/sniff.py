"""Says what a file is that should have been GGUF and is not. No Qt here."""

from __future__ import annotations

from models.errors import NotGgufError
from models.gguf.source import ByteSource

_SNIFFED_BYTES = 512

_DOWNLOAD_AGAIN = "Download the file itself."
_OLD_GGML = ("an old GGML file from before GGUF", "Look for the model as GGUF.")
_PYTORCH = ("a PyTorch file", "Fathom runs GGUF files; look for the model as GGUF.")
_ARCHIVE_HINT = "Unpack it first."

# First bytes, what they mean, what to do.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to", _DOWNLOAD_AGAIN),
    (b"PK\x03\x04", "a ZIP archive or a PyTorch file", _ARCHIVE_HINT),
    (b"\x1f\x8b", "a gzip archive", _ARCHIVE_HINT),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _ARCHIVE_HINT),
    (b"Rar!", "a RAR archive", _ARCHIVE_HINT),
    (b"\xfd7zXZ\x00", "an xz archive", _ARCHIVE_HINT),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _ARCHIVE_HINT),
    (b"\x80\x02", *_PYTORCH),
    (b"\x80\x04", *_PYTORCH),
    (b"lmgg", *_OLD_GGML),
    (b"tjgg", *_OLD_GGML),
    (b"fmgg", *_OLD_GGML),
    (b"\x89HDF", "an HDF5 file", ""),
    (b"%PDF", "a PDF document", ""),
    (b"\x7fELF", "a program", ""),
    (b"MZ", "a program", ""),
)


def not_gguf_error(source: ByteSource) -> NotGgufError:
    """Return the error for a file that does not start with ``GGUF``."""
    if source.size_bytes == 0:
        return NotGgufError(f"{source.name} is empty.", hint="Download it again.")
    looks, hint = _looks_like(source.read_at(0, _SNIFFED_BYTES))
    return NotGgufError(f"{source.name} is not a GGUF file: it is {looks}.", hint=hint)


def _looks_like(start: bytes) -> tuple[str, str]:
    for signature, looks, hint in _SIGNATURES:
        if start.startswith(signature):
            return looks, hint
    if not start.strip(b"\x00"):
        return "full of zeros, as after a broken download", "Download it again."
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return "a safetensors file", "Fathom runs GGUF files; look for the model as GGUF."
    text = _as_text(start)
    if text is None:
        return "something unknown", "Choose another file."
    head = text.lstrip().lower()
    if head.startswith(("<!doctype html", "<html")):
        return "a web page (HTML), perhaps a login or error page", _DOWNLOAD_AGAIN
    if head.startswith(("{", "[")):
        return "a JSON text", _DOWNLOAD_AGAIN
    return "plain text", "Choose another file."


def _as_text(start: bytes) -> str | None:
    # The cut may fall into a character: up to three bytes at the end may be incomplete.
    for cut in range(4):
        try:
            text = start[: len(start) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        controls = sum(character < " " and character not in "\t\r\n\f" for character in text)
        return text if text and controls == 0 else None
    return None
