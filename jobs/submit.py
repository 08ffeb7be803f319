"""The way in: specs are checked against the registry and become rows in the caller's transaction.

Rolled back with it, told to the workers only after it commits. REST, the admin, the command line and schedules all
come through here, so there is one set of rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from jobs import conf
from jobs.core import dag
from jobs.core.backoff import Backoff
from jobs.database import django_cursor, pipe
from jobs.errors import InvalidSubmission
from jobs.lean import LeanCursor, is_lean
from jobs.payloads import check_name, check_text
from jobs.specs import JobSpec, prepare, prepare_alike
from jobs.states import State
from jobs.store import submitting
from jobs.store.limiting import make_queue
from jobs.store.uniqueness import insert_unique
from jobs.store.values import Alike, NewJob
from jobs.unique import Existing, Unique
from notifications.doorbell import ring

__all__ = ["WAKE", "JobSpec", "Submitted", "prepare", "submit", "submit_many", "submit_workflow"]

WAKE = "opsched_jobs"


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Submitted:
    """What became of a spec: the job's id and its first state. `existing`: for a duplicate, of the job it met.

    A value, to be left as it is. Not frozen, because a bulk makes many: a frozen one takes twice as long to make.
    """

    id: int
    state: State
    key: str = ""
    existing: Existing | None = None

    @property
    def duplicate(self) -> bool:
        """Another job holds the unique key: `id` and `state` are that job's."""
        return self.existing is not None

    @property
    def replaced(self) -> bool:
        """The other job, which still waits, has this spec's payload now."""
        return self.existing is not None and self.existing.replaced

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if not self.duplicate:
            return f"Job {self.id} was submitted: {self.state}."
        what = "it has the new payload now" if self.replaced else "nothing new was submitted"
        return f"Job {self.id}, which is {self.state}, holds this unique key: {what}."

    @property
    def result(self) -> Any:
        """Of the other job, when it has completed."""
        return None if self.existing is None else self.existing.result


def submit(
    kind: str,
    payload: dict[str, Any] | None = None,
    *,
    queue: str | None = None,
    priority: int | None = None,
    max_attempts: int | None = None,
    scheduled_at: datetime | None = None,
    timeout: float | None = None,
    backoff: Backoff | None = None,
    expires_at: datetime | None = None,
    deadline: datetime | float | None = None,
    unique_key: str | Unique | None = None,
    concurrency_key: str | None = None,
    user_id: int | None = None,
) -> Submitted:
    """Submit one job. Raises InvalidSubmission (UnknownKind for a kind nobody declared); then nothing is stored.

    With a `unique_key` that another job holds: that job (`duplicate`), or DuplicateJob, as the key's policy says.
    """
    spec = JobSpec(
        kind=kind,
        payload={} if payload is None else payload,
        queue=queue,
        priority=priority,
        max_attempts=max_attempts,
        scheduled_at=scheduled_at,
        timeout=timeout,
        backoff=backoff,
        expires_at=expires_at,
        deadline=deadline,
        unique_key=unique_key,
        concurrency_key=concurrency_key,
    )
    job = prepare(spec)
    alone = job.scheduled_at is None and job.unique is None and not job.timed
    job_id = _insert_alone(job, user_id) if alone else None
    if job_id is None:
        return _insert([job], user_id, name_items=False)[0]
    return Submitted(id=job_id, state=State.AVAILABLE)


def submit_many(
    specs: Sequence[JobSpec], *, user_id: int | None = None, name_items: bool = True
) -> list[Submitted]:
    """Submit many jobs, all or none, in the order given. Errors name the item: `jobs[3].priority`."""
    if not specs:
        return []
    limit = conf.get().MAX_BULK
    if len(specs) > limit:
        raise InvalidSubmission("jobs", f"{len(specs):,} jobs at once; at most {limit:,} are allowed")
    if (alike := prepare_alike(specs, name_items=name_items)) is not None:
        return _insert_alike(alike, user_id)
    rows = [prepare(spec, at=f"jobs[{index}]." if name_items else "") for index, spec in enumerate(specs)]
    return _insert(rows, user_id, name_items=name_items)


