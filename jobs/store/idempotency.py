"""Answers kept under the key that a client gave its request, in the transaction of what the request made.

So after a crash either both are there or neither. That a request is being worked on is a lock, which dies with its
connection, never a row that would stay behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from jobs.store.statements import Cursor, execute, rows

__all__ = ["Answer", "Scope", "delete_expired", "find", "keep", "try_lock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose key it is and what it was sent to: the same key elsewhere is another one. `route`: method and path."""

    user_id: int
    route: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered. `fingerprint`: of the request's body; `body`: JSON text; `location`: or empty."""

    fingerprint: str
    status: int
    location: str
    body: str


def try_lock(cursor: Cursor, scope: Scope) -> bool:
    """Take the key for this transaction. False: another one has it."""
    name = f"opsched idempotency\n{scope.user_id}\n{scope.route}\n{scope.key}"
    number = int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)
    return bool(rows(cursor, "try_lock_key", {"number": number})[0][0])


def find(cursor: Cursor, scope: Scope, *, now: datetime | None = None) -> Answer | None:
    """The answer the key got before, if it still counts. After `try_lock`."""
    params = {"user": scope.user_id, "route": scope.route, "key": scope.key, "now": now}
    for fingerprint, status, location, body in rows(cursor, "stored_answer", params):
        return Answer(fingerprint=fingerprint, status=status, location=location, body=body)
    return None


def keep(
    cursor: Cursor, scope: Scope, answer: Answer, *, seconds: float, now: datetime | None = None
) -> bool:
    """Store the answer. False: the key got another one meanwhile, and this transaction must not commit."""
    params = {
        "user": scope.user_id,
        "route": scope.route,
        "key": scope.key,
        "fingerprint": answer.fingerprint,
        "status": answer.status,
        "location": answer.location,
        "answer": answer.body,
        "keep": seconds,
        "now": now,
    }
    return bool(rows(cursor, "store_answer", params))


def delete_expired(cursor: Cursor, *, limit: int) -> int:
    """Keys that no longer count; the number deleted."""
    return execute(cursor, "delete_old_idempotency_keys", {"limit": limit})
