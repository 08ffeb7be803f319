"""The promise of the log: every committed event once, in causal order, or `reset`; never a silent hole."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications import epoch, pg, retention
from notifications.errors import NotificationsError
from notifications.log import MAX_ITEMS, EventDraft, LogEvent, Position, append, read_after, state
from notifications.statements import statement
from notifications.ticker import Ticker
from tests.support import leading

Connect = Callable[..., psycopg.Connection[tuple[Any, ...]]]


def _draft(topic: str = "test:1", **payload: Any) -> EventDraft:
    return EventDraft(kind="test.happened", topics=(topic,), payload=payload)


def _everything(topics: list[str] | None = None, limit: int = 100) -> list[LogEvent]:
    return _from(None, topics, limit)


def _from(position: Position | None, topics: list[str] | None = None, limit: int = 100) -> list[LogEvent]:
    found: list[LogEvent] = []
    while True:
        page = read_after(position, topics, limit)
        assert not page.reset
        found += page.events
        position = page.position
        if not page.more:
            return found


def test_a_long_transaction_delays_only_its_own_events(connect: Connect, ticker: Ticker) -> None:
    long, short = connect(autocommit=False), connect()
    append(long.cursor(), [_draft(n="long")])
    for n in range(3):
        append(short.cursor(), [_draft(n=n)])
        assert ticker.tick().made == 1
    assert [e.payload["n"] for e in _everything()] == [0, 1, 2]
    long.commit()
    assert ticker.tick().made == 1
    assert [e.payload["n"] for e in _everything()] == [0, 1, 2, "long"]


def test_an_old_transaction_does_not_make_ticks_and_pages_slower(connect: Connect, ticker: Ticker) -> None:
    """The scans begin at the last snapshot's xmax, not at its xmin: rows read, as PostgreSQL counted them."""
    old, short = connect(autocommit=False), pg.connect_for_log(name="test")
    append(old.cursor(), [_draft(n="old")])
    with short.transaction():
        for n in range(3000):
            append(short.cursor(), [_draft(n=n)])
    ticker.tick()
    before = state(connection.cursor()).newest
    append(short.cursor(), [_draft(n="new")])
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
        batch = [_draft(f"test:{chance.randrange(4)}", n=n, i=i) for i in range(chance.randrange(1, 5))]
        append(writer.cursor(), batch)
        if chance.random() < 0.6:
            writer.commit() if chance.random() < 0.8 else writer.rollback()
        if chance.random() < 0.3:
            ticker.tick()
    for writer in writers:
        writer.commit()
    ticker.tick()
    whole = _everything()
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
        assert _from(place, topics, limit) == rest

    resume()


def test_a_position_moves_on_when_no_event_matches(ticker: Ticker, publish: Callable[..., None]) -> None:
    publish("test:1")
    ticker.tick()
    page = read_after(None, ["test:2"])
    assert not page.events
    assert page.position == state(connection.cursor()).head


