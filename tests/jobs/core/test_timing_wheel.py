"""The wheel against a dict of (due, turn) that is filtered and sorted with every step of the clock."""

from __future__ import annotations

import tracemalloc
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jobs.core.timing_wheel import SLOT_US, SLOTS, TimingWheel

HOUR_US = SLOTS * SLOT_US
NOW = 1_800_000_000 * SLOT_US

timers = st.integers(0, 30)
# Mostly near a border of a second, the current one, the horizon; a few anywhere.
offsets = st.one_of(
    st.integers(-3 * SLOT_US, 3 * SLOT_US),
    st.builds(lambda second, near: second * SLOT_US + near, st.integers(-2, SLOTS + 2), st.integers(-1, 1)),
    st.integers(-HOUR_US, 2 * HOUR_US),
)
steps = st.one_of(
    st.integers(0, 3 * SLOT_US),
    st.integers(0, 2 * HOUR_US),
    st.sampled_from(
        [0, 1, SLOT_US, HOUR_US - 1, HOUR_US, 5 * 24 * HOUR_US, -1, -SLOT_US, -HOUR_US, -48 * HOUR_US]
    ),
    st.integers(-5 * SLOT_US, 0),
)


class WheelAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.start(NOW)

    @initialize(now=st.sampled_from([NOW, 0, -1, NOW + 999_999]))
    def start(self, now: int) -> None:
        self.now = now
        self.wheel: TimingWheel[int] = TimingWheel(now)
        self.model: dict[int, tuple[int, int]] = {}
        self.turn = 0

    @rule(timer=timers, offset=offsets)
    def insert(self, timer: int, offset: int) -> None:
        due = self.now + offset
        inside = due // SLOT_US - self.now // SLOT_US < SLOTS
        assert self.wheel.accepts(due) == inside
        assert self.wheel.insert(timer, due) == inside
        before = self.model.pop(timer, None)
        if inside:
            self.turn += 1
            self.model[timer] = before if before is not None and before[0] == due else (due, self.turn)

    @rule(first=timers, offset=offsets, count=st.integers(1, 40))
    def insert_many_for_the_same_moment(self, first: int, offset: int, count: int) -> None:
        for number in range(count):
            self.insert((first + number * 7) % 31, offset)

    @rule(timer=timers)
    def cancel(self, timer: int) -> None:
        assert self.wheel.cancel(timer) == (self.model.pop(timer, None) is not None)

    @rule(step=steps)
    def advance(self, step: int) -> None:
        self.now += step
        due = sorted((key, timer) for timer, key in self.model.items() if key[0] <= self.now)
        assert self.wheel.advance(self.now) == [timer for _, timer in due]
        for _, timer in due:
            del self.model[timer]

    @rule()
    def advance_to_the_next_one(self) -> None:
        if self.model:
            self.advance(max(0, min(self.model.values())[0] - self.now))

    @rule()
    def asked_for_the_next_it_names_the_earliest(self) -> None:
        assert self.wheel.next_due_us() == min((due for due, _ in self.model.values()), default=None)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.wheel) == len(self.model)
        assert all((timer in self.wheel) == (timer in self.model) for timer in range(31))


TestWheelAgainstModel = WheelAgainstModel.TestCase
TestWheelAgainstModel.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(st.integers(-(10**15), 10**15), st.integers(-2 * SLOT_US, HOUR_US - SLOT_US))
@example(NOW, 0)
def test_nothing_fires_a_microsecond_early_nor_a_microsecond_late(now: int, offset: int) -> None:
    wheel: TimingWheel[str] = TimingWheel(now)
    assert wheel.insert("timer", now + offset)
    assert wheel.advance(now + offset - 1) == []
    assert wheel.advance(now + offset) == ["timer"]
    assert wheel.advance(now + offset + HOUR_US) == []


def test_the_horizon_is_refused_and_an_earlier_time_of_that_timer_is_forgotten() -> None:
    wheel: TimingWheel[str] = TimingWheel(NOW)
    assert wheel.insert("timer", NOW + HOUR_US - 1)
    assert not wheel.insert("timer", NOW + HOUR_US)
    assert "timer" not in wheel
    assert wheel.advance(NOW + 2 * HOUR_US) == []


def test_the_horizon_moves_with_the_clock_in_both_directions() -> None:
    wheel: TimingWheel[str] = TimingWheel(NOW)
    wheel.advance(NOW + SLOT_US)
    assert wheel.accepts(NOW + HOUR_US)
    wheel.advance(NOW - SLOT_US)
    assert not wheel.accepts(NOW + HOUR_US - SLOT_US)


def test_days_in_one_step_fire_everything_in_exact_order() -> None:
    rng = Random(1)
    wheel: TimingWheel[int] = TimingWheel(NOW)
    due = {timer: NOW + rng.randrange(HOUR_US) for timer in range(5_000)}
    for timer, at in due.items():
        wheel.insert(timer, at)
    assert wheel.advance(NOW + 3 * 24 * HOUR_US) == sorted(due, key=due.__getitem__)
    assert len(wheel) == 0


def test_a_clock_that_steps_back_delays_but_neither_loses_nor_repeats() -> None:
    wheel: TimingWheel[str] = TimingWheel(NOW)
    wheel.insert("fired", NOW + SLOT_US)
    wheel.insert("waits", NOW + 10 * SLOT_US)
    assert wheel.advance(NOW + 2 * SLOT_US) == ["fired"]
    back = NOW - HOUR_US // 2
    assert wheel.advance(back) == []
    wheel.insert("new", back + 5 * SLOT_US)
    assert wheel.advance(back + 5 * SLOT_US - 1) == []
    assert wheel.advance(back + 5 * SLOT_US) == ["new"]
    assert wheel.advance(NOW + 10 * SLOT_US - 1) == []
    assert wheel.advance(NOW + 10 * SLOT_US) == ["waits"]


