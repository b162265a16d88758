"""Formulas in LaTeX become outlines, in a child that may be killed for it. No Qt here."""
