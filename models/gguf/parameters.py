"""How many parameters a checkpoint has and how many bytes a token reads. No Qt, no files here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.gguf.roles import is_looked_up
from models.gguf.shape import ModelShape, Role, Tensor


@dataclass(frozen=True)
class Parameters:
    """Counts of numbers, as model cards give them: MTP blocks are not part of ``total``.

    Attributes:
        total: in the blocks that every token goes through, embedding and output.
        active: that one token computes with: the experts it uses of all routed ones, and not the
            input embedding, of which it reads one row.
        mtp: in the MTP blocks.
    """

    total: int
    active: int
    mtp: int


def parameters_of(shape: ModelShape) -> Parameters:
    """Count the parameters: 671B and 37B for V3, 15.7B and 2.4B for V2-Lite."""
    mtp = sum(tensor.elements for tensor in shape.with_role(Role.MTP))
    total = sum(tensor.elements for tensor in shape.tensors) - mtp
    active = _per_token(shape, ((tensor, tensor.elements) for tensor in shape.tensors))
    return Parameters(total, active, mtp)


def bytes_touched_per_token(shape: ModelShape) -> int:
    """Return the bytes of weights that decoding one token reads, MTP blocks not among them.

    With routed experts that is the share of them that a token uses; of tables that are looked up
    (``is_looked_up``) one row. What bounds decoding is this over the memory's bandwidth.
    """
    return _per_token(shape, ((tensor, tensor.size_bytes) for tensor in shape.tensors))


def bytes_by_role_and_type(shape: ModelShape) -> dict[Role, Mapping[str, int]]:
    """Return the bytes of the tensors by role (in the order of ``Role``) and type (largest first).

    The sum over all is that of the tensors, without the padding between them.
    """
    sums: dict[Role, Counter[str]] = {}
    for tensor in shape.tensors:
        sums.setdefault(tensor.role, Counter())[tensor.type_name] += tensor.size_bytes
    return {role: dict(sums[role].most_common()) for role in Role if role in sums}


def _per_token(shape: ModelShape, amounts: Iterable[tuple[Tensor, int]]) -> int:
    """Add up what of each tensor's amount one token needs."""
    dense = routed = 0
    tied = shape.has_tied_embeddings
    for tensor, amount in amounts:
        if tensor.role is Role.MTP:
            continue
        if tensor.role is Role.ROUTED_EXPERT:
            routed += amount
        elif is_looked_up(tensor.name) and not (tied and tensor.name == "token_embd.weight"):
            dense += amount // max(tensor.elements // max(tensor.shape[0], 1), 1)
        else:
            dense += amount
    # Experts of a layer are equally large, so the share is exact.
    return dense + routed * shape.n_expert_used // max(shape.n_expert, 1)
