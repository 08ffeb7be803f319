"""How values look: badges of states, ages, durations, JSON. Everything that comes from a job is escaped and bounded."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Job

__all__ = [
    "NOTHING",
    "address",
    "ago",
    "badge",
    "duration",
    "exact",
    "job_link",
    "link",
    "pretty",
    "spoken",
    "way_to",
]

NOTHING = "-"
MAX_SHOWN = 20_000
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def badge(word: str) -> SafeString:
    """A state as a coloured label; the colour belongs to the word (jobs/admin.css), unknown words are grey."""
    return format_html('<span class="jb-badge jb-badge--{0}">{0}</span>', word)


def spoken(seconds: float) -> str:
    """A length of time in its two largest units: "2 h 5 min", "350 ms"."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:  # below this, tenths are still worth a look
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
        if len(parts) == 2 or (parts and not rest):
            break
    return " ".join(parts)


def duration(start: datetime | None, end: datetime | None) -> str:
    return NOTHING if start is None or end is None else spoken((end - start).total_seconds())


def ago(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """How long ago, or in how long; the exact time stands in the tooltip."""
    if at is None:
        return NOTHING
    delta = (now or timezone.now()) - at
    if abs(delta) < timedelta(seconds=1):
        text = "now"
    else:
        length = spoken(abs(delta).total_seconds())
        text = f"{length} ago" if delta > timedelta(0) else f"in {length}"
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}" class="jb-nowrap">{}</time>',
        at.isoformat(),
        exact(at),
        round(delta.total_seconds(), 1),
        text,
    )


def exact(at: datetime | None) -> str:
    return NOTHING if at is None else f"{at.astimezone(timezone.get_current_timezone()):%Y-%m-%d %H:%M:%S %Z}"


def pretty(value: Any) -> tuple[str, int]:
    """Indented JSON text, cut at `MAX_SHOWN` characters, and the number of characters cut off."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text[:MAX_SHOWN], max(len(text) - MAX_SHOWN, 0)


def address(model: type[Model] | Model, page: str, *args: Any) -> str:
    """The admin's address of a model's page."""
    return reverse(f"admin:jobs_{model._meta.model_name}_{page}", args=[quote(arg) for arg in args])


def link(url: str, text: Any) -> SafeString:
    return format_html('<a class="jb-link" href="{}">{}</a>', url, text)


def way_to(user: Any, model: type[Model], key: Any, text: Any) -> SafeString | str:
    """A link to the page of an object for a user who may see it, else the text alone: no link ends at a refusal."""
    may = user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
    return link(address(model, "change", key), text) if may else str(text)


def job_link(job_id: int, text: str = "") -> SafeString:
    return link(address(Job, "change", job_id), text or f"#{job_id}")
