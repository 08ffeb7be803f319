"""What the structures of `jobs.core` are measured against: the designs that lost, and thin covers over packages.

Every queue here has push, update, remove and pop; every set of timers insert, cancel and advance.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from types import ModuleType
from typing import Any

__all__ = ["QUEUES", "TIMERS"]


class LazyHeap:
    """heapq with an index; stale entries are skipped on pop and never cleared away."""

    def __init__(self) -> None:
        self.heap: list[Any] = []
        self.index: dict[Any, Any] = {}
        self.version = 0

    def push(self, item: Any, key: Any) -> None:
        self.version += 1
        self.index[item] = entry = (key, self.version, item)
        heappush(self.heap, entry)

    update = push

    def remove(self, item: Any) -> None:
        del self.index[item]

    def pop(self) -> Any:
        heap, index = self.heap, self.index
        while True:
            entry = heappop(heap)
            if index.get(entry[2]) is entry:
                del index[entry[2]]
                return entry[2]


class BoundedLazyHeap(LazyHeap):
    """The same, rebuilt when stale entries outnumber the live ones: the textbook form of what we promise."""

    def update(self, item: Any, key: Any) -> None:
        self.push(item, key)
        self.clear_away()

    def remove(self, item: Any) -> None:
        del self.index[item]
        self.clear_away()

    def clear_away(self) -> None:
        if len(self.heap) > 2 * len(self.index) + 64:
            self.heap = sorted(self.index.values())


class FlatRuns:
    """Our design with flat entries (*key, version, id) and one plain sort."""

    def __init__(self) -> None:
        self.index: dict[Any, Any] = {}
        self.fresh: list[Any] = []
        self.heap: list[Any] = []
        self.run: list[Any] = []
        self.version = 0
        self.stale = 0

    def push(self, item: Any, key: Any) -> None:
        self.version += 1
        self.index[item] = entry = (*key, self.version, item)
        self.fresh.append(entry)

    def update(self, item: Any, key: Any) -> None:
        self.push(item, key)
        self.count_stale()

    def remove(self, item: Any) -> None:
        del self.index[item]
        self.count_stale()

    def count_stale(self) -> None:
        self.stale += 1
        if self.stale > len(self.index) + 64:
            self.run, self.heap, self.fresh, self.stale = [], [], list(self.index.values()), 0

    def settle(self) -> None:
        fresh, heap, run, find = self.fresh, self.heap, self.run, self.index.get
        if len(fresh) + len(heap) > 64 + len(run) // 4:
            entries = [entry for entry in (*run, *heap, *fresh) if find(entry[-1]) is entry]
            entries.sort(reverse=True)
            self.run, self.heap, self.stale = entries, [], 0
        else:
            for entry in fresh:
                heappush(heap, entry)
        self.fresh = []

    def pop(self) -> Any:
        if self.fresh:
            self.settle()
        heap, run, index = self.heap, self.run, self.index
        while True:
            entry = heappop(heap) if heap and (not run or heap[0] < run[-1]) else run.pop()
            if index.get(entry[-1]) is entry:
                del index[entry[-1]]
                return entry[-1]
            self.stale -= 1


class SortedKeys:
    """sortedcontainers.SortedList of (key, id) beside a dict."""

    def __init__(self, package: ModuleType) -> None:
        self.keys = package.SortedList()
        self.index: dict[Any, Any] = {}

    def push(self, item: Any, key: Any) -> None:
        self.index[item] = key
        self.keys.add((key, item))

    def update(self, item: Any, key: Any) -> None:
        self.keys.remove((self.index[item], item))
        self.push(item, key)

    def remove(self, item: Any) -> None:
        self.keys.remove((self.index.pop(item), item))

    def pop(self) -> Any:
        _, item = self.keys.pop(0)
        del self.index[item]
        return item


class PqDict:
    """pqdict's own methods, uncovered."""

    def __init__(self, package: ModuleType) -> None:
        queue = package.pqdict()
        self.push, self.update, self.remove = queue.additem, queue.updateitem, queue.__delitem__
        self.pop = queue.pop


class HeapDict:
    """heapdict's own methods, but popitem gives a pair."""

    def __init__(self, package: ModuleType) -> None:
        self.queue = package.heapdict()
        self.push = self.update = self.queue.__setitem__
        self.remove = self.queue.__delitem__

    def pop(self) -> Any:
        return self.queue.popitem()[0]


class HeapTimers:
    """heapq of (due, turn, timer) with a dict of turns, as asyncio does it without its handles."""

    def __init__(self, _now_us: int) -> None:
        self.heap: list[Any] = []
        self.live: dict[Any, int] = {}
        self.turn = 0

    def insert(self, timer: Any, due_us: int) -> None:
        self.turn += 1
        self.live[timer] = self.turn
        heappush(self.heap, (due_us, self.turn, timer))

    def cancel(self, timer: Any) -> None:
        del self.live[timer]

    def advance(self, now_us: int) -> list[Any]:
        fired = []
        while self.heap and self.heap[0][0] <= now_us:
            _, turn, timer = heappop(self.heap)
            if self.live.get(timer) == turn:
                del self.live[timer]
                fired.append(timer)
        return fired


class BareWheel:
    """A hashed wheel of sets: no order inside a slot, no exactness, no updates, no clock that steps."""

    def __init__(self, now_us: int) -> None:
        self.slots: list[dict[Any, None]] = [{} for _ in range(3_601)]
        self.where: dict[Any, int] = {}
        self.reached = now_us // 1_000_000

    def insert(self, timer: Any, due_us: int) -> None:
        slot = due_us // 1_000_000 % 3_601
        self.where[timer] = slot
        self.slots[slot][timer] = None

    def cancel(self, timer: Any) -> None:
        del self.slots[self.where.pop(timer)][timer]

    def advance(self, now_us: int) -> list[Any]:
        fired: list[Any] = []
        second = now_us // 1_000_000
        for number in range(self.reached, second):
            slot = self.slots[number % 3_601]
            fired += slot
            slot.clear()
        for timer in fired:
            del self.where[timer]
        self.reached = second
        return fired


class CallLater:
    """asyncio's timers, moved by a clock of our own."""

    def __init__(self, now_us: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = now_us
        self.loop.time = lambda: self.now / 1_000_000  # type: ignore[method-assign]
        self.handles: dict[Any, asyncio.TimerHandle] = {}
        self.fired: list[Any] = []

    def insert(self, timer: Any, due_us: int) -> None:
        self.handles[timer] = self.loop.call_at(due_us / 1_000_000, self.fired.append, timer)

    def cancel(self, timer: Any) -> None:
        self.handles.pop(timer).cancel()

    def advance(self, now_us: int) -> list[Any]:
        self.now = now_us
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        fired = self.fired[:]
        self.fired.clear()
        return fired


QUEUES: dict[str, tuple[str | None, Any]] = {
    "heapq, lazy, unbounded": (None, LazyHeap),
    "heapq, lazy, rebuilt": (None, BoundedLazyHeap),
    "runs, flat entries": (None, FlatRuns),
    "SortedList + dict": ("sortedcontainers", SortedKeys),
    "pqdict": ("pqdict", PqDict),
    "heapdict": ("heapdict", HeapDict),
}
TIMERS: dict[str, Any] = {
    "bare hashed wheel": BareWheel,
    "heapq timers": HeapTimers,
    "asyncio call_at": CallLater,
}
