"""``python -m app.packaging.sizes FOLDER``: what takes the space in a frozen program."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

# The first that fits names the part.
_PARTS = (
    ("demo checkpoint", r"resources/demo/"),
    ("llama.cpp and its modules", r"llama_cpp/|libgomp"),
    ("Qt: ICU's tables (linked by QtCore)", r"libicu"),
    ("Qt and PySide6", r"PySide6|shiboken6|libQt6|libpyside6|libshiboken6"),
    ("Python: interpreter and its modules", r"libpython|python3\.|base_library|lib-dynload"),
    ("cryptography (keyring on Linux)", r"cryptography/"),
    ("Python modules of all packages", r"fathom(\.exe)?$"),
    ("fonts, icons, cards, templates", r"resources/|ziamath/|ziafont/|latex2mathml/"),
    ("metadata and licences of packages", r"\.dist-info/|origins\.json$"),
    ("extension modules of other packages", r"\.(cpython-|abi3)"),
    ("system libraries", r"\.so(\.|$)|\.dll$|\.dylib$"),
)
_REST = "rest"


def part_of(place: str) -> str:
    """Return the part that a file belongs to."""
    return next((title for title, pattern in _PARTS if re.search(pattern, place)), _REST)


def sizes(folder: Path) -> Counter[str]:
    """Return the bytes of each part; what is linked twice counts once."""
    counted: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            counted[part_of(path.relative_to(folder).as_posix())] += path.stat().st_size
    return counted


def main() -> int:
    """Print the table, largest first."""
    folder = Path(sys.argv[1])
    counted = sizes(folder)
    total = sum(counted.values())
    for title, size_bytes in counted.most_common():
        sys.stdout.write(f"{size_bytes / 1e6:8.1f} MB  {title}\n")
    demo = counted["demo checkpoint"]
    sys.stdout.write(
        f"{total / 1e6:8.1f} MB  in all, {(total - demo) / 1e6:.1f} without the demo\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
