"""A loaded checkpoint: its model, its context, what they hold. No Qt here."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from models.errors import (
    DecodeError,
    FathomError,
    LoadError,
    OutOfMemoryError,
    TruncatedGgufError,
    UnknownArchitectureError,
)
from models.gguf.checkpoint import CheckpointFacts
from models.runtime.llama.abort import AbortFlag, LoadCancelledError
from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.devices import cpu_features
from models.runtime.llama.log_capture import LogCapture
from models.runtime.llama.mapped import mapped_weights, used_in_place
from models.runtime.llama.memory import from_log, per_device, read_breakdown
from models.runtime.llama.parameters import (
    NativeParameters,
    context_parameters,
    model_parameters,
)
from models.runtime.llama.tokens import Vocabulary
from models.runtime.protocol import DeviceMemory, LoadProgress, LoadSettings, ModelInfo

# Architectures with multi-head latent attention: on a CPU with AMX, llama.cpp 0.5.0 aborts in
# context creation when their weights are repacked (measured, facts in docs/architecture.md).
_LATENT_ATTENTION = frozenset({"deepseek2", "deepseek32", "deepseek4", "deepseek2-ocr"})
_PROGRESS_PERIOD_S = 0.25
# What llama_decode returns (include/llama.h).
DECODE_ABORTED = 2
_NO_ROOM_IN_CONTEXT = 1
_ALLOCATION_FAILED = -2


class ProgressMeter:
    """Turns llama.cpp's load progress into bytes and an ETA, at most four times a second.

    llama.cpp reports a share of the tensor bytes, but says nothing while the system reads a
    memory-mapped file in (it maps with MAP_POPULATE: minutes for hundreds of GB). Those bytes show
    up as resident pages of this process, so a ticking thread watches them and the larger of the
    two counts is reported.

    Args:
        total_bytes: size of the checkpoint.
        report: called with every ``LoadProgress``, from two threads but never at once.
    """

    def __init__(self, total_bytes: int, report: Callable[[LoadProgress], None]) -> None:
        self._total_bytes = total_bytes
        self._report = report
        self._lock = threading.Lock()
        self._process = psutil.Process()
        self._start_s = time.monotonic()
        self._start_rss = self._process.memory_info().rss
        self._last_s = 0.0
        self._done_bytes = 0
        self._stage = "checking"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="load-progress", daemon=True)

    def __enter__(self) -> ProgressMeter:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def enter_stage(self, stage: str) -> None:
        """Report a new stage at once."""
        with self._lock:
            self._stage = stage
            if stage not in ("checking", "reading"):
                self._done_bytes = self._total_bytes
            self._send(time.monotonic())

    def share_done(self, share: float) -> None:
        """Take llama.cpp's own progress, 0 to 1."""
        with self._lock:
            self._advance(int(share * self._total_bytes))

    def _tick(self) -> None:
        while not self._over.wait(_PROGRESS_PERIOD_S):
            grown = self._process.memory_info().rss - self._start_rss
            with self._lock:
                if self._stage == "reading":
                    self._advance(grown)

    def _advance(self, done_bytes: int) -> None:
        now_s = time.monotonic()
        self._done_bytes = max(self._done_bytes, min(done_bytes, self._total_bytes))
        if now_s - self._last_s >= _PROGRESS_PERIOD_S:
            self._send(now_s)

    def _send(self, now_s: float) -> None:
        self._last_s = now_s
        elapsed_s = now_s - self._start_s
        eta_s = None
        if self._stage == "reading" and elapsed_s > 0.5 and self._done_bytes > 0:
            eta_s = elapsed_s * (self._total_bytes - self._done_bytes) / self._done_bytes
        self._report(
            LoadProgress(self._stage, self._done_bytes, self._total_bytes, elapsed_s, eta_s)
        )


