"""What a story is: a ground, an act that is faulted, and the facts that hold in the end; and words that many share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.control import Actor
from jobs.models import Job
from notifications.items import expand
from notifications.models import Event

__all__ = ["BOSS", "Story", "a_word", "states_of", "told"]

BOSS = Actor(name="boss")
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`begin` makes the ground; `act` is done until it went through; `facts` are true then; `end` tidies up.

    `whole`: `act` is one transaction, so it has happened entirely or not at all at every moment.
    """

    name: str
    begin: Callable[[], Any]
    act: Callable[[Any], None]
    facts: Callable[[Any], None]
    end: Callable[[Any], None] = lambda _: None
    whole: bool = False


def states_of(*ids: int) -> list[str]:
    found = dict(Job.objects.filter(pk__in=ids).values_list("pk", "state"))
    return [found[one] for one in ids]


def a_word() -> str:
    """That no story has used before."""
    return f"story-{next(_NUMBERS)}"


def told(kind: str, job_id: int) -> int:
    """How often the log says so of the job."""
    items = [item for row in Event.objects.values_list("items", flat=True) for item in expand(row)]
    return sum(1 for _, name, _, payload in items if name == kind and payload.get("job") == job_id)
