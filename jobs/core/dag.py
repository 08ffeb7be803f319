"""The graph of a workflow: is it sound, and in which order can its tasks run?

Place in the flow: submission checks a workflow here before it writes a row. A graph is a mapping from each task's key
to the keys of its parents. Promises: an error names the place (the whole cycle, the missing parent and the nearest
key); the same graph gives the same answer; 100,000 tasks in one chain are no problem, because nothing recurses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from jobs.core.errors import CoreError
from jobs.core.suggestion import did_you_mean, nearest

__all__ = ["Cycle", "DagError", "DuplicateEdge", "Graph", "SelfEdge", "UnknownParent", "levels", "order"]

Graph: TypeAlias = Mapping[str, Sequence[str]]

# A cycle through thousands of tasks is named by its ends; `path` has it all.
_MOST_NAMED = 20


class DagError(CoreError, ValueError):
    """Base of what can be wrong with a graph."""


class Cycle(DagError):
    """Tasks that wait for each other. `path` goes from parent to child and ends where it begins."""

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        super().__init__(f"the graph has a cycle: {' → '.join(self._named())}")

    def _named(self) -> Iterator[str]:
        if len(self.path) <= _MOST_NAMED:
            yield from self.path
        else:
            yield from self.path[: _MOST_NAMED - 2]
            yield f"… ({len(self.path) - _MOST_NAMED + 1} more)"
            yield self.path[-1]


class SelfEdge(DagError):
    """A task that is its own parent."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key!r} is its own parent")
        self.key = key


class DuplicateEdge(DagError):
    """A parent that is named twice by the same child."""

    def __init__(self, child: str, parent: str) -> None:
        super().__init__(f"{child!r} names its parent {parent!r} twice")
        self.child = child
        self.parent = parent


class UnknownParent(DagError):
    """A parent that is no task of this graph. `suggestion` is the nearest key, or None."""

    def __init__(self, child: str, parent: str, suggestion: str | None) -> None:
        super().__init__(
            f"{child!r} names the parent {parent!r}, which is not in the graph{did_you_mean(suggestion)}"
        )
        self.child = child
        self.parent = parent
        self.suggestion = suggestion


def order(nodes: Graph) -> list[str]:
    """All keys, every parent before its children. Raises a `DagError`."""
    _check_edges(nodes)
    try:
        return list(TopologicalSorter(nodes).static_order())
    except CycleError as error:
        raise Cycle(_rotated(error.args[1], nodes)) from None


def levels(nodes: Graph) -> list[list[str]]:
    """The keys by depth: first those without parents, then those whose parents are all above. Raises a `DagError`."""
    depth: dict[str, int] = {}
    for key in order(nodes):
        depth[key] = 1 + max((depth[parent] for parent in nodes[key]), default=-1)
    found: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key in nodes:
        found[depth[key]].append(key)
    return found


def _check_edges(nodes: Graph) -> None:
    for child, parents in nodes.items():
        seen: set[str] = set()
        for parent in parents:
            if parent == child:
                raise SelfEdge(child)
            if parent not in nodes:
                raise UnknownParent(child, parent, nearest(parent, nodes))
            if parent in seen:
                raise DuplicateEdge(child, parent)
            seen.add(parent)


def _rotated(cycle: Sequence[str], nodes: Graph) -> list[str]:
    """The same cycle from the task that was submitted first, so that its name does not depend on how it was found."""
    *round_trip, _ = cycle
    members = set(round_trip)
    start = round_trip.index(next(key for key in nodes if key in members))
    return [*round_trip[start:], *round_trip[: start + 1]]
