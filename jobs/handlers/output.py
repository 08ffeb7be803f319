"""A program's output as the log lines of a job: bounded, always text, and honest about what is missing.

Fed with bytes (`command.run`) or text (`django.call_command`) in any pieces; gives whole lines to the job's
log. The first lines are kept up to a bound, the last ones always, and one line between says how many were
dropped.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Limits", "LineSink", "LogLines"]

_LONGEST_LINE = 3_900  # with the note about the rest it stays below what the job's log takes
# NUL cannot be stored; the others, escape sequences among them, garble the terminals of those who read them.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may log from a program's output. The last `tail` lines of each stream are kept in any case."""

    lines: int = 500
    chars: int = 256 * 1024
    tail: int = 20


class _Line(NamedTuple):
    number: int
    level: str
    text: str
    logged: bool


class LogLines:
    """Where the lines of all streams of one run come together. `log(line, level)` is the job's log."""

    def __init__(self, log: Callable[[str, str], None], limits: Limits | None = None) -> None:
        self._log, self._limits = log, limits or Limits()
        self._count = self._chars = self.dropped = 0
        self._tails: dict[str, deque[_Line]] = {}

    def add(self, line: str, level: str) -> None:
        self._count += 1
        self._chars += len(line)
        logged = self._count <= self._limits.lines and self._chars <= self._limits.chars
        if logged:
            self._log(line, level)
        else:
            self.dropped += 1
        tail = self._tails.setdefault(level, deque(maxlen=self._limits.tail))
        tail.append(_Line(self._count, level, line, logged))

    def finish(self) -> None:
        """Log how many lines were dropped, and after that the last ones, which are then not dropped."""
        rest = [line for line in self._last() if not line.logged]
        self.dropped -= len(rest)
        if self.dropped > 0:
            self._log(f"… {self.dropped} lines of output dropped …", "warning")
        for line in rest:
            self._log(line.text, line.level)

    def last(self, *, width: int = 300) -> list[str]:
        """The last lines of each stream in the order they came, each cut to `width` characters."""
        return [line.text[:width] for line in self._last()]

    def _last(self) -> list[_Line]:
        return sorted(line for tail in self._tails.values() for line in tail)


class LineSink:
    """One stream: pieces in, lines out. Invalid UTF-8 is replaced; a line too long is cut and says so."""

    def __init__(self, lines: LogLines, level: str, *, longest: int = _LONGEST_LINE) -> None:
        self._lines, self._level, self._longest = lines, level, longest
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""
        self._cut = 0

    def feed(self, data: bytes) -> None:
        self.write(self._decoder.decode(data))

    def write(self, text: str) -> None:
        *whole, rest = text.replace("\r\n", "\n").split("\n")
        for piece in whole:
            self._extend(piece)
            self._end_line()
        self._extend(rest)

    def close(self) -> None:
        """The stream ended: what stands without a line end is a line too."""
        self.write(self._decoder.decode(b"", final=True))
        if self._open or self._cut:
            self._end_line()

    def _extend(self, piece: str) -> None:
        room = self._longest - len(self._open)
        self._open += piece[:room]
        self._cut += max(len(piece) - room, 0)

    def _end_line(self) -> None:
        # A progress bar draws over itself with carriage returns; what stood last is what a terminal would
        # show.
        shown = self._open.rstrip("\r").rpartition("\r")[2]
        line = _CONTROLS.sub("", shown) + (f" … {self._cut} characters dropped" if self._cut else "")
        self._open, self._cut = "", 0
        self._lines.add(line, self._level)
