"""Our plans against those of llama.cpp's own ``common_fit_params``, on the same machines.

``python benchmarks/plan_against_fit.py [--quick] [--only NAME ...] [--machine NAME ...]
[--source FOLDER] [--cache FOLDER] [--json FILE]``: llama.cpp's planner (what llama-server does at
its start) is compiled from the source package that requirements/engine.lock names, or from
``--source``, and asked in a child with phantom GPUs. Both get the same context and the same margin
on every device. What both come to is judged by llama.cpp's own account (fits or not; RAM too) and
by one model of speed, ours. Ours is planned three times, once for each profile, and verified.

Aims: ours fits whenever llama.cpp's does; it is predicted to be at least as fast (decode by the
decode profile, prefill by the prefill profile, an exchange by the balanced one). Then the cases
where llama.cpp's own planner is known to fail.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from fit_library import FitAnswer, ask, build  # noqa: E402
from plan_against_oracle import MACHINES, machine_named  # noqa: E402
from true_scale import NAMES, checkpoint, write  # noqa: E402

from models.errors import OracleError  # noqa: E402
from models.gguf.shape import Role  # noqa: E402
from models.planner.account import account  # noqa: E402
from models.planner.budgets import budgets_of, margin_of, usable_devices  # noqa: E402
from models.planner.filling import excess_of  # noqa: E402
from models.planner.inventory import Inventory  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.placement import Placement, place  # noqa: E402
from models.planner.plan import CPU, Memory, Override, PlanSettings, Profile, Speed  # noqa: E402
from models.planner.search import exchange_s  # noqa: E402
from models.planner.solver import solve  # noqa: E402
from models.planner.speed import forecast  # noqa: E402
from models.planner.wishes import Wishes  # noqa: E402
from models.planning.verification import verify_with  # noqa: E402
from models.runtime.oracle import Oracle  # noqa: E402

CHECKPOINTS = (
    "v3-q4km",
    "v3-iq1m",
    "v32-q4km",
    "v4f-mxfp4",
    "v2lite-q4km",
    "moe16b-q4km",
    "llama70-q4km",
    "qwen14-q4km",
    "qwen38-q4km",
)
SOME_MACHINES = (
    "laptop-8gb",
    "laptop-16gb-rtx4060",
    "desktop-64gb-12gb",
    "desktop-96gb-rtx4090",
    "desktop-192gb-2x3090",
    "radeon-7900xtx-64gb",
    "two-machines-rpc",
    "workstation-512gb-12gb",
    "workstation-512gb-24gb",
    "server-4gpu-512gb",
)
QUICK = (
    ("v3-q4km", "workstation-512gb-12gb"),
    ("qwen14-q4km", "laptop-8gb"),
    ("v32-q4km", "workstation-512gb-24gb"),
    ("v2lite-q4km", "laptop-16gb-rtx4060"),
    ("qwen14-q4km", "desktop-64gb-12gb"),
    ("llama70-q4km", "desktop-192gb-2x3090"),
)
# With less context than a plan would choose by itself: all of V3's attention on 12 GB.
SHORT = (
    ("v3-q4km", "workstation-512gb-12gb", 4096),
    ("v32-q4km", "workstation-512gb-24gb", 8192),
)
# Forecasts closer than this are the same: a layer more or less on a card.
SAME_SHARE = 0.01
MIB = 2**20
DEFAULT_CACHE = Path(tempfile.gettempdir()) / "fathom-fit"


@dataclass(frozen=True)
class Judged:
    """Settings, judged: by llama.cpp's account whether they fit, by our model how fast they are.

    Attributes:
        excess: MiB over the budget by device, ``CPU`` for RAM that must be held.
        attention_layers, expert_layers: how many layers have theirs wholly on GPUs.
        expert_share: of the routed experts' bytes on GPUs.
    """

    settings: PlanSettings
    excess: dict[str, int]
    speed: Speed
    attention_layers: int
    expert_layers: int
    expert_share: float
    elapsed_s: float

    @property
    def fits(self) -> bool:
        """Whether every budget is kept."""
        return not self.excess


@dataclass(frozen=True)
class Match:
    """One checkpoint on one machine: theirs (None where it gave up) and ours by profile."""

    checkpoint: str
    machine: str
    n_ctx: int
    status: str
    words: str
    fit_s: float
    theirs: Judged | None
    ours: dict[str, Judged]

    @property
    def problems(self) -> list[str]:
        """Where ours is not at least as good."""
        theirs = self.theirs
        if theirs is None or not theirs.fits:
            return []
        found = [f"{name} does not fit" for name, own in self.ours.items() if not own.fits]
        decode, prefill = self.ours[Profile.DECODE], self.ours[Profile.PREFILL]
        balanced = self.ours[Profile.BALANCED]
        pairs = {
            "decode": (decode.speed.decode.mid, theirs.speed.decode.mid),
            "prefill": (prefill.speed.prefill.mid, theirs.speed.prefill.mid),
            "exchange": (
                1 / exchange_s(balanced.speed, Profile.BALANCED),
                1 / exchange_s(theirs.speed, Profile.BALANCED),
            ),
        }
        found += [
            f"{name} slower: {own:.4g} against {other:.4g}"
            for name, (own, other) in pairs.items()
            if own < (1 - SAME_SHARE) * other
        ]
        return found


class Judge:
    """Judges settings of one checkpoint on one machine."""

    def __init__(self, name: str, machine: Machine, oracle: Oracle) -> None:
        self.inventory = Inventory(checkpoint(name).shape)
        self.machine = machine
        self.oracle = oracle

    def judge(self, settings: PlanSettings, wishes: Wishes, elapsed_s: float) -> Judged:
        """Ask llama.cpp what settings take, and the model of speed how fast they are.

        Raises:
            OracleError: llama.cpp refuses them.
        """
        budgets = budgets_of(self.machine, wishes)
        placement = place(self.inventory, self.machine, settings)
        memory = account(
            self.inventory,
            self.machine,
            settings,
            budgets=budgets,
            measured=self.oracle.account(settings),
            placement=placement,
        )
        return self._judged(settings, placement, memory, budgets, elapsed_s)

    def _judged(
        self,
        settings: PlanSettings,
        placement: Placement,
        memory: Memory,
        budgets: dict[str, int],
        elapsed_s: float,
    ) -> Judged:
        unified = frozenset(gpu.device for gpu in self.machine.gpus if gpu.is_unified)
        excess = excess_of(memory, budgets, unified)
        attention, _ = self._layers_with(placement, Role.ATTENTION)
        experts, share = self._layers_with(placement, Role.ROUTED_EXPERT)
        return Judged(
            settings,
            {name: -(-size // MIB) for name, size in excess.items()},
            forecast(self.inventory, self.machine, settings, placement, memory),
            attention,
            experts,
            share,
            elapsed_s,
        )

    def _layers_with(self, placement: Placement, role: Role) -> tuple[int, float]:
        """Return the layers that have all of a role on GPUs, and the share of its bytes there."""
        behind: set[int | None] = set()
        layers: set[int | None] = set()
        on_gpu = total = 0
        pairs = zip(self.inventory.shape.tensors, placement.device_of, strict=True)
        for tensor, device in pairs:
            if tensor.role is not role or not device:
                continue
            layers.add(tensor.layer)
            total += tensor.size_bytes
            if device == CPU:
                behind.add(tensor.layer)
            else:
                on_gpu += tensor.size_bytes
        return len(layers - behind), on_gpu / total if total else 0.0

    def ours(self, wishes: Wishes) -> Judged:
        """Plan, verify and judge ours."""
        start_s = time.perf_counter()
        plan = solve(self.inventory, self.machine, wishes)
        plan = verify_with(self.oracle, self.inventory, self.machine, wishes, plan)
        return self.judge(plan.settings, wishes, time.perf_counter() - start_s)


def start_of(machine: Machine, n_ctx: int) -> PlanSettings:
    """Return llama.cpp's defaults with a fixed context (common/common.h)."""
    return PlanSettings(
        n_ctx=n_ctx,
        n_gpu_layers=-1,
        devices=usable_devices(machine, Wishes()),
        flash_attn="auto",
        load_mode="auto",
    )


