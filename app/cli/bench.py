"""``fathom bench``: a checkpoint's own speed beside its prediction, and the calibration. No Qt."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.devices import ask_devices
from app.cli.failures import INTERRUPTED, print_line
from app.cli.run import load_checkpoint
from app.cli.session import EngineConversation, Session
from app.cli.table import format_table
from app.cli.terminal import ProgressLine
from models.engine_settings import load_settings, rpc_hosts
from models.errors import BadInputError, InstallationError, StoppedError
from models.gguf.shape import ModelShape
from models.hardware.calibration_store import CalibrationStore, checkpoint_signature
from models.hardware.cpu import CpuReader, last_cache_bytes
from models.hardware.machine import this_machine
from models.planner.inventory import Inventory
from models.planner.machine import Calibration, Machine
from models.planner.machine_file import calibration_to_json
from models.planner.plan import SpeedRange
from models.planning.calibrate import CalibrationProgress, Calibrator
from models.planning.expected import Expected, expect
from models.planning.opening import OpenCheckpoint, open_checkpoint
from models.runtime.protocol import (
    Benched,
    BenchProgress,
    BenchRequest,
    BenchResult,
    Loaded,
    LoadSettings,
    Streams,
)
from models.units import format_bytes, format_duration

DEPTHS = (0, 1024, 4096)
_PROMPT, _ANSWER, _REPEATS = 256, 16, 3
_LIMIT_S = 90.0
_LOAD_WINDOW_S = 0.3
_BUSY_PERCENT = 25.0


@dataclass(frozen=True)
class Row:
    """One depth: what was measured and what was expected."""

    measured: BenchResult
    expected: Expected

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys."""
        return {
            "n_past": self.measured.n_past,
            "prefill_tok_s": self.measured.prefill_tok_s,
            "decode_tok_s": self.measured.decode_tok_s,
            "predicted_prefill_tok_s": vars_of(self.expected.speed.prefill),
            "predicted_decode_tok_s": vars_of(self.expected.speed.decode),
            "bound_by": self.expected.speed.bound_by,
            "prefill_bound_by": self.expected.speed.prefill_bound_by,
        }


def vars_of(speed: SpeedRange) -> dict[str, float]:
    """Return a range as plain JSON data."""
    return {"low": speed.low, "mid": speed.mid, "high": speed.high}


def bench(options: argparse.Namespace, session: Session) -> int:
    """Measure a checkpoint, or with ``--calibrate`` the machine; return the exit code."""
    if not options.calibrate and not options.checkpoint:
        raise BadInputError(
            "There is nothing to measure.", hint="Name a checkpoint, or use --calibrate."
        )
    try:
        if options.calibrate:
            return _calibrate(options, session)
        return _bench(options, session)
    except StoppedError:
        print_line("Stopped; nothing was kept.")
        return INTERRUPTED


def _warn_when_busy() -> None:
    """Say that other programs will make the figures worse than they are."""
    reader = CpuReader()
    reader.read()
    threading.Event().wait(_LOAD_WINDOW_S)
    load = reader.read().load_percent
    if load is not None and load > _BUSY_PERCENT:
        print_line(
            f"Other programs keep {load:.0f} % of this machine busy: the figures will be lower "
            "than they could be. Measure again when it is quiet."
        )


# --- the calibration ------------------------------------------------------------------------------


