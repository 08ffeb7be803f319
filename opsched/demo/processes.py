"""Runs several programs in one terminal, line by line with a prefix, and ends them together.

One thread, one loop: `run()` returns when somebody asked for the end or a program ended by itself. Each program has a
session of its own, so that Ctrl-C reaches only us and the end has an order.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TextIO

__all__ = ["Program", "Terminal"]

_COLOURS = {"web": "36", "worker": "32", "demo": "35"}
# What an orderly end may take: TERM, TERM once more ("stop now"), KILL. The database's own end comes after it.
_PATIENCE = ((signal.SIGTERM, 3.0), (signal.SIGTERM, 2.5), (signal.SIGKILL, 1.0))


@dataclass(slots=True, kw_only=True)
class Program:
    """One child."""

    name: str
    process: subprocess.Popen[bytes]
    rest: bytearray = field(default_factory=bytearray)
    """The beginning of a line whose end has not come yet."""


class Terminal:
    """The programs and what is shown of them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty()
        self._programs: list[Program] = []
        self._selector = selectors.DefaultSelector()
        self._asked = False

    def say(self, text: str, *, name: str = "demo") -> None:
        """One or more lines of our own."""
        for line in text.splitlines():
            self._show(name, line)

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "opsched.demo.child", str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        program = Program(name=name, process=process)
        self._programs.append(program)
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, program)

    def run(self, *, each_round: Callable[[], None]) -> Program | None:
        """Show lines until the end is asked for (None), or a program ends by itself (that one)."""
        with self._listening():
            while not self._asked:
                self._pump(0.2)
                each_round()
                for program in self._programs:
                    if program.process.poll() is not None:
                        self._pump(0.0)
                        return program
        return None

    def end(self) -> None:
        """End every program, within seven seconds."""
        for signum, seconds in _PATIENCE:
            deadline = time.monotonic() + seconds
            for program in self._living():
                program.process.send_signal(signum)
            while self._living() and time.monotonic() < deadline:
                self._pump(0.05)
        self._pump(0.0)
        for program in self._programs:
            if program.process.stdout is not None:
                program.process.stdout.close()
        self._selector.close()

    def _living(self) -> list[Program]:
        return [program for program in self._programs if program.process.poll() is None]

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def asked(_signum: int, _frame: object) -> None:
            self._asked = True

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for signum in signals:
            signal.signal(signum, asked)
        try:
            yield
        finally:
            # A second Ctrl-C during the end must not cut it short: ignored until we are through.
            for signum in signals:
                signal.signal(signum, signal.SIG_IGN)

    def _pump(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            self._read(key.fileobj, key.data)  # type: ignore[arg-type]

    def _read(self, pipe: IO[bytes], program: Program) -> None:
        try:
            data = os.read(pipe.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(pipe)
            data = b"\n" if program.rest else b""
        program.rest += data
        *lines, rest = bytes(program.rest).split(b"\n")
        program.rest[:] = rest
        for line in lines:
            self._show(program.name, line.decode("utf-8", "replace").rstrip("\r"))

    def _show(self, name: str, line: str) -> None:
        prefix = f"{name:<6} | "
        if self._colour:
            prefix = f"\x1b[{_COLOURS.get(name, '0')}m{prefix}\x1b[0m"
        self._out.write(f"{prefix}{line}\n")
        self._out.flush()
