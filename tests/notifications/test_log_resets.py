"""What a reader cannot continue is `reset`: another epoch, the future, what was pruned or emptied; and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from notifications import epoch, retention
from notifications.log import Position, append, read_after, state
from notifications.ticker import Ticker
from tests.notifications.conftest import Connect
from tests.notifications.reading import draft, events_from, everything
from tests.support import leading


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
    assert [e.payload["n"] for e in everything()] == [2]


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
    assert [e.payload["n"] for e in everything()] == ["new"]


def test_pruning_resets_the_past_and_keeps_the_rest(
    ticker: Ticker, publish: Callable[..., None], connect: Connect
) -> None:
    for n in range(10):
        publish(n=n)
        ticker.tick()
    whole = everything()
    at = connect()
    at.execute(
        "UPDATE notifications_event SET at = at - interval '1 day' WHERE id <= %s", [whole[4].position.row]
    )
    at.execute(
        "UPDATE notifications_tick SET at = at - interval '1 day' WHERE id <= %s", [whole[4].position.tick]
    )
    gone = retention.prune(timezone.now() - timedelta(hours=12), batch=2)
    assert gone.rows == 5
    assert [e.payload["n"] for e in everything()] == [5, 6, 7, 8, 9]
    assert read_after(whole[3].position).reset
    assert events_from(Position.mark(whole[4].position.epoch, whole[4].position.tick)) == whole[5:]
    assert events_from(whole[6].position) == whole[7:]


def test_pruning_keeps_an_old_event_that_was_committed_late(
    ticker: Ticker, publish: Callable[..., None], connect: Connect
) -> None:
    late = connect(autocommit=False)
    append(late.cursor(), [draft(n="late")])
    late.execute("UPDATE notifications_event SET at = at - interval '1 day'")
    publish(n=1)
    ticker.tick()
    connect().execute("UPDATE notifications_tick SET at = at - interval '1 day'")
    late.commit()
    retention.prune(timezone.now() - timedelta(hours=12))
    ticker.tick()
    assert [e.payload["n"] for e in everything()] == ["late"]


def test_a_page_that_races_with_pruning_says_reset(
    ticker: Ticker, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at the log's state and reading the rows, everything is pruned."""
    from notifications import reading

    for n in range(3):
        publish(n=n)
        ticker.tick()
    start = everything()[0].position
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
    assert [e.payload["n"] for e in everything()] == [2]
