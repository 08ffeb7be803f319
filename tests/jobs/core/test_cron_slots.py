"""Slots against an oracle that looks at every minute of UTC around real transitions and shares no code with `cron`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.core.cron import CronExpression, NeverFires

MINUTE = timedelta(minutes=1)

# Around each: two days before, two after. All the zones that have broken somebody's scheduler.
TRANSITIONS = [
    ("Pacific/Chatham", date(2026, 4, 5)),
    ("Pacific/Chatham", date(2026, 9, 27)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Antarctica/Troll", date(2026, 3, 29)),  # two hours
    ("Antarctica/Troll", date(2026, 10, 25)),
    ("America/Santiago", date(2026, 4, 5)),
    ("America/Santiago", date(2026, 9, 6)),  # there is no midnight
    ("Pacific/Apia", date(2011, 12, 30)),  # there is no such day
    ("Pacific/Apia", date(2012, 4, 1)),
    ("Pacific/Kwajalein", date(1993, 8, 21)),  # nor this
    ("Pacific/Kwajalein", date(1969, 9, 30)),  # 23 hours come twice
    ("Africa/Casablanca", date(2026, 2, 15)),
    ("Africa/Casablanca", date(2026, 3, 22)),
    ("Europe/Dublin", date(2026, 3, 29)),  # "winter" is the exception there
    ("Europe/Dublin", date(2026, 10, 25)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("America/St_Johns", date(2006, 10, 29)),  # at 00:01, so that a day ends twice
    ("America/St_Johns", date(2006, 4, 2)),
    ("UTC", date(2026, 3, 29)),
]


@dataclass(frozen=True)
class Spec:
    """An expression as text and, told separately, as what it means."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool
    elapsed: bool

    def has(self, wall: datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours:
            return False
        by_date, by_weekday = wall.day in self.days, (wall.weekday() + 1) % 7 in self.weekdays
        return by_date or by_weekday if self.either else by_date and by_weekday


@cache
def walls(zone: str, day: date) -> list[tuple[datetime, datetime]]:
    """(instant, what the wall clock shows) for every minute of five days."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=3)
    instants = [start + n * MINUTE for n in range(5 * 1440)]
    tz = ZoneInfo(zone)
    return [(instant, instant.astimezone(tz).replace(tzinfo=None)) for instant in instants]


def oracle(spec: Spec, zone: str, day: date) -> list[datetime]:
    if spec.elapsed:
        return [instant for instant, wall in walls(zone, day) if spec.has(wall)]
    expected = []
    highest = walls(zone, day)[0][1] - MINUTE
    for instant, wall in walls(zone, day):
        if wall <= highest:
            continue  # the clock has shown it before
        shown = highest + MINUTE
        while shown < wall and not spec.has(shown):
            shown += MINUTE
        if spec.has(shown):  # now, or skipped on the way here
            expected.append(instant)
        highest = wall
    return expected


def star_or_list(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    every = range(low, high + 1)
    numbers = st.lists(st.integers(low, high), min_size=1, max_size=4, unique=True)
    bounds = st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True).map(sorted)
    steps = st.integers(1, high - low)
    return st.one_of(
        st.just(("*", frozenset(every))),
        steps.map(lambda step: (f"*/{step}", frozenset(every[::step]))),
        numbers.map(lambda values: (",".join(map(str, values)), frozenset(values))),
        bounds.map(lambda ends: (f"{ends[0]}-{ends[1]}", frozenset(range(ends[0], ends[1] + 1)))),
        st.integers(low, high).map(lambda value: (f"{value}-{value}", frozenset([value]))),
        st.builds(
            lambda ends, step: (f"{ends[0]}-{ends[1]}/{step}", frozenset(range(ends[0], ends[1] + 1, step))),
            bounds,
            steps,
        ),
    )


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    minute, minutes = draw(star_or_list(0, 59))
    hour, hours = draw(star_or_list(0, 23))
    day, days = draw(st.one_of(st.just(("*", frozenset(range(1, 32)))), star_or_list(1, 31)))
    weekday, weekdays = draw(st.one_of(st.just(("*", frozenset(range(7)))), star_or_list(0, 6)))
    return Spec(
        text=f"{minute} {hour} {day} * {weekday}",
        minutes=minutes,
        hours=hours,
        days=days,
        weekdays=weekdays,
        either="*" not in day and "*" not in weekday,
        elapsed="*" in minute + hour or len(minutes) == 60 or len(hours) == 24,
    )


def plain(minutes: Iterable[int], hours: Iterable[int], text: str, *, elapsed: bool) -> Spec:
    return Spec(
        text=text,
        minutes=frozenset(minutes),
        hours=frozenset(hours),
        days=frozenset(range(1, 32)),
        weekdays=frozenset(range(7)),
        either=False,
        elapsed=elapsed,
    )


FAMILIAR = [
    plain(range(60), range(24), "* * * * *", elapsed=True),
    plain([0], range(24), "0 * * * *", elapsed=True),
    plain(range(0, 60, 15), range(24), "*/15 * * * *", elapsed=True),
    plain(range(0, 60, 15), [0, 1, 2, 3], "*/15 0-3 * * *", elapsed=True),
    plain([0], range(0, 24, 2), "0 */2 * * *", elapsed=True),
    plain([0], range(24), "0 0-23 * * *", elapsed=True),
    plain(range(60), [2], "0-59 2 * * *", elapsed=True),
    plain([0], [0], "0 0 * * *", elapsed=False),
    plain([30], [0], "30 0 * * *", elapsed=False),
    plain([30], [1], "30 1 * * *", elapsed=False),
    plain([0, 15, 30, 45], [2], "0,15,30,45 2 * * *", elapsed=False),
    plain([0, 30], [1, 2, 3], "0,30 1-3 * * *", elapsed=False),
    plain([45], [2, 3], "45 2,3 * * *", elapsed=False),
    plain([59], [23], "59 23 * * *", elapsed=False),
    plain([0], [12], "0 12 * * *", elapsed=False),
]


def slots_in_window(spec: Spec, zone: str, day: date) -> list[datetime]:
    window = walls(zone, day)
    expression = CronExpression.parse(spec.text, zone)
    assert expression.follows_elapsed_time == spec.elapsed
    return expression.slots_between(window[0][0] - MINUTE, window[-1][0], 10_000)


@pytest.mark.parametrize(("zone", "day"), TRANSITIONS, ids=str)
def test_slots_around_a_transition_are_those_of_a_minute_by_minute_look(zone: str, day: date) -> None:
    for spec in FAMILIAR:
        expected = oracle(spec, zone, day)
        assert slots_in_window(spec, zone, day) == expected, spec.text


@settings(max_examples=150, deadline=None)
@given(specs(), st.sampled_from(TRANSITIONS), st.data())
def test_any_expression_asked_from_any_moment_goes_on_as_the_oracle_says(
    spec: Spec, transition: tuple[str, date], data: st.DataObject
) -> None:
    zone, day = transition
    try:
        expression = CronExpression.parse(spec.text, zone)
    except NeverFires:
        assert spec.days <= {30, 31}
        return
    expected = oracle(spec, zone, day)
    assert slots_in_window(spec, zone, day) == expected
    moments = st.integers(0, 5 * 86_400 - 60).map(lambda second: timedelta(seconds=second))
    moment = walls(zone, day)[0][0] + data.draw(moments)
    following = expected[bisect_right(expected, moment) :]
    if following:
        assert expression.next_after(moment) == following[0]
