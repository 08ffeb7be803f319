"""`manage.py demo`: database, migrations, an operator, some work, the web process and a worker, in one terminal.

Everything it starts ends with it. Meant for a first look and for development; `docs/operations.md` has the real way.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from opsched.demo.processes import Program, Terminal
from opsched.embedded import client
from opsched.embedded.layout import Layout

_HANDLERS = "opsched.demo.handlers"
_HOST = "127.0.0.1"


class Command(BaseCommand):
    """See the module."""

    help = "Runs everything in one terminal, with an example workload. Ctrl-C ends it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=_port, default=8000, help="on 127.0.0.1 (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        port: int = options["port"]
        _refuse_taken_port(port)
        terminal = Terminal(sys.stdout)
        terminal.say("starting the database and preparing the tables ...")
        password = _prepare()
        _start_programs(terminal, port)
        greeting = _Greeting(terminal, port, password)
        try:
            ended = terminal.run(each_round=greeting.when_ready)
        finally:
            terminal.say("ending everything ...")
            terminal.end()
            _end_database()
        terminal.say(f"ended; the data stays in {settings.DATA_DIR}")
        if ended is not None:
            raise CommandError(_why(ended))


def _port(text: str) -> int:
    from argparse import ArgumentTypeError

    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError(f"{text!r} is no port: use a number from 1 to 65535")
    return int(text)


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except PermissionError:
            raise CommandError(
                f"Port {port} needs more rights: take one above 1023, e.g. make demo PORT=8123."
            ) from None
        except OSError:
            raise CommandError(
                f"Port {port} is in use: end what uses it, or take another: make demo PORT={port + 1}."
            ) from None


def _prepare() -> str | None:
    import importlib

    connection.ensure_connection()  # its failure has a sentence of its own (manage.py)
    call_command("migrate", verbosity=0, interactive=False)
    importlib.import_module(
        _HANDLERS
    )  # this process submits the demo's kinds before it has children that know them
    from opsched.demo import workload

    return workload.prepare()


def _start_programs(terminal: Terminal, port: int) -> None:
    modules = ",".join([*settings.OPSCHED["HANDLER_MODULES"], _HANDLERS])
    environment = {**os.environ, "OPSCHED_HANDLER_MODULES": modules, "PYTHONUNBUFFERED": "1"}
    manage = str(settings.BASE_DIR / "manage.py")
    programs = {
        "web": [sys.executable, "-m", "daphne", "-b", _HOST, "-p", str(port), "opsched.asgi:application"],
        "worker": [sys.executable, manage, "runworker"],
    }
    for name, command in programs.items():
        terminal.start(name, command, environment=environment, folder=settings.BASE_DIR)
    # Its own connection is not needed any more, and a database that is restarted would break it.
    connection.close()


def _end_database() -> None:
    root = settings.DATABASES["default"].get("EMBEDDED")
    if root is not None:
        connection.close()
        client.release(Layout(root=root), wait=3.0)


def _why(program: Program) -> str:
    code = program.process.returncode
    how = f"was ended by signal {-code}" if code < 0 else f"ended by itself with code {code}"
    return f"The {program.name} process {how}; its last lines are above. Everything else was ended too."


class _Greeting:
    """Says the addresses once the web process answers."""

    def __init__(self, terminal: Terminal, port: int, password: str | None) -> None:
        self._terminal, self._port, self._password = terminal, port, password
        self._began, self._said = time.monotonic(), False

    def when_ready(self) -> None:
        if not self._said and _answers(self._port):
            self._said = True
            self._terminal.say(self._text())

    def _text(self) -> str:
        base = f"http://{_HOST}:{self._port}"
        login = (
            f"Log in as operator with the password {self._password} (shown only now)."
            if self._password
            else "Log in as operator; the password is unchanged (manage.py changepassword operator sets a new one)."
        )
        return (
            f"\nopsched is ready after {time.monotonic() - self._began:.1f} s.\n\n"
            f"  operations  {base}/admin/operations/\n"
            f"  admin       {base}/admin/\n"
            f"  API         {base}/api/docs/\n"
            f"  health      {base}/readyz\n\n"
            f"{login}\nCtrl-C ends everything.\n\n"
        )


def _answers(port: int) -> bool:
    probe = http.client.HTTPConnection(_HOST, port, timeout=1.0)
    try:
        probe.request("GET", "/healthz")
        return probe.getresponse().status == 200
    except OSError:
        return False
    finally:
        probe.close()
