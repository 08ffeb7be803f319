"""`manage.py jobs submit --unique-key`: a duplicate prints the job that is there, or is refused with exit code 1."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job

pytestmark = pytest.mark.django_db

SUBMIT = ("submit", "workflow.task", "--payload", '{"task": "t", "seconds": 0}')


def jobs(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("jobs", *SUBMIT, *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def refused(code: int, *words: str) -> str:
    with pytest.raises(CommandError) as caught:
        jobs(*words)
    assert caught.value.returncode == code
    return str(caught.value)


def test_a_duplicate_prints_the_job_that_is_there_and_says_so_beside() -> None:
    first, silent = jobs("--unique-key", "k")
    again, said = jobs("--unique-key", "k")
    job = Job.objects.get()
    assert first == again == f"{job.pk}\n"
    assert silent == ""
    assert said == f"Job {job.pk}, which is available, holds this unique key: nothing new was submitted.\n"


def test_all_rules_can_be_given() -> None:
    rules = ("--unique-key", "k", "--unique-scope", "window", "--unique-seconds", "60")
    told = json.loads(jobs(*rules, "--json")[0])
    assert told == {"id": Job.objects.get().pk, "state": "available"}
    told = json.loads(jobs(*rules, "--unique-policy", "replace", "--json")[0])
    assert told == {
        "id": Job.objects.get().pk, "state": "available", "duplicate": True, "replaced": True, "result": None
    }  # fmt: skip
    reason = refused(1, *rules, "--unique-policy", "refuse")
    assert reason == f'unique_key: "k" belongs to job {told["id"]}, which is available'


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--unique-scope", "forever"), "--unique-key: is missing"),
        (("--unique-key", "k", "--unique-scope", "window"), "unique_key.seconds: is missing"),
        (("--unique-key", "k", "--unique-seconds", "0"), "unique_key.seconds: must be above 0"),
        (("--unique-key", ""), "unique_key: must not be empty"),
    ],
)
def test_what_is_wrong_is_named(words: tuple[str, ...], reason: str) -> None:
    assert refused(2, *words).startswith(reason)
    assert not Job.objects.exists()


def test_a_key_is_released() -> None:
    job = int(jobs("--unique-key", "k", "--unique-scope", "forever")[0])
    out = io.StringIO()
    call_command("jobs", "release-key", str(job), "--reason", "again", stdout=out)
    assert out.getvalue() == f"job {job} has no unique key any more\n"
    assert int(jobs("--unique-key", "k")[0]) != job
    with pytest.raises(CommandError, match="holds no unique key") as caught:
        call_command("jobs", "release-key", str(job))
    assert caught.value.returncode == 1
