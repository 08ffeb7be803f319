"""`manage.py runworker`: run jobs. (Ours; Channels has a command of the same name, see `checks.py`.)"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from jobs import conf
from jobs.errors import ConfigurationError, InvalidSubmission
from jobs.handlers import processes
from jobs.management import reading
from jobs.registry import NAME
from jobs.seat import Seat
from jobs.supervisor import Supervisor
from jobs.worker import BEGIN_ANEW, Options, Worker

__all__ = ["Command"]

MAX_CONCURRENCY = 1000
MAX_PROCESSES = 64
MAX_NAME = 190
"""What the table takes, less the number that each of several processes adds."""
LEAVE_SECONDS = 3.0


class Command(BaseCommand):
    help = (
        "Run jobs. TERM or Ctrl-C drains: nothing new is taken, what runs may end; a second one stops now. "
        "Jobs that did not end go back without costing an attempt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", default="", help="Comma-separated; default: all queues.")
        parser.add_argument(
            "--concurrency", type=int, default=8, help="Jobs at once in each process (default 8)."
        )
        parser.add_argument("--processes", type=int, default=1, help="Worker processes (default 1).")
        parser.add_argument(
            "--strict",
            action="store_true",
            help="Take from the queues in the order of --queues: from a later one only what the earlier ones leave. "
            "Default: shares by the queues' weights.",
        )
        parser.add_argument("--name", default="", help="Shown in the list of workers; default: host and pid.")

    def handle(self, *_: Any, **options: Any) -> None:
        queues = _checked(options)
        # What Django opened while starting must not be shared by forked processes.
        connections.close_all()

        seats = [Seat() for _ in range(options["processes"])]

        def child(parent: int | None, number: int) -> int:
            name = options["name"] and (
                f"{options['name']}-{number}" if options["processes"] > 1 else options["name"]
            )
            worker = Worker(
                Options(
                    queues=queues,
                    concurrency=options["concurrency"],
                    name=name,
                    parent=parent,
                    seat=seats[number],
                    strict=options["strict"],
                )
            )
            try:
                return worker.run()
            finally:
                # Here, as a process may end without exit handlers, or go on as another program.
                processes.end_all()

        if options["processes"] == 1:
            code = child(None, 0)
            if code == BEGIN_ANEW:
                _begin_anew()
            _leave(code)
        sys.exit(Supervisor(count=options["processes"], child=child).run())


def _begin_anew() -> NoReturn:
    """The same process with a new program: whatever its threads were stuck in is gone."""
    logging.getLogger("opsched.worker").error("the worker begins anew")
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - its own command line once more


def _leave(code: int) -> NoReturn:
    """End the process, also where a handler left a thread that hangs, which the interpreter would join for ever."""
    patience = threading.Timer(LEAVE_SECONDS, os._exit, [code])
    patience.daemon = True
    patience.start()
    sys.exit(code)


def _checked(options: dict[str, Any]) -> list[str]:
    """The queues. Raises CommandError, before anything is started."""
    try:
        reading.refuse_other_than_utf8(options)
        conf.get()
    except (InvalidSubmission, ConfigurationError) as error:
        raise CommandError(str(error), returncode=2) from None
    queues = _queues(options["queues"])
    if options["strict"] and not queues:
        raise CommandError("--strict needs --queues, which says in what order.", returncode=2)
    if len(options["name"]) > MAX_NAME:
        raise CommandError(f"--name has more than {MAX_NAME} characters.", returncode=2)
    _within("--concurrency", options["concurrency"], MAX_CONCURRENCY)
    _within("--processes", options["processes"], MAX_PROCESSES)
    return queues


def _queues(named: str) -> list[str]:
    queues = [word.strip() for word in named.split(",") if word.strip()]
    if named.strip() and not queues:
        raise CommandError(f'--queues "{named}" names no queue.', returncode=2)
    for queue in queues:
        if not NAME.match(queue):
            raise CommandError(f'"{queue}" is no name of a queue.', returncode=2)
    return queues


def _within(what: str, value: int, high: int) -> None:
    if not 1 <= value <= high:
        raise CommandError(f"{what} must be within 1..{high}, not {value}.", returncode=2)
