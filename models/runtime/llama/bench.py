"""Measures prefill and decode of a loaded checkpoint at several depths of its context. No Qt here.

Tokens are drawn at random (always the same ones): what is computed does not depend on them, but
for the experts a router picks. Nothing is sampled and no text is made, so that the figures are
llama.cpp's own.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from models.errors import InvalidSettingError
from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.checkpoint import DECODE_ABORTED, LoadedCheckpoint, decode_failure
from models.runtime.protocol import Benched, BenchProgress, BenchRequest, BenchResult

_MOST_TOKENS = 1 << 20
_MOST_REPEATS = 100
_MOST_DEPTHS = 64
_FEWEST_TOKENS = 3
_PROGRESS_PERIOD_S = 0.25
_SEED = 20240525


class _CancelledError(Exception):
    """The bench was asked to stop; an outcome."""


class Bench:
    """One measurement.

    Args:
        library: the started library.
        checkpoint: what is measured; its KV cache must be empty and is left full.
        abort: stops the measurement.
        report: told how far it is, four times a second.
    """

    def __init__(
        self,
        library: LlamaLibrary,
        checkpoint: LoadedCheckpoint,
        abort: AbortFlag,
        report: Callable[[BenchProgress], None],
    ) -> None:
        self._api = library.api
        self._checkpoint = checkpoint
        self._abort = abort
        self._report = report
        self._memory = self._api.llama_get_memory(checkpoint.context)
        self._random = random.Random(_SEED)
        self._start_s = time.monotonic()
        self._reported_s = 0.0
        self._done = self._total = 0

    def run(self, request: BenchRequest) -> Benched | None:
        """Return the results, None when it was cancelled.

        Raises:
            InvalidSettingError: a figure of the request makes no sense.
            DecodeError, OutOfMemoryError: llama.cpp failed.
        """
        check_request(request)
        settings = self._checkpoint.settings
        # A pacer may have chosen fewer for an answer.
        self._api.llama_set_n_threads(
            self._checkpoint.context, settings.n_threads, settings.n_threads_batch
        )
        room = self._checkpoint.n_ctx - request.prompt_tokens - request.answer_tokens
        depths = [depth for depth in sorted(set(request.depths)) if depth <= room]
        each = request.prompt_tokens + request.answer_tokens
        self._total = sum(depth + each * request.repeats for depth in depths)
        try:
            results = tuple(self._measure(request, depth) for depth in depths)
        except _CancelledError:
            return None
        elapsed_s = time.monotonic() - self._start_s
        return Benched(results, settings.n_threads, elapsed_s)

    def _measure(self, request: BenchRequest, depth: int) -> BenchResult:
        prefill_s: list[float] = []
        decode_s: list[float] = []
        self._refill(depth)
        for repeat in range(request.repeats):
            if repeat and self._is_over(request):
                break
            if repeat and not self._api.llama_memory_seq_rm(self._memory, 0, depth, -1):
                self._refill(depth)  # V4's compressed rows know no way back
            if request.prompt_tokens:
                prefill_s.append(self._prefill(request.prompt_tokens))
            if request.answer_tokens:
                decode_s.append(self._decode(request))
        return BenchResult(
            n_past=depth,
            prompt_tokens=request.prompt_tokens,
            answer_tokens=request.answer_tokens,
            prefill_s=tuple(prefill_s),
            decode_s=tuple(decode_s),
            prefill_tok_s=request.prompt_tokens / statistics.median(prefill_s)
            if prefill_s
            else 0.0,
            decode_tok_s=1.0 / statistics.median(decode_s) if decode_s else 0.0,
        )

    def _is_over(self, request: BenchRequest) -> bool:
        return 0 < request.limit_s < time.monotonic() - self._start_s

    def _refill(self, depth: int) -> None:
        self._api.llama_memory_clear(self._memory, True)
        if depth:
            self._prefill(depth)

    def _prefill(self, count: int) -> float:
        """Compute ``count`` tokens in physical batches and return the time in s."""
        start_s = time.perf_counter()
        for part in self._batches(count):
            self._compute(part)
        return time.perf_counter() - start_s

    def _batches(self, count: int) -> Iterator[Sequence[int]]:
        step = self._checkpoint.settings.n_ubatch
        for start in range(0, count, step):
            yield self._tokens(min(step, count - start))

    def _decode(self, request: BenchRequest) -> float:
        """Compute tokens one by one and return the median time of one in s."""
        times: list[float] = []
        for _ in range(request.answer_tokens):
            if len(times) >= _FEWEST_TOKENS and self._is_over(request):
                break
            token = self._tokens(1)
            start_s = time.perf_counter()
            self._compute(token)
            times.append(time.perf_counter() - start_s)
        return statistics.median(times)

    def _tokens(self, count: int) -> list[int]:
        return [self._random.randrange(self._checkpoint.vocabulary.size) for _ in range(count)]

    def _compute(self, tokens: Sequence[int]) -> None:
        buffer: Any = (self._api.llama_token * len(tokens))(*tokens)
        context = self._checkpoint.context
        status = self._api.llama_decode(context, self._api.llama_batch_get_one(buffer, len(tokens)))
        # A GPU's work is only begun when llama_decode returns.
        self._api.llama_synchronize(context)
        if status == DECODE_ABORTED or self._abort.is_set():
            raise _CancelledError
        if status != 0:
            raise decode_failure(status)
        self._done += len(tokens)
        self._tell()

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s < _PROGRESS_PERIOD_S:
            return
        self._reported_s = now_s
        elapsed_s = now_s - self._start_s
        done = min(self._done, self._total)
        eta_s = elapsed_s * (self._total - done) / done if done else None
        self._report(BenchProgress(done, self._total, elapsed_s, eta_s))


def check_request(request: BenchRequest) -> None:
    """Refuse what cannot be measured.

    Raises:
        InvalidSettingError: a figure is out of its bounds.
    """
    bounds = {
        "prompt_tokens": (request.prompt_tokens, 0, _MOST_TOKENS),
        "answer_tokens": (request.answer_tokens, 0, _MOST_TOKENS),
        "repeats": (request.repeats, 1, _MOST_REPEATS),
        "depths": (len(request.depths), 1, _MOST_DEPTHS),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise InvalidSettingError(f"{name} must lie between {low} and {high}, not {value}.")
    if not all(0 <= depth <= _MOST_TOKENS for depth in request.depths):
        raise InvalidSettingError(f"A depth must lie between 0 and {_MOST_TOKENS}.")
    if request.prompt_tokens == request.answer_tokens == 0:
        raise InvalidSettingError("There is nothing to measure: no prompt and no answer.")