def _insert(rows: Sequence[NewJob], user_id: int | None, *, name_items: bool) -> list[Submitted]:
    with transaction.atomic(), django_cursor() as cursor:
        ring(WAKE)
        if any(row.unique is not None for row in rows):
            met = insert_unique(cursor, rows, user_id=user_id, name_items=name_items)
            return [Submitted(id=one.id, state=one.state, existing=one.existing) for one in met]
        placed = submitting.insert_jobs(cursor, rows, user_id=user_id)
    return [Submitted(id=job_id, state=state) for job_id, state in placed]


def _insert_alike(alike: Alike, user_id: int | None) -> list[Submitted]:
    with transaction.atomic(), django_cursor() as cursor:
        ring(WAKE)
        make_queue(cursor, alike.job.queue)
        with pipe(cursor, alone=len(alike.parts) == 1) as send:
            ids = submitting.insert_alike(send, alike, user_id=user_id)
            # The first of them are there while the server still makes the last.
            return [Submitted(id=job_id, state=State.AVAILABLE) for job_id in ids]


def _insert_alone(job: NewJob, user_id: int | None) -> int | None:
    """One statement: outside a transaction it is one round trip; inside one it needs a savepoint around it, so that an
    error leaves the caller's transaction usable.
    """
    connection = transaction.get_connection()
    if not connection.in_atomic_block:
        return _insert_here(connection, job, user_id)
    with transaction.atomic():
        return _insert_here(connection, job, user_id)


def _insert_here(connection: BaseDatabaseWrapper, job: NewJob, user_id: int | None) -> int | None:
    with LeanCursor(connection) if is_lean(connection) else django_cursor(connection) as cursor:
        job_id = submitting.insert_job(cursor, job, user_id=user_id)
    if job_id is not None:
        ring(WAKE, connection)
    return job_id


def submit_workflow(
    name: str, specs: Sequence[JobSpec], *, user_id: int | None = None
) -> tuple[int, list[Submitted]]:
    """Submit a workflow, all or none: its id, and its jobs in the order given.

    Each spec has a `key`; `parents` name keys. Raises InvalidSubmission that names a cycle, an unknown parent, a
    duplicate key or edge.
    """
    check_name(name, field="name", max_length=200)
    if not specs:
        raise InvalidSubmission("jobs", "a workflow has at least one job")
    limit = conf.get().MAX_BULK
    if len(specs) > limit:
        raise InvalidSubmission("jobs", f"{len(specs):,} jobs at once; at most {limit:,} are allowed")
    edges = _edges(specs)
    rows = [
        replace(prepare(spec, at=f"jobs[{index}]."), task=spec.key, pending=len(spec.parents))
        for index, spec in enumerate(specs)
    ]
    with transaction.atomic(), django_cursor() as cursor:
        workflow_id, placed = submitting.insert_workflow(cursor, name, rows, edges, user_id=user_id)
        ring(WAKE)
    keyed = zip(placed, specs, strict=True)
    return workflow_id, [Submitted(id=job_id, state=state, key=spec.key) for (job_id, state), spec in keyed]


def _edges(specs: Sequence[JobSpec]) -> list[tuple[int, int]]:
    """Edges as indexes, after the graph was found sound."""
    index: dict[str, int] = {}
    for place, spec in enumerate(specs):
        # A text is a sequence of texts too, and "ab" would be the parents "a" and "b".
        if not isinstance(spec.parents, Sequence) or isinstance(spec.parents, str):
            raise InvalidSubmission(f"jobs[{place}].parents", "must be a list of keys")
        check_text(spec.key, field=f"jobs[{place}].key", max_length=200)
        if spec.unique_key is not None:
            reason = "a job of a workflow cannot have one: its place would stay empty where the key is taken"
            raise InvalidSubmission(f"jobs[{place}].unique_key", reason)
        if spec.key in index:
            raise InvalidSubmission(
                f"jobs[{place}].key", f'"{spec.key}" is already the key of jobs[{index[spec.key]}]'
            )
        index[spec.key] = place
    try:
        dag.order({spec.key: list(spec.parents) for spec in specs})
    except dag.DagError as error:
        raise InvalidSubmission("jobs", str(error)) from None
    return [(index[parent], place) for place, spec in enumerate(specs) for parent in spec.parents]
