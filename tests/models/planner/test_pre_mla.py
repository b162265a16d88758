"""The price of files from before MLA, against the published figures."""

from __future__ import annotations

import pytest

from helpers import raw_gguf as raw
from models.gguf.header import parse_header
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.planner.kv_cache import kv_bytes_per_token
from models.planner.pre_mla import is_pre_mla, pre_mla_price, pre_mla_warning


def true_scale_shape(name: str) -> ModelShape:
    return read_shape([parse_header(raw.true_scale_source(name))])


@pytest.mark.parametrize(
    ("name", "per_token"),
    [("v3-q4km", 70_272), ("v32-q4km", 85_888), ("v3-legacy-q4km", 4_997_120)],
)
def test_published_bytes_per_token(name: str, per_token: int) -> None:
    assert kv_bytes_per_token(true_scale_shape(name), "f16", "f16") == per_token


def test_the_price_of_a_pre_mla_file() -> None:
    shape = true_scale_shape("v3-legacy-q4km")
    assert is_pre_mla(shape)
    price = pre_mla_price(shape, 32_768)
    assert price is not None
    assert price.kv_bytes == 4_997_120 * 32_768
    # What the MLA file of the same model takes.
    mla = kv_bytes_per_token(true_scale_shape("v3-q4km"), "f16", "f16")
    assert price.mla_kv_bytes == mla * 32_768


def test_the_price_in_words() -> None:
    warning = pre_mla_warning(true_scale_shape("v3-legacy-q4km"), 32_768)
    assert warning is not None
    assert "164 GB (152 GiB) at 32,768 tokens instead of 2.30 GB (2.1 GiB)" in warning


@pytest.mark.parametrize("name", ["v3-q4km", "v32-q4km", "v4f-mxfp4", "llama8-q4km"])
def test_other_files_have_no_price(name: str) -> None:
    shape = true_scale_shape(name)
    assert not is_pre_mla(shape)
    assert pre_mla_price(shape, 32_768) is None
    assert pre_mla_warning(shape, 32_768) is None
