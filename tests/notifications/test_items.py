"""Series of like events: a reader sees the events one by one, whatever the row looks like."""

from __future__ import annotations

import json

import pytest

from notifications import pg
from notifications.items import expand, searched, series_head, series_text, series_topics
from notifications.log import LogEvent, append_encoded, read_after
from notifications.ticker import Ticker

IDS = [7, 3, *range(20, 40)]
PLAIN = ["test.other", ["test:1", "ops"], {"n": 1}]


def row(ids: list[int] = IDS) -> tuple[list[str], str]:
    """A series between two single events, as topics and items."""
    series = series_text(series_head("test.done", ["queue:q"], {"state": 'a"b'}, "job"), ids)
    single = json.dumps(PLAIN)
    return ["queue:q", "test:1", "ops", *series_topics("job", ids)], f"[{single},{series},{single}]"


def test_a_series_is_as_many_events_as_it_has_ids() -> None:
    events = list(expand(json.loads(row()[1])))
    assert [index for index, *_ in events] == list(range(len(IDS) + 2))
    assert events[0][1:] == ("test.other", ("test:1", "ops"), {"n": 1})
    assert events[1][1:] == ("test.done", ("job:7", "queue:q"), {"job": 7, "state": 'a"b'})
    assert [payload["job"] for _, _, _, payload in events[1:-1]] == IDS


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"queue:q"}, list(range(1, len(IDS) + 1))),
        ({"job:3"}, [2]),
        ({"job:21", "ops"}, [0, 4, len(IDS) + 1]),
        ({"job:*"}, []),
        ({"job:4"}, []),
    ],
)
def test_a_reader_gets_the_events_of_its_topics(wanted: set[str], found: list[int]) -> None:
    assert [index for index, *_ in expand(json.loads(row()[1]), frozenset(wanted))] == found


@pytest.mark.parametrize(("count", "named"), [(10, True), (11, False)])
def test_few_are_named_one_by_one(count: int, *, named: bool) -> None:
    """A row that tells of one or two jobs is not opened for those who listen to another."""
    ids = list(range(count))
    assert (series_topics("job", ids) == ["job:*"]) is not named
    assert set(series_topics("job", ids)) & set(searched(["job:5"]))
    assert bool(set(series_topics("job", ids)) & set(searched(["job:77"]))) is not named


@pytest.fixture
def kept(ticker: Ticker, transactional_db: None) -> list[LogEvent]:
    topics, items = row()
    with pg.connect_for_log(name="test") as connection, connection.cursor() as cursor:
        append_encoded(cursor, topics=topics, items=items)
        connection.commit()
    ticker.tick()
    return list(read_after(None, limit=1000).events)


def test_resuming_inside_a_series_goes_on_behind_the_event(kept: list[LogEvent]) -> None:
    assert len(kept) == len(IDS) + 2
    for number, event in enumerate(kept):
        rest = read_after(event.position, limit=5).events
        assert list(rest) == kept[number + 1 : number + 6]


def test_who_listens_to_one_job_finds_it_in_a_series(kept: list[LogEvent]) -> None:
    (found,) = read_after(None, ["job:25"], limit=10).events
    assert found.topics == ("job:25", "queue:q")
    assert found in kept
    assert not read_after(None, ["job:*"], limit=10).events


def test_without_the_wider_search_the_row_would_be_passed_over(
    kept: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    monkeypatch.setattr("notifications.reading.searched", list)
    assert not read_after(None, ["job:25"], limit=10).events
