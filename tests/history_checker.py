#!/usr/bin/env python3
"""Does a history prove that a recorded workflow was played back right? Shares no code with what it judges.

    python history_checker.py WORKFLOW.json[.gz] HISTORY [--recorded RECORDED.json] [--given-back]

WORKFLOW: WfCommons WfFormat 1.4 or 1.5. HISTORY: one JSON object a line, {"task", "event": "start"|"end", "at",
"attempt", "pid"}. RECORDED: {"<task>": <attempt>}, the attempt of each task that the database calls completed. Checked:

- every task of the workflow has exactly one `end` (of the recorded attempt, where these are given; an end of another
  attempt is that of a worker that was given up for dead, and is told apart, not forbidden), and no other task appears;
- every `end` has the `start` of the same attempt before it; no attempt ends twice or starts twice (--given-back allows
  several starts: a worker that stops gives jobs back at no cost, and the attempt begins again under the same number);
- no attempt of a task starts before all its parents have ended.

Exit code 0: it does. 1: it does not, one line a violation. 2: the files cannot be read.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

Mark = tuple[int, float]
"""Line number and time."""
Seen = dict[str, dict[int, Mark]]
"""By task and attempt."""


def parents_of(document: Any) -> dict[str, set[str]]:
    """{task: set of parents} from a WfFormat document."""
    workflow = document["workflow"]
    if document["schemaVersion"] == "1.5":
        tasks = workflow["specification"]["tasks"]
        return {task["id"]: set(task["parents"]) for task in tasks}
    tasks = workflow["tasks"]
    ids = {task.get("id", task["name"]) for task in tasks}
    by_name = {task["name"]: task.get("id", task["name"]) for task in tasks}
    parents: dict[str, set[str]] = {task.get("id", task["name"]): set() for task in tasks}
    for task in tasks:
        me = task.get("id", task["name"])
        for said in task.get("parents", ()):
            parents[me].add(by_name.get(said, said))
        for said in task.get("children", ()):
            parents[by_name.get(said, said)].add(me)
    unknown = set().union(*parents.values()) - ids
    if unknown:
        raise ValueError(f"unknown parents: {sorted(unknown)[:5]}")
    return parents


def read_workflow(path: str) -> dict[str, set[str]]:
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return parents_of(json.loads(data))


def read_history(path: str) -> list[dict[str, Any]]:
    """The lines in their order. A line that is no JSON, or half of one, is an error: each is one write."""
    lines = Path(path).read_bytes().split(b"\n")
    if lines.pop() != b"":
        raise ValueError("the last line has no end")
    return [json.loads(line) for line in lines]


def violations(
    parents: dict[str, set[str]],
    history: list[dict[str, Any]],
    recorded: dict[str, int] | None = None,
    *,
    given_back: bool = False,
) -> list[str]:
    """Every violation as a sentence."""
    found: list[str] = []
    starts: Seen = defaultdict(dict)
    ends: Seen = defaultdict(dict)
    for number, line in enumerate(history, start=1):
        task, attempt = line["task"], line["attempt"]
        if task not in parents:
            found.append(f"line {number}: the workflow has no task {task!r}")
            continue
        if line["event"] not in ("start", "end"):
            found.append(f"line {number}: unknown event {line['event']!r}")
            continue
        seen = (starts if line["event"] == "start" else ends)[task]
        if attempt in seen and not (given_back and line["event"] == "start"):
            found.append(f"line {number}: attempt {attempt} of {task!r} has a second {line['event']!r}")
        seen.setdefault(attempt, (number, line["at"]))
    done = {task: _last_end(task, ends[task], recorded, found) for task in parents}
    for task, its_parents in parents.items():
        _check_pairs(task, starts[task], ends[task], found)
        _check_order(task, its_parents, starts[task], done, found)
    return found


def _last_end(
    task: str, ends: dict[int, Mark], recorded: dict[str, int] | None, found: list[str]
) -> Mark | None:
    """(line, time) of the end that counts, or None."""
    if recorded is None:
        if len(ends) != 1:
            found.append(f"{task!r} ended {len(ends)} times, not once (attempts {sorted(ends)})")
        return min(ends.values(), default=None)
    if task not in recorded:
        found.append(f"{task!r} is not recorded as completed")
        return None
    if recorded[task] not in ends:
        found.append(
            f"{task!r}: no end of attempt {recorded[task]}, which was recorded (ends: {sorted(ends)})"
        )
    return ends.get(recorded[task])


def _check_pairs(task: str, starts: dict[int, Mark], ends: dict[int, Mark], found: list[str]) -> None:
    for attempt, (line, at) in ends.items():
        if attempt not in starts:
            found.append(f"line {line}: attempt {attempt} of {task!r} ends without a start")
        elif starts[attempt][0] > line or starts[attempt][1] > at:
            found.append(f"line {line}: attempt {attempt} of {task!r} ends before it starts")


def _check_order(
    task: str, parents: set[str], starts: dict[int, Mark], done: dict[str, Mark | None], found: list[str]
) -> None:
    for attempt, (line, at) in starts.items():
        for parent in parents:
            ended = done[parent]
            if ended is None:
                found.append(
                    f"line {line}: attempt {attempt} of {task!r} starts, its parent {parent!r} never ended"
                )
            # The order of the lines is the kernel's; the times are the clock's. Both must agree with the edges.
            elif ended[0] > line or ended[1] > at:
                found.append(f"line {line}: attempt {attempt} of {task!r} starts before {parent!r} has ended")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workflow")
    parser.add_argument("history")
    parser.add_argument("--recorded")
    parser.add_argument("--given-back", action="store_true")
    options = parser.parse_args(argv)
    try:
        parents = read_workflow(options.workflow)
        history = read_history(options.history)
        recorded = json.loads(Path(options.recorded).read_text()) if options.recorded else None
        found = violations(parents, history, recorded, given_back=options.given_back)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        print(f"cannot be read: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a program's answer
        return 2
    for sentence in found:
        print(sentence)  # noqa: T201
    if found:
        return 1
    attempts = sum(1 for line in history if line["event"] == "start")
    print(f"right: {len(parents)} tasks, each ended once; {attempts} starts; no child before its parents")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
