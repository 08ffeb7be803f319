"""The forms of queues: what can be changed, and the same with a name. `jobs.steering` decides what is allowed."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from jobs.admin.forms import reason_field
from jobs.models import Queue
from jobs.queue_steering import SETTINGS

__all__ = ["NewQueueForm", "QueueForm", "start_of"]


def _limit(label: str, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        label=label,
        help_text=help_text,
        widget=UnfoldAdminIntegerFieldWidget(),
    )


def _seconds(label: str) -> forms.FloatField:
    return forms.FloatField(
        required=False,
        label=label,
        help_text="In how many seconds so many may start. Empty: as it is.",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "any"}),
    )


_LASTING = ("weight", "rate_seconds", "key_rate_seconds")
_SECTIONS = (
    ("", ("name", "description")),
    ("Order", ("ageing_seconds", "weight")),
    ("Limits of the whole queue", ("max_running", "rate", "rate_seconds", "rate_burst")),
    (
        "Limits of each concurrency key in it",
        ("key_max_running", "key_rate", "key_rate_seconds", "key_rate_burst"),
    ),
    ("Record", ("reason",)),
)


class QueueForm(forms.Form):
    description = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True}),
        help_text="What it is for and who looks after it.",
    )
    ageing_seconds = forms.FloatField(
        required=False,
        label="Ageing, seconds",
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "any"}),
        help_text="Waiting this long is worth one step of priority, so nothing waits for ever. "
        "Empty: strict priority, where newcomers of higher priority always go first.",
    )

    weight = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Its share of a worker that serves several queues, 1 to 100. Empty: as it is.",
    )
    max_running = _limit("At once", "Jobs that run at once, over all workers. Empty: no limit.")
    rate = _limit("Rate", "Starts within the seconds below. Empty: no limit.")
    rate_seconds = _seconds("Rate, seconds")
    rate_burst = _limit("Burst", "Starts at once after a pause. Empty: as many as the rate.")
    key_max_running = _limit("At once of a key", "Of each concurrency key. Empty: no limit.")
    key_rate = _limit(
        "Rate of a key", "Starts of each concurrency key within the seconds below. Empty: no limit."
    )
    key_rate_seconds = _seconds("Rate of a key, seconds")
    key_rate_burst = _limit(
        "Burst of a key", "Starts of a key at once after a pause. Empty: as many as its rate."
    )

    reason = reason_field()

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields under their headings."""
        return [(title, [self[name] for name in names if name in self.fields]) for title, names in _SECTIONS]

    def settings(self) -> dict[str, Any]:
        """What to change. Some settings have no "none"."""
        given = {name: self.cleaned_data[name] for name in SETTINGS}
        return {name: value for name, value in given.items() if not (value is None and name in _LASTING)}


class NewQueueForm(QueueForm):
    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autofocus": True, "autocomplete": "off", "spellcheck": "false"}
        ),
        help_text="As submissions name it. Its settings hold from its first job on.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["description"].widget.attrs.pop("autofocus")
        for name in _LASTING:
            self.fields[name].help_text = str(self.fields[name].help_text).replace("as it is", "1")


def start_of(queue: Queue) -> dict[str, Any]:
    """What the form begins with; a whole number of seconds without a fraction."""
    found = {setting: getattr(queue, setting) for setting in SETTINGS}
    whole = (name for name, value in found.items() if isinstance(value, float) and value.is_integer())
    return found | {name: int(found[name]) for name in whole}
