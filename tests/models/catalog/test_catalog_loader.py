"""The catalogue's files: what is refused and how it is told, and how families are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.catalog.families import names_of
from models.catalog.loader import CATALOG_DIR, load_catalog
from models.errors import CatalogError

_GOOD = """
title = "DeepSeek-Test-7B"
series = "LLM"
purpose = "Stands in for a family."
released = "2025-01"
parameters = 7_000_000_000
active_parameters = 7_000_000_000
architecture = "llama"
n_ctx_train = 4096
licence = "MIT"
official = "deepseek-ai/test-7b"
prompt_format = "deepseek-llm"
caveats = ["It is none."]

[reasoning]
kind = "none"

[hyperparameters]
block_count = 32
attention.head_count = 32
attention.compress_ratios = [0, 4]
"""


def test_a_good_card_is_read(tmp_path: Path) -> None:
    _write(tmp_path, "test", _GOOD)
    (card,) = load_catalog(tmp_path)
    assert (card.card_id, card.released, card.is_moe) == ("test", "2025-01", False)
    assert card.hyperparameters == {
        "block_count": 32,
        "attention.head_count": 32,
        "attention.compress_ratios": (0, 4),
    }
    assert (card.sampling.temperature, card.gguf, card.runs) == (None, (), True)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('title = "DeepSeek-Test-7B"', "", "title"),
        ('title = "DeepSeek-Test-7B"', 'title = ""', "title"),
        ('title = "DeepSeek-Test-7B"', "title = 7", "title"),
        ("parameters = 7_000_000_000\na", 'parameters = "7B"\na', "parameters"),
        ("parameters = 7_000_000_000\na", "parameters = true\na", "parameters"),
        ("parameters = 7_000_000_000\na", "parameters = 5\na", "active_parameters"),
        ("n_ctx_train = 4096", "n_ctx_train = 0", "n_ctx_train"),
        ('"2025-01"', '"January"', "released"),
        ('"2025-01"', '"2025-13-40"', "released"),
        ('"deepseek-ai/test-7b"', '"test-7b"', "official"),
        ('"deepseek-llm"', '"chatml"', "prompt_format"),
        ('["It is none."]', '"It is none."', "caveats"),
        ('kind = "none"', 'kind = "sometimes"', "reasoning.kind"),
        ('kind = "none"', 'kind = "always"', "reasoning.open_tag"),
        ('kind = "none"', 'kind = "none"\nmood = "good"', "reasoning.mood"),
        ('licence = "MIT"', 'licence = "MIT"\ncolour = "blue"', "colour"),
        ('licence = "MIT"', 'licence = "MIT"\nruns = "yes"', "runs"),
        ('licence = "MIT"', 'licence = "MIT"\ngguf = "unsloth/x"', "gguf"),
        ('licence = "MIT"', 'licence = "MIT"\ngguf = [{ repository = "x" }]', "gguf[0].repository"),
        ('licence = "MIT"', 'licence = "MIT"\nquants = [{ size_bytes = 1 }]', "quants[0].name"),
        ('licence = "MIT"', 'licence = "MIT"\nsampling = { temperature = 9 }', "temperature"),
        ('licence = "MIT"', 'licence = "MIT"\nhyperparameters_of = "other"', "hyperparameters_of"),
        ('architecture = "llama"', "", "architecture"),
        ("[0, 4]", '["a"]', "attention.compress_ratios"),
        ("Stands in for a family.", "Stands in for a family", "purpose"),
    ],
)
def test_a_card_that_is_not_sound_is_refused_by_file_and_key(
    old: str, new: str, key: str, tmp_path: Path
) -> None:
    assert old in _GOOD
    _write(tmp_path, "test", _GOOD.replace(old, new, 1))
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path)
    assert "test.toml" in caught.value.message
    assert key in caught.value.message


def test_text_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "test", "title = ")
    with pytest.raises(CatalogError, match=r"test\.toml"):
        load_catalog(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(CatalogError, match=r"test\.toml"):
        load_catalog(tmp_path)


def test_a_folder_without_cards_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="not there"):
        load_catalog(tmp_path)


def test_numbers_may_be_those_of_another_card(tmp_path: Path) -> None:
    own, _, numbers = _GOOD.partition("[hyperparameters]")
    assert numbers
    _write(tmp_path, "base", _GOOD)
    _write(tmp_path, "like", f'hyperparameters_of = "base"\n{own}')
    catalog = load_catalog(tmp_path)
    assert catalog.card("like").hyperparameters == catalog.card("base").hyperparameters


@pytest.mark.parametrize("other", ["nobody", "like"])
def test_numbers_of_a_card_without_any_are_refused(other: str, tmp_path: Path) -> None:
    own = _GOOD.partition("[hyperparameters]")[0]
    _write(tmp_path, "like", f'hyperparameters_of = "{other}"\n{own}')
    with pytest.raises(CatalogError, match="hyperparameters_of"):
        load_catalog(tmp_path)


def test_a_card_that_is_not_there_is_told() -> None:
    with pytest.raises(CatalogError, match="nothing"):
        load_catalog().card("nothing")


@pytest.mark.parametrize(
    ("repository", "card_id"),
    [
        ("deepseek-ai/DeepSeek-R1", "r1"),
        ("unsloth/DeepSeek-R1-0528-GGUF", "r1-0528"),
        ("UNSLOTH/deepseek-r1-0528-qwen3-8b-gguf", "r1-0528-qwen3-8b"),
        ("someone/DeepSeek-R1-Distill-Qwen-32B-abliterated-GGUF", "r1-distill-qwen-32b"),
        ("bartowski/DeepSeek-R1-Distill-Llama-70B-GGUF", "r1-distill-llama-70b"),
        ("mradermacher/DeepSeek-V2.5-1210-GGUF", "v2.5"),
        ("bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF", "coder-v2-lite"),
        ("bartowski/DeepSeek-Coder-V2-Instruct-GGUF", "coder-v2"),
        ("TheBloke/deepseek-coder-6.7B-instruct-GGUF", "coder-6.7b"),
        ("TheBloke/deepseek-llm-67b-chat-GGUF", "llm-67b"),
        ("unsloth/DeepSeek-V3.1-Terminus-GGUF", "v3.1-terminus"),
        ("unsloth/DeepSeek-V3.1-GGUF", "v3.1"),
        ("unsloth/DeepSeek-V3-0324-GGUF-UD", "v3-0324"),
        ("ubergarm/DeepSeek-V3.2-Speciale-GGUF", "v3.2-speciale"),
        ("ggml-org/DeepSeek-V4-Flash-0731-GGUF", "v4-flash"),
        ("deepseek-ai/deepseek-vl2-tiny", "vl2"),
        ("antirez/deepseek-v4-gguf", "v4-flash"),
    ],
)
def test_a_repository_is_of_its_family(repository: str, card_id: str) -> None:
    card = load_catalog().of_repository(repository)
    assert card is not None
    assert card.card_id == card_id


@pytest.mark.parametrize(
    "repository",
    [
        "Qwen/Qwen3-8B-GGUF",
        "unsloth/gpt-oss-20b-GGUF",
        "maker/DeepSeek-R1-Distill-Mistral-24B-GGUF",
        "a/r1",
        "a/b",
        "x/v3",
    ],
)
def test_other_repositories_are_of_none(repository: str) -> None:
    assert load_catalog().of_repository(repository) is None


@pytest.mark.parametrize(
    ("name", "architecture", "numbers", "card_id"),
    [
        ("DeepSeek R1 Distill Qwen 7B", "qwen2", {"block_count": 28}, "r1-distill-qwen-7b"),
        ("R1-Distill-Llama-8B", "llama", {"block_count": 32}, "r1-distill-llama-8b"),
        ("Deepseek-V3-0324", "deepseek2", {"block_count": 61}, "v3-0324"),
        ("DeepSeek V3.2", "deepseek32", {"block_count": 62}, "v3.2"),
        ("DeepSeek V3.2", "deepseek2", {"block_count": 61}, "v3.2"),
        ("DeepSeek-V4-Flash", "deepseek4", {}, "v4-flash"),
        ("deepseek-coder-6.7b-instruct.Q4_K_M.gguf", "llama", {}, "coder-6.7b"),
        # A name that is not true.
        ("DeepSeek R1 Distill Qwen 7B", "llama", {}, ""),
        ("DeepSeek R1 Distill Qwen 7B", "qwen2", {"block_count": 64}, ""),
        ("DeepSeek R1 Distill Qwen 7B", "qwen2", {"embedding_length": 5120}, ""),
        ("Qwen3 8B", "qwen3", {}, ""),
        ("", "llama", {}, ""),
    ],
)
def test_a_checkpoint_is_of_its_family(
    name: str, architecture: str, numbers: dict[str, int], card_id: str
) -> None:
    card = load_catalog().of_checkpoint(name, architecture, numbers=numbers)
    assert (card.card_id if card else "") == card_id


def test_no_two_families_share_a_name() -> None:
    seen: dict[str, str] = {}
    for card in load_catalog():
        for name in names_of(card):
            assert seen.setdefault(name, card.card_id) == card.card_id
    assert CATALOG_DIR.is_dir()


def _write(folder: Path, card_id: str, text: str) -> None:
    (folder / f"{card_id}.toml").write_text(text, encoding="utf-8")
