"""Are two builds of one commit the same? Freezes it twice and compares every file.

    python -m benchmarks.reproducible [--keep FOLDER] [--json]

The second time everything is different that should not matter: the folder (with a space in its
name), the home folder, umask, time zone, language, user name and the order of the environment. It
takes twice what ``make package`` takes. Needs git and what ``make package`` installs. The exit code
is 0 when nothing differs; otherwise every difference is printed with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.packaging.compare import Difference, compare

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "build/package/tools"
LIMIT_S = 900.0
FIRST = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "USER": "one"}
SECOND = {"USER": "two", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "TZ": "Asia/Tokyo"}


def git(*words: str) -> bytes:
    """Return what git says of this repository."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, check=True).stdout


def copy_of(commit: str, folder: Path) -> None:
    """Unpack a commit into a new folder."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=git("archive", commit), check=True)


def freeze(commit: str, folder: Path, variables: Mapping[str, str], umask: int) -> Path:
    """Freeze a commit in a folder of its own and return the program."""
    copy_of(commit, folder)
    home = folder / "home"
    home.mkdir()
    environment = {
        **os.environ,
        **variables,
        "HOME": str(home),
        "PYINSTALLER_CONFIG_DIR": str(home / "pyinstaller"),
        "PYTHONPATH": str(TOOLS),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct", commit).decode().strip(),
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"]
    places = ("--distpath", str(folder / "dist"), "--workpath", str(folder / "work"))
    subprocess.run(
        [*command, *places, "build.spec"],
        cwd=folder,
        env=environment,
        umask=umask,
        timeout=LIMIT_S,
        capture_output=True,
        check=True,
    )
    return folder / "dist" / "fathom"


def measure(folder: Path) -> tuple[list[Difference], float]:
    """Freeze twice below a folder; return what differs, and the seconds that it took."""
    started = time.perf_counter()
    # Named once: somebody may commit meanwhile.
    commit = git("rev-parse", "HEAD").decode().strip()
    first = freeze(commit, folder / "one", FIRST, 0o022)
    second = freeze(commit, folder / "the other" / "deeper", SECOND, 0o077)
    return compare(first, second), time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="a new folder for both builds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if not TOOLS.is_dir():
        sys.exit(f"{TOOLS} is missing: run make package once.")
    with tempfile.TemporaryDirectory(prefix="fathom-reproducible-") as place:
        found, elapsed_s = measure(options.keep or Path(place))
    if options.json:
        differences = [[one.place, one.why] for one in found]
        print(json.dumps({"differences": differences, "elapsed_s": round(elapsed_s, 1)}))
    else:
        print("\n".join(f"{one.place}: {one.why}" for one in found) or "The same, byte for byte.")
        print(f"{elapsed_s:.0f} s for two builds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
