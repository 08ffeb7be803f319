"""Start deadlines and deadlines over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.models import Expiring, Job
from tests.jobs.api.conftest import Caller


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_they_are_taken_kept_and_told(operator: Caller) -> None:
    expires, deadline = later(600), later(1200)
    body = {"kind": "api.note", "expires_at": expires, "deadline": deadline}
    answer = operator.ask("POST", "/jobs", body)
    assert answer.status_code == 201
    told = operator.ask("GET", f"/jobs/{answer.json()['id']}").json()["options"]
    assert told == {"expires_at": expires, "deadline": deadline}
    assert Expiring.objects.get().at.isoformat() == expires
    many = operator.ask(
        "POST", "/jobs/bulk", {"jobs": [{"kind": "api.note", "deadline": 90}, {"kind": "api.note"}]}
    )
    assert many.status_code == 201
    assert [one.options for one in Job.objects.order_by("pk")][1:] == [{"deadline": 90.0}, None]
    assert Expiring.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "in the past"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at", "zone"),
        ({"expires_at": 90}, "expires_at", ""),
        ({"expires_at": later(5000), "scheduled_at": later(9000)}, "expires_at", "later than scheduled_at"),
        ({"deadline": -1}, "deadline", "above 0"),
        ({"deadline": 1e12}, "deadline", "at most"),
        ({"deadline": "soon"}, "deadline", ""),
        ({"deadline": True}, "deadline", ""),
    ],
)
def test_what_makes_no_sense_is_a_400_that_names_the_field(
    operator: Caller, body: dict[str, Any], field: str, word: str
) -> None:
    answer = operator.ask("POST", "/jobs", {"kind": "api.note", **body})
    assert answer.status_code == 400, answer.content
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert word in error["reason"]
    assert not Job.objects.exists()
