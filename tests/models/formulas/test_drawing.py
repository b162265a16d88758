"""What models write is drawn; what is no formula is refused, and quickly."""

import re

import pytest

from models.formulas import drawing
from models.formulas.latex import MAX_DEPTH, UndrawableError, prepared
from models.formulas.protocol import MAX_SOURCE_CHARS, Formula

DRAWN = [
    r"x",
    r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}",
    r"\sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}",
    r"\int_0^1 x^2\,dx = \left[\frac{x^3}{3}\right]_0^1",
    r"\begin{aligned} a &= b + c \\ &= d \end{aligned}",
    r"\begin{align}a&=b\tag{1}\\[2pt]c&=d\notag\end{align}",
    r"\begin{alignat}{2}a&=b\end{alignat}",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    r"f(x)=\begin{cases} 1 & \text{if } x>0 \\ 0 & \text{otherwise}\end{cases}",
    r"\boxed{\dfrac{1}{2}}",
    r"\binom{n+1}{k^{2}}",
    r"\mathbb{R}^n \to \mathcal{L}(V)",
    r"\lim_{x\to 0}\frac{\sin x}{x}=1",
    r"a \equiv b \pmod{n}, \quad a \not= c, \quad 3 < 4",
    r"\left\{ x \middle| y \right\}",
    r"\nabla\times\mathbf{E}=-\frac{\partial\mathbf{B}}{\partial t}",
    r"\overrightarrow{AB}\cdot\vec{v} + \cancel{x}",
    r"\operatorname*{argmax}_\theta P(A|B)",
    r"100\% \text{ of } \$5",
]
REFUSED = [
    "",
    r"\frac{1",
    r"x}{y",
    r"\undefinedcommand{x}",
    r"\text{中文}",
    r"\text{<mspace width='9e9em'/>}",
    r"\hspace{100000em}x",
    r"\newcommand{\a}{b}\a",
    r"\def\x{\x\x}\x",
    r"\href{http://example.org}{x}",
    r"\left( x",
    "{" * (MAX_DEPTH + 1) + "x" + "}" * (MAX_DEPTH + 1),
    "x" * (MAX_SOURCE_CHARS + 1),
    r"a & b < c \\\\ {",
]


@pytest.fixture(autouse=True, scope="module")
def _set_up():
    drawing.set_up()


def _numbers(path):
    return [int(word) for word in re.findall(r"-?\d+", path)]


@pytest.mark.parametrize("source", DRAWN)
@pytest.mark.parametrize("is_display", [True, False])
def test_what_models_write_is_drawn(source, is_display):
    outline = drawing.draw(Formula(source, is_display))
    xs, ys = _numbers(outline.path)[0::2], _numbers(outline.path)[1::2]
    # All of the ink lies within the room that is asked for; serifs may lean out a little.
    assert min(xs) >= -150
    assert max(xs) <= outline.width + 150
    assert (max(-min(ys), 0), max(*ys, 0)) == (outline.ascent, outline.descent)
    assert set(re.findall(r"[A-Za-z]", outline.path)) <= set("MLQCZ")


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_no_formula_or_more_than_one_is_refused(source):
    with pytest.raises(Exception):  # noqa: B017  The two libraries raise anything.
        drawing.draw(Formula(source))


def test_a_display_is_larger_than_a_formula_in_a_line():
    source = r"\sum_{n=1}^\infty \frac{1}{n}"
    tall, low = (drawing.draw(Formula(source, is_display)) for is_display in (True, False))
    assert tall.ascent + tall.descent > 1.3 * (low.ascent + low.descent)


def test_a_frame_is_empty_inside():
    path = drawing.draw(Formula(r"\boxed{x}")).path
    outer, inner = (re.findall(r"-?\d+", part) for part in path.split("Z")[-3:-1])
    assert _turn(outer) * _turn(inner) < 0


def _turn(words):
    points = [(int(x), int(y)) for x, y in zip(words[::2], words[1::2], strict=True)]
    pairs = zip(points, points[1:] + points[:1], strict=True)
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)


def test_macros_and_markup_are_refused_before_anything_reads_them():
    for source in (r"\gdef\a{\a}", r"\RequireX\require{x}", r"\text{a<b}", r"\text {a&b}"):
        with pytest.raises(UndrawableError):
            prepared(source)
    assert prepared(r"\defect + \letter") == r"\defect + \letter"
