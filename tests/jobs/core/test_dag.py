from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.dag import Cycle, DagError, DuplicateEdge, SelfEdge, UnknownParent, levels, order
from jobs.core.errors import CoreError


@st.composite
def sound_graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Edges only from earlier to later in a hidden order, then shuffled."""
    keys = draw(st.lists(st.text("abcxyz", min_size=1, max_size=4), unique=True, max_size=12))
    graph = {
        key: draw(st.lists(st.sampled_from(keys[:place]), unique=True)) if place else []
        for place, key in enumerate(keys)
    }
    return {key: graph[key] for key in draw(st.permutations(keys))}


@given(sound_graphs())
def test_every_parent_comes_before_its_children_and_nobody_is_left_out(graph: dict[str, list[str]]) -> None:
    place = {key: number for number, key in enumerate(order(graph))}
    assert place.keys() == graph.keys()
    assert len(order(graph)) == len(graph)
    assert all(place[parent] < place[child] for child, parents in graph.items() for parent in parents)


@given(sound_graphs())
def test_a_level_is_one_more_than_the_deepest_parent(graph: dict[str, list[str]]) -> None:
    depth = {key: number for number, level in enumerate(levels(graph)) for key in level}
    assert depth.keys() == graph.keys()
    assert all(depth[key] == max((depth[parent] + 1 for parent in graph[key]), default=0) for key in graph)


@given(sound_graphs(), st.data())
def test_closing_any_path_is_reported_as_a_cycle_along_real_edges(
    graph: dict[str, list[str]], data: st.DataObject
) -> None:
    chains = [
        (child, parent)
        for child, parents in graph.items()
        for parent in parents
        if child not in graph[parent]
    ]
    if not chains:
        return
    child, parent = data.draw(st.sampled_from(chains))
    graph[parent] = [*graph[parent], child]
    with pytest.raises(Cycle) as caught:
        order(graph)
    path = caught.value.path
    assert path[0] == path[-1] == next(key for key in graph if key in path)
    assert len(set(path)) == len(path) - 1
    assert all(before in graph[after] for before, after in itertools.pairwise(path))


def test_a_cycle_is_named_from_the_task_that_was_submitted_first() -> None:
    with pytest.raises(Cycle) as caught:
        order({"start": [], "a": ["start", "c"], "b": ["a"], "c": ["b"]})
    assert caught.value.path == ("a", "b", "c", "a")
    assert str(caught.value) == "the graph has a cycle: a → b → c → a"


def test_the_sentence_about_a_huge_cycle_stays_short_and_its_path_is_whole() -> None:
    count = 100_000
    with pytest.raises(Cycle) as caught:
        order({str(n): [str((n - 1) % count)] for n in range(count)})
    assert len(caught.value.path) == count + 1
    assert str(caught.value).endswith("17 → … (99982 more) → 0")


def test_a_chain_of_100_000_tasks_is_ordered_without_recursion() -> None:
    chain = {str(n): [str(n - 1)] if n else [] for n in range(100_000)}
    assert levels(chain) == [[key] for key in chain]


def test_tasks_without_edges_keep_the_order_in_which_they_were_given() -> None:
    assert order({"b": [], "a": [], "c": []}) == ["b", "a", "c"]
    assert levels({"b": [], "a": [], "c": ["a"]}) == [["b", "a"], ["c"]]


def test_an_empty_graph_is_sound() -> None:
    assert order({}) == []
    assert levels({}) == []


def test_an_unknown_parent_is_named_with_the_nearest_key() -> None:
    with pytest.raises(UnknownParent, match="did you mean 'extract'") as caught:
        order({"extract": [], "load": ["extrcat"]})
    assert (caught.value.child, caught.value.parent, caught.value.suggestion) == (
        "load",
        "extrcat",
        "extract",
    )


def test_a_parent_named_twice_is_refused() -> None:
    with pytest.raises(DuplicateEdge, match="twice") as caught:
        order({"a": [], "b": ["a", "a"]})
    assert (caught.value.child, caught.value.parent) == ("b", "a")


def test_a_task_cannot_be_its_own_parent() -> None:
    with pytest.raises(SelfEdge, match="'a' is its own parent") as caught:
        order({"a": ["a"]})
    assert caught.value.key == "a"


def test_one_except_clause_catches_them_all() -> None:
    assert all(issubclass(cause, DagError) for cause in (Cycle, DuplicateEdge, SelfEdge, UnknownParent))
    assert issubclass(DagError, CoreError)
