"""Small workflow documents in both layouts, to be spoilt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["diamond_1_4", "diamond_1_5", "written"]

EDGES = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
SECONDS = {"a": 1.0, "b": 2, "c": 0.5, "d": 0}


def children_of(task: str) -> list[str]:
    return [child for child, parents in EDGES.items() if task in parents]


def diamond_1_5() -> dict[str, Any]:
    """a → b, c → d."""
    tasks = [{"id": t, "name": "n", "parents": list(p), "children": children_of(t)} for t, p in EDGES.items()]
    runs = [{"id": task, "runtimeInSeconds": seconds} for task, seconds in SECONDS.items()]
    workflow = {"specification": {"tasks": tasks}, "execution": {"makespanInSeconds": 9, "tasks": runs}}
    return {"name": "diamond", "schemaVersion": "1.5", "workflow": workflow}


def diamond_1_4(*, by: str = "name", children: bool = False) -> dict[str, Any]:
    """The same; references go by name, as its documentation says, or by id."""
    prefix = "name-" if by == "name" else ""
    tasks: list[dict[str, Any]] = []
    for task, parents in EDGES.items():
        tasks.append(
            {
                "id": task,
                "name": f"name-{task}",
                "type": "compute",
                "parents": [prefix + one for one in parents],
                "runtimeInSeconds": SECONDS[task],
            }
        )
        if children:
            tasks[-1]["children"] = [prefix + one for one in children_of(task)]
    return {"name": "diamond", "schemaVersion": "1.4", "workflow": {"makespanInSeconds": 9, "tasks": tasks}}


def written(folder: Path, document: Any) -> Path:
    path = folder / "workflow.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path
