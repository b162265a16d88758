"""Every card of the catalogue: whole, true to its numbers, and consistent with real headers."""

from __future__ import annotations

import pytest

from helpers.true_scale import true_scale
from models.catalog.card import Card, Reasoning
from models.catalog.loader import CATALOG_DIR, SERIES, load_catalog
from models.catalog.prompt_format import format_of
from models.gguf.described_shape import bare_shape, described_shape, extras_of
from models.gguf.described_tensors import Extras
from models.gguf.header import ArrayInfo, parse_header
from models.gguf.parameters import parameters_of
from models.gguf.quant_mix import is_standard
from models.gguf.shape import ModelShape
from models.gguf.source import BytesSource

_CATALOG = load_catalog()
_IDS = [card.card_id for card in _CATALOG]
_RUNNING = [card.card_id for card in _CATALOG if card.runs]
# The families that the catalogue was made for.
_FAMILIES = {
    *("r1", "r1-0528", "r1-0528-qwen3-8b", "r1-distill-llama-8b", "r1-distill-llama-70b"),
    *(f"r1-distill-qwen-{size}" for size in ("1.5b", "7b", "14b", "32b")),
    *("v2", "v2-lite", "v2.5", "v3", "v3-0324", "v3.1", "v3.1-terminus"),
    *("v3.2-exp", "v3.2", "v3.2-speciale", "v4-flash", "v4-pro"),
    *("coder-1.3b", "coder-6.7b", "coder-33b", "coder-v2", "coder-v2-lite"),
    *("llm-7b", "llm-67b", "math-7b", "prover-v1.5", "prover-v2-7b", "prover-v2-671b"),
    *("vl2", "ocr"),
}
# Headers of checkpoints at full size, and the family each is of.
_HEADERS = {
    "qwen15-q4km": "r1-distill-qwen-1.5b",
    "qwen7-q4km": "r1-distill-qwen-7b",
    "llama8-q4km": "r1-distill-llama-8b",
    "qwen38-q4km": "r1-0528-qwen3-8b",
    "v2lite-q8": "v2-lite",
    "v3-q4km": "v3",
    "v32-q4km": "v3.2",
    "v4f-mxfp4": "v4-flash",
}
# What the publisher's tables of models say.
_VOUCHED = {
    **dict.fromkeys(("coder-1.3b", "coder-6.7b", "coder-33b"), 16_384),
    **dict.fromkeys(("llm-7b", "llm-67b", "math-7b", "vl2"), 4_096),
    **dict.fromkeys(("v2", "coder-v2", "coder-v2-lite", "v3", "r1", "v3.1"), 131_072),
    **{"v2-lite": 32_768, "prover-v2-7b": 32_768, "v4-flash": 2**20, "v4-pro": 2**20},
}
_UNCHECKED = (
    *("gguf", "quants", "sampling", "licence", "prompt_format", "parameters"),
    *("whether", "context_length", "released", "hyperparameters"),
)


def test_every_family_has_its_card() -> None:
    assert set(_IDS) == _FAMILIES


def test_series_are_those_that_are_sorted() -> None:
    assert {card.series for card in _CATALOG} == set(SERIES)
    assert [SERIES.index(card.series) for card in _CATALOG] == sorted(
        SERIES.index(card.series) for card in _CATALOG
    )


@pytest.mark.parametrize("card_id", _RUNNING)
def test_parameters_are_those_of_its_numbers(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    found = parameters_of(_shape(card))
    assert found.total == pytest.approx(card.parameters, rel=0.001)
    # A token reads one row of the embedding; publishers count all of it, or round.
    embedding = found.total - found.active if not card.is_moe else 0
    assert found.active + embedding == pytest.approx(card.active_parameters, rel=0.04)


@pytest.mark.parametrize("card_id", _RUNNING)
def test_context_is_that_of_its_files_or_what_is_less_is_said(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    in_files = int(str(card.hyperparameters["context_length"]))
    assert card.n_ctx_train <= in_files
    if card.n_ctx_train < in_files:
        both = (f" {card.n_ctx_train // 1024}k ", f" {in_files // 1024}k.")
        assert any(all(words in caveat for words in both) for caveat in card.caveats)


def test_context_is_what_the_publisher_vouches_for() -> None:
    # Tables of models in the publisher's own README files.
    for card_id, tokens in _VOUCHED.items():
        assert _CATALOG.card(card_id).n_ctx_train == tokens, card_id


@pytest.mark.parametrize(("name", "card_id"), _HEADERS.items())
def test_numbers_are_those_of_real_headers(name: str, card_id: str) -> None:
    card = _CATALOG.card(card_id)
    file = true_scale(name).files[0]
    header = parse_header(BytesSource(file.header, name=name, size_bytes=file.size_bytes))
    assert header.text("general.architecture") == card.architecture
    compared = 0
    for key, value in card.hyperparameters.items():
        given = header.metadata.get(f"{card.architecture}.{key}")
        given = given.values if isinstance(given, ArrayInfo) else given
        if given is not None:
            assert given == value, key
            compared += 1
    # The rest are defaults that a file may leave out.
    assert compared >= len(card.hyperparameters) - 2


@pytest.mark.parametrize("card_id", _IDS)
def test_words_are_for_people(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    assert len(card.purpose) <= 120
    assert card.caveats
    for sentence in (card.purpose, *card.caveats):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "  " not in sentence
    assert all(name.startswith(_UNCHECKED) for name in card.unchecked)


@pytest.mark.parametrize("card_id", _IDS)
def test_a_card_says_where_its_facts_were_seen(card_id: str) -> None:
    lines = (CATALOG_DIR / f"{card_id}.toml").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Sources:"
    assert lines[1].startswith("# - ")


@pytest.mark.parametrize("card_id", _IDS)
def test_addresses_and_repositories_are_sound(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    assert card.licence_url.startswith("https://")
    assert card.official.startswith("deepseek-ai/")
    names = [gguf.repository for gguf in card.gguf]
    assert len(set(names)) == len(names)
    # Where nobody was found who makes files, the card says so.
    if not names:
        assert "gguf" in card.unchecked or not card.runs


@pytest.mark.parametrize("card_id", _RUNNING)
def test_quantizations_can_be_foretold(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    for quant in card.quants:
        assert is_standard(quant.name), quant.name
        foretold = described_shape(_bare(card), quant.name, extras=_extras(card)).file_bytes
        if quant.size_bytes:
            # Publishers' own mixes differ: nothing may be a slip of the pen, though.
            assert 0.7 < quant.size_bytes / foretold < 1.6, quant.name


@pytest.mark.parametrize("card_id", _IDS)
def test_prompt_agrees_with_what_is_said_of_reasoning(card_id: str) -> None:
    card = _CATALOG.card(card_id)
    found = format_of(card.prompt_format)
    tag = card.reasoning.open_tag
    if card.reasoning.kind is Reasoning.NONE:
        assert "<think>" not in found.generation
    elif card.reasoning.kind is Reasoning.SWITCHABLE:
        assert found.generation_thinking.endswith(tag)
        assert not found.generation.rstrip().endswith(tag)
    else:
        assert card.reasoning.note


def _bare(card: Card) -> ModelShape:
    return bare_shape(card.architecture, card.hyperparameters, card.title)


def _extras(card: Card) -> Extras:
    return extras_of(card.hyperparameters)


def _shape(card: Card) -> ModelShape:
    return described_shape(_bare(card), "Q8_0", extras=_extras(card))
