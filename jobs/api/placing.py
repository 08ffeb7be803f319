"""`/jobs/{id}/explain`, `…/move`, `…/reschedule`: why a job waits, and where and when it does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import explaining, explanation, rearranging
from jobs.api import answers, examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import MoveBody, RescheduleBody
from jobs.api.schema import operation
from jobs.api.shapes import ActionShape
from jobs.states import State

__all__ = ["PlacingViews"]


class ReasonShape(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=list(get_args(explaining.Code)))
    text = serializers.CharField(help_text="One sentence for people.")
    until = serializers.DateTimeField(allow_null=True, help_text="When it ends by itself.")
    jobs = serializers.ListField(
        child=serializers.IntegerField(), help_text="Jobs it is about, a few of them."
    )


class ExplanationShape(serializers.Serializer[Any]):
    """Every reason that holds, and an estimate of the start."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    reasons = ReasonShape(many=True)
    starts_at = serializers.DateTimeField(
        allow_null=True, help_text="An estimate; null where it is not known."
    )
    starts_note = serializers.CharField(help_text="What the estimate rests on, or why there is none.")


class PlacingViews(ApiViewSet):
    """A part of the views of jobs."""

    @operation("Explain a job", response=ExplanationShape, answer=examples.EXPLANATION, filters=False)
    @action(detail=True)
    def explain(self, request: Request, pk: str) -> Response:
        """Why it is not running: every reason that holds, and when it may start."""
        told = asdict(explanation.explained(self.object_id))
        return Response(ExplanationShape({"id": self.object_id, **told}).data)

    @operation(
        "Move a job to another queue",
        request=MoveBody,
        example={"queue": "slow", "reason": "not urgent"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        """Of a job that waits; it keeps its age."""
        return answers.of_one(
            rearranging.move(self.actor, [self.object_id], **self.body(MoveBody)), self.object_id
        )

    @operation(
        "Reschedule a job",
        request=RescheduleBody,
        example={"scheduled_at": "2030-01-31T12:00:00Z", "reason": "after the release"},
        response=ActionShape,
        answer=examples.ACTION,
    )
    @action(detail=True, methods=["post"])
    def reschedule(self, request: Request, pk: str) -> Response:
        """Of a job that waits; an available one waits for time again."""
        return answers.of_one(
            rearranging.reschedule(self.actor, [self.object_id], **self.body(RescheduleBody)), self.object_id
        )