def test_timers_are_never_compared_with_each_other() -> None:
    wheel: TimingWheel[object] = TimingWheel(NOW)
    things = [1, ("schedule", 1), "text", None]
    for at in (NOW, NOW + 5 * SLOT_US):
        for thing in things:
            wheel.insert(thing, at)
        wheel.advance(at - 1)
        assert wheel.advance(at) == things


def test_a_timer_moved_again_and_again_inside_the_current_second_does_not_grow_the_wheel() -> None:
    wheel: TimingWheel[int] = TimingWheel(NOW)
    for turn in range(10_000):
        wheel.insert(turn % 10, NOW + 100 + turn % 7)
    assert len(wheel._heap) <= 2 * 10 + 64 + 1
    assert sorted(wheel.advance(NOW + 200)) == list(range(10))


def test_timers_moved_about_the_hour_do_not_grow_the_wheel_and_fire_when_they_were_put_last() -> None:
    """Each move leaves a name in a slot; when too many stand there for nothing they are left out, order kept."""
    rng = Random(1)
    wheel: TimingWheel[int] = TimingWheel(NOW)
    model: dict[int, int] = {}
    most = 0
    for turn in range(20_000):
        timer, at = turn % 10, NOW + rng.choice([10, 20, 20, 3_000]) * SLOT_US + rng.randrange(2)
        wheel.insert(timer, at)
        if model.get(timer) != at:
            model.pop(timer, None)
        model[timer] = at
        most = max(most, sum(map(len, wheel._slots)))
    assert SLOTS < most <= 2 * 10 + SLOTS + 64
    assert wheel._listed == sum(map(len, wheel._slots))
    assert wheel.next_due_us() == min(model.values())
    assert wheel.advance(NOW + HOUR_US) == sorted(model, key=model.__getitem__)
    assert wheel._listed == 0


def test_to_insert_the_same_again_leaves_no_trace() -> None:
    """A worker that looks ahead finds the same times again and again."""
    wheel: TimingWheel[str] = TimingWheel(NOW)
    for _ in range(3):
        assert wheel.insert("first", NOW + 5 * SLOT_US)
        assert wheel.insert("second", NOW + 5 * SLOT_US)
    assert sum(map(len, wheel._slots)) == 2
    assert wheel.advance(NOW + 5 * SLOT_US) == ["first", "second"]


def test_whoever_asks_what_comes_next_sweeps_what_stands_for_nothing() -> None:
    wheel: TimingWheel[int] = TimingWheel(NOW)
    for timer in range(100):
        wheel.insert(timer, NOW + 5 * SLOT_US + timer)
    for timer in range(99):
        wheel.insert(timer, NOW + 9 * SLOT_US)
    wheel.insert(100, NOW + 3 * SLOT_US)
    wheel.cancel(100)
    assert wheel.next_due_us() == NOW + 5 * SLOT_US + 99
    assert wheel._listed == sum(map(len, wheel._slots)) == 100


def test_what_comes_next_is_known_whatever_is_put_before_it_or_cancelled() -> None:
    """Each way by which the answer that was kept may have become untrue, inside the current second and beyond it."""
    wheel: TimingWheel[str] = TimingWheel(NOW)
    for name, at in (("far", 7 * SLOT_US), ("near", 3 * SLOT_US), ("now", 500), ("at once", 400)):
        wheel.insert(name, NOW + at)
        assert wheel.next_due_us() == NOW + at
    assert not wheel.cancel("nobody")
    for name, then in (("at once", 500), ("now", 3 * SLOT_US), ("near", 7 * SLOT_US)):
        assert wheel.cancel(name)
        assert wheel.next_due_us() == NOW + then
    assert wheel.advance(NOW + 7 * SLOT_US) == ["far"]
    assert wheel.next_due_us() is None


def test_what_was_cancelled_leaves_no_name_behind_when_its_second_is_over() -> None:
    wheel: TimingWheel[int] = TimingWheel(NOW)
    for timer in range(100):
        wheel.insert(timer, NOW + 5 * SLOT_US)
        wheel.cancel(timer)
    assert len(wheel) == 0
    assert wheel.next_due_us() is None
    assert wheel.advance(NOW + 6 * SLOT_US) == []
    assert not any(wheel._slots)


def test_a_resident_timer_takes_less_than_400_bytes() -> None:
    """At 1 M it is less (`benchmarks/structures.py`); the ids are the caller's, and are counted here all the same."""
    count = 40_000
    rng = Random(1)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        wheel: TimingWheel[int] = TimingWheel(NOW)
        for timer in range(count):
            wheel.insert(timer, NOW + rng.randrange(HOUR_US))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(wheel) == count
    assert (after - before) / count < 400


def test_a_step_of_ten_thousand_years_looks_at_each_slot_once() -> None:
    """Were the seconds in between walked one by one, this would take days."""
    wheel: TimingWheel[str] = TimingWheel(NOW)
    wheel.insert("timer", NOW + HOUR_US - 1)
    assert wheel.advance(NOW + 10_000 * 366 * 24 * HOUR_US) == ["timer"]
    assert wheel.advance(0) == []
