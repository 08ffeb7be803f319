"""`/events`: the log in pages, each event once, for those who may read its topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from notifications.ticker import Ticker
from tests.support import leading


@pytest.fixture
def ticked(transactional_db: None) -> Iterator[Callable[[], object]]:
    ticker = leading(Ticker(name="test ticker"))
    yield ticker.tick
    ticker.stop()


@pytest.mark.django_db(transaction=True)
def test_events_are_read_in_pages_each_once(
    operator: Any, viewer: Any, submit: Callable[..., int], ticked: Callable[[], object]
) -> None:
    jobs = [submit() for _ in range(3)]
    ticked()
    wanted = ",".join(f"job:{job}" for job in jobs)
    seen, after = [], ""
    for _ in range(5):
        page = viewer.ask("GET", f"/events?topics={wanted}&limit=1&after={after}").json()
        seen += [event["data"]["job"] for event in page["events"]]
        after = page["position"]
        assert not page["reset"]
    assert seen == jobs
    unknown = viewer.ask("GET", f"/events?topics={wanted}&after=00000000-1-1-0").json()
    assert unknown["reset"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "topics"),
        ("?topics=", 400, "topics"),
        ("?topics=job:1,%00", 400, "topics"),
        ("?topics=job:1&limit=0", 400, "limit"),
        ("?topics=job:1&limit=201", 400, "limit"),
        ("?topics=job:1&limit=x", 400, "limit"),
        ("?topics=job:1&after=" + "9" * 101, 400, "after"),
        ("?topics=job:1&topic=2", 400, "topic"),
        ("?topics=" + ",".join(f"job:{n}" for n in range(60)), 400, "topics"),
        ("?topics=nobody:1", 403, None),
    ],
)
def test_bad_questions_are_refused(viewer: Any, query: str, status: int, field: str | None) -> None:
    answer = viewer.ask("GET", "/events" + query)
    assert answer.status_code == status
    assert field is None or answer.json()["errors"][0]["field"] == field


def test_a_stranger_may_not_read_what_the_views_would_not_show(db: None) -> None:
    from tests.jobs.api.conftest import calling, person

    assert calling(person("nobody")).ask("GET", "/events?topics=job:1").status_code == 403
