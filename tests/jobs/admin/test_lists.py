"""Lists: by key, without counts and offsets, with filters that cannot be abused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import jobs
from jobs.admin import keyset
from jobs.models import DeadLetter, Job
from tests.jobs.admin.world import KIND, World, dead_job

LISTS = (
    "job", "deadletter", "deadlettergroup", "deadletterrun", "workflow", "schedule", "queue", "pausedkind",
    "workerprocess", "operatoraction", "uniquekey", "idempotencykey",
)  # fmt: skip
BAD = (
    "\x00",
    "x" * 5000,
    "9" * 40,
    "-1",
    "\uff11\uff12",
    "é😀",
    "' OR 1=1 --",
    "{}",
    "%",
    "a,b",
    "2020-01-01~1",
)


def rows_of(client: Client, url: str) -> list[Any]:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return [row.pk for row in answer.context["cl"].result_list]


def walk(client: Client, url: str, link: str, *, most: int = 20) -> list[list[Any]]:
    """The pages from an address on, by the link of that name."""
    found: list[list[Any]] = []
    while len(found) < most:
        answer = client.get(url)
        found.append([row.pk for row in answer.context["cl"].result_list])
        following = getattr(answer.context["cl"], link)
        if following is None:
            break
        url = answer.request["PATH_INFO"] + following
    return found


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_says_what_would_be_there(name: str, as_operator: Client) -> None:
    answer = as_operator.get(f"/admin/jobs/{name}/")
    assert answer.status_code == 200
    assert b"jb-empty" in answer.content


@pytest.mark.parametrize("name", LISTS)
def test_bad_parameters_give_no_error(name: str, world: World, as_operator: Client) -> None:
    own: Any = next(own for own in admin.site._registry.values() if own.opts.model_name == name)
    names = ["q", "before", "after", "o", *(spec.parameter_name for spec in own.list_filter)]
    for parameter in names:
        for value in BAD:
            answer = as_operator.get(f"/admin/jobs/{name}/", {parameter: value})
            assert answer.status_code in (200, 302, 400), (parameter, value)


def test_columns_cannot_be_searched_through_the_address(world: World, as_operator: Client) -> None:
    for lookup in (
        "payload__n",
        "kind__regex",
        "created_by__password__startswith",
        "id__in",
        "error_class__regex",
    ):
        assert as_operator.get("/admin/jobs/job/", {lookup: "1"}).status_code == 400


def test_pages_follow_each_other_without_gaps_or_repeats_both_ways(
    as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.jobs.JobAdmin.list_per_page", 3)
    made = [item.id for item in jobs.submit_many([jobs.JobSpec(kind=KIND)] * 10)]
    forwards = walk(as_operator, "/admin/jobs/job/", "older_link")
    assert [pk for page in forwards for pk in page] == made[::-1]
    assert [len(page) for page in forwards] == [3, 3, 3, 1]
    last = f"/admin/jobs/job/?{urlencode({'before': made[1]})}"
    backwards = walk(as_operator, last, "newer_link")
    assert [pk for page in backwards[::-1] for pk in page] == made[::-1]


def test_dead_letters_of_one_moment_are_each_shown_once(
    as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order has two columns; a cursor that looked at the time alone would skip or repeat."""
    monkeypatch.setattr("jobs.admin.deadletters.DeadLetterAdmin.list_per_page", 2)
    now = timezone.now()
    made = [dead_job(at=now) for _ in range(5)] + [dead_job(at=now - timedelta(hours=1))]
    pages = walk(as_operator, "/admin/jobs/deadletter/", "older_link")
    assert [pk for page in pages for pk in page] == made
    first_of_last = f"/admin/jobs/deadletter/?{urlencode({'before': f'{now.isoformat()}~{made[3]}'})}"
    assert [pk for page in walk(as_operator, first_of_last, "newer_link")[::-1] for pk in page] == made


