"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request sent again gets the first answer.

The view, what it makes and the stored answer are one transaction. A refusal rolls it back, so that only successes are
kept and a refused request may be mended and sent again under its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any

from django.db import transaction
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import conf
from jobs.api.problems import KeyInFlight, KeyReused
from jobs.database import django_cursor
from jobs.store import idempotency
from jobs.store.idempotency import Answer, Scope

__all__ = ["EXAMPLE", "HEADER", "MAX_KEY", "REPLAYED", "idempotent", "read_key"]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 255
EXAMPLE = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'

View = Callable[..., Response]

# An Item of RFC 9651: a String, then parameters of any kind, of which none means anything here.
_STRING = r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
_BARE = (
    r"(?:-?\d{1,15}(?:\.\d{1,3})?|@-?\d{1,15}|\?[01]|:[A-Za-z0-9+/=]*:|%?"
    + _STRING.replace("(", "(?:", 1)
    + r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
)
_ITEM = re.compile(rf" *{_STRING}(?:; *[a-z*][a-z0-9_.*-]*(?:={_BARE})?)* *")


def idempotent(view: View) -> View:
    """Decorates the method of a view set that creates something and answers with what it made."""

    @wraps(view)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = request.headers.get(HEADER)
        if given is None:
            return view(self, request, *args, **kwargs)
        path = request.path.rstrip("/")
        user_id: Any = request.user.pk  # whoever comes here is logged in
        scope = Scope(user_id=user_id, route=f"{request.method} {path}", key=read_key(given))
        body = _fingerprint(request.data)
        with transaction.atomic():
            return _first_answer(scope, body) or _make(
                scope, body, lambda: view(self, request, *args, **kwargs)
            )

    answered.takes_idempotency_key = True  # type: ignore[attr-defined] # read by the description
    return answered


def read_key(text: str) -> str:
    """The key in the header's value, a String of RFC 9651. Raises ValidationError."""
    found = _ITEM.fullmatch(text)
    if found is None:
        raise ValidationError(
            {HEADER: [f"must be a String of RFC 9651: in double quotes, such as {EXAMPLE}"]}
        )
    key = re.sub(r'\\(["\\])', r"\1", found[1])
    if not 1 <= len(key) <= MAX_KEY:
        raise ValidationError({HEADER: [f"has {len(key)} characters; 1 to {MAX_KEY} are allowed"]})
    return key


def _fingerprint(body: Any) -> str:
    """The same for the same JSON, however it is spaced and ordered."""
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise ParseError("The body is nested too deep.") from None
    return sha256(text.encode()).hexdigest()


def _first_answer(scope: Scope, body: str) -> Response | None:
    """What this key got before. Raises KeyInFlight and KeyReused."""
    with django_cursor() as cursor:
        if not idempotency.try_lock(cursor, scope):
            raise KeyInFlight
        found = idempotency.find(cursor, scope)
    if found is None:
        return None
    if found.fingerprint != body:
        raise KeyReused
    headers = {REPLAYED: "true", **({"Location": found.location} if found.location else {})}
    return Response(json.loads(found.body), status=found.status, headers=headers)


def _make(scope: Scope, body: str, make: Callable[[], Response]) -> Response:
    """Let the view do it and keep its answer."""
    made = make()
    answer = Answer(
        fingerprint=body,
        status=made.status_code,
        location=made.headers.get("Location", ""),
        body=JSONRenderer().render(made.data).decode(),
    )
    with django_cursor() as cursor:
        if not idempotency.keep(cursor, scope, answer, seconds=conf.get().IDEMPOTENCY_SECONDS):
            raise KeyInFlight  # beyond the lock, the unique index: nothing of this request stays
    return made
