"""`/dead-letter-groups` and `/dead-letter-runs`: errors with their letters, and what is done with many of them."""

from __future__ import annotations

import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from jobs import deadletter_steering as steering
from jobs import deadletters
from jobs.api import examples
from jobs.api.base import ApiViewSet
from jobs.api.deadletter_shapes import (
    ConfirmBody,
    FilterBody,
    GroupBody,
    GroupShape,
    ItemShape,
    LettersShape,
    ReasonBody,
    RunDetailShape,
    RunShape,
    UndoBody,
)
from jobs.api.filters import GroupFilters, RunFilters
from jobs.api.idempotency import idempotent
from jobs.api.pagination import Key, as_id
from jobs.api.schema import operation
from jobs.errors import NotFound
from jobs.models import DeadLetterGroup, DeadLetterItem, DeadLetterRun
from jobs.queries import groups

__all__ = ["GroupViews", "RunViews"]

_FINGERPRINT = "[A-Za-z0-9_.:-]{1,32}"
_STEERING = ("confirm", "pause", "resume", "stop", "undo")


def _fingerprint(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_FINGERPRINT, value):
        raise ValueError("no fingerprint")
    return value


class GroupViews(ApiViewSet):
    view_permission = "jobs.view_deadlettergroup"
    permissions = {"partial_update": "jobs.change_deadlettergroup"}
    queryset = DeadLetterGroup.objects.all()
    serializer_class = GroupShape
    filterset_class = GroupFilters
    lookup_value_regex = _FINGERPRINT
    page_key = Key(read=_fingerprint, descending=False)

    def get_queryset(self) -> QuerySet[Any]:
        return groups().select_related("owner")

    @operation("List groups of dead letters", response=GroupShape(many=True), answer=examples.GROUP)
    def list(self, request: Request) -> Response:
        """By fingerprint. A group outlives its letters; one that nobody owns or noted goes in time."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(GroupShape(page, many=True).data)

    @operation("Get a group of dead letters", response=GroupShape, answer=examples.GROUP)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One group, by fingerprint."""
        return Response(GroupShape(self._group(pk)).data)

    @operation(
        "Change a group of dead letters",
        request=GroupBody,
        example={"owner": "olga", "note": "the disk was full"},
        response=GroupShape,
        answer=examples.GROUP,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Owner and note; what is left out stays."""
        asked, group = self.body(GroupBody), self._group(pk)
        owner = None if group.owner is None else group.owner.get_username()
        steering.change_group(self.actor, pk, **{"owner": owner, "note": group.note, **asked})
        return Response(GroupShape(self._group(pk)).data)

    def _group(self, fingerprint: str) -> Any:
        found = self.get_queryset().filter(pk=fingerprint).first()
        if found is None:
            raise NotFound(f"There is no group {fingerprint}.")
        return found


class RunViews(ApiViewSet):
    view_permission = "jobs.view_deadletterrun"
    permissions = {"replay": "jobs.replay_deadletter", "discard": "jobs.discard_deadletter"}
    parameters = {"items": ("cursor", "page_size")}
    queryset = DeadLetterRun.objects.all()
    serializer_class = RunShape
    filterset_class = RunFilters

    def get_queryset(self) -> QuerySet[DeadLetterRun]:
        """Previews are for whoever made them."""
        return DeadLetterRun.objects.filter(~Q(state="previewed") | Q(operator_id=self.request.user.pk))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action in _STEERING:
            # What a run does decides who may steer it; asked before the body is looked at.
            self.actor.require(deadletters.PERMISSIONS[self.found().action])

    @operation("List runs over dead letters", response=RunShape(many=True), answer=examples.RUN)
    def list(self, request: Request) -> Response:
        """Newest first: what operators did or do with dead letters, and your own previews."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(RunShape(page, many=True).data)

    @operation("Get a run", response=RunDetailShape, answer=examples.RUN_DETAIL)
    def retrieve(self, request: Request, pk: str) -> Response:
        """How far it is, and what became of its jobs; of a preview, what would happen."""
        return self._told(self.found())

    @operation(
        "Preview a replay",
        request=FilterBody,
        example={"fingerprint": examples.DEAD_LETTER["fingerprint"]},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
        status=201,
    )
    @action(detail=False, methods=["post"])
    @idempotent
    def replay(self, request: Request) -> Response:
        """Freezes the set that fits, at most 100,000, and changes no job. Confirm it within 15 minutes."""
        return self._previewed("replay")

    @operation(
        "Preview a discard",
        request=FilterBody,
        example={"kind": "workflow.task"},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
        status=201,
    )
    @action(detail=False, methods=["post"])
    @idempotent
    def discard(self, request: Request) -> Response:
        """As the preview of a replay."""
        return self._previewed("discard")

    @operation(
        "Confirm a preview",
        request=ConfirmBody,
        example={"digest": "9f2c…", "reason": "the mail server is back", "canary": True, "per_minute": 60},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
        also=(202,),
    )
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str) -> Response:
        """Acts on exactly the previewed set; what changed meanwhile is refused by name, see `items`.

        200: done. 202: a canary, a pace or more than 10,000 letters; the workers go on with it. 409: not your preview,
        expired, confirmed already, or another digest. Needs the permission for what the run does.
        """
        run = deadletters.confirm(self.actor, self.object_id, **self.body(ConfirmBody))
        return self._told(run, HTTPStatus.ACCEPTED if run.state == "running" else HTTPStatus.OK)

    def _steered(self, change: Any) -> Response:
        return self._told(change(self.actor, self.object_id, **self.body(ReasonBody)))

    @operation(
        "Pause a run",
        request=ReasonBody,
        example={"reason": "r"},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """It stands still until it is resumed. Needs the permission for what the run does."""
        return self._steered(steering.pause)

    @operation(
        "Resume a run",
        request=ReasonBody,
        example={"reason": "r"},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """A paused or halted run goes on. Needs the permission for what the run does."""
        return self._steered(steering.resume)

    @operation(
        "Stop a run",
        request=ReasonBody,
        example={"reason": "r"},
        response=RunDetailShape,
        answer=examples.RUN_DETAIL,
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """It ends; the letters it did not come to stay. Needs the permission for what the run does."""
        return self._steered(steering.stop)

    @operation(
        "Undo a run",
        request=UndoBody,
        example={"reason": "wrong set"},
        response=LettersShape,
        answer={**examples.ACTION, "run": 5},
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """What has not started becomes a dead letter again, 10,000 at a time; the others stand under `refused`.

        Needs the permission for what the run does.
        """
        return Response(asdict(steering.undo(self.actor, self.object_id, **self.body(UndoBody))))

    @operation("List the items of a run", response=ItemShape(many=True), answer=examples.ITEM, filters=False)
    @action(detail=True)
    def items(self, request: Request, pk: str) -> Response:
        """The letters of its set in order: what became of each, and why one was left alone."""
        rows = DeadLetterItem.objects.filter(run=self.found()).defer("kept")
        return self.page_of(rows, ItemShape, Key(read=as_id, descending=False))

    def _previewed(self, action: str) -> Response:
        run = deadletters.preview(self.actor, action, self.body(FilterBody))
        location = reverse("api-v1:dead-letter-runs-detail", [run.pk], request=self.request)
        return Response(RunDetailShape(run).data, status=HTTPStatus.CREATED, headers={"Location": location})

    def _told(self, run: DeadLetterRun, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return Response(RunDetailShape(run).data, status=status)
