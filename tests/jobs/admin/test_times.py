"""Start deadline and deadline in the form that submits a job, and on the job's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from jobs.models import Job
from tests.jobs.admin.test_unique import facts, send

pytestmark = pytest.mark.django_db


def test_the_form_takes_them_in_its_zone_and_the_page_shows_them(as_operator: Client) -> None:
    sent = {"expires_at": "2199-05-01T12:30", "deadline": "2199-05-01T14:00", "timezone": "Europe/Berlin"}
    assert send(as_operator, **sent).status_code == 302
    job = Job.objects.get()
    assert job.options == {"expires_at": "2199-05-01T10:30:00+00:00", "deadline": "2199-05-01T12:00:00+00:00"}
    shown = facts(as_operator, job.pk)
    assert "2199" in str(shown["Begins before"])
    assert "2199" in str(shown["Deadline"])


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "past"),
        ({"deadline": "2020-01-01T00:00"}, "deadline", "past"),
        ({"deadline": "soon"}, "deadline", "no date"),
        (
            {"expires_at": "2199-01-01T00:00", "scheduled_at": "2199-02-01T00:00"},
            "expires_at",
            "scheduled_at",
        ),
    ],
)
def test_a_refusal_stands_on_its_field(
    as_operator: Client, fields: dict[str, Any], field: str, word: str
) -> None:
    answer = send(as_operator, **fields)
    assert word in str(answer.context["form"].errors[field])
    assert not Job.objects.exists()
