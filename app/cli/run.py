"""``fathom run``: one question, the answer as it comes. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.cli.failures import INTERRUPTED, print_line
from app.cli.planned_load import VerbLoad
from app.cli.question import question
from app.cli.safety import template_to_use
from app.cli.session import EngineConversation, Session
from app.cli.terminal import AnswerWriter, ProgressLine
from models.engine_settings import sampling
from models.errors import BadInputError, StoppedError
from models.gguf.checkpoint import inspect_checkpoint
from models.library.library import LibraryEntry
from models.runtime.protocol import (
    Cancelled,
    Delta,
    DeviceMemory,
    Done,
    GenerateRequest,
    Loaded,
    LoadProgress,
    LoadSettings,
    Usage,
)
from models.units import format_bytes, format_duration, format_rate

CANCELLED = "cancelled"
_MAX_PROMPT_BYTES = 16_000_000


@dataclass(frozen=True)
class Answer:
    """An answer with its figures, as ``--json`` prints it."""

    text: str
    reasoning: str
    usage: Usage
    stop_reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys, in their order."""
        usage = self.usage
        return {
            "text": self.text,
            "reasoning": self.reasoning,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "ttft_s": usage.ttft_s,
            "prefill_tok_s": usage.prefill_tok_s,
            "decode_tok_s": usage.decode_tok_s,
            "stop_reason": self.stop_reason,
            "devices": [_device(memory) for memory in usage.devices],
            "peak_rss_bytes": usage.peak_rss_bytes,
        }


def _device(memory: DeviceMemory) -> dict[str, Any]:
    return {
        "name": memory.name,
        "weights_bytes": memory.weights_bytes,
        "kv_bytes": memory.kv_bytes,
        # The output buffer is small and, like these, working memory.
        "compute_bytes": memory.compute_bytes + memory.output_bytes,
    }


def run(options: argparse.Namespace, session: Session) -> int:
    """Answer ``options.prompt`` with ``options.model``; return the exit code."""
    entry = session.library().resolve(options.model)
    inspect_checkpoint(entry.path)
    template = template_to_use(entry, session, options.template)
    settings = session.settings
    request = question(
        settings,
        _prompt(options.prompt),
        system=options.system,
        max_tokens=options.max_tokens,
        how=sampling(settings, temperature=options.temp, seed=options.seed),
    )
    with session.open_engine() as engine, engine.ctrl_c_cancels():
        try:
            answer = _answer(options, session, engine, entry, request, template=template)
        except StoppedError:
            answer = Answer("", "", Usage(), CANCELLED)
        # Printed before the child is stopped: nobody should wait for that.
        if options.json:
            print(json.dumps(answer.to_json(), ensure_ascii=False), flush=True)
        else:
            print_line(_figures(answer))
    return INTERRUPTED if answer.stop_reason == CANCELLED else 0


def _answer(
    options: argparse.Namespace,
    session: Session,
    engine: EngineConversation,
    entry: LibraryEntry,
    request: GenerateRequest,
    *,
    template: str,
) -> Answer:
    """Plan, load and ask; ``template`` stands in for the checkpoint's own unless it is empty.

    Raises:
        StoppedError: Ctrl-C came before the load.
    """
    how = VerbLoad(session, engine, entry.path, n_ctx=options.ctx)
    settings = replace(how.settings, template=template)
    loaded = load_checkpoint(engine, entry.path, entry.title, settings, quiet=options.json)
    if loaded is None:
        return Answer("", "", Usage(), CANCELLED)
    answer = _ask(engine, request, loaded, quiet=options.json)
    if not engine.retried:
        how.keep_run(answer.usage)
    return answer


def _prompt(text: str) -> str:
    if text != "-":
        return text
    data = sys.stdin.buffer.read(_MAX_PROMPT_BYTES + 1)
    if len(data) > _MAX_PROMPT_BYTES:
        raise BadInputError("The prompt on standard input is longer than 16 MB.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInputError("The prompt on standard input is not UTF-8 text.") from error


def load_checkpoint(
    engine: EngineConversation, path: Path, title: str, settings: LoadSettings, *, quiet: bool
) -> Loaded | None:
    """Load a checkpoint and show how far that is; None when it was cancelled."""
    line = ProgressLine(sys.stderr)
    loaded: Loaded | None = None
    try:
        if not quiet:
            line.show(f"Loading {title}")
        for event in engine.follow(engine.supervisor.load(str(path), settings)):
            if isinstance(event.body, LoadProgress) and not quiet:
                line.show(_progress(title, event.body))
            elif isinstance(event.body, Loaded):
                loaded = event.body
    finally:
        line.clear()
    if loaded is not None and not quiet:
        if engine.retried:
            print_line("The engine crashed and was started again in safe mode, which is slower.")
        for warning in loaded.warnings:
            print_line(warning)
    return loaded


def _progress(title: str, progress: LoadProgress) -> str:
    text = f"Loading {title}"
    if progress.bytes_total > 0:
        percent = 100 * progress.bytes_done // progress.bytes_total
        text += f": {percent} % of {format_bytes(progress.bytes_total)}"
    if progress.eta_s:
        text += f", {format_duration(progress.eta_s)} left"
    return text


def _ask(
    engine: EngineConversation, request: GenerateRequest, loaded: Loaded, *, quiet: bool
) -> Answer:
    writer = AnswerWriter(sys.stdout, sys.stderr, quiet=quiet)
    usage, stop_reason = Usage(), CANCELLED
    try:
        for event in engine.follow(engine.supervisor.generate(request)):
            if isinstance(event.body, Delta):
                writer.write(event.body.text, event.body.reasoning)
            elif isinstance(event.body, Done):
                usage, stop_reason = event.body.usage, event.body.stop_reason
            elif isinstance(event.body, Cancelled):
                usage = event.body.usage or usage
    finally:
        writer.finish()
    if not usage.devices:
        usage = replace(usage, devices=loaded.devices)
    return Answer(writer.text, writer.reasoning, usage, stop_reason)


_STOP_WORDS = {
    "end": "the answer is complete",
    "length": "stopped at the longest answer allowed",
    "stop": "stopped at a stop string",
    "context_full": "stopped because the context is full",
    CANCELLED: "stopped by you",
}


def _figures(answer: Answer) -> str:
    usage = answer.usage
    parts = []
    if usage.completion_tokens:
        parts.append(f"{usage.completion_tokens} tokens at {format_rate(usage.decode_tok_s)}")
    if usage.ttft_s is not None:
        parts.append(f"first token after {format_duration(usage.ttft_s)}")
    if usage.prompt_tokens:
        rate = f" at {format_rate(usage.prefill_tok_s)}" if usage.prefill_tok_s else ""
        parts.append(f"prompt of {usage.prompt_tokens} tokens{rate}")
    parts.append(_STOP_WORDS.get(answer.stop_reason, answer.stop_reason))
    return ", ".join(parts)
