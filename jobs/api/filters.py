"""Query parameters of the lists, each with one type; what cannot be read is a 400 that names the parameter.

Unknown parameters are refused by the view, before a filter is built.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters as df
from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend, FilterSet

from jobs.api.fields import MAX_ID, read_instant
from jobs.errors import InvalidSubmission
from jobs.models import DeadLetter, DeadLetterGroup, DeadLetterRun, Job, Schedule, WorkerProcess, Workflow
from jobs.queries import holders_of, with_state
from jobs.states import State

__all__ = [
    "DeadLetterFilters",
    "GroupFilters",
    "JobFilters",
    "RunFilters",
    "ScheduleFilters",
    "StrictFilters",
    "WorkerFilters",
    "WorkflowFilters",
]

STATES = [(state.value, state.value) for state in State]


class StrictFilters(DjangoFilterBackend):
    """django-filter, whose errors become problems."""

    raise_exception = True


class InstantField(forms.Field):
    def clean(self, value: Any) -> datetime | None:
        if value in (None, ""):
            return None
        try:
            # A "+" of a zone that nobody escaped arrives as a space.
            return read_instant(value.replace(" ", "+") if value.count(" ") == 1 and "T" in value else value)
        except InvalidSubmission as error:
            raise ValidationError(error.reason) from None


class IdField(forms.Field):
    def clean(self, value: Any) -> int | None:
        if value in (None, ""):
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID))):
            raise ValidationError("must be an id: a whole number")
        if not 1 <= int(value) <= MAX_ID:
            raise ValidationError(f"must be within 1..{MAX_ID}")
        return int(value)


class InstantFilter(df.IsoDateTimeFilter):
    field_class = InstantField


class IdFilter(df.NumberFilter):
    field_class = IdField

    def get_max_validator(self) -> None:
        """Its field knows the bounds."""


def since(field: str, what: str) -> InstantFilter:
    return InstantFilter(field_name=field, lookup_expr="gte", help_text=f"{what} at this time or later.")


def until(field: str, what: str) -> InstantFilter:
    return InstantFilter(field_name=field, lookup_expr="lt", help_text=f"{what} before this time.")


def exactly(field: str, help_text: str) -> df.CharFilter:
    return df.CharFilter(field_name=field, max_length=200, strip=False, help_text=help_text)


class JobFilters(FilterSet):
    state = df.ChoiceFilter(choices=STATES, method="by_state", help_text="The state of the job.")
    kind = exactly("kind", "The kind, exactly.")
    queue = exactly("queue", "The queue, exactly.")
    workflow = IdFilter(field_name="workflow_id", help_text="Jobs of this workflow.")
    unique_key = df.CharFilter(
        max_length=200,
        strip=False,
        method="by_unique_key",
        help_text="The job of each kind that holds this unique key, or held it last.",
    )
    created_after = since("created_at", "Submitted")
    created_before = until("created_at", "Submitted")
    scheduled_after = since("scheduled_at", "Earliest start")
    scheduled_before = until("scheduled_at", "Earliest start")

    class Meta:
        model = Job
        fields: list[str] = []

    def by_state(self, jobs: QuerySet[Job], _name: str, value: str) -> QuerySet[Job]:
        return with_state(jobs, State(value))

    def by_unique_key(self, jobs: QuerySet[Job], _name: str, value: str) -> QuerySet[Job]:
        return jobs.filter(pk__in=holders_of(value))


class WorkflowFilters(FilterSet):
    state = df.ChoiceFilter(choices=Workflow.STATES, help_text="The state of the workflow.")
    name = exactly("name", "The name, exactly.")
    created_after = since("created_at", "Submitted")
    created_before = until("created_at", "Submitted")

    class Meta:
        model = Workflow
        fields: list[str] = []


class ScheduleFilters(FilterSet):
    kind = exactly("kind", "The kind, exactly.")
    name = exactly("name", "The name, exactly.")
    paused = df.ChoiceFilter(
        choices=[("true", "true"), ("false", "false")],
        method="by_paused",
        help_text="Paused ones, or the others.",
    )

    class Meta:
        model = Schedule
        fields: list[str] = []

    def by_paused(self, schedules: QuerySet[Schedule], _name: str, value: str) -> QuerySet[Schedule]:
        return schedules.filter(paused_at__isnull=value == "false")


class DeadLetterFilters(FilterSet):
    kind = exactly("kind", "The kind, exactly.")
    queue = exactly("queue", "The queue, exactly.")
    error_class = exactly("error_class", "Name of the exception's class, exactly.")
    fingerprint = exactly("fingerprint", "Same for the same error at the same place.")
    workflow = IdFilter(method="by_workflow", help_text="Dead letters of this workflow.")
    died_after = since("died_at", "Died")
    died_before = until("died_at", "Died")

    class Meta:
        model = DeadLetter
        fields: list[str] = []

    def by_workflow(self, letters: QuerySet[DeadLetter], _name: str, value: int) -> QuerySet[DeadLetter]:
        return letters.filter(pk__in=Job.objects.filter(workflow_id=value).values("pk"))


class GroupFilters(FilterSet):
    error_class = exactly("error_class", "Name of the exception's class, exactly.")
    letters = df.ChoiceFilter(
        choices=[("some", "some"), ("none", "none")],
        method="by_letters",
        help_text="Groups with letters that wait, or without.",
    )
    owner = df.CharFilter(
        method="by_owner", max_length=150, strip=False, help_text="Name of the owner, exactly."
    )

    class Meta:
        model = DeadLetterGroup
        fields: list[str] = []

    def by_letters(self, groups: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return groups.filter(letters__gt=0) if value == "some" else groups.filter(letters__lte=0)

    def by_owner(self, groups: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return groups.filter(**{f"owner__{get_user_model().USERNAME_FIELD}": value})


class RunFilters(FilterSet):
    action = df.ChoiceFilter(choices=DeadLetterRun.ACTIONS, help_text="What it does.")
    state = df.ChoiceFilter(choices=DeadLetterRun.STATES, help_text="The state of the run.")

    class Meta:
        model = DeadLetterRun
        fields: list[str] = []


class WorkerFilters(FilterSet):
    state = df.ChoiceFilter(choices=WorkerProcess.STATES, help_text="The state of the process.")

    class Meta:
        model = WorkerProcess
        fields: list[str] = []
