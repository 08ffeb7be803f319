"""Did jobs survive what was done to their workers and their database? Shares no code with what it judges.

    python -m tests.fault_checker CASE.json HISTORY

HISTORY is what job bodies appended (see `history_checker`). CASE says what was asked and what the database tells in the
end; times are seconds since 1970:

- promised    {task: job id}: submissions that were acknowledged
- jobs        {task: {"id", "state", "attempt"}}: every job there is
- completions {task: [attempt, ...]}: every completion that the event log tells
- faults      [{"pid", "kind": "kill" | "stop", "at", "until"}]: done to processes; over (or dead) at `until`
- taken       {task: [attempt, ...]}: attempts that the database calls lost with their worker
- refused     late writes that the workers counted, or null where nobody was stopped
- again_within  the bar for the 99th percentile of: killed until run again
- restarts    [{"down", "up"}]: of the database
- pace        {"tasks": prefix, "share", "within", "window", "before"}: after each restart

Judged: every promised job is there and completed; each is recorded exactly once, by the event log too, for an attempt
whose body ran to its end once; no attempt was superseded unless something was done to its process; killed work ran
again in time; each attempt that a stopped process lost is told, and counted as refused, and nothing else; the pace came
back.
Exit code 0: right. 1: one line a violation. 2: the files cannot be read.
"""

from __future__ import annotations

import json
import math
import sys
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tests import history_checker

__all__ = ["Verdict", "judge"]

Line = dict[str, Any]
Case = dict[str, Any]


class Verdict(NamedTuple):
    """`figures` are worth telling also when nothing is wrong."""

    violations: list[str]
    figures: dict[str, Any]


class Superseded(NamedTuple):
    """An attempt that began and was not the one recorded, and when the next one began."""

    task: str
    attempt: int
    pid: int
    began: float
    again: float | None


def judge(case: Case, history: list[Line]) -> Verdict:
    """Every violation as a sentence, and the figures."""
    found = _missing(case) + _recorded_once(case) + _bodies(case, history)
    superseded = _superseded(case, history)
    found += _without_reason(case, superseded)
    figures: dict[str, Any] = {
        "jobs": len(case["jobs"]),
        "starts": sum(line["event"] == "start" for line in history),
        "superseded": len(superseded),
    }
    for part in (_again, _refused, _pace):
        sentences, more = part(case, history, superseded)
        found += sentences
        figures |= more
    return Verdict(found, figures)


# -- what was promised, and what is recorded ---------------------------------------------------------------------------


def _missing(case: Case) -> list[str]:
    jobs = case["jobs"]
    return [
        f"{task!r} was acknowledged as job {job}, and the database has {jobs.get(task, {}).get('id')}"
        for task, job in case["promised"].items()
        if jobs.get(task, {}).get("id") != job
    ] + [
        f"{task!r} is {job['state']} in the end, not completed"
        for task, job in jobs.items()
        if job["state"] != "completed"
    ]


def _recorded_once(case: Case) -> list[str]:
    told = case["completions"]
    return [
        f"{task!r} is recorded for attempt {attempt}; the log tells completions of {told.get(task, [])}"
        for task, attempt in _done(case).items()
        if told.get(task, []) != [attempt]
    ]


def _done(case: Case) -> dict[str, int]:
    """The attempt of each task that the database calls completed."""
    return {task: job["attempt"] for task, job in case["jobs"].items() if job["state"] == "completed"}


def _bodies(case: Case, history: list[Line]) -> list[str]:
    done = _done(case)
    known = [line for line in history if line["task"] in done]
    strangers = {line["task"] for line in history} - set(case["jobs"])
    return [f"{task!r} ran, and the database does not know it" for task in sorted(strangers)] + (
        history_checker.violations({task: set() for task in done}, known, done)
    )


# -- attempts that did not count ---------------------------------------------------------------------------------------


def _superseded(case: Case, history: list[Line]) -> list[Superseded]:
    starts: dict[str, dict[int, Line]] = defaultdict(dict)
    for line in history:
        if line["event"] == "start":
            starts[line["task"]].setdefault(line["attempt"], line)
    found = []
    done = _done(case)
    for task, began in starts.items():
        recorded = done.get(task)
        for attempt, line in began.items():
            later = [other["at"] for number, other in began.items() if number > attempt]
            if attempt != recorded or later:
                again = min(later, default=None)
                found.append(Superseded(task, attempt, line["pid"], line["at"], again))
    return found


