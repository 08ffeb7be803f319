"""Queues with settings of their own, and what a worker's look finds in them."""

from __future__ import annotations

from typing import Any

import jobs
from jobs import JobSpec, queue_steering
from jobs.control import Actor
from jobs.database import django_cursor
from jobs.models import Queue
from jobs.window import Window

ACTOR = Actor()


def submit(count: int, kind: str = "test.echo", **options: Any) -> list[int]:
    return [one.id for one in jobs.submit_many([JobSpec(kind=kind, **options)] * count)]


def change(queue: str, **settings: Any) -> None:
    Queue.objects.get_or_create(pk=queue)
    queue_steering.change_queue(ACTOR, queue, **settings)


def look(**options: Any) -> Window:
    window = Window(queues=options.pop("queues", []), kinds=["test.echo"], horizon=3.0, **options)
    with django_cursor() as cursor:
        window.poll(cursor)
    return window
