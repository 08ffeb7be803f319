"""`ctx.once`: run a function with an effect on the outside world unless its key is recorded; keep its result.

The look, the function and the record share one transaction of a connection of their own, which holds an advisory lock
on the key. So two attempts never run the function at the same time, the record is committed before the caller goes on
(also inside an atomic handler, whose own transaction may still roll back), and the lock ends with the process. What
nobody can promise: a crash between the effect and its record. Then the function runs again.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import psycopg

from jobs import conf
from jobs.errors import EffectBusy, EffectNotRecorded, InvalidSubmission, PermanentError
from jobs.loop import DATABASE_AWAY, first_line
from jobs.payloads import encode_json
from jobs.store import effects
from jobs.store.values import ClaimedJob
from notifications.doorbell import ring
from notifications.pg import Backoff, connect

__all__ = ["Scope", "aonce", "once"]

logger = logging.getLogger("opsched.worker")

Scope = Literal["global", "job"]
Result = TypeVar("Result")
MAX_KEY = 200
MAX_DEPTH = 100
LOOK_UP = 1.0
"""Seconds of waiting for another holder after which a handler is asked whether it should stop."""
RECORD_PATIENCE = 30.0
"""Seconds to keep trying to record an effect that has happened while the database is away."""
# `fn` runs between two statements: a limit on silent transactions, which a server may have, would end the lock.
_TERMS = """
    SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', '0', true)
"""


def once(
    job: ClaimedJob, key: str, fn: Callable[[], Any], *, scope: Scope, wait: float, stop: Callable[[], None]
) -> Any:
    """The recorded result of the key, or what `fn` returned just now."""
    _refuse_coroutines(fn)
    turn = _Turn(job, key, scope)
    try:
        found = turn.take(wait, stop)
        return turn.record(_happened(fn())) if found is None else json.loads(found)
    finally:
        turn.close()


def _refuse_coroutines(fn: Callable[[], Any]) -> None:
    """Before anything happens: a coroutine that nobody awaits has no effect, and waiting would stop the event loop."""
    if inspect.iscoroutinefunction(fn):
        raise TypeError("ctx.once cannot run an async function: await ctx.aonce(key, fn) in an async handler")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise TypeError("ctx.once would stop every other async handler of this worker: await ctx.aonce(key, fn)")


def _happened(value: Any) -> Any:
    """The value, unless it is only the promise of an effect; that must not be recorded as one."""
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value):
        value.close()
    raise TypeError("fn returned an awaitable, so its effect has not happened; nothing was recorded")


async def aonce(
    job: ClaimedJob,
    key: str,
    fn: Callable[[], Awaitable[Any] | Any],
    *,
    scope: Scope,
    wait: float,
    stop: Callable[[], None],
) -> Any:
    """`once` for async handlers; `fn` may be a coroutine function. The database is asked in a thread."""
    turn = _Turn(job, key, scope)
    try:
        found = await _in_thread(lambda: turn.take(wait, stop), turn)
        if found is not None:
            return json.loads(found)
        value = fn()
        if inspect.isawaitable(value):
            value = await value
        return await _in_thread(lambda: turn.record(value), turn)
    finally:
        turn.close()


async def _in_thread(work: Callable[[], Result], turn: _Turn) -> Result:
    """A handler that is cancelled meanwhile goes; what the thread has begun, it ends, and closes behind itself."""
    turn.busy = True
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    finally:
        if task.done():
            turn.busy = False
        else:
            turn.abandoned = True
            task.add_done_callback(turn.end_abandoned)


class _Turn:
    """One holder of a key, from the lock to the record. `busy`: a thread uses the connection, which then closes it."""

    def __init__(self, job: ClaimedJob, key: str, scope: Scope) -> None:
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or "\x00" in key:
            raise ValueError(f"the key of an effect is a text of 1 to {MAX_KEY} characters, not {key!r:.100}")
        if scope not in ("global", "job"):
            raise ValueError(f'the scope of an effect is "global" or "job", not {scope!r:.100}')
        self.effect = effects.EffectKey(key=key, scope=job.id if scope == "job" else 0)
        self.busy = self.abandoned = False
        self._job = job
        self._connection: psycopg.Connection[Any] | None = None

    def take(self, wait: float, stop: Callable[[], None]) -> str | None:
        """Become the only one with this key; the recorded result, or None: it is this caller's turn."""
        until = time.monotonic() + wait
        connection = self._open()
        while True:
            left = until - time.monotonic()
            try:
                with connection.cursor() as cursor:
                    patience = f"{max(1, round(min(LOOK_UP, left) * 1000))}ms"
                    cursor.execute(_TERMS, [patience])
                    effects.lock(cursor, self.effect)
                    return effects.find(cursor, self.effect)
            except psycopg.errors.LockNotAvailable:
                connection.rollback()
            if left <= LOOK_UP:
                raise EffectBusy(self.effect.key, wait)
            stop()
            if self.abandoned:
                raise EffectBusy(self.effect.key, wait)

    def record(self, value: Any) -> Any:
        """Commit the record of an effect that has just happened; its result, as every later caller will get it."""
        text, refused = _text_of(value)
        try:
            self._write(text)
        except DATABASE_AWAY as error:
            logger.warning("effect %s: not recorded (%s); trying again", self.effect.key, first_line(error))
            self._write_anew(text)
        ring("opsched_events")
        if refused is not None:
            raise PermanentError(
                f'effect "{self.effect.key}" happened and is recorded, but not its result: {refused}'
            )
        return json.loads(text)

    def _write(self, text: str) -> None:
        assert self._connection is not None  # noqa: S101 - take() comes first
        job = self._job
        with self._connection.cursor() as cursor:
            first = effects.record(
                cursor, self.effect, job=job.id, kind=job.kind, attempt=job.attempt, result=text
            )
        self._connection.commit()
        if not first:
            logger.warning("effect %s: somebody had recorded it before", self.effect.key)

    def _write_anew(self, text: str) -> None:
        """On new connections: the effect has happened, so its record is worth some patience."""
        until, backoff = time.monotonic() + RECORD_PATIENCE, Backoff()
        while True:
            self._drop()
            try:
                self._open()
                return self._write(text)
            except DATABASE_AWAY as error:
                if time.monotonic() > until:
                    raise EffectNotRecorded(self.effect.key) from error
                time.sleep(backoff.next())

    def close(self) -> None:
        """Let the key go. Idempotent; a thread that is still at it does so when it ends."""
        if not self.busy:
            self._drop()

    def end_abandoned(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.info("effect %s: %r, after its handler was cancelled", self.effect.key, task.exception())
        self._drop()

    def _open(self) -> psycopg.Connection[Any]:
        self._connection = connect(autocommit=False, name=f"opsched once {self._job.id}")
        # The look must see what was committed while this waited for the lock, whatever the database's default is.
        self._connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _text_of(value: Any) -> tuple[str, str | None]:
    """The result as JSON text, and why it cannot be kept, if so."""
    try:
        return encode_json(
            value, field="result", max_bytes=conf.get().MAX_RESULT_BYTES, max_depth=MAX_DEPTH
        ), None
    except InvalidSubmission as error:
        return "null", str(error)
