"""Formulas are found where there are some, and nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.widgets.formula_text import begins_display, replace_formulas

FORMULAS = [
    (r"so \(x^2\) is", [("x^2", False)]),
    ("so\n\\[\nx = 1\n\\]\nis", [("x = 1", True)]),
    ("\\[ a\n\n= b \\]", [("a\n\n= b", True)]),
    ("$$x$$ and $y$", [("x", True), ("y", False)]),
    (r"$\frac{1}{2}$, $n$th, $n$-th", [(r"\frac{1}{2}", False), ("n", False), ("n", False)]),
    (r"**\(x\)**: $\$5 + x$", [("x", False), (r"\$5 + x", False)]),
    (
        "\\begin{align*}\na &= b \\\\\n\\end{align*}",
        [("\\begin{align*}\na &= b \\\\\n\\end{align*}", True)],
    ),
    (r"\[ x \\ \left[y\right] \]", [(r"x \\ \left[y\right]", True)]),
    ("$2x+1$ and $2$", [("2x+1", False), ("2", False)]),
    ("costs $5 (or 4) where $x$ is", [("x", False)]),
]
NONE = [
    "$5 and $6",
    "between $5-$10 or $100k/$200k",
    "**$5** and **$6**",
    "US$5 and CA$6",
    "$HOME/$USER and $PATH:$x",
    "`$x$` and ``\\(y\\)``",
    "```sh\n$a$ \\(b\\)\n```",
    r"\$x\$ and \\(x\\)",
    r"\(x",
    "\\(a\n\nb\\)",
    "\\[ \\]",
    "$ x $",
    "$x\ny$",
    "plain",
]


@pytest.mark.parametrize(("text", "wanted"), FORMULAS)
def test_formulas_are_found(text, wanted):
    replaced = replace_formulas(text)
    assert [(one.source, one.is_display) for one in replaced.formulas] == wanted
    back = replaced.text
    for one in replaced.formulas:
        assert back.count(one.letter) == 1
        back = back.replace(one.letter, one.written)
    assert back == text


@pytest.mark.parametrize("text", NONE)
def test_prices_code_and_halves_are_left_alone(text):
    assert replace_formulas(text).text == text
    assert replace_formulas(text).formulas == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"so \(x^", "so"),
        ("so\n\\[\nx = ", "so\n"),
        ("so $$x", "so"),
        ("so $x_", "so"),
        ("so \\", "so "),
        ("so $5 and", "so $5 and"),
        ("so $x is a long sentence that" + " goes on" * 12, None),
        ("so \\(" + "x" * 5000, None),
        ("so `\\(", None),
    ],
)
def test_one_that_has_begun_is_held_back_while_it_may_still_close(text, shown):
    wanted = text if shown is None else shown
    assert replace_formulas(text, is_open=True).text == wanted
    assert replace_formulas(text).text == text


def test_letters_that_a_text_has_itself_are_not_taken():
    replaced = replace_formulas("\ue000 \\(x\\) \ue001")
    assert replaced.formulas[0].letter == "\ue002"
    assert replaced.text == "\ue000 \ue002 \ue001"


def test_an_open_display_goes_on_over_blank_lines():
    assert begins_display("so \\[", "") == "\\]"
    assert begins_display("", "\\]") == "\\]"
    assert begins_display("x \\] and \\[ y \\]", "\\]") == ""
    assert begins_display("$$", "") == "$$"
    assert begins_display("$$ $$ $$", "") == "$$"
    assert begins_display("a \\\\[2pt] b", "") == ""


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(alphabet="ab$\\()[]`\n {}5", max_size=60), st.booleans())
def test_any_text_comes_back(text, is_open):
    replaced = replace_formulas(text, is_open=is_open)
    back = replaced.text
    for one in replaced.formulas:
        back = back.replace(one.letter, one.written)
    assert text.startswith(back) if is_open else back == text
