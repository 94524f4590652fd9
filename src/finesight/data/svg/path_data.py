"""Reading path data: every command of SVG 2, as moves, lines, cubic curves and arcs in absolute coordinates."""

from __future__ import annotations

import re

from finesight.data.svg.numerals import NUMBER, SEPARATOR, skip, to_number
from finesight.data.svg.path import Arc, Close, Curve, Line, Move, Path
from finesight.errors import DataError

_BLANKS = re.compile(r"[ \t\r\n\f]*")
_COMMANDS = frozenset("MmLlHhVvCcSsQqTtAaZz")
_MAX_REACH = 1e12
_POINT = ("number", "number")
_VALUES = {
    "M": _POINT,
    "L": _POINT,
    "H": ("number",),
    "V": ("number",),
    "C": _POINT * 3,
    "S": _POINT * 2,
    "Q": _POINT * 2,
    "T": _POINT,
    "A": ("number", "number", "number", "flag", "flag", *_POINT),
}


def parse_path_data(text: str) -> tuple[Path, int]:
    """Return the outline, and how much of the text is path data: up to the first fault, as browsers draw it.

    Raises `DataError` for numbers beyond all reason.
    """
    reader = _Reader(text)
    while reader.read_command():
        pass
    return reader.path, reader.position


class _Reader:
    """Reads commands one by one, and remembers what the next may refer to: the pen, its start, the last handle."""

    def __init__(self, text: str) -> None:
        self.path: Path = []
        self.position = skip(_BLANKS, text, 0)
        """Behind what has been read and understood."""
        self._text = text
        self._pen = self._start = 0j
        self._handle: complex | None = None
        """Of the last curve, for a smooth one to mirror."""
        self._handle_of = ""

    def read_command(self) -> bool:
        """Add one command and all its repetitions; return whether another may follow."""
        command = self._text[self.position : self.position + 1]
        if command not in _COMMANDS or not command or (not self.path and command not in "Mm"):
            return False
        position = skip(_BLANKS, self._text, self.position + 1)
        if command in "Zz":
            self._add_close()
            self.position = position
            return True
        repetitions = 0
        while (read := self._read_values(command, position)) is not None:
            values, self.position = read
            self._add(command, values)
            command = {"M": "L", "m": "l"}.get(command, command)
            position = skip(SEPARATOR, self._text, self.position)
            repetitions += 1
        self.position = skip(_BLANKS, self._text, self.position)
        return repetitions > 0

    def _read_values(self, command: str, position: int) -> tuple[list[float], int] | None:
        """Return one set of a command's values and where they end; None where there is no complete set."""
        values: list[float] = []
        for kind in _VALUES[command.upper()]:
            if values:
                position = skip(SEPARATOR, self._text, position)
            if kind == "flag":
                flag = self._text[position : position + 1]
                if flag not in ("0", "1"):
                    return None
                values.append(float(flag))
                position += 1
            elif found := NUMBER.match(self._text, position):
                values.append(to_number(found[0]))
                position = found.end()
            else:
                return None
        return values, position

    def _add(self, command: str, values: list[float]) -> None:
        origin = self._pen if command.islower() else 0j
        kind = command.upper()
        handle, handle_of = None, ""
        match kind:
            case "H":
                self._line_to(complex(values[0] + origin.real, self._pen.imag))
            case "V":
                self._line_to(complex(self._pen.real, values[0] + origin.imag))
            case "A":
                end = complex(values[5], values[6]) + origin
                self._reopen()
                self.path.append(
                    Arc(abs(values[0]), abs(values[1]), values[2] % 360, values[3] == 1, values[4] == 1, end)
                )
                self._pen = end
            case _:
                points = [complex(x, y) + origin for x, y in zip(values[::2], values[1::2], strict=True)]
                handle, handle_of = self._add_points(kind, points)
        self._handle, self._handle_of = handle, handle_of
        if max(abs(self._pen.real), abs(self._pen.imag)) > _MAX_REACH:
            raise DataError("its path leaves the plane that can be drawn")

    def _add_points(self, kind: str, points: list[complex]) -> tuple[complex | None, str]:
        """Add what is given by points alone; return the handle that a smooth curve would go on from, and its kind."""
        match kind, points:
            case "M", [end]:
                self.path.append(Move(end))
                self._pen = self._start = end
            case "L", [end]:
                self._line_to(end)
            case "C", [first, second, end]:
                return self._curve_to(first, second, end), "cubic"
            case "S", [second, end]:
                return self._curve_to(self._mirrored("cubic"), second, end), "cubic"
            case "Q", [handle, end]:
                return self._quadratic_to(handle, end), "quadratic"
            case "T", [end]:
                return self._quadratic_to(self._mirrored("quadratic"), end), "quadratic"
        return None, ""

    def _line_to(self, end: complex) -> None:
        self._reopen()
        self.path.append(Line(end))
        self._pen = end

    def _curve_to(self, first: complex, second: complex, end: complex) -> complex:
        self._reopen()
        self.path.append(Curve(first, second, end))
        self._pen = end
        return second

    def _quadratic_to(self, handle: complex, end: complex) -> complex:
        self._curve_to(self._pen + (handle - self._pen) * 2 / 3, end + (handle - end) * 2 / 3, end)
        return handle

    def _mirrored(self, kind: str) -> complex:
        if self._handle is None or self._handle_of != kind:
            return self._pen
        return 2 * self._pen - self._handle

    def _add_close(self) -> None:
        if not isinstance(self.path[-1], Close):
            self.path.append(Close(self._start))
        self._pen, self._handle = self._start, None

    def _reopen(self) -> None:
        """After a close, whatever is not a move begins a new line at the old start."""
        if isinstance(self.path[-1], Close):
            self.path.append(Move(self._pen))
