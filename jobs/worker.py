"""One worker process: its parts, put together, from registration to the last write.

The main thread is the scheduler's loop; signals only set flags. First TERM or INT: drain (nothing new is claimed, what
runs may end within `DRAIN_SECONDS`); second: stop now. Either way what did not end goes back without costing an
attempt. A side loop that dies stops the worker loudly, with exit code 1.
"""

from __future__ import annotations

import gc
import logging
import selectors
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from jobs import conf
from jobs.database import in_transaction, open_connection
from jobs.executor import Executor
from jobs.expiry import Expirer
from jobs.keeping import LetterKeeper
from jobs.loop import DATABASE_AWAY, Loop, first_line
from jobs.maintenance import Heartbeat, Reporter, Rescuer
from jobs.registration import sign_off, write_down
from jobs.registry import Registry, registry
from jobs.retention import Janitor
from jobs.running.overdue import Overdue, TooManyLeftBehind
from jobs.scheduler import Scheduler
from jobs.seat import Seat
from notifications.doorbell import Listener, ring
from notifications.pg import Backoff
from notifications.ticker import Ticker
from notifications.waker import Waker

__all__ = ["BEGIN_ANEW", "Options", "Worker"]

logger = logging.getLogger("opsched.worker")

BEGIN_ANEW = 75
"""Exit code of a worker that wants to be started again: threads are left behind in it that nobody can stop."""

