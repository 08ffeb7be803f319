"""Which wall-clock minutes a cron expression names, in a calendar without time zones.

Place in the flow: `cron` reads the fields and asks here for the next matching minute of a segment with one UTC offset.
Promise: a search tests each day at most once and skips months that do not match, so forty years cost milliseconds. It
must not know about zones: the datetimes here are naive wall-clock times.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

__all__ = ["LAST", "WallCalendar"]

# As the number of a weekday in its month: the last one.
LAST = 0

_MINUTES = 60
_HOURS = 24
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallCalendar:
    """The five fields, expanded."""

    minutes: tuple[int, ...]  # 0 to 59, ascending
    hours: tuple[int, ...]  # 0 to 23, ascending
    days: frozenset[int]  # of the month, 1 to 31
    last_day: bool  # the last day of a month matches too
    months: frozenset[int]  # 1 to 12
    weekdays: frozenset[int]  # 0 is Sunday, 6 Saturday
    numbered: frozenset[tuple[int, int]]  # (weekday, its number in the month, 1 to 5 or LAST)
    either: bool  # day of month or day of week is enough; else both must match

    @property
    def every_minute_or_hour(self) -> bool:
        """Whether one of the two time fields restricts nothing."""
        return len(self.minutes) == _MINUTES or len(self.hours) == _HOURS

    def first_from(self, wall: datetime, end: datetime) -> datetime | None:
        """The first matching minute in `wall <= minute < end`."""
        wall = _rounded_up(wall)
        day, earliest = wall.date(), wall.hour * _MINUTES + wall.minute
        last = end.date()
        while day <= last:
            if day.month not in self.months:
                day, earliest = _first_of_next_month(day), 0
                continue
            if self._has_day(day) and (found := self._first_minute(earliest)) is not None:
                match = datetime.combine(day, found)
                return match if match < end else None
            day, earliest = day + _DAY, 0
        return None

    def _first_minute(self, earliest: int) -> time | None:
        """The first matching time of a day at or after the minute `earliest`, 0 to 1439."""
        hour, minute = divmod(earliest, _MINUTES)
        place = bisect_left(self.hours, hour)
        if place < len(self.hours) and self.hours[place] == hour:
            inside = bisect_left(self.minutes, minute)
            if inside < len(self.minutes):
                return time(hour, self.minutes[inside])
            place += 1
        return time(self.hours[place], self.minutes[0]) if place < len(self.hours) else None

    def _has_day(self, day: date) -> bool:
        by_date = day.day in self.days or (self.last_day and day.day == _length_of_month(day))
        if by_date == self.either:  # the other field cannot change the answer
            return by_date
        return self._has_weekday(day)

    def _has_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if weekday in self.weekdays:
            return True
        if (weekday, (day.day + 6) // 7) in self.numbered:
            return True
        return (weekday, LAST) in self.numbered and day.day + 7 > _length_of_month(day)


def _rounded_up(wall: datetime) -> datetime:
    whole = wall.replace(second=0, microsecond=0)
    return whole if whole == wall else whole + _MINUTE


def _first_of_next_month(day: date) -> date:
    return (day.replace(day=28) + 4 * _DAY).replace(day=1)


def _length_of_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]
