"""The decode loop: a prompt in, text and figures out. No Qt here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from models.chat.reasoning import Piece, ReasoningSplitter, StopStrings
from models.errors import PromptTooLongError
from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.checkpoint import DECODE_ABORTED, LoadedCheckpoint, decode_failure
from models.runtime.llama.sampling import SamplerChain
from models.runtime.llama.thread_pacing import ThreadPacer
from models.runtime.llama.tokens import TextDecoder
from models.runtime.protocol import GenerateRequest

# Text goes out at the rate it is painted at. One protocol line a token would make the parent
# compete with the computation for the cores, and where there are only two of them every line that
# wakes it is felt (docs/benchmarks.md, "Decode overhead").
_DELTA_PERIOD_S = 1 / 30
_DELTA_PERIOD_FEW_CORES_S = 1 / 15
_FEW_CORES = 2


@dataclass
class Progress:
    """Live counts of one answer; written by the decode loop, read by the stats ticker."""

    phase: str = "prefill"
    start_s: float = 0.0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    prefill_tokens_done: int = 0
    prefill_s: float = 0.0
    prefill_began_s: float = 0.0
    first_token_s: float | None = None
    last_token_s: float = 0.0
    completion_tokens: int = 0
    context_used: int = 0

    def __post_init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=2048)

    def count_token(self, now_s: float) -> None:
        """Note one sampled token."""
        if self.first_token_s is None:
            self.first_token_s = now_s
        self.last_token_s = now_s
        self.completion_tokens += 1
        self._recent.append(now_s)

    @property
    def ttft_s(self) -> float | None:
        """Seconds from the request to the first token."""
        return None if self.first_token_s is None else self.first_token_s - self.start_s

    def prefill_tok_s(self, now_s: float) -> float:
        """Computed prompt tokens per second, up to now while the prefill runs."""
        elapsed_s = self.prefill_s
        if self.phase == "prefill" and self.prefill_began_s:
            elapsed_s = now_s - self.prefill_began_s
        return self.prefill_tokens_done / elapsed_s if elapsed_s > 0 else 0.0

    def decode_mean_tok_s(self) -> float:
        """Tokens per second after the first one, over the whole answer."""
        if self.first_token_s is None or self.completion_tokens < 2:
            return 0.0
        elapsed_s = self.last_token_s - self.first_token_s
        return (self.completion_tokens - 1) / elapsed_s if elapsed_s > 0 else 0.0

    def decode_tok_s(self, now_s: float) -> float:
        """Tokens per second over the last second (or since the first token, when that is less)."""
        if self.first_token_s is None:
            return 0.0
        recent = [moment for moment in list(self._recent) if moment > now_s - 1.0]
        span_s = min(1.0, now_s - self.first_token_s)
        return len(recent) / span_s if span_s > 0.05 else self.decode_mean_tok_s()


def delta_period_s(cores: int) -> float:
    """Return how often text is sent, for a number of physical cores."""
    return _DELTA_PERIOD_FEW_CORES_S if cores <= _FEW_CORES else _DELTA_PERIOD_S


@dataclass(frozen=True)
class Outcome:
    """How an answer ended: ``stop_reason`` is empty when it was cancelled."""

    stop_reason: str
    seed: int

    @property
    def cancelled(self) -> bool:
        """Whether a cancel ended it."""
        return not self.stop_reason


class TextAssembler:
    """Bytes of tokens into pieces for the reader: whole characters, stops cut, reasoning apart.

    Args:
        request: its stop strings are matched over the raw text.
        splitter: knows whether the text begins in reasoning.
        emit: called with (text, reasoning, tokens covered).
        period_s: the least time between two pieces.
    """

    def __init__(
        self,
        request: GenerateRequest,
        *,
        splitter: ReasoningSplitter,
        emit: Callable[[str, str, int], None],
        period_s: float = _DELTA_PERIOD_S,
    ) -> None:
        self._period_s = period_s
        self._decoder = TextDecoder()
        self._stops = StopStrings(request.stop)
        self._splitter = splitter
        self._emit = emit
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tokens = 0
        self._last_emit_s = 0.0

    def feed(self, data: bytes, now_s: float) -> bool:
        """Take one token's bytes; return whether a stop string was completed."""
        self._tokens += 1
        text, stopped = self._stops.feed(self._decoder.feed(data))
        self._sort(text)
        if now_s - self._last_emit_s >= self._period_s:
            self._send(now_s)
        return stopped

    def finish(self, *, stopped: bool) -> None:
        """Send what is held back; after a stop string nothing more comes."""
        if not stopped:
            text, _ = self._stops.feed(self._decoder.finish())
            self._sort(text + self._stops.flush())
        self._keep(self._splitter.finish())
        self._send(time.monotonic())

    def _sort(self, text: str) -> None:
        if text:
            self._keep(self._splitter.feed(text))

    def _keep(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            (self._reasoning if piece.reasoning else self._text).append(piece.text)

    def _send(self, now_s: float) -> None:
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        if text or reasoning:
            self._emit(text, reasoning, self._tokens)
            self._text, self._reasoning, self._tokens = [], [], 0
            self._last_emit_s = now_s


class Generator:
    """Answers prompts on one loaded checkpoint, keeping the KV cache between them.

    Args:
        library: the started library.
        checkpoint: the loaded checkpoint; must outlive this object.
        abort: the flag its context reads.
        pacer: chooses the number of threads; None keeps the number that was loaded with.
    """

    def __init__(
        self,
        library: LlamaLibrary,
        checkpoint: LoadedCheckpoint,
        abort: AbortFlag,
        pacer: ThreadPacer | None,
    ) -> None:
        self._library = library
        self._api = library.api
        self._checkpoint = checkpoint
        self._abort = abort
        self._pacer = pacer
        self._cached: list[int] = []
        self._one_token = (self._api.llama_token * 1)()

    def forget(self) -> None:
        """Empty the KV cache."""
        self._api.llama_memory_clear(self._api.llama_get_memory(self._checkpoint.context), True)
        self._cached = []

    def prepare(self, prompt: str, progress: Progress) -> list[int]:
        """Tokenize a prompt and keep what the KV cache already holds of it.

        Returns:
            The prompt's tokens; ``progress`` says how many are reused.

        Raises:
            PromptTooLongError: the prompt leaves no room for an answer.
        """
        vocabulary, n_ctx = self._checkpoint.vocabulary, self._checkpoint.n_ctx
        if vocabulary.has_more_than(prompt, n_ctx):
            raise _too_long(
                f"The conversation has far more tokens than the context holds ({n_ctx:,})."
            )
        tokens = vocabulary.tokenize(prompt)
        if not tokens:
            tokens = [max(vocabulary.bos, 0)]
        if len(tokens) >= n_ctx:
            raise _too_long(
                f"The conversation has {len(tokens):,} tokens and the context holds {n_ctx:,}."
            )
        progress.prompt_tokens = len(tokens)
        progress.reused_tokens = self._keep_common_prefix(tokens)
        progress.context_used = progress.reused_tokens
        return tokens

    def _keep_common_prefix(self, tokens: Sequence[int]) -> int:
        common = 0
        # The last token is always computed: its logits choose the answer's first token.
        limit = min(len(self._cached), len(tokens) - 1)
        while common < limit and self._cached[common] == tokens[common]:
            common += 1
        memory = self._api.llama_get_memory(self._checkpoint.context)
        if common == 0 or not self._api.llama_memory_seq_rm(memory, 0, common, -1):
            # Compressed caches (V4) and recurrent ones cannot drop a part.
            self._api.llama_memory_clear(memory, True)
            common = 0
        self._cached = list(tokens[:common])
        return common

    def answer(
        self,
        tokens: Sequence[int],
        request: GenerateRequest,
        assembler: TextAssembler,
        progress: Progress,
    ) -> Outcome:
        """Compute the prompt and the answer.

        Raises:
            DecodeError: llama.cpp failed.
            OutOfMemoryError: a device had no room for the computation.
        """
        chain = SamplerChain(
            self._library,
            self._checkpoint.vocabulary,
            request.sampling,
            self._checkpoint.n_ctx,
        )
        try:
            if self._pacer is not None:
                self._pacer.begin()
            chain.accept_prompt(tokens)
            if not self._prefill(tokens[progress.reused_tokens :], progress):
                return Outcome("", chain.seed)
            reason = self._decode(chain, request, assembler, progress)
            assembler.finish(stopped=reason == "stop")
            return Outcome(reason, chain.seed)
        finally:
            chain.close()
            progress.phase = "idle"

    def _prefill(self, tokens: Sequence[int], progress: Progress) -> bool:
        progress.prefill_began_s = time.monotonic()
        step = self._checkpoint.settings.n_ubatch
        for start in range(0, len(tokens), step):
            part = tokens[start : start + step]
            buffer = (self._api.llama_token * len(part))(*part)
            if not self._compute(self._api.llama_batch_get_one(buffer, len(part)), part):
                progress.context_used = len(self._cached)
                return False
            progress.prefill_tokens_done += len(part)
            progress.prefill_s = time.monotonic() - progress.prefill_began_s
            progress.context_used = len(self._cached)
        return True

    def _decode(
        self,
        chain: SamplerChain,
        request: GenerateRequest,
        assembler: TextAssembler,
        progress: Progress,
    ) -> str:
        """Sample and decode until something ends the answer; return why ('' when cancelled)."""
        progress.phase = "decode"
        vocabulary = self._checkpoint.vocabulary
        context = self._checkpoint.context
        n_ctx = self._checkpoint.n_ctx
        limit = request.max_tokens or n_ctx
        batch = self._api.llama_batch_get_one(self._one_token, 1)
        while not self._abort.is_set():
            token = chain.sample(context)
            now_s = time.monotonic()
            progress.count_token(now_s)
            if vocabulary.ends_answer(token):
                return "end"
            if assembler.feed(vocabulary.piece(token), now_s):
                return "stop"
            if progress.completion_tokens >= limit:
                return "length"
            if len(self._cached) >= n_ctx:
                return "context_full"
            self._one_token[0] = token
            if not self._compute(batch, (token,)):
                break
            progress.context_used = len(self._cached)
        return ""

    def _compute(self, batch: Any, tokens: Sequence[int]) -> bool:
        """Decode one batch; return False when it was aborted."""
        if self._pacer is not None and self._pacer.update():
            n_threads = self._pacer.n_threads
            self._api.llama_set_n_threads(self._checkpoint.context, n_threads, n_threads)
        status = self._api.llama_decode(self._checkpoint.context, batch)
        if status == 0:
            self._cached.extend(tokens)
            return not self._abort.is_set()
        if status == DECODE_ABORTED:
            return False
        self._cached = []  # the memory's state is unknown: the next prompt starts anew
        raise decode_failure(status)


def _too_long(message: str) -> PromptTooLongError:
    hint = "Load with a larger context, or start a new conversation."
    return PromptTooLongError(message, hint=hint)
