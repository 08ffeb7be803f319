"""The form that submits a job. It reads texts; whether they make a job is decided by `jobs.submit`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from jobs.admin.forms import JsonField, ListedInput, WallTimeField, ZoneField, place_error
from jobs.errors import InvalidSubmission
from jobs.job_options import MAX_TIMEOUT
from jobs.payloads import check_time
from jobs.submit import JobSpec
from jobs.unique import MAX_KEY, Unique

__all__ = ["SubmitForm", "instant"]


_SCOPES = [
    ("", "until the job has ended, or for the window below"),
    ("unfinished", "until the job has ended"),
    ("window", "for the window below"),
    ("forever", "for ever"),
]
_POLICIES = [
    ("return", "lead to that job"),
    ("replace", "give it this payload, if it still waits"),
    ("refuse", "refuse this one"),
]


class SubmitForm(forms.Form):
    """Empty fields take the kind's value."""

    kind = forms.CharField(
        max_length=100,
        widget=ListedInput("kinds", {"autofocus": True}),
        help_text="Which handler runs it. Start typing to see the registered kinds.",
    )
    payload = JsonField(
        required=False, initial="{}", help_text="A JSON object, handed to the handler as it is."
    )
    queue = forms.CharField(
        max_length=100,
        required=False,
        widget=ListedInput("queues"),
        help_text="Empty: the kind's queue. A queue that does not exist yet is made.",
    )
    priority = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="From -100 to 100, higher goes first. Empty: the kind's.",
    )
    scheduled_at = WallTimeField(
        required=False,
        label="Not before",
        help_text="Empty: as soon as a worker is free.",
    )
    timezone = ZoneField(
        max_length=60,
        initial="UTC",
        label="Time zone",
        widget=ListedInput("zones"),
        help_text="In which the times of this form are meant. A time that comes twice is the first of the two.",
    )
    expires_at = WallTimeField(
        required=False,
        label="Start deadline",
        help_text="Has it not begun by then, it is discarded. Empty: it may wait for ever.",
    )
    deadline = WallTimeField(
        required=False,
        label="Deadline",
        help_text="No attempt begins or goes on after it. Empty: none.",
    )
    max_attempts = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="From 1 to 1000. Empty: the kind's.",
    )
    timeout = forms.FloatField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "any"}),
        help_text=f"Seconds, at most {MAX_TIMEOUT:,.0f}. Empty: the kind's.",
    )

    unique_key = forms.CharField(
        max_length=MAX_KEY,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="One job a key, within its kind. Empty: as many as are submitted.",
    )
    unique_scope = forms.ChoiceField(
        choices=_SCOPES,
        required=False,
        label="Key is held",
        widget=UnfoldAdminSelectWidget(),
    )
    unique_seconds = forms.FloatField(
        required=False,
        label="Window",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "any"}),
        help_text="Seconds from the submission, for a key that is held for a time.",
    )
    unique_policy = forms.ChoiceField(
        choices=_POLICIES,
        required=False,
        label="If another job holds it",
        widget=UnfoldAdminSelectWidget(),
    )

    concurrency_key = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Jobs of a queue with the same key share the queue's limits for keys, such as a tenant's name.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        zone = cleaned.get("timezone")
        for name in ("scheduled_at", "expires_at", "deadline"):
            wall = cleaned.get(name)
            if wall is not None and zone:
                self._place(cleaned, name, wall, zone)
        return cleaned

    def _place(self, cleaned: dict[str, Any], name: str, wall: datetime, zone: str) -> None:
        try:
            cleaned[name] = instant(wall, zone, field=name)
        except ValidationError as error:
            self.add_error(name, error)
        except InvalidSubmission as error:
            place_error(self, error)

    def spec(self) -> JobSpec:
        """Raises InvalidSubmission."""
        fields = self.cleaned_data
        return JobSpec(
            kind=fields["kind"],
            payload=fields["payload"],
            queue=fields["queue"] or None,
            priority=fields["priority"],
            max_attempts=fields["max_attempts"],
            scheduled_at=fields["scheduled_at"],
            timeout=fields["timeout"],
            expires_at=fields["expires_at"],
            deadline=fields["deadline"],
            concurrency_key=fields["concurrency_key"] or None,
            unique_key=self._unique(),
        )

    def _unique(self) -> Unique | None:
        fields = self.cleaned_data
        if fields["unique_key"]:
            names = ("key", "scope", "seconds", "policy")
            given = {name: fields[f"unique_{name}"] for name in names}
            return Unique.read({name: None if value == "" else value for name, value in given.items()})
        if fields["unique_seconds"] is not None:
            raise InvalidSubmission("unique_key", "is missing: a window belongs to a key")
        return None


def instant(wall: datetime, zone_name: str, *, field: str = "scheduled_at") -> datetime:
    """The instant of a wall time, or a ValidationError where the clocks skip it."""
    zone = ZoneInfo(zone_name)
    check_time(wall.replace(tzinfo=UTC), field=field)
    found = wall.replace(tzinfo=zone)
    if found.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        raise ValidationError(f"There is no {wall:%H:%M} on this day in {zone_name}: the clocks skip it.")
    return found
