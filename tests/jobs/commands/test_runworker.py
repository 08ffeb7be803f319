"""`manage.py runworker`: words that make no worker are refused before anything is started."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from jobs.models import WorkerProcess


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--queues", ","], '--queues "," names no queue'),
        (["--queues", "a b"], '"a b" is no name of a queue'),
        (["--queues", "mail,a b"], '"a b" is no name of a queue'),
        (["--strict"], "--strict needs --queues"),
        (["--concurrency", "0"], "--concurrency"),
        (["--processes", "65"], "--processes"),
        (["--name", "x" * 191], "--name has more than 190 characters"),
        (["--name", "\udcff"], "name: is not UTF-8"),
        (["--queues", "\udcff"], "queues: is not UTF-8"),
    ],
)
def test_what_makes_no_worker_is_refused_with_code_2(words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("runworker", *words)
    assert said in str(caught.value)
    assert caught.value.returncode == 2
    assert not WorkerProcess.objects.exists()
