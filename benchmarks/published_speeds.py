"""Published speeds against the range that is predicted without any calibration.

``python benchmarks/published_speeds.py [--json]``: every machine file of benchmarks/machines that
names published runs, its checkpoint's true-scale header from tests/data/headers, the placement
that the source used. Aim: each figure inside its range; the rest is said and why.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.true_scale import true_scale  # noqa: E402
from models.gguf.shape import ModelShape, Role, Tensor  # noqa: E402
from models.planner.account import account  # noqa: E402
from models.planner.inventory import Inventory, row_bytes  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.machine_file import machine_from_json  # noqa: E402
from models.planner.placement import place  # noqa: E402
from models.planner.plan import Override, PlanSettings, Speed, SpeedRange  # noqa: E402
from models.planner.speed import forecast  # noqa: E402

MACHINES = ROOT / "benchmarks" / "machines"
EXPERTS = Override(r"ffn_(gate|up|down|gate_up)_exps", "CPU")
N_CTX = 8192
# What a conversation of the kind that is published has behind it.
N_PAST = 512


@dataclass(frozen=True)
class Row:
    """One published figure and what is predicted for it."""

    machine: str
    checkpoint: str
    engine: str
    what: str
    published: float
    predicted: SpeedRange
    bound_by: str
    note: str

    @property
    def is_inside(self) -> bool:
        """Whether the published figure lies in the range."""
        return self.predicted.low <= self.published <= self.predicted.high


def requantized(shape: ModelShape, types: Mapping[str, str]) -> ModelShape:
    """Return a shape with its routed experts in other types, to stand in for a quant."""

    def changed(tensor: Tensor) -> Tensor:
        name = types.get(tensor.type_name)
        if name is None or tensor.role is not Role.ROUTED_EXPERT:
            return tensor
        rows = tensor.elements // tensor.shape[0]
        size = row_bytes(name, tensor.shape[0]) * rows
        return dataclasses.replace(tensor, type_name=name, size_bytes=size)

    tensors = tuple(changed(tensor) for tensor in shape.tensors)
    size = sum(tensor.size_bytes for tensor in tensors)
    return dataclasses.replace(shape, tensors=tensors, file_bytes=size)


def settings_of(run: Mapping[str, Any], shape: ModelShape, machine: Machine) -> PlanSettings:
    """Return the settings that a published run is described with."""
    devices = tuple(gpu.device for gpu in machine.gpus)
    ubatch = min(2048, max(512, run.get("prompt_tokens", 512)))
    common = PlanSettings(n_ctx=N_CTX, n_ubatch=ubatch)
    if run["placement"] == "cpu":
        return dataclasses.replace(common, use_extra_bufts=False, op_offload=False)
    on_gpus = dataclasses.replace(common, devices=devices, n_gpu_layers=shape.n_layer_all + 1)
    if run["placement"] == "gpus":
        return on_gpus
    # KTransformers computes the experts of a prompt on the CPU, llama.cpp copies them to the GPU.
    by_cpu = run["engine"].startswith("KTransformers")
    return dataclasses.replace(on_gpus, overrides=(EXPERTS,), op_offload=not by_cpu)


def predict(run: Mapping[str, Any], machine: Machine) -> Speed:
    """Return the forecast for one published run."""
    shape = true_scale(run["checkpoint"]).shape
    if "requantize" in run:
        shape = requantized(shape, run["requantize"])
    inventory, settings = Inventory(shape), settings_of(run, shape, machine)
    placement = place(inventory, machine, settings)
    memory = account(inventory, machine, settings, placement=placement)
    return forecast(
        inventory,
        machine,
        settings,
        placement,
        memory,
        n_past=N_PAST,
        n_prompt=run.get("prompt_tokens", 0),
    )


def rows() -> Iterator[Row]:
    """Yield every published figure with its prediction."""
    for path in sorted(MACHINES.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        machine = machine_from_json(text)
        for run in json.loads(text).get("published", ()):
            speed = predict(run, machine)
            figures = (
                ("decode", speed.decode, speed.bound_by),
                ("prefill", speed.prefill, speed.prefill_bound_by),
            )
            for what, predicted, bound_by in figures:
                published = run.get(f"{what}_tok_s")
                if published is not None:
                    yield Row(
                        machine=path.stem,
                        checkpoint=run["checkpoint"] + ("*" if "requantize" in run else ""),
                        engine=run["engine"],
                        what=what,
                        published=published,
                        predicted=predicted,
                        bound_by=bound_by,
                        note=run.get("note", ""),
                    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = list(rows())
    if options.json:
        print(json.dumps([{**dataclasses.asdict(r), "is_inside": r.is_inside} for r in found]))
        return 0
    print("| machine | checkpoint | engine | what | published | predicted tok/s | bound by | |")
    print("|---|---|---|---|---|---|---|---|")
    for row in found:
        span = f"{row.predicted.low:.2f} - **{row.predicted.mid:.2f}** - {row.predicted.high:.2f}"
        print(
            f"| {row.machine} | {row.checkpoint} | {row.engine} | {row.what} | {row.published:g} "
            f"| {span} | {row.bound_by} | {'inside' if row.is_inside else 'OUTSIDE'} |"
        )
    inside = sum(row.is_inside for row in found)
    own = [row for row in found if row.engine.startswith("llama.cpp")]
    print(f"\n{inside} of {len(found)} inside; llama.cpp's own: ", end="")
    print(f"{sum(row.is_inside for row in own)} of {len(own)}.  * stands in, see the file's note.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