def theirs_to_settings(answer: FitAnswer, judge: Judge) -> PlanSettings:
    """Return llama.cpp's result in our words; -1 layers are all of them."""
    settings = answer.settings
    n_all = judge.inventory.shape.n_layer_all + 1
    if settings.n_gpu_layers < 0:
        settings = replace(settings, n_gpu_layers=n_all if settings.devices else 0)
    return settings


def match(name: str, machine_name: str, n_ctx: int | None, *, library: Path, folder: Path) -> Match:
    """Compare both planners for one checkpoint on one machine; None: the context ours chooses."""
    machine = machine_named(machine_name)
    files = checkpoint(name).files
    with Oracle(
        files, machine.gpus, cpu_features=machine.cpu.features, work_dir=folder / "oracle"
    ) as oracle:
        judge = Judge(name, machine, oracle)
        if n_ctx is None:
            n_ctx = judge.ours(Wishes()).settings.n_ctx
        ours = {
            profile.value: judge.ours(Wishes(profile=profile, n_ctx=n_ctx)) for profile in Profile
        }
        start = start_of(machine, n_ctx)
        answer = ask(
            library, folder / files[0].name, machine, start, margins_of(machine, start.devices)
        )
        theirs = None
        if answer.status == "fits":
            settings = theirs_to_settings(answer, judge)
            theirs = judge.judge(settings, Wishes(), answer.elapsed_s)
    return Match(
        name, machine_name, n_ctx, answer.status, answer.words, answer.elapsed_s, theirs, ours
    )


