"""The parts of `manage.py jobs` about where and when jobs run: explain, move, reschedule, limits of a queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jobs import explanation
from jobs.display import exact
from jobs.errors import InvalidSubmission, NotFound
from jobs.management.plain import json_text
from jobs.management.reading import whole_id
from jobs.models import Queue
from jobs.queue_steering import SETTINGS

__all__ = ["add_parsers", "explain", "found", "settings", "told", "told_kind"]

_NONE = "none"
_FLOATS = ("ageing_seconds", "rate_seconds", "key_rate_seconds")
_MEANING = {
    "description": "What it is for.",
    "ageing_seconds": "Waiting so long is worth one step of priority; none: strict priority.",
    "weight": "Share of workers that serve several queues, 1..100.",
    "max_running": "Jobs at once, over all workers.",
    "rate": "Starts within --rate-seconds.",
    "rate_seconds": "Seconds.",
    "rate_burst": "Starts at once after a pause.",
    "key_max_running": "Jobs at once of each concurrency key.",
    "key_rate": "Starts of each key within --key-rate-seconds.",
    "key_rate_seconds": "Seconds.",
    "key_rate_burst": "Starts of each key at once after a pause.",
}
_LASTING = ("description", "weight", "rate_seconds", "key_rate_seconds")


def add_parsers(actions: Any) -> None:
    """`priority`, `move`, `reschedule` and `limit`."""
    priority = actions.add_parser("priority", help="Change the priority of waiting jobs.")
    move = actions.add_parser("move", help="Move waiting jobs to another queue.")
    reschedule = actions.add_parser("reschedule", help="Change when waiting jobs start.")
    for parser in (priority, move, reschedule):
        parser.add_argument("ids", type=whole_id, nargs="+", metavar="ID")
        parser.add_argument("--reason", default="", help="Recorded with the action.")
        parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    priority.add_argument("--priority", type=int, required=True, help="-100..100, higher first.")
    move.add_argument("--queue", required=True, help="Made where there is none.")
    reschedule.add_argument("--at", required=True, help="Earliest start, such as 2030-01-31T08:00:00+01:00.")
    limit = actions.add_parser("limit", help="Show or change weight, ageing and limits of a queue.")
    limit.add_argument("queue")
    limit.add_argument("--new", action="store_true", help="Make the queue, before its first job.")
    for setting in SETTINGS:
        words = _MEANING[setting] + ("" if setting in _LASTING else ' "none" takes it off.')
        limit.add_argument(f"--{setting.replace('_', '-')}", dest=setting, help=words)
    limit.add_argument("--reason", default="", help="Recorded with the change.")
    limit.add_argument("--json", action="store_true", help="Answer with JSON.")


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given, as values. What they may be is decided by `change_queue` and `create_queue`."""
    return {name: _value(name, options[name]) for name in SETTINGS if options[name] is not None}


def _value(name: str, text: str) -> Any:
    if name == "description":
        return text
    if text == _NONE and name not in _LASTING:
        return None
    try:
        return float(text) if name in _FLOATS else int(text)
    except ValueError:
        hint = "" if name in _LASTING else ' and not "none"'
        raise InvalidSubmission(f"--{name.replace('_', '-')}", f"{text[:40]!r} is no number{hint}") from None


def found(name: str) -> Queue:
    """Raises NotFound."""
    queue = Queue.objects.filter(pk=name).first()
    if queue is None:
        raise NotFound(f'There is no queue "{name}".')
    return queue


def told(queue: Queue, *, as_json: bool) -> str:
    """A queue's settings."""
    found = {name: getattr(queue, name) for name in ("name", *SETTINGS)}
    if as_json:
        return json_text(found)
    return "\n".join(f"{name}: {_NONE if value is None else value}" for name, value in found.items())


def told_kind(options: dict[str, Any], done: str) -> str:
    """A kind that was paused or resumed."""
    if options["json"]:
        return json_text({"kind": options["kind"], "paused": done == "paused"})
    return f'kind "{options["kind"]}" {done}'


def explain(job_id: int, *, as_json: bool) -> str:
    """Why a job is not running. Raises NotFound."""
    found = explanation.explained(job_id)
    if as_json:
        return json_text({"id": job_id, **asdict(found)})
    lines = [f"job {job_id} is {found.state}"]
    for reason in found.reasons:
        until = f" Until {exact(reason.until)}." if reason.until else ""
        lines.append(f"- {reason.text}{until}")
    if found.starts_at is not None:
        lines.append(f"May start at {exact(found.starts_at)}. {found.starts_note}".rstrip())
    elif found.starts_note:
        lines.append(f"Start: {found.starts_note[0].lower()}{found.starts_note[1:]}")
    return "\n".join(lines)
