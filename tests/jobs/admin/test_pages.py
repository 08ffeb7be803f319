"""Pages of objects: what they show, escaped and in part where it is much, what they link, and the way to them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

import jobs
from jobs import display
from jobs.admin import graph
from jobs.explaining import Reason
from jobs.models import Effect, Job, LogLine, LogLoss, Progress, Slot, WorkerProcess
from jobs.templatetags.jobs_admin import with_links
from tests.jobs.admin.world import KIND, PAUSED, World

BAD = ("0", "-1", "x", "9" * 60, "1e3", "%00", "%EF%BC%91", "..", "a b", "1;", "<b>")


@pytest.mark.parametrize(
    "model", ["job", "deadletter", "workflow", "schedule", "queue", "workerprocess", "operatoraction"]
)
def test_an_unknown_object_leads_back_to_its_list(model: str, world: World, as_operator: Client) -> None:
    for key in BAD:
        for page in ("change", "history", "delete"):
            answer = as_operator.get(f"/admin/jobs/{model}/{key}/{page}/", follow=True)
            assert answer.status_code in (200, 403, 404), (model, key, page)
    for page in ("job/99999999/live", "workflow/99999999/live"):
        assert as_operator.get(f"/admin/jobs/{page}/").status_code == 404
    for page in ("schedule/99999999/edit", "queue/nothing/edit"):
        assert as_operator.get(f"/admin/jobs/{page}/").status_code == 302


def test_the_page_of_a_job_shows_attempts_errors_payload_and_log_escaped(
    world: World, as_operator: Client
) -> None:
    page = as_operator.get(f"/admin/jobs/job/{world.dead}/change/").content.decode()
    for text in ("ValueError", "no number", "Traceback &lt;b&gt;here", "&lt;script&gt;alert(1)"):
        assert text in page
    assert "<script>alert(1)" not in page
    log = as_operator.get(f"/admin/jobs/job/{world.available}/change/").content.decode()
    assert "&lt;i&gt;a line&lt;/i&gt;" in log


def test_the_page_shows_the_newest_thousand_lines_oldest_first(world: World, as_operator: Client) -> None:
    now = timezone.now()
    LogLine.objects.bulk_create(
        [LogLine(job_id=world.available, attempt=1, at=now, line=f"line {number}") for number in range(1100)]
    )
    lines = as_operator.get(f"/admin/jobs/job/{world.available}/change/").context["lines"]
    assert [lines[0].line, lines[-1].line, len(lines)] == ["line 100", "line 1099", 1000]


def test_a_running_job_shows_its_attempt_and_progress(world: World, as_operator: Client) -> None:
    Job.objects.filter(pk=world.available).update(
        state="running", attempt=1, worker_id=world.worker, started_at=timezone.now()
    )
    Progress.objects.create(job_id=world.available, attempt=1, fraction=0.42, note="half way")
    answer = as_operator.get(f"/admin/jobs/job/{world.available}/live/")
    assert [(entry.number, entry.outcome, entry.worker) for entry in answer.context["tries"]] == [
        (1, "running", "w")
    ]
    assert b'aria-valuenow="42"' in answer.content
    assert b"<html" not in answer.content


def test_large_values_are_shown_in_part(world: World, as_operator: Client) -> None:
    job = jobs.submit(KIND, {"text": "x" * 200_000}).id
    page = as_operator.get(f"/admin/jobs/job/{job}/change/").content
    assert b"more characters are in the API" in page
    assert len(page) < 100_000


def test_neighbours_are_linked(world: World, as_operator: Client) -> None:
    middle = Job.objects.get(task="b")
    context = as_operator.get(f"/admin/jobs/job/{middle.pk}/change/").context
    assert [job["task"] for job in context["parents"]["jobs"]] == ["a"]
    assert [job["task"] for job in context["children"]["jobs"]] == ["c"]
    assert next(reason.code for reason in context["waits"].reasons) == "parents"


def test_the_jobs_a_reason_is_about_are_linked_and_the_rest_is_escaped() -> None:
    shown = with_links(Reason(code="key_limit", text="its key, <b>#7 #12x</b>: #12, #123.", jobs=[12]))
    assert shown == (
        "its key, &lt;b&gt;#7 #12x&lt;/b&gt;: "
        '<a class="jb-link" href="/admin/jobs/job/12/change/">#12</a>, #123.'
    )


def test_why_a_job_is_not_taken_is_said(world: World, as_operator: Client) -> None:
    def why(job: int) -> str:
        found = as_operator.get(f"/admin/jobs/job/{job}/change/").context["waits"]
        return " ".join(reason.text for reason in found.reasons)

    assert "before it in the queue admintest" in why(world.available)
    Job.objects.filter(pk=world.available).update(kind="nobody.knows")
    assert "knows its kind, nobody.knows" in why(world.available)


def test_the_page_of_a_workflow_draws_its_graph(world: World, as_operator: Client) -> None:
    answer = as_operator.get(f"/admin/jobs/workflow/{world.workflow}/change/")
    assert [[task.key for task in level] for level in answer.context["levels"]] == [["a"], ["b"], ["c"]]
    assert answer.content.count(b'<rect class="jb-node') == 3
    assert answer.content.count(b'<path class="jb-edge"') == 3


def test_a_large_workflow_is_listed_in_part_and_not_drawn(
    as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "MAX_LISTED", 5)
    monkeypatch.setattr(graph, "MAX_DRAWN", 4)
    specs = [jobs.JobSpec(kind=KIND, key=str(i), parents=[str(i - 1)] if i else []) for i in range(7)]
    workflow, _ = jobs.submit_workflow("chain", specs)
    answer = as_operator.get(f"/admin/jobs/workflow/{workflow}/change/")
    assert answer.context["drawing"] is None
    assert "The first 5 of 7" in answer.content.decode()


def test_edges_over_several_layers_bend_around_the_boxes_between() -> None:
    tasks = [
        graph.Task(id=1, key="a", kind=KIND, state="completed", parents=()),
        graph.Task(id=2, key="b", kind=KIND, state="running", parents=(1,)),
        graph.Task(id=3, key="c" * 40, kind=KIND, state="blocked", parents=(1, 2)),
    ]
    drawing = graph.draw(tasks)
    assert drawing is not None
    (_, x, y, _) = drawing.boxes[1]
    longest = max(drawing.lines, key=len)
    passing = [int(part.split()[0]) for part in longest.split("L")[1:]]
    assert passing
    assert not any(x <= place <= x + drawing.box_width for place in passing), (x, y, longest)
    assert drawing.boxes[2][3] == "c" * 16 + "…"


def test_the_page_of_a_schedule_links_the_jobs_of_its_slots(world: World, as_operator: Client) -> None:
    at = timezone.now() - timedelta(hours=1)
    Slot.objects.create(schedule_id=world.schedule, at=at, job_id=world.available)
    Slot.objects.create(schedule_id=world.schedule, at=at - timedelta(hours=1), job_id=10**12)
    page = as_operator.get(f"/admin/jobs/schedule/{world.schedule}/change/").content.decode()
    assert f"/admin/jobs/job/{world.available}/change/" in page
    assert "no longer kept" in page


def test_a_worker_without_heartbeat_is_called_silent(world: World, as_operator: Client) -> None:
    WorkerProcess.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    answer = as_operator.get(f"/admin/jobs/workerprocess/{world.worker}/change/")
    assert answer.context["state"] == "silent"


@pytest.mark.parametrize("number", [0, 3])
def test_handlers_of_lost_jobs_that_still_run_are_seen_with_their_worker(
    world: World, as_operator: Client, number: int
) -> None:
    WorkerProcess.objects.filter(pk=world.worker).update(lost_running=number)
    page = as_operator.get(f"/admin/jobs/workerprocess/{world.worker}/change/")
    assert ("Lost, still running", number) in page.context["facts"]
    sentence = f"Handlers of jobs that it has lost still run in it: {number}."
    assert (sentence in page.content.decode()) is (number > 0)
    listed = as_operator.get("/admin/jobs/workerprocess/").content.decode()
    assert "lost, still running" in listed.lower()
    cell = re.search(r"field-lost_jobs[^>]*>\s*(?:<[^>]*>\s*)*([^<\s]+)", listed)
    assert cell is not None
    assert (cell[1] == str(number)) is (number > 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.35, "350 ms"),
        (4.21, "4.2 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (7500, "2 h 5 min"),
        (3600.4, "1 h"),
        (90_061, "1 d 1 h"),
        (-3, "0 ms"),
    ],
)
def test_lengths_of_time_are_spoken_in_two_units(seconds: float, text: str) -> None:
    assert display.spoken(seconds) == text


def test_the_page_of_a_job_says_which_effects_it_had_and_what_of_its_log_is_gone(
    world: World, as_operator: Client
) -> None:
    address = f"/admin/jobs/job/{world.available}/live/"
    before = as_operator.get(address).content.decode()
    assert "Recorded once per key" not in before
    assert "data-log-loss hidden" in before
    LogLoss.objects.create(job_id=world.available, over_limit=1234, unsent=0)
    Effect.objects.create(
        key="charge:<b>42", job_id=world.available, kind=KIND, attempt=1, result={"receipt": "<i>R-1</i>"}
    )
    page = as_operator.get(address).content.decode()
    assert "charge:&lt;b&gt;42" in page
    assert "&lt;i&gt;R-1&lt;/i&gt;" in page
    assert "<strong>1234</strong> lines were dropped: a job keeps its newest 1000." in page
    assert "data-log-unsent hidden" in page


def test_a_job_of_a_user_who_was_deleted_beside_django_is_shown(world: World, as_operator: Client) -> None:
    Job.objects.filter(pk=world.available).update(created_by_id=987_654)
    page = as_operator.get(f"/admin/jobs/job/{world.available}/change/")
    assert "user 987654, who is gone" in page.content.decode()


def way_to(client: Client, url: str) -> list[str]:
    """The steps in the head of a page."""
    head = client.get(url).content.decode().split("<h1", 1)[1].split("</h1>", 1)[0]
    return re.findall(r"<(?:a|span)[^>]*tracking-tight[^>]*>\s*([^<]*?)\s*</", head)


def test_the_way_to_a_page_calls_things_by_their_names(world: World, as_operator: Client) -> None:
    queue = ["Background work", "Queues", "admintest"]
    assert way_to(as_operator, f"/admin/jobs/queue/{world.queue}/change/") == queue
    assert way_to(as_operator, f"/admin/jobs/queue/{world.queue}/edit/") == queue
    assert way_to(as_operator, f"/admin/jobs/queue/_act/pause/?keys={world.queue}") == queue
    assert way_to(as_operator, "/admin/jobs/queue/") == queue[:2]
    assert way_to(as_operator, f"/admin/jobs/pausedkind/{PAUSED}/change/")[-1] == PAUSED
    assert way_to(as_operator, f"/admin/jobs/schedule/{world.schedule}/change/")[-1] == "hourly"
    letter = ["Background work", "Jobs", f"#{world.dead} {KIND}"]
    assert way_to(as_operator, f"/admin/jobs/deadletter/{world.dead}/edit/") == letter


def test_the_page_where_several_are_confirmed_leads_to_their_list(world: World, as_operator: Client) -> None:
    both = f"/admin/jobs/job/_act/cancel/?keys={world.available},{world.scheduled}"
    assert way_to(as_operator, both) == ["Background work", "Jobs"]
