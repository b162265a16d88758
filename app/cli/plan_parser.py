"""What may be typed after ``fathom plan``. No Qt here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

_KV_TYPES = ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


def add_plan_options(plan: argparse.ArgumentParser, *, max_tokens: int) -> None:
    """Add the options of ``plan``; the ones of every verb are there."""
    plan.add_argument(
        "checkpoints",
        metavar="CHECKPOINT",
        nargs="+",
        help="a GGUF file, a name of the library, owner/repository/file.gguf, or an address",
    )
    plan.add_argument(
        "--compare",
        action="store_true",
        help="one row for each checkpoint; a repository or folder stands for all in it",
    )
    plan.add_argument("--ctx", metavar="N", type=_tokens(max_tokens), help="context in tokens")
    plan.add_argument("--kv", metavar="TYPE", choices=_KV_TYPES, help="type of the KV cache")
    plan.add_argument(
        "--profile",
        choices=("decode", "prefill", "balanced"),
        help="best at answers, at long prompts, or at both",
    )
    plan.add_argument(
        "--machine", metavar="FILE", type=Path, help="plan for the machine in this JSON file"
    )
    plan.add_argument(
        "--fix", metavar="KEY=VALUE", action="append", help="fix one setting; may come repeatedly"
    )
    tier = plan.add_mutually_exclusive_group()
    tier.add_argument(
        "--exact", action="store_true", help="check the plan with llama.cpp (the default)"
    )
    tier.add_argument("--fast", action="store_true", help="closed formulas only")


def _tokens(most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(
                f'"{text[:40]}" is not a whole number from 1 to {most:,}'
            )
        return number

    return convert