def test_events_of_a_rolled_back_change_never_happened(ticker: Ticker, transactional_db: None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        append(cursor, [_draft()])
        transaction.set_rollback(True)
    assert ticker.tick().made == 0


def test_large_appends_become_rows_of_500(ticker: Ticker, connect: Connect) -> None:
    append(connect().cursor(), [_draft(n=n) for n in range(2 * MAX_ITEMS + 1)])
    ticker.tick()
    events = _everything(limit=333)
    assert [e.payload["n"] for e in events] == list(range(2 * MAX_ITEMS + 1))
    assert len({e.position.row for e in events}) == 3


def test_payloads_come_back_as_they_went_in(ticker: Ticker, connect: Connect) -> None:
    payloads: list[dict[str, Any]] = [{"t": "\x00\ud800 \u2028"}, {"deep": [[{}]]}, {"big": 2**70}]
    append(connect().cursor(), [_draft(**payload) for payload in payloads])
    ticker.tick()
    assert [event.payload for event in _everything()] == payloads


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
        append(connect().cursor(), [_draft(n=float("nan"))])


def test_what_cannot_be_continued_is_reset(ticker: Ticker, publish: Callable[..., None]) -> None:
    publish()
    ticker.tick()
    log = state(connection.cursor())
    lost = {
        "no position": "nonsense",
        "another epoch": f"ffffffff-{log.newest}-1-0",
        "the future": f"{log.epoch}-{log.newest + 1}-7-0",
        "a future mark": f"{log.epoch}-{log.newest + 2}-0-0",
        "before the oldest": f"{log.epoch}-{log.oldest}-1-0",
    }
    for why, position in lost.items():
        page = read_after(position)
        assert page.reset, why
        assert page.position == log.head


def test_a_new_epoch_resets_every_position_and_repeats_nothing(
    ticker: Ticker, publish: Callable[..., None]
) -> None:
    publish(n=1)
    ticker.tick()
    before = read_after(None).position
    assert epoch.new_epoch() == state(connection.cursor()).epoch
    publish(n=2)
    ticker.tick()
    assert read_after(before).reset
    assert [e.payload["n"] for e in _everything()] == [2]


def test_rows_from_another_cluster_begin_a_new_epoch_by_themselves(
    ticker: Ticker, publish: Callable[..., None], connect: Connect
) -> None:
    """After a dump and restore the rows carry ids that this cluster has not reached; they must not tick for ever."""
    publish(n="old")
    ticker.tick()
    before = read_after(None)
    ticker.stop()
    other = connect()
    other.execute("UPDATE notifications_epoch SET lineage = 'another cluster'")
    other.execute("UPDATE notifications_event SET xid = '9000000000'")
    again = Ticker()
    try:
        leading(again)
        assert again.tick().made == 0
        publish(n="new")
        again.tick()
    finally:
        again.stop()
    assert read_after(before.position).reset
    assert [e.payload["n"] for e in _everything()] == ["new"]


def test_pruning_resets_the_past_and_keeps_the_rest(
    ticker: Ticker, publish: Callable[..., None], connect: Connect
) -> None:
    for n in range(10):
        publish(n=n)
        ticker.tick()
    whole = _everything()
    at = connect()
    at.execute(
        "UPDATE notifications_event SET at = at - interval '1 day' WHERE id <= %s", [whole[4].position.row]
    )
    at.execute(
        "UPDATE notifications_tick SET at = at - interval '1 day' WHERE id <= %s", [whole[4].position.tick]
    )
    gone = retention.prune(timezone.now() - timedelta(hours=12), batch=2)
    assert gone.rows == 5
    assert [e.payload["n"] for e in _everything()] == [5, 6, 7, 8, 9]
    assert read_after(whole[3].position).reset
    assert _from(Position.mark(whole[4].position.epoch, whole[4].position.tick)) == whole[5:]
    assert _from(whole[6].position) == whole[7:]


def test_pruning_keeps_an_old_event_that_was_committed_late(
    ticker: Ticker, publish: Callable[..., None], connect: Connect
) -> None:
    late = connect(autocommit=False)
    append(late.cursor(), [_draft(n="late")])
    late.execute("UPDATE notifications_event SET at = at - interval '1 day'")
    publish(n=1)
    ticker.tick()
    connect().execute("UPDATE notifications_tick SET at = at - interval '1 day'")
    late.commit()
    retention.prune(timezone.now() - timedelta(hours=12))
    ticker.tick()
    assert [e.payload["n"] for e in _everything()] == ["late"]


def test_a_page_that_races_with_pruning_says_reset(
    ticker: Ticker, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at the log's state and reading the rows, everything is pruned."""
    from notifications import reading

    for n in range(3):
        publish(n=n)
        ticker.tick()
    start = _everything()[0].position
    rows = reading._rows

    def pruned_meanwhile(*args: Any) -> Any:
        retention.prune(timezone.now() + timedelta(days=1))
        return rows(*args)

    monkeypatch.setattr(reading, "_rows", pruned_meanwhile)
    assert read_after(start).reset


def test_an_emptied_log_begins_again(ticker: Ticker, publish: Callable[..., None], connect: Connect) -> None:
    publish(n=1)
    ticker.tick()
    before = read_after(None).position
    connect().execute("TRUNCATE notifications_event, notifications_tick, notifications_epoch")
    publish(n=2)
    assert ticker.tick().made == 1
    assert read_after(before).reset
    assert [e.payload["n"] for e in _everything()] == [2]


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
