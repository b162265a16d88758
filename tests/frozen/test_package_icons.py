"""The icon in the forms of other systems: read back by readers that are not ours."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PySide6.QtGui import QColor, QImage, QImageReader

from app.packaging import icons

EDGE_OF_PNG = struct.Struct(">II")


def test_every_picture_of_the_ico_is_the_drawing(tmp_path: Path) -> None:
    reader = QImageReader(str(icons.write_ico(tmp_path / "new" / "fathom.ico")))
    edges = []
    for number in range(reader.imageCount()):
        assert reader.jumpToImage(number)
        image = reader.read()
        edges.append(image.width())
        expected = icons.painted(image.width())
        # Corners are transparent, the middle is the sea.
        assert image.pixelColor(0, 0).alpha() == 0
        middle = image.width() // 2
        assert image.pixelColor(middle, middle) == expected.pixelColor(middle, middle)
        # Qt reads it premultiplied, which rounds.
        kind = QImage.Format.Format_ARGB32_Premultiplied
        assert image.convertToFormat(kind) == expected.convertToFormat(kind)
    assert edges == [16, 20, 24, 32, 40, 48, 64, 128, 256]


def test_the_icns_names_what_it_holds() -> None:
    content = icons.icns()
    assert content[:4] == b"icns"
    assert struct.unpack(">I", content[4:8])[0] == len(content)
    found: dict[bytes, int] = {}
    at = 8
    while at < len(content):
        kind, length = content[at : at + 4], struct.unpack(">I", content[at + 4 : at + 8])[0]
        picture = content[at + 8 : at + length]
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = EDGE_OF_PNG.unpack(picture[16:24])
        assert width == height
        found[kind] = width
        at += length
    assert (found[b"ic07"], found[b"ic13"], found[b"ic10"]) == (128, 256, 1024)
    assert len(found) == 10


def test_the_theme_has_every_size_and_the_drawing_itself(tmp_path: Path) -> None:
    icons.write_theme(tmp_path, "org.x")
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert names == {f"{edge}x{edge}/apps/org.x.png" for edge in icons.PNG_EDGES}
    for edge in icons.PNG_EDGES:
        image = QImage(str(tmp_path / f"{edge}x{edge}" / "apps" / "org.x.png"))
        assert (image.width(), image.height()) == (edge, edge)
        assert image.pixelColor(edge // 2, edge // 4) != QColor(0, 0, 0, 0)
    drawn = tmp_path / "scalable" / "apps" / "org.x.svg"
    assert drawn.read_bytes() == icons.DRAWING.read_bytes()


@pytest.mark.no_qt_log
def test_a_file_that_is_no_drawing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no SVG picture"):
        icons.painted(16, tmp_path / "no.svg")
