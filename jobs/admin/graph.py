"""The graph of a workflow for its page: jobs by level, and a drawing of the small ones as shapes for an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import igraph

from jobs.core import dag
from jobs.models import Dependency, Job

__all__ = ["MAX_DRAWN", "MAX_LISTED", "Drawing", "Task", "draw", "levels", "load"]

MAX_LISTED = 1_000
MAX_DRAWN = 200
_BOX_WIDTH, _BOX_HEIGHT = 132, 34
_STEP_X, _STEP_Y = 156, 78
_MARGIN = 12
_LABEL = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job of the workflow. `parents`: ids, of those that are listed too."""

    id: int
    key: str
    kind: str
    state: str
    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Shapes in the units of a viewBox. Boxes are (task, x, y, label), lines SVG paths."""

    width: int
    height: int
    box_width: int
    box_height: int
    boxes: list[tuple[Task, int, int, str]]
    lines: list[str]


def load(workflow_id: int) -> list[Task]:
    """The first `MAX_LISTED` jobs of a workflow with the edges between them, in two queries."""
    found = Job.objects.filter(workflow_id=workflow_id).order_by("pk")
    rows = list(found.values_list("pk", "task", "kind", "state")[:MAX_LISTED])
    parents: dict[int, list[int]] = {row[0]: [] for row in rows}
    edges = Dependency.objects.filter(child_id__in=list(parents)).values_list("parent_id", "child_id")
    for parent, child in edges:
        if parent in parents:
            parents[child].append(parent)
    return [
        Task(id=pk, key=key, kind=kind, state=state, parents=tuple(sorted(parents[pk])))
        for pk, key, kind, state in rows
    ]


def levels(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks by depth: first those without parents, then those whose parents are all above."""
    by_key = {str(task.id): task for task in tasks}
    found = dag.levels({key: [str(parent) for parent in task.parents] for key, task in by_key.items()})
    return [[by_key[key] for key in level] for level in found]


def draw(tasks: Sequence[Task]) -> Drawing | None:
    """The layers from top to bottom; None for what is too large to read as a picture, or has no edges."""
    if not 1 < len(tasks) <= MAX_DRAWN or not any(task.parents for task in tasks):
        return None
    index = {task.id: place for place, task in enumerate(tasks)}
    edges = [(index[parent], index[task.id]) for task in tasks for parent in task.parents]
    layout = _layout(len(tasks), edges, tasks)
    left = min(x for x, _ in layout)
    places = [(_MARGIN + round((x - left) * _STEP_X), _MARGIN + round(y * _STEP_Y)) for x, y in layout]
    return Drawing(
        width=max(x for x, _ in places) + _BOX_WIDTH + _MARGIN,
        height=max(y for _, y in places) + _BOX_HEIGHT + _MARGIN,
        box_width=_BOX_WIDTH,
        box_height=_BOX_HEIGHT,
        boxes=[(task, *places[place], _label(task)) for place, task in enumerate(tasks)],
        lines=[_line(places[parent], places[child]) for parent, child in edges],
    )


def _layout(count: int, edges: list[tuple[int, int]], tasks: Sequence[Task]) -> list[tuple[float, float]]:
    layer = {task.id: depth for depth, level in enumerate(levels(tasks)) for task in level}
    whole = igraph.Graph(n=count, edges=edges, directed=True)
    found: Any = whole.layout_sugiyama(layers=[layer[task.id] for task in tasks], hgap=1, vgap=1, maxiter=100)
    # The layout adds dummy vertices for edges that cross layers; they come after ours.
    return [(x, layer[task.id]) for (x, _), task in zip(found.coords, tasks, strict=False)]


def _line(parent: tuple[int, int], child: tuple[int, int]) -> str:
    """A curve from the foot of the parent's box to the head of the child's."""
    start_x, start_y = parent[0] + _BOX_WIDTH // 2, parent[1] + _BOX_HEIGHT
    end_x, end_y = child[0] + _BOX_WIDTH // 2, child[1]
    middle = (start_y + end_y) // 2
    return f"M{start_x} {start_y} C{start_x} {middle} {end_x} {middle} {end_x} {end_y}"


def _label(task: Task) -> str:
    text = task.key or task.kind
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"
