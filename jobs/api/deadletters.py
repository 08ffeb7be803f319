"""`/dead-letters`: jobs that wait for an operator's decision."""

from __future__ import annotations

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import control
from jobs.api import answers, examples
from jobs.api.base import ApiViewSet
from jobs.api.bodies import BulkDiscardBody, BulkReplayBody, ReplayBody, RequiredReasonBody
from jobs.api.deadletter_shapes import LettersShape
from jobs.api.filters import DeadLetterFilters
from jobs.api.schema import operation
from jobs.api.shapes import DeadLetterDetailShape, DeadLetterShape
from jobs.deadletters import replay_edited
from jobs.models import DeadLetter

__all__ = ["DeadLetterViews"]

_DONE = {**examples.ACTION, "run": 5}
_BULK = {
    **_DONE,
    "refused": [{"id": 13, "reason": "job 13 is completed; only dead letters can be replayed"}],
}


class DeadLetterViews(ApiViewSet):
    view_permission = "jobs.view_deadletter"
    permissions = {
        "replay": "jobs.replay_deadletter",
        "replay_many": "jobs.replay_deadletter",
        "discard": "jobs.discard_deadletter",
        "discard_many": "jobs.discard_deadletter",
    }
    queryset = DeadLetter.objects.all()
    serializer_class = DeadLetterShape
    filterset_class = DeadLetterFilters

    @operation("List dead letters", response=DeadLetterShape(many=True), answer=examples.DEAD_LETTER)
    def list(self, request: Request) -> Response:
        """Newest job first. `id` is the id of the job."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset().defer("traceback")))
        return self.get_paginated_response(DeadLetterShape(page, many=True).data)

    @operation(
        "Get a dead letter",
        response=DeadLetterDetailShape,
        answer={**examples.DEAD_LETTER, "traceback": "Traceback (most recent call last): …"},
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        """A dead letter with its traceback."""
        return Response(DeadLetterDetailShape(self.found()).data)

    @operation(
        "Replay a dead letter",
        request=ReplayBody,
        example={"reason": "the mail server is back", "attempts": 2},
        response=LettersShape,
        answer=_DONE,
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Gives the job fresh attempts and makes it available; with another `payload`, if there is one in the body.

        That is checked as at submission. 409 if the job is not dead (any more). `run` is where it can be undone until
        it starts.
        """
        asked = self.body(ReplayBody)
        payload = asked.pop("payload", None)
        if payload is None:
            done = control.replay(self.actor, [self.object_id], **asked)
        else:
            done = replay_edited(self.actor, self.object_id, payload, **asked)
        return answers.of_one(done, self.object_id)

    @operation(
        "Discard a dead letter",
        request=RequiredReasonBody,
        example={"reason": "the customer is gone"},
        response=LettersShape,
        answer=_DONE,
    )
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Decides that the job shall not run; what waits for it is skipped."""
        asked = self.body(RequiredReasonBody)
        return answers.of_one(control.discard(self.actor, [self.object_id], **asked), self.object_id)

    @operation(
        "Replay many dead letters",
        request=BulkReplayBody,
        example={"ids": [12, 13], "reason": "the mail server is back"},
        response=LettersShape,
        answer=_BULK,
    )
    @action(detail=False, methods=["post"], url_path="replay")
    def replay_many(self, request: Request) -> Response:
        """Those that can be replayed are; the others stand under `refused`."""
        return answers.of_many(control.replay(self.actor, **self.body(BulkReplayBody)))

    @operation(
        "Discard many dead letters",
        request=BulkDiscardBody,
        example={"ids": [12, 13], "reason": "the customer is gone"},
        response=LettersShape,
        answer=_BULK,
    )
    @action(detail=False, methods=["post"], url_path="discard")
    def discard_many(self, request: Request) -> Response:
        """Those that can be discarded are; the others stand under `refused`."""
        return answers.of_many(control.discard(self.actor, **self.body(BulkDiscardBody)))
