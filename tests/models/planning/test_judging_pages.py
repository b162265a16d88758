"""A repository judged by the start of one file, or by its family where that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from helpers.described_machines import machine
from helpers.fake_hub import FakeHub, fake_hub
from helpers.true_scale import true_scale
from models.catalog.loader import load_catalog
from models.errors import AccessError
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace
from models.library.library import Library
from models.network.patience import Patience
from models.planner.compare import COMFORTABLE_TOK_S, Where, where_of
from models.planner.wishes import Wishes
from models.planning.judging_pages import judge_page
from models.planning.service import Planning

REPOSITORY = "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF"
QUANTS = {"Q2_K": 0.64, "Q4_K_M": 1.0, "Q8_0": 1.73, "F16": 3.2}
SIZING_BYTES = 64 * 1024


@dataclass
class HeaderContent:
    """A file of true size of which only the header is there; its digest is made up."""

    header: bytes
    size_bytes: int
    version: int = 1

    @property
    def sha256(self) -> str:
        return f"{self.size_bytes:064x}"

    def part(self, first: int, last: int) -> bytes:
        return self.header[first : last + 1].ljust(last + 1 - first, b"\0")


@pytest.fixture
def server() -> Iterator[FakeHub]:
    (file,) = true_scale("qwen7-q4km").files
    with fake_hub() as running:
        for quant, share in QUANTS.items():
            content = HeaderContent(file.header, int(file.size_bytes * share))
            running.add(REPOSITORY, f"DeepSeek-R1-Distill-Qwen-7B-{quant}.gguf", content)
        running.requests.clear()
        yield running


def judged(server: FakeHub, card_id: str | None = None) -> dict[str, object]:
    hub = Hub(server.endpoint, patience=Patience(first_pause_s=0.0, silence_s=1.0))
    here = machine((12,), 32)
    planning = Planning(
        library=Library([], None), hub=hub, read_machine=lambda _: here, work_dir=None
    )
    page = hub.page(RepositoryPlace(REPOSITORY))
    card = load_catalog().card(card_id) if card_id else None
    found = judge_page(page, here, Wishes(), hub=hub, planning=planning, card=card)
    return {one.files.quant: one for one in found}


def test_every_quant_is_judged_by_the_start_of_one_file(server: FakeHub) -> None:
    found = judged(server)
    assert list(found) == list(QUANTS)
    assert where_of(found["Q8_0"].plan) is Where.GPU
    assert where_of(found["F16"].plan) is not Where.GPU
    (best,) = [one for one in found.values() if one.is_recommended]
    assert best.plan.speed.decode.mid >= COMFORTABLE_TOK_S
    assert best.files.quant == "Q8_0"
    assert server.sent_bytes <= SIZING_BYTES


def test_a_gated_repository_is_judged_by_its_family(server: FakeHub) -> None:
    server.gated.add(REPOSITORY)
    server.shows_gated = True
    found = judged(server, "r1-distill-qwen-7b")
    assert [quant for quant, one in found.items() if one.is_recommended] == ["Q8_0"]
    assert server.sent_bytes == 0


def test_without_a_family_the_refusal_is_told(server: FakeHub) -> None:
    server.gated.add(REPOSITORY)
    server.shows_gated = True
    with pytest.raises(AccessError):
        judged(server)
