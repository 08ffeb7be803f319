"""A subscriber in this process, writers beside it, and what its stream brought against what the log holds."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from notifications.connections import Connection, Identity
from notifications.log import EventDraft, append, read_after
from tests.notifications.conftest import Connect

TOPICS = [f"test:{n}" for n in range(4)]


def subscriber(limit: int = 1_000_000) -> Connection:
    return Connection(identity=Identity(user_id=1, fingerprint=()), protocol="ws", limit=limit)


@contextmanager
def writing(connect: Connect, padding: int = 0) -> Iterator[threading.Event]:
    """Three writers with transactions of random length, until the event is set or the block ends."""
    stop = threading.Event()

    def write(writer: psycopg.Connection[Any], number: int) -> None:
        chance, n = random.Random(number), 0
        while not stop.wait(chance.random() * 0.004):
            topics = tuple(chance.sample(TOPICS, 2))
            payload = {"n": n, "w": number, "p": "x" * padding}
            append(writer.cursor(), [EventDraft(kind="test.happened", topics=topics, payload=payload)])
            if chance.random() < 0.8:
                writer.commit()
            n += 1
        writer.commit()

    threads = [threading.Thread(target=write, args=(connect(autocommit=False), n)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join()


async def positions(stream: AsyncIterator[list[bytes]], count: int) -> list[str]:
    found: list[str] = []
    async for frames in stream:
        said = [json.loads(frame) for frame in frames]
        assert all(frame["type"] in {"event", "subscribed"} for frame in said), said
        found += [frame["position"] for frame in said if frame["type"] == "event"]
        if len(found) >= count:
            break
    assert len(found) >= count, "the stream ended"
    return found


def logged(topics: frozenset[str], after: str | None) -> list[str]:
    found: list[str] = []
    while True:
        page = read_after(after, topics, 1000)
        found += [str(event.position) for event in page.events]
        after = str(page.position)
        if not page.more:
            return found
