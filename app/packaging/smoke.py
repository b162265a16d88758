"""``python -m app.packaging.smoke FOLDER``: a frozen program, tried as its user would.

On every system the same few things: version, doctor, an answer of the demo, and a chat in the
window without a display. ``tests/frozen`` tests much more, on Linux; this runs where that cannot,
and on what an installer put down. Whatever is printed beyond the expected fails it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.version import VERSION

LIMIT_S = 300.0
_FIGURES = r"fathom: \d+ tokens? at [\d.]+ tok/s, first token after .*\s*"
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class Step:
    """One call of the program.

    Attributes:
        words: the arguments.
        is_good: whether its standard output is what it should be.
        errors: regular expression for the whole of standard error.
        window: whether the program with the window does it, where there are two.
    """

    title: str
    words: tuple[str, ...]
    is_good: Callable[[str], bool]
    errors: str = ""
    window: bool = False


def programs(folder: Path) -> tuple[Path, Path]:
    """Return the program with the window, and the one for terminals: often the same.

    Raises:
        FileNotFoundError: there is none.
    """
    for window, terminal in (
        ("fathom", "fathom"),
        ("fathom.exe", "fathom-cli.exe"),
        ("Contents/MacOS/fathom", "Contents/MacOS/fathom"),
    ):
        if (folder / window).is_file() and (folder / terminal).is_file():
            return folder / window, folder / terminal
    raise FileNotFoundError(f"There is no frozen program in {folder}.")


def steps(picture: Path) -> list[Step]:
    """Return what is tried, in order; the window's picture goes to ``picture``."""
    question = ("--demo-question", "Say hello.", "--screenshot", str(picture))
    answer = ("run", "demo", "--prompt", "Grüße, 世界!", "--max-tokens", "8", "--temp", "0")
    return [
        Step("version", ("--version",), lambda text: text.strip() == f"Fathom {VERSION}"),
        Step("doctor", ("doctor", "--json"), lambda text: bool(json.loads(text)["ok"])),
        Step("an answer", answer, lambda text: bool(text.strip()), errors=_FIGURES),
        # The window's own words may go nowhere on Windows: it has no console.
        Step("the window", question, lambda _: picture.read_bytes()[:4] == _PNG, window=True),
    ]


def fault(step: Step, folder: Path, base_dir: Path) -> str:
    """Run one step and return what is wrong, empty when nothing is."""
    window, terminal = programs(folder)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("PYTHONPATH", None)
    where = ("--basedir", str(base_dir)) if step.words != ("--version",) else ()
    done = subprocess.run(
        [str(window if step.window else terminal), *step.words, *where],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
        env=environment,
    )
    try:
        is_good = done.returncode == 0 and step.is_good(done.stdout)
    except (ValueError, KeyError, OSError):
        is_good = False
    if is_good and re.fullmatch(step.errors, done.stderr):
        return ""
    return f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def main(argv: Sequence[str] | None = None) -> int:
    """Try everything; 1 when something is wrong, 2 when there is no program."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    folder = Path(arguments[0]).absolute()
    try:
        programs(folder)
    except FileNotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="fathom smoke ü ") as place:
        for step in steps(Path(place) / "window.png"):
            wrong = fault(step, folder, Path(place) / "base")
            sys.stdout.write(f"{step.title}: {wrong or 'good'}\n")
            if wrong:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
