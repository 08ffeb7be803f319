"""Arrays written here are read by PostgreSQL as what they were."""

from __future__ import annotations

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from notifications.arrays import numbers, texts

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SPITEFUL = st.sampled_from(["", "NULL", "null", '"', "\\", '\\"', "{}", "{", ",", " a ", '","', '"\\', "\n"])


def read(text: str, cast: str) -> list[object]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{cast}[]", [text])
        (found,) = cursor.fetchone()
    return list(found)


class Arrays(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.none() | TEXT | SPITEFUL, max_size=8))
    def test_texts(self, values: list[str | None]) -> None:
        assert read(texts(values), "text") == values

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8))
    def test_numbers(self, values: list[int]) -> None:
        assert read(numbers(values), "bigint") == values


@pytest.mark.django_db
@pytest.mark.parametrize("values", [['","'], ['"', '"'], ['a"b', "c"], ['a","b', 'c"'], ['","', '","']])
def test_quotes_that_look_like_the_separator(values: list[str]) -> None:
    assert read(texts(values), "text") == values
