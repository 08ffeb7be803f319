"""What the text of an expression means, what is refused, and slots where clocks change."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.core.cron import CronExpression, InvalidCron, NeverFires, UnknownZone
from jobs.core.errors import InvalidValue


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
