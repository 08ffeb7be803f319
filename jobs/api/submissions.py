"""What a submission is answered with: the shapes, and which status says that something new came of it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from jobs.control import Actor
from jobs.states import State
from jobs.submit import Submitted

__all__ = [
    "FIRST_STATES",
    "BulkShape",
    "SubmittedShape",
    "SubmittedWorkflowShape",
    "of_many_submitted",
    "of_submitted",
]

_ANY: dict[str, Any] = {}
FIRST_STATES = [State.BLOCKED.value, State.SCHEDULED.value, State.AVAILABLE.value]


class SubmittedShape(serializers.Serializer[Any]):
    """What became of a job. With `duplicate`, `id` and `state` are those of the job that holds the unique key."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    duplicate = serializers.BooleanField(required=False, help_text="Another job holds the unique key.")
    replaced = serializers.BooleanField(required=False, help_text="Does that job have this payload now?")
    result = extend_schema_field(_ANY)(serializers.JSONField)(
        required=False, help_text="Of that job, when it has completed, for who may view jobs."
    )


class BulkShape(serializers.Serializer[Any]):
    jobs = SubmittedShape(many=True, help_text="In the order they were sent.")


class SubmittedTaskShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    key = serializers.CharField()
    state = serializers.ChoiceField(choices=FIRST_STATES)


class SubmittedWorkflowShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    jobs = SubmittedTaskShape(many=True)


def of_submitted(actor: Actor, made: Submitted, location: str) -> Response:
    """201, or 200 where the unique key led to another job."""
    status = HTTPStatus.OK if made.duplicate else HTTPStatus.CREATED
    return Response(_submitted(made, results=_sees(actor)), status=status, headers={"Location": location})


def of_many_submitted(actor: Actor, made: Sequence[Submitted]) -> Response:
    """201, or 200 where not one was new."""
    status = HTTPStatus.OK if all(one.duplicate for one in made) else HTTPStatus.CREATED
    results = _sees(actor)
    return Response({"jobs": [_submitted(one, results=results) for one in made]}, status=status)


def _submitted(made: Submitted, *, results: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": made.id, "state": made.state}
    if made.duplicate:
        answer |= {"duplicate": True, "replaced": made.replaced}
        if results:
            answer["result"] = made.result
    return answer


def _sees(actor: Actor) -> bool:
    """Whoever may submit jobs need not be allowed to see what others returned."""
    return actor.user is None or actor.user.has_perm("jobs.view_job")
