"""Everything that waits for time within the coming hour: one slot a second, exact inside the current one.

Place in the flow: the scheduler puts scheduled jobs, retries and schedule slots here and asks with every tick what is
due. Promises: nothing fires before its microsecond, nothing twice, nothing is lost; what is due leaves in order of
`(due, insertion)`; insert and cancel are O(1) amortised (O(log n) inside the current second). What lies beyond the
horizon is refused and stays in the database. It must not read a clock: `now_us` is the caller's estimate of the
database's clock.

How. The due time of a timer stands in one place (`_due`); a slot is a list of timers in order of insertion. Cancelling
and moving change only that one place: a timer that a list still names means nothing there, and is left out when the
second of the slot comes; or when an insertion finds that more such names stand about than there are timers (and one a
slot).

Steps of the clock. Forwards, by any distance: all that is then due fires at once, in order. Backwards: nothing that has
fired comes back and nothing is lost; what has not fired waits until the new clock reaches it. The wheel itself never
turns back: until the clock has caught up, timers below the second it had reached are kept in the exact heap.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["SLOTS", "SLOT_US", "TimingWheel"]

SLOTS = 3_600
SLOT_US = 1_000_000

# Stale heap entries below this number are not worth a rebuild.
_SMALL = 64
# To look whether too many names stand for nothing takes as long as an insertion, so it is done once in 64 of them.
_SELDOM = 63
# Later than any time that is given here.
_NEVER = 1 << 63

Timer = TypeVar("Timer", bound=Hashable)


def _second_of(at_us: int) -> int:
    """The one place where a time is rounded: always down, before 1970 too."""
    return at_us // SLOT_US


class TimingWheel(Generic[Timer]):
    """A set of hashable timers, each with one due time in microseconds since 1970. Not thread-safe."""

    __slots__ = (
        "_due",
        "_end",
        "_exact",
        "_first",
        "_heap",
        "_listed",
        "_reached",
        "_ring_us",
        "_slots",
        "_soonest",
        "_turn",
    )

    def __init__(self, now_us: int) -> None:
        self._due: dict[Timer, int] = {}
        # The ring: seconds _reached + 1 to _reached + 3599. Some names stand for nothing; of two the last counts.
        self._slots: list[list[Timer]] = [[] for _ in range(SLOTS)]
        self._listed = 0  # names in all of them
        self._reached = _second_of(now_us)
        self._end = self._reached + SLOTS
        self._ring_us = (self._reached + 1) * SLOT_US  # where the ring begins
        # The second that was reached, and all before it: (due, turn, timer); live while `_exact` has that turn.
        self._heap: list[tuple[int, int, Timer]] = []
        self._exact: dict[Timer, int] = {}
        self._turn = 0
        # Nothing is due before `_soonest`; `_first` was due then, and if it still is, that is what fires next.
        self._soonest = _NEVER
        self._first: Timer | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, timer: object) -> bool:
        return timer in self._due

    def accepts(self, due_us: int) -> bool:
        """Whether `insert` would keep it: less than 3600 seconds after the second of the last `now_us`."""
        return _second_of(due_us) < self._end

    def insert(self, timer: Timer, due_us: int) -> bool:
        """Keep `timer` until `due_us`, in place of an earlier time for it. A time that has passed fires on `advance`.

        Whoever has that very time keeps its place among those that have it too. False when `due_us` is beyond the
        horizon: then the wheel holds nothing for `timer`, not even its earlier time.
        """
        due, second = self._due, due_us // SLOT_US
        if timer in due:
            # Whoever looks at the database again and again finds most timers where they are.
            if due[timer] == due_us and second < self._end:
                return True
            self.cancel(timer)
        if second >= self._end:
            return False
        due[timer] = due_us
        if second > self._reached:
            self._slots[second % SLOTS].append(timer)
            self._listed = listed = self._listed + 1
            if not listed & _SELDOM:
                self._keep_within_bounds()
        else:
            self._insert_exactly(timer, due_us)
        if due_us < self._soonest:
            self._soonest, self._first = due_us, timer
        return True

    def cancel(self, timer: Timer) -> bool:
        """Forget `timer`. False when it was not there: never inserted, or fired already."""
        due_us = self._due.pop(timer, None)
        if due_us is None:
            return False
        if due_us < self._ring_us:
            del self._exact[timer]
        return True

    def advance(self, now_us: int) -> list[Timer]:
        """Take out and return all timers with `due <= now_us`, in order of `(due, insertion)`. Any step is allowed."""
        second = _second_of(now_us)
        self._end = second + SLOTS
        fired = self._turn_to(second) if second > self._reached else []
        heap, exact = self._heap, self._exact
        while heap and heap[0][0] <= now_us:
            _, turn, timer = heappop(heap)
            if exact.get(timer) == turn:
                del exact[timer]
                fired.append(timer)
        due = self._due
        for timer in fired:
            del due[timer]
        return fired

    def next_due_us(self) -> int | None:
        """The due time of the timer that fires next, None when there is none: how long a loop may sleep."""
        due = self._due
        if not due:
            return None
        if self._first is None or due.get(self._first) != self._soonest:
            self._first = first = self._find_first()
            self._soonest = due[first]
        return self._soonest

    def _insert_exactly(self, timer: Timer, due_us: int) -> None:
        self._turn = turn = self._turn + 1
        self._exact[timer] = turn
        heappush(self._heap, (due_us, turn, timer))
        if len(self._heap) > 2 * len(self._exact) + _SMALL:
            self._heap = self._live_entries()
            heapify(self._heap)

    def _live_entries(self) -> list[tuple[int, int, Timer]]:
        return [entry for entry in self._heap if self._exact.get(entry[2]) == entry[1]]

    def _turn_to(self, second: int) -> list[Timer]:
        """Make `second` the current one; return what all seconds before it still held."""
        waiting = self._heap if len(self._heap) == len(self._exact) else self._live_entries()
        passed = [entry[2] for entry in sorted(waiting)]
        when = self._due.__getitem__
        for number in range(self._reached + 1, min(second, self._reached + SLOTS)):
            # In order of insertion, and the sort is stable: (due, insertion).
            passed += sorted(self._empty(number), key=when)
        current = self._empty(second)
        self._reached = second
        self._ring_us = (second + 1) * SLOT_US
        turns = range(self._turn + 1, self._turn + 1 + len(current))
        self._turn += len(current)
        self._exact = dict(zip(current, turns, strict=True))
        self._heap = list(zip(map(when, current), turns, current, strict=True))
        heapify(self._heap)
        return passed

    def _empty(self, number: int) -> list[Timer]:
        """Take out what waits for a second of the ring, each once, in order of insertion."""
        slot = self._slots[number % SLOTS]
        if not slot:
            return []
        self._slots[number % SLOTS] = []
        live = self._swept(slot, number)
        self._listed -= len(live)
        if len(set(live)) < len(live):
            live = list(dict.fromkeys(reversed(live)))
            live.reverse()
        return live

    def _keep_within_bounds(self) -> None:
        """When too many names stand for nothing, leave them out: linear, and once in as many insertions."""
        if self._listed <= 2 * len(self._due) + SLOTS:
            return
        for number in range(self._reached + 1, self._reached + SLOTS):
            if slot := self._empty(number):
                self._slots[number % SLOTS] = slot
                self._listed += len(slot)

    def _find_first(self) -> Timer:
        heap, exact = self._heap, self._exact
        while heap and exact.get(heap[0][2]) != heap[0][1]:
            heappop(heap)
        if heap:
            return heap[0][2]
        ahead = range(self._reached + 1, self._reached + SLOTS)
        found = (self._swept(slot, number) for number in ahead if (slot := self._slots[number % SLOTS]))
        return min(next(filter(None, found)), key=self._due.__getitem__)

    def _swept(self, slot: list[Timer], number: int) -> list[Timer]:
        """The slot of this second, without the names that stand for nothing: the next look need not see them again."""
        find, begin, end = self._due.get, number * SLOT_US, (number + 1) * SLOT_US
        waiting = [timer for timer in slot if begin <= find(timer, end) < end]
        if len(waiting) < len(slot):
            self._listed -= len(slot) - len(waiting)
            slot[:] = waiting
        return slot
