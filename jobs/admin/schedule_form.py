"""The form of a schedule and the preview of its next slots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from jobs import schedules
from jobs.admin.forms import JsonField, ListedInput, ZoneField, reason_field
from jobs.core.errors import CoreError
from jobs.errors import InvalidSubmission
from jobs.models import Schedule

__all__ = ["MAX_NAME", "Preview", "ScheduleForm", "preview"]

MAX_NAME = 200
_SHOWN = 5


class ScheduleForm(forms.Form):
    """Texts and numbers; `steering` checks that they make a schedule that can run."""

    name = forms.CharField(max_length=MAX_NAME, widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True}))
    kind = forms.CharField(
        max_length=100, widget=ListedInput("kinds"), help_text="Which handler runs its jobs."
    )
    cron = forms.CharField(
        max_length=200,
        initial="0 * * * *",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Minute, hour, day of month, month, day of week: “30 2 * * 1-5” is 02:30 on working days.",
    )
    timezone = ZoneField(
        max_length=60,
        initial="UTC",
        label="Time zone",
        widget=ListedInput("zones"),
        help_text="Such as Europe/Berlin.",
    )
    payload = JsonField(required=False, initial="{}", help_text="A JSON object, handed to every job.")
    queue = forms.CharField(
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Empty: the kind's queue.",
    )
    priority = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="From -100 to 100, higher goes first. Empty: the kind's.",
    )
    misfire = forms.ChoiceField(
        choices=Schedule.MISFIRE,
        initial="latest",
        label="After a break, run",
        widget=UnfoldAdminSelectWidget(),
        help_text="What happens with slots that passed while no worker ran.",
    )
    catch_up_seconds = forms.FloatField(
        initial=86400,
        label="Catch-up window, seconds",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "any"}),
        help_text="Older missed slots are never run.",
    )
    reason = reason_field()

    @classmethod
    def of(cls, row: Schedule) -> dict[str, Any]:
        """Initial values from a schedule."""
        text = json.dumps(row.payload, indent=2, ensure_ascii=False)
        seconds = row.catch_up_seconds
        whole = {"payload": text, "catch_up_seconds": int(seconds) if seconds.is_integer() else seconds}
        return {name: getattr(row, name) for name in cls.base_fields if name != "reason"} | whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The next slots as (in UTC, in the schedule's zone), or why there are none."""

    slots: list[tuple[datetime, datetime]]
    zone: str
    problem: str = ""


def preview(cron: str, zone: str) -> Preview:
    """Never an error: what is wrong is said where the slots would be."""
    try:
        expression = schedules.parse(cron, zone)
        found = schedules.next_slots(expression, timezone.now(), _SHOWN)
    except InvalidSubmission as error:
        return Preview(slots=[], zone="", problem=f"{error.reason[:1].upper()}{error.reason[1:]}.")
    except CoreError as error:
        return Preview(slots=[], zone="", problem=f"{error}.")
    return Preview(slots=[(slot, slot.astimezone(ZoneInfo(zone))) for slot in found], zone=zone)
