"""A client of a database that dies under it: submits jobs one by one, prints the id of each that was acknowledged.

Run as `python -m tests.crash.submitter HISTORY [--backlog COUNT]`: first so many jobs of 100 ms at once, then short
ones until TERM comes. What failed may or may not be there; it goes on with the next.
"""

from __future__ import annotations

import argparse
import signal
import threading

import django

django.setup()

from django.db import InterfaceError, OperationalError, connection  # noqa: E402 - needs the settings

from jobs.handlers.trace import sign_history  # noqa: E402
from jobs.submit import JobSpec, submit_many  # noqa: E402

PAUSE = 0.02


def specs(history: str, tasks: list[str], seconds: float) -> list[JobSpec]:
    return [
        JobSpec(
            kind="workflow.task",
            payload={"task": task, "seconds": seconds, "history": sign_history(history, task)},
            priority=50 if seconds < 0.1 else 0,  # the short ones run beside the backlog, not after it
        )
        for task in tasks
    ]


def acknowledge(tasks: list[str], wanted: list[JobSpec]) -> None:
    for task, placed in zip(tasks, submit_many(wanted), strict=True):
        print("acknowledged", task, placed.id, flush=True)  # noqa: T201 - the protocol


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("history")
    parser.add_argument("--backlog", type=int, default=0)
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for at in range(0, options.backlog, 5_000):
        tasks = [f"p{number}" for number in range(at, min(at + 5_000, options.backlog))]
        acknowledge(tasks, specs(options.history, tasks, 0.1))
    number = 0
    while not stop.wait(PAUSE):
        number += 1
        task = f"t{number}"
        try:
            acknowledge([task], specs(options.history, [task], 0.01))
        except (OperationalError, InterfaceError) as error:
            print("refused", task, str(error).strip().partition("\n")[0], flush=True)  # noqa: T201
            connection.close()
            stop.wait(0.2)  # as a client would before its next request


main()
