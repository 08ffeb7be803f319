"""Dead letters in the admin: what waits for a decision, and the two decisions, single and in bulk.

What is ticked in the list is frozen as a set and previewed, see `deadletter_runs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.contrib.filters.admin import TextFilter

from jobs.admin.base import SteeredAdmin
from jobs.admin.confirmed import AT_ONCE, Act
from jobs.admin.deadletter_edit import edit_and_replay
from jobs.admin.joblist import KindFilter, LinkedFilter, QueueFilter, WorkflowFilter, with_text
from jobs.admin.jobs import DISCARD, REPLAY
from jobs.admin.keyset import Column, KeysetChangeList, integer, moment
from jobs.deadletters import PERMISSIONS
from jobs.display import address, ago, way_to
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun, Job

__all__ = ["DeadLetterAdmin"]

_MESSAGE = 160


def _dead(letter: DeadLetter) -> str:
    """A row here means that the job is dead; `control` looks again under a lock."""
    return ""


class ErrorFilter(TextFilter):
    """The beginning of an error class."""

    title = "error class"
    parameter_name = "error"

    def queryset(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        return with_text(queryset, "error_class__startswith", self.value())


class FingerprintFilter(LinkedFilter):
    """All dead letters with the same error at the same place."""

    title = "fingerprint"
    parameter_name = "fingerprint"

    def queryset(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        return with_text(queryset, "fingerprint", self.value())


class OfWorkflowFilter(WorkflowFilter):
    """A letter has no column for it; the jobs of a workflow are found by their own index."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        jobs = super().queryset(request, Job.objects.all())
        return queryset.filter(pk__in=jobs.values("pk"))


class DeadLetterChangeList(KeysetChangeList):
    """Offers to select all that fit, as many as one action takes: one error often kills thousands."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        sees = request.user.has_perm("jobs.view_deadletterrun")
        self.may = {action: sees and request.user.has_perm(needed) for action, needed in PERMISSIONS.items()}
        if self.older is not None or self.newer is not None:
            count = self.queryset.order_by()[:AT_ONCE].count()
            self.result_count = self.full_result_count = count

    @property
    def ways(self) -> list[dict[str, str]]:
        """To the page that freezes all that fit the filters, for what this user may do.

        None where there are no letters, and while something is searched for: the search is no filter of a set, which
        would be larger than the list.
        """
        names = {"error": "error_class", "kind": "kind", "queue": "queue", "fingerprint": "fingerprint"}
        given = {names[name]: self.given(name) for name in names if self.given(name)}
        given |= {"workflow": self.given("workflow")} if self.given("workflow") else {}
        # No letter fits a blank filter, which would be none at all to the form.
        blank = not all(value.strip() for value in given.values())
        if blank or self.query.strip() or not (self.result_list or self.has_active_filters):
            return []
        return [
            {
                "label": label,
                "icon": icon,
                "url": f"{reverse('admin:jobs_deadletterrun_new')}?{urlencode({'action': action, **given})}",
            }
            for action, label, icon in (
                ("replay", "Replay all that fit …", "replay"),
                ("discard", "Discard all that fit …", "delete"),
            )
            if self.may[action]
        ]


@admin.register(DeadLetter)
class DeadLetterAdmin(SteeredAdmin):
    acts = (
        replace(REPLAY, refusal=_dead, bulk=True, vanishes=True),
        replace(DISCARD, refusal=_dead, bulk=True, vanishes=True),
    )
    keyset = (Column(name="died_at", read=moment), Column(name="pk", read=integer, descending=False))
    list_display = ("number", "error", "kind", "queue", "attempts", "died", "same")
    list_filter = (KindFilter, QueueFilter, ErrorFilter, OfWorkflowFilter, FingerprintFilter)
    list_before_template = "admin/jobs/deadletter/ways.html"
    list_disable_select_all = False
    search_fields = ("job_id",)
    search_help_text = "Number of the job, or beginning of its kind"
    page_template = "admin/jobs/deadletter/page.html"
    empty_title = "No dead letters"
    empty_text = "Jobs that failed for good wait here until an operator replays or discards them."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[DeadLetterChangeList]:
        return DeadLetterChangeList

    def get_urls(self) -> list[URLPattern]:
        edit = self.admin_site.admin_view(self.edit_view)
        return [path("<int:job_id>/edit/", edit, name="jobs_deadletter_edit"), *super().get_urls()]

    def edit_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        return edit_and_replay(self, request, job_id)

    def act_on(self, request: HttpRequest, act: Act, keys: Sequence[Any]) -> HttpResponse:
        """What is ticked in the list becomes a frozen set; one letter from its page is confirmed as everywhere."""
        from_list = request.method == "POST" and "confirmed" not in request.POST
        runs: Any = self.admin_site.get_model_admin(DeadLetterRun)
        if not (from_list and keys and self.may(request, act) and runs.may_do(request, act.name)):
            return super().act_on(request, act, keys)
        answer: HttpResponse = runs.freeze(request, act.name, {"ids": list(keys)})
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        return DeadLetter.objects.defer("traceback")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=integer(term)), False
        except ValueError:
            return queryset.filter(Q(kind__startswith=term[:100])), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A dead letter is shown on the page of its job, which also has the attempts that led to it."""
        key = self.key(object_id)
        if not request.user.has_perm("jobs.view_job") or key is None:
            return super().change_view(request, object_id)
        return HttpResponseRedirect(address(Job, "change", key))

    @admin.display(description="job")
    def number(self, letter: DeadLetter) -> str:
        return f"#{letter.pk}"

    @admin.display(description="error")
    def error(self, letter: DeadLetter) -> str:
        text = f"{letter.error_class}: {letter.message}" if letter.message else letter.error_class
        return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"

    @admin.display(description="died")
    def died(self, letter: DeadLetter) -> str:
        return ago(letter.died_at)

    @admin.display(description="same error")
    def same(self, letter: Any) -> str:
        return way_to(letter.reader, DeadLetterGroup, letter.fingerprint, letter.fingerprint[:8])
