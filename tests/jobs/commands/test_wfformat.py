"""Both layouts are understood; whatever does not fit is refused with its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.importing.errors import WorkflowFileError
from jobs.importing.reading import read_document
from jobs.importing.wfformat import Trace, parse
from tests.jobs.commands.documents import EDGES, SECONDS, diamond_1_4, diamond_1_5, written

RECORDINGS = Path(__file__).resolve().parents[2] / "crash" / "recordings"


def shape(trace: Trace) -> tuple[dict[str, list[str]], dict[str, float]]:
    return {t.id: list(t.parents) for t in trace.tasks}, {t.id: t.seconds for t in trace.tasks}


def without(document: dict[str, Any], side: str) -> dict[str, Any]:
    for task in document["workflow"]["tasks"]:
        task.pop(side, None)
    return document


@pytest.mark.parametrize(
    "document",
    [
        diamond_1_5(),
        diamond_1_4(),
        diamond_1_4(children=True),
        diamond_1_4(by="id"),
        without(diamond_1_4(children=True), "parents"),
    ],
    ids=["1.5", "1.4 by name", "1.4 with children", "1.4 by id", "1.4 with children alone"],
)
def test_both_layouts_say_the_same(document: dict[str, Any]) -> None:
    assert shape(parse(document)) == (EDGES, SECONDS)


def test_a_1_4_task_without_an_id_goes_by_its_name() -> None:
    document = diamond_1_4()
    for task in document["workflow"]["tasks"]:
        del task["id"]
    assert [task.id for task in parse(document).tasks] == ["name-a", "name-b", "name-c", "name-d"]


@pytest.mark.parametrize(
    ("file", "tasks", "edges", "seconds"),
    [
        ("bacass-dirt02-001.json.gz", 11, 14, 3962),
        ("montage-chameleon-dss-15d-001.json.gz", 2122, 6114, 78088),
    ],
)
def test_the_published_recordings(file: str, tasks: int, edges: int, seconds: int) -> None:
    trace = parse(read_document(RECORDINGS / file))
    assert (len(trace.tasks), trace.edges, round(sum(task.seconds for task in trace.tasks))) == (
        tasks,
        edges,
        seconds,
    )


# -- what is refused ---------------------------------------------------------------------------------------------------


def spec(document: Any, number: int) -> dict[str, Any]:
    task: dict[str, Any] = document["workflow"]["specification"]["tasks"][number]
    return task


def run(document: Any, number: int) -> dict[str, Any]:
    task: dict[str, Any] = document["workflow"]["execution"]["tasks"][number]
    return task


S, E = "workflow.specification.tasks", "workflow.execution.tasks"
SPOILT: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "no version": (lambda d: d.pop("schemaVersion"), "schemaVersion", "is missing"),
    "unknown version": (lambda d: d.update(schemaVersion="1.3"), "schemaVersion", "known are 1.4 and 1.5"),
    "version as a number": (lambda d: d.update(schemaVersion=1.5), "schemaVersion", "known are"),
    "no name": (lambda d: d.pop("name"), "name", "is missing"),
    "name of another type": (lambda d: d.update(name=7), "name", "must be a text"),
    "no workflow": (lambda d: d.pop("workflow"), "workflow", "is missing"),
    "no specification": (
        lambda d: d["workflow"].pop("specification"),
        "workflow.specification",
        "is missing",
    ),
    "no execution": (lambda d: d["workflow"].pop("execution"), "workflow.execution", "is missing"),
    "tasks of another type": (lambda d: d["workflow"]["specification"].update(tasks={}), S, "must be a list"),
    "no tasks": (lambda d: d["workflow"]["specification"].update(tasks=[]), S, "has no task"),
    "a task of another type": (
        lambda d: d["workflow"]["specification"]["tasks"].append(3),
        f"{S}[4]",
        "an object",
    ),
    "no id": (lambda d: spec(d, 1).pop("id"), f"{S}[1].id", "is missing"),
    "empty id": (lambda d: spec(d, 1).update(id=""), f"{S}[1].id", "must not be empty"),
    "long id": (lambda d: spec(d, 1).update(id="x" * 201), f"{S}[1].id", "at most 200"),
    "id with NUL": (lambda d: spec(d, 1).update(id="b\0"), f"{S}[1].id", "control character"),
    "id with a lone surrogate": (lambda d: spec(d, 1).update(id="b\ud800"), f"{S}[1].id", "surrogate"),
    "duplicate id": (lambda d: spec(d, 2).update(id="b"), f"{S}[2]", f"already the id of {S}[1]"),
    "no parents": (lambda d: spec(d, 3).pop("parents"), f"{S}[3].parents", "is missing"),
    "no children": (lambda d: spec(d, 3).pop("children"), f"{S}[3].children", "is missing"),
    "parents of another type": (
        lambda d: spec(d, 3).update(parents="b"),
        f"{S}[3].parents",
        "must be a list",
    ),
    "a parent of another type": (
        lambda d: spec(d, 3)["parents"].append(1),
        f"{S}[3].parents[2]",
        "must be a text",
    ),
    "unknown parent": (
        lambda d: spec(d, 3)["parents"].append("bb"),
        f"{S}[3].parents[2]",
        "did you mean 'b'",
    ),
    "unknown child": (lambda d: spec(d, 0)["children"].append("x"), f"{S}[0].children[2]", "is no task"),
    "own parent": (lambda d: spec(d, 3)["parents"].append("d"), f"{S}[3].parents[2]", "names itself"),
    "parent twice": (lambda d: spec(d, 3)["parents"].append("b"), f"{S}[3].parents[2]", "names 'b' twice"),
    "parent that does not know": (
        lambda d: spec(d, 3)["parents"].append("a"),
        f"{S}[3].parents[2]",
        "children",
    ),
    "child that does not know": (lambda d: spec(d, 3)["parents"].pop(), f"{S}[2].children[0]", "'d'"),
    "no runtime": (lambda d: run(d, 2).pop("runtimeInSeconds"), f"{E}[2].runtimeInSeconds", "is missing"),
    "no execution of a task": (lambda d: d["workflow"]["execution"]["tasks"].pop(), f"{S}[3]", "no runtime"),
    "execution of another": (lambda d: run(d, 2).update(id="x"), f"{E}[2].id", "is no task of"),
    "two executions": (lambda d: run(d, 2).update(id="b"), f"{E}[2].id", "has an execution already"),
    "runtime as text": (
        lambda d: run(d, 2).update(runtimeInSeconds="1"),
        f"{E}[2].runtimeInSeconds",
        "a number",
    ),
    "runtime as bool": (
        lambda d: run(d, 2).update(runtimeInSeconds=True),
        f"{E}[2].runtimeInSeconds",
        "a number",
    ),
    "negative runtime": (
        lambda d: run(d, 2).update(runtimeInSeconds=-1),
        f"{E}[2].runtimeInSeconds",
        "must be 0",
    ),
    "runtime NaN": (
        lambda d: run(d, 2).update(runtimeInSeconds=float("nan")),
        f"{E}[2].runtimeInSeconds",
        "nan",
    ),
    "endless runtime": (
        lambda d: run(d, 2).update(runtimeInSeconds=10**400),
        f"{E}[2].runtimeInSeconds",
        "must be",
    ),
}


@pytest.mark.parametrize(("spoil", "place", "reason"), SPOILT.values(), ids=SPOILT)
def test_what_does_not_fit_is_refused_with_its_place(
    spoil: Callable[[Any], Any], place: str, reason: str
) -> None:
    document = diamond_1_5()
    spoil(document)
    with pytest.raises(WorkflowFileError) as caught:
        parse(document)
    assert caught.value.place == place
    assert reason in caught.value.reason


def test_a_cycle_is_named() -> None:
    document = diamond_1_5()
    spec(document, 0)["parents"].append("d")
    spec(document, 3)["children"].append("a")
    with pytest.raises(WorkflowFileError, match=r"cycle: a → \w → d → a"):
        parse(document)


@pytest.mark.parametrize("document", [None, [], 3, "x", {}])
def test_a_document_of_another_shape_is_refused(document: Any) -> None:
    with pytest.raises(WorkflowFileError):
        parse(document)


def test_unknown_parents_of_1_4_are_named() -> None:
    document = diamond_1_4()
    document["workflow"]["tasks"][3]["parents"][0] = "name-x"
    with pytest.raises(WorkflowFileError, match=r"^workflow\.tasks\[3\]\.parents\[0\]: 'name-x' is no task"):
        parse(document)


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_gzip_is_told_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    document = diamond_1_5()
    packed = tmp_path / "packed.json"
    packed.write_bytes(gzip.compress(json.dumps(document).encode()))
    plain = tmp_path / "plain.json.gz"
    plain.write_text(json.dumps(document))
    assert read_document(packed) == read_document(plain) == document


PACKED = gzip.compress(json.dumps(diamond_1_5()).encode())
BYTES = {
    "empty": (b"", r"line 1, column 1: not JSON"),
    "not JSON": (b'{\n "name": oops\n}', r"line 2, column 10: not JSON: Expecting value"),
    "cut short": (b'{\n "name": "x"', r"line 2, column 13: not JSON"),
    "more after it": (b"{}\n{}", r"line 2, column 1: not JSON: Extra data"),
    "NaN": (b'{"name": "NaN",\n "n": [1, NaN]}', r"line 2, column 11: not JSON: NaN is no number"),
    "minus infinity": (b'{"n": -Infinity}', r"line 1, column 7: not JSON: -Infinity is no number"),
    "not UTF-8": (b'{\n"name": "\xff"}', r"line 2: byte 11 is not UTF-8"),
    "too deep": (b"[" * 200_000, r"nested too deep"),
    "endless number": (b"[" + b"1" * 5000 + b"]", r"not usable JSON"),
    "truncated gzip": (PACKED[:-20], r"truncated"),
    "gzip header alone": (PACKED[:4], r"truncated"),
    "damaged gzip": (PACKED[:30] + b"\0\0\0\0" + PACKED[34:], r"damaged"),
    "more after gzip": (PACKED + b"garbage", r"damaged"),
}


@pytest.mark.parametrize(("data", "message"), BYTES.values(), ids=BYTES)
def test_bytes_that_are_no_document(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(data)
    with pytest.raises(WorkflowFileError, match=message):
        read_document(path)


def test_a_file_that_says_gz_and_is_neither_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(WorkflowFileError, match="not gzip, in spite of its name"):
        read_document(path)


def test_unpacking_stops_at_the_bound(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(b" " * 3 * 1024 * 1024))
    with pytest.raises(WorkflowFileError, match="more than 1 MB"):
        read_document(bomb, max_bytes=1024 * 1024)


def test_missing_files_and_folders_are_said_to_be_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(WorkflowFileError, match="cannot be read"):
            read_document(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + json.dumps(diamond_1_5()))
    assert parse(read_document(path)).edges == 4
