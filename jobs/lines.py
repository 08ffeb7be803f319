"""The ready side of the worker's cache: the best jobs of each queue it serves, and the order to take from the queues.

It reads heads of lanes (a kind of a queue, or a key of one) and merges them; a lane that was read only in part bounds
what of the others may be kept, so what a heap holds is the exact front of its queue. It decides nothing: the database
refuses what is stale, paused or over a limit. Bounded, whatever the backlog.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import itemgetter

from jobs.core.fair_share import FairShare
from jobs.core.priority_queue import IndexedPriorityQueue
from jobs.division import CLAIM_AT_LEAST, DEEP_AT_LEAST, WHOLE, Division, Part
from jobs.heads import Heads, Lane
from jobs.store.statements import Cursor, rows
from jobs.store.values import ClaimedJob, Moved

__all__ = ["Lines"]

READY_AT_MOST = 2_000
PEEK = 200
LANE_AT_LEAST = 10
KEYS_AT_MOST = 1_000
CONTENDED_AT_MOST = 1_000
TOKEN_AT_LEAST = 0.01
"""Seconds. A rate whose jobs come closer is used up in small bursts."""

Key = tuple[int, int]  # rank, id
Front = list[Key]
_id_of = itemgetter(1)


class Lines:
    """Ready job ids, a heap for each queue. `strict`: the queues go in the order they are named."""

    def __init__(self, *, queues: Sequence[str], kinds: Sequence[str], strict: bool = False) -> None:
        self._names = list(queues)
        self._kinds = list(kinds)
        self._lanes_read = Heads(queues=queues, kinds=kinds)
        self._division = Division(queues=queues, kinds=kinds)
        self._strict = strict
        self._part = WHOLE
        self._share = FairShare(strict=self._names if strict else ())
        self._heaps: dict[str, IndexedPriorityQueue[int]] = {}
        self._queue_of: dict[int, str] = {}
        # Of the queues with limits: the key after which the next look begins.
        self._after: dict[str, str] = {}
        self._rated: list[str] = []
        self._token_at = float("inf")
        self._lanes = 1
        self._contended = 0
        # Queues without limits in which more waits than is known.
        self._cut: set[str] = set()
        self.complete = False

    def __len__(self) -> int:
        return len(self._queue_of)

    def owed_in(self) -> float | None:
        """Seconds until a look that passes over nothing can be made; None when the last one was such."""
        return self._lanes_read.owed_in()

    @property
    def needs_a_look(self) -> bool:
        """There are limits to keep, or looks have become slow: then nothing is claimed unseen."""
        return bool(self._after) or self._lanes_read.slow

    @property
    def ran_dry(self) -> bool:
        """Nothing is known any more of a queue in which more waits."""
        return any(not len(self._heaps.get(name, ())) for name in self._cut)

    # -- looking -------------------------------------------------------------------------------------------------------

    def look_at_queues(self, cursor: Cursor) -> None:
        """Weights, and which queues have limits."""
        found = rows(cursor, "lines", {"names": self._names})
        self._share.weigh({name: weight for name, weight, _, _ in found})
        self._after = {name: self._after.get(name, "") for name, _, limited, _ in found if limited}
        self._rated = [name for name, _, _, rated in found if rated]

    def refill(self, cursor: Cursor, worker_id: int = 0, *, onward: bool = False) -> None:
        """Read the heads anew. The heaps hold nothing but what they say: entries of paused queues go with it.

        `onward`: no bell rang, so that it may begin where the last look did, if there is enough.
        """
        self._part = WHOLE if self._after or self._strict else self._division.part(cursor, worker_id)
        fronts = self._look(cursor, READY_AT_MOST, KEYS_AT_MOST, self._part, onward=onward)
        if self._part is not WHOLE:
            self._division.saw(self._lanes_read.firsts)
            if _known(fronts) < CLAIM_AT_LEAST and self._lanes_read.more:
                fronts = self._look(cursor, READY_AT_MOST, KEYS_AT_MOST, replace(self._part, deep=True))
                if _known(fronts) < DEEP_AT_LEAST:
                    self._division.fail()  # the next look is for the whole
            if _known(fronts) < CLAIM_AT_LEAST:
                self._division.fail()
                self._part = WHOLE
                fronts = self._look(cursor, READY_AT_MOST, KEYS_AT_MOST)
        quota = max(1, READY_AT_MOST // max(1, len(fronts)))
        too_long = {queue for queue, front in fronts.items() if len(front) > quota}
        self._cut |= too_long.difference(self._after)
        self.complete = self.complete and not too_long
        self._heaps, self._queue_of = {}, {}
        for queue, front in fronts.items():
            best = front[:quota]
            ids = list(map(_id_of, best))
            self._heaps[queue] = IndexedPriorityQueue.of(zip(best, ids, strict=True), in_order=True)
            self._queue_of |= dict.fromkeys(ids, queue)

    def peek(self, cursor: Cursor) -> None:
        """The quick look after a doorbell: the best few of each queue, new queues too."""
        queue_of = self._queue_of
        for queue, front in self._look(cursor, PEEK, PEEK).items():
            heap = self._heaps.get(queue)
            if heap is None:
                heap = self._heaps[queue] = IndexedPriorityQueue()
            for key in front:
                job_id = key[1]
                if job_id not in queue_of:
                    heap.push(job_id, key)
                elif queue_of[job_id] != queue:
                    self._forget([job_id])
                    heap.push(job_id, key)
                elif heap.key_of(job_id) != key:
                    heap.update(job_id, key)
                queue_of[job_id] = queue

    def _look(
        self, cursor: Cursor, most: int, keys: int, part: Part = WHOLE, *, onward: bool = False
    ) -> dict[str, Front]:
        """The front of each queue in order, as far as it is known exactly."""
        # Of each of many lanes only a few: twice what is wanted in all, since not every lane has as many of the best.
        share = min(most, max(LANE_AT_LEAST, 2 * most // self._lanes))
        lanes = self._lanes_read.read(cursor, share, part, onward=onward)
        self.complete = all(end is None for *_, end in lanes)
        if self._after:
            lanes += self._limited_heads(cursor, share, keys)
        self._token_at = self._next_token(cursor, keys) if self._rated else float("inf")
        self._lanes = max(1, len(lanes))
        fronts: dict[str, Front] = {}
        bounds: dict[str, Key] = {}
        for queue, _, ids, ranks, end in lanes:
            lane = list(zip(ranks, ids, strict=True))
            if end is not None:
                bounds[queue] = min(end, bounds.get(queue, end))
            if queue in fronts:
                fronts[queue] += lane
            else:
                fronts[queue] = lane
        self._cut = bounds.keys() - self._after.keys()
        return {queue: _within(front, bounds.get(queue)) for queue, front in fronts.items()}

    def _limited_heads(self, cursor: Cursor, share: int, keys: int) -> list[Lane]:
        """A lane of them ends also where it is longer than its queue has room for."""
        params = {
            "names": list(self._after),
            "afters": list(self._after.values()),
            "kinds": self._kinds,
            "limit": share,
            "keys": keys,
        }
        found = rows(cursor, "limited_heads", params)
        # Where as many keys wait as one look takes, the next begins after the last of them.
        last = {queue: lane[1:] for queue, lane, _, _, more, _ in found if more}
        self._after = {queue: last.get(queue, "") for queue in self._after}
        lanes = [(*row[:4], row[5]) for row in found if row[2] is not None]
        self.complete = self.complete and all(len(ids) < share for _, _, ids, _, _ in lanes)
        return [
            (queue, lane, ids, ranks, (ranks[-1], ids[-1]) if cut or len(ids) >= share else None)
            for queue, lane, ids, ranks, cut in lanes
        ]

    def _next_token(self, cursor: Cursor, keys: int) -> float:
        """When a rate that is used up lets the next job start, on `time.monotonic()`."""
        wait = rows(cursor, "next_token", {"names": self._rated, "keys": keys})[0][0]
        return float("inf") if wait is None else time.monotonic() + max(TOKEN_AT_LEAST, wait)

    def seconds_until_token(self) -> float:
        """How long until it is worth a look because of a rate; infinite where none is used up."""
        return max(0.0, self._token_at - time.monotonic())

    def add(self, moved: Iterable[Moved]) -> bool:
        """Jobs that this worker has just made ready itself. False where a look is needed to know their places."""
        wanted = [job for job in moved if self._serves(job)]
        if wanted and (not self.complete or any(job.queue in self._after for job in wanted)):
            return False
        for job in wanted:
            if job.id not in self._queue_of:
                heap = self._heaps.setdefault(job.queue, IndexedPriorityQueue())
                heap.push(job.id, (job.rank, job.id))
                self._queue_of[job.id] = job.queue
        return True

    def _serves(self, job: Moved) -> bool:
        return job.kind in self._kinds and (not self._names or job.queue in self._names)

    # -- claiming ------------------------------------------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """Are there several queues with jobs in them? Then the candidates are in no order of rank."""
        return len(self._heaps) > 1

    def candidates(self, room: int) -> list[int]:
        """The best ready jobs, in the order to take them, for a claim of `room`.

        Where other workers took some of the last ones, it is more than `room`, so that what they hold at this moment
        does not leave this worker empty-handed; likewise where limits may refuse some.
        """
        if not room:
            return []
        heads = {queue: heap.head for queue, heap in self._heaps.items() if len(heap)}
        if not heads:
            return []
        found = self._share.order(heads, room + self._contended, self._cut)
        refusable = len(self.limited(found)) if self._after else 0
        return self._share.order(heads, room + self._contended + refusable, self._cut) if refusable else found

    def limited(self, candidates: Iterable[int]) -> dict[int, str]:
        """Those that wait in queues with limits, with the queue."""
        if not self._after:
            return {}
        queues = ((job, self._queue_of[job]) for job in candidates)
        return {job: queue for job, queue in queues if queue in self._after}

    def claimed(
        self, candidates: Sequence[int], taken: Sequence[int], room: int, busy: Sequence[str] = ()
    ) -> int:
        """Forget what a claim took, and what it found gone; returns how many were gone.

        A claim goes by their order, so whatever stands before the last one it took is in other hands. After a claim
        that was not filled, everything is. What limits refused is forgotten until the next look; what stands behind the
        limits that another worker was using (`busy`) is kept.
        """
        mine = set(taken)
        if not taken:
            self._cut = (
                set()
            )  # all in other hands, perhaps for long: what comes behind need not wait for them
        limited = self.limited(candidates)
        self._share.charge(
            Counter(self._queue_of[job] for job in taken),
            [name for name, heap in self._heaps.items() if len(heap)],
        )
        plain = [job for job in candidates if job not in limited] if limited else candidates
        left = room - sum(1 for job in limited if job in mine)
        got = len(mine) - (room - left)
        last = len(plain)
        if got >= left:
            last = max((index for index, job in enumerate(plain) if job in mine), default=-1) + 1
        self._forget([*plain[:last], *(job for job, queue in limited.items() if queue not in busy)])
        missed = last - got
        self._division.note(missed=missed, got=got)
        if self._part is WHOLE and self._division.wanted and not (self._after or self._strict):
            # What is left of the heads is in other hands as well: look anew, for a part.
            self._heaps, self._queue_of, self.complete = {}, {}, False
        # As many will be gone the next time, and a few more; whoever got nothing at all cannot tell how many.
        expected = missed + missed // 4 if taken else 2 * missed
        self._contended = min(CONTENDED_AT_MOST, expected) if missed else self._contended // 2
        return missed

    def took_everything(self, jobs: Sequence[ClaimedJob]) -> None:
        """A claim found nothing else that is ready: nothing is to be known but whose turn it was."""
        self.complete, self._cut = True, set()
        if jobs:
            given = Counter(job.queue for job in jobs)
            self._share.charge(given, list(given))

    def _forget(self, jobs: Sequence[int]) -> None:
        queues = list(map(self._queue_of.pop, jobs))
        for name in set(queues):
            its = [job for job, queue in zip(jobs, queues, strict=True) if queue == name]
            self._heaps[name].remove_many(its)


def _known(fronts: dict[str, Front]) -> int:
    return sum(map(len, fronts.values()))


def _within(front: Front, bound: Key | None) -> Front:
    """In order, up to the last of which nothing better can be missing."""
    front.sort()
    return front if bound is None else [key for key in front if key <= bound]
