"""The queue against a dict that is sorted anew for each question."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobs.core.errors import CoreError, DuplicateItem, EmptyQueue, UnknownItem
from jobs.core.priority_queue import IndexedPriorityQueue

ids = st.integers(0, 40)
keys = st.tuples(st.integers(0, 5), st.integers(0, 3))


class QueueAgainstModel(RuleBasedStateMachine):
    """The model keeps (key, turn) per id; the order is sorted((key, turn))."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: IndexedPriorityQueue[int] = IndexedPriorityQueue()
        self.model: dict[int, tuple[tuple[int, int], int]] = {}
        self.turn = 0

    def expected(self) -> list[int]:
        return sorted(self.model, key=self.model.__getitem__)

    def put(self, item: int, key: tuple[int, int]) -> None:
        self.turn += 1
        self.model[item] = (key, self.turn)

    @initialize(many=st.lists(keys, max_size=3), copies=st.integers(0, 60), in_order=st.booleans())
    def fill(self, many: list[tuple[int, int]], copies: int, *, in_order: bool) -> None:
        found = [(key, 1000 + number) for number, key in enumerate(many * copies)]
        if in_order:
            found.sort()
        self.queue = IndexedPriorityQueue.of(found, in_order=in_order)
        for key, item in found:
            self.put(item, key)

    @rule(item=ids, key=keys)
    def push(self, item: int, key: tuple[int, int]) -> None:
        if item in self.model:
            with pytest.raises(DuplicateItem):
                self.queue.push(item, key)
        else:
            self.queue.push(item, key)
            self.put(item, key)

    @rule(items=st.lists(ids, max_size=5, unique=True))
    def remove_some_at_once(self, items: list[int]) -> None:
        known = [item for item in items if item in self.model]
        if len(known) < len(items):
            with pytest.raises(UnknownItem):
                self.queue.remove_many([*known, *(item for item in items if item not in known)])
        else:
            self.queue.remove_many(items)
        for item in known:
            del self.model[item]

    @rule(item=ids, key=keys)
    def update(self, item: int, key: tuple[int, int]) -> None:
        if item in self.model:
            self.queue.update(item, key)
            self.put(item, key)
        else:
            with pytest.raises(UnknownItem):
                self.queue.update(item, key)

    @rule()
    @precondition(lambda self: self.model)
    def update_many(self) -> None:
        for item in list(self.model):
            key = (item * 7 % 5, item % 3)
            self.queue.update(item, key)
            self.put(item, key)

    @rule(item=ids)
    def remove(self, item: int) -> None:
        if item in self.model:
            self.queue.remove(item)
            del self.model[item]
        else:
            with pytest.raises(UnknownItem):
                self.queue.remove(item)

    @rule(every=st.integers(1, 3))
    def remove_many(self, every: int) -> None:
        for item in sorted(self.model)[::every]:
            self.queue.remove(item)
            del self.model[item]

    @rule()
    def pop(self) -> None:
        if not self.model:
            with pytest.raises(EmptyQueue):
                self.queue.pop()
            return
        first = self.expected()[0]
        assert self.queue.pop() == first
        del self.model[first]

    @rule(limit=st.integers(-1, 30))
    def pop_many(self, limit: int) -> None:
        first = self.expected()[: max(limit, 0)]
        assert self.queue.pop_many(limit) == first
        for item in first:
            del self.model[item]

    @rule()
    def peek(self) -> None:
        if self.model:
            assert self.queue.peek() == self.expected()[0]
        else:
            with pytest.raises(EmptyQueue):
                self.queue.peek()

    @rule(limit=st.integers(-1, 200))
    def head(self, limit: int) -> None:
        assert self.queue.head(limit) == self.expected()[: max(limit, 0)]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.queue) == len(self.model)
        for item in list(self.model)[:5]:
            assert item in self.queue
            assert self.queue.key_of(item) == self.model[item][0]

    @invariant()
    def what_is_stale_is_bounded(self) -> None:
        assert len(self.queue) <= entries(self.queue) <= 3 * len(self.queue) + 256


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)


class TheSameInEveryRun(QueueAgainstModel):
    """So that it is not left to chance which branches are taken: `make coverage` asks for all of them."""


TestTheSameInEveryRun = TheSameInEveryRun.TestCase
TestTheSameInEveryRun.settings = settings(TestQueueAgainstModel.settings, derandomize=True, database=None)


def entries(queue: IndexedPriorityQueue[int]) -> int:
    return len(queue._fresh) + len(queue._heap) + len(queue._run)


def filled(count: int) -> IndexedPriorityQueue[int]:
    queue: IndexedPriorityQueue[int] = IndexedPriorityQueue()
    for item in range(count):
        queue.push(item, (item,))
    return queue


def test_a_refused_push_changes_nothing() -> None:
    queue = filled(3)
    with pytest.raises(DuplicateItem) as caught:
        queue.push(2, (-1,))
    assert caught.value.item == 2
    assert "update()" in str(caught.value)
    assert queue.key_of(2) == (2,)
    assert queue.pop_many(9) == [0, 1, 2]


