"""Plans by closed formulas against llama.cpp's own account, at true scale.

``python benchmarks/plan_against_oracle.py [--quick | --pairs N] [--only NAME ...]
[--machine NAME ...] [--wishes N] [--seed N] [--no-verify] [--details FILE]``: every checkpoint of
true_scale.py on machines from an 8 GB laptop to four GPUs and 512 GB, planned for N wishes each
(profiles, fixed contexts, KV types, ubatches; drawn with the seed), each plan asked of llama.cpp
itself (a dry run with phantom GPUs in a child). One plan of each pair is also verified as the
window does it, and the result asked once more. Prints the tables of docs/planner.md.

Aims: weights, KV and output 0 bytes off; device totals within 2 % in the median and never under by
more than the margin; final plans equal to llama.cpp's account and within every budget.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from true_scale import ENTRIES, NAMES, checkpoint  # noqa: E402

from helpers.true_scale import TrueScale  # noqa: E402
from models.errors import InvalidSettingError, OracleError  # noqa: E402
from models.planner.account import account  # noqa: E402
from models.planner.host_memory import output_bytes  # noqa: E402
from models.planner.inventory import Inventory  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.machine_file import machine_from_json  # noqa: E402
from models.planner.plan import CPU, BufferBytes, Plan, PlanSettings, Profile  # noqa: E402
from models.planner.solver import solve  # noqa: E402
from models.planner.wishes import Wishes  # noqa: E402
from models.planning.verification import verify_with  # noqa: E402
from models.runtime.oracle import Oracle  # noqa: E402

MACHINES = (
    "laptop-8gb",
    "laptop-16gb-rtx4060",
    "laptop-32gb-12gb",
    "desktop-32gb-12gb",
    "desktop-64gb-12gb",
    "desktop-96gb-rtx4090",
    "desktop-192gb-2x3090",
    "arc-b580-32gb",
    "radeon-7900xtx-64gb",
    "strix-halo-128gb",
    "macbook-m3-max-64gb",
    "two-machines-rpc",
    "workstation-512gb-12gb",
    "workstation-512gb-24gb",
    "server-4gpu-512gb",
)
WISHES: dict[str, Wishes] = {
    "balanced": Wishes(),
    "decode": Wishes(profile=Profile.DECODE),
    "prefill": Wishes(profile=Profile.PREFILL),
    "4k": Wishes(n_ctx=4096),
    "32k": Wishes(n_ctx=32768),
    "128k": Wishes(n_ctx=131072),
    "32k q8_0": Wishes(n_ctx=32768, type_k="q8_0", type_v="q8_0"),
    "128k q8_0": Wishes(n_ctx=131072, type_k="q8_0", type_v="q8_0"),
    "ubatch 128": Wishes(n_ubatch=128),
    "ubatch 2048": Wishes(n_ubatch=2048, n_ctx=16384),
    "8k offload": Wishes(n_ctx=8192, op_offload=True),
    "all outputs": Wishes(n_ctx=8192, n_outputs_max=0),
}
QUICK_PAIRS = 40
MIB = 2**20
MARGIN_BYTES = 1024 * MIB
# The log, from which the output buffer is read, has two decimals of a MiB.
LOG_STEP_BYTES = MIB // 100


@dataclass(frozen=True)
class Row:
    """One device of one plan: planned and actual bytes."""

    checkpoint: str
    machine: str
    wish: str
    device: str
    weights: tuple[int, int]
    kv: tuple[int, int]
    compute: tuple[int, int]
    is_imitated: bool
    settings: str

    @property
    def planned(self) -> int:
        """Planned bytes in all."""
        return self.weights[0] + self.kv[0] + self.compute[0]

    @property
    def actual(self) -> int:
        """Bytes in all by llama.cpp's account."""
        return self.weights[1] + self.kv[1] + self.compute[1]


@dataclass
class Tally:
    """What was compared so far."""

    rows: list[Row] = field(default_factory=list)
    plans: int = 0
    outputs_off: list[str] = field(default_factory=list)
    verified: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    final_off: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    verify_s: list[float] = field(default_factory=list)


