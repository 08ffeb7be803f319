"""Queues in the admin: what waits in each, a new one, pause and resume, order, weight and limits."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from unfold.decorators import action

from jobs import steering
from jobs.admin.base import SteeredAdmin, needs
from jobs.admin.confirmed import Act, for_one
from jobs.admin.forms import ReasonForm, place_error
from jobs.admin.keyset import Column, KeysetChangeList, name
from jobs.admin.queue_form import NewQueueForm, QueueForm, start_of
from jobs.control import Actor
from jobs.display import NOTHING, address, ago, badge, spoken
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.models import Job, Permit, Queue
from jobs.queries import COUNT_CAP, Count
from jobs.registry import NAME
from jobs.store.statements import rows

__all__ = ["QueueAdmin"]


PAUSE = Act(
    name="pause",
    label="Pause",
    permissions=("jobs.pause_queue",),
    consequence="No worker takes another job from it until it is resumed. "
    "What runs goes on; new jobs are accepted and wait.",
    run=for_one(steering.pause_queue, "Paused: {result}."),
    refusal=lambda queue: "is paused already" if queue.paused_at else "",
    icon="pause",
    form=ReasonForm,
    danger=True,
    bulk=False,
)
RESUME = Act(
    name="resume",
    label="Resume",
    permissions=("jobs.pause_queue",),
    consequence="Workers take from it again, in the order of rank.",
    run=for_one(steering.resume_queue, "Resumed: {result}."),
    refusal=lambda queue: "" if queue.paused_at else "is not paused",
    icon="play_arrow",
    bulk=False,
)


class QueueChangeList(KeysetChangeList):
    """With the figures of all queues, in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        figures = waiting()
        page: list[Any] = self.result_list
        for queue in page:
            queue.figures = figures.get(queue.pk, (Count(number=0, capped=False), None))


def waiting() -> dict[str, tuple[Count, float | None]]:
    """For each queue how many jobs wait, and for how many seconds the first in rank does."""
    with connection.cursor() as cursor:
        found = rows(cursor, "queue_figures", {"cap": COUNT_CAP})
    return {
        row[0]: (Count(number=min(row[2], COUNT_CAP), capped=row[2] > COUNT_CAP), row[3]) for row in found
    }


