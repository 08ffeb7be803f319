"""`manage.py jobs submit --expires-at --deadline`."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job

pytestmark = pytest.mark.django_db

SUBMIT = ("submit", "workflow.task", "--payload", '{"task": "t", "seconds": 0}')


def test_both_are_taken() -> None:
    last = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    call_command("jobs", *SUBMIT, "--expires-at", last, "--deadline", "7200", stdout=io.StringIO())
    assert Job.objects.get().options == {"expires_at": last, "deadline": 7200.0}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--expires-at", "soon"), "--expires-at: 'soon' is no date"),
        (("--expires-at", "2020-01-01T00:00:00Z"), "expires_at: lies in the past"),
        (("--deadline", "never"), "--deadline: 'never' is no date"),
        (("--deadline", "nan"), "deadline: must be above 0"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_leaves_nothing(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as caught:
        call_command("jobs", *SUBMIT, *words, stdout=io.StringIO())
    assert caught.value.returncode == 2
    assert not Job.objects.exists()
