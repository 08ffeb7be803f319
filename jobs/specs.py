"""What is submitted, and how it is checked: against the registry, without any I/O.

`prepare` makes one spec a row. `prepare_alike` does it for many that differ in nothing but their payloads: what they
share is checked once, and the payloads become JSON together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, cycle
from operator import attrgetter, is_
from typing import Any

from pydantic import ValidationError

from jobs import conf
from jobs.core.backoff import Backoff
from jobs.errors import InvalidSubmission
from jobs.job_options import options_of, times_of
from jobs.payloads import check_integer, check_text, check_time, encode_json, encode_plain
from jobs.registry import NAME, JobKind, registry
from jobs.store.values import Alike, NewJob
from jobs.unique import Unique

__all__ = ["JobSpec", "prepare", "prepare_alike"]

PART = 500
"""Jobs that go in by one statement, with one row of the event log."""
_FEW = 10
_LARGE = 4 * 1024 * 1024
"""Characters of payloads that one statement carries at most, unless a single one has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job to submit. What is None comes from the kind.

    priority: -100..100, higher first. scheduled_at: earliest start, aware. timeout: seconds.
    expires_at: has it not begun by then, it is discarded. deadline: an instant, or seconds from now; no attempt begins
    or goes on after it.
    unique_key: a text, or a Unique that says how long the key is held and what becomes of duplicates.
    concurrency_key: jobs of a queue with the same key share the queue's limits for keys (a tenant, an account).
    key and parents (keys): the job's name and edges inside a workflow.
    """

    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    scheduled_at: datetime | None = None
    timeout: float | None = None
    backoff: Backoff | None = None
    expires_at: datetime | None = None
    deadline: datetime | float | None = None
    unique_key: str | Unique | None = None
    concurrency_key: str | None = None
    key: str = ""
    parents: Sequence[str] = ()


def prepare(spec: JobSpec, *, at: str = "") -> NewJob:
    """Check one spec and fill in the kind's defaults. `at`: prefix of the field in errors. No I/O."""
    if not isinstance(spec, JobSpec):
        raise InvalidSubmission(at.rstrip(".") or "job", f"must be a JobSpec, not {type(spec).__name__}")
    check_text(spec.kind, field=f"{at}kind", max_length=100)
    kind = registry.get(spec.kind)
    payload = _payload(kind, spec.payload, at)
    times = times_of(spec, at)
    unique = None if spec.unique_key is None else Unique.read(spec.unique_key, at=at)
    return NewJob(
        kind=kind.name,
        queue=kind.queue if spec.queue is None else _queue(spec.queue, at),
        priority=_within(spec.priority, kind.priority, field=f"{at}priority", low=-100, high=100),
        max_attempts=_within(
            spec.max_attempts, kind.max_attempts, field=f"{at}max_attempts", low=1, high=1000
        ),
        payload=payload,
        options=options_of(spec, unique, times, at),
        scheduled_at=None
        if spec.scheduled_at is None
        else check_time(spec.scheduled_at, field=f"{at}scheduled_at"),
        unique=unique,
        timed=bool(times),
    )


def _payload(kind: JobKind, payload: Any, at: str) -> str:
    settings = conf.get()
    return encode_json(
        _fitting(kind, payload, at),
        field=f"{at}payload",
        max_bytes=settings.MAX_PAYLOAD_BYTES,
        max_depth=settings.MAX_PAYLOAD_DEPTH,
    )


def _within(value: int | None, default: int, *, field: str, low: int, high: int) -> int:
    return default if value is None else check_integer(value, field=field, low=low, high=high)


def _queue(name: str, at: str) -> str:
    if not isinstance(name, str) or not NAME.match(name):
        raise InvalidSubmission(f"{at}queue", '1 to 100 letters, digits, "_", ".", ":" or "-"')
    return name


def _fitting(kind: JobKind, payload: Any, at: str) -> Any:
    if not isinstance(payload, dict):
        raise InvalidSubmission(f"{at}payload", "must be a JSON object")
    if kind.payload_model is not None:
        try:
            kind.payload_model.model_validate(payload)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in ("payload", *first["loc"]))
            raise InvalidSubmission(f"{at}{path}", first["msg"]) from None
        except RecursionError:
            raise InvalidSubmission(f"{at}payload", "is nested too deep or refers to itself") from None
        except Exception as error:
            raise InvalidSubmission(
                f"{at}payload", f"could not be checked: the model raised {type(error).__name__}"
            ) from error
    return payload


_shared = attrgetter(
    *(
        "kind",
        "queue",
        "priority",
        "max_attempts",
        "scheduled_at",
        "timeout",
        "backoff",
        "expires_at",
        "deadline",
    ),
    *("unique_key", "concurrency_key"),
)


def prepare_alike(specs: Sequence[JobSpec], *, name_items: bool = True) -> Alike | None:
    """All of the specs, where they differ in nothing but their payloads and may start at once; else None.

    Errors name the item, as those of `prepare` do.
    """
    first = specs[0]
    if len(specs) <= _FEW or not isinstance(first, JobSpec):
        return None
    if first.scheduled_at is not None or first.unique_key is not None:
        return None
    job = prepare(first, at="jobs[0]." if name_items else "")
    if job.timed:
        return None
    shared = _shared(first)
    if set(map(type, specs)) != {JobSpec}:
        return None
    # The very same values, which most bulks have, are seen without any code of Python's.
    if not all(map(is_, chain.from_iterable(map(_shared, specs)), cycle(shared))) and not all(
        _same(_shared(spec), shared) for spec in specs
    ):
        return None
    kind = registry.get(first.kind)
    parts = [
        part
        for start in range(0, len(specs), PART)
        for part in _encoded(kind, [spec.payload for spec in specs[start : start + PART]], start, name_items)
    ]
    return Alike(job=job, parts=parts)


def _same(values: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Equal and of the same types: what has passed the checks passes them again. True equals 1, and would not."""
    return all(map(is_, values, others)) or (
        [*map(type, values)] == [*map(type, others)] and values == others
    )


def _encoded(
    kind: JobKind, payloads: Sequence[Any], start: int, name_items: bool
) -> Iterator[tuple[int, str]]:
    """The payloads as JSON arrays, each with its length; `start` is the place of the first one."""
    settings = conf.get()
    if kind.payload_model is None:
        plain = encode_plain(
            payloads, max_bytes=settings.MAX_PAYLOAD_BYTES, max_depth=settings.MAX_PAYLOAD_DEPTH
        )
        if plain is not None:
            yield len(payloads), plain
            return
    texts: list[str] = []
    size = 0
    for place, payload in enumerate(payloads, start=start):
        text = _payload(kind, payload, f"jobs[{place}]." if name_items else "")
        if texts and size + len(text) > _LARGE:
            yield len(texts), f"[{','.join(texts)}]"
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    yield len(texts), f"[{','.join(texts)}]"
