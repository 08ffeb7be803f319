"""The tailer: one thread per web process that reads each new tick once, for all connections, and hands it to the loops.

Works on what the database says; remembers only its place: after a lost connection it goes on from there.
Several pages may make up one tick; hubs get them in order, each page with one call into the loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from notifications import pg
from notifications.conf import event_settings
from notifications.envelope import Envelope
from notifications.epoch import LogState, state
from notifications.errors import LogNotReady
from notifications.listener import Listener
from notifications.position import Position
from notifications.reading import Page, read_page

__all__ = ["Batch", "Tailer", "TailerHub"]

log = logging.getLogger(__name__)

_ALL = 1_000_000_000
_PART = 131_072
_SETTLE = 0.1
"""Seconds that a burst waits for clients to catch up."""
_LINGER_ROUNDS = 5
"""Rounds without any hub, a poll apart, before the thread gives its connections back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a hub gets at once."""

    begins: Position
    """Where the reader stood before: the mark for those who joined since the last batch."""
    position: Position
    """Everything of the hub's topics up to here has been handed over with this batch."""
    envelopes: tuple[Envelope, ...] = ()
    reset: bool = False
    """The log cannot be continued from the last batch; it goes on from `position`."""


class TailerHub(Protocol):
    """What the tailer needs of a hub. Both methods are called from the tailer's thread."""

    def interest(self) -> frozenset[str]:
        """Topics somebody listens to; whoever is counted in here gets the next batches."""

    def deliver(self, batch: Batch) -> bool:
        """Hand over; false when the hub's loop is closed."""

    def settle(self, timeout: float) -> None:
        """Wait until its clients have taken most of what they were offered, or for the time-out."""


class Tailer:
    """attach() / detach() hubs; the thread runs while there are some. tick() does one round."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._hubs: list[TailerHub] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._listener: Listener | None = None
        self._place: Position | None = None

    def attach(self, hub: TailerHub) -> None:
        """Read for this hub too; starts the thread when it does not run. Wakes it in any case."""
        with self._guard:
            if hub not in self._hubs:
                self._hubs.append(hub)
            if not self._start() and self._listener is not None:
                self._listener.wake()

    def ensure(self) -> None:
        """Start the thread if an error ended it: it goes on where it stood, so nobody misses anything."""
        with self._guard:
            if self._hubs:
                self._start()

    def detach(self, hub: TailerHub) -> None:
        """Stop reading for this hub. Idempotent."""
        with self._guard:
            if hub in self._hubs:
                self._hubs.remove(hub)

    def stop(self) -> None:
        """End the thread and give its connections back. Idempotent; attach() starts it again."""
        self._stop.set()
        with self._guard:
            thread = self._thread
            if self._listener is not None:
                self._listener.wake()
        if thread is None:
            self._disconnect()
        elif thread is not threading.current_thread():
            thread.join()

    def tick(self) -> int:
        """One round: hand over what is new. Returns the number of events. Raises psycopg.Error."""
        hubs = self._snapshot()
        if not hubs:
            return 0
        interests = {hub: hub.interest() for hub in hubs}
        with self._connect().cursor() as cursor:
            now = state(cursor)
            if self._place is None:
                self._place = now.head
            if not now.holds(self._place):
                return self._reset(hubs, now)
            return self._read(cursor, now, interests)

    def _read(self, cursor: Any, now: LogState, interests: dict[TailerHub, frozenset[str]]) -> int:
        wanted = frozenset[str]().union(*interests.values())
        place, handed = self._place or now.head, 0
        while True:
            page = read_page(cursor, now, place, topics=wanted, limit=_ALL)
            if page.reset:
                return self._reset(interests, state(cursor))
            for envelopes, end in _parts(page):
                self._deliver(interests, Batch(begins=place, position=end, envelopes=envelopes))
                self._place = place = end
                handed += len(envelopes)
                if page.more or end != page.position:
                    self._settle(interests)
            if not page.more:
                return handed

    def _reset(self, hubs: Iterable[TailerHub], now: LogState) -> int:
        log.warning("The event log cannot be continued from %s; all streams are told so.", self._place)
        self._place = now.head
        self._deliver(hubs, Batch(begins=now.head, position=now.head, reset=True))
        return 0

    def _deliver(self, hubs: Iterable[TailerHub], batch: Batch) -> None:
        for hub in hubs:
            if not hub.deliver(batch):
                self.detach(hub)

    def _settle(self, hubs: Iterable[TailerHub]) -> None:
        """More is to come at once: give healthy clients the time to take what they have.

        A burst would otherwise overflow the buffers of all of them. Who takes nothing delays it by little, and seldom:
        its buffer is soon full, and it is closed.
        """
        for hub in hubs:
            hub.settle(_SETTLE)

    def _snapshot(self) -> list[TailerHub]:
        with self._guard:
            return list(self._hubs)

    def _start(self) -> bool:
        """Under the lock. False when it runs already."""
        if self._thread is not None:
            return False
        self._stop.clear()
        self._listener = Listener(["opsched_ticks"], name="opsched tailer listener")
        self._thread = threading.Thread(target=self._run, name="opsched-tailer", daemon=True)
        self._thread.start()
        return True

    def _run(self) -> None:
        try:
            self._rounds()
        except BaseException:
            log.exception("The tailer ended by an error; it is started again where it stood.")
            with self._guard:
                self._give_back()
            raise

    def _rounds(self) -> None:
        backoff, idle = pg.Backoff(), 0
        while not self._ends(idle):
            try:
                self.tick()
            except (psycopg.Error, LogNotReady) as problem:
                log.warning("The tailer lost the database (%s); it will reconnect.", str(problem).strip())
                self._disconnect()
                self._stop.wait(backoff.next())
                continue
            backoff.reset()
            idle = 0 if self._snapshot() else idle + 1
            if self._listener is not None:
                self._listener.wait(event_settings().POLL_SECONDS)

    def _ends(self, idle: int) -> bool:
        """Decided, and cleaned up, under the lock: an attach() finds the thread running or starts a new one."""
        with self._guard:
            if not self._stop.is_set() and (self._hubs or idle < _LINGER_ROUNDS):
                return False
            self._place = None
            self._give_back()
        return True

    def _give_back(self) -> None:
        self._thread = None
        self._disconnect()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = pg.connect_for_log(name="opsched tailer")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parts(page: Page) -> Iterator[tuple[tuple[Envelope, ...], Position]]:
    """The page in parts of about 128 KB, each with the position behind it. At least one, if an empty one."""
    part: list[Envelope] = []
    size = 0
    for number, event in enumerate(page.events, start=1):
        envelope = Envelope.of(event)
        part.append(envelope)
        size += envelope.size
        if size >= _PART and number < len(page.events):
            yield tuple(part), event.position
            part, size = [], 0
    yield tuple(part), page.position