CHANNELS = ("opsched_jobs", "opsched_control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `runworker` was told. No queues: all of them. `parent`: file descriptor that ends with the supervisor.

    `seat`: of one process among several. Whoever is written in it at the start is dead.
    """

    queues: Sequence[str] = ()
    concurrency: int = 8
    name: str = ""
    parent: int | None = None
    seat: Seat = field(default_factory=Seat)
    strict: bool = False
    registry: Registry = field(default_factory=lambda: registry)


class Worker:
    """Build it, `run()` it in the main thread; the exit code comes back."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._settings = conf.get()
        self._waker = Waker()
        self._signals = 0
        self._lost: int | None = None
        self._death: tuple[str, BaseException] | None = None
        self._drain_until = float("inf")
        self._executor = Executor(registry=options.registry, concurrency=options.concurrency, wake=self.wake)
        self._scheduler: Scheduler | None = None
        self._listener: Listener | None = None
        self._selector = selectors.DefaultSelector()

    @property
    def scheduler(self) -> Scheduler:
        assert self._scheduler is not None  # noqa: S101 - made by run() before anything asks
        return self._scheduler

    def wake(self) -> None:
        """End the present wait; from any thread."""
        self._waker.wake()

    def run(self) -> int:
        self._catch_signals()
        try:
            worker_id = self._register()
        except DATABASE_AWAY:
            logger.info("told to stop before there was a database")
            self._close()
            return 0
        self._scheduler = Scheduler(
            worker_id=worker_id,
            queues=self._options.queues,
            registry=self._options.registry,
            executor=self._executor,
            concurrency=self._options.concurrency,
            strict=self._options.strict,
        )
        loops = self._loops()
        self._executor.start()
        for loop in loops:
            loop.start()
        self._watch()
        # What was loaded until here stays for ever: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        logger.info("worker %d ready: %s", worker_id, self._describe())
        try:
            self._serve()
        finally:
            self._end(loops)
        if self._death is None:
            return 0
        return BEGIN_ANEW if isinstance(self._death[1], TooManyLeftBehind) else 1

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _register(self) -> int:
        """Write this process down; waits for a database that is not there yet, until told to stop."""
        backoff = Backoff()
        while True:
            try:
                with open_connection("opsched register") as connection:
                    worker_id: int = in_transaction(connection, self._write_down)
                    self._options.seat.take(worker_id)
                    ring("opsched_events")
                    return worker_id
            except DATABASE_AWAY as error:
                if self._signals:
                    raise
                logger.warning("database away (%s); trying again", first_line(error))
                time.sleep(backoff.next())

    def _write_down(self, cursor: Any) -> int:
        options, scheduler = self._options, self._scheduler
        return write_down(
            cursor,
            seat=options.seat,
            left=None if scheduler is None else (scheduler.worker_id, scheduler.stats),
            name=options.name,
            queues=options.queues,
            kinds=options.registry.names(),
            concurrency=options.concurrency,
            strict=options.strict,
        )

    def _loops(self) -> list[Any]:
        heartbeat = Heartbeat(
            worker_id=lambda: self.scheduler.worker_id,
            executor=self._executor,
            stats=lambda: dict(self.scheduler.stats),
            draining=lambda: self.scheduler.draining,
            on_lost=self._declared_lost,
            on_death=self._died,
        )
        loops: list[Loop] = [
            heartbeat,
            Rescuer(on_death=self._died),
            Reporter(executor=self._executor, on_death=self._died),
            Janitor(on_death=self._died),
            Expirer(on_death=self._died),
            Overdue(
                executor=self._executor,
                stats=lambda: self.scheduler.stats,
                wake=self.wake,
                on_death=self._died,
            ),
            LetterKeeper(on_death=self._died),
        ]
        return [*loops, Ticker()]

    def _describe(self) -> str:
        queues = ", ".join(self._options.queues) or "all"
        return f"queues {queues}, {self._options.concurrency} threads, {len(self._options.registry.names())} kinds"

    def _catch_signals(self) -> None:
        def note(number: int, _: FrameType | None) -> None:
            self._signals += 1
            logger.info(
                "%s: %s", signal.Signals(number).name, "draining" if self._signals == 1 else "stopping now"
            )
            self.wake()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, note)

    def _watch(self) -> None:
        self._listener = Listener(CHANNELS)
        self._selector.register(self._waker, selectors.EVENT_READ, "wake")
        self._selector.register(self._listener.fileno(), selectors.EVENT_READ, "bell")
        if self._options.parent is not None:
            self._selector.register(self._options.parent, selectors.EVENT_READ, "parent")

    def _declared_lost(self, worker_id: int) -> None:
        self._lost = worker_id
        self.wake()

    def _died(self, name: str, error: BaseException) -> None:
        self._death = (name, error)
        self.wake()

    # -- the main loop -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        backoff = Backoff()
        while not self._finished():
            try:
                self._heed()
                self.scheduler.tick()
                backoff.reset()
                self._wait(self.scheduler.wait_seconds())
            except DATABASE_AWAY as error:
                logger.warning("scheduler: database away (%s)", first_line(error))
                self.scheduler.close()
                if self._stops_now():
                    logger.warning(
                        "%d jobs could not be given back; the lease will tell", self.scheduler.held()
                    )
                    return
                self._wait(backoff.next())

    def _heed(self) -> None:
        """Flags that signals and side loops have set."""
        # The heartbeat may hear of it again while this registers anew: what counts is whose loss it was.
        if self._lost == self.scheduler.worker_id:
            logger.error("worker %d was declared lost; starting anew", self.scheduler.worker_id)
            self.scheduler.give_up()
            if still := self._executor.disowned():
                logger.warning("%d of its handlers still run; their places stay taken until they end", still)
            self.scheduler.start_anew(self._register())
        if (self._signals or self._death) and not self.scheduler.draining:
            self.scheduler.draining = True
            self._drain_until = time.monotonic() + self._settings.DRAIN_SECONDS
            self.scheduler.give_back(self._executor.take_back(), "the worker stops")
        if self._stops_now():
            self.scheduler.give_back_all("the worker stops now")

    def _stops_now(self) -> bool:
        return self._signals > 1 or time.monotonic() > self._drain_until

    def _finished(self) -> bool:
        return self.scheduler.draining and self.scheduler.held() == 0

    def _wait(self, seconds: float) -> None:
        assert self._listener is not None  # noqa: S101 - made by run()
        if self.scheduler.draining:
            seconds = min(seconds, 0.1)
        for key, _ in self._selector.select(seconds):
            if key.data == "wake":
                self._waker.heard()
            elif key.data == "parent":
                self._signals = max(1, self._signals)
                self._selector.unregister(key.fileobj)
        # Also when nothing came: the listener makes its connection again here, if it broke.
        self._hear()

    def _hear(self) -> None:
        assert self._listener is not None  # noqa: S101 - made by run()
        rang = self._listener.drain()
        if "opsched_control" in rang:
            self.scheduler.control()
        if rang:
            self.scheduler.bell()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end(self, loops: Sequence[Any]) -> None:
        for loop in reversed(loops):
            loop.stop()
        self._executor.stop()
        sign_off(self.scheduler.worker_id, dict(self.scheduler.stats))
        self.scheduler.close()
        self._close()
        if self._death is not None:
            logger.error("worker %d stopped because %s ended: %r", self.scheduler.worker_id, *self._death)
        else:
            logger.info("worker %d stopped", self.scheduler.worker_id)

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._selector.close()
        self._waker.close()
