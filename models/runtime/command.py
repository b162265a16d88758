"""How a child of this program is started: from a checkout, installed or frozen. No Qt here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT_DIR = Path(__file__).resolve().parents[2]
# Only for tests: another engine child, quoted as for a shell. The shipped program ignores it.
ENGINE_COMMAND_VARIABLE = "FATHOM_ENGINE_COMMAND"


# What tells a hub who asks. No child gets it this way: one of them runs a stranger's template, one
# a stranger's file, and the transfer child is told over its pipe.
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


def program_command(verb: str) -> list[str]:
    """Return the command line of this program in a child, with a verb."""
    if getattr(sys, "frozen", False):
        return [sys.executable, verb]
    # -P: without it a folder named "app" where the user happens to stand would be run instead.
    return [sys.executable, "-P", "-m", "app", verb]


def repair_hint() -> str:
    """Return what to do when a part of the program is missing or damaged."""
    if getattr(sys, "frozen", False):
        return "Install Fathom again: a part of it is missing or damaged."
    return "Run 'make clean' and 'make run': the engine is installed again."


def engine_command(addons_dir: Path | None = None) -> list[str]:
    """Return the command line of the engine child.

    Args:
        addons_dir: where the user's add-ons lie; None: none are looked for there.
    """
    other = os.environ.get(ENGINE_COMMAND_VARIABLE)
    if other and not getattr(sys, "frozen", False):
        return shlex.split(other)
    more = ["--addons", str(addons_dir)] if addons_dir is not None else []
    return [*program_command("engine"), *more]


def engine_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child's environment: this process's own without tokens, ``extra``, and for the pipe.

    Args:
        extra: variables laid over this process's environment.
    """
    env = dict(os.environ)
    env.update(extra or {})
    for name in TOKEN_VARIABLES:
        env.pop(name, None)
    # Paths and prompts cross the pipe as UTF-8, whatever the locale; nothing waits in a buffer.
    env["PYTHONUTF8"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    if (_ROOT_DIR / "pyproject.toml").is_file():
        # A checkout that need not be installed. Never done for site-packages: they would come
        # before the standard library.
        paths = [str(_ROOT_DIR), *filter(None, [env.get("PYTHONPATH")])]
        env["PYTHONPATH"] = os.pathsep.join(paths)
    return env


def start_piped(
    command: Sequence[str], env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child of this program on three unbuffered pipes.

    It has a session or group of its own: Ctrl-C in the terminal is for the parent, which cancels.

    Args:
        command: its command line.
        env: its whole environment; None: ``engine_environment()``.

    Raises:
        OSError, ValueError: it cannot be started.
    """
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        options = {"creationflags": flags}
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=engine_environment() if env is None else env,
        **options,
    )
