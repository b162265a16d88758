"""What was measured on this machine, and how real runs went beside their prediction. No Qt here.

One JSON file in the data folder, written in one step. A file that cannot be read is set aside and
begun anew: everything in it can be measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.errors import BadInputError
from models.gguf.shape import ModelShape
from models.planner.machine import Calibration
from models.planner.machine_file import calibration_from_json, calibration_to_json
from models.planner.plan import CPU, PlanSettings
from models.private_files import make_private_folder
from models.whole_files import write_whole

_log = logging.getLogger(__name__)

FILE_NAME = "calibration.json"
BROKEN_NAME = "calibration.broken.json"
VERSION = 1
_MOST_BYTES = 4 << 20
_MOST_RUNS = 200
_MOST_CHECKPOINTS = 50
# A run that differs by more was disturbed (another program, swapping): it corrects nothing.
_LEAST_RATIO, _LARGEST_RATIO = 0.25, 4.0
# The newest runs count: drivers and memory change.
_RUNS_THAT_COUNT = 9


@dataclass(frozen=True)
class Correction:
    """Measured over predicted speed, 1.0 where nothing was measured; ``n_runs`` behind it."""

    decode: float = 1.0
    prefill: float = 1.0
    n_runs: int = 0


@dataclass(frozen=True)
class _Run:
    """One real run: ratios of measured to predicted speed, None where there is no figure."""

    checkpoint: str
    placement: str
    decode: float | None
    prefill: float | None
    measured_on: str


class CalibrationStore:
    """The file of measurements; may be used from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()

    def calibration(self, signature: str = "") -> Calibration | None:
        """Return what was measured with a checkpoint's replica, else with the standard set."""
        with self._lock:
            data = self._read()
        found = data["checkpoints"].get(signature) or data["machine"]
        if found is None:
            return None
        try:
            return calibration_from_json(found)
        except BadInputError as error:
            _log.info("a calibration cannot be used: %s", error.message)
            return None

    def save(self, calibration: Calibration, signature: str = "") -> None:
        """Keep a calibration, of one checkpoint or of the machine; the last one counts.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            data = self._read()
            if signature:
                data["checkpoints"].pop(signature, None)
                data["checkpoints"][signature] = calibration_to_json(calibration)
                while len(data["checkpoints"]) > _MOST_CHECKPOINTS:
                    del data["checkpoints"][next(iter(data["checkpoints"]))]
            else:
                data["machine"] = calibration_to_json(calibration)
            self._write(data)

    def record_run(
        self,
        signature: str,
        placement: str,
        *,
        predicted_decode_tok_s: float,
        measured_decode_tok_s: float | None = None,
        predicted_prefill_tok_s: float = 0.0,
        measured_prefill_tok_s: float | None = None,
        used: Correction | None = None,
    ) -> None:
        """Keep how a real run went.

        Args:
            signature: of the checkpoint, see ``checkpoint_signature``.
            placement: see ``placement_class``.
            predicted_decode_tok_s, predicted_prefill_tok_s: the likely speeds.
            measured_decode_tok_s, measured_prefill_tok_s: None when too few tokens were computed.
            used: the correction that is in the predictions already.

        Raises:
            OSError: the file cannot be written.
        """
        used = used or Correction()
        decode = _ratio(measured_decode_tok_s, predicted_decode_tok_s, used.decode)
        prefill = _ratio(measured_prefill_tok_s, predicted_prefill_tok_s, used.prefill)
        if decode is None and prefill is None:
            return
        run = {
            "checkpoint": signature,
            "placement": placement,
            "decode": decode,
            "prefill": prefill,
            "measured_on": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self._lock:
            data = self._read()
            data["runs"] = [*data["runs"], run][-_MOST_RUNS:]
            self._write(data)

    def corrections_for(self, signature: str, placement: str) -> Correction:
        """Return the median of the newest runs of a checkpoint with a like placement."""
        with self._lock:
            data = self._read()
        runs = [run for run in map(_run, data["runs"]) if run is not None]
        like = [run for run in runs if (run.checkpoint, run.placement) == (signature, placement)]
        return Correction(
            decode=_median([run.decode for run in like if run.decode is not None]),
            prefill=_median([run.prefill for run in like if run.prefill is not None]),
            n_runs=len(like),
        )

    # --- the file ---------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"version": VERSION, "machine": None, "checkpoints": {}, "runs": []}
        try:
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return empty
        except OSError as error:
            _log.info("the calibration cannot be read: %s", error)
            return empty
        try:
            data = json.loads(text)
            if data["version"] == VERSION and _is_sound(data):
                return {key: data[key] for key in empty}
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        self._set_aside()
        return empty

    def _set_aside(self) -> None:
        aside = self._path.with_name(BROKEN_NAME)
        try:
            self._path.replace(aside)
        except OSError as error:
            _log.info("the broken calibration cannot be set aside: %s", error)
        else:
            _log.info("the calibration could not be read and was set aside as %s", aside.name)

    def _write(self, data: dict[str, Any]) -> None:
        make_private_folder(self._path.parent)
        write_whole(self._path, json.dumps(data, indent=1).encode())


def checkpoint_signature(shape: ModelShape) -> str:
    """Return what tells apart checkpoints that run at different speeds.

    Two files of the same model in the same quantization are alike, whatever they are called.
    """
    types: Counter[str] = Counter()
    for tensor in shape.tensors:
        types[f"{tensor.role}:{tensor.type_name}"] += tensor.size_bytes
    facts = [
        shape.architecture,
        shape.n_layer,
        shape.n_embd,
        shape.n_head,
        shape.n_ff,
        shape.n_expert,
        shape.n_expert_used,
        shape.n_ff_expert,
        shape.kv.kind.value,
        sorted(types.items()),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def placement_class(shape: ModelShape, settings: PlanSettings, *, reads_disk: bool = False) -> str:
    """Return what runs must have in common to correct each other.

    ``cpu``, ``gpu``, ``experts_in_ram`` or ``partial``; ``+disk`` when RAM does not hold the rest.
    """
    if not settings.devices or settings.n_gpu_layers == 0:
        kind = "cpu"
    elif settings.n_gpu_layers <= shape.n_layer_all:
        kind = "partial"
    elif any(override.device == CPU for override in settings.overrides):
        kind = "experts_in_ram"
    else:
        kind = "gpu"
    return f"{kind}+disk" if reads_disk else kind


def _ratio(measured: float | None, predicted: float, used: float) -> float | None:
    if not measured or measured <= 0 or predicted <= 0:
        return None
    ratio = measured / (predicted / used)
    return ratio if _LEAST_RATIO <= ratio <= _LARGEST_RATIO else None


def _median(ratios: Sequence[float]) -> float:
    return statistics.median(ratios[-_RUNS_THAT_COUNT:]) if ratios else 1.0


def _is_sound(data: dict[str, Any]) -> bool:
    return (
        isinstance(data["checkpoints"], dict)
        and isinstance(data["runs"], list)
        and (data["machine"] is None or isinstance(data["machine"], dict))
    )


def _run(data: object) -> _Run | None:
    if not isinstance(data, dict):
        return None
    decode, prefill = (
        value if isinstance(value := data.get(key), float) else None
        for key in ("decode", "prefill")
    )
    texts = [data.get(key) for key in ("checkpoint", "placement", "measured_on")]
    if not all(isinstance(text, str) for text in texts):
        return None
    checkpoint, placement, measured_on = map(str, texts)
    return _Run(checkpoint, placement, decode, prefill, measured_on)
