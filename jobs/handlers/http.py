"""`http.request`: call a web service from a job, without becoming a way into the inside network.

The order is fixed: judge the payload, resolve once, judge every address, connect to exactly these, judge the
answer. An answer that another try could change (5xx, 408, 425, 429, time-out, connection) is an ordinary
failure; any other unexpected status ends as a dead letter at once. Neither results, log lines nor errors
carry request headers, paths or queries.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jobs import conf
from jobs.errors import JobsError, PermanentError
from jobs.handlers.addresses import AddressPolicy, AddressRefused, NameNotResolved, resolve
from jobs.handlers.http_client import Answer, Exchange, ExchangeFailed
from jobs.handlers.http_payload import HttpRequestPayload
from jobs.handlers.payloads import parse
from jobs.handlers.redaction import kept_headers, scrub, secrets_of
from jobs.outcomes import Retry
from jobs.registry import job

if TYPE_CHECKING:
    from jobs.context import JobContext

__all__ = ["RequestFailed", "RequestRefused", "UnexpectedStatus", "http_request"]

_TRANSIENT = frozenset((408, 425, 429))  # with all of 5xx: the server asks for, or may like, another try
_LONGEST_WAIT = 6 * 3600.0  # a Retry-After beyond this would park the job for a server's typing error
_HEAD_ROOM = 4 * 1024  # of the result, for all that is neither body nor headers
_TEXT_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class RequestFailed(JobsError):
    """No answer, or one that another try may change: 5xx, 408, 425, 429, time-out, connection, look-up."""


class RequestRefused(PermanentError):
    """The host has an address that jobs may not talk to."""


class UnexpectedStatus(PermanentError):
    """The answer has a status that was not expected and that another try will not change."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer in the form it is stored."""

    status: int
    headers: dict[str, str]
    body: str
    encoding: str
    truncated: bool

    def result(self, *, started: float) -> dict[str, Any]:
        return {
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
            "body_encoding": self.encoding,
            "truncated": self.truncated,
            "elapsed_ms": round((time.monotonic() - started) * 1000),
        }


@job("http.request", max_attempts=5, payload_model=HttpRequestPayload)
def http_request(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Send one HTTP request; the result has status, headers, body, body_encoding, truncated, elapsed_ms.

    Raises RequestRefused or UnexpectedStatus (no further try), RequestFailed or Retry (another try).
    """
    asked = parse(HttpRequestPayload, payload)
    started = time.monotonic()
    answer = _send(ctx, asked, deadline=_deadline(ctx, asked, started))
    kept = _keep(answer, secrets_of(asked.headers), room=conf.get().MAX_RESULT_BYTES)
    ctx.log(f"{asked.method} {asked.target.origin}: {kept.status}, {len(answer.body)} bytes of body")
    _judge(asked, answer, kept)
    return kept.result(started=started)


def _deadline(ctx: JobContext, asked: HttpRequestPayload, started: float) -> float:
    own = started + asked.timeout
    return own if ctx.deadline is None else min(own, ctx.deadline)


def _send(ctx: JobContext, asked: HttpRequestPayload, *, deadline: float) -> Answer:
    target, (content, content_type) = asked.target, asked.content()
    policy = AddressPolicy(conf.get().HTTP_ALLOW_NETWORKS)
    try:
        endpoints = resolve(target.host, target.port, policy=policy, timeout=deadline - time.monotonic())
        return Exchange(
            target=target,
            endpoints=endpoints,
            method=asked.method,
            headers=_headers(asked.headers, content_type, ctx.idempotency_key),
            content=content,
            deadline=deadline,
            max_body=asked.max_response_bytes,
            tick=ctx.raise_if_cancelled,
        ).run()
    except AddressRefused as error:
        raise RequestRefused(str(error)) from None
    except (NameNotResolved, ExchangeFailed) as error:
        raise RequestFailed(str(error)) from None


def _headers(given: dict[str, str], content_type: str | None, idempotency_key: str) -> dict[str, str]:
    names = {name.lower() for name in given}
    defaults = {"User-Agent": "opsched", "Accept": "*/*", "Idempotency-Key": idempotency_key}
    if content_type is not None:
        defaults["Content-Type"] = content_type
    return {name: value for name, value in defaults.items() if name.lower() not in names} | given


def _judge(asked: HttpRequestPayload, answer: Answer, kept: _Kept) -> None:
    """Raise unless the status is a success."""
    if asked.expects(answer.status):
        return
    said = f"{asked.method} {asked.target.origin} answered {answer.status}"
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _TRANSIENT:
        after = retry_after(answer.headers, now=time.time())
        if after is not None:
            raise Retry(after=after, reason=said)
        raise RequestFailed(said)
    excerpt = f": {kept.body[:300]}" if kept.encoding == "text" and kept.body else ""
    raise UnexpectedStatus(said + excerpt)


def retry_after(headers: Iterable[tuple[str, str]], *, now: float) -> float | None:
    """Seconds the server asks to wait (0 to 6 hours), given as seconds or as a date; None if it does not."""
    value = next((text.strip() for name, text in headers if name.lower() == "retry-after"), "")
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now, 0.0), _LONGEST_WAIT)


def _keep(answer: Answer, secrets: tuple[bytes, ...], *, room: int) -> _Kept:
    """Redact, then cut until it fits: a request that worked must not fail because its answer is long."""
    raw, truncated = scrub(answer.body, secrets), answer.truncated
    headers = kept_headers(answer.headers, secrets)
    room = max(room - _HEAD_ROOM - len(json.dumps(headers)), 0)
    body, encoding = _rendered(raw, answer.headers, cut=truncated)
    while len(json.dumps(body)) > room and raw:
        raw, truncated = raw[: min(len(raw) * room // len(json.dumps(body)), len(raw) - 1)], True
        body, encoding = _rendered(raw, answer.headers, cut=True)
    return _Kept(answer.status, headers, body, encoding, truncated)


def _rendered(raw: bytes, headers: Iterable[tuple[str, str]], *, cut: bool) -> tuple[str, str]:
    """The body as ("…", "text") when it is text without control characters, else in base64.

    NUL has no place in PostgreSQL's jsonb, and other control characters only harm the pages that show them.
    """
    if not _TEXT_CONTROLS.search(raw) and not _encoded(headers):
        for tail in range(4 if cut else 1):  # a cut may stand inside a character of up to four bytes
            try:
                return raw[: len(raw) - tail].decode("utf-8"), "text"
            except UnicodeDecodeError:
                continue
    return base64.b64encode(raw).decode("ascii"), "base64"


def _encoded(headers: Iterable[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-encoding" and value.lower() != "identity" for name, value in headers)
