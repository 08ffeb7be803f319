"""What a client hands in is stored exactly, or refused with the field that is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import InvalidSubmission
from jobs.payloads import check_integer, check_seconds, check_text, check_time, encode_json, encode_plain

LIMITS: dict[str, Any] = {"field": "payload", "max_bytes": 1000, "max_depth": 5}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_payload_comes_back_as_it_went_in() -> None:
    value = {"text": "äöü 😀", "back\\u0000slash": ["\\u0000", 1.5, None, True], "n": -(10**30)}
    assert json.loads(encode_json(value, **LIMITS)) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not JSON"),
        (float("inf"), "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
        ({(1, 2): 3}, "not JSON"),
        pytest.param(10**5000, "not JSON", id="endless number"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ("a\x00b", "NUL"),
        ([{"k\x00": 1}], "NUL"),
        ("x" * 1000, "bytes"),
        ("ä" * 500, "bytes"),
        pytest.param(nested(6), "deeper", id="deep"),
        pytest.param(nested(200_000), "deeper", id="bottomless"),
    ],
)
def test_what_the_database_cannot_hold_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(InvalidSubmission, match=reason) as caught:
        encode_json(value, **LIMITS)
    assert caught.value.field == "payload"


def test_a_payload_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidSubmission):
        encode_json(loop, **LIMITS)


def test_the_limits_themselves_are_allowed() -> None:
    assert encode_json(nested(5), **LIMITS)
    assert len(encode_json("x" * 998, **LIMITS)) == 1000


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_every_accepted_value_is_readable_and_small(value: Any) -> None:
    try:
        text = encode_json(value, **LIMITS)
    except InvalidSubmission:
        return
    assert json.loads(text) == value
    assert len(text.encode()) <= 1000
    assert "\x00" not in text


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=30) | st.just("x" * 90),
                lambda inner: (
                    st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
                ),
                max_leaves=8,
            ),
            max_size=3,
        )
        | st.just("no object"),
        max_size=6,
    )
)
def test_many_together_are_taken_only_where_each_of_them_would_be(values: list[Any]) -> None:
    limits = {"max_bytes": 200, "max_depth": 4}
    together = encode_plain(values, **limits)
    if together is not None:
        assert f"[{','.join(encode_json(value, field='payload', **limits) for value in values)}]" == together
        assert all(isinstance(value, dict) for value in values)


def test_many_that_are_small_and_flat_are_taken_together() -> None:
    values = [{"n": n, "text": "ä"} for n in range(5)]
    assert encode_plain(values, max_bytes=1000, max_depth=1) is not None
    assert encode_plain([*values, {"n": [1]}], max_bytes=1000, max_depth=1) is None


@pytest.mark.parametrize("value", ["", "a\nb", "\x00", "\ud800", "x" * 11, 5, None])
def test_a_name_is_short_and_printable(value: Any) -> None:
    with pytest.raises(InvalidSubmission):
        check_text(value, field="name", max_length=10)
    assert check_text("Größe 😀", field="name", max_length=10) == "Größe 😀"


@pytest.mark.parametrize("value", [-101, 101, 1.0, "5", True, None])
def test_a_number_is_whole_and_within_its_range(value: Any) -> None:
    with pytest.raises(InvalidSubmission):
        check_integer(value, field="priority", low=-100, high=100)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_duration_is_positive_and_finite(value: Any) -> None:
    with pytest.raises(InvalidSubmission):
        check_seconds(value, field="timeout", high=100)
    assert check_seconds(100, field="timeout", high=100) == 100.0


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 - the time without zone that must be refused
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime(2200, 1, 1, tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        "2026-01-01",
        1_700_000_000,
    ],
)
def test_a_time_has_a_zone_and_lies_in_reach(value: Any) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        check_time(value, field="scheduled_at")
    assert caught.value.field == "scheduled_at"
