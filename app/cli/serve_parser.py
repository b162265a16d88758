"""What may be typed after ``serve``. No Qt here."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_serve_options(
    serve: argparse.ArgumentParser, tokens: Callable[[str], int], port: Callable[[str], int]
) -> None:
    """Add the options of ``serve``; ``tokens`` and ``port`` convert such numbers."""
    serve.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help='path of a GGUF file, or a name such as "demo"; the one used last',
    )
    serve.add_argument(
        "--ctx", metavar="N", type=tokens, help="context in tokens; 0: chosen for the checkpoint"
    )
    serve.add_argument(
        "--port", metavar="N", type=port, help="0 takes any free one; else that of the settings"
    )
    serve.add_argument(
        "--allow-origin",
        dest="origins",
        metavar="URL",
        action="append",
        default=[],
        help="let this web page ask too, as http://localhost:3000; may be given several times",
    )
    serve.add_argument(
        "--template",
        choices=("own", "known"),
        help="the checkpoint's own chat template, or the known one of its family",
    )
    keys = serve.add_mutually_exclusive_group()
    keys.add_argument(
        "--print-key", action="store_true", help="print the key that programs need, and end"
    )
    keys.add_argument(
        "--new-key",
        action="store_true",
        help="replace the key and print the new one; programs have to be told",
    )
