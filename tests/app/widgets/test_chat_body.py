"""Rendering a text: streamed as at once, safe, selectable, and bounded for very long ones."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QColor, QGuiApplication, QImage, QRegion, QTextCursor, QTextDocument
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.theme import LIGHT
from app.widgets.chat_blocks import MARKDOWN_LIMIT_CHARS, Chunk
from app.widgets.chat_body import MessageBody, Spot
from app.widgets.chat_rich import ChunkDocument, RichStyle

TEXT = """# Tides

The **Moon** pulls `F = G*m1*m2` and [more](https://example.org).

```python
def force():
    return 1
```

| a | b |
|---|--:|
| 1 | 2 |

- [ ] open
- [x] done

> quoted

---

Last <b>words</b>
"""


def body_of(qtbot: QtBot, width: int = 700) -> MessageBody:
    body = MessageBody()
    qtbot.addWidget(body)
    body.resize(width, 10)
    body.layout_to(width)
    return body


def show_text(qtbot: QtBot, body: MessageBody, text: str) -> None:
    """Show a finished text, however many slices that takes on this machine."""
    body.set_text(text)
    qtbot.waitUntil(lambda: body.is_rendered)


def shown(body: MessageBody) -> list[str]:
    return [piece.document.toPlainText() for piece in body.pieces]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_streaming_ends_as_rendering_at_once(qtbot: QtBot, size: int) -> None:
    streamed, at_once = body_of(qtbot), body_of(qtbot)
    for at in range(0, len(TEXT), size):
        streamed.append(TEXT[at : at + size])
    streamed.finish()
    show_text(qtbot, at_once, TEXT)
    assert shown(streamed) == shown(at_once)
    assert streamed.layout_to(700) == at_once.layout_to(700)
    assert streamed.text == TEXT


def test_pieces_above_the_open_one_are_not_touched(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    body.append("one\n\ntwo\n\nthree\n\nfour")
    before = [(id(piece), piece.document.revision()) for piece in body.pieces[:3]]
    for _ in range(50):
        body.append(" and more of the fourth")
    assert [(id(piece), piece.document.revision()) for piece in body.pieces[:3]] == before


def test_growing_code_is_appended_to(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    body.append("```python\na = 1\n")
    document = body.pieces[0].document
    blocks = document.blockCount()
    body.append("b = 2\nc = 3\n")
    assert body.pieces[0].document is document
    assert document.blockCount() == blocks + 2


def test_html_is_text(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, '<img src="x.png"> <script>x</script>')
    assert "<script>" in shown(body)[0]


def test_nothing_is_loaded(qtbot: QtBot, tmp_path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    document = ChunkDocument()
    url = QUrl.fromLocalFile(str(picture))
    assert document.resource(QTextDocument.ResourceType.ImageResource, url) is None
    document.show_chunk(Chunk("text", f"![a]({url.toString()})"), RichStyle.of(LIGHT))
    document.setTextWidth(300)
    assert document.resource(QTextDocument.ResourceType.ImageResource, url) is None


def test_wide_code_scrolls_and_text_does_not(qtbot: QtBot) -> None:
    body = body_of(qtbot, 300)
    show_text(qtbot, body, "```\n" + "x" * 400 + "\n```\n\n" + "y" * 400)
    code, text = body.pieces
    assert code.overflow > 0
    assert text.overflow == 0


def test_one_megabyte_is_bounded(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    paragraph = "word " * 200 + "\n\n"
    text = paragraph * 1000
    show_text(qtbot, body, text)
    qtbot.waitUntil(
        lambda: len(body.pieces) >= MARKDOWN_LIMIT_CHARS // len(paragraph), timeout=5000
    )
    assert sum(len(piece.chunk.text) for piece in body.pieces) <= MARKDOWN_LIMIT_CHARS
    assert body.text == text
    assert body.layout_to(700) < 60_000


def test_streaming_beyond_the_limit_goes_on_as_plain_text(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    body.append("word " * (MARKDOWN_LIMIT_CHARS // 5))
    pieces = len(body.pieces)
    for _ in range(20):
        body.append("more " * 100)
    assert len(body.pieces) == pieces
    assert len(body.text) == MARKDOWN_LIMIT_CHARS // 5 * 5 + 20 * 500


def test_link_references_are_resolved_at_the_end(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    for letter in "See [this][a].\n\nMore.\n\n[a]: https://example.org\n":
        body.append(letter)
    body.finish()
    assert len(body.pieces) == 1
    assert "this" in shown(body)[0]
    assert "[a]" not in shown(body)[0]


def test_selecting_over_pieces_keeps_code_fences(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, "one two\n\n```py\nx = 1\n```")
    body.select(Spot(0, 4), body.end_spot())
    assert body.selected_text() == "two\n\n```py\nx = 1\n```"
    body.select(Spot(1, 0), body.end_spot())
    assert body.selected_text() == "x = 1"
    body.select(None, None)
    assert body.selected_text() == ""


def test_a_word_can_be_taken(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, "one two three")
    start, end = body.unit_at(Spot(0, 5), QTextCursor.SelectionType.WordUnderCursor)
    body.select(start, end)
    assert body.selected_text() == "two"


def test_spots_follow_the_pointer(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, "first\n\nsecond\n\nthird")
    assert body.spot_at(QPointF(0, 0)) == Spot(0, 0)
    assert body.spot_at(QPointF(600, 10_000)) == body.end_spot()
    assert body.spot_at(QPointF(0, body.pieces[1].top + 5)).piece == 1


def test_code_is_copied_by_its_button(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, "text\n\n```py\nx = 1\n```")
    body.show()
    button = body.copy_button_at(1)
    assert button is not None
    button.click()
    assert QGuiApplication.clipboard().text() == "x = 1"
    assert button.accessibleName()


def test_a_click_on_a_link_is_announced_and_on_text_is_not(qtbot: QtBot) -> None:
    body = body_of(qtbot)
    show_text(qtbot, body, "[all of this is a link](https://example.org/x)\n\nplain")
    body.resize(700, body.layout_to(700))
    body.show()
    with qtbot.waitSignal(body.link_clicked) as caught:
        qtbot.mouseClick(body, Qt.MouseButton.LeftButton, pos=QPoint(30, 12))
    assert caught.args == ["https://example.org/x"]
    with qtbot.assertNotEmitted(body.link_clicked):
        qtbot.mouseClick(body, Qt.MouseButton.LeftButton, pos=QPoint(10, body.pieces[1].top + 8))


def test_a_table_at_the_end_has_its_lower_border(qtbot: QtBot) -> None:
    """Within the room that the text asks for: what paints beyond it is cut off."""
    body = body_of(qtbot)
    show_text(qtbot, body, "| a | b |\n|---|---|\n| 1 | 2 |")
    height = body.layout_to(700)
    taller = QImage(700, height + 20, QImage.Format.Format_RGB32)
    taller.fill(Qt.GlobalColor.white)
    body.resize(700, height + 20)
    body.render(taller, QPoint(), QRegion(), QWidget.RenderFlag(0))
    painted = [
        y
        for y in range(taller.height())
        if any(taller.pixelColor(x, y) != QColor("white") for x in range(40))
    ]
    assert painted[-1] < height
