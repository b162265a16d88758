"""The engine's verbs over llama.cpp: devices, load, unload, generate. No Qt here.

One checkpoint, one context, one request at a time; the worker sees to that. ``cancel`` may be
called from any thread.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from models.chat.reasoning import ReasoningSplitter
from models.errors import EngineBusyError, InvalidSettingError, TemplateError
from models.gguf.checkpoint import CheckpointFacts, inspect_checkpoint
from models.hardware.cpu import physical_cores, usable_cpus
from models.hardware.memory import RamReader, peak_rss_bytes
from models.runtime.llama.abort import AbortFlag
from models.runtime.llama.addon_modules import load_addons
from models.runtime.llama.bench import Bench
from models.runtime.llama.bindings import LlamaLibrary, library_version
from models.runtime.llama.checkpoint import (
    LoadedCheckpoint,
    ProgressMeter,
    load_failure,
    must_not_repack,
)
from models.runtime.llama.devices import list_devices
from models.runtime.llama.dry_run import DryRun, resolve, room_now
from models.runtime.llama.generation import (
    Generator,
    Outcome,
    Progress,
    TextAssembler,
    delta_period_s,
)
from models.runtime.llama.log_capture import LogCapture
from models.runtime.llama.parameters import check_settings, model_parameters, with_threads
from models.runtime.llama.rpc import RpcHosts
from models.runtime.llama.same_gpu import hide_second_ways
from models.runtime.llama.sampling import check_sampling
from models.runtime.llama.streams import measure_streams
from models.runtime.llama.template import ChatTemplate, continued, opens_reasoning
from models.runtime.llama.thread_pacing import ThreadPacer
from models.runtime.llama.tokens import Vocabulary
from models.runtime.protocol import (
    Benched,
    BenchProgress,
    BenchRequest,
    DeviceList,
    GenerateRequest,
    Loaded,
    LoadProgress,
    LoadSettings,
    Started,
    Stats,
    Streams,
    Usage,
)


class LlamaBackend:
    """llama.cpp as the worker uses it.

    Args:
        log_sink: called with level and text for llama.cpp's warnings and errors.
        addons_dir: where the user's add-ons lie; None: none are looked for there.

    Raises:
        InstallationError: the library is missing or does not run on this machine.
    """

    def __init__(
        self, log_sink: Callable[[str, str], None], addons_dir: Path | None = None
    ) -> None:
        self._abort = AbortFlag()
        self._log_sink = log_sink
        self._dry = False
        self._library = LlamaLibrary()
        self._log = LogCapture(self._library, self._pass_on)
        self._library.start()
        self._addons = load_addons(self._library, addons_dir)
        hide_second_ways(self._library)
        self._rpc = RpcHosts(self._library)
        self._checkpoint: LoadedCheckpoint | None = None
        self._generator: Generator | None = None
        self._template: ChatTemplate | None = None
        self._progress: Progress | None = None
        self._process = psutil.Process()
        self._cores = physical_cores().value
        self._delta_period_s = delta_period_s(self._cores)

    def _pass_on(self, level: str, text: str) -> None:
        # A cancelled computation and a rehearsed one complain of what is meant to happen.
        if not self._abort.is_set() and not self._dry:
            self._log_sink(level, text)

    @staticmethod
    def version() -> str:
        """Return the version of llama-cpp-python, which names the llama.cpp it carries."""
        return library_version()

    @property
    def is_loaded(self) -> bool:
        """Whether a checkpoint is loaded."""
        return self._checkpoint is not None

    def devices(self, rpc_hosts: tuple[str, ...] = ()) -> DeviceList:
        """Return the devices ggml sees now, those of RPC hosts among them."""
        problems = self._rpc.connect(rpc_hosts)
        said = tuple(problem.one_line() for problem in problems)
        return list_devices(self._library, said, self._addons)

    def cancel(self) -> None:
        """Stop what runs, from any thread."""
        self._abort.set()

    def allow(self) -> None:
        """Forget an earlier cancel; the worker calls it when a request begins."""
        self._abort.clear()

    # --- loading --------------------------------------------------------------------------------

    def load(
        self, path: str, settings: LoadSettings, report: Callable[[LoadProgress], None]
    ) -> Loaded:
        """Load a checkpoint; one that is loaded already is freed first.

        What can be refused without its memory is refused before that.

        Raises:
            BadInputError: the file or a setting cannot be used.
            EngineError: llama.cpp refused, or there is no room.
            LoadCancelledError: ``cancel`` was called.
        """
        start_s = time.monotonic()
        check_settings(settings)
        for problem in self._rpc.connect(settings.rpc_hosts):
            raise problem
        if settings.devices is None:
            settings = dataclasses.replace(settings, devices=self._rpc.default_devices())
        model_parameters(self._library, settings)  # refuses devices that are not there
        facts = inspect_checkpoint(Path(path))
        if settings.template:
            facts = dataclasses.replace(facts, template=settings.template)
        template = ChatTemplate(facts.template)
        self.unload()
        warnings: list[str] = []
        pacer = None
        if not (settings.n_threads or settings.n_threads_batch):
            pacer = ThreadPacer(self._cores, len(usable_cpus()[0]))
        settings = with_threads(settings, self._cores)
        if settings.use_extra_bufts and must_not_repack(self._library, facts.architecture):
            settings = dataclasses.replace(settings, use_extra_bufts=False)
            warnings.append("Repacked weights are off: on this CPU they would end the engine.")
        with ProgressMeter(facts.size_bytes, report) as meter:
            meter.enter_stage("checking")
            settings = self._resolve(facts, settings)
            checkpoint = LoadedCheckpoint(
                self._library, self._log, facts, settings, abort=self._abort, progress=meter
            )
            try:
                meter.enter_stage("warmup")
                checkpoint.warm_up()
            except BaseException:
                checkpoint.close()
                raise
        self._checkpoint, self._template = checkpoint, template
        self._rpc.hold(settings.rpc_hosts, settings.devices)
        self._generator = Generator(self._library, checkpoint, self._abort, pacer)
        warnings += _context_warnings(checkpoint)
        return Loaded(
            model=checkpoint.info(),
            devices=checkpoint.devices,
            settings=checkpoint.settings,
            warnings=tuple(warnings),
            elapsed_s=time.monotonic() - start_s,
        )

    def _resolve(self, facts: CheckpointFacts, settings: LoadSettings) -> LoadSettings:
        self._dry = True
        try:
            with self._log.recording() as lines:
                room = room_now(self._library, RamReader().read().available_bytes)
                settings = resolve(
                    settings,
                    room,
                    lambda tried: DryRun(
                        self._library,
                        str(facts.path),
                        tried,
                        lambda: load_failure(lines),
                        self._abort,
                    ),
                )
        finally:
            self._dry = False
        self._abort.refuse_load()
        return settings

    def unload(self) -> None:
        """Free the checkpoint's memory."""
        if self._checkpoint is not None:
            self._checkpoint.close()
        self._checkpoint = self._generator = self._template = self._progress = None
        self._rpc.hold((), None)
        gc.collect()  # parameter structs hold callbacks in cycles with their closures

    # --- answering ------------------------------------------------------------------------------

    def generate(
        self,
        request: GenerateRequest,
        started: Callable[[Started], None],
        emit: Callable[[str, str, int], None],
    ) -> tuple[Outcome, Usage]:
        """Answer a conversation.

        Args:
            request: what to answer.
            started: called once, when the prompt is tokenized.
            emit: called with (text, reasoning, tokens covered) as the answer comes.

        Raises:
            EngineBusyError: nothing is loaded.
            BadInputError: the conversation or a sampling value cannot be used.
            EngineError: llama.cpp failed.
        """
        if self._checkpoint is None or self._generator is None or self._template is None:
            raise EngineBusyError("No checkpoint is loaded.", hint="Load one first.")
        if request.max_tokens < 0:
            raise InvalidSettingError(f"max_tokens must be 0 or more, not {request.max_tokens}.")
        check_sampling(request.sampling)
        progress = Progress(start_s=time.monotonic())
        self._progress = progress
        try:
            prompt, reasoning_open = self._prompt(
                self._template, self._checkpoint.vocabulary, request
            )
        except TemplateError:
            progress.phase = "idle"
            if not self._abort.is_set():
                raise
            seed = request.sampling.seed
            return Outcome("", seed), self._usage(progress, seed)
        tokens = self._generator.prepare(prompt, progress)
        started(Started(progress.prompt_tokens, progress.reused_tokens, reasoning_open))
        if request.continue_answer:
            splitter = ReasoningSplitter.in_middle(reasoning=reasoning_open)
        else:
            splitter = ReasoningSplitter(reasoning_open)
        assembler = TextAssembler(
            request, splitter=splitter, emit=emit, period_s=self._delta_period_s
        )
        outcome = self._generator.answer(tokens, request, assembler, progress)
        return outcome, self._usage(progress, outcome.seed)

    # --- measuring ------------------------------------------------------------------------------

    def bench(
        self, request: BenchRequest, report: Callable[[BenchProgress], None]
    ) -> Benched | None:
        """Measure prefill and decode on the loaded checkpoint; None when it was cancelled.

        Raises:
            EngineBusyError: nothing is loaded.
            InvalidSettingError: a figure of the request makes no sense.
            EngineError: llama.cpp failed.
        """
        if self._checkpoint is None or self._generator is None:
            raise EngineBusyError("No checkpoint is loaded.", hint="Load one first.")
        self._generator.forget()
        try:
            return Bench(self._library, self._checkpoint, self._abort, report).run(request)
        finally:
            self._generator.forget()

    def streams(self, path: str) -> Streams | None:
        """Measure RAM, the disk that holds ``path`` and the ways to the GPUs; None: cancelled."""
        return measure_streams(self._library, Path(path), self._cores, self._abort)

    def _prompt(
        self, template: ChatTemplate, vocabulary: Vocabulary, request: GenerateRequest
    ) -> tuple[str, bool]:
        """Render the conversation; return the prompt and whether it ends inside reasoning."""
        messages = list(request.messages)
        answer = messages.pop() if request.continue_answer and messages else None
        if request.continue_answer and (answer is None or answer.role != "assistant"):
            raise InvalidSettingError("There is no answer to continue.")
        prompt = template.render(
            messages,
            request.template_options,
            bos_token=vocabulary.text_of(vocabulary.bos),
            eos_token=vocabulary.text_of(vocabulary.eos),
            is_cancelled=self._abort.is_set,
        )
        return (prompt, opens_reasoning(prompt)) if answer is None else continued(prompt, answer)

    def _usage(self, progress: Progress, seed: int) -> Usage:
        now_s = time.monotonic()
        checkpoint = self._checkpoint
        return Usage(
            prompt_tokens=progress.prompt_tokens,
            reused_tokens=progress.reused_tokens,
            completion_tokens=progress.completion_tokens,
            ttft_s=progress.ttft_s,
            prefill_tok_s=progress.prefill_tok_s(now_s),
            decode_tok_s=progress.decode_mean_tok_s(),
            elapsed_s=now_s - progress.start_s,
            seed=seed,
            context_used=progress.context_used,
            context_total=checkpoint.n_ctx if checkpoint else 0,
            devices=checkpoint.devices if checkpoint else (),
            peak_rss_bytes=peak_rss_bytes(),
        )

    def stats(self) -> Stats:
        """Return the live figures; safe to call from another thread while an answer runs."""
        now_s = time.monotonic()
        progress = self._progress or Progress(phase="idle")
        checkpoint = self._checkpoint
        return Stats(
            phase=progress.phase,
            prefill_tokens_done=progress.prefill_tokens_done,
            prefill_tokens_total=progress.prompt_tokens - progress.reused_tokens,
            prefill_tok_s=progress.prefill_tok_s(now_s),
            decode_tok_s=progress.decode_tok_s(now_s) if progress.phase == "decode" else 0.0,
            decode_mean_tok_s=progress.decode_mean_tok_s(),
            ttft_s=progress.ttft_s,
            completion_tokens=progress.completion_tokens,
            context_used=progress.context_used,
            context_total=checkpoint.n_ctx if checkpoint else 0,
            devices=checkpoint.devices if checkpoint else (),
            rss_bytes=self._process.memory_info().rss,
            peak_rss_bytes=peak_rss_bytes(),
        )


def _context_warnings(checkpoint: LoadedCheckpoint) -> list[str]:
    info = checkpoint.info()
    warnings = []
    if info.n_ctx_train and checkpoint.n_ctx > info.n_ctx_train:
        warnings.append(
            f"The context of {checkpoint.n_ctx:,} tokens is longer than the {info.n_ctx_train:,} "
            "this checkpoint was trained for: answers may get worse past that."
        )
    if info.template_source == "fallback":
        warnings.append("The checkpoint has no chat template; a plain one is used.")
    return warnings
