"""Lines take turns by weight, or go strictly in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.fair_share import FairShare


def heads(**lines: int) -> dict[str, Callable[[int], list[str]]]:
    """Lines with that many items, which bear the names of their lines."""
    return {name: lambda room, name=name, size=size: [name] * min(room, size) for name, size in lines.items()}  # type: ignore[misc]


def give(share: FairShare, room: int, rounds: int = 1, **lines: int) -> list[str]:
    """So many claims of `room`, each of which takes all it is offered."""
    order: list[str] = []
    for _ in range(rounds):
        taken = share.order(heads(**lines), room)
        share.charge(Counter(taken), list(lines))
        order += taken
    return order


def test_one_line_gives_as_it_stands() -> None:
    assert FairShare().order({"a": lambda room: list(range(9))[:room]}, 3) == [0, 1, 2]


def test_equal_weights_alternate() -> None:
    assert give(FairShare(), 6, a=9, b=9) == ["a", "b"] * 3


def test_weights_are_shares_spread_evenly() -> None:
    share = FairShare()
    share.weigh({"a": 3, "b": 1})
    order = give(share, 8, a=9, b=9)
    assert Counter(order) == {"a": 6, "b": 2}
    assert "b" in order[:4]
    assert "b" in order[4:]


def test_claims_of_one_share_as_well() -> None:
    """With a single thread each claim takes one: what counts is what was given before."""
    share = FairShare()
    share.weigh({"a": 4, "b": 1})
    assert Counter(give(share, 1, rounds=50, a=9, b=9)) == {"a": 40, "b": 10}


def test_a_line_that_runs_dry_leaves_its_turns_to_the_others() -> None:
    assert give(FairShare(), 6, a=2, b=9) == ["a", "b", "a", "b", "b", "b"]


def test_a_line_that_was_empty_earns_nothing_meanwhile() -> None:
    share = FairShare()
    give(share, 1, rounds=100, a=9)
    give(share, 1, rounds=1, a=9, b=9)
    assert Counter(give(share, 1, rounds=10, a=9, b=9)) == {"a": 5, "b": 5}


def test_what_was_offered_and_not_taken_costs_nothing() -> None:
    share = FairShare()
    for _ in range(3):
        assert share.order(heads(a=9, b=9), 2) == ["a", "b"]
        share.charge({"a": 1}, ["a", "b"])
        assert share.order(heads(a=9, b=9), 1) == ["b"]
        share.charge({"b": 1}, ["a", "b"])


def test_nothing_waiting_charges_nobody() -> None:
    share = FairShare()
    share.charge({}, [])
    assert give(share, 2, a=1, b=1) == ["a", "b"]


def test_a_queue_that_is_gone_is_forgotten() -> None:
    share = FairShare()
    give(share, 4, a=9, b=9)
    share.weigh({"a": 1})
    assert list(share._passes) == ["a"]


def test_strict_order_is_strict() -> None:
    share = FairShare(strict=["b", "a"])
    assert give(share, 3, rounds=2, a=9, b=9) == ["b"] * 6
    assert give(share, 4, a=9, b=2) == ["b", "b", "a", "a"]
    assert give(share, 3, a=9, b=0, c=9) == ["a", "a", "a"]
    assert give(share, 9, a=1, b=2) == ["b", "b", "a"]


def test_strict_order_gives_nothing_from_behind_a_line_that_holds_more_than_is_known() -> None:
    share = FairShare(strict=["a", "b", "c"])
    assert share.order(heads(a=1, b=2, c=9), 9, cut=["b"]) == ["a", "b", "b"]
    assert share.order(heads(a=1, c=9), 9, cut=["b"]) == ["a"], "nothing at all of it is known"
    assert share.order(heads(a=1, b=2, c=1), 9, cut=["c"]) == ["a", "b", "b", "c"]


@pytest.mark.parametrize("room", [1, 7])
@given(weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100), min_size=2))
def test_nobody_starves_and_nobody_gets_more_than_the_weight_says(room: int, weights: dict[str, int]) -> None:
    share = FairShare()
    share.weigh(weights)
    total = sum(weights.values())
    order = give(share, room, rounds=-(-2 * total // room), **dict.fromkeys(weights, room))
    assert all(set(weights) == set(order[start : start + total + len(weights)]) for start in (0, total))
    given_so_far = Counter(order[:total])
    assert all(abs(given_so_far[name] - weight) <= 1 + len(weights) for name, weight in weights.items())
