"""Plans against real loads: random tiny checkpoints to the byte, larger ones by kind of RAM.

``python benchmarks/plan_against_load.py [--cases N] [--seed N] [--mib N]`` (and ``--skip-grid``,
``--skip-ram``): first random settings for tiny checkpoints of every architecture, on this machine
and in half of the cases with llama.cpp's RPC worker on loopback as a device: planned, verified,
loaded and answered in a real engine child; every difference is printed. Then checkpoints of some
hundred MB: what Linux says that the child holds (RssAnon, RssFile, VmLck of /proc/PID/status)
beside ``plan.host``. Needs as much disk as one of the larger checkpoints takes, in the folder for
temporary files.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers.engine_process import EngineProcess
from helpers.host_memory import HostUse, host_use
from helpers.planned_load import PlannedLoad, RealPlanner, planned_bytes, without_compute
from helpers.rpc_worker import RpcWorker
from helpers.tiny_gguf import TinyModel, write_tiny
from helpers.true_scale import true_scale
from models.gguf.replica import Replica, plain_replica, replica_of, write_replica
from models.planner.kv_cache import check_kv
from models.planner.plan import CPU, Override, Plan
from models.planner.wishes import Wishes
from models.planning.open_checkpoint import OpenCheckpoint

MIB = 2**20
WORKER = "RPC0"
MODELS = (
    TinyModel("deepseek"),
    TinyModel("deepseek2"),
    TinyModel("deepseek2", q_lora=False, n_layer=27),
    TinyModel("deepseek2", mla=False),
    TinyModel("deepseek2", mtp=True),
    TinyModel("deepseek2-ocr"),
    TinyModel("deepseek32"),
    TinyModel("deepseek32", mtp=True),
    TinyModel("deepseek4", n_layer=5),
    TinyModel("llama"),
    TinyModel("qwen2"),
    TinyModel("qwen3"),
)
KV_TYPES = ("f16", "bf16", "f32", "q8_0", "q4_0", "q5_1", "iq4_nl")
PATTERNS = (
    r"\.ffn_(up|down|gate|gate_up)_(ch|)exps",
    r"^blk\.[12]\.ffn_(gate|up)",
    r"^blk\.0\.",
    r"\.attn_",
    "shexp",
    "^output",
    "token_embd",
)


@dataclass
class Tally:
    """What came of the random loads."""

    loads: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differing_compute: int = 0
    compute_errors: list[float] = field(default_factory=list)

    def add(self, where: str, done: PlannedLoad, told: str) -> None:
        """Compare one load with its plans."""
        self.loads[where] += 1
        measured = done.measured
        exact, fast = planned_bytes(done.exact), planned_bytes(done.fast)
        self.differing += without_compute(exact) != without_compute(measured)
        if done.fast.settings == done.exact.settings:
            self.differing += without_compute(fast) != without_compute(measured)
        self.differing_compute += exact != measured
        if exact != measured:
            print(f"  differs: {told}\n    planned {exact}\n    took    {measured}")
        if done.fast.settings == done.exact.settings:
            self.compute_errors += [
                fast[name].compute / figures.compute - 1
                for name, figures in measured.items()
                if figures.compute and name in fast
            ]


def random_wishes(rng: random.Random, checkpoint: OpenCheckpoint, *, remote: bool) -> Wishes:
    """Return wishes that fix everything that can be fixed."""
    shape = checkpoint.shape
    while True:
        type_k = rng.choice(KV_TYPES)
        type_v = rng.choice((type_k, rng.choice(KV_TYPES)))
        flash_attn = rng.choice(("on", "off", "auto"))
        strict = "off" if flash_attn == "auto" else flash_attn
        if not any(check_kv(shape, type_k, type_v, mode) for mode in (flash_attn, strict)):
            break
    fixed: dict[str, Any] = {"devices": ()}
    if remote:
        overrides = tuple(
            Override(rng.choice(PATTERNS), rng.choice((CPU, WORKER)))
            for _ in range(rng.choice((0, 0, 1, 2)))
        )
        layers = rng.randint(0, shape.n_layer_all + 1)
        fixed = {"devices": (WORKER,), "n_gpu_layers": layers, "overrides": overrides}
    return Wishes(
        n_ctx=256 * rng.randint(2, 16),
        n_ubatch=rng.choice((16, 64, 100, 512, 1024)),
        type_k=type_k,
        type_v=type_v,
        flash_attn=flash_attn,
        op_offload=rng.random() < 0.5,
        use_extra_bufts=rng.random() < 0.5,
        load_mode=rng.choice(("mmap", "none")),
        n_outputs_max=rng.choice((1, 1, 8, 33)),
        **fixed,
    )


def run_grid(engine: EngineProcess, folder: Path, args: argparse.Namespace) -> int:
    """Load random settings and return how many differed."""
    rng, tally = random.Random(args.seed), Tally()
    start_s = time.monotonic()
    with RpcWorker() as worker:
        planner = RealPlanner(engine, folder / "planning", (worker.endpoint,))
        for _ in range(args.cases):
            model = rng.choice(MODELS)
            quantization = rng.choice(("Q8_0", "Q4_0", "Q5_0", "F16"))
            model = TinyModel(**(vars(model) | {"quantization": quantization}))
            path = write_tiny(folder / "tiny.gguf", model)
            checkpoint = planner.planning.open(str(path))
            machine = planner.planning.machine(path)
            remote = rng.random() < 0.5
            wishes = random_wishes(rng, checkpoint, remote=remote)
            with planner.oracle(checkpoint.files, machine) as oracle:
                done = planner.run(checkpoint, machine, wishes, oracle)
            tally.add(
                "with a worker" if remote else "CPU alone", done, f"{model} {done.exact.settings}"
            )
        engine.ask("unload")
    errors = sorted(map(abs, tally.compute_errors))
    print(
        f"{sum(tally.loads.values())} loads {dict(tally.loads)}; weights, KV or output differ in "
        f"{tally.differing}, compute buffers of the exact plan in {tally.differing_compute};"
    )
    print(
        f"compute buffers by formulas: median {errors[len(errors) // 2]:.2%}, "
        f"p90 {errors[len(errors) * 9 // 10]:.2%}, lowest {min(tally.compute_errors):+.2%}, "
        f"highest {max(tally.compute_errors):+.2%} ({time.monotonic() - start_s:.0f} s)\n"
    )
    return tally.differing


def replicas(size_bytes: int) -> dict[str, Replica]:
    """Return checkpoints of about this size: two dense ones, two layers of V2-Lite."""
    found = {}
    for type_name, bits in (("Q4_0", 4.5), ("Q8_0", 8.5)):
        layer_bytes = (2.5 * 2048 * 2048 + 3 * 2048 * 8192) * bits / 8
        n_layer = max(1, round(size_bytes / layer_bytes))
        found[f"dense {type_name}"] = plain_replica(
            type_name, n_layer=n_layer, n_embd=2048, n_ff=8192
        )
    lite = true_scale("v2lite-q4km")
    found["V2-Lite Q4_K_M"] = replica_of(
        lite.files, lite.shape, n_body=2, expert_bytes=size_bytes // 2
    )
    return found


def ram_row(title: str, plan: Plan, added: HostUse) -> str:
    """Return a line of the table: planned beside what Linux counted, in MiB."""
    host, settings = plan.memory.host, plan.settings
    compute = sum(device.compute_bytes for device in plan.memory.devices)
    figures = (
        host.anonymous_bytes,
        added.anonymous,
        compute,
        host.page_cache_bytes,
        added.file,
        host.pinned_bytes,
        added.locked + added.pinned,
    )
    cells = " | ".join(f"{figure / MIB:,.1f}" for figure in figures)
    repacked = "yes" if settings.use_extra_bufts else "no"
    return f"| {title} | {settings.load_mode} | {repacked} | {cells} |"


def run_ram(folder: Path, args: argparse.Namespace) -> None:
    """Print planned RAM by kind beside what the engine child holds after load and answer."""
    print(
        "| checkpoint | load | repack | anonymous | RssAnon | compute in it | page cache "
        "| RssFile | pinned | locked |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for title, replica in replicas(args.mib * MIB).items():
        path = folder / "large.gguf"
        size = write_replica(replica, path)
        for load_mode in ("mmap", "none"):
            for repack in (True, False):
                wishes = Wishes(n_ctx=4096, load_mode=load_mode, use_extra_bufts=repack)
                plan, added = _load(path, folder / "planning", wishes)
                print(ram_row(f"{title}, {size / MIB:,.0f} MiB", plan, added), flush=True)
        path.unlink()


def _load(path: Path, folder: Path, wishes: Wishes) -> tuple[Plan, HostUse]:
    engine = EngineProcess()
    try:
        engine.next_event()
        planner = RealPlanner(engine, folder)
        checkpoint = planner.planning.open(str(path))
        machine = planner.planning.machine(path)
        before = host_use(engine.process.pid)
        with planner.oracle(checkpoint.files, machine) as oracle:
            done = planner.run(checkpoint, machine, wishes, oracle)
        return done.exact, host_use(engine.process.pid) - before
    finally:
        engine.close()


def main() -> int:
    """Run both parts; 1 when a load took something else than planned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mib", type=int, default=400, help="size of the larger checkpoints")
    parser.add_argument("--skip-grid", action="store_true")
    parser.add_argument("--skip-ram", action="store_true")
    args = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not args.skip_grid:
            engine = EngineProcess()
            try:
                engine.next_event()
                differing = run_grid(engine, folder, args)
            finally:
                engine.close()
        if not args.skip_ram:
            run_ram(folder, args)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
