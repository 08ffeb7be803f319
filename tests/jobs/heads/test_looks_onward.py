"""Where no bell rang, a look goes on from where the last one began, if that is enough; what is owed is not put off."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.heads import Heads
from jobs.models import Ready
from tests.jobs.heads.conftest import Clock, slow_down, submit

pytestmark = pytest.mark.django_db(transaction=True)


def test_where_no_bell_rang_a_look_goes_on_from_where_the_last_one_began(seen: Any, looks: Heads) -> None:
    """At the beginning of a lane lie the dead rows of all that a drain has started."""
    many = submit(*[0] * 12)
    assert seen() == many[:10]
    urgent = submit(50)
    assert seen(onward=True) == many[:10]
    assert looks.owed_in() is None, "the poll, or a bell, will find what came in before"
    assert seen() == [*urgent, *many[:9]]
    assert seen(onward=True) == [*urgent, *many[:9]]


def test_where_that_finds_little_it_looks_from_the_beginning_after_all(seen: Any) -> None:
    few = submit(*[0] * 8)
    assert seen() == few
    urgent, other = submit(50), submit(0, kind="test.async")
    assert sorted(seen(onward=True)) == sorted([*urgent, *few, *other])


def test_where_it_finds_less_than_one_look_takes_it_looks_from_the_beginning_as_well(seen: Any) -> None:
    many = submit(*[0] * 12)
    seen()
    Ready.objects.filter(job__in=many[:8]).delete()
    urgent = submit(50)
    assert seen(onward=True) == [*urgent, *many[8:]]


def test_one_lane_that_holds_many_is_enough(seen: Any) -> None:
    many, few = submit(*[0] * 12), submit(0, kind="test.async")
    assert sorted(seen()) == sorted([*many[:10], *few])
    submit(50)
    assert sorted(seen(onward=True)) == sorted([*many[:10], *few])


def test_where_the_last_look_found_little_none_is_made_in_vain(seen: Any, looks: Heads) -> None:
    submit(*[0] * 8)
    seen()
    seen(onward=True)
    assert not looks._short


def test_what_is_owed_is_not_put_off_by_a_look_onward(seen: Any, looks: Heads, clock: Clock) -> None:
    """Looks had become slow, and what came in meanwhile rang its bell already."""
    many = submit(*[0] * 12)
    clock.short = 0.04
    slow_down(clock, seen, 0.05)
    urgent = submit(50)
    assert seen() == many[:10]
    assert looks.owed_in() == 0.0
    assert not looks.slow
    assert seen(onward=True) == [*urgent, *many[:9]]


def test_of_looks_that_have_become_slow_those_from_the_beginning_are_owed_as_ever(
    seen: Any, looks: Heads, clock: Clock
) -> None:
    many = submit(*[0] * 12)
    slow_down(clock, seen)
    submit(50)
    assert seen(onward=True) == many[:10]
    assert looks.owed_in() is not None
