"""What is kept of measurements and real runs, through files that cannot be trusted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from helpers.true_scale import true_scale
from models.hardware.calibration_store import (
    BROKEN_NAME,
    FILE_NAME,
    CalibrationStore,
    Correction,
    checkpoint_signature,
    placement_class,
)
from models.planner.machine import Calibration
from models.planner.plan import Override, PlanSettings

_MEASURED = Calibration(
    measured_on="2026-10-01T12:00:00+00:00",
    n_threads=8,
    cpu_decode_bytes_s={"Q4_K": 1e10, "Q4_K@CPU_REPACK": 1.1e10},
    cpu_prefill_flop_s={"Q4_K": 2e11},
    cpu_fixed_s=0.001,
    cpu_layer_s=0.0001,
    ram_bytes_s=4e10,
)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path)


def _record(store: CalibrationStore, decode: float, **changes: object) -> None:
    fields: dict[str, object] = {
        "predicted_decode_tok_s": 10.0,
        "measured_decode_tok_s": 10.0 * decode,
        "predicted_prefill_tok_s": 100.0,
        "measured_prefill_tok_s": None,
    }
    store.record_run("abc", "cpu", **{**fields, **changes})  # type: ignore[arg-type]


def test_nothing_is_known_at_first(store: CalibrationStore) -> None:
    assert store.calibration() is None
    assert store.corrections_for("abc", "cpu") == Correction(1.0, 1.0, 0)


def test_a_calibration_survives_the_program(store: CalibrationStore, tmp_path: Path) -> None:
    store.save(_MEASURED)
    assert CalibrationStore(tmp_path).calibration() == _MEASURED
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_checkpoints_own_calibration_comes_first(store: CalibrationStore) -> None:
    own = dataclasses.replace(_MEASURED, n_threads=4)
    store.save(_MEASURED)
    store.save(own, "abc")
    assert store.calibration("abc") == own
    assert store.calibration("other") == store.calibration() == _MEASURED


def test_the_median_of_like_runs_corrects(store: CalibrationStore) -> None:
    for ratio in (0.7, 0.8, 3.0):
        _record(store, ratio)
    store.record_run("abc", "gpu", predicted_decode_tok_s=10.0, measured_decode_tok_s=20.0)
    store.record_run("xyz", "cpu", predicted_decode_tok_s=10.0, measured_decode_tok_s=20.0)
    assert store.corrections_for("abc", "cpu") == Correction(pytest.approx(0.8), 1.0, 3)


def test_a_run_that_was_predicted_with_a_correction_does_not_correct_twice(
    store: CalibrationStore,
) -> None:
    _record(store, 0.8)
    used = store.corrections_for("abc", "cpu")
    # Predicted 8 with the correction, and 8 it was.
    _record(store, 0.8, predicted_decode_tok_s=8.0, used=used)
    assert store.corrections_for("abc", "cpu").decode == pytest.approx(0.8)


def test_a_disturbed_run_corrects_nothing(store: CalibrationStore) -> None:
    _record(store, 0.01)
    _record(store, 50.0)
    assert store.corrections_for("abc", "cpu").n_runs == 0


def test_prefill_is_corrected_by_itself(store: CalibrationStore) -> None:
    _record(store, 1.0, measured_decode_tok_s=None, measured_prefill_tok_s=150.0)
    assert store.corrections_for("abc", "cpu") == Correction(1.0, pytest.approx(1.5), 1)


def test_only_the_newest_runs_count_and_few_are_kept(
    store: CalibrationStore, tmp_path: Path
) -> None:
    for _ in range(210):
        _record(store, 0.5)
    for _ in range(5):
        _record(store, 0.9)
    assert store.corrections_for("abc", "cpu").decode == pytest.approx(0.9)
    data = json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8"))
    assert len(data["runs"]) == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 99}',
        '{"version": 1, "machine": 7, "checkpoints": {}, "runs": []}',
        '{"version": 1, "machine": null, "checkpoints": [], "runs": []}',
        "[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside(
    store: CalibrationStore, tmp_path: Path, text: str
) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    assert store.calibration() is None
    assert (tmp_path / BROKEN_NAME).read_text(encoding="utf-8") == text
    store.save(_MEASURED)
    assert store.calibration() == _MEASURED


def test_bad_entries_are_passed_over(store: CalibrationStore, tmp_path: Path) -> None:
    _record(store, 0.8)
    path = tmp_path / FILE_NAME
    data = json.loads(path.read_text(encoding="utf-8"))
    data["runs"] += [7, {}, {**data["runs"][0], "decode": "fast"}, {**data["runs"][0], "decode": 2}]
    data["machine"] = {"cpu_decode_bytes_s": {"Q4_K": -1}}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert store.corrections_for("abc", "cpu").decode == pytest.approx(0.8)
    assert store.calibration() is None


def test_quantizations_have_signatures_of_their_own() -> None:
    names = ("v3-q4km", "v3-q8", "v2lite-q4km", "qwen7-q4km")
    signatures = {checkpoint_signature(true_scale(name).shape) for name in names}
    assert len(signatures) == len(names)
    renamed = dataclasses.replace(true_scale("v3-q8").shape, name="another", file_bytes=1)
    assert checkpoint_signature(renamed) in signatures


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PlanSettings(n_ctx=512), "cpu"),
        (PlanSettings(n_ctx=512, devices=("CUDA0",), n_gpu_layers=0), "cpu"),
        (PlanSettings(n_ctx=512, devices=("CUDA0",), n_gpu_layers=10), "partial"),
        (PlanSettings(n_ctx=512, devices=("CUDA0",), n_gpu_layers=62), "gpu"),
        (
            PlanSettings(
                n_ctx=512,
                devices=("CUDA0",),
                n_gpu_layers=62,
                overrides=(Override("exps", "CPU"),),
            ),
            "experts_in_ram",
        ),
    ],
)
def test_placements_are_told_apart(settings: PlanSettings, expected: str) -> None:
    shape = true_scale("v3-q4km").shape
    assert placement_class(shape, settings) == expected
    assert placement_class(shape, settings, reads_disk=True) == f"{expected}+disk"