def test_unknown_ids_are_named() -> None:
    queue = filled(1)
    with pytest.raises(UnknownItem) as caught:
        queue.key_of(7)
    assert caught.value.item == 7
    assert isinstance(caught.value, CoreError)


def test_equal_keys_leave_in_the_order_they_were_queued_even_across_heap_and_run() -> None:
    queue: IndexedPriorityQueue[int] = IndexedPriorityQueue()
    for item in range(300):
        queue.push(item, (1,))
    assert queue.peek() == 0
    for item in range(300, 340):  # few enough for the heap
        queue.push(item, (1,))
        assert queue.peek() == 0
    queue.update(0, (1,))
    for item in range(340, 700):  # enough to merge the heap into the run
        queue.push(item, (1,))
    assert queue.pop_many(700) == [*range(1, 340), 0, *range(340, 700)]


def test_ids_are_never_compared() -> None:
    queue: IndexedPriorityQueue[object] = IndexedPriorityQueue()
    things = [object() for _ in range(200)]
    for thing in things[:150]:
        queue.push(thing, (1,))
    queue.peek()
    for thing in things[150:]:
        queue.push(thing, (1,))
        queue.peek()
    assert queue.pop_many(200) == things


def test_removing_without_ever_popping_does_not_keep_the_dead_in_memory() -> None:
    queue = filled(10_000)
    for item in range(9_990):
        queue.remove(item)
    assert entries(queue) <= 3 * len(queue) + 256
    assert queue.pop_many(99) == list(range(9_990, 10_000))


def test_updating_without_ever_popping_does_not_keep_old_versions_in_memory() -> None:
    queue = filled(50)
    for turn in range(10_000):
        queue.update(turn % 50, (turn,))
        assert entries(queue) <= 3 * len(queue) + 256


def test_looking_at_the_front_drops_what_is_stale_there() -> None:
    queue = filled(200)
    assert queue.peek() == 0
    for item in range(100):
        queue.remove(item)
    assert queue.peek() == 100
    assert entries(queue) == 100


def test_looking_at_the_front_drops_what_is_stale_on_the_heap_as_well() -> None:
    queue = filled(200)
    assert queue.peek() == 0
    for item in (1_000, 1_001):
        queue.push(item, (-1,))
        assert queue.peek() == item
        queue.remove(item)
    assert queue.peek() == 0
    assert entries(queue) == 200


def test_a_single_push_after_a_large_load_does_not_sort_everything_again() -> None:
    queue = filled(1_000)
    queue.peek()
    run = queue._run
    queue.push(5_000, (-1,))
    assert queue.peek() == 5_000
    assert queue._run is run


def queue_with_a_shuffled_heap() -> IndexedPriorityQueue[int]:
    """A run of 1000 to 1299, and a heap whose list holds the equal keys of 1, 2, 3 as 1, 3, 2."""
    queue: IndexedPriorityQueue[int] = IndexedPriorityQueue()
    for item in range(1_000, 1_300):
        queue.push(item, (9,))
    queue.peek()
    for item in (1, 2, 3):
        queue.push(item, (5,))
    queue.push(0, (1,))
    queue.peek()
    assert [entry[-1] for entry in queue._heap] == [0, 1, 3, 2]
    return queue


def test_a_merge_keeps_equal_keys_of_the_heap_in_the_order_they_were_queued() -> None:
    queue = queue_with_a_shuffled_heap()
    for item in range(2_000, 2_300):
        queue.push(item, (7,))
    assert queue.pop_many(5) == [0, 1, 2, 3, 2_000]


def test_a_rebuild_keeps_equal_keys_of_the_heap_in_the_order_they_were_queued() -> None:
    queue = queue_with_a_shuffled_heap()
    for item in range(1_000, 1_300):
        queue.remove(item)
    assert entries(queue) < 100
    for item in range(2_000, 2_300):
        queue.push(item, (7,))
    assert queue.pop_many(5) == [0, 1, 2, 3, 2_000]


def test_keys_whose_first_elements_differ_mostly_are_ordered_by_the_rest_where_they_are_equal() -> None:
    queue: IndexedPriorityQueue[int] = IndexedPriorityQueue()
    keys = [(item // 2 * 7 % 100 if item < 100 else item * 7 % 1_009 + 100, -item) for item in range(300)]
    for item, key in enumerate(keys):
        queue.push(item, key)
    assert queue.pop_many(300) == sorted(range(300), key=keys.__getitem__)


def test_what_was_updated_after_a_merge_stands_behind_its_equals() -> None:
    """The index gives an updated id in its old place; its version tells."""
    queue = filled(200)
    queue.peek()
    for item in range(200):
        queue.update(item, (1,))
    queue.update(3, (1,))
    assert queue.pop_many(200) == [*range(3), *range(4, 200), 3]


def test_an_id_twice_among_those_filled_in_is_refused() -> None:
    with pytest.raises(DuplicateItem) as caught:
        IndexedPriorityQueue.of([((1,), 5), ((2,), 6), ((3,), 6)])
    assert caught.value.item == 6
