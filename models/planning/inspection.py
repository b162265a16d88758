"""What a checkpoint is, in figures that its header alone gives. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.chat.template_facts import TemplateFacts, template_facts
from models.gguf.parameters import (
    Parameters,
    bytes_by_role_and_type,
    bytes_touched_per_token,
    parameters_of,
)
from models.gguf.shape import AttentionKind, Role
from models.planner.kv_cache import kv_bytes_per_token, kv_types_allowed
from models.planner.pre_mla import PreMlaPrice, pre_mla_price, pre_mla_warning
from models.planning.open_checkpoint import OpenCheckpoint

# The context at which caches are compared, unless the checkpoint was trained for less.
COMPARED_CTX = 32_768


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's figures.

    Attributes:
        checkpoint: what was inspected.
        parameters: total, active per token, and of MTP blocks.
        weights: bytes by role and tensor type.
        touched_bytes: of weights that decoding one token reads.
        kv_bytes: of the cache per token of context, by the type of K and V; V4's window and
            states, which do not grow with the context, are not in it.
        compared_ctx: tokens at which caches are compared.
        pre_mla: what a file from before MLA costs, else None.
        template: what its chat template can do, None without one.
        warnings: what its user should know, as sentences.
    """

    checkpoint: OpenCheckpoint
    parameters: Parameters
    weights: Mapping[Role, Mapping[str, int]]
    touched_bytes: int
    kv_bytes: Mapping[str, float]
    compared_ctx: int
    pre_mla: PreMlaPrice | None
    template: TemplateFacts | None
    warnings: tuple[str, ...]

    @property
    def has_mtp(self) -> bool:
        """Whether the MTP blocks are really in the file."""
        return self.parameters.mtp > 0

    def to_json(self) -> dict[str, Any]:
        """Return the keys that the README documents, in their order."""
        shape = self.checkpoint.shape
        return {
            "name": self.checkpoint.name,
            "text": self.checkpoint.text,
            "is_remote": self.checkpoint.is_remote,
            "files": [
                {"name": file.name, "size_bytes": file.size_bytes} for file in self.checkpoint.files
            ],
            "size_bytes": shape.file_bytes,
            "architecture": shape.architecture,
            "is_approximate": shape.is_approximate,
            "quantization": shape.quantization,
            "parameters": asdict(self.parameters),
            "layers": {
                "total": shape.n_layer,
                "dense": shape.n_layer_dense,
                "mtp": shape.n_layer_mtp if self.has_mtp else 0,
            },
            "experts": self._experts(),
            "attention": self._attention(),
            "n_vocab": shape.n_vocab,
            "n_ctx_train": shape.n_ctx_train,
            "weights": [
                {"role": role.value, "type": type_name, "size_bytes": size_bytes}
                for role, types in self.weights.items()
                for type_name, size_bytes in types.items()
            ],
            "touched_bytes_per_token": self.touched_bytes,
            "kv_bytes_per_token": {
                kind: int(size) if size.is_integer() else size
                for kind, size in self.kv_bytes.items()
            },
            "has_mtp": self.has_mtp,
            "pre_mla": asdict(self.pre_mla) if self.pre_mla else None,
            "template": asdict(self.template) if self.template else None,
            "warnings": list(self.warnings),
        }

    def _experts(self) -> dict[str, int] | None:
        shape = self.checkpoint.shape
        if not shape.is_moe:
            return None
        return {
            "total": shape.n_expert,
            "used": shape.n_expert_used,
            "shared": shape.n_expert_shared,
        }

    def _attention(self) -> dict[str, Any]:
        shape = self.checkpoint.shape
        return {
            "kind": shape.kv.kind.value,
            "heads": shape.n_head,
            "kv_heads": max(shape.kv.n_head_kv, default=0),
        }


def inspect(checkpoint: OpenCheckpoint) -> Inspection:
    """Work out a checkpoint's figures; nothing is read for it any more."""
    shape = checkpoint.shape
    compared_ctx = min(COMPARED_CTX, shape.n_ctx_train or COMPARED_CTX)
    return Inspection(
        checkpoint=checkpoint,
        parameters=parameters_of(shape),
        weights=bytes_by_role_and_type(shape),
        touched_bytes=bytes_touched_per_token(shape),
        kv_bytes={kind: kv_bytes_per_token(shape, kind, kind) for kind in kv_types_allowed(shape)},
        compared_ctx=compared_ctx,
        pre_mla=pre_mla_price(shape, compared_ctx),
        template=template_facts(checkpoint.template) if checkpoint.template else None,
        warnings=_warnings(checkpoint, compared_ctx),
    )


def _warnings(checkpoint: OpenCheckpoint, compared_ctx: int) -> tuple[str, ...]:
    shape = checkpoint.shape
    found: list[str] = []
    price = pre_mla_warning(shape, compared_ctx)
    if price:
        found.append(price)
    if shape.is_approximate:
        found.append(
            f'Fathom has no rules of its own for the architecture "{shape.architecture[:80]}": '
            "what is said of its cache and its active parameters is approximate."
        )
    if shape.n_layer_mtp and not any(shape.with_role(Role.MTP)):
        found.append("Its header names MTP layers that are not in the file.")
    if shape.kv.kind is AttentionKind.COMPRESSED:
        found.append(
            "Its cache also holds a window and states whose size does not grow with the context; "
            "fathom plan counts them."
        )
    if checkpoint.template is None:
        found.append("It has no chat template; DeepSeek LLM's plain format stands in.")
    return tuple(found)