@admin.register(Queue)
class QueueAdmin(SteeredAdmin):
    acts = (PAUSE, RESUME)
    actions_list = ("new_queue",)
    keyset = (Column(name="name", read=name, descending=False),)
    list_display = ("name", "status", "waiting", "oldest", "weight", "limits", "ageing", "description")
    list_per_page = 100
    page_template = "admin/jobs/queue/page.html"
    target_type = "queue"
    live_topic = ""
    empty_title = "No queues"
    empty_text = "A queue is made when the first job is submitted to it, or before that by an operator."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueChangeList]:
        return QueueChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        return Queue.objects.all()

    def key(self, text: str) -> Any:
        return text if NAME.match(text) else None

    @admin.display(description="state")
    def status(self, queue: Queue) -> str:
        return badge("paused" if queue.paused_at else "open")

    @admin.display(description="waiting")
    def waiting(self, queue: Any) -> str:
        return str(queue.figures[0])

    @admin.display(description="first waits for")
    def oldest(self, queue: Any) -> str:
        return NOTHING if queue.figures[1] is None else spoken(queue.figures[1])

    @admin.display(description="ageing")
    def ageing(self, queue: Queue) -> str:
        return _ageing(queue)

    @admin.display(description="limits")
    def limits(self, queue: Queue) -> str:
        return _limits(queue)

    def get_urls(self) -> list[URLPattern]:
        edit = self.admin_site.admin_view(self.edit_view)
        return [path("<str:name>/edit/", edit, name="jobs_queue_edit"), *super().get_urls()]

    def may_edit(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and request.user.has_perm("jobs.change_queue"))

    def page_context(self, request: HttpRequest, row: Queue) -> dict[str, Any]:
        count, oldest = waiting().get(row.pk, (Count(number=0, capped=False), None))
        return {
            "edit_url": address(Queue, "edit", row.pk) if self.may_edit(request) else "",
            "jobs_url": f"{address(Job, 'changelist')}?state=available&queue={row.pk}",
            "facts": [
                ("Waiting", str(count)),
                ("First waits for", NOTHING if oldest is None else spoken(oldest)),
                ("Ageing", _ageing(row)),
                ("Weight", str(row.weight)),
                ("At once", _at_once(row.max_running, Permit.objects.filter(queue=row.pk).count())),
                ("Rate", _rate(row.rate, row.rate_seconds, row.rate_burst)),
                ("At once of a key", _at_once(row.key_max_running, None)),
                ("Rate of a key", _rate(row.key_rate, row.key_rate_seconds, row.key_rate_burst)),
                ("Paused", ago(row.paused_at) if row.paused_at else "no"),
                ("Created", ago(row.created_at)),
            ],
        }

    def edit_view(self, request: HttpRequest, name: str) -> HttpResponse:
        self.require(request, "jobs.change_queue")
        row = self.found(request, name)
        if not isinstance(row, Queue):
            return self.missing(request, name)
        form = QueueForm(request.POST if request.method == "POST" else None, initial=start_of(row))
        return self._form(request, form, row)

    def has_new_permission(self, request: HttpRequest) -> bool:
        return self.may_edit(request)

    @needs("jobs.change_queue")
    @action(description="New queue", url_path="new", icon="add", permissions=["new"])
    def new_queue(self, request: HttpRequest) -> HttpResponse:
        form = NewQueueForm(request.POST if request.method == "POST" else None, initial=start_of(Queue()))
        return self._form(request, form, None)

    def _form(self, request: HttpRequest, form: QueueForm, row: Queue | None) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            actor = Actor.of(request.user)
            try:
                settings = {"reason": form.cleaned_data["reason"], **form.settings()}
                saved = (
                    steering.create_queue(actor, form.cleaned_data["name"], **settings)
                    if row is None
                    else steering.change_queue(actor, row.pk, **settings)
                )
            except InvalidSubmission as error:
                place_error(form, error)
            except NotFound as error:
                messages.error(request, str(error))
                return HttpResponseRedirect(address(Queue, "changelist"))
            except ActionRefused as error:
                form.add_error("name" if row is None else None, error.reason)
            else:
                messages.success(request, _saved(saved, before=row))
                return HttpResponseRedirect(address(Queue, "change", saved.pk))
        context = {
            "form": form,
            "back": address(Queue, "changelist") if row is None else address(Queue, "change", row.pk),
            "submit": "Make the queue" if row is None else "Save",
        }
        title = "New queue" if row is None else f"Change {row.pk}"
        return self.render(request, "admin/jobs/queue/form.html", row=row, title=title, **context)


def _saved(queue: Queue, *, before: Queue | None) -> str:
    if before is None:
        return f"The queue {queue.pk} was made."
    if start_of(queue) == start_of(before):
        return f"The queue {queue.pk} is as it was: nothing was changed."
    return f"The queue {queue.pk} was changed."


def _ageing(queue: Queue) -> str:
    if queue.ageing_seconds is None:
        return "off: strict priority"
    return f"{spoken(queue.ageing_seconds)} a step"


def _limits(queue: Queue) -> str:
    """All of them in one line."""
    found = []
    for whose, most, rate, seconds in (
        ("", queue.max_running, queue.rate, queue.rate_seconds),
        (" per key", queue.key_max_running, queue.key_rate, queue.key_rate_seconds),
    ):
        if most is not None:
            found.append(f"{most:,} at once{whose}")
        if rate is not None:
            found.append(f"{rate:,} in {_span(seconds)}{whose}")
    return ", ".join(found) or NOTHING


def _span(seconds: float) -> str:
    """What was set has no tenths that it was not set with."""
    return f"{seconds:.0f} s" if 1 <= seconds < 10 and seconds.is_integer() else spoken(seconds)


def _at_once(most: int | None, running: int | None) -> str:
    if most is None:
        return "no limit"
    return f"{most:,}" if running is None else f"{most:,}, of which {running:,} run"


def _rate(rate: int | None, seconds: float, burst: int | None) -> str:
    if rate is None:
        return "no limit"
    return f"{rate:,} in {_span(seconds)}, {burst or rate:,} at once"
