"""The operator's action on a unique key: free it before its time, so that the same work can be submitted again.

For a key that is held for ever or for long by a job that was cancelled, or whose result turned out to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobs.acting import ActionResult, Actor, Refusal, acting, checked_ids, checked_reason, record
from jobs.store import uniqueness

__all__ = ["release_key"]


def release_key(actor: Actor, ids: Iterable[int], *, reason: str = "") -> ActionResult:
    """Free the unique keys of these jobs, also of ones that were deleted. Permission `jobs.cancel_job`."""
    actor.require("jobs.cancel_job")
    wanted, reason = checked_ids(ids), checked_reason(reason)

    def work(cursor: Any) -> ActionResult:
        freed = uniqueness.release(cursor, wanted)
        for job_id, key in sorted(freed.items()):
            record(cursor, actor, "release key of", "job", job_id, reason=reason, before=key)
        left = [job_id for job_id in wanted if job_id not in freed]
        refused = [Refusal(id=job_id, reason=f"job {job_id} holds no unique key") for job_id in left]
        return ActionResult(done=sorted(freed), refused=refused)

    return acting(work)
