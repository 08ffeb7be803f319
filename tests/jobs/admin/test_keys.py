"""Unique keys and idempotency keys as operators see them: found by key, read-only, and one act that frees a key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone

import jobs
from jobs import Unique
from jobs.admin import keyset
from jobs.control import Actor, cancel
from jobs.database import django_cursor
from jobs.models import IdempotencyKey, Job, OperatorAction, UniqueKey
from jobs.store.uniqueness import settle_keys
from tests.jobs.admin.conftest import _person
from tests.jobs.admin.test_acts import act
from tests.jobs.admin.test_lists import rows_of
from tests.jobs.admin.world import KIND, keyed, said

pytestmark = pytest.mark.django_db

Login = Callable[[User], Client]


def row_of(job: int) -> UniqueKey:
    return UniqueKey.objects.get(job_id=job)


def page_of(client: Client, row: UniqueKey | IdempotencyKey) -> Any:
    answer = client.get(f"/admin/jobs/{row._meta.model_name}/{row.pk}/change/")
    assert answer.status_code == 200
    return answer


def forgotten(job: int) -> None:
    """The job has completed and was deleted, as by retention."""
    now = timezone.now()
    Job.objects.filter(pk=job).update(state="completed", result={"pages": 7}, finished_at=now)
    with django_cursor() as cursor:
        settle_keys(cursor, [job])
        cursor.execute("DELETE FROM jobs_ready WHERE job_id = %s", [job])
    Job.objects.filter(pk=job).delete()


def test_a_unique_key_is_found_and_says_who_holds_it_and_how_long(as_viewer: Client) -> None:
    made = {
        scope: jobs.submit(
            KIND, unique_key=Unique(f"key {scope}", scope=scope, seconds=60 if scope == "window" else None)
        ).id
        for scope in ("unfinished", "window", "forever")
    }
    assert rows_of(as_viewer, "/admin/jobs/uniquekey/?q=key forever") == [row_of(made["forever"]).pk]
    assert rows_of(as_viewer, "/admin/jobs/uniquekey/?q=key") == [], "the whole key"
    assert len(rows_of(as_viewer, f"/admin/jobs/uniquekey/?kind={KIND}")) == 3
    told = {
        scope: dict(page_of(as_viewer, row_of(job)).context["facts"])["Held"] for scope, job in made.items()
    }
    assert told["unfinished"] == "until it has ended"
    assert told["forever"] == "for ever"
    assert told["window"].startswith("until 20")
    cancel(Actor(), [made["unfinished"]])
    free = page_of(as_viewer, row_of(made["unfinished"]))
    assert dict(free.context["facts"])["Held"] == "free again"
    assert free.context["state"] == "free"


def test_the_record_of_a_deleted_job_is_shown_its_result_to_who_may_view_jobs(
    as_viewer: Client, login: Login
) -> None:
    job = jobs.submit(KIND, unique_key=Unique("invoice", scope="forever")).id
    forgotten(job)
    page = page_of(as_viewer, row_of(job))
    facts = dict(page.context["facts"])
    assert (facts["Job"], facts["The job had"], facts["Held"]) == (
        f"#{job}, deleted",
        "completed",
        "for ever",
    )
    assert '"pages": 7' in page.context["result"][0]
    clerk = _person("clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="view_uniquekey"))
    assert page_of(login(clerk), row_of(job)).context["result"] is None


def test_a_key_is_released_also_when_its_job_is_gone(as_operator: Client, as_viewer: Client) -> None:
    gone, there = (jobs.submit(KIND, unique_key=Unique(key, scope="forever")).id for key in ("a", "b"))
    forgotten(gone)
    row = row_of(gone)
    assert page_of(as_viewer, row).context["buttons"] == []
    (button,) = page_of(as_operator, row).context["buttons"]
    assert as_operator.get(button["url"]).context["possible_count"] == 1
    keys = f"{row.pk},{row_of(there).pk}"
    assert act(as_viewer, "uniquekey", "release", keys).status_code == 403
    assert "done for 2 jobs" in said(act(as_operator, "uniquekey", "release", keys))
    assert not UniqueKey.objects.exists()
    assert set(OperatorAction.objects.values_list("action", "target_id", "reason")) == {
        ("release key of", str(job), "because") for job in (gone, there)
    }
    assert not jobs.submit(KIND, unique_key=Unique("a", scope="forever")).duplicate


def test_a_key_that_is_free_has_no_button(as_operator: Client) -> None:
    job = jobs.submit(KIND, unique_key="k").id
    cancel(Actor(), [job])
    assert page_of(as_operator, row_of(job)).context["buttons"] == []
    asked = as_operator.get(f"/admin/jobs/uniquekey/_act/release/?keys={row_of(job).pk}")
    assert (asked.context["possible_count"], asked.context["refused_count"]) == (0, 1)


def test_an_idempotency_key_says_who_asked_for_what_and_what_came_of_it(
    as_viewer: Client, viewer: User
) -> None:
    kept = keyed(viewer)
    old = keyed(viewer, key="old", expires_at=timezone.now() - timedelta(seconds=1), location="", status=200)
    page = as_viewer.get("/admin/jobs/idempotencykey/").content.decode()
    for word in ("vera", "POST /api/v1/jobs", "201", "kept", "expired"):
        assert word in page
    shown = page_of(as_viewer, kept)
    assert shown.context["state"] == "kept"
    assert "/admin/jobs/job/12/change/" in dict(shown.context["facts"])["Made"]
    assert '"result": "secret"' in shown.context["answer"][0]
    assert shown.context["buttons"] == []
    gone = page_of(as_viewer, old)
    assert (gone.context["state"], dict(gone.context["facts"])["Made"]) == ("expired", "-")


def test_idempotency_keys_are_found_by_key_and_by_user(
    as_viewer: Client, viewer: User, operator: User
) -> None:
    mine, other = keyed(viewer, key="same"), keyed(operator, key="same")
    keyed(viewer, key="another")
    for typed in ("same", '"same"', " same "):
        found = as_viewer.get("/admin/jobs/idempotencykey/", {"q": typed}).context["cl"].result_list
        assert [row.pk for row in found] == [other.pk, mine.pk]
    assert rows_of(as_viewer, "/admin/jobs/idempotencykey/?q=same&user=olga") == [other.pk]
    assert rows_of(as_viewer, "/admin/jobs/idempotencykey/?user=olga") == [other.pk]
    for nothing in ("sam", "x" * 5000):
        assert rows_of(as_viewer, f"/admin/jobs/idempotencykey/?q={nothing}") == []


def test_the_answer_is_for_who_may_view_jobs(viewer: User, login: Login) -> None:
    clerk = _person("clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="view_idempotencykey"))
    assert page_of(login(clerk), keyed(viewer)).context["answer"] is None


def test_a_filter_without_an_index_looks_at_a_window(
    as_viewer: Client, viewer: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "WINDOW", 2)
    keyed(operator, key="rare")
    for number in range(3):
        keyed(viewer, key=str(number))
    assert rows_of(as_viewer, "/admin/jobs/idempotencykey/?user=olga") == []
    assert b"Look further back" in as_viewer.get("/admin/jobs/idempotencykey/?user=olga").content
    assert len(rows_of(as_viewer, "/admin/jobs/idempotencykey/?q=rare")) == 1, "a key has an index"


@pytest.mark.parametrize(("model", "column"), [("idempotencykey", "key"), ("uniquekey", "key")])
def test_a_key_is_looked_up_by_an_index(model: str, column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN SELECT id FROM jobs_{model} WHERE {column} = 'x'")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Cond" in plan
    assert f"{column})::text = 'x'" in plan
