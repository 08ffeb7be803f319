"""The promise of the log with many writers at once, and a reader by id that breaks it."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import psycopg

from notifications.log import append, read_after
from notifications.ticker import Ticker
from tests.notifications.conftest import Connect
from tests.notifications.reading import draft

WRITERS, TRANSACTIONS = 8, 25


def _write(writer: psycopg.Connection[Any], number: int, committed: list[tuple[int, int]]) -> None:
    """Short and long transactions, rollbacks, savepoints, and a chain whose links depend on each other."""
    chance = random.Random(number)
    with writer:  # whatever fails here ends its transaction, or the others would wait for it for ever
        _transactions(writer, number, committed, chance)


def _transactions(
    writer: psycopg.Connection[Any], number: int, committed: list[tuple[int, int]], chance: random.Random
) -> None:
    for n in range(TRANSACTIONS):
        cursor = writer.cursor()
        chained = chance.random() < 0.3
        link = None
        if chained:
            cursor.execute("UPDATE test_chain SET n = n + 1 RETURNING n")
            (link,) = cursor.fetchone() or (None,)
        append(cursor, [draft(f"test:{number}", writer=number, n=n, link=link)])
        if chance.random() < 0.3:
            with writer.transaction(force_rollback=True):
                append(cursor, [draft(f"test:{number}", writer=number, n=-1)])
        # A transaction's length is the subject here, not something to wait for.
        time.sleep(0.15 if not chained and chance.random() < 0.1 else chance.random() * 0.004)
        if chance.random() < 0.15:
            writer.rollback()
        else:
            writer.commit()
            committed.append((number, n))


def _naive(cursor: psycopg.Cursor[Any], last: int) -> list[tuple[int, Any]]:
    cursor.execute("SELECT id, items::text FROM notifications_event WHERE id > %s ORDER BY id", [last])
    return [(row, json.loads(items)[0][2]) for row, items in cursor.fetchall()]


def test_eight_writers_lose_nothing_while_a_reader_by_id_does(connect: Connect, ticker: Ticker) -> None:
    """Every committed event exactly once and in causal order; the reader by `id > cursor` is the negative control."""
    setup, reader = connect(), connect()
    setup.execute("CREATE TABLE test_chain AS SELECT 0 AS n")
    committed: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=_write, args=(connect(autocommit=False), w, committed))
        for w in range(WRITERS)
    ]
    seen: list[Any] = []
    naive: set[tuple[int, int]] = set()
    last, place = 0, None
    try:
        for thread in threads:
            thread.start()
        alive = True
        while alive:
            alive = any(thread.is_alive() for thread in threads)
            ticker.tick()
            page = read_after(place, limit=50, cursor=reader.cursor())
            while page.events:
                seen += [event.payload for event in page.events]
                page = read_after(page.position, limit=50, cursor=reader.cursor())
            place = page.position
            rows = _naive(reader.cursor(), last)
            last = max([last, *(row for row, _ in rows)])
            naive.update((payload["writer"], payload["n"]) for _, payload in rows)
    finally:
        for thread in threads:
            thread.join()
        setup.execute("DROP TABLE test_chain")
    got = [(payload["writer"], payload["n"]) for payload in seen]
    assert len(committed) > 100
    assert sorted(got) == sorted(committed)
    for writer in range(WRITERS):
        own = [n for w, n in got if w == writer]
        assert own == sorted(own)
    links = [payload["link"] for payload in seen if payload["link"] is not None]
    assert links == sorted(links)
    assert len(links) > 10
    assert len(naive) < len(committed), "the control saw everything, so this run has proved nothing"