def machine_named(name: str) -> Machine:
    """Read a machine file of benchmarks/machines."""
    path = ROOT / "benchmarks" / "machines" / f"{name}.json"
    return machine_from_json(path.read_text(encoding="utf-8"))


def per_device(buffers: Iterable[BufferBytes]) -> dict[str, tuple[int, int, int]]:
    """Return weights, KV and compute bytes of every device."""
    found: dict[str, tuple[int, int, int]] = {}
    for buffer in buffers:
        weights, kv, compute = found.get(buffer.device, (0, 0, 0))
        found[buffer.device] = (
            weights + buffer.weights_bytes,
            kv + buffer.kv_bytes,
            compute + buffer.compute_bytes,
        )
    return found


class Pair:
    """One checkpoint on one machine, with an oracle that stays open."""

    def __init__(self, found: TrueScale, machine_name: str, oracle: Oracle, tally: Tally) -> None:
        self._found = found
        self._machine_name = machine_name
        self._machine = machine_named(machine_name)
        self._inventory = Inventory(found.shape)
        self._oracle = oracle
        self._tally = tally

    def plan(self, name: str) -> Plan | None:
        """Plan for a wish; None where it contradicts the architecture."""
        try:
            return solve(self._inventory, self._machine, WISHES[name])
        except InvalidSettingError:
            return None

    def compare(self, name: str, plan: Plan) -> None:
        """Hold a plan against llama.cpp's account."""
        actual = self._ask(name, plan.settings)
        if actual is None:
            return
        self._tally.plans += 1
        self._compare_output(name, plan.settings)
        planned, measured = per_device(plan.memory.buffers), per_device(actual)
        for device in dict.fromkeys([*planned, *measured]):
            before, after = planned.get(device, (0, 0, 0)), measured.get(device, (0, 0, 0))
            weights, kv, compute = zip(before, after, strict=True)
            self._tally.rows.append(
                Row(
                    self._found.name,
                    self._machine_name,
                    name,
                    device,
                    weights,
                    kv,
                    compute,
                    is_imitated=self._is_imitated(device, plan.settings),
                    settings=str(plan.settings),
                )
            )

    def verify(self, name: str, plan: Plan) -> None:
        """Verify a plan as the program does, and ask once more what it came to."""
        start_s = time.perf_counter()
        try:
            final = verify_with(self._oracle, self._inventory, self._machine, WISHES[name], plan)
        except OracleError as error:
            self._tally.refused.append(self._label(name) + f": {error.message} {error.hint}")
            return
        self._tally.verify_s.append(time.perf_counter() - start_s)
        self._tally.verified += 1
        self._tally.verdicts[f"{_fits(plan)} -> {_fits(final)}"] += 1
        again = self._ask(name, final.settings)
        totals = {d.name: d.used_bytes - d.output_bytes for d in final.memory.devices}
        actual = {device: sum(parts) for device, parts in per_device(again or ()).items()}
        if {k: v for k, v in totals.items() if v} != {k: v for k, v in actual.items() if v}:
            self._tally.final_off.append(self._label(name))
        if final.fits:
            self._check_budgets(name, final.settings, again or ())

    def _check_budgets(
        self, name: str, settings: PlanSettings, buffers: Sequence[BufferBytes]
    ) -> None:
        """Hold what fits against what is free, not against the planner's own budgets."""
        memory = account(self._inventory, self._machine, settings, measured=buffers)
        for device in memory.devices:
            gpu = self._machine.gpu(device.name)
            if gpu is not None and device.used_bytes > gpu.free_bytes - MARGIN_BYTES // 2:
                self._tally.over_budget.append(f"{self._label(name)} {device.name}")
        held = memory.host.anonymous_bytes + memory.host.pinned_bytes
        if held > self._machine.ram.available_bytes:
            self._tally.over_budget.append(f"{self._label(name)} RAM")

    def _compare_output(self, name: str, settings: PlanSettings) -> None:
        answer = self._oracle.last_answer
        assert answer is not None
        # Reserved at first for one sequence's row; more rows come with the first such question.
        first = output_bytes(self._found.shape, settings)
        if settings.n_outputs_max == 1 and abs(first - answer.output_bytes) > LOG_STEP_BYTES:
            self._tally.outputs_off.append(self._label(name))

    def _ask(self, name: str, settings: PlanSettings) -> tuple[BufferBytes, ...] | None:
        try:
            return self._oracle.account(settings)
        except OracleError as error:
            said = f"{error.message} {error.hint}"
            self._tally.refused.append(f"{self._label(name)}: {said} {settings}")
            return None

    def _is_imitated(self, device: str, settings: PlanSettings) -> bool:
        """Whether the dry run can be exact about a device here.

        Metal and Vulkan compute in an order of their own, and ARM's repacking cannot be had on an
        x86 machine.
        """
        if device != CPU:
            return device not in self._oracle.approximate_devices
        return bool(self._oracle.cpu_matches) or not settings.use_extra_bufts

    def _label(self, name: str) -> str:
        return f"{self._found.name} on {self._machine_name}, {name}"


