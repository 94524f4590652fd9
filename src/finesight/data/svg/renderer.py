"""resvg in a process of its own: requests on stdin, answers on stdout. It knows nothing of finesight.

A drawing made for it can keep resvg busy for hours, and some with coordinates beyond all measure abort the process.
Neither must happen where a model is trained.

A request is two numbers (pixels; 1 for the machine's fonts, else 0), the SVG's length, and the SVG. An answer is 1, a
length and a PNG, or 0, a length and the reason. Numbers are unsigned, of four bytes, the first the highest.
"""

from __future__ import annotations

import struct
import sys
from typing import BinaryIO

DPI = 96
"""CSS' pixels an inch; resvg-py's default makes nothing of centimetres."""


def draw(svg: str, pixels: int, fonts: bool) -> tuple[bool, bytes]:
    """Return whether a drawing could be drawn, and the PNG or the reason why not."""
    from resvg_py import svg_to_bytes

    try:
        drawn = svg_to_bytes(svg_string=svg, width=pixels, height=pixels, dpi=DPI, skip_system_fonts=not fonts)
    except ValueError as error:
        return False, str(error).encode()
    return True, bytes(drawn)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while header := requests.read(12):
        pixels, fonts, length = struct.unpack(">3I", header)
        done, content = draw(requests.read(length).decode(), pixels, bool(fonts))
        answers.write(struct.pack(">2I", done, len(content)) + content)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
