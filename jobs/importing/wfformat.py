"""From a WfCommons WfFormat document (schema 1.4 and 1.5) to the tasks of a recorded workflow.

1.5 splits what a task is (`workflow.specification.tasks`) from how it ran (`workflow.execution.tasks`), joined by `id`.
1.4 has one list, `workflow.tasks`, in which `id`, `parents` and `children` are optional and tasks refer to each other
by `name` (its documentation) or by `id` (its schema). Pure: no file, no database. Every refusal names the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.core import dag
from jobs.core.suggestion import did_you_mean, nearest
from jobs.errors import InvalidSubmission
from jobs.importing.errors import WorkflowFileError
from jobs.payloads import check_text

__all__ = ["VERSIONS", "Trace", "TracedTask", "parse"]

VERSIONS = ("1.4", "1.5")
_MAX_TEXT = 200
_MAX_SECONDS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedTask:
    """One recorded task. `id`: in the file (its name where a 1.4 file gives no id). `seconds`: how long it ran."""

    id: str
    seconds: float
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recorded workflow, its graph found sound."""

    name: str
    version: str
    tasks: tuple[TracedTask, ...]

    @property
    def edges(self) -> int:
        return sum(len(task.parents) for task in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A task as written. `parents`, `children`: references, or None where the file is silent about them."""

    id: str
    place: str
    parents: list[str] | None
    children: list[str] | None


def parse(document: Any) -> Trace:
    """The trace in a document. Raises WorkflowFileError with the path of what is wrong."""
    root = _object(document, "the document")
    version = _version(root)
    workflow = _object(_member(root, "workflow"), "workflow")
    nodes, names, seconds = _parse_1_4(workflow) if version == "1.4" else _parse_1_5(workflow)
    parents = _parents(nodes, names)
    _check_order(parents)
    tasks = tuple(
        TracedTask(id=node.id, seconds=seconds[node.id], parents=tuple(parents[node.id])) for node in nodes
    )
    return Trace(name=_text(_member(root, "name"), "name"), version=version, tasks=tasks)


def _version(root: dict[str, Any]) -> str:
    version = _member(root, "schemaVersion")
    if version not in VERSIONS:
        known = " and ".join(VERSIONS)
        raise WorkflowFileError("schemaVersion", f"is {_short(version)}; known are {known}")
    return str(version)


Parsed = tuple[list[_Node], dict[str, str], dict[str, float]]
"""Nodes; what a reference may say, with the id it means; seconds by id."""


def _parse_1_5(workflow: dict[str, Any]) -> Parsed:
    specification = _object(_member(workflow, "specification", "workflow."), at := "workflow.specification")
    nodes = []
    for task, place in _tasks(specification, at):
        references = {
            side: _references(_member(task, side, f"{place}."), f"{place}.{side}") for side in _SIDES
        }
        nodes.append(
            _Node(id=_text(_member(task, "id", f"{place}."), f"{place}.id"), place=place, **references)
        )
    _check_unique(nodes)
    ids = {node.id: node.id for node in nodes}
    return (
        nodes,
        ids,
        _recorded(_object(_member(workflow, "execution", "workflow."), "workflow.execution"), nodes),
    )


_SIDES = ("parents", "children")


def _recorded(execution: dict[str, Any], nodes: list[_Node]) -> dict[str, float]:
    """Seconds by id, from the list of executions, which must have each task once."""
    known = {node.id for node in nodes}
    seconds: dict[str, float] = {}
    for task, place in _tasks(execution, "workflow.execution"):
        task_id = _text(_member(task, "id", f"{place}."), f"{place}.id")
        if task_id not in known:
            raise WorkflowFileError(
                f"{place}.id", f"{_short(task_id)} is no task of workflow.specification.tasks"
            )
        if task_id in seconds:
            raise WorkflowFileError(f"{place}.id", f"{_short(task_id)} has an execution already")
        seconds[task_id] = _runtime(task, place)
    for node in nodes:
        if node.id not in seconds:
            raise WorkflowFileError(
                node.place,
                f"the task {_short(node.id)} has no runtime: it is missing in workflow.execution.tasks",
            )
    return seconds


def _parse_1_4(workflow: dict[str, Any]) -> Parsed:
    nodes, names, seconds = [], [], {}
    for task, place in _tasks(workflow, "workflow"):
        name = _text(_member(task, "name", f"{place}."), f"{place}.name")
        references = {
            side: _references(task[side], f"{place}.{side}") if side in task else None for side in _SIDES
        }
        has_id = "id" in task
        task_id = _text(task["id"], f"{place}.id") if has_id else name
        nodes.append(_Node(id=task_id, place=f"{place}", **references))
        names.append(name)
        seconds[task_id] = _runtime(task, place)
    _check_unique(nodes)
    return nodes, _meaning(nodes, names), seconds


def _meaning(nodes: list[_Node], names: list[str]) -> dict[str, str]:
    """Names as references if they are unique and explain all of them, else ids."""
    by_name = {name: node.id for name, node in zip(names, nodes, strict=True)}
    by_id = {node.id: node.id for node in nodes}
    said = {reference for node in nodes for side in (node.parents, node.children) for reference in side or ()}
    unique = len(by_name) == len(nodes)
    if unique and said <= by_name.keys():
        return by_name
    return by_name if unique and len(said & by_name.keys()) > len(said & by_id.keys()) else by_id


# -- edges -------------------------------------------------------------------------------------------------------------


def _check_unique(nodes: list[_Node]) -> None:
    seen: dict[str, str] = {}
    for node in nodes:
        if node.id in seen:
            raise WorkflowFileError(node.place, f"{_short(node.id)} is already the id of {seen[node.id]}")
        seen[node.id] = node.place


def _parents(nodes: list[_Node], meaning: dict[str, str]) -> dict[str, list[str]]:
    """The parents of each task, from both sides of the edges, which must agree where both speak."""
    up = {node.id: _resolved(node, "parents", meaning) for node in nodes}
    down = {node.id: _resolved(node, "children", meaning) for node in nodes}
    found = {node.id: list(up[node.id] or ()) for node in nodes}
    for node in nodes:
        for index, parent in enumerate(up[node.id] or ()):
            _agree(down[parent], node, f"parents[{index}]", parent, "children")
        for index, child in enumerate(down[node.id] or ()):
            _agree(up[child], node, f"children[{index}]", child, "parents")
            if up[child] is None:
                found[child].append(node.id)
    return found


def _agree(theirs: dict[str, None] | None, node: _Node, side: str, other: str, other_side: str) -> None:
    if theirs is not None and node.id not in theirs:
        raise WorkflowFileError(
            f"{node.place}.{side}",
            f"{_short(node.id)} names {_short(other)}, which does not name it among its {other_side}",
        )


def _resolved(node: _Node, side: str, meaning: dict[str, str]) -> dict[str, None] | None:
    """Ids in the order of the file, as a dict because a task may have thousands of them."""
    references: list[str] | None = getattr(node, side)
    if references is None:
        return None
    ids: dict[str, None] = {}
    for index, reference in enumerate(references):
        place = f"{node.place}.{side}[{index}]"
        if reference not in meaning:
            hint = did_you_mean(nearest(reference, meaning))
            raise WorkflowFileError(place, f"{_short(reference)} is no task of this workflow{hint}")
        if meaning[reference] == node.id:
            raise WorkflowFileError(place, f"{_short(node.id)} names itself")
        if meaning[reference] in ids:
            raise WorkflowFileError(place, f"{_short(node.id)} names {_short(reference)} twice")
        ids[meaning[reference]] = None
    return ids


def _check_order(parents: dict[str, list[str]]) -> None:
    try:
        dag.order(parents)
    except dag.Cycle as error:
        raise WorkflowFileError("workflow", str(error)) from None


# -- values ------------------------------------------------------------------------------------------------------------


def _tasks(holder: dict[str, Any], at: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each task with its place."""
    tasks = _list(_member(holder, "tasks", f"{at}."), f"{at}.tasks")
    if not tasks:
        raise WorkflowFileError(f"{at}.tasks", "has no task")
    for index, task in enumerate(tasks):
        place = f"{at}.tasks[{index}]"
        yield _object(task, place), place


def _member(holder: dict[str, Any], name: str, at: str = "") -> Any:
    if name not in holder:
        raise WorkflowFileError(f"{at}{name}", "is missing")
    return holder[name]


def _object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WorkflowFileError(at, f"must be an object, not {_short(value)}")
    return value


def _list(value: Any, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise WorkflowFileError(at, f"must be a list, not {_short(value)}")
    return value


def _references(value: Any, at: str) -> list[str]:
    return [_text(item, f"{at}[{index}]") for index, item in enumerate(_list(value, at))]


def _text(value: Any, at: str) -> str:
    try:
        return check_text(value, field=at, max_length=_MAX_TEXT)
    except InvalidSubmission as error:
        raise WorkflowFileError(error.field, error.reason) from None


def _runtime(task: dict[str, Any], place: str) -> float:
    at = f"{place}.runtimeInSeconds"
    value = _member(task, "runtimeInSeconds", f"{place}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorkflowFileError(at, f"must be a number, not {_short(value)}")
    # NaN and infinity (1e999) fail the comparison too.
    if not 0 <= value <= _MAX_SECONDS:
        raise WorkflowFileError(at, f"must be 0 to {_MAX_SECONDS:,.15g} seconds, not {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
