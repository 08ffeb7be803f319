"""What a frozen set is made of and what would happen to it, in sentences; how the jobs of a run fare. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, OuterRef, Subquery

from jobs.acting import MAX_AT_ONCE
from jobs.models import (
    DeadLetter,
    DeadLetterGroup,
    DeadLetterItem,
    DeadLetterRun,
    Job,
    PausedKind,
    Queue,
    WorkerProcess,
)
from jobs.store.statements import rows

__all__ = ["Preview", "describe", "outcomes"]

_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`parts`: (kind, queue, letters); `errors`: (fingerprint, error class, letters); both the largest first.

    refused: (job, why) of jobs that were named and are left alone, the first of them.
    """

    sentences: list[str]
    parts: list[tuple[str, str, int]]
    errors: list[tuple[str, str, int]]
    jobs: list[int]
    refused: list[tuple[int, str]]


def describe(run: DeadLetterRun) -> Preview:
    """Of a run that was not confirmed yet. It is as of now: the letters may have changed since they were frozen."""
    items = DeadLetterItem.objects.filter(run=run, state="chosen")
    letters = DeadLetter.objects.filter(pk__in=items.values("job_id"))
    found = (
        letters.values_list("kind", "queue").annotate(number=Count("pk")).order_by("-number", "kind", "queue")
    )
    parts = list(found)
    return Preview(
        sentences=_sentences(run, parts),
        parts=parts[:_NAMED],
        errors=_errors(items),
        jobs=list(items.order_by("pk").values_list("job_id", flat=True)[:_NAMED]),
        refused=list(
            DeadLetterItem.objects.filter(run=run, state="refused")
            .order_by("pk")
            .values_list("job_id", "reason")[:_NAMED]
        ),
    )


def _errors(items: Any) -> list[tuple[str, str, int]]:
    group = DeadLetterGroup.objects.filter(pk=OuterRef("fingerprint")).values("error_class")
    found = (
        items.values("fingerprint").annotate(number=Count("pk"), error=Subquery(group)).order_by("-number")
    )
    return [(row["fingerprint"], row["error"] or "", row["number"]) for row in found[:_NAMED]]


def _sentences(run: DeadLetterRun, parts: Sequence[tuple[str, str, int]]) -> list[str]:
    if not run.total:
        return ["The set is empty: nothing would happen."]
    said = _of_discard(run) if run.action == "discard" else _of_replay(run, parts)
    if gone := run.total - sum(number for _, _, number in parts):
        said.append(f"{gone:,} of them changed since they were chosen, and will be left alone.")
    if run.truncated:
        said.append(
            f"More fit than one run takes: these are the {run.total:,} that died first. Do the rest afterwards."
        )
    if run.total > MAX_AT_ONCE:
        said.append(f"They go in batches by the workers, since they are more than {MAX_AT_ONCE:,}.")
    return said


def _of_replay(run: DeadLetterRun, parts: Sequence[tuple[str, str, int]]) -> list[str]:
    said = [
        f"{_jobs(run.total)} will get fresh attempts and become available. What they did before may happen again.",
        "Until a job has started, its replay can be undone.",
        *_late(run),
    ]
    paused = set(Queue.objects.filter(paused_at__isnull=False).values_list("pk", flat=True))
    for name in sorted({queue for _, queue, _ in parts if queue in paused}):
        number = sum(count for _, queue, count in parts if queue == name)
        said.append(f"{_jobs(number)} will wait, because the queue {name} is paused.")
    stopped = set(PausedKind.objects.values_list("pk", flat=True))
    for kind in sorted({kind for kind, _, _ in parts if kind in stopped})[:_NAMED]:
        number = sum(count for its, _, count in parts if its == kind)
        said.append(f"{_jobs(number)} will wait, because the kind {kind} is paused.")
    known = {
        kind
        for kinds in WorkerProcess.objects.filter(state="live").values_list("kinds", flat=True)
        for kind in kinds
    }
    for kind in sorted({kind for kind, _, _ in parts if kind not in known})[:_NAMED]:
        number = sum(count for its, _, count in parts if its == kind)
        said.append(f"{_jobs(number)} will wait, because no live worker knows the kind {kind}.")
    return said


def _late(run: DeadLetterRun) -> list[str]:
    with connection.cursor() as cursor:
        ((number,),) = rows(cursor, "count_late_letters", {"run": run.pk})
    if not number:
        return []
    return [f"The deadline of {_jobs(number)} has passed; it is lifted, so that they run nevertheless."]


def _of_discard(run: DeadLetterRun) -> list[str]:
    said = [f"{_jobs(run.total)} will never run.", "A discard can be undone while its job is kept."]
    items = DeadLetterItem.objects.filter(run=run, state="chosen").order_by("pk")
    in_workflows = Job.objects.filter(pk__in=items.values("job_id"), workflow__isnull=False)
    ids = list(in_workflows.order_by().values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
    if len(ids) > MAX_AT_ONCE:
        said.append("All jobs of workflows that wait for them will be skipped.")
    elif ids:
        with connection.cursor() as cursor:
            below = len(rows(cursor, "blocked_descendants", {"ids": ids}))
        said.append(f"{_jobs(below)} of workflows that wait for them will be skipped.")
    return said


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"


def outcomes(run: DeadLetterRun) -> list[tuple[str, int]]:
    """The states that the jobs it moved are in now, most first; of the newest `MAX_AT_ONCE` of them."""
    items = DeadLetterItem.objects.filter(run=run, state__in=("done", "returned")).order_by("-pk")
    ids = list(items.values_list("job_id", flat=True)[:MAX_AT_ONCE])
    found = (
        Job.objects.filter(pk__in=ids).values_list("state").annotate(number=Count("pk")).order_by("-number")
    )
    return list(found)