def _without_reason(case: Case, superseded: list[Superseded]) -> list[str]:
    faults = defaultdict(list)
    for fault in case["faults"]:
        faults[fault["pid"]].append(fault)
    return [
        f"attempt {one.attempt} of {one.task!r} was taken from process {one.pid}, to which nothing had been done"
        for one in superseded
        if one.again is not None
        and not any(one.began <= fault["until"] and fault["at"] <= one.again for fault in faults[one.pid])
    ]


def _again(case: Case, history: list[Line], superseded: list[Superseded]) -> tuple[list[str], dict[str, Any]]:
    killed = {fault["pid"]: fault for fault in case["faults"] if fault["kind"] == "kill"}
    struck = [one for one in superseded if one.pid in killed]
    found = [
        f"{one.task!r} lost its process {one.pid} and never ran again" for one in struck if one.again is None
    ]
    lags = sorted(one.again - killed[one.pid]["at"] for one in struck if one.again is not None)
    if not lags:
        return found, {"kills": len(killed)}
    p99, bar = _percentile(lags, 0.99), case.get("again_within")
    if bar is not None and p99 > bar:
        found.append(f"killed until run again takes {p99:.1f} s (p99 of {len(lags)}), more than {bar} s")
    figures: dict[str, Any] = {"kills": len(killed), "struck": len(lags)}
    for word, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        figures[f"again {word}"] = round(_percentile(lags, share), 2)
    return found, figures


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1]


def _refused(
    case: Case, history: list[Line], superseded: list[Superseded]
) -> tuple[list[str], dict[str, Any]]:
    if case.get("refused") is None:
        return [], {}
    stops = [fault for fault in case["faults"] if fault["kind"] == "stop"]
    stopped = {fault["pid"] for fault in stops}
    late = [one for one in superseded if one.pid in stopped]
    taken = case["taken"]
    found = [
        f"attempt {one.attempt} of {one.task!r} was lost by stopped process {one.pid}, and is not told as lost"
        for one in late
        if one.attempt not in taken.get(one.task, ())
    ]
    # More than those that began: a process can be stopped between a claim and the first line of a job.
    lost = sum(len(attempts) for attempts in taken.values())
    if lost != case["refused"]:
        found.append(f"{lost} attempts were lost by stopped processes, {case['refused']} writes were refused")
    return found, {"stops": len(stops), "late": len(late), "lost": lost, "refused": case["refused"]}


# -- the pace ----------------------------------------------------------------------------------------------------------


def _pace(case: Case, history: list[Line], superseded: list[Superseded]) -> tuple[list[str], dict[str, Any]]:
    if not case.get("restarts"):
        return [], {}
    rule = case["pace"]
    ends = sorted(
        line["at"] for line in history if line["event"] == "end" and line["task"].startswith(rule["tasks"])
    )

    def rate(since: float, seconds: float) -> float:
        return (bisect_left(ends, since + seconds) - bisect_left(ends, since)) / seconds

    found, back, away = [], [], []
    for number, restart in enumerate(case["restarts"], start=1):
        before = rate(restart["down"] - rule["before"], rule["before"])
        away.append(round(restart["up"] - restart["down"], 2))
        steps = (step / 20 for step in range(int(rule["within"] * 20) + 1))
        took = next(
            (step for step in steps if rate(restart["up"] + step, rule["window"]) >= rule["share"] * before),
            None,
        )
        if took is None or not before:
            found.append(
                f"restart {number}: {before:.0f} jobs/s before it, not {rule['share']:.0%} of that "
                f"{rule['within']} s after the database was back"
            )
        back.append(took)
    return found, {"away": away, "pace back after": back}


def main(argv: list[str]) -> int:
    try:
        case_path, history_path = argv
        verdict = judge(json.loads(Path(case_path).read_text()), history_checker.read_history(history_path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be read: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a program's answer
        return 2
    for sentence in verdict.violations:
        print(sentence)  # noqa: T201
    print(json.dumps(verdict.figures))  # noqa: T201
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
