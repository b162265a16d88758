"""What may be typed after ``search``, ``pull``, ``ls``, ``verify`` and ``rm``. No Qt here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

_ORDERS = ("downloads", "likes", "updated", "created", "trending")


def add_search_options(search: argparse.ArgumentParser, whole: Callable[[str], int]) -> None:
    """Add the options of ``search``; ``whole`` converts how many are wanted."""
    search.add_argument("words", metavar="WORDS", nargs="*", help="what to look for")
    search.add_argument("--author", metavar="NAME", default="", help="only of this publisher")
    search.add_argument("--sort", choices=_ORDERS, default="downloads", help="order of the hits")
    search.add_argument("--limit", metavar="N", type=whole, default=20, help="most hits (20)")


def add_pull_options(pull: argparse.ArgumentParser) -> None:
    """Add the options of ``pull``."""
    pull.add_argument(
        "repository",
        metavar="REPO",
        help="owner/name[@revision], its web address, or a family of the catalogue",
    )
    which = pull.add_mutually_exclusive_group()
    which.add_argument(
        "--quant", metavar="Q", help="the quantization; without it the best one for this machine"
    )
    which.add_argument("--file", metavar="F", help="a GGUF file by its path in the repository")
    pull.add_argument(
        "--to", metavar="DIR", type=Path, help="a folder of the library (the download folder)"
    )
    pull.add_argument(
        "--again", action="store_true", help="fetch it also where it is on this machine already"
    )


def add_verify_options(verify: argparse.ArgumentParser) -> None:
    """Add the options of ``verify``."""
    verify.add_argument("name", metavar="NAME", help="a name of the library, or a path")
    verify.add_argument(
        "--repair", action="store_true", help="fetch the damaged parts again, and only those"
    )


def add_rm_options(rm: argparse.ArgumentParser) -> None:
    """Add the options of ``rm``."""
    rm.add_argument("name", metavar="NAME", help="a name of the library, or a path")
    rm.add_argument("--yes", action="store_true", help="do not ask")
    rm.add_argument("--for-good", action="store_true", help="leave the system's trash out")
