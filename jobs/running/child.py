"""What runs in a child process: one handler after the other, as the worker sends them.

The main thread runs handlers; a second one reads what the worker says (the next job, a cancel) and ends the process
when the worker is gone. Nothing here writes to a job: outcome, log lines and progress go back through the pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

import django
from django.apps import apps
from django.db import connections

from jobs import completion, conf
from jobs.context import Report
from jobs.errors import MemoryLimit, UnknownKind
from jobs.outcomes import Failed, Outcome
from jobs.registry import JobKind, registry
from jobs.running.attempts import Attempts
from jobs.running.cleaning import clean_connections
from jobs.running.coroutines import until_cancelled
from jobs.running.footprint import Footprint
from jobs.running.memory import data_bytes, limited, volunteer
from jobs.running.parentage import end_with_parent
from jobs.running.wire import encode_outcome
from jobs.store.values import ClaimedJob

__all__ = ["Ground", "main"]

logger = logging.getLogger("opsched.worker")

# A child that has grown by more than this is not given another job: the next one shall not pay for the last one's leak.
GROWTH_AT_MOST = 64 * 1024 * 1024
_CONNECTION_KEYS = ("NAME", "USER", "PASSWORD", "HOST", "PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a child needs to stand where its worker stands. `databases`: by alias, what connections are made with."""

    environment: Mapping[str, str]
    databases: Mapping[str, Mapping[str, Any]]
    max_result: int

    @classmethod
    def here(cls) -> Ground:
        """Where this process, the worker, stands."""
        databases = {
            alias: {key: connections.settings[alias][key] for key in _CONNECTION_KEYS}
            for alias in connections.settings
        }
        return cls(environment=dict(os.environ), databases=databases, max_result=conf.get().MAX_RESULT_BYTES)


def main(pipe: Connection, ground: Ground) -> None:
    """The whole life of a child; ends when the worker closes its end of the pipe."""
    end_with_parent()
    os.setpgid(0, 0)  # one signal ends it with all it has started
    for number in (signal.SIGTERM, signal.SIGINT):
        # A terminal and a service manager signal everybody; the worker decides how long a child may go on. No
        # SIG_IGN, because programs that the handler starts would inherit it.
        signal.signal(number, _stay)
    volunteer()
    _Child(pipe, ground).serve()


def _stay(number: int, frame: Any) -> None:
    logging.getLogger("opsched.worker").debug(
        "child %d leaves the signal %d to its worker", os.getpid(), number
    )


class _Child:
    def __init__(self, pipe: Connection, ground: Ground) -> None:
        self._pipe = pipe
        self._ground = ground
        self._jobs: SimpleQueue[tuple[ClaimedJob, str]] = SimpleQueue()
        self._sending = threading.Lock()
        self._attempts = Attempts(report=self._report)
        self._asked: dict[tuple[int, int], str] = {}
        self._size = 0
        self._pid = os.getpid()

    def serve(self) -> None:
        os.environ.clear()
        os.environ.update(self._ground.environment)
        if not apps.ready:
            django.setup()
        for alias, values in self._ground.databases.items():
            connections.settings[alias].update(values)
        self._size = data_bytes()
        threading.Thread(target=self._listen, name="opsched-child-listen", daemon=True).start()
        footprint = Footprint()  # after the first thread: with it the C library installs a handler of its own
        while True:
            job, module = self._jobs.get()
            outcome = self._run(job, module)
            spent = data_bytes() - self._size > GROWTH_AT_MOST or footprint.has_changed()
            answer = encode_outcome(outcome, max_result=self._ground.max_result)
            self._send(f'["ended",{job.id},{job.attempt},{answer},{json.dumps(spent)}]')

    # -- the pipe ------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while True:
                word, *rest = self._pipe.recv()
                if word == "run":
                    self._jobs.put((rest[0], rest[1]))
                else:
                    self._cancel(*rest)
        except (EOFError, OSError):
            # The worker has closed the pipe or is gone; a handler that still runs has nobody to answer to.
            os._exit(0)

    def _cancel(self, job_id: int, attempt: int, reason: str) -> None:
        # Noted first and looked up then, as `_run` does the other way round: one of the two sees the other.
        self._asked[job_id, attempt] = reason
        context = self._attempts.running.get(job_id)
        if context is not None and context.attempt == attempt:
            context.request_cancel(reason)

    def _report(self, report: Report) -> None:
        # A copy that the handler forked holds the same pipe: two who write to it at once make one word of two.
        if os.getpid() == self._pid:
            self._send(json.dumps(["report", report]))

    def _send(self, text: str) -> None:
        with self._sending:
            self._pipe.send_bytes(text.encode("utf-8", "replace"))

    # -- one job -------------------------------------------------------------------------------------------------------

    def _run(self, job: ClaimedJob, module: str) -> Outcome:
        began = time.monotonic()
        try:
            kind = _find(job.kind, module)
            context = self._attempts.begin(kind, job, began)
            if (job.id, job.attempt) in self._asked:
                context.request_cancel(self._asked[job.id, job.attempt])
        except Exception as error:  # noqa: BLE001 - importing a handler's module runs user code
            return completion.failure(error)
        try:
            with limited(kind.memory_mb):
                answer = kind.fn(context, context.payload)
                if inspect.isawaitable(answer):
                    answer = asyncio.run(until_cancelled(context, answer))
                outcome = completion.outcome_of(answer)
        except BaseException as error:  # noqa: BLE001 - the boundary around user code: whatever it raises is its outcome
            if self._is_a_copy():
                _leave(error)
            outcome = _failure(error, kind)
        else:
            if self._is_a_copy():
                _leave(None)
        finally:
            self._attempts.forget(context)
            self._asked.clear()
            clean_connections()
        return outcome

    def _is_a_copy(self) -> bool:
        """A handler that forked comes back here twice: the copy has no attempt, and nothing to say or to tidy up."""
        return os.getpid() != self._pid


def _leave(error: BaseException | None) -> NoReturn:
    """End a copy as the interpreter would, without its farewells: the connections are those of the original."""
    code = error.code if isinstance(error, SystemExit) else int(error is not None)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _find(name: str, module: str) -> JobKind:
    """The kind as this process knows it. The worker names the module of its own registry, never the database."""
    if name not in registry:
        __import__(module)
    if name not in registry:
        raise UnknownKind(name)
    return registry.get(name)


def _failure(error: BaseException, kind: JobKind) -> Outcome:
    told = completion.failure(error)
    if isinstance(error, MemoryError) and kind.memory_mb is not None and isinstance(told, Failed):
        message = f"the attempt needed more than its {kind.memory_mb} MB of memory"
        return completion.failed(MemoryLimit, message, traceback=told.traceback)
    return told
