"""Which line gives the next job: smooth sharing by weight, or strict order.

Place in the flow: a worker that serves several queues keeps the best jobs of each in order, and asks here in which
order to take them. Stride scheduling: each line has a pass that grows by 1 / weight with every job it gives, and the
line with the smallest pass is next. So lines that have work get shares in the ratio of their weights over any stretch,
spread evenly, and none waits longer than the sum of the others' weights. A line that had nothing to give earns nothing
meanwhile. Promises: nothing but order; O(log lines) a job. It must not look at time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import TypeVar

__all__ = ["FairShare"]

Item = TypeVar("Item")


class FairShare:
    """Lines by name. `strict`: names in the order they go; empty for sharing by weight."""

    __slots__ = ("_now", "_passes", "_strict", "_weights")

    def __init__(self, *, strict: Sequence[str] = ()) -> None:
        self._strict = {name: place for place, name in enumerate(strict)}
        self._weights: dict[str, int] = {}
        self._passes: dict[str, float] = {}
        self._now = 0.0

    def weigh(self, weights: Mapping[str, int]) -> None:
        """The weights (1 or more) by name; a line that is not named has 1. Lines that are gone are forgotten."""
        self._weights = dict(weights)
        self._passes = {name: at for name, at in self._passes.items() if name in weights}

    def order(
        self, heads: Mapping[str, Callable[[int], Sequence[Item]]], room: int, cut: Collection[str] = ()
    ) -> list[Item]:
        """Up to `room` items in the order they should be taken. `heads`: of each line that has any, its best few.

        `cut`: lines that hold more than their heads give. In strict order nothing goes behind what is missing of them.
        """
        if self._strict:
            return self._in_turn(heads, room, cut)
        if len(heads) == 1:
            return list(next(iter(heads.values()))(room))
        return self._shared({name: head(room) for name, head in heads.items()}, room)

    def _in_turn(
        self, heads: Mapping[str, Callable[[int], Sequence[Item]]], room: int, cut: Collection[str]
    ) -> list[Item]:
        taken: list[Item] = []
        for name in sorted({*heads, *cut}, key=lambda name: self._strict.get(name, len(self._strict))):
            if name in heads:
                taken += heads[name](room - len(taken))
            if len(taken) >= room or name in cut:
                break
        return taken

    def _shared(self, lines: Mapping[str, Sequence[Item]], room: int) -> list[Item]:
        turns = [(max(self._passes.get(name, 0.0), self._now), name, 0) for name in lines]
        heapify(turns)
        taken: list[Item] = []
        while turns and len(taken) < room:
            at, name, place = turns[0]
            line = lines[name]
            if place < len(line):
                taken.append(line[place])
                heapreplace(turns, (at + self._step(name), name, place + 1))
            else:
                heappop(turns)
        return taken

    def charge(self, given: Mapping[str, int], waiting: Sequence[str]) -> None:
        """What each line gave in fact. `waiting`: the lines that had work, whether or not it was their turn."""
        if self._strict or not waiting:
            return
        for name in waiting:
            self._passes[name] = max(self._passes.get(name, 0.0), self._now)
        self._now = min(self._passes[name] for name in waiting)
        for name, number in given.items():
            self._passes[name] = max(self._passes.get(name, 0.0), self._now) + number * self._step(name)

    def _step(self, name: str) -> float:
        return 1.0 / self._weights.get(name, 1)
