"""What a story is: a ground, an act that is faulted, and the facts that hold in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.models import Job

__all__ = ["Story", "states_of"]


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
