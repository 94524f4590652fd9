"""SVG to pixels, by resvg: the extra `svg`."""

from __future__ import annotations

import atexit
import importlib.util
import io
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image

from finesight.data.images import decode
from finesight.data.svg.markup import parse_svg
from finesight.errors import DataError, UserError
from finesight.runtime import sheltered

MAX_SIZE_PIXELS = 4096
TIME_LIMIT_SECONDS = 20.0

_PROGRAM = Path(__file__).with_name("renderer.py")


def render(svg: str, size: int, name: str = "SVG") -> Image.Image:
    """Return a drawing as an RGB picture of `size` by `size` pixels, in the middle of white; proportions are kept.

    `name` is what errors call the drawing. Letters are drawn with the fonts of the machine. Raises `DataError` for
    what `parse_svg` refuses, what has no extent, and what takes longer than 20 seconds or brings the renderer down;
    `UserError` for a size out of 1 to 4,096, and where the extra `svg` is not installed.
    """
    if not 1 <= size <= MAX_SIZE_PIXELS:
        raise UserError(f"a picture of {size} pixels", hint=f"from 1 to {MAX_SIZE_PIXELS}")
    if importlib.util.find_spec("resvg_py") is None:
        raise UserError("rendering SVG needs resvg-py, which is not installed", hint="pip install 'finesight[svg]'")
    fonts = any(element.name == "text" for element in parse_svg(svg, name).walk())
    try:
        content = _RENDERER.draw(svg, size, fonts=fonts)
    except DataError as error:
        raise DataError(f"{name}: cannot be rendered: {error.message}") from error
    drawn = decode(io.BytesIO(content))
    picture = Image.new("RGB", (size, size), "white")
    picture.paste(drawn, ((size - drawn.width) // 2, (size - drawn.height) // 2))
    return picture


class _Renderer:
    """The process that draws: begun when it is first needed, and anew when a drawing brought it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def draw(self, svg: str, size: int, *, fonts: bool) -> bytes:
        """Return a PNG. Raises `DataError` with the reason where there is none."""
        content = svg.encode()
        request = struct.pack(">3I", size, fonts, len(content)) + content
        with self._lock:
            answer = self._ask(request)
        if answer is None:
            raise DataError(f"it brings the renderer down, or takes longer than {TIME_LIMIT_SECONDS:g} seconds")
        done, drawn = answer
        if not done:
            raise DataError(drawn.decode())
        return drawn

    def stop(self) -> None:
        """End the process, where this one has begun it."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _ask(self, request: bytes) -> tuple[int, bytes] | None:
        """Return what the process answers, or None where it ends without."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        limit = threading.Timer(TIME_LIMIT_SECONDS, process.kill)
        limit.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            header = process.stdout.read(8)
            if len(header) == 8:
                done, length = struct.unpack(">2I", header)
                drawn = process.stdout.read(length)
                if len(drawn) == length:
                    return done, drawn
        except BrokenPipeError:
            pass  # It has ended, as an end of its answers says too.
        finally:
            limit.cancel()
        self.stop()
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        # A process that was forked off must not write into the pipes of the one it comes from.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            command = [sys.executable, "-P", str(_PROGRAM)]  # -P: the files beside it are no modules of its own
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(sheltered(command), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            self._owner = os.getpid()
        return self._process


_RENDERER = _Renderer()
atexit.register(_RENDERER.stop)