def _calibrate(options: argparse.Namespace, session: Session) -> int:
    checkpoint = _opened(options, session) if options.checkpoint else None
    _warn_when_busy()
    store = CalibrationStore(session.paths.data_dir)
    line = ProgressLine(sys.stderr)
    with session.open_engine() as engine, engine.ctrl_c_cancels(), _work_dir(session) as folder:
        listed = ask_devices(engine, rpc_hosts(session.settings))
        # What was measured before must not colour what is measured now.
        machine = this_machine(listed, checkpoint_path=None, calibration_store=store)
        calibrator = Calibrator(
            CliEngine(engine),
            machine,
            work_dir=folder,
            cache_bytes=last_cache_bytes(),
            report=lambda progress: None if options.json else line.show(_progress(progress)),
            stop=lambda: engine.interrupted,
        )
        try:
            if checkpoint is None:
                measured = calibrator.run()
            else:
                measured = calibrator.run(checkpoint.files, checkpoint.shape)
        finally:
            line.clear()
    signature = checkpoint_signature(checkpoint.shape) if checkpoint else ""
    try:
        store.save(measured, signature)
    except OSError as error:
        raise InstallationError("The calibration cannot be kept.", details=str(error)) from error
    if options.json:
        print(json.dumps(calibration_to_json(measured), ensure_ascii=False))
    else:
        print(format_table(_calibration_rows(measured), wrap=1))
    return 0


def _progress(progress: CalibrationProgress) -> str:
    share = f"{progress.steps_done} of {progress.steps_total}"
    left = format_duration(progress.eta_s)
    return f"Measuring {progress.text} ({share}, {left} left at most); Ctrl-C stops"


def _calibration_rows(measured: Calibration) -> list[tuple[str, str]]:
    rows = [("measured on", measured.measured_on), ("threads", str(measured.n_threads))]
    rates = {
        "RAM": measured.ram_bytes_s,
        "disk": measured.disk_bytes_s,
        "to a GPU": measured.pcie_bytes_s,
    }
    rows += [(name, f"{format_bytes(int(rate))}/s") for name, rate in rates.items() if rate]
    for key, rate in measured.cpu_decode_bytes_s.items():
        flop = measured.cpu_prefill_flop_s.get(key, 0.0)
        text = f"{format_bytes(int(rate))}/s in answers, {flop / 1e9:.1f} GFLOP/s in prompts"
        rows.append((key, text))
    for device, rate in measured.gpu_decode_bytes_s.items():
        flop = measured.gpu_prefill_flop_s.get(device, 0.0)
        text = f"{format_bytes(int(rate))}/s in answers, {flop / 1e12:.1f} TFLOP/s in prompts"
        rows.append((device, text))
    rows.append(("a layer", format_duration(measured.cpu_layer_s)))
    rows.append(("a token", format_duration(measured.cpu_fixed_s)))
    return rows


@contextlib.contextmanager
def _work_dir(session: Session) -> Iterator[Path]:
    session.paths.create()
    folder = Path(tempfile.mkdtemp(prefix="calibration.", dir=session.paths.cache_dir))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class CliEngine:
    """The engine conversation of a verb as the calibration uses it."""

    def __init__(self, engine: EngineConversation) -> None:
        self._engine = engine

    def load(self, path: Path, settings: LoadSettings) -> bool | None:
        """Load a checkpoint; None when that was stopped."""
        body = self._engine.last(self._engine.supervisor.load(str(path), settings)).body
        return True if isinstance(body, Loaded) else None

    def bench(self, request: BenchRequest) -> Benched | None:
        """Measure it; None when that was stopped."""
        body = self._engine.last(self._engine.supervisor.bench(request)).body
        return body if isinstance(body, Benched) else None

    def streams(self, path: Path) -> Streams | None:
        """Measure RAM, disk and links; None when that was stopped."""
        body = self._engine.last(self._engine.supervisor.measure_streams(str(path))).body
        return body if isinstance(body, Streams) else None


# --- one checkpoint -------------------------------------------------------------------------------


def _opened(options: argparse.Namespace, session: Session) -> OpenCheckpoint:
    return open_checkpoint(options.checkpoint, library=session.library(), hub=session.hub())


