"""Writes label PNGs row by row: no library that streams them can write a palette of its own."""

import struct
import zlib
from typing import IO

from smir.classes import UInt8


class PalettePng:
    """A PNG of class ids with a palette.

    Args:
        file: Where it goes.
        height: Rows.
        width: Columns.
        palette: Red, green and blue of the 256 values (256, 3).
    """

    def __init__(self, file: IO[bytes], height: int, width: int, palette: UInt8) -> None:
        self._file = file
        self._packed = zlib.compressobj(6)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        self._chunk(b"PLTE", palette.tobytes())

    def write(self, rows: UInt8) -> None:
        """Adds rows (h, W)."""
        for row in rows:
            self._data(self._packed.compress(b"\0" + row.tobytes()))  # 0: no filter, as palettes want it

    def close(self) -> None:
        """Writes the end; the file stays open."""
        self._data(self._packed.flush())
        self._chunk(b"IEND", b"")

    def _data(self, content: bytes) -> None:
        if content:
            self._chunk(b"IDAT", content)

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(kind + content)))
