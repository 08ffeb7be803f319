from __future__ import annotations

from itertools import count

from jobs.core.suggestion import did_you_mean, nearest


def test_the_nearest_choice_is_found_whatever_its_case() -> None:
    assert nearest("europe/berln", ["Europe/Berlin", "Europe/Bern"]) == "Europe/Berlin"


def test_nothing_close_is_no_suggestion() -> None:
    assert nearest("banana", ["Europe/Berlin"]) is None


def test_hostile_words_and_endless_choices_cost_little() -> None:
    assert nearest("x" * 101, ["x" * 101]) is None
    assert nearest("job", (f"k{n}" for n in count())) is None


def test_the_sentence_ends_only_with_what_was_found() -> None:
    assert did_you_mean("a") == "; did you mean 'a'?"
    assert did_you_mean(None) == ""
