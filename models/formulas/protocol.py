"""What the window and the child that draws formulas tell each other. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass

# What a formula of a person's or a model's answer stays far below.
MAX_SOURCE_CHARS = 2_500
MAX_OUTLINE_CHARS = 400_000


@dataclass(frozen=True)
class Formula:
    """What is to be drawn.

    Attributes:
        source: LaTeX, without its delimiters.
        is_display: stands in a line of its own, so that sums and fractions are large.
    """

    source: str
    is_display: bool = False


@dataclass(frozen=True)
class Outline:
    """A drawn formula, in thousandths of an em of the text that it stands in.

    Attributes:
        width: how far the next letter is.
        ascent: above the base line.
        descent: below the base line.
        path: ``M x y``, ``L x y``, ``Q x y x y``, ``C x y x y x y`` and ``Z`` one after the other,
            all parted by spaces; y grows downwards and is 0 on the base line.
    """

    width: int
    ascent: int
    descent: int
    path: str
