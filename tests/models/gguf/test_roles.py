"""Roles by name, over every name that the built-in llama.cpp knows for our architectures."""

from __future__ import annotations

import gguf
import pytest

from models.gguf.hyperparameters import EXACT_ARCHITECTURES
from models.gguf.roles import is_looked_up, role_of, split_block
from models.gguf.shape import Role

ROLES = {
    Role.EMBEDDING: ("token_embd.weight", "position_embd.weight", "per_layer_token_embd.weight"),
    Role.OUTPUT: ("output.weight", "output.bias", "output_hc_fn.weight", "cls.output.weight"),
    Role.NORM: (
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.60.ffn_norm.weight",
        "blk.1.attn_q_a_norm.weight",
        "blk.1.attn_kv_a_norm.weight",
        "blk.1.attn_compressor_norm.weight",
        "blk.1.indexer.k_norm.bias",
        "blk.1.indexer_compressor_norm.weight",
        "blk.1.post_ffw_norm_1.weight",
        "blk.1.ffn_norm_exps.weight",
    ),
    Role.ATTENTION: (
        "blk.0.attn_q.weight",
        "blk.0.attn_k.bias",
        "blk.0.attn_qkv.weight",
        "blk.0.attn_output.weight",
        "blk.0.attn_q_a.weight",
        "blk.0.attn_q_b.weight",
        "blk.0.attn_kv_a_mqa.weight",
        "blk.0.attn_kv_b.weight",
        "blk.0.attn_k_b.weight",
        "blk.0.attn_v_b.weight",
        "blk.0.attn_kv.weight",
        "blk.0.attn_output_a.weight",
        "blk.0.attn_output_b.weight",
        "blk.0.attn_sinks.weight",
        "blk.0.attn_compressor_kv.weight",
        "blk.0.attn_compressor_gate.weight",
        "blk.0.attn_compressor_ape.weight",
        "blk.0.indexer.proj.weight",
        "blk.0.indexer.attn_k.weight",
        "blk.0.indexer.attn_q_b.weight",
        "blk.0.indexer_compressor_ape.weight",
    ),
    Role.DENSE_FFN: ("blk.0.ffn_gate.weight", "blk.0.ffn_up.bias", "blk.0.ffn_down.weight"),
    Role.ROUTER: (
        "blk.3.ffn_gate_inp.weight",
        "blk.3.exp_probs_b.bias",
        "blk.3.exp_probs_b_vl.bias",
        "blk.0.ffn_gate_tid2eid.weight",
    ),
    Role.SHARED_EXPERT: (
        "blk.3.ffn_gate_shexp.weight",
        "blk.3.ffn_up_shexp.weight",
        "blk.3.ffn_down_shexp.weight",
    ),
    Role.ROUTED_EXPERT: (
        "blk.3.ffn_gate_exps.weight",
        "blk.3.ffn_up_exps.weight",
        "blk.3.ffn_down_exps.weight",
        "blk.3.ffn_gate_up_exps.weight",
        "blk.3.ffn_down_exps.bias",
        "blk.3.ffn_up.7.weight",
    ),
    Role.MTP: ("blk.61.nextn.eh_proj.weight", "blk.61.nextn.shared_head_norm.weight"),
    Role.OTHER: ("rope_freqs.weight", "blk.0.hc_attn_fn.weight", "v.blk.0.attn_q.weight"),
}
CASES = [(name, role) for role, names in ROLES.items() for name in names]


@pytest.mark.parametrize(("name", "role"), CASES, ids=[name for name, _ in CASES])
def test_role(name: str, role: Role) -> None:
    assert role_of(name) is role


def test_every_role_is_tried() -> None:
    assert set(ROLES) == set(Role)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("blk.3.attn_q.bias", (3, "attn_q")),
        ("blk.12.indexer.k_norm.weight", (12, "indexer.k_norm")),
        ("blk.0.ffn_up.7.weight", (0, "ffn_up.7")),
        ("output.weight", (None, "output")),
        ("blk.x.attn_q.weight", (None, "blk.x.attn_q")),
        ("blk.-1.attn_q.weight", (None, "blk.-1.attn_q")),
        ("dec.blk.0.attn_q.weight", (None, "dec.blk.0.attn_q")),
        ("", (None, "")),
    ],
)
def test_names_taken_apart(name: str, block: tuple[int | None, str]) -> None:
    assert split_block(name) == block


def test_tables_are_looked_up() -> None:
    assert is_looked_up("token_embd.weight")
    assert is_looked_up("blk.0.ffn_gate_tid2eid.weight")
    assert not is_looked_up("output.weight")
    assert not is_looked_up("blk.0.attn_q.weight")


def named_by_the_gguf_package() -> list[str]:
    """Return the tensor names that the gguf package has for the architectures it knows of ours."""
    names = set()
    for number, architecture in gguf.MODEL_ARCH_NAMES.items():
        if architecture in EXACT_ARCHITECTURES:
            names |= {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[number]}
    return sorted(name.format(bid=7, xid=3) for name in names)


@pytest.mark.parametrize("name", named_by_the_gguf_package())
def test_every_name_that_the_gguf_package_knows_has_a_role(name: str) -> None:
    assert (role_of(f"{name}.weight") is Role.OTHER) == (name == "rope_freqs")
