from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.core.backoff import MAX_DELAY_S, Backoff, Exponential, Fixed, Linear
from jobs.core.errors import InvalidValue

seconds = st.floats(0, MAX_DELAY_S, exclude_min=True)
jitters = st.sampled_from(["full", "equal", "none"])
backoffs = st.one_of(
    st.builds(Exponential, base=seconds, factor=st.floats(1, 1000), cap=seconds, jitter=jitters),
    st.builds(Linear, base=seconds, step=seconds, cap=seconds, jitter=jitters),
    st.builds(Fixed, seconds=seconds, jitter=jitters),
)


def delays(backoff: Backoff, attempts: int = 6) -> list[float]:
    return [backoff.delay(attempt, Random(0)) for attempt in range(1, attempts + 1)]


def test_exponential_doubles_from_its_base_up_to_its_cap() -> None:
    assert delays(Exponential(base=2, cap=20, jitter="none")) == [2, 4, 8, 16, 20, 20]


def test_a_factor_of_one_never_grows() -> None:
    assert delays(Exponential(base=3, factor=1, jitter="none"), 3) == [3, 3, 3]


def test_linear_adds_its_step_up_to_its_cap() -> None:
    assert delays(Linear(base=5, step=10, cap=40)) == [5, 15, 25, 35, 40, 40]


def test_fixed_is_always_the_same() -> None:
    assert delays(Fixed(seconds=7), 3) == [7, 7, 7]


@given(backoffs, st.one_of(st.integers(1, 50), st.sampled_from([10_000, 10**9, 10**400])), st.integers())
def test_every_delay_is_finite_and_within_the_cap(backoff: Backoff, attempt: int, seed: int) -> None:
    delay = backoff.delay(attempt, Random(seed))
    limit = backoff.seconds if isinstance(backoff, Fixed) else getattr(backoff, "cap")  # noqa: B009
    assert math.isfinite(delay)
    assert 0 <= delay <= limit


@given(backoffs)
@example(Fixed(seconds=7))
def test_a_backoff_survives_being_stored_as_json(backoff: Backoff) -> None:
    assert Backoff.from_dict(json.loads(json.dumps(backoff.to_dict()))) == backoff


def test_full_jitter_spreads_over_all_of_the_delay_and_equal_jitter_over_its_upper_half() -> None:
    rng = Random(1)
    full = [Fixed(seconds=10, jitter="full").delay(1, rng) for _ in range(2_000)]
    equal = [Fixed(seconds=10, jitter="equal").delay(1, rng) for _ in range(2_000)]
    assert min(full) < 0.1
    assert max(full) > 9.9
    assert 5 <= min(equal) < 5.1
    assert max(equal) > 9.9


def test_the_same_random_source_gives_the_same_delay() -> None:
    assert Exponential().delay(4, Random(9)) == Exponential().delay(4, Random(9))


@pytest.mark.parametrize(
    ("cls", "options", "field"),
    [
        (Exponential, {"base": 0}, "base"),
        (Exponential, {"base": math.nan}, "base"),
        (Exponential, {"cap": math.inf}, "cap"),
        (Exponential, {"cap": -1}, "cap"),
        (Exponential, {"factor": 0.99}, "factor"),
        (Exponential, {"factor": 1001}, "factor"),
        (Exponential, {"factor": math.nan}, "factor"),
        (Exponential, {"jitter": "some"}, "jitter"),
        (Exponential, {"jitter": ["full"]}, "jitter"),
        (Linear, {"base": MAX_DELAY_S + 1}, "base"),
        (Linear, {"step": True}, "step"),
        (Linear, {"cap": "10"}, "cap"),
        (Linear, {"jitter": None}, "jitter"),
        (Fixed, {"seconds": None}, "seconds"),
        (Fixed, {"seconds": 1, "jitter": "no"}, "jitter"),
    ],
)
def test_a_wrong_option_is_refused_when_the_backoff_is_built(
    cls: type[Any], options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        cls(**options)
    assert caught.value.field == field
    assert caught.value.reason


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    with pytest.raises(InvalidValue, match="attempt"):
        Fixed(seconds=1).delay(attempt, Random(0))


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ({"type": "exponental"}, "did you mean 'exponential'"),
        ({}, "must be one of exponential, linear, fixed"),
        ({"type": "linear", "stepp": 4}, "stepp: is not an option of linear; did you mean 'step'"),
        ({"type": "fixed", "zzz": 4}, "is not an option of fixed$"),
        ({"type": "fixed"}, "needs seconds, jitter, has nothing"),
        ({"type": "fixed", "jitter": "full"}, "needs seconds, jitter, has jitter"),
        ({"type": "fixed", "seconds": "5"}, "must be a number, not str"),
    ],
)
def test_stored_options_that_are_wrong_are_refused_by_name(stored: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        Backoff.from_dict(stored)


def test_a_backoff_cannot_be_changed() -> None:
    with pytest.raises((FrozenInstanceError, TypeError)):
        Exponential().base = 5.0  # type: ignore[misc]
