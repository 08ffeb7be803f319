"""The graph of a workflow for its page: jobs by level, and a drawing of the small ones as shapes for an SVG."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

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
    points, routes = _layout(tasks)
    left = min(x for x, _ in points)
    places = [(_MARGIN + round((x - left) * _STEP_X), _MARGIN + y * _STEP_Y) for x, y in points]
    boxes = [(task, *places[place], _label(task)) for place, task in enumerate(tasks)]
    return Drawing(
        width=max(x for x, _ in places) + _BOX_WIDTH + _MARGIN,
        height=max(y for _, y in places) + _BOX_HEIGHT + _MARGIN,
        box_width=_BOX_WIDTH,
        box_height=_BOX_HEIGHT,
        boxes=boxes,
        lines=[_line([places[stop] for stop in route]) for route in routes],
    )


def _layout(tasks: Sequence[Task]) -> tuple[list[tuple[float, int]], list[list[int]]]:
    """Points as (x, layer), the tasks' first, and each edge as the points it runs through.

    An edge across several layers bends at points of its own there, so that it does not run through other boxes. They
    are put in here because versions of igraph differ in how they return theirs.
    """
    index = {task.id: place for place, task in enumerate(tasks)}
    depth = {task.id: layer for layer, level in enumerate(levels(tasks)) for task in level}
    layers = [depth[task.id] for task in tasks]
    routes: list[list[int]] = []
    for task in tasks:
        for parent in task.parents:
            between = range(depth[parent] + 1, depth[task.id])
            bends = list(range(len(layers), len(layers) + len(between)))
            layers.extend(between)
            routes.append([index[parent], *bends, index[task.id]])
    edges = [pair for route in routes for pair in itertools.pairwise(route)]
    whole = igraph.Graph(n=len(layers), edges=edges, directed=True)
    found = whole.layout_sugiyama(layers=layers, hgap=1, vgap=1, maxiter=100)
    return [(x, layer) for (x, _), layer in zip(found.coords, layers, strict=True)], routes


def _line(stops: Sequence[tuple[int, int]]) -> str:
    """A curve from the foot of the first box, straight down where it passes other layers, to the head of the last."""
    parts: list[str] = []
    for place, (x, y) in enumerate(stops):
        middle, first, last = x + _BOX_WIDTH // 2, place == 0, place == len(stops) - 1
        if first:
            parts.append(f"M{middle} {y + _BOX_HEIGHT}")
        else:
            parts.append(_curve(stops[place - 1], (x, y)))
        if not first and not last:
            parts.append(f"L{middle} {y + _BOX_HEIGHT}")
    return " ".join(parts)


def _curve(upper: tuple[int, int], lower: tuple[int, int]) -> str:
    start_x, start_y = upper[0] + _BOX_WIDTH // 2, upper[1] + _BOX_HEIGHT
    end_x, end_y = lower[0] + _BOX_WIDTH // 2, lower[1]
    middle = (start_y + end_y) // 2
    return f"C{start_x} {middle} {end_x} {middle} {end_x} {end_y}"


def _label(task: Task) -> str:
    text = task.key or task.kind
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"
