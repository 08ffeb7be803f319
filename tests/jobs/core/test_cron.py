"""Slots against an oracle that looks at every minute of UTC around real transitions and shares no code with `cron`."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.core.cron import CronExpression, InvalidCron, NeverFires, UnknownZone
from jobs.core.errors import InvalidValue

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


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(text: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    expression, instant, found = CronExpression.parse(text, zone), at(start), []
    for _ in range(count):
        instant = expression.next_after(instant)
        assert instant.tzinfo is UTC
        found.append(instant.strftime("%Y-%m-%d %H:%M"))
    return found


def test_a_skipped_time_runs_once_at_the_moment_after_the_gap() -> None:
    assert slots("30 2 * * *", "2026-03-28 12:00", 2, "Europe/Berlin") == [
        "2026-03-29 01:00",
        "2026-03-30 00:30",
    ]


def test_a_time_that_comes_twice_runs_the_first_time_only() -> None:
    assert slots("30 2 * * *", "2026-10-24 12:00", 2, "Europe/Berlin") == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_asked_inside_the_fold_it_still_knows_that_the_first_time_was_it() -> None:
    assert slots("30 2 * * *", "2026-10-25 01:00", 1, "Europe/Berlin") == ["2026-10-26 01:30"]
    assert slots("0 12 * * *", "1969-09-30 14:00", 1, "Pacific/Kwajalein") == ["1969-10-02 00:00"]


def test_a_day_that_was_skipped_is_made_up_for_once() -> None:
    assert slots("0 12 * * *", "2011-12-29 12:00", 3, "Pacific/Apia") == [
        "2011-12-29 22:00",
        "2011-12-30 10:00",
        "2011-12-30 22:00",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@hourly", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("@DAILY", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@midnight", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@weekly", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("@monthly", ["2026-02-01 00:00", "2026-03-01 00:00"]),
        ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("@annually", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00"]),
        ("0 0 1,L * *", ["2026-01-31 00:00", "2026-02-01 00:00"]),
        ("0 0 ? * fri#2", ["2026-01-09 00:00", "2026-02-13 00:00"]),
        ("0 0 * * 5#5", ["2026-01-30 00:00", "2026-05-29 00:00"]),
        ("0 0 * * L5", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * L7,7#1", ["2026-01-04 00:00", "2026-01-25 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 29 2 */7", ["2032-02-29 00:00", "2060-02-29 00:00"]),
        ("0 0 1 * 1", ["2026-01-05 00:00", "2026-01-12 00:00"]),
        ("0 0 13 * 5", ["2026-01-02 00:00", "2026-01-09 00:00"]),
        ("0 0 */2 * 1", ["2026-01-05 00:00", "2026-01-19 00:00"]),
        ("0 0 1 feb-apr,Dec *", ["2026-02-01 00:00", "2026-03-01 00:00"]),
        ("0 0 1 nov-feb *", ["2026-02-01 00:00", "2026-11-01 00:00"]),
        ("0 22-2 * * *", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("5-5 0 * * *", ["2026-01-01 00:05", "2026-01-02 00:05"]),
        ("5-5/3 0 * * *", ["2026-01-01 00:05", "2026-01-02 00:05"]),
        ("20/20 0 * * *", ["2026-01-01 00:20", "2026-01-01 00:40"]),
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 7-7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 7-1", ["2026-01-04 00:00", "2026-01-05 00:00"]),
        ("0 0 * * 6-7", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("0 0 * * 6-0", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("0 0 * * 7-0", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 0-7", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("0 0 * * sat-mon", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("  0\t0  1 1 *  ", ["2027-01-01 00:00", "2028-01-01 00:00"]),
    ],
)
def test_the_text_means_what_cron_means_by_it(text: str, expected: list[str]) -> None:
    assert slots(text, "2026-01-01 00:00", 2) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields; it needs 5 .*no seconds"),
        ("@dayly", "did you mean '@daily'"),
        ("@reboot", "is none of @yearly"),
        ("60 * * * *", "minute '60': must be 0 to 59"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0': must be 1 to 31"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of week '8': must be 0 to 7"),
        ("* * * jam *", "month 'jam': is not a value; did you mean 'jan'"),
        ("jan * * * *", "minute 'jan': is not a value"),
        ("*/0 * * * *", "a step must be 1 to 60"),
        ("*/90 * * * *", "a step must be 1 to 60"),
        ("0 0-9999 * * *", "hour '9999': must be 0 to 23"),
        ("0 22-2/3 * * *", "a range that wraps cannot have a step"),
        ("1,,2 * * * *", "minute ''"),
        ("*,1 * * * *", "a list cannot contain"),
        ("-1 * * * *", "must be a value, a range or a step"),
        ("1-2-3 * * * *", "must be a value, a range or a step"),
        ("99999999 * * * *", "must be a value, a range or a step"),
        ("? * * * *", r"minute '\?'"),
        ("R * * * *", "minute 'r': is not a value"),
        ("H/5 * * * *", "minute 'h'"),
        ("0 0 15W * *", "day of month '15w'"),
        ("0 0 * * mon#2,tue", "cannot be mixed"),
        ("0 0 * * mon#6", "cannot be mixed"),
        ("0 0 * * L5,1", "cannot be mixed"),
        ("0 0 1#2 * *", "day of month '1#2'"),
        ("٣ * * * *", "may hold"),
        ("0 0 * * *\x00", "may hold"),
        ("0 0 * * *\n", "may hold"),
        ("0-59," * 50 + "1 * * * *", "more than 200 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_part_that_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(InvalidCron, match=sentence) as caught:
        CronExpression.parse(text, "UTC")
    assert caught.value.field == "cron"


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "*/5 * 31 feb *"])
def test_a_day_that_does_not_exist_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(NeverFires, match="never fires"):
        CronExpression.parse(text, "Europe/Berlin")
    assert time.perf_counter() - started < 1


def test_an_expression_that_only_names_minutes_the_clocks_skip_ends_its_search() -> None:
    """The last Sunday of March, 02:00 to 02:59, following elapsed time: never there in Berlin."""
    expression = CronExpression.parse("* 2 25-31 3 */7", "Europe/Berlin")
    with pytest.raises(NeverFires):
        expression.next_after(at("2026-01-01 00:00"))
    assert expression.slots_between(at("2026-01-01 00:00"), at("2090-01-01 00:00"), 5) == []


cron_text = st.text("0123456789*/,-#?@ LlWRhHjanmosu", max_size=40)
near_cron = st.lists(st.text("0123457*/,-#?lfri", min_size=1, max_size=6), min_size=5, max_size=5).map(
    " ".join
)


@settings(max_examples=250, deadline=1_000)
@given(st.one_of(cron_text, near_cron, st.text(max_size=20)), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_hostile_text_is_parsed_or_refused_and_never_anything_else(text: str, zone: str) -> None:
    try:
        expression = CronExpression.parse(text, zone)
    except InvalidCron:
        return
    try:
        first = expression.next_after(at("2026-06-01 00:00"))
    except NeverFires:
        return
    assert expression.next_after(first) > first


@pytest.mark.parametrize(
    ("zone", "suggestion"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("Europe", "Europe/Rome"),
        ("", None),
        ("../../etc/passwd", None),
        ("a\x00b", None),
        ("x" * 10_000, None),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest(zone: str, suggestion: str | None) -> None:
    with pytest.raises(UnknownZone) as caught:
        CronExpression.parse("* * * * *", zone)
    assert caught.value.suggestion == suggestion
    assert caught.value.field == "timezone"
    assert len(str(caught.value)) < 250


def test_a_time_without_zone_or_outside_the_calendar_is_refused() -> None:
    expression = CronExpression.parse("@daily", "UTC")
    naive = at("2026-01-01").replace(tzinfo=None)
    with pytest.raises(InvalidValue, match="instant: must have a time zone"):
        expression.next_after(naive)
    with pytest.raises(InvalidValue, match="end: must have a time zone"):
        expression.slots_between(at("2026-01-01"), naive, 1)
    for year in (1, 1899, 9900, 9999):
        with pytest.raises(InvalidValue, match="between the years 1900 and 9899"):
            expression.next_after(at("2026-01-01").replace(year=year))
    assert expression.next_after(at("9899-12-31")) == at("9900-01-01")


def test_slots_between_excludes_its_start_includes_its_end_and_keeps_its_limit() -> None:
    expression = CronExpression.parse("0 * * * *", "UTC")
    start, end = at("2026-01-01 00:00"), at("2026-01-01 03:00")
    assert expression.slots_between(start, end, 9) == [start + timedelta(hours=n) for n in (1, 2, 3)]
    assert expression.slots_between(start, end, 2) == [start + timedelta(hours=n) for n in (1, 2)]
    assert expression.slots_between(start, end, 0) == []
    assert expression.slots_between(start, end, -1) == []
    assert expression.slots_between(end, start, 9) == []


def test_slots_between_reaches_further_than_one_search() -> None:
    expression = CronExpression.parse("0 0 1 1 *", "Europe/Berlin")
    assert len(expression.slots_between(at("1950-06-01"), at("2150-06-01"), 1_000)) == 200


def test_an_instant_may_come_in_any_zone() -> None:
    expression = CronExpression.parse("0 0 * * *", "Asia/Tokyo")
    assert expression.next_after(at("2026-01-01 12:00").astimezone(ZoneInfo("America/New_York"))) == at(
        "2026-01-01 15:00"
    )


def test_expressions_are_values() -> None:
    first, second = (CronExpression.parse("@daily", "UTC") for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != CronExpression.parse("@daily", "Asia/Tokyo")
    assert str(first) == "@daily (UTC)"
