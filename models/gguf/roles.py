"""What each tensor of a checkpoint does, by its name. No Qt here.

Names are those of ``LLM_TENSOR_NAMES`` in src/llama-arch.cpp of the llama.cpp in llama-cpp-python
0.3.36; what lies in the input and in the output layer follows ``LLM_TENSOR_INFOS`` there.
"""

from __future__ import annotations

import re

from models.gguf.shape import Role

_BLOCK = re.compile(r"blk\.([0-9]{1,9})\.(.+)", re.DOTALL)
_KIND = re.compile(r"\.(weight|bias|scale|input_scale)$")
# Mixtral files from before experts were merged: ffn_up.7.weight is expert 7.
_SINGLE_EXPERT = re.compile(r"ffn_(gate|down|up)\.[0-9]+")

_INPUTS = frozenset(
    {
        "token_embd",
        "position_embd",
        "token_types",
        "per_layer_token_embd",
        "masked_embd_centroids",
        "masked_embd_ordering",
    }
)
_OUTPUTS = ("output", "cls")
_ROUTERS = ("ffn_gate_inp", "exp_probs_b", "ffn_gate_tid2eid", "altup_router")
_ROUTED_ENDS = ("_exps", "_chexps")
_ATTENTION = ("attn", "indexer", "cross_attn", "vis_attn")
_FEED_FORWARD = ("ffn", "vis_gate", "vis_down", "vis_up")


def split_block(name: str) -> tuple[int | None, str]:
    """Return a tensor's block, None outside of blocks, and its name in there without its kind.

    ``blk.3.attn_q.bias`` is ``(3, "attn_q")``, ``output.weight`` is ``(None, "output")``.
    """
    match = _BLOCK.match(name)
    if match is None:
        return None, _KIND.sub("", name)
    return int(match[1]), _KIND.sub("", match[2])


def role_of(name: str) -> Role:
    """Return what a tensor does, as if its block were no MTP block.

    Only the names say it: whether a whole block is for MTP, the header's numbers decide
    (``shape_reader``). What is in no table of llama.cpp is ``Role.OTHER``.
    """
    layer, stem = split_block(name)
    if stem.startswith("nextn."):
        return Role.MTP
    return _outside(stem) if layer is None else _in_block(stem)


def is_looked_up(name: str) -> bool:
    """Whether a token reads one row of the tensor instead of all (``GGML_OP_GET_ROWS``)."""
    _, stem = split_block(name)
    return stem in _INPUTS or stem == "ffn_gate_tid2eid"


def _outside(stem: str) -> Role:
    if stem in _INPUTS:
        return Role.EMBEDDING
    if "norm" in stem:
        return Role.NORM
    return Role.OUTPUT if stem.startswith(_OUTPUTS) else Role.OTHER


def _in_block(stem: str) -> Role:
    if "norm" in stem:
        return Role.NORM
    if stem.startswith(_ROUTERS):
        return Role.ROUTER
    if stem.endswith("_shexp"):
        return Role.SHARED_EXPERT
    if stem.endswith(_ROUTED_ENDS) or _SINGLE_EXPERT.fullmatch(stem):
        return Role.ROUTED_EXPERT
    if stem.startswith(_ATTENTION):
        return Role.ATTENTION
    return Role.DENSE_FFN if stem.startswith(_FEED_FORWARD) else Role.OTHER
