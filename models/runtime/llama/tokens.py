"""Text to tokens and back. No Qt here."""

from __future__ import annotations

import codecs
import ctypes
from typing import Any

from models.errors import DecodeError
from models.runtime.llama.bindings import LlamaLibrary

# Tags of reasoning that some checkpoints mark as control tokens: they must reach the parser.
_VISIBLE_CONTROL = (b"<think>", b"</think>")
# Any text of so many bytes is tokenized in a moment.
_QUICK_BYTES = 1 << 15
# LLAMA_TOKEN_ATTR_UNKNOWN, _CONTROL and _USER_DEFINED: what llama.cpp looks for in a text first.
_SPECIAL_ATTRIBUTES = 1 << 0 | 1 << 3 | 1 << 4


class Vocabulary:
    """A loaded checkpoint's vocabulary.

    Args:
        library: the started library.
        model: handle of a loaded model; must outlive this object.
    """

    def __init__(self, library: LlamaLibrary, model: Any) -> None:
        self._api = library.api
        self.handle = library.api.llama_model_get_vocab(model)
        self.size: int = self._api.llama_vocab_n_tokens(self.handle)
        self._pieces: dict[int, bytes] = {}
        self._longest_bytes = 0
        self._special: list[bytes] = []

    def has_more_than(self, text: str, n_tokens: int) -> bool:
        """Whether a text surely has more tokens than that, without tokenizing it.

        Nothing can stop llama.cpp while it tokenizes, and it takes a quarter of a minute for 8 MiB;
        where they spell special tokens, its time grows with the square of their number.
        """
        data = text.encode("utf-8", "replace")
        if len(data) <= max(n_tokens, _QUICK_BYTES):
            return False
        if not self._longest_bytes:
            self._measure()
        if len(data) > n_tokens * self._longest_bytes:
            return True
        longest = max(map(len, self._special), default=0)
        # A special token can lie within longer ones, or across them: then it is none.
        return any(
            data.count(name) > n_tokens * (longest // len(name) + 2) for name in self._special
        )

    def _measure(self) -> None:
        """Find the longest token, and all special ones; a tenth of a second for most."""
        for token in range(self.size):
            # As it stands in the file, which is never shorter than what it stands for.
            name: bytes = self._api.llama_vocab_get_text(self.handle, token) or b""
            self._longest_bytes = max(self._longest_bytes, len(name), 1)
            if name and self._api.llama_vocab_get_attr(self.handle, token) & _SPECIAL_ATTRIBUTES:
                self._special.append(name)

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a rendered prompt, with exactly one beginning-of-sequence token.

        Special tokens written out by the template become the tokens they name.
        """
        data = text.encode("utf-8", "replace")
        adds_bos = bool(self._api.llama_vocab_get_add_bos(self.handle))
        bos_text = self.text_of(self.bos).encode() if self.bos >= 0 else b""
        add_special = adds_bos and not (bos_text and data.startswith(bos_text))
        capacity = len(data) + 8
        buffer = (self._api.llama_token * capacity)()
        count = self._api.llama_tokenize(
            self.handle, data, len(data), buffer, capacity, add_special, True
        )
        if count < 0:
            raise DecodeError("The prompt could not be tokenized.", details=f"{-count} tokens")
        return list(buffer[:count])

    @property
    def bos(self) -> int:
        """The beginning-of-sequence token, -1 where there is none."""
        return int(self._api.llama_vocab_bos(self.handle))

    @property
    def eos(self) -> int:
        """The end-of-sequence token, -1 where there is none."""
        return int(self._api.llama_vocab_eos(self.handle))

    def text_of(self, token: int) -> str:
        """Return a token's own name, as a template writes it; empty for no token."""
        if token < 0:
            return ""
        text: bytes | None = self._api.llama_vocab_get_text(self.handle, token)
        return (text or b"").decode("utf-8", "replace")

    def ends_answer(self, token: int) -> bool:
        """Whether the model says with this token that its turn is over."""
        return bool(self._api.llama_vocab_is_eog(self.handle, token))

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for; control tokens are empty, reasoning tags are not."""
        known = self._pieces.get(token)
        if known is None:
            known = self._read_piece(token, special=False)
            if not known and self._read_piece(token, special=True) in _VISIBLE_CONTROL:
                known = self._read_piece(token, special=True)
            self._pieces[token] = known
        return known

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        length = self._api.llama_token_to_piece(self.handle, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._api.llama_token_to_piece(
                self.handle, token, buffer, len(buffer), 0, special
            )
        return buffer.raw[: max(length, 0)]


class TextDecoder:
    """Bytes of tokens into text; a character that spans tokens comes out whole, once."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """Return the characters that are complete by now."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Return what is left; an incomplete character becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)