def _bench(options: argparse.Namespace, session: Session) -> int:
    checkpoint = _opened(options, session)
    if checkpoint.path is None:
        raise BadInputError(
            "Only a checkpoint on this machine can be measured.",
            hint="Use --calibrate to measure with a few layers of it, without download.",
        )
    _warn_when_busy()
    store = CalibrationStore(session.paths.data_dir)
    depths = tuple(options.depths or DEPTHS)
    need = max(depths) + _PROMPT + _ANSWER
    with session.open_engine() as engine, engine.ctrl_c_cancels():
        listed = ask_devices(engine, rpc_hosts(session.settings))
        machine = this_machine(
            listed, checkpoint_path=checkpoint.path, calibration_store=store, shape=checkpoint.shape
        )
        how = load_settings(session.settings, n_ctx=min(need, checkpoint.shape.n_ctx_train or need))
        loaded = load_checkpoint(engine, checkpoint.path, checkpoint.name, how, quiet=options.json)
        if loaded is None:
            raise StoppedError
        benched = _measured(engine, depths, quiet=options.json)
    rows = _rows(checkpoint.shape, machine, loaded, benched, store)
    _record(checkpoint.shape, rows, store)
    if options.json:
        print(json.dumps(_to_json(checkpoint, loaded, benched, rows), ensure_ascii=False))
    else:
        print(format_table(_table(rows), wrap=3))
    return 0


def _measured(engine: EngineConversation, depths: Sequence[int], *, quiet: bool) -> Benched:
    line = ProgressLine(sys.stderr)
    request = BenchRequest(
        depths=tuple(depths),
        prompt_tokens=_PROMPT,
        answer_tokens=_ANSWER,
        repeats=_REPEATS,
        limit_s=_LIMIT_S,
    )
    found: Benched | None = None
    try:
        for event in engine.follow(engine.supervisor.bench(request)):
            if isinstance(event.body, BenchProgress) and not quiet:
                line.show(_bench_progress(event.body))
            elif isinstance(event.body, Benched):
                found = event.body
    finally:
        line.clear()
    if found is None:
        raise StoppedError
    return found


def _bench_progress(progress: BenchProgress) -> str:
    text = f"Measuring: {progress.tokens_done:,} of {progress.tokens_total:,} tokens"
    return text if progress.eta_s is None else f"{text}, {format_duration(progress.eta_s)} left"


def _rows(
    shape: ModelShape, machine: Machine, loaded: Loaded, benched: Benched, store: CalibrationStore
) -> list[Row]:
    inventory = Inventory(shape)
    return [
        Row(
            result,
            expect(
                inventory,
                machine,
                loaded.settings,
                store,
                n_past=result.n_past,
                n_prompt=result.prompt_tokens,
            ),
        )
        for result in benched.results
    ]


def _record(shape: ModelShape, rows: Sequence[Row], store: CalibrationStore) -> None:
    """Keep the run with the shortest context: it corrects what is expected next time."""
    if not rows:
        return
    row = rows[0]
    try:
        store.record_run(
            checkpoint_signature(shape),
            row.expected.placement,
            predicted_decode_tok_s=row.expected.speed.decode.mid,
            measured_decode_tok_s=row.measured.decode_tok_s,
            predicted_prefill_tok_s=row.expected.speed.prefill.mid,
            measured_prefill_tok_s=row.measured.prefill_tok_s,
            used=row.expected.used,
        )
    except OSError as error:
        print_line(f"The run could not be kept ({error.strerror}).")


def _table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("context", "measured tok/s", "predicted tok/s", "bound by")]
    for row in rows:
        speed = row.expected.speed
        parts = (
            ("prompt", row.measured.prefill_tok_s, speed.prefill, speed.prefill_bound_by),
            ("answer", row.measured.decode_tok_s, speed.decode, speed.bound_by),
        )
        for name, measured, expected, bound_by in parts:
            where = f"{row.measured.n_past:,} {name}"
            span = f"{expected.low:.1f} - {expected.mid:.1f} - {expected.high:.1f}"
            table.append((where, f"{measured:.1f}", span, bound_by))
    return table


def _to_json(
    checkpoint: OpenCheckpoint, loaded: Loaded, benched: Benched, rows: Sequence[Row]
) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint.name,
        "path": str(checkpoint.path),
        "n_ctx": loaded.settings.n_ctx,
        "n_threads": benched.n_threads,
        "elapsed_s": benched.elapsed_s,
        "calibrated_on": rows[0].expected.calibrated_on if rows else "",
        "results": [row.to_json() for row in rows],
    }
