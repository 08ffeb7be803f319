"""Worker processes in the admin: read-only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from jobs import conf
from jobs.admin.base import SteeredAdmin
from jobs.display import ago, badge, duration, exact, pretty
from jobs.models import Claim, Job, WorkerProcess
from jobs.states import State

__all__ = ["WorkerProcessAdmin"]

_RUNNING = 100
_NAMES = 5


class LivingFilter(SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("living", "live and draining"), *WorkerProcess.STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkerProcess]) -> QuerySet[WorkerProcess]:
        value = self.value()
        if not value:
            return queryset
        states = ["live", "draining"] if value == "living" else [value]
        return queryset.filter(state__in=states) if value in dict(self.lookup_choices) else queryset.none()


@admin.register(WorkerProcess)
class WorkerProcessAdmin(SteeredAdmin):
    list_display = ("name", "state_badge", "heartbeat", "serves", "concurrency", "lost_jobs", "started")
    list_filter = (LivingFilter,)
    list_filter_submit = False
    page_template = "admin/jobs/workerprocess/page.html"
    empty_title = "No workers"
    empty_text = "Start one with: manage.py runworker. Nothing runs without a worker."

    @admin.display(description="state")
    def state_badge(self, row: WorkerProcess) -> str:
        return badge("silent" if silent(row) else row.state)

    @admin.display(description="last heartbeat")
    def heartbeat(self, row: WorkerProcess) -> str:
        return ago(row.heartbeat_at)

    @admin.display(description="queues")
    def serves(self, row: WorkerProcess) -> str:
        more = f" and {len(row.queues) - _NAMES} more" if len(row.queues) > _NAMES else ""
        return ", ".join(row.queues[:_NAMES]) + more if row.queues else "all"

    @admin.display(description="lost, still running")
    def lost_jobs(self, row: WorkerProcess) -> int | None:
        return row.lost_running or None

    @admin.display(description="started")
    def started(self, row: WorkerProcess) -> str:
        return ago(row.started_at)

    def page_context(self, request: HttpRequest, row: WorkerProcess) -> dict[str, Any]:
        ids = [
            job
            for jobs in Claim.objects.filter(worker_id=row.pk).values_list("jobs", flat=True)[:50]
            for job in jobs
        ]
        running = Job.objects.filter(pk__in=ids[:5000], worker_id=row.pk, state=State.RUNNING)
        return {
            "state": "silent" if silent(row) else row.state,
            "facts": [
                ("Host", row.hostname),
                ("Process", row.pid),
                ("Jobs at once", row.concurrency),
                ("Lost, still running", row.lost_running),
                ("Queues", ", ".join(row.queues) or "all"),
                ("Order of queues", "strict" if row.strict else "shared by weight"),
                ("Last heartbeat", ago(row.heartbeat_at)),
                ("Started", ago(row.started_at)),
                ("Stopped", exact(row.stopped_at)),
                ("Lived for", duration(row.started_at, row.stopped_at or row.heartbeat_at)),
            ],
            "running": running.order_by("started_at").values("pk", "kind", "attempt", "started_at")[
                :_RUNNING
            ],
            "stats": pretty(row.stats),
            "kinds": row.kinds,
        }


def silent(row: WorkerProcess) -> bool:
    """Called living, but without a heartbeat for a whole lease: dead, and nobody has noticed yet."""
    lease = timedelta(seconds=conf.get().LEASE_SECONDS)
    return row.state in ("live", "draining") and timezone.now() - row.heartbeat_at > lease
