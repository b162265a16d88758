"""The figures of a checkpoint, gathered from its header."""

from __future__ import annotations

import json

import pytest

from helpers import raw_gguf as raw
from models.gguf.header import parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.shape_reader import read_shape
from models.planning.inspection import Inspection, inspect
from models.planning.open_checkpoint import OpenCheckpoint

THINKING = "{% if add_generation_prompt %}A:<think>\n{% endif %}"
KEYS = [
    "name",
    "text",
    "is_remote",
    "files",
    "size_bytes",
    "architecture",
    "is_approximate",
    "quantization",
    "parameters",
    "layers",
    "experts",
    "attention",
    "n_vocab",
    "n_ctx_train",
    "weights",
    "touched_bytes_per_token",
    "kv_bytes_per_token",
    "has_mtp",
    "pre_mla",
    "template",
    "warnings",
]


def inspection(name: str, *, template: str | None = None) -> Inspection:
    source = raw.true_scale_source(name)
    shape = read_shape([parse_header(source)])
    file = HeaderFile(source.name, source.size_bytes)
    return inspect(OpenCheckpoint(name, shape.name, shape, (file,), template, True, None))


def test_json_of_v3() -> None:
    data = inspection("v3-q4km", template=THINKING).to_json()
    assert list(data) == KEYS
    assert json.loads(json.dumps(data)) == data
    assert data["files"] == [{"name": "v3-q4km.gguf", "size_bytes": 405_065_227_744}]
    assert data["experts"] == {"total": 256, "used": 8, "shared": 1}
    assert data["layers"] == {"total": 61, "dense": 3, "mtp": 0}
    assert data["attention"] == {"kind": "mla", "heads": 128, "kv_heads": 1}
    assert data["kv_bytes_per_token"]["f16"] == 70_272
    assert data["kv_bytes_per_token"]["q8_0"] == 37_332
    assert round(data["parameters"]["total"], -9) == 671_000_000_000
    assert (data["has_mtp"], data["pre_mla"], data["warnings"]) == (False, None, [])
    assert data["template"]["opens_reasoning"] == "always"


def test_weights_add_up() -> None:
    found = inspection("v32-q4km")
    listed = sum(entry["size_bytes"] for entry in found.to_json()["weights"])
    assert listed == sum(tensor.size_bytes for tensor in found.checkpoint.shape.tensors)


def test_mtp_layers_are_told_apart() -> None:
    data = inspection("v32-q4km").to_json()
    assert data["layers"] == {"total": 61, "dense": 3, "mtp": 1}
    assert data["has_mtp"]
    assert data["parameters"]["mtp"] > 11e9


def test_a_pre_mla_file_is_flagged_with_its_price() -> None:
    found = inspection("v3-legacy-q4km", template=THINKING)
    assert found.to_json()["pre_mla"] == {
        "n_ctx": 32_768,
        "kv_bytes": 163_745_628_160,
        "mla_kv_bytes": 2_302_672_896,
    }
    assert len(found.warnings) == 1
    assert "152 GiB" in found.warnings[0]


def test_a_dense_model_has_no_experts() -> None:
    data = inspection("llama8-q4km").to_json()
    assert data["experts"] is None
    assert data["layers"]["dense"] == data["layers"]["total"] == 32
    # Without experts all is active but the input embedding, of which a token reads one row.
    assert data["parameters"]["active"] == data["parameters"]["total"] - 128_256 * 4096 + 4096


def test_what_does_not_grow_with_the_context_is_told() -> None:
    assert any("window" in warning for warning in inspection("v4f-mxfp4").warnings)


@pytest.mark.parametrize(("template", "is_told"), [(None, True), (THINKING, False)])
def test_a_missing_template_is_told(template: str | None, is_told: bool) -> None:
    warnings = inspection("v3-q4km", template=template).warnings
    assert any("template" in warning for warning in warnings) is is_told
