"""What a process does for all its connections together: pings, checks of rights, figures. One task per event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from django.db import Error as DatabaseError
from django.utils import timezone

from notifications import access, bus
from notifications.conf import event_settings
from notifications.connections import Connection
from notifications.envelope import Envelope, control, ping
from notifications.hub import Hub
from notifications.position import Position
from notifications.threads import in_thread

__all__ = ["Upkeep", "run"]

log = logging.getLogger(__name__)

_ROUND = 0.25
_EVERYTHING = 10
"""Every so many checks, topics are authorised again for everybody: rights may hang on more than permissions."""


async def run(hub: Hub) -> None:
    """Rounds, until the hub cancels it because nobody is connected."""
    upkeep = Upkeep(hub)
    hub.on_join = upkeep.welcome
    while True:
        upkeep.tick()
        await asyncio.sleep(_ROUND)


class Upkeep:
    """tick() does what is due. Work that takes time runs beside it, each kind once at a time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._check_at = 0.0
        self._checks = 0
        self._figure_at: dict[str, float] = {}
        self._figures: dict[str, Envelope] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def tick(self) -> None:
        """One round."""
        now = monotonic()
        self._hub.keep_reading()
        self._ping(now)
        if now >= self._check_at and self._spawn("check", self._check):
            self._check_at = now + event_settings().RECHECK_SECONDS
        for topic in self._hub.registry.topics & bus.sources().keys():
            if now >= self._figure_at.get(topic, 0.0):
                self._figure(topic, now)

    def welcome(self, connection: Connection) -> None:
        """Give a new listener the last figure at once, if it is a fresh one."""
        for topic in connection.topics & self._figures.keys():
            if monotonic() < self._figure_at.get(topic, 0.0):
                connection.offer(self._figures[topic])

    def _ping(self, now: float) -> None:
        every = event_settings().PING_SECONDS
        place = self._hub.position
        for connection in self._hub.registry.connections:
            if connection.protocol == "sse" and connection.ping_due(now, every):
                connection.put(ping())
                self._tell(connection, place)

    def _tell(self, connection: Connection, place: Position | None) -> None:
        """Move a silent listener's position on, or its next resume would read everybody else's events again."""
        if place is None or not connection.topics or place == connection.told:
            return
        if connection.after is not None and place.key < connection.after.key:
            return  # the client is ahead of this process: its position must not go back
        connection.told = place
        connection.put(control(connection.protocol, "position", position=place))

    async def _check(self) -> None:
        held = list(self._hub.registry.connections)
        holdings = [access.Holding(identity=c.identity, topics=c.topics) for c in held]
        self._checks += 1
        try:
            answers = await in_thread(access.recheck, holdings, everything=self._checks % _EVERYTHING == 0)
        except DatabaseError as problem:
            # Without the database no event can be delivered either; the next round asks again.
            log.warning("Rights of streams could not be checked (%s).", str(problem).strip())
            return
        for connection, answer in zip(held, answers, strict=True):
            if answer is None:
                connection.close("revoked")
            else:
                connection.identity = answer

    def _figure(self, topic: str, now: float) -> None:
        async def push() -> None:
            try:
                payload = await in_thread(source.compute)
            except Exception:  # a source is the host's code: its mistake must not stop the pings
                log.exception("The source of %s failed.", topic)
                return
            envelope = Envelope(
                position=None, kind=topic, topics=(topic,), payload=payload, at=timezone.now()
            )
            self._figures[topic] = envelope
            for connection in self._hub.registry.listeners([topic]):
                connection.offer(envelope)

        source = bus.sources()[topic]
        if self._spawn(topic, push):
            self._figure_at[topic] = now + source.interval

    def _spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start it unless the last one is still at it."""
        running = self._running.get(name)
        if running is not None and not running.done():
            return False
        self._running[name] = asyncio.get_running_loop().create_task(work(), name=f"opsched-{name}")
        return True
