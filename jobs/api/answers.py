"""From what an action returned to an answer: one shape for all of them, and the status that says how it went."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus

from rest_framework.response import Response

from jobs.control import ActionResult
from jobs.errors import ActionRefused, NotFound
from jobs.models import Job

__all__ = ["of_many", "of_one"]


def of_one(result: ActionResult, job_id: int) -> Response:
    """One object was named, so a refusal is the answer: 404 where it does not exist, else 409.

    202: the worker that runs it was asked.
    """
    if result.refused:
        reason = result.refused[0].reason
        if not Job.objects.filter(pk=job_id).exists():
            raise NotFound(f"There is no job {job_id}.")
        raise ActionRefused(f"{reason[0].upper()}{reason[1:]}.")
    status = HTTPStatus.ACCEPTED if result.requested and not result.done else HTTPStatus.OK
    return Response(asdict(result), status=status)


def of_many(result: ActionResult) -> Response:
    """Many were named: what was refused stands beside what was done."""
    return Response(asdict(result))