class LoadedCheckpoint:
    """Owns the model and its context; ``close`` frees both.

    Attributes:
        context: handle for decoding.
        vocabulary: tokens of the checkpoint.
        settings: as applied, with nothing left to choose.
        n_ctx: length of the context in tokens (llama.cpp rounds up to 256).
    """

    def __init__(
        self,
        library: LlamaLibrary,
        log: LogCapture,
        facts: CheckpointFacts,
        settings: LoadSettings,
        *,
        abort: AbortFlag,
        progress: ProgressMeter,
    ) -> None:
        self._library = library
        self._api = library.api
        self._facts = facts
        self._model: Any = None
        self.context: Any = None
        self._parameters: NativeParameters | None = None
        with log.recording() as self._log_lines:
            try:
                self._load_model(settings, abort, progress)
                progress.enter_stage("context")
                self._create_context(settings, abort)
            except BaseException:
                self.close()
                raise
        self.vocabulary = Vocabulary(library, self._model)
        self.n_ctx = int(self._api.llama_n_ctx(self.context))
        self.settings = dataclasses.replace(settings, n_ctx=self.n_ctx)
        self.devices = self._measure()

    def _load_model(
        self, settings: LoadSettings, abort: AbortFlag, progress: ProgressMeter
    ) -> None:
        def on_progress(share: float, _user_data: Any) -> bool:
            progress.share_done(share)
            return not abort.is_set()

        progress.enter_stage("reading")
        self._parameters = model_parameters(self._library, settings)
        callback = self._api.llama_progress_callback(on_progress)
        self._parameters.keep_alive.append(callback)
        self._parameters.struct.progress_callback = callback
        self._model = self._api.llama_model_load_from_file(
            str(self._facts.path).encode(), self._parameters.struct
        )
        abort.refuse_load()
        if not self._model:
            raise load_failure(self._log_lines)

    def _create_context(self, settings: LoadSettings, abort: AbortFlag) -> None:
        parameters = context_parameters(self._library, settings, abort, model=self._model)
        assert self._parameters is not None
        self._parameters.keep_alive.append(parameters)
        self.context = self._api.llama_init_from_model(self._model, parameters.struct)
        abort.refuse_load()
        if not self.context:
            raise load_failure(self._log_lines)

    def warm_up(self) -> None:
        """Tokenize and decode a little, so that a native crash happens here, not in an answer.

        Raises:
            LoadCancelledError: it was stopped.
            DecodeError, OutOfMemoryError: the decode failed without a crash.
        """
        self.vocabulary.tokenize("Hello, 1 2 3.")  # odd vocabularies abort at their first text
        token = max(self.vocabulary.bos, 0)
        batch_token = (self._api.llama_token * 1)(token)
        status = self._api.llama_decode(self.context, self._api.llama_batch_get_one(batch_token, 1))
        if status == DECODE_ABORTED:
            raise LoadCancelledError
        if status != 0:
            raise decode_failure(status)
        self._api.llama_memory_clear(self._api.llama_get_memory(self.context), True)

    def _measure(self) -> tuple[DeviceMemory, ...]:
        uses = read_breakdown(self._library, self.context)
        if uses is None:
            return from_log(self._log_lines)
        uses = used_in_place(uses, mapped_weights(self._library, self._model))
        # One row of logits is kept on the host (llama-context.cpp, output_reserve).
        return per_device(uses, 4 * self.vocabulary.size)

    def info(self) -> ModelInfo:
        """Return what the user is told about the checkpoint, without its template's source."""
        return ModelInfo(
            path=str(self._facts.path),
            name=self._facts.name,
            architecture=self._facts.architecture,
            parameters=int(self._api.llama_model_n_params(self._model)),
            size_bytes=self._facts.size_bytes,
            n_ctx_train=int(self._api.llama_model_n_ctx_train(self._model)),
            n_layer=int(self._api.llama_model_n_layer(self._model)),
            n_vocab=self.vocabulary.size,
            template_source=self._template_source(),
            quantization=self._facts.quantization,
        )

    def _template_source(self) -> str:
        if self.settings.template:
            return "given"
        return "checkpoint" if self._facts.template else "fallback"

    def close(self) -> None:
        """Free context and model; safe to call twice."""
        if self.context:
            self._api.llama_free(self.context)
            self.context = None
        if self._model:
            self._api.llama_model_free(self._model)
            self._model = None


def load_failure(lines: list[tuple[str, str]]) -> FathomError:
    """Build the error for a refused checkpoint from llama.cpp's own words."""
    said = [line for level, line in lines if level in ("warning", "error")]
    text = "\n".join(said)
    lowered = text.lower()
    if "unknown model architecture" in lowered:
        return UnknownArchitectureError(
            "This checkpoint's architecture is not one that the engine can run.", details=text
        )
    if "not within the file bounds" in lowered or "corrupted or incomplete" in lowered:
        return TruncatedGgufError(
            "The file is incomplete.", hint="Download it again.", details=text
        )
    if any(word in lowered for word in ("failed to allocate", "unable to allocate", "out of mem")):
        return OutOfMemoryError(
            "There is no room to load this checkpoint.",
            hint="Choose a smaller context or a smaller checkpoint.",
            details=text,
        )
    reason = said[-1] if said else "It gave no reason."
    return LoadError("The engine refuses this checkpoint.", hint=reason[:300], details=text)


def decode_failure(status: int) -> FathomError:
    """Build the error for what ``llama_decode`` returned, other than 0 and ``DECODE_ABORTED``."""
    if status == _ALLOCATION_FAILED:
        return OutOfMemoryError(
            "There was no room for the computation.",
            hint="Load again with a smaller context or a smaller batch.",
        )
    if status == _NO_ROOM_IN_CONTEXT:
        return DecodeError("The context is full.", hint="Load with a larger context.")
    return DecodeError("The engine failed while computing.", details=f"llama_decode: {status}")


def must_not_repack(library: LlamaLibrary, architecture: str) -> bool:
    """Whether repacked weights would abort the process: latent attention on an AMX CPU."""
    has_amx = any(name.startswith("AMX") for name in cpu_features(library))
    return has_amx and architecture in _LATENT_ATTENTION
