"""Cron expressions in a time zone: which instants are the slots of a schedule?

Place in the flow: a schedule is checked here when it is saved, and asked for its next slot. Promises: parsing and
searching are bounded whatever the text (it is checked against a grammar before croniter sees it); slots are instants in
UTC, strictly increasing, on whole wall-clock minutes; an expression that names no day that exists is refused.

Text: five fields, minute hour day-of-month month day-of-week, each a list of values, names, ranges (`22-2` and
`fri-mon` wrap) and steps; `L` is the last day of the month, `fri#2` the second and `L5` the last Friday; `?` is `*` in
the day fields; `@hourly` and its like. Seconds are refused: slots are minutes. As in cron, when both day fields are
restricted one of them is enough, and when one contains `*` both must match.

Change of offset, as Vixie cron has it: an expression with a fixed hour and minute ("30 2 * * *") keeps its promise to
the day: a time that the clocks skip runs once, at the first moment after the gap; a time that comes twice runs the
first time. One with `*` or every value in the minute or hour field ("*/15 * * * *", "0 * * * *") follows elapsed time:
it runs whenever the wall clock shows a matching minute, both times in a fold, and not for minutes that were skipped.

croniter only expands the fields. Its zones, its "5-5" (every minute), its "22-2/3" (22 and 2) and its `R` (random) are
kept away from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadCronError, croniter

from jobs.core.errors import InvalidValue
from jobs.core.suggestion import did_you_mean, nearest
from jobs.core.wall_calendar import LAST, WallCalendar
from jobs.core.zone_offsets import Stretch, offset_at, stretches

__all__ = ["CronExpression", "InvalidCron", "NeverFires", "UnknownZone"]

_MAX_LENGTH = 200
_YEARS = range(1900, 9_900)
# 29 February on a given weekday can be 40 years away (from 2072 to 2112); nothing that fires at all is further.
_HORIZON = timedelta(days=41 * 366)
# More than any change of offset (24 hours, where the date line moved) and any offset (15 hours) together.
_MARGIN = timedelta(days=3)
_TICK = timedelta(microseconds=1)

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class InvalidCron(InvalidValue):
    """The text is no cron expression of ours. `reason` names the part."""

    def __init__(self, reason: str) -> None:
        super().__init__("cron", reason)


class NeverFires(InvalidCron):
    """The expression names no moment that exists, such as 30 February."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} never fires")


class UnknownZone(InvalidValue):
    """The time zone is not in the zone database. `suggestion` is the nearest name, or None."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        super().__init__("timezone", f"{name[:80]!r} is not a known time zone{did_you_mean(suggestion)}")
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What one of the five fields may hold."""

    label: str
    low: int
    high: int
    names: Mapping[str, int]
    special: re.Pattern[str]  # items that are neither value, range nor step

    @property
    def size(self) -> int:
        return self.high - self.low + 1


_NOTHING = re.compile(r"(?!)")
_FIELDS = (
    _Field(label="minute", low=0, high=59, names={}, special=_NOTHING),
    _Field(label="hour", low=0, high=23, names={}, special=_NOTHING),
    _Field(label="day of month", low=1, high=31, names={}, special=re.compile("l")),
    _Field(
        label="month", low=1, high=12, names={name: n for n, name in enumerate(_MONTHS, 1)}, special=_NOTHING
    ),
    _Field(
        label="day of week",
        low=0,
        high=7,
        names={name: n for n, name in enumerate(_WEEKDAYS)},
        special=re.compile(rf"([0-7]|{'|'.join(_WEEKDAYS)})#[1-5]|l[0-7]"),
    ),
)
_ITEM = re.compile(r"(?:\*|([a-z]+|[0-9]{1,2})(?:-([a-z]+|[0-9]{1,2}))?)(?:/([0-9]{1,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronExpression:
    """A parsed expression; make one with `parse`. Equal when text and time zone are."""

    text: str
    timezone: str
    follows_elapsed_time: bool = field(compare=False)  # False: keeps its promise to the day, see the module
    calendar: WallCalendar = field(compare=False, repr=False)
    zone: ZoneInfo = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, timezone: str) -> CronExpression:
        """Read five fields or an alias, and the name of a zone such as "Europe/Berlin".

        Raises `InvalidCron`, `NeverFires` or `UnknownZone`, all of them `InvalidValue` with `field` and `reason`.
        """
        zone = _zone(timezone)
        parts = _split(text)
        calendar = _calendar(parts)
        if calendar.first_from(datetime(2000, 1, 1), datetime(2000, 1, 1) + _HORIZON) is None:
            raise NeverFires(text)
        every = "*" in parts[0] or "*" in parts[1] or len(calendar.minutes) == 60 or len(calendar.hours) == 24
        return cls(text=text, timezone=timezone, follows_elapsed_time=every, calendar=calendar, zone=zone)

    def __str__(self) -> str:
        return f"{self.text} ({self.timezone})"

    def next_after(self, instant: datetime) -> datetime:
        """The first slot later than `instant` (aware, any zone), in UTC.

        Raises `NeverFires` when there is none within 41 years, `InvalidValue` for a naive time or a year out of range.
        """
        for slot in self._slots(instant):
            return slot
        raise NeverFires(self.text)

    def slots_between(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The first `limit` slots in `start < slot <= end`, in UTC, ascending. Raises as `next_after` does, but empty
        is no error."""
        _utc(end, "end")
        found: list[datetime] = []
        for slot in islice(self._slots(start), max(limit, 0)):
            if slot > end:
                break
            found.append(slot)
        return found

    def _slots(self, after: datetime) -> Iterator[datetime]:
        return (slot.replace(tzinfo=UTC) for slot in self._walk(_utc(after, "instant")))

    def _walk(self, after: datetime) -> Iterator[datetime]:
        """Slots later than `after`, stretch by stretch. It begins early enough to know what a fold repeats."""
        end = after + _HORIZON
        match = self.calendar.first_from(after - _MARGIN, end)
        if match is None:
            return
        begin = max(after, match - _MARGIN) - _MARGIN
        told = begin + offset_at(self.zone, begin)  # no earlier wall time may fire again
        last = after
        for stretch in stretches(self.zone, begin):
            for slot in self._in_stretch(stretch, begin, told, last):
                yield slot
                last = slot
            begin = stretch.until
            told = begin if self.follows_elapsed_time else max(told, begin + stretch.offset)
            if begin > end:
                return

    def _in_stretch(
        self, stretch: Stretch, begin: datetime, told: datetime, last: datetime
    ) -> Iterator[datetime]:
        """Slots later than `last` in `begin <= slot < stretch.until`, and the one for a gap that follows."""
        raise NotImplementedError


def _utc(instant: datetime, name: str) -> datetime:
    if instant.utcoffset() is None:
        raise InvalidValue(name, "must have a time zone")
    if instant.year not in _YEARS:
        raise InvalidValue(name, f"must be between the years {_YEARS[0]} and {_YEARS[-1]}")
    return instant.astimezone(UTC).replace(tzinfo=None)
