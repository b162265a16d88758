"""Plain text tables: aligned columns, long values wrapped. No Qt here."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

_GAP = 2
_MIN_WRAPPED = 20
_PIPE_WIDTH = 100


def format_table(rows: Sequence[Sequence[str]], *, wrap: int, width: int | None = None) -> str:
    """Return the rows as lines; column number ``wrap`` takes what is left of the width.

    Args:
        rows: equally long rows of cells.
        wrap: which column is wrapped.
        width: characters in a line; None: the terminal's, 100 where there is none.
    """
    if not rows:
        return ""
    if width is None:
        width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    others = sum(widths) - widths[wrap] + _GAP * (len(widths) - 1)
    widths[wrap] = min(widths[wrap], max(width - others, _MIN_WRAPPED))
    lines = []
    for row in rows:
        parts = textwrap.wrap(row[wrap], widths[wrap]) or [""]
        for number, part in enumerate(parts):
            cells = [part if column == wrap else cell for column, cell in enumerate(row)]
            if number:
                cells = [part if column == wrap else "" for column in range(len(row))]
            padded = [cell.ljust(size) for cell, size in zip(cells, widths, strict=True)]
            lines.append((" " * _GAP).join(padded).rstrip())
    return "\n".join(lines)
