"""What a worker holds: the jobs it has claimed and not yet seen ended, and how many of each claim are left.

Memory of what the database has confirmed, nothing more: it grows after a claim committed and shrinks after an end did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

from jobs.store.values import ClaimedJob, Transition

__all__ = ["Holdings"]

_claim_id = attrgetter("claim_id")


class Holdings:
    """Claimed jobs by id with the monotonic time they came in, and the number left of each claim."""

    def __init__(self) -> None:
        self._jobs: dict[int, tuple[ClaimedJob, float]] = {}
        self._left: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: ClaimedJob) -> bool:
        """True for this very claim of the job, not for another one of the same id."""
        held = self._jobs.get(job.id)
        return held is not None and held[0] is job

    def add(self, jobs: Sequence[ClaimedJob], now: float) -> None:
        self._jobs |= {job.id: (job, now) for job in jobs}
        self._left.update(map(_claim_id, jobs))

    def jobs(self) -> list[ClaimedJob]:
        return [job for job, _ in self._jobs.values()]

    def claims(self) -> list[int]:
        return list(self._left)

    def by_age(self, jobs: Iterable[ClaimedJob], before: float) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
        """Those of the jobs that are held: the ones that came in before that time, and the younger ones."""
        held = [job for job in jobs if job in self]
        old = [job for job in held if self._jobs[job.id][1] < before]
        return old, [job for job in held if self._jobs[job.id][1] >= before]

    def finished_claims(self, transitions: Sequence[Transition]) -> list[int]:
        """Claims of which nothing is left once these ends are recorded."""
        ending = Counter([transition.job.claim_id for transition in transitions])
        return [claim_id for claim_id, count in ending.items() if self._left[claim_id] == count]

    def forget(self, transitions: Sequence[Transition]) -> None:
        """These ends are recorded, or refused by the fence: either way the jobs are not this worker's any more."""
        take = self._jobs.pop
        gone = [t.job.claim_id for t in transitions if take(t.job.id, None) is not None]
        for claim_id, count in Counter(gone).items():
            self._left[claim_id] -= count
            if not self._left[claim_id]:
                del self._left[claim_id]

    def clear(self) -> None:
        self._jobs.clear()
        self._left.clear()