def _fits(plan: Plan) -> str:
    return "fits" if plan.fits else "does not"


# --- the tables ---------------------------------------------------------------------------------


def percent_off(rows: Sequence[Row], part: Callable[[Row], tuple[int, int]]) -> list[float]:
    """Return the errors of a part in percent of the device's actual total, signed."""
    return [100 * (part(r)[0] - part(r)[1]) / max(r.actual, 1) for r in rows if r.actual]


def table(rows: Sequence[Row], group: Callable[[Row], str], title: str) -> list[str]:
    """Return the error table of device totals and compute buffers as Markdown."""
    lines = [
        f"| {title} | devices | weights, KV off | total: median, mean, p90 | worst under, over "
        "| compute: median, p90 |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(group(row), []).append(row)
    groups["all"] = list(rows)
    for name, own in groups.items():
        totals = [abs(each) for each in percent_off(own, lambda r: (r.planned, r.actual))]
        apart = [row.planned - row.actual for row in own]
        computes = [
            100 * abs(r.compute[0] - r.compute[1]) / r.compute[1] for r in own if r.compute[1]
        ]
        exact_off = sum(r.weights[0] != r.weights[1] or r.kv[0] != r.kv[1] for r in own)
        lines.append(
            f"| {name} | {len(own)} | {exact_off} | {spread(totals)} "
            f"| {min(apart, default=0) / MIB:,.0f}, {max(apart, default=0) / MIB:+,.0f} MiB "
            f"| {spread(computes, with_mean=False)} |"
        )
    return lines


def spread(values: Sequence[float], *, with_mean: bool = True) -> str:
    """Return median, mean and 90th percentile in words."""
    if not values:
        return "-"
    ordered = sorted(values)
    p90 = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    mean = f", {statistics.fmean(ordered):.2f}" if with_mean else ""
    return f"{statistics.median(ordered):.2f}{mean}, {p90:.2f} %"


def report(tally: Tally) -> bool:
    """Print everything; return whether the aims are reached."""
    imitated = [row for row in tally.rows if row.is_imitated]
    gpus = [row for row in imitated if row.device != CPU]
    others = [row for row in tally.rows if not row.is_imitated]
    names = {found.name: found.stands_for for found in ENTRIES}
    for rows, title, group in (
        (gpus, "GPUs, by checkpoint", lambda r: f"{r.checkpoint} ({names[r.checkpoint]})"),
        (gpus, "GPUs, by machine", lambda r: r.machine),
        (gpus, "GPUs, by wish", lambda r: r.wish),
        ([r for r in imitated if r.device == CPU], "RAM, by machine", lambda r: r.machine),
        (others, "Vulkan and Metal, by machine", lambda r: r.machine),
    ):
        print("\n" + "\n".join(table(rows, group, title)))
    off = [r for r in imitated if r.weights[0] != r.weights[1] or r.kv[0] != r.kv[1]]
    under = [r for r in gpus if r.actual - r.planned > MARGIN_BYTES]
    median = statistics.median(
        [abs(each) for each in percent_off(gpus, lambda r: (r.planned, r.actual))] or [0.0]
    )
    order = [row for row in others if row.actual - row.planned > MARGIN_BYTES]
    print(f"\n{tally.plans} plans, {len(imitated)} devices.")
    print(
        f"Where the backend computes in its own order: {len(others)} devices, {len(order)} under."
    )
    print(f"Weights or KV off: {len(off)}; output off: {len(tally.outputs_off)}.")
    print(f"GPU totals: median {median:.2f} %; under by more than 1 GiB: {len(under)}.")
    print(f"Verified: {tally.verified} ({dict(tally.verdicts)}), {spread_s(tally.verify_s)}.")
    print(
        f"Final plans off: {len(tally.final_off)}; over budget: {len(tally.over_budget)}; "
        f"refused by llama.cpp: {len(tally.refused)}."
    )
    for title, lines in (
        ("OFF", map(_words, off)),
        ("UNDER", map(_words, under)),
        ("OUTPUT", tally.outputs_off),
        ("FINAL OFF", tally.final_off),
        ("OVER BUDGET", tally.over_budget),
        ("REFUSED", tally.refused),
    ):
        for line in lines:
            print(f"{title}: {line}")
    bad = off or under or tally.outputs_off or tally.final_off or tally.over_budget
    return not bad and not tally.refused and median <= 2.0


def spread_s(seconds: Sequence[float]) -> str:
    """Return median and worst time in words."""
    if not seconds:
        return "not timed"
    return f"{statistics.median(seconds):.2f} s in the median, {max(seconds):.1f} s at most"


def _words(row: Row) -> str:
    return (
        f"{row.checkpoint} on {row.machine}, {row.wish}, {row.device}: weights {row.weights}, "
        f"KV {row.kv}, compute {row.compute}; {row.settings}"
    )


# --- the run ------------------------------------------------------------------------------------


def run(pair: tuple[str, str], options: argparse.Namespace, tally: Tally) -> None:
    """Compare one checkpoint on one machine."""
    name, machine_name = pair
    rng = random.Random(f"{options.seed} {name} {machine_name}")
    found, machine = checkpoint(name), machine_named(machine_name)
    wishes = ["balanced", *rng.sample(list(WISHES)[1:], options.wishes - 1)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Oracle(
            found.files, machine.gpus, cpu_features=machine.cpu.features, work_dir=Path(folder)
        ) as oracle,
    ):
        own = Pair(found, machine_name, oracle, tally)
        # One verification each, so that every wish is verified somewhere.
        chosen = rng.choice(wishes)
        for wish in wishes:
            plan = own.plan(wish)
            if plan is None:
                continue
            own.compare(wish, plan)
            if wish == chosen and not options.no_verify:
                own.verify(wish, plan)


def main() -> int:
    """Run the grid; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs at random")
    parser.add_argument("--pairs", type=int, help="so many pairs at random")
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--machine", nargs="*", default=MACHINES)
    parser.add_argument("--wishes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-verify", action="store_true")
    parser.add_argument("--details", type=Path, help="every row as JSON")
    options = parser.parse_args()
    pairs = [(name, machine) for name in options.only for machine in options.machine]
    if options.quick or options.pairs:
        count = min(options.pairs or QUICK_PAIRS, len(pairs))
        picked = random.Random(options.seed).sample(pairs, count)
        pairs = sorted(picked, key=pairs.index)
    tally, start_s = Tally(), time.monotonic()
    for number, pair in enumerate(pairs, 1):
        run(pair, options, tally)
        elapsed_s = time.monotonic() - start_s
        print(f"{number}/{len(pairs)} {pair[0]} on {pair[1]}, {elapsed_s:.0f} s", file=sys.stderr)
    if options.details:
        text = json.dumps([asdict(row) for row in tally.rows], indent=1)
        options.details.write_text(text, encoding="utf-8")
    return 0 if report(tally) else 1


if __name__ == "__main__":
    sys.exit(main())
