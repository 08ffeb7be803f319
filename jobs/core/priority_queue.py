"""Ready work in order: a binary heap with an index of versions, in front of one sorted run.

Place in the flow: the scheduler keeps the window of ready jobs here and claims them from the front. It is a cache: the
database decides who runs. Promises: ids leave in order of key, equal keys in the order they were queued; push, update,
remove and pop are O(log n) amortised; at most twice as many entries are stale as are live (and 256).
It must not look at time, nor compare two ids.

How. An entry is `(first element of the key, key, version, id)`: first elements compare faster than keys, and where they
differ nothing else is compared. The index holds the one live entry of an id, and an entry that is not that object is
stale: update and remove only touch the index. New entries are appended unsorted (`_fresh`). The next look at the front
puts a few of them on the heap; many of them are sorted, with the heap, into the run, whose smallest entry is at its
end. Sorting once in C is several times faster than as many heap pops, and the heap stays a quarter of the run, which
bounds what a merge costs per entry. `docs/performance.md` has the designs that lost.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from heapq import heappop, heappush, merge
from itertools import islice
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

from jobs.core.errors import DuplicateItem, EmptyQueue, UnknownItem

__all__ = ["IndexedPriorityQueue", "Key"]

Key: TypeAlias = tuple[Any, ...]
Id = TypeVar("Id", bound=Hashable)
_Entry: TypeAlias = tuple[Any, Key, int, Id]

# Below this many entries a sort costs less than deciding whether it is worth it.
_SMALL = 64
# To look whether too much is stale takes as long as a removal, so it is done once in 64 of them.
_SELDOM = 63

_first = itemgetter(0)


class IndexedPriorityQueue(Generic[Id]):
    """A queue of hashable ids, smallest key first.

    Keys are non-empty tuples that compare with each other, such as `(rank, scheduled_at, created_at, id)`, and whose
    first element is hashable; a NaN in one would break every order and must not be passed. Not thread-safe: one loop
    owns it.
    """

    __slots__ = ("_fresh", "_heap", "_index", "_run", "_version")

    def __init__(self) -> None:
        self._index: dict[Id, _Entry[Id]] = {}
        self._fresh: list[_Entry[Id]] = []
        self._heap: list[_Entry[Id]] = []
        self._run: list[_Entry[Id]] = []
        self._version = 0

    @classmethod
    def of(cls, entries: Iterable[tuple[Key, Id]], *, in_order: bool = False) -> IndexedPriorityQueue[Id]:
        """A queue of `(key, id)`, as if each had been pushed in turn. Raises `DuplicateItem`.

        `in_order`: the keys are known to ascend, so that nothing has to be sorted.
        """
        queue = cls()
        made = [(key[0], key, version, item) for version, (key, item) in enumerate(entries, 1)]
        queue._index = {entry[3]: entry for entry in made}
        queue._version = len(made)
        if len(queue._index) < queue._version:
            raise DuplicateItem(next(entry[3] for entry in made if queue._index[entry[3]] is not entry))
        if in_order:
            made.reverse()
            queue._run = made
        else:
            queue._fresh = made
        return queue

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, item: object) -> bool:
        return item in self._index

    def key_of(self, item: Id) -> Key:
        """The key under which `item` is queued. Raises `UnknownItem`."""
        try:
            return self._index[item][1]
        except KeyError:
            raise UnknownItem(item) from None

    def push(self, item: Id, key: Key) -> None:
        """Queue `item`. Raises `DuplicateItem` (and changes nothing) when it is queued already."""
        self._version = version = self._version + 1
        entry = (key[0], key, version, item)
        if self._index.setdefault(item, entry) is not entry:
            raise DuplicateItem(item)
        self._fresh.append(entry)

    def update(self, item: Id, key: Key) -> None:
        """Give `item` another key; among equal keys it is now the last. Raises `UnknownItem`."""
        index, fresh = self._index, self._fresh
        if item not in index:
            raise UnknownItem(item)
        self._version = version = self._version + 1
        index[item] = entry = (key[0], key, version, item)
        fresh.append(entry)
        if not version & _SELDOM:
            self._keep_within_bounds()

    def remove(self, item: Id) -> None:
        """Take `item` out, wherever it stands. Raises `UnknownItem`."""
        index = self._index
        try:
            del index[item]
        except KeyError:
            raise UnknownItem(item) from None
        if not len(index) & _SELDOM:
            self._keep_within_bounds()

    def remove_many(self, items: Iterable[Id]) -> None:
        """Take out several. Raises `UnknownItem` for the first that is not queued; those before it are out then."""
        index = self._index
        for item in items:
            if index.pop(item, None) is None:
                raise UnknownItem(item)
        self._keep_within_bounds()

    def peek(self) -> Id:
        """The id that `pop` would return. Raises `EmptyQueue`."""
        if self._fresh:
            self._settle()
        self._drop_stale_front()
        heap, run = self._heap, self._run
        if heap and (not run or heap[0] < run[-1]):
            return heap[0][3]
        if run:
            return run[-1][3]
        raise EmptyQueue

    def pop(self) -> Id:
        """Take the id with the smallest key. Raises `EmptyQueue`."""
        if self._fresh:
            self._settle()
        heap, run, index = self._heap, self._run, self._index
        while run or heap:
            entry = heappop(heap) if heap and (not run or heap[0] < run[-1]) else run.pop()
            item = entry[3]
            # One look-up in the usual case; a newer entry of the same id is put back.
            live = index.pop(item, None)
            if live is entry:
                return item
            if live is not None:
                index[item] = live
        raise EmptyQueue

    def pop_many(self, limit: int) -> list[Id]:
        """Take up to `limit` ids in order; fewer, or none, when there are no more."""
        return [self.pop() for _ in range(min(limit, len(self._index)))]

    def head(self, limit: int) -> list[Id]:
        """The next `limit` ids in order, left where they are. O(limit log limit), plus the stale ones on the way."""
        if self._fresh:
            self._settle()
        find = self._index.get
        entries = merge(reversed(self._run), self._heap_in_order()) if self._heap else reversed(self._run)
        live = (entry[3] for entry in entries if find(entry[3]) is entry)
        return list(islice(live, max(limit, 0)))

    def _drop_stale_front(self) -> None:
        heap, run, find = self._heap, self._run, self._index.get
        while run and find(run[-1][3]) is not run[-1]:
            run.pop()
        while heap and find(heap[0][3]) is not heap[0]:
            heappop(heap)

    def _settle(self) -> None:
        """Give every new entry its place: the heap for a few, one sorted run for many."""
        fresh, heap = self._fresh, self._heap
        if len(fresh) + len(heap) > _SMALL + len(self._run) // 4:
            self._merge()
        else:
            for entry in fresh:
                heappush(heap, entry)
            fresh.clear()

    def _merge(self) -> None:
        """Everything into the run. Where much is stale, the index knows faster what is left than a look at each."""
        run = self._run
        total = len(run) + len(self._heap) + len(self._fresh)
        if 4 * total > 5 * len(self._index):
            run = list(self._index.values())
        else:
            # The run is in order already, of which the sort makes good use.
            run.reverse()
            run += self._heap
            run += self._fresh
        _sort(run)
        run.reverse()
        self._run, self._heap, self._fresh = run, [], []

    def _keep_within_bounds(self) -> None:
        """When too much is stale, start anew from the index: linear, and once in twice as many changes as are live."""
        if len(self._fresh) + len(self._heap) + len(self._run) > 3 * len(self._index) + _SMALL:
            self._run, self._heap, self._fresh = [], [], list(self._index.values())

    def _heap_in_order(self) -> Iterator[_Entry[Id]]:
        """Walk the heap smallest first without changing it: a heap of places, starting at the root."""
        heap = self._heap
        places = [(heap[0], 0)]
        while places:
            entry, place = heappop(places)
            yield entry
            for child in range(2 * place + 1, min(2 * place + 3, len(heap))):
                heappush(places, (heap[child], child))


def _sort(entries: list[_Entry[Any]]) -> None:
    """By key, then version. Ids are never reached, because no two versions are the same.

    Bare first elements compare about three times faster in C than tuples. So they go first, and the whole entries
    only if some are equal; where most are, by the whole entries at once.
    """
    firsts = list(map(_first, entries))
    different = len(set(firsts))
    if 2 * different > len(firsts):
        # The sort asks for one key after another: `next`, with the entry as a default that is never used.
        entries.sort(key=partial(next, iter(firsts)))
    if different < len(firsts):
        entries.sort()
