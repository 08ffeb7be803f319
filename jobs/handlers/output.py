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

__all__ = ["Limits", "LineSink", "LogLines"]

_LONGEST_LINE = 4 * 1024
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
)  # NUL cannot be stored, the others garble terminals


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may log from a program's output. The last `tail` lines are kept beyond the other bounds."""

    lines: int = 500
    chars: int = 256 * 1024
    tail: int = 20


class LogLines:
    """Where the lines of all streams of one run come together. `log(line, level)` is the job's log."""

    def __init__(self, log: Callable[[str, str], None], limits: Limits | None = None) -> None:
        self._log, self._limits = log, limits or Limits()
        self._lines = self._chars = self.dropped = 0
        self._tail: deque[tuple[str, str, bool]] = deque(maxlen=self._limits.tail)

    def add(self, line: str, level: str) -> None:
        room = self._lines < self._limits.lines and self._chars + len(line) <= self._limits.chars
        if room and not self.dropped:
            self._lines += 1
            self._chars += len(line)
            self._log(line, level)
        else:
            self.dropped += 1
        self._tail.append((line, level, room))

    def finish(self) -> None:
        """Say what was dropped, and log the last lines. The count excludes the lines that follow it."""
        rest = [(line, level) for line, level, logged in self._tail if not logged]
        self._tail = deque(((line, level, True) for line, level, _ in self._tail), maxlen=self._limits.tail)
        self.dropped -= len(rest)
        if self.dropped > 0:
            self._log(f"… {self.dropped} lines of output dropped …", "warning")
        for line, level in rest:
            self._log(line, level)

    def last(self, count: int) -> list[str]:
        """The last lines of all streams, oldest first."""
        return [line for line, _, _ in self._tail][-count:]


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
