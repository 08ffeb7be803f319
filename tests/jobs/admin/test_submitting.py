"""The form that submits a job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from jobs.models import Job
from tests.jobs.admin.world import KIND, World, snapshot


def submit(client: Client, **fields: Any) -> Any:
    whole = {
        "kind": KIND,
        "payload": "{}",
        "queue": "",
        "priority": "",
        "scheduled_at": "",
        "timezone": "UTC",
    }
    return client.post("/admin/jobs/job/submit/", whole | {"max_attempts": "", "timeout": ""} | fields)


def test_a_job_is_submitted_with_everything_the_form_has(world: World, as_operator: Client) -> None:
    at = datetime(2030, 7, 1, 12, 0)  # noqa: DTZ001  # what is typed has no zone
    answer = submit(
        as_operator,
        payload='{"to": "me"}',
        queue="slow",
        priority="-5",
        scheduled_at=at.isoformat(),
        timezone="Europe/Berlin",
        max_attempts="9",
        timeout="2.5",
    )
    job = Job.objects.latest("pk")
    assert answer["Location"] == f"/admin/jobs/job/{job.pk}/change/"
    assert (job.payload, job.queue, job.priority, job.max_attempts) == ({"to": "me"}, "slow", -5, 9)
    assert job.scheduled_at == datetime(2030, 7, 1, 10, 0, tzinfo=UTC)
    assert job.options == {"timeout": 2.5}
    assert job.created_by is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ""),
        ("kind", "admintest.wrok"),
        ("kind", "a\x00b"),
        ("payload", "{"),
        ("payload", "[1]"),
        ("payload", '{"a": NaN}'),
        ("payload", '{"a": "\\u0000"}'),
        ("payload", '{"a": "\\ud800"}'),
        ("payload", '{"a":' * 40 + "1" + "}" * 40),
        ("payload", '{"a":' * 100_000 + "1" + "}" * 100_000),
        ("payload", '{"a": "' + "x" * 300_000 + '"}'),
        ("payload", '{"a": ' + "9" * 5000 + "}"),
        ("queue", "no spaces"),
        ("priority", "101"),
        ("priority", "9" * 30),
        ("scheduled_at", "tomorrow"),
        ("scheduled_at", "2030-01-01T10:00+01:00"),
        ("scheduled_at", "0001-01-01T00:00"),
        ("scheduled_at", "9999-12-31T23:59"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("timezone", ""),
        ("max_attempts", "0"),
        ("timeout", "nan"),
        ("timeout", "-1"),
        ("timeout", "1e999"),
    ],
)
def test_what_cannot_be_a_job_is_refused_on_its_field(
    field: str, value: str, world: World, as_operator: Client
) -> None:
    before = snapshot()
    answer = submit(as_operator, **{field: value})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert snapshot() == before


def test_a_time_that_the_clocks_skip_is_refused(world: World, as_operator: Client) -> None:
    answer = submit(as_operator, scheduled_at="2030-03-31T02:30", timezone="Europe/Berlin")
    assert "the clocks skip it" in str(answer.context["form"].errors["scheduled_at"])


def test_an_unknown_kind_gets_the_nearest_name(world: World, as_operator: Client) -> None:
    assert KIND in str(submit(as_operator, kind="admintest.wrok").context["form"].errors["kind"])


def test_a_body_of_ten_megabytes_is_refused(world: World, as_operator: Client) -> None:
    assert submit(as_operator, payload="x" * 10_000_000).status_code in (400, 413)
