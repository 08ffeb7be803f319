from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest

from jobs.core.zone_offsets import offset_at, stretches


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def changes(zone: str, start: str, end: str) -> list[tuple[datetime, timedelta]]:
    found = takewhile(
        lambda stretch: stretch.until <= instant(end), stretches(ZoneInfo(zone), instant(start))
    )
    return [
        (stretch.until, stretch.then - stretch.offset) for stretch in found if stretch.then != stretch.offset
    ]


@pytest.mark.parametrize(
    ("zone", "until", "hours"),
    [
        ("Europe/Berlin", "2026-03-29 01:00", 1),
        ("Europe/Berlin", "2026-10-25 01:00", -1),
        ("Australia/Lord_Howe", "2026-10-03 15:30", 0.5),
        ("Antarctica/Troll", "2026-03-29 01:00", 2),
        ("Pacific/Apia", "2011-12-30 10:00", 24),
    ],
)
def test_a_change_of_offset_is_found_to_the_second(zone: str, until: str, hours: float) -> None:
    year = until[:4]
    assert (instant(until), timedelta(hours=hours)) in changes(
        zone, f"{year}-01-01", f"{int(year) + 1}-01-01"
    )


def test_stretches_begin_with_the_one_that_is_running() -> None:
    first = next(stretches(ZoneInfo("Europe/Berlin"), instant("2026-07-01")))
    assert first.until == instant("2026-10-25 01:00")
    assert (first.offset, first.then) == (timedelta(hours=2), timedelta(hours=1))


def test_in_the_whole_zone_database_a_change_lasts_longer_than_the_day_between_two_looks() -> None:
    """The busiest years, looked at twice a day: Brazil in 2000 and Gaza in the 2040s changed for a week."""
    for zone in sorted(available_timezones() - {"localtime"}):
        tz = ZoneInfo(zone)
        for year in (2000, 2046):
            looks = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(2 * 365)]
            offsets = [tz.utcoffset(look.replace(tzinfo=tz)) for look in looks]
            moved = [n for n in range(1, len(looks)) if offsets[n] != offsets[n - 1]]
            assert all(after - before > 2 * 2 for before, after in pairwise(moved)), (zone, year)


def test_an_offset_is_wall_clock_minus_utc() -> None:
    assert offset_at(ZoneInfo("Asia/Kathmandu"), instant("2026-01-01")) == timedelta(hours=5, minutes=45)
    assert offset_at(ZoneInfo("America/New_York"), instant("2026-01-01")) == timedelta(hours=-5)
