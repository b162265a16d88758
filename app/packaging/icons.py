"""``python -m app.packaging.icons FOLDER``: the program's icon in the forms that systems want.

There is one drawing, resources/icons/fathom.svg; everything else is painted from it while an
installer is built: PNG files for Linux, ``fathom.ico`` for Windows, ``fathom.icns`` for macOS.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import cast

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtGui import QImage, QImageWriter, QPainter
from PySide6.QtSvg import QSvgRenderer

DRAWING = Path(__file__).resolve().parents[2] / "resources" / "icons" / "fathom.svg"
# Edges in pixels. hicolor-icon-theme has a folder for each of these.
PNG_EDGES = (16, 22, 24, 32, 48, 64, 128, 256, 512)
_ICO_EDGES = (16, 20, 24, 32, 40, 48, 64, 128, 256)
# Windows' own programs, and NSIS, read pictures inside only from this edge on as PNG.
_ICO_PNG_EDGE = 256
# Kinds of pictures in an .icns, those for screens of double density beside them.
_ICNS_EDGES = {
    b"icp4": 16, b"icp5": 32, b"ic07": 128, b"ic08": 256, b"ic09": 512,
    b"ic11": 32, b"ic12": 64, b"ic13": 256, b"ic14": 512, b"ic10": 1024,
}  # fmt: skip


def painted(edge: int, drawing: Path = DRAWING) -> QImage:
    """Return the drawing in a square of ``edge`` pixels.

    Raises:
        ValueError: the drawing cannot be read.
    """
    renderer = QSvgRenderer(str(drawing))
    if not renderer.isValid():
        raise ValueError(f"{drawing} is no SVG picture")
    image = QImage(edge, edge, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    return image


def png(image: QImage) -> bytes:
    """Return a picture as a PNG file."""
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not QImageWriter(buffer, QByteArray(b"PNG")).write(image):
        raise OSError("Qt cannot write PNG")
    return bytes(content.data())


def ico() -> bytes:
    """Return the icon as an .ico file: bitmaps, and the largest as PNG.

    The format: https://learn.microsoft.com/previous-versions/ms997538(v=msdn.10)
    """
    pictures = [(edge, painted(edge)) for edge in _ICO_EDGES]
    contents = [png(p) if edge >= _ICO_PNG_EDGE else _bitmap(p) for edge, p in pictures]
    offset = 6 + 16 * len(contents)
    entries = b""
    for edge, content in zip(_ICO_EDGES, contents, strict=True):
        # An edge of 256 is written as 0.
        entries += struct.pack("<4B2H2I", edge % 256, edge % 256, 0, 0, 1, 32, len(content), offset)
        offset += len(content)
    return struct.pack("<3H", 0, 1, len(contents)) + entries + b"".join(contents)


def _bitmap(image: QImage) -> bytes:
    """Return a picture as in an .ico: no file header, twice the height, colours, then a mask."""
    edge = image.width()
    # PySide6 declares it as an object.
    pixels = bytes(cast("memoryview", image.constBits()))
    rows = [pixels[4 * edge * y : 4 * edge * (y + 1)] for y in reversed(range(edge))]
    # One bit a pixel in rows of whole 32-bit words; alpha decides, so that nothing is masked.
    mask = bytes((edge + 31) // 32 * 4 * edge)
    header = struct.pack("<3I2H6I", 40, edge, 2 * edge, 1, 32, 0, 4 * edge * edge, 0, 0, 0, 0)
    return header + b"".join(rows) + mask


def icns() -> bytes:
    """Return the icon as an .icns file: PNG pictures, each with its kind and length."""
    pictures = {edge: png(painted(edge)) for edge in sorted(set(_ICNS_EDGES.values()))}
    chunks = b"".join(
        kind + struct.pack(">I", 8 + len(pictures[edge])) + pictures[edge]
        for kind, edge in _ICNS_EDGES.items()
    )
    return b"icns" + struct.pack(">I", 8 + len(chunks)) + chunks


def write_ico(file: Path) -> Path:
    """Write ``ico()`` to a file and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(ico())
    return file


def write_icns(file: Path) -> Path:
    """Write ``icns()`` to a file and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(icns())
    return file


def write_theme(icons: Path, name: str) -> None:
    """Write the icon in every size into a theme's folder (``share/icons/hicolor``)."""
    for edge in PNG_EDGES:
        file = icons / f"{edge}x{edge}" / "apps" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(painted(edge)))
    scalable = icons / "scalable" / "apps" / f"{name}.svg"
    scalable.parent.mkdir(parents=True, exist_ok=True)
    scalable.write_bytes(DRAWING.read_bytes())


def main() -> int:
    """Write ``fathom.ico`` and ``fathom.icns`` into the folder that is named."""
    folder = Path(sys.argv[1])
    for file in (write_ico(folder / "fathom.ico"), write_icns(folder / "fathom.icns")):
        sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
