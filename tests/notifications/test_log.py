"""The promise of the log: every committed event once, in causal order, or `reset`; never a silent hole."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import pg
from notifications.errors import NotificationsError
from notifications.log import MAX_ITEMS, EventDraft, Position, append, read_after, state
from notifications.statements import statement
from notifications.ticker import Ticker
from tests.notifications.conftest import Connect
from tests.notifications.reading import draft, events_from, everything


def test_a_long_transaction_delays_only_its_own_events(connect: Connect, ticker: Ticker) -> None:
    long, short = connect(autocommit=False), connect()
    append(long.cursor(), [draft(n="long")])
    for n in range(3):
        append(short.cursor(), [draft(n=n)])
        assert ticker.tick().made == 1
    assert [e.payload["n"] for e in everything()] == [0, 1, 2]
    long.commit()
    assert ticker.tick().made == 1
    assert [e.payload["n"] for e in everything()] == [0, 1, 2, "long"]


def test_an_old_transaction_does_not_make_ticks_and_pages_slower(connect: Connect, ticker: Ticker) -> None:
    """The scans begin at the last snapshot's xmax, not at its xmin: rows read, as PostgreSQL counted them."""
    old, short = connect(autocommit=False), pg.connect_for_log(name="test")
    append(old.cursor(), [draft(n="old")])
    with short.transaction():
        for n in range(3000):
            append(short.cursor(), [draft(n=n)])
    ticker.tick()
    before = state(connection.cursor()).newest
    append(short.cursor(), [draft(n="new")])
    short.execute("ANALYZE notifications_event")
    explained = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement("make_tick")
    row = short.execute(explained).fetchone()
    assert row is not None
    newest = state(connection.cursor()).newest
    assert newest == before + 1, "what was explained made the tick"
    found = {"tick": newest, "row": 0, "upto": newest, "topics": None, "limit": 50}
    page = short.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement("read_rows"), found).fetchone()
    assert page is not None
    assert page[0][0]["Plan"]["Actual Rows"] == 1, "the new event"
    for plan in (row[0][0]["Plan"], page[0][0]["Plan"]):
        assert 1 <= _rows_read(plan) < 100
    short.close()


def _rows_read(plan: dict[str, Any]) -> float:
    own = 0.0
    if plan.get("Relation Name") == "notifications_event":
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(_rows_read(child) for child in plan.get("Plans", ()))


def test_resuming_anywhere_equals_the_uninterrupted_stream(connect: Connect, ticker: Ticker) -> None:
    """For any position, page size and set of topics."""
    chance = random.Random(5)
    writers = [connect(autocommit=False) for _ in range(4)]
    for n in range(60):
        writer = chance.choice(writers)
        batch = [draft(f"test:{chance.randrange(4)}", n=n, i=i) for i in range(chance.randrange(1, 5))]
        append(writer.cursor(), batch)
        if chance.random() < 0.6:
            writer.commit() if chance.random() < 0.8 else writer.rollback()
        if chance.random() < 0.3:
            ticker.tick()
    for writer in writers:
        writer.commit()
    ticker.tick()
    whole = everything()
    assert len(whole) > 70

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.integers(0, len(whole) - 1),
        st.integers(1, 40),
        st.none()
        | st.sets(st.integers(0, 3), min_size=1).map(lambda some: [f"test:{n}" for n in sorted(some)]),
    )
    def resume(at: int, limit: int, topics: list[str] | None) -> None:
        rest = [e for e in whole[at + 1 :] if topics is None or not set(topics).isdisjoint(e.topics)]
        place = Position.parse(str(whole[at].position))
        assert events_from(place, topics, limit) == rest

    resume()


def test_a_position_moves_on_when_no_event_matches(ticker: Ticker, publish: Callable[..., None]) -> None:
    publish("test:1")
    ticker.tick()
    page = read_after(None, ["test:2"])
    assert not page.events
    assert page.position == state(connection.cursor()).head


def test_events_of_a_rolled_back_change_never_happened(ticker: Ticker, transactional_db: None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        append(cursor, [draft()])
        transaction.set_rollback(True)
    assert ticker.tick().made == 0


def test_large_appends_become_rows_of_500(ticker: Ticker, connect: Connect) -> None:
    append(connect().cursor(), [draft(n=n) for n in range(2 * MAX_ITEMS + 1)])
    ticker.tick()
    events = everything(limit=333)
    assert [e.payload["n"] for e in events] == list(range(2 * MAX_ITEMS + 1))
    assert len({e.position.row for e in events}) == 3


def test_payloads_come_back_as_they_went_in(ticker: Ticker, connect: Connect) -> None:
    payloads: list[dict[str, Any]] = [{"t": "\x00\ud800 \u2028"}, {"deep": [[{}]]}, {"big": 2**70}]
    append(connect().cursor(), [draft(**payload) for payload in payloads])
    ticker.tick()
    assert [event.payload for event in everything()] == payloads


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "", "topics": ("a",)},
        {"kind": "a\nb", "topics": ("a",)},
        {"kind": "a", "topics": ()},
        {"kind": "a", "topics": ("a b",)},
        {"kind": "a", "topics": ("a,b",)},
    ],
)
def test_a_draft_that_nobody_could_receive_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(NotificationsError):
        EventDraft(payload={}, **broken)


def test_nan_is_refused_before_it_reaches_the_database(connect: Connect) -> None:
    with pytest.raises(ValueError, match="JSON"):
        append(connect().cursor(), [draft(n=float("nan"))])


@pytest.mark.parametrize(
    "text", ["", "1", "a-b-c-d", "0123abcd-1-1", "0123abcd--1-1-0", "0123abcd-1-1-0\n", "٣-1-1-1"]
)
def test_only_positions_are_positions(text: str) -> None:
    with pytest.raises(NotificationsError):
        Position.parse(text)


@given(st.integers(0, 10**17), st.integers(0, 10**17), st.integers(0, 9999))
def test_a_position_is_read_back_as_written(tick: int, row: int, index: int) -> None:
    place = Position(epoch="00ff00ff", tick=tick, row=row, index=index)
    assert Position.parse(str(place)) == place
