"""A problem engine that talks like a model: reasoning, Markdown, live figures, any rate.

    python talking_engine.py '{"text": "# Hi", "reasoning": "Hm.", "rate_words_s": 200}'

text, reasoning     what it answers; "text_file" names a file instead
piece_chars         how many characters a token has (4)
prefill_s           how long it reads the prompt
crash_after         die of SIGSEGV after so many tokens
never_begins        say nothing about an answer until it is cancelled, and then no figures
A path with "broken" in it is refused, and what was loaded before is kept. Everything else as in
problem_engine.py.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from problem_engine import ProblemEngine

_CONTEXT_TOKENS = 8192
_STATS_INTERVAL_S = 0.5


class TalkingEngine(ProblemEngine):
    """Streams a given text in small pieces, at a steady rate."""

    def _load(self, request: dict[str, Any]) -> None:
        if "broken" in request["path"]:
            words = {"message": "It is plain text.", "hint": "", "details": ""}
            self._emit("error", request["id"], code="not_gguf", still_loaded=True, **words)
        else:
            super()._load(request)

    def _loaded(self, request: dict[str, Any]) -> None:
        settings = request["settings"]
        settings["n_ctx"] = settings["n_ctx"] or _CONTEXT_TOKENS
        self._emit(
            "loaded",
            request["id"],
            model={
                "path": request["path"],
                "name": "Talking",
                "architecture": "llama",
                "parameters": 135_000_000,
                "size_bytes": 98_000_000,
                "n_ctx_train": _CONTEXT_TOKENS,
                "n_layer": 30,
                "n_vocab": 49152,
                "template_source": "checkpoint",
                "quantization": "Q4_1",
            },
            devices=[],
            settings=settings,
            warnings=[],
            elapsed_s=0.1,
        )

    def _pieces(self) -> list[tuple[str, str]]:
        size = int(self._script.get("piece_chars", 4))
        text = self._script.get("text", "")
        if "text_file" in self._script:
            text = Path(self._script["text_file"]).read_text(encoding="utf-8")
        thought = self._script.get("reasoning", "")
        return [("", thought[at : at + size]) for at in range(0, len(thought), size)] + [
            (text[at : at + size], "") for at in range(0, len(text), size)
        ]

    def _generate(self, request: dict[str, Any]) -> None:
        request_id = request["id"]
        if self._script.get("never_begins"):
            self._cancelled.wait()
            self._emit("cancelled", request_id)
            return
        pieces = self._pieces()
        began_s = time.monotonic()
        self._emit("started", request_id, prompt_tokens=60, reused_tokens=20, reasoning_open=False)
        prefill_s = float(self._script.get("prefill_s", 0.0))
        if prefill_s:
            self._stats(request_id, "prefill", 0, done=24)
            self._cancelled.wait(prefill_s)
        first_s = time.monotonic()
        spoken = self._say_pieces(request_id, pieces, first_s)
        elapsed_s = time.monotonic() - first_s
        usage = {
            "prompt_tokens": 60,
            "reused_tokens": 20,
            "completion_tokens": spoken,
            "ttft_s": first_s - began_s,
            "prefill_tok_s": 120.0,
            "decode_tok_s": spoken / elapsed_s if elapsed_s > 0 else 0.0,
            "elapsed_s": elapsed_s,
            "seed": 7,
            "context_used": 60 + spoken,
            "context_total": _CONTEXT_TOKENS,
        }
        if self._cancelled.is_set():
            self._emit("cancelled", request_id, **usage)
        else:
            reason = self._script.get("stop_reason", "end")
            self._emit("done", request_id, stop_reason=reason, **usage)

    def _say_pieces(self, request_id: int, pieces: list[tuple[str, str]], began_s: float) -> int:
        rate = float(self._script.get("rate_words_s", 0))
        stats_at_s = began_s
        for number, (text, reasoning) in enumerate(pieces):
            if self._cancelled.is_set():
                return number
            if number == self._script.get("crash_after", -1):
                os.kill(os.getpid(), signal.SIGSEGV)
            if rate:
                # Against the clock and not piece by piece, or the rate would fall with every wait.
                self._cancelled.wait(max(0.0, began_s + number / rate - time.monotonic()))
            self._emit("delta", request_id, text=text, reasoning=reasoning, tokens=1)
            if time.monotonic() >= stats_at_s:
                stats_at_s += _STATS_INTERVAL_S
                self._stats(request_id, "decode", number, done=60)
        return len(pieces)

    def _stats(self, request_id: int, phase: str, spoken: int, *, done: int) -> None:
        rate = float(self._script.get("rate_words_s", 0))
        self._emit(
            "stats",
            request_id,
            phase=phase,
            prefill_tokens_done=done,
            prefill_tokens_total=60,
            prefill_tok_s=120.0,
            decode_tok_s=rate,
            decode_mean_tok_s=rate,
            ttft_s=0.3,
            completion_tokens=spoken,
            context_used=60 + spoken,
            context_total=_CONTEXT_TOKENS,
            devices=[],
            rss_bytes=200_000_000,
            peak_rss_bytes=220_000_000,
        )


if __name__ == "__main__":
    TalkingEngine(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}).run()
