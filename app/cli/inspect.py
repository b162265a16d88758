"""``fathom inspect``: what a checkpoint is, from its header alone. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from app.cli.safety import findings_of, findings_text
from app.cli.session import Session
from app.cli.table import format_table
from app.cli.terminal import ProgressLine, without_controls
from models.chat.template_facts import Opening, TemplateFacts
from models.gguf.shape import AttentionKind, Role
from models.planning.inspection import Inspection
from models.planning.inspection import inspect as inspected
from models.planning.opening import open_checkpoint
from models.units import format_bytes, format_count

_KINDS = {
    AttentionKind.GQA: "grouped-query attention",
    AttentionKind.MLA: "multi-head latent attention (MLA)",
    AttentionKind.MLA_EXPANDED: "latent attention as before MLA: every head in the cache",
    AttentionKind.DSA: "sparse latent attention (MLA with an indexer, DSA)",
    AttentionKind.COMPRESSED: "sliding window and compressed rows (V4)",
}
_ROLES = {
    Role.EMBEDDING: "embedding",
    Role.OUTPUT: "output",
    Role.NORM: "norms",
    Role.ATTENTION: "attention",
    Role.DENSE_FFN: "dense layers",
    Role.ROUTER: "router",
    Role.SHARED_EXPERT: "shared experts",
    Role.ROUTED_EXPERT: "routed experts",
    Role.MTP: "MTP",
    Role.OTHER: "other",
}


def inspect(options: argparse.Namespace, session: Session) -> int:
    """Print what ``options.checkpoint`` is; return the exit code."""
    line = ProgressLine(sys.stderr)
    try:
        if not options.json:
            line.show(f"Reading {without_controls(options.checkpoint)}")
        checkpoint = open_checkpoint(
            options.checkpoint, library=session.library(), hub=session.hub(text=options.checkpoint)
        )
        found = inspected(checkpoint)
        checks = findings_of(checkpoint)
    finally:
        line.clear()
    if options.json:
        said = {"checks": checks.to_json() if checks else None}
        print(json.dumps(found.to_json() | said, ensure_ascii=False))
    else:
        print(without_controls(inspection_text(found)))
        if checks is not None:
            print("\n" + without_controls(findings_text(checks, said=found.warnings)))
    return 0


def inspection_text(found: Inspection, *, width: int | None = None) -> str:
    """Return the figures as people read them: facts, weights, cache, warnings."""
    parts = [
        found.checkpoint.name,
        format_table(list(_facts(found)), wrap=1, width=width),
        format_table(_weights(found), wrap=3, width=width),
        format_table(_cache(found), wrap=2, width=width),
    ]
    notes = [("Note", warning) for warning in found.warnings]
    if notes:
        parts.append(format_table(notes, wrap=1, width=width))
    return "\n\n".join(parts)


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    shape, parameters = found.checkpoint.shape, found.parameters
    yield "architecture", f"{shape.architecture}, {_KINDS[shape.kv.kind]}"
    files = len(found.checkpoint.files)
    where = " on the hub" if found.checkpoint.is_remote else ""
    parts = f" in {files} files" if files > 1 else ""
    yield "size", f"{format_bytes(shape.file_bytes)}{parts}{where}, {shape.quantization}"
    active = f", {format_count(parameters.active)} active per token" if shape.is_moe else ""
    mtp = f"; {format_count(parameters.mtp)} more for MTP" if found.has_mtp else ""
    yield "parameters", f"{format_count(parameters.total)}{active}{mtp}"
    yield "layers", _layers(found)
    if shape.is_moe:
        shared = f", {shape.n_expert_shared} shared" if shape.n_expert_shared else ""
        experts = f"{shape.n_expert} routed, {shape.n_expert_used} used per token{shared}"
        yield "experts", experts
    context = f"{shape.n_ctx_train:,} tokens" if shape.n_ctx_train else "not said"
    yield "trained for", context
    yield "vocabulary", f"{shape.n_vocab:,} tokens"
    yield "a token reads", f"{format_bytes(found.touched_bytes)} of weights"
    yield "template", _template(found.template)


def _layers(found: Inspection) -> str:
    shape = found.checkpoint.shape
    text = f"{shape.n_layer}"
    if shape.is_moe and shape.n_layer_dense:
        text += f", the first {shape.n_layer_dense} dense"
    return f"{text}; {shape.n_layer_mtp} for MTP" if found.has_mtp else f"{text}; none for MTP"


def _template(facts: TemplateFacts | None) -> str:
    if facts is None:
        return "none"
    if facts.problem:
        return f"cannot be read: {facts.problem}"
    openings = {
        Opening.ALWAYS: "opens <think>",
        Opening.SOMETIMES: "opens <think> when asked to think",
        Opening.NEVER: "leaves thinking to the model" if facts.knows_reasoning else "no reasoning",
    }
    switch = facts.thinking_switch
    words = [openings[facts.opens_reasoning]]
    words.append(f"thinking is switched by {switch}" if switch else "no switch for thinking")
    words.append("takes tools" if facts.takes_tools else "no tools")
    return ", ".join(words)


def _weights(found: Inspection) -> list[list[str]]:
    total = sum(sum(types.values()) for types in found.weights.values())
    rows = []
    for role, types in found.weights.items():
        size_bytes = sum(types.values())
        kinds = ", ".join(f"{name} {format_bytes(size)}" for name, size in types.items())
        share = f"{100 * size_bytes / max(total, 1):.1f} %"
        rows.append((f"  {_ROLES[role]}", format_bytes(size_bytes), share, kinds))
    rows.append(("  all", format_bytes(total), "", ""))
    return _aligned([("weights", "size", "share", "types"), *rows])


def _cache(found: Inspection) -> list[list[str]]:
    rows = [("KV cache", "bytes per token", f"at {found.compared_ctx:,} tokens")]
    for kind, per_token in found.kv_bytes.items():
        size = format_bytes(round(per_token * found.compared_ctx))
        rows.append((f"  {kind}", f"{per_token:,.0f}", size))
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Put the second and third column to the right, as numbers stand."""
    widths = [max(len(row[column]) for row in rows) for column in (1, 2)]
    return [[row[0], row[1].rjust(widths[0]), row[2].rjust(widths[1]), *row[3:]] for row in rows]
