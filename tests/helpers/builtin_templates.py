"""Writes out conversations with llama.cpp's built-in formats; the main program of a child.

Reads ``[[format, [[role, content], ...], add_generation_prompt], ...]`` and prints the texts.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_MAX_BYTES = 1 << 16


def apply_builtin(cases: Sequence[tuple[str, Sequence[tuple[str, str]], bool]]) -> list[str]:
    """Return each conversation as llama.cpp writes it, without the token at its start."""
    result = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    texts: list[str] = json.loads(result.stdout)
    return texts


def main() -> None:
    """Answer one list of cases."""
    import llama_cpp

    texts = []
    cases: list[Any] = json.load(sys.stdin)
    for name, messages, adds in cases:
        chat = (llama_cpp.llama_chat_message * len(messages))()
        for place, (role, content) in zip(chat, messages, strict=True):
            place.role, place.content = role.encode(), content.encode()
        buffer = ctypes.create_string_buffer(_MAX_BYTES)
        size = llama_cpp.llama_chat_apply_template(
            name.encode(), chat, len(messages), adds, buffer, _MAX_BYTES
        )
        texts.append(buffer.raw[:size].decode())
    print(json.dumps(texts))


if __name__ == "__main__":
    main()
