"""Filters of the operators' pages: times as people read them, and the little arithmetic a drawing needs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import template
from django.apps import apps
from django.db.models import Model
from django.template.defaultfilters import capfirst
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString, mark_safe

from jobs import display
from jobs.display import job_link
from jobs.events import EventKind
from jobs.explaining import Reason

__all__ = ["register"]

register = template.Library()
register.filter("ago", display.ago)
register.filter("exact", display.exact)


@register.filter
def wall(at: datetime) -> str:
    """A time in its own zone; Django's `date` filter would turn it into the current one."""
    return f"{at:%a %Y-%m-%d %H:%M %Z}"


@register.filter
def with_links(reason: Reason) -> SafeString:
    """A reason's sentence; the jobs it is about lead to their pages."""
    about = set(reason.jobs)

    def linked(found: re.Match[str]) -> str:
        number = int(found[1])
        return job_link(number) if number in about else found[0]

    return mark_safe(re.sub(r"#([0-9]{1,18})\b", linked, escape(reason.text)))  # noqa: S308 - escaped, then linked


@register.filter
def lower_first(sentence: str) -> str:
    """For a sentence that follows a colon."""
    return f"{sentence[:1].lower()}{sentence[1:]}"


@register.filter
def named(title: Any) -> str:
    """A step of the way to a page: our words begin with a capital, the name of an object stays as it is."""
    return str(title) if isinstance(title, Model) else capfirst(title)


@register.filter
def plus(number: int, more: int) -> int:
    return number + more


@register.filter
def act_url(opts: Any) -> str:
    """The name of the address where a model's acts are confirmed."""
    return f"admin:jobs_{opts.model_name}_act"


@register.simple_tag(takes_context=True)
def way_to(context: dict[str, Any], model: str, key: Any, text: Any = "") -> SafeString:
    """A link to the page of one of our objects, or the text alone for a reader who may not see it."""
    found = display.way_to(context["user"], apps.get_model("jobs", model), key, text or f"#{key}")
    return conditional_escape(found)


@register.simple_tag
def job_events() -> str:
    """All names an event of this app can have: a browser hears only those it names."""
    return " ".join(kind.value for kind in EventKind)