def test_a_filter_without_an_index_looks_at_a_window_and_leads_on(
    as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = jobs.submit(KIND, queue="rare").id
    jobs.submit_many([jobs.JobSpec(kind=KIND)] * 6)
    Job.objects.filter(pk=rare).update(state="cancelled")
    monkeypatch.setattr(keyset, "WINDOW", 4)
    answer = as_operator.get("/admin/jobs/job/?state=completed&queue=rare")
    assert answer.context["cl"].result_list == []
    assert answer.context["cl"].window == (rare + 3, rare + 6)
    assert b"Look further back" in answer.content
    pages = walk(as_operator, "/admin/jobs/job/?q=admintest", "older_link")
    assert len(pages[0]) == 4
    further = walk(as_operator, "/admin/jobs/job/?q=admintest", "further_link", most=3)
    assert [pk for page in further for pk in page] == list(range(rare + 6, rare - 1, -1))


def test_no_list_counts_jobs_or_skips_rows(world: World, as_operator: Client) -> None:
    jobs.submit_many([jobs.JobSpec(kind=KIND)] * 60)
    for query in ("", "?state=available", "?state=completed", "?kind=" + KIND, "?q=admin", "?before=40"):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert as_operator.get(f"/admin/jobs/job/{query}").status_code == 200
        sql = [entry["sql"] for entry in seen]
        assert not [text for text in sql if "OFFSET" in text]
        counts = [text for text in sql if re.search(r"COUNT\(", text)]
        assert all("LIMIT" in text for text in counts)
        assert not [text for text in counts if re.search(r'FROM "jobs_job"(?! WHERE)', text)]
        assert not [text for text in sql if '"jobs_job"."payload"' in text]


@pytest.mark.parametrize(
    ("name", "most"), [("job", 18), ("deadletter", 9), ("workflow", 9), ("queue", 9), ("uniquekey", 9)]
)
def test_the_number_of_queries_does_not_grow_with_the_rows(
    name: str, most: int, world: World, as_operator: Client, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for number in range(12):
        dead_job()
        jobs.submit(KIND, unique_key=f"key {number}")
        jobs.submit_workflow("more", [jobs.JobSpec(kind=KIND, key="a", queue=f"queue-{number}")])
    with django_assert_max_num_queries(most):
        as_operator.get(f"/admin/jobs/{name}/")


def test_tabs_count_and_choose_states(world: World, as_operator: Client) -> None:
    answer = as_operator.get("/admin/jobs/job/")
    tabs = {tab.title: tab for tab in answer.context["cl"].tabs}
    assert list(tabs)[:3] == ["all", "blocked", "scheduled"]
    assert (tabs["available"].count, tabs["blocked"].count, tabs["dead"].count) == ("2", "2", "1")
    assert tabs["all"].active
    assert rows_of(as_operator, f"/admin/jobs/job/{tabs['dead'].link}") == [world.dead]
    assert rows_of(as_operator, f"/admin/jobs/job/{tabs['scheduled'].link}") == [world.scheduled]


def test_search_finds_by_number_kind_and_task(world: World, as_operator: Client) -> None:
    assert rows_of(as_operator, f"/admin/jobs/job/?q=%23{world.dead}") == [world.dead]
    assert len(rows_of(as_operator, "/admin/jobs/job/?q=admintest.w")) == 6
    task = Job.objects.get(task="b").pk
    assert rows_of(as_operator, "/admin/jobs/job/?q=b") == [task]
    assert rows_of(as_operator, "/admin/jobs/job/?q=work") == []


def test_filters_narrow_the_list(world: World, as_operator: Client) -> None:
    jobs.submit(KIND, queue="other")
    assert len(rows_of(as_operator, "/admin/jobs/job/?queue=other")) == 1
    assert len(rows_of(as_operator, f"/admin/jobs/job/?workflow={world.workflow}")) == 3
    assert rows_of(as_operator, "/admin/jobs/job/?kind=other") == []
    assert rows_of(as_operator, "/admin/jobs/deadletter/?error=Value") == [world.dead]
    assert rows_of(as_operator, "/admin/jobs/deadletter/?error=Type") == []
    assert rows_of(as_operator, f"/admin/jobs/deadletter/?fingerprint={'f' * 32}") == [world.dead]
    assert rows_of(as_operator, "/admin/jobs/operatoraction/?target=schedule:0") == []
    assert rows_of(as_operator, f"/admin/jobs/operatoraction/?target=schedule:{world.schedule}") == [
        world.action
    ]


def test_what_jobs_say_is_escaped_in_lists(world: World, as_operator: Client) -> None:
    DeadLetter.objects.update(message="<script>alert(2)</script>")
    assert b"<script>alert(2)" not in as_operator.get("/admin/jobs/deadletter/").content


def test_the_side_bar_counts_dead_letters_for_those_who_may_see_them(
    world: World, as_operator: Client, stranger: Any, login: Callable[..., Client]
) -> None:
    page = as_operator.get("/admin/").content.decode()
    assert re.search(r"Dead letters</span>\s*<span[^>]*>\s*1\s*<", page)
    assert "Dead letters" not in login(stranger).get("/admin/").content.decode()


def test_what_is_empty_in_a_row_is_a_dash(world: World, as_operator: Client) -> None:
    for model in ("operatoraction", "pausedkind", "deadlettergroup", "deadletterrun"):
        page = as_operator.get(f"/admin/jobs/{model}/").content.decode()
        assert page.count('<tr class="data-row') >= 1, model
        assert not re.search(r'<td[^>]*class="[^"]*field-[^>]*>\s*</td>', page), model


def test_the_list_of_dead_letters_offers_no_set_where_there_are_none(
    world: World, as_operator: Client
) -> None:
    assert "Replay all that fit" in as_operator.get("/admin/jobs/deadletter/").content.decode()
    DeadLetter.objects.all().delete()
    assert "all that fit" not in as_operator.get("/admin/jobs/deadletter/").content.decode()


def test_the_record_calls_objects_by_their_words(world: World, as_operator: Client) -> None:
    as_operator.post(f"/admin/jobs/deadlettergroup/{world.group}/edit/", {"owner": "", "note": "known"})
    listed = as_operator.get("/admin/jobs/operatoraction/").content.decode()
    assert ">dead-letter group ffffffff</a>" in listed
    assert f">dead-letter run {world.run}</a>" in listed
