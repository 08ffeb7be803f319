"""The small forms of the confirmation pages, and what all forms here share.

Forms check shape; what is allowed is decided by `jobs.submit`, `jobs.control` and `jobs.steering`, whose refusals
`place_error` puts on the field they name.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from jobs.errors import InvalidSubmission

__all__ = [
    "JsonField",
    "ListedInput",
    "MoveForm",
    "OptionalReasonForm",
    "PriorityForm",
    "ReasonForm",
    "ReplayForm",
    "RescheduleForm",
    "UtcTimeField",
    "WallTimeField",
    "ZoneField",
    "place_error",
    "reason_field",
    "zone_names",
]

_HIGHEST = 1000


class ListedInput(UnfoldAdminTextInputWidget):
    """A text input with suggestions, which the form's template writes as the data list of this id."""

    def __init__(self, listed: str, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(
            attrs={"list": listed, "autocomplete": "off", "spellcheck": "false", **(attrs or {})}
        )


class WallTimeField(forms.CharField):
    """A date and time as a clock on the wall shows it; the zone is a field of its own.

    Django's own field would read it in the zone of the site, and refuse what the clocks skip there.
    """

    no_offset = "Leave the offset out here and name the time zone in its own field."

    def __init__(self, *, attrs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        shown = {"type": "datetime-local", "step": "1", **(attrs or {})}
        super().__init__(widget=UnfoldAdminTextInputWidget(attrs=shown), **kwargs)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValidationError("This is no date and time, such as 2030-05-01 12:30.") from None
        if found.tzinfo is not None:
            raise ValidationError(self.no_offset)
        return found

    def run_validators(self, value: Any) -> None:
        """Those of CharField look at texts."""


class UtcTimeField(WallTimeField):
    """A wall time in UTC, whatever zone the site shows times in."""

    no_offset = "Leave the offset out: this is read as UTC."

    def clean(self, value: Any) -> datetime | None:
        found: datetime | None = super().clean(value)
        return None if found is None else found.replace(tzinfo=UTC)


def reason_field() -> forms.CharField:
    """Why something is done; may be left empty."""
    return forms.CharField(
        max_length=1000,
        required=False,
        help_text="Kept with the record of this action, for whoever reads it later.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


class OptionalReasonForm(forms.Form):
    """Why, in one line. Kept with the record of the action."""

    reason = reason_field()

    @classmethod
    def start(cls, row: Model) -> dict[str, Any]:
        """Initial values, given the first object that was picked."""
        return {}


class ReasonForm(OptionalReasonForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = True
        self.fields["reason"].widget.attrs["autofocus"] = True


class PriorityForm(OptionalReasonForm):
    priority = forms.IntegerField(
        min_value=-100,
        max_value=100,
        help_text="From -100 to 100; higher goes first.",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"autofocus": True}),
    )
    field_order = ("priority", "reason")

    @classmethod
    def start(cls, row: Model) -> dict[str, Any]:
        return {"priority": row.priority}  # type: ignore[attr-defined]


class MoveForm(OptionalReasonForm):
    queue = forms.CharField(
        max_length=100,
        help_text="The queue they go to; it is made where there is none.",
        widget=ListedInput("queues", {"autofocus": True}),
    )
    field_order = ("queue", "reason")


class RescheduleForm(OptionalReasonForm):
    scheduled_at = UtcTimeField(
        label="Not before", help_text="In UTC, later than now.", attrs={"autofocus": True}
    )
    field_order = ("scheduled_at", "reason")


class ReplayForm(ReasonForm):
    attempts = forms.IntegerField(
        min_value=1,
        max_value=_HIGHEST,
        initial=1,
        help_text="How many fresh attempts each job gets at least.",
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    field_order = ("reason", "attempts")


class JsonField(forms.CharField):
    """A JSON object as text."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=True, **kwargs)
        self.widget.attrs.update({"rows": 8, "spellcheck": "false"})
        self.widget.attrs["class"] = f"{self.widget.attrs.get('class', '')} jb-code-input"

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return {}
        try:
            found = json.loads(text, parse_constant=_no_number)
        except RecursionError:
            raise ValidationError("The JSON is nested too deep.") from None
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}.") from None
        if not isinstance(found, dict):
            raise ValidationError("This must be a JSON object, such as {}.")
        return found

    def validate(self, value: Any) -> None:
        """An empty object is a payload too, so there is nothing that is required."""

    def run_validators(self, value: Any) -> None:
        """Those of CharField look at texts; a NUL inside the JSON is refused by `jobs.payloads`."""


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


class ZoneField(forms.CharField):
    """The IANA name of a time zone; its value is the name."""

    def clean(self, value: Any) -> str:
        name: str = super().clean(value)
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; no name at all; a folder of zones
            raise ValidationError("This is no known time zone; it looks like Europe/Berlin or UTC.") from None
        return name


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def place_error(form: forms.Form, error: InvalidSubmission) -> None:
    """Show a refusal at the field it names: `payload.to` belongs to the field `payload`."""
    head, _, rest = error.field.partition(".")
    text = f"{rest}: {error.reason}" if rest else error.reason
    form.add_error(head if head in form.fields else None, f"{text[:1].upper()}{text[1:]}")
