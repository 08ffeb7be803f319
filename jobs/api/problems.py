"""Errors as the API tells them: `application/problem+json` (RFC 9457), whatever raised them.

`errors` names each wrong field by its dotted path (`jobs[3].priority`) and says why. What is not known here is a fault
of the server and stays one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from jobs.errors import ActionRefused, DuplicateJob, InvalidSubmission, NotFound, UnknownKind

__all__ = ["MEDIA_TYPE", "BodyTooLarge", "KeyInFlight", "KeyReused", "Problem", "handle"]

logger = logging.getLogger("opsched.api")

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 50
_LONGEST = 1_000
_LONGEST_NAME = 200
_URN = "urn:opsched:problem:"


class BodyTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


class KeyInFlight(exceptions.APIException):
    """The first request with this Idempotency-Key is still being worked on."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "A request with this Idempotency-Key is still being worked on; try again shortly."
    kind = "idempotency-key-in-flight"
    wait = 0.0


class KeyReused(exceptions.APIException):
    """The Idempotency-Key was used for another request."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = "This Idempotency-Key was used with another body; a new request needs a new key."
    kind = "idempotency-key-reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One answer that is an error. `kind`: end of its URN; empty where the status says it all. `job`: it is about."""

    status: int
    detail: str
    kind: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    job: int | None = None

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": _URN + self.kind if self.kind else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.job is not None:
            found["job"] = self.job
        if self.errors:
            found["errors"] = [{"field": field, "reason": reason} for field, reason in self.errors]
        return found


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler of every view here. None: not ours to explain, so a 500."""
    problem = _problem(error)
    if problem is None:
        return None
    set_rollback()
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("answered %d: %s", problem.status, error)
    headers = _headers(error)
    return Response(problem.body(), status=problem.status, headers=headers, content_type=MEDIA_TYPE)


def _problem(error: Exception) -> Problem | None:
    match error:
        case InvalidSubmission():
            kind = "unknown-kind" if isinstance(error, UnknownKind) else "invalid"
            return _invalid(((error.field, error.reason),), kind=kind)
        case exceptions.ValidationError():
            return _invalid(tuple(_flat(error.detail)))
        case NotFound():
            return Problem(status=404, detail=str(error))
        case ActionRefused():
            return _refused(error)
        case exceptions.APIException():
            kind = getattr(error, "kind", "")
            return Problem(status=error.status_code, detail=_sentence(error.detail), kind=kind)
        case _:
            return _framework_problem(error)


def _refused(error: ActionRefused) -> Problem:
    if isinstance(error, DuplicateJob):
        errors = ((error.field, error.why),)
        return Problem(status=409, detail=str(error), kind="duplicate", errors=errors, job=error.job_id)
    return Problem(status=409, detail=error.reason, kind="refused")


def _framework_problem(error: Exception) -> Problem | None:
    """What Django raises by itself."""
    match error:
        case Http404():
            return Problem(status=404, detail="There is nothing here.")
        case PermissionDenied():
            return Problem(status=403, detail=str(error) or "You may not do this.")
        case RequestDataTooBig():
            return Problem(status=413, detail=BodyTooLarge.default_detail)
        case SuspiciousOperation() | BadRequest() | MultiPartParserError() | UnreadablePostError():
            return Problem(status=400, detail="The request cannot be read.")
        case OperationalError() | InterfaceError():
            return Problem(status=503, detail="The database does not answer; try again shortly.")
        case _:
            return None


def _invalid(errors: tuple[tuple[str, str], ...], *, kind: str = "invalid") -> Problem:
    # Some reasons quote what was sent: an answer that is as large as the request helps nobody.
    errors = tuple((_short(field, _LONGEST_NAME), _short(reason, _LONGEST)) for field, reason in errors)
    field, reason = errors[0] if errors else ("", "The request is not valid.")
    detail = f"{field}: {reason}" if field else reason
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    return Problem(status=400, detail=detail, kind=kind, errors=errors[:_MOST_ERRORS])


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """DRF's nested errors as (dotted path, reason)."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flat(inner, _joined(path, name))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            place = path if isinstance(inner, str) else f"{path}[{index}]"
            yield from _flat(inner, place)
    else:
        yield path, str(detail)


def _joined(path: str, name: object) -> str:
    if name in ("non_field_errors", "__all__"):
        return path
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else str(name)


def _sentence(detail: Any) -> str:
    return " ".join(reason for _, reason in _flat(detail))


def _headers(error: Exception) -> dict[str, str]:
    headers: dict[str, str] = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(getattr(error, "auth_header", ""))
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    elif isinstance(error, OperationalError | InterfaceError):
        headers["Retry-After"] = "1"
    return headers
