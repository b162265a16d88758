"""The child that draws formulas, frozen: modules, font and table of symbols came along."""

from __future__ import annotations

from contextlib import closing

from helpers.frozen_program import FrozenProgram
from models.formulas.child import FormulaChild
from models.formulas.protocol import Formula


def test_formulas_are_drawn_as_from_the_checkout(frozen: FrozenProgram) -> None:
    formula = Formula(
        r"\sum_{n=1}^{\infty} \frac{\alpha}{\sqrt{n}} \in \mathbb{R}", is_display=True
    )
    with (
        closing(FormulaChild(command=frozen.command("draw-formulas"))) as theirs,
        closing(FormulaChild()) as ours,
    ):
        drawn = theirs.draw(formula)
        assert drawn is not None
        assert drawn == ours.draw(formula)
