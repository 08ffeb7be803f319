"""The stories of clients: what they submit is there once, or as often as they sent it without a key."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client

import jobs
from jobs import JobSpec, steering
from jobs.models import Job, UniqueKey, Workflow
from jobs.unique import Unique
from tests.jobs import kinds  # noqa: F401 - registers the kinds
from tests.races.story import BOSS, Story, a_word

__all__ = ["CLIENTS"]


def a_client_without_a_key() -> Any:
    """A doubtful submission is sent again."""
    jobs.submit("test.echo")  # so that the queue is known
    return SimpleNamespace(word=a_word(), ids=[], tries=0)


def submit_all(client: Any) -> None:
    client.tries += 1
    first = JobSpec(kind="test.echo", key="a", queue="unserved", deadline=3600.0)
    steering.submit_workflow(BOSS, client.word, [first, JobSpec(kind="test.echo", key="b", parents=["a"])])


def submitted(client: Any) -> None:
    flows = Workflow.objects.filter(name=client.word)
    assert 1 <= flows.count() <= client.tries
    assert all(one.jobs.count() == 2 for one in flows)


def submit_one(client: Any) -> None:
    client.ids.append(jobs.submit("test.echo", {"story": client.word}).id)


def submitted_one(client: Any) -> None:
    found = Job.objects.filter(payload__story=client.word).values_list("pk", flat=True)
    assert set(client.ids) <= set(found)


def submit_alike(client: Any) -> None:
    """Many that differ in nothing but their payloads, into a queue that does not exist yet."""
    specs = [
        JobSpec(kind="test.echo", queue=client.word, payload={"story": client.word, "n": n})
        for n in range(12)
    ]
    client.ids += [one.id for one in jobs.submit_many(specs)]


def submitted_alike(client: Any) -> None:
    submitted_one(client)
    found = Job.objects.filter(payload__story=client.word).order_by("pk").values_list("payload__n", flat=True)
    assert list(found) in ([*range(12)], [*range(12)] * 2), "all or none, once for each time it was sent"


def replace_it(word: str) -> None:
    """A second submission under the same key, the policy being to replace what waits."""
    for number in range(2):
        jobs.submit("test.echo", {"number": number}, unique_key=Unique(word, policy="replace"))


def replaced(word: str) -> None:
    key = UniqueKey.objects.get(key=word)
    assert Job.objects.get(pk=key.job_id).payload == {"number": 1}


def a_client() -> Any:
    name = a_word()
    user = get_user_model().objects.create_superuser(name)
    client = Client()
    client.force_login(user)
    return SimpleNamespace(client=client, name=name, answers=[])


def post_once(ground: Any) -> None:
    """A client that sends its key: in doubt it sends the request again."""
    body = {"kind": "test.echo", "payload": {"client": ground.name}}
    answer = ground.client.post(
        "/api/v1/jobs", body, content_type="application/json", headers={"Idempotency-Key": '"once"'}
    )
    if answer.status_code == 503:
        raise OperationalError(answer.content)
    assert answer.status_code == 201, answer.content
    ground.answers.append(answer.json()["id"])


def posted_once(ground: Any) -> None:
    (job,) = Job.objects.filter(payload__client=ground.name)
    assert set(ground.answers) == {job.pk}


CLIENTS = [
    Story(
        name="submit a workflow", begin=a_client_without_a_key, act=submit_all, facts=submitted, whole=True
    ),
    Story(name="submit one", begin=a_client_without_a_key, act=submit_one, facts=submitted_one, whole=True),
    Story(
        name="submit many", begin=a_client_without_a_key, act=submit_alike, facts=submitted_alike, whole=True
    ),
    Story(name="replace a unique job", begin=a_word, act=replace_it, facts=replaced),
    Story(name="a request with a key", begin=a_client, act=post_once, facts=posted_once, whole=True),
]
