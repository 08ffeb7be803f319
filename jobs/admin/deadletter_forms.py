"""The forms of dead letters: what a set is chosen by, how it is confirmed, who looks after a group."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from jobs.admin.forms import ListedInput, ReasonForm, ReplayForm, UtcTimeField
from jobs.deadletter_steering import MAX_NOTE
from jobs.deadletters import MAX_PER_MINUTE
from jobs.letter_filters import NAMES

__all__ = ["ConfirmDiscardForm", "ConfirmReplayForm", "GroupForm", "SetForm"]

_OWNERS = 500


def _text(length: int, **more: Any) -> forms.CharField:
    return forms.CharField(max_length=length, required=False, widget=UnfoldAdminTextInputWidget(), **more)


class SetForm(forms.Form):
    """Which dead letters. What is left empty does not narrow the set."""

    action = forms.ChoiceField(
        choices=[("replay", "Replay them"), ("discard", "Discard them")], widget=UnfoldAdminSelectWidget()
    )
    fingerprint = _text(32, help_text="Of the error; a group's page fills it in.")
    error_class = _text(  # type: ignore[assignment] # a field, not the attribute of forms of that name
        200, help_text="Name of the exception's class, exactly."
    )
    kind = forms.CharField(max_length=100, required=False, widget=ListedInput("kinds"))
    queue = forms.CharField(max_length=100, required=False, widget=ListedInput("queues"))
    workflow = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        label="Workflow number",
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    died_after = UtcTimeField(required=False, label="Died at or after", help_text="In UTC.")
    died_before = UtcTimeField(required=False, label="Died before", help_text="In UTC.")

    @property
    def filters(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in NAMES if name in self.cleaned_data}


class ConfirmDiscardForm(ReasonForm):
    """Why."""


class ConfirmReplayForm(ReplayForm):
    """Why, and how fast."""

    canary = forms.BooleanField(
        required=False,
        label="One first, as a canary",
        widget=UnfoldBooleanSwitchWidget(),
        help_text="The oldest goes alone; the rest follows when it has completed, and stays if it dies.",
    )
    per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        label="Jobs a minute",
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Empty: all at once. With a pace the workers do it, and stop when the same error comes back.",
    )
    field_order: tuple[str, ...] = ("reason", "attempts", "canary", "per_minute")  # type: ignore[assignment]


class GroupForm(forms.Form):
    owner = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget(), help_text="Who looks after it."
    )
    note = forms.CharField(
        required=False,
        max_length=MAX_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="What is known: cause, ticket, what to do.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = get_user_model()
        people = model._default_manager.filter(is_active=True, is_staff=True).order_by(model.USERNAME_FIELD)
        names = [user.get_username() for user in people[:_OWNERS]]
        given = self.initial.get("owner")
        if given and given not in names:
            names.append(given)
        self.fields["owner"].choices = [("", "nobody"), *((name, name) for name in names)]  # type: ignore[attr-defined]
