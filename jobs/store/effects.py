"""Records of effects on the outside world: one for each key, with the result of the function that had the effect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from jobs.events import EventKind
from jobs.store.statements import Cursor, execute, rows
from notifications.log import EventDraft, append

__all__ = ["EffectKey", "find", "forget_old", "lock", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectKey:
    """`scope`: the id of the job whose own key it is, 0 for a key of all jobs."""

    key: str
    scope: int

    @property
    def lock(self) -> int:
        """A number for the advisory lock; two keys that share one wait for each other and no more."""
        digest = hashlib.blake2b(f"effect:{self.scope}:{self.key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)


def lock(cursor: Cursor, effect: EffectKey) -> None:
    """Be the only one with this key until the transaction ends."""
    rows(cursor, "lock_effect", {"lock": effect.lock})


def find(cursor: Cursor, effect: EffectKey) -> str | None:
    """The recorded result as JSON text, None without a record."""
    found = rows(cursor, "find_effect", {"key": effect.key, "scope": effect.scope})
    return str(found[0][0]) if found else None


def record(
    cursor: Cursor, effect: EffectKey, *, job: int, kind: str, attempt: int, result: str | None
) -> bool:
    """Record an effect with its result (JSON text). False: there is a record already, which stays."""
    params = {"key": effect.key, "scope": effect.scope, "job": job, "kind": kind, "attempt": attempt}
    if not rows(cursor, "insert_effect", {**params, "result": result}):
        return False
    told = {"job": job, "attempt": attempt, "key": effect.key, "scope": "job" if effect.scope else "global"}
    append(cursor, [EventDraft(kind=EventKind.JOB_EFFECT.value, topics=(f"job:{job}",), payload=told)])
    return True


def forget_old(cursor: Cursor, *, keep: float, limit: int) -> int:
    """Delete records older than `keep` seconds whose jobs have ended; the number of them."""
    return execute(cursor, "delete_old_effects", {"keep": keep, "limit": limit})
