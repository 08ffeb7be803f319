"""How the API is described: every operation with its permission, an example, and the errors it can answer with.

`operation` decorates a view's method with what cannot be read off its code; `ApiSchema` adds what is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers

from jobs.api.idempotency import EXAMPLE, HEADER, MAX_KEY, REPLAYED
from jobs.api.problems import MEDIA_TYPE

__all__ = ["ApiSchema", "operation", "parameter"]

View = TypeVar("View", bound=Callable[..., Any])

_MEANING = {
    400: "A field, parameter or the body is wrong; `errors` says which and why.",
    401: "Not logged in, or with a token that is not valid.",
    403: "The user lacks the permission.",
    404: "There is no such object.",
    405: "The address does not know this method.",
    406: "Only `application/json` is answered.",
    409: "The state of the object does not allow it.",
    413: "The body is larger than 8 MB.",
    415: "The body is not `application/json`.",
    422: "The `Idempotency-Key` was used with another body.",
}
_REPLAYED = "The answer to an earlier request with the same `Idempotency-Key`: nothing was done now."
_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description=f"Made by the client for this request: a String of RFC 9651 (in double quotes) of 1 to {MAX_KEY} "
    "characters. The same key with the same body gets the first answer again, for `IDEMPOTENCY_SECONDS` (24 hours).",
    examples=[OpenApiExample("Key", value=EXAMPLE)],
)
_FIELDS = {400: [{"field": "jobs[3].priority", "reason": "must be within -100..100, not 200"}]}


class FieldProblem(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="Dotted path in the body, or the parameter.")
    reason = serializers.CharField()


class ProblemDetails(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField(
        help_text="`about:blank`, or `urn:opsched:problem:` and a word that a program can branch on: "
        "`invalid`, `unknown-kind`, `refused`, `duplicate`, `idempotency-key-reused`, "
        "`idempotency-key-in-flight`."
    )
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people.")
    job = serializers.IntegerField(required=False, help_text="The job that holds the unique key.")
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment] # a field of ours, not DRF's property


class ApiSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """Our session login, described as DRF's."""

    target_class = "jobs.api.authentication.PrintableSession"
    priority = 1


class ApiSchema(AutoSchema):
    """drf-spectacular's, with names by resource and action, permissions, and problems."""

    view: Any

    def get_operation_id(self) -> str:
        return f"{self.view.basename}_{self.view.action}"

    def get_tags(self) -> list[str]:
        return [self.view.basename]

    def get_description(self) -> str:  # type: ignore[override] # drf-spectacular's own signature
        text = str(super().get_description())
        needed = self.view.permission_of(self.view.action)
        return f"{text}\n\nPermission: `{needed}`." if needed else text

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for code, told in bodies.items():
            told["description"] = told.get("description") or HTTPStatus(int(code)).phrase
        if "201" in bodies and self._takes_key():
            headers = {REPLAYED: {"schema": {"type": "string", "enum": ["true"]}, "description": _REPLAYED}}
            bodies["201"].setdefault("headers", {}).update(headers)
        for status in self._problems():
            bodies.setdefault(str(status), self._problem(status))
        return bodies

    def _problems(self) -> Sequence[int]:
        found = [400, 401, 403, 406]
        if "{" in self.path:
            found.append(404)
        if self.method != "GET":
            found += [409, 413, 415]
        if self._takes_key():
            found.append(422)
        return sorted(found)

    def _takes_key(self) -> bool:
        return getattr(getattr(self.view, self.view.action, None), "takes_idempotency_key", False)

    def _problem(self, status: int) -> dict[str, Any]:
        example: dict[str, Any] = {
            "type": "urn:opsched:problem:invalid" if status in _FIELDS else "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": _MEANING[status],
        }
        if status in _FIELDS:
            example["errors"] = _FIELDS[status]
        schema = self.resolve_serializer(ProblemDetails, "response").ref
        return {
            "description": _MEANING[status],
            "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
        }


def operation(
    summary: str,
    *,
    response: Any,
    answer: Any,
    request: Any = None,
    example: Any = None,
    status: int = 200,
    parameters: Sequence[OpenApiParameter] = (),
    also: Sequence[int] = (),
    filters: bool | None = None,
) -> Callable[[View], View]:
    """Describe a method: its body (`request`, `example`) and its `response` with an `answer` as example.

    also: further statuses of the same shape. filters: False for a list that takes none of the view's filters.
    """
    statuses = (status, *also)
    shown = []
    if example is not None:
        shown.append(OpenApiExample("Request", value=example, request_only=True))
    if answer is not None:
        codes = [str(code) for code in statuses]
        shown.append(OpenApiExample("Answer", value=answer, response_only=True, status_codes=codes))

    def describe(view: View) -> View:
        # Without this a decorated method is described by the project's default class, not by ours.
        kwargs = view.__dict__.setdefault("kwargs", {})
        kwargs.setdefault("schema", ApiSchema)
        takes_key = getattr(view, "takes_idempotency_key", False)
        described = extend_schema(
            summary=summary,
            request=request,
            responses=dict.fromkeys(statuses, response),
            examples=shown,
            parameters=[*parameters, *([_KEY] if takes_key else [])],
            filters=filters,
        )
        return described(view)

    return describe


def parameter(name: str, description: str, kind: Any = str, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, required=required)