def margins_of(machine: Machine, devices: Sequence[str]) -> list[int]:
    """Return our own margins: 1 GiB of every GPU, and of RAM where there is none."""
    gpus = [gpu for gpu in machine.gpus if gpu.device in devices]
    return [margin_of(gpu, Wishes()) for gpu in gpus] or [1024 * MIB]


# --- what a user fixed --------------------------------------------------------------------------


@dataclass(frozen=True)
class Fixed:
    """A case with something fixed: the same for both planners."""

    title: str
    checkpoint: str
    machine: str
    wishes: Wishes


_EXPERTS = (Override(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", CPU),)
FIXED = (
    Fixed("99 layers", "v4f-mxfp4", "desktop-96gb-rtx4090", Wishes(n_ctx=16384, n_gpu_layers=99)),
    Fixed("20 layers", "qwen32-q4km", "desktop-64gb-12gb", Wishes(n_ctx=32768, n_gpu_layers=20)),
    Fixed("experts in RAM", "v3-q4km", "desktop-64gb-12gb", Wishes(n_ctx=8192, overrides=_EXPERTS)),
    Fixed(
        "split 1:3",
        "llama70-q4km",
        "desktop-192gb-2x3090",
        Wishes(n_ctx=8192, tensor_split=(1.0, 3.0)),
    ),
)


def fixed_row(case: Fixed, library: Path, folder: Path) -> str:
    """Return a line of the table of fixed wishes."""
    machine = machine_named(case.machine)
    files, wishes = checkpoint(case.checkpoint).files, case.wishes
    assert wishes.n_ctx is not None
    start = replace(
        start_of(machine, wishes.n_ctx),
        n_gpu_layers=-1 if wishes.n_gpu_layers is None else wishes.n_gpu_layers,
        tensor_split=wishes.tensor_split or (),
        overrides=wishes.overrides or (),
    )
    answer = ask(
        library, folder / files[0].name, machine, start, margins_of(machine, start.devices)
    )
    with Oracle(
        files, machine.gpus, cpu_features=machine.cpu.features, work_dir=folder / "oracle"
    ) as oracle:
        judge = Judge(case.checkpoint, machine, oracle)
        own = judge.ours(wishes)
        theirs = judge.judge(theirs_to_settings(answer, judge), wishes, answer.elapsed_s)
    said = f"{answer.status}: {answer.words}" if answer.words else answer.status
    return (
        f"| {case.checkpoint}, {case.machine}, {case.title} | {said} | {in_words(theirs)} "
        f"| {in_words(own)} |"
    )


# --- tables -------------------------------------------------------------------------------------


def in_words(judged: Judged | None) -> str:
    """Return a cell of the table."""
    if judged is None:
        return "-"
    settings = judged.settings
    where = f"{judged.attention_layers} layers"
    if judged.expert_share:
        where += f", experts of {judged.expert_layers} ({100 * judged.expert_share:.0f} %)"
    speed = f"{judged.speed.decode.mid:.2f} / {judged.speed.prefill.mid:.0f} tok/s"
    over = ", ".join(f"{name} {size:,} MiB over" for name, size in judged.excess.items())
    extras = f"ub {settings.n_ubatch}" if settings.n_ubatch != 512 else ""
    extras += "" if settings.op_offload or not settings.devices else " no offload"
    extras += f" {settings.type_k}" if settings.type_k != "f16" else ""
    extra = f" ({extras.strip()})" if extras.strip() else ""
    return f"**{over}**; {where}; {speed}" if over else f"{where}; {speed}{extra}"


def row_of(found: Match) -> str:
    """Return a line of the main table: both planners, ours by profile."""
    theirs = in_words(found.theirs) if found.theirs else f"**{found.status}** {found.words}"
    own = found.ours
    seconds = f"{found.fit_s:.1f} / {own[Profile.BALANCED].elapsed_s:.1f}"
    verdict = "; ".join(found.problems) or _verdict(found)
    return (
        f"| {found.checkpoint}, {found.machine}, {found.n_ctx // 1024}k | {theirs} "
        f"| {in_words(own[Profile.DECODE])} | {in_words(own[Profile.BALANCED])} "
        f"| {in_words(own[Profile.PREFILL])} | {seconds} | {verdict} |"
    )


def _verdict(found: Match) -> str:
    theirs = found.theirs
    if theirs is None or not theirs.fits:
        ours_fit = all(own.fits for own in found.ours.values())
        return "only ours fits" if ours_fit else "neither fits"
    decode = found.ours[Profile.DECODE].speed.decode.mid / theirs.speed.decode.mid
    prefill = found.ours[Profile.PREFILL].speed.prefill.mid / theirs.speed.prefill.mid
    return f"decode x{decode:.2f}, prefill x{prefill:.2f}"


HEAD = (
    "| checkpoint, machine, context | llama.cpp's | ours, decode | ours, balanced "
    "| ours, prefill | s | ours against theirs |\n|---|---|---|---|---|---|---|"
)


def report(matches: Sequence[Match], fixed: Sequence[str]) -> bool:
    """Print the sums below the table, and the other table; return whether the aims are reached."""
    judged = [found for found in matches if found.theirs is not None and found.theirs.fits]
    ours = [found for found in matches if all(own.fits for own in found.ours.values())]
    worse = [found for found in matches if found.problems]
    print(f"\n{len(matches)} pairs: theirs fits {len(judged)}, ours {len(ours)}.")
    print(f"Ours worse: {len(worse)}.")
    if fixed:
        print("\n| fixed | llama.cpp's | what that comes to | ours |\n|---|---|---|---|")
        print("\n".join(fixed))
    return not worse


# --- the run ------------------------------------------------------------------------------------


def main() -> int:
    """Compare; 1 when ours is worse somewhere."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{len(QUICK)} pairs")
    parser.add_argument("--only", nargs="*", choices=NAMES, default=CHECKPOINTS)
    parser.add_argument("--machine", nargs="*", choices=MACHINES, default=SOME_MACHINES)
    parser.add_argument("--source", type=Path, help="folder with llama.cpp's source")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--json", type=Path, help="everything that was found")
    parser.add_argument("--no-fixed", action="store_true")
    options = parser.parse_args()
    library = build(options.cache.resolve(), options.source)
    pairs = QUICK if options.quick else [(n, m) for n in options.only for m in options.machine]
    asked = [(*pair, None) for pair in pairs] + list(SHORT)
    cases = () if options.no_fixed else FIXED
    matches: list[Match] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder, sorted({name for name, *_ in asked} | {c.checkpoint for c in cases}))
        print(HEAD)
        for number, (name, machine_name, n_ctx) in enumerate(asked, 1):
            print(f"{number}/{len(asked)} {name} on {machine_name}", file=sys.stderr, flush=True)
            try:
                found = match(name, machine_name, n_ctx, library=library, folder=folder)
                matches.append(found)
                print(row_of(found), flush=True)
            except OracleError as error:
                print(f"REFUSED: {name} on {machine_name}: {error.message} {error.hint}")
        fixed = [fixed_row(case, library, folder) for case in cases]
    if options.json:
        text = json.dumps([asdict(found) for found in matches], indent=1)
        options.json.write_text(text, encoding="utf-8")
    return 0 if report(matches, fixed) else 1


if __name__ == "__main__":
    sys.exit(main())
