"""What Discover works with in tests: real catalogue, planner and hub, a described machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from app.actions.discover_data import DiscoverParts
from helpers.fake_hub import FakeHub, RemoteFileContent
from helpers.gated_planning import GIB, described_machine
from helpers.raw_gguf import true_scale_bytes
from models.catalog.card import Card
from models.catalog.families import Catalog
from models.catalog.loader import load_catalog
from models.hub.hub import Hub
from models.hub.pages import RepositoryPage
from models.library.library import Library
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.wishes import Wishes
from models.planning.judgement import Judgement, QuantJudgement
from models.planning.judging import Judge
from models.planning.judging_pages import judge_page
from models.planning.planner_children import PlannerChildren
from models.planning.service import Planning
from models.stopping import Stop

SMALL, LARGE = "r1-distill-qwen-7b", "v3-0324"
REPOSITORY = "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF"
STEM = "DeepSeek-R1-Distill-Qwen-7B"
QUANTS = {"Q2_K": 3_020_000_000, "Q4_K_M": 4_680_000_000, "Q8_0": 8_100_000_000}
README = "---\nlicense: mit\n---\n# Card\n\nSee [the paper](https://example.org/p).\n"


def gpu_machine(vram_gib: int = 12, ram_gib: int = 64) -> Machine:
    """Return a machine with one GPU."""
    gpu = Gpu(
        "CUDA0",
        "NVIDIA GeForce RTX 4070",
        GpuKind.CUDA,
        vram_gib * GIB,
        vram_gib * GIB - GIB,
        504e9,
        29e12,
    )
    return described_machine(gpu, ram_bytes=ram_gib * GIB)


def fill_hub(hub: FakeHub, repository: str = REPOSITORY, *, quants: Sequence[str] = ()) -> None:
    """Put the 7B distill there with a true header and true sizes, and a model card."""
    data, _ = true_scale_bytes("qwen7-q4km")
    for quant in quants or QUANTS:
        content = RemoteFileContent(data, QUANTS[quant])
        # Nobody reads gigabytes of zeros for a digest.
        content._known[content.size_bytes] = f"{content.size_bytes:064x}"
        hub.add(repository, f"{STEM}-{quant}.gguf", content)
    hub.add(repository, "README.md", README)
    facts = hub.facts[repository]
    facts.downloads, facts.likes = 184_233, 512
    facts.card = {"license": "mit"}
    facts.gguf = {"architecture": "qwen2", "total": 7_615_616_512, "context_length": 131_072}


def some_families(*card_ids: str) -> Catalog:
    """Return a catalogue of these families."""
    whole = load_catalog()
    return Catalog(tuple(whole.card(card_id) for card_id in card_ids))


def discover_parts(
    work_dir: Path,
    hub: Hub,
    machine: Machine,
    *,
    families: Callable[[], Catalog] | None = None,
    children: PlannerChildren | None = None,
) -> DiscoverParts:
    """Return the parts; two families unless said otherwise.

    With ``children`` families are judged in one of them, as in the program; else in the lane.
    """
    planning = Planning(
        library=Library([], None), hub=hub, read_machine=lambda _path: machine, work_dir=work_dir
    )
    judge = Judge(planning)

    def judge_card(card: Card, machine: Machine, stop: Stop) -> Judgement:
        where = judge if children is None else children.background
        return where.judge(card, machine, Wishes(), stop=stop)

    def judge_one(page: RepositoryPage, machine: Machine, stop: Stop) -> Sequence[QuantJudgement]:
        return judge_page(page, machine, Wishes(), hub=hub, planning=planning, stop=stop)

    return DiscoverParts(
        load_catalog=families or (lambda: some_families(SMALL, LARGE)),
        read_machine=lambda: machine,
        judge_card=judge_card,
        judge_page=judge_one,
        make_hub=lambda: hub,
    )
