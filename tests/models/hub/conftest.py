"""The hub on loopback with one repository."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.fake_hub import FakeHub, fake_hub
from helpers.hub_pages import CARD, DATA, NAME


@pytest.fixture
def server() -> Iterator[FakeHub]:
    with fake_hub() as running:
        running.add(NAME, "DeepSeek-R1-Q4_K_M.gguf", DATA)
        running.add(NAME, "README.md", CARD)
        running.describe(
            NAME,
            downloads=12_345,
            likes=67,
            tags=["license:mit", "base_model:quantized:deepseek-ai/DeepSeek-R1"],
            card={"license": "mit", "base_model": "deepseek-ai/DeepSeek-R1"},
            gguf={"total": 671_026_419_200, "architecture": "deepseek2", "context_length": 163_840},
        )
        yield running
