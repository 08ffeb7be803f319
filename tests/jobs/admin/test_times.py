"""Start deadline and deadline in the form that submits a job, and on the job's page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

import jobs
from jobs.admin.deadletter_forms import SetForm
from jobs.models import Job
from tests.jobs.admin.test_acts import act
from tests.jobs.admin.test_unique import facts, send
from tests.jobs.admin.world import KIND

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


@pytest.mark.parametrize("skipped", ["2199-03-31T02:30", "2199-10-27 02:30:00"])
def test_times_in_utc_do_not_care_what_the_clocks_of_the_site_do(
    as_operator: Client, settings: Any, skipped: str
) -> None:
    """In Berlin the one does not exist and the other comes twice; Django's own field refuses both."""
    settings.TIME_ZONE = "Europe/Berlin"
    meant = datetime.fromisoformat(skipped).replace(tzinfo=UTC)
    job = jobs.submit(KIND).id
    assert act(as_operator, "job", "reschedule", job, scheduled_at=skipped).status_code == 302
    assert Job.objects.get().scheduled_at == meant
    form = SetForm({"action": "replay", "died_after": skipped, "died_before": ""})
    assert form.is_valid()
    assert (form.filters["died_after"], form.filters["died_before"]) == (meant, None)


@pytest.mark.parametrize("typed", ["soon", "2199-01-01T00:00:00+01:00", "", "2199-13-01T00:00"])
def test_a_time_that_is_none_or_has_an_offset_is_refused_on_its_field(
    as_operator: Client, typed: str
) -> None:
    job = jobs.submit(KIND).id
    answer = act(as_operator, "job", "reschedule", job, scheduled_at=typed)
    assert "scheduled_at" in answer.context["form"].errors
    assert Job.objects.get().state == "available"
