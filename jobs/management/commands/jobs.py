"""`manage.py jobs …`: submit, look at and steer jobs from the server's command line.

A thin face over `submit`, `control`, `steering` and `queries`, which decide everything. Exit codes: 0 done, 1 refused
(the job is in another state, or there is none), 2 wrong input, of which nothing was stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.forms.models import model_to_dict

from jobs import control, queries, rearranging, releasing, steering
from jobs.control import ActionResult, Actor
from jobs.errors import ActionRefused, ConfigurationError, InvalidSubmission, NotFound
from jobs.management import placing, reading, tables
from jobs.management.plain import json_text
from jobs.models import Job
from jobs.registry import registry
from jobs.states import State
from jobs.submit import JobSpec
from jobs.unique import POLICIES, SCOPES
from notifications import doorbell

__all__ = ["Command"]

_MAX_LIST = 1000


class Command(BaseCommand):
    help = (
        "Submit, list, show, explain, move, cancel, replay and discard jobs, change their time and priority; "
        "pause, resume and limit queues; pause kinds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        self._add_submit(actions.add_parser("submit", help="Submit one job and print its id."))
        self._add_list(actions.add_parser("list", help="The newest jobs."))
        show = actions.add_parser("show", help="Everything about one job.")
        show.add_argument("id", type=reading.whole_id)
        _with_json(show)
        for action, text, required in (
            ("cancel", "Cancel jobs that wait, ask running ones to stop.", False),
            ("replay", "Give dead letters a fresh attempt.", True),
            ("discard", "Decide that dead letters shall not run.", True),
            ("release-key", "Free the unique keys of jobs before their time.", False),
            ("run-now", "Make jobs that wait for a time available at once.", False),
        ):
            steer = actions.add_parser(action, help=text)
            steer.add_argument("ids", type=reading.whole_id, nargs="+", metavar="ID")
            steer.add_argument("--reason", default="", required=required, help="Recorded with the action.")
            _with_json(steer)
        explain = actions.add_parser("explain", help="Why a job is not running, and when it may start.")
        explain.add_argument("id", type=reading.whole_id)
        _with_json(explain)
        placing.add_parsers(actions)
        for action, text, what in (
            ("pause", "Take nothing more from a queue.", "queue"),
            ("resume", "Take from it again.", "queue"),
            ("pause-kind", "Take no more jobs of a kind.", "kind"),
            ("resume-kind", "Take jobs of it again.", "kind"),
        ):
            queue = actions.add_parser(action, help=text)
            queue.add_argument(what)
            queue.add_argument("--reason", default="", help="Recorded with the action.")
            _with_json(queue)

    def _add_submit(self, parser: CommandParser) -> None:
        parser.add_argument("kind")
        parser.add_argument(
            "--payload", default="{}", help="A JSON object, or - to read it from standard input."
        )
        parser.add_argument("--queue")
        parser.add_argument("--priority", type=int, help="-100..100, higher first.")
        parser.add_argument("--at", help="Earliest start, such as 2030-01-31T08:00:00+01:00.")
        parser.add_argument("--max-attempts", type=int)
        parser.add_argument("--timeout", type=float, help="Seconds an attempt may take.")
        parser.add_argument("--expires-at", help="Discard it, if it has not begun by then.")
        parser.add_argument(
            "--deadline", help="No attempt after this time, or after so many seconds from now."
        )
        parser.add_argument("--concurrency-key", help="Shares the queue's limits for keys with its like.")
        parser.add_argument("--unique-key", help="One job a key, within its kind.")
        parser.add_argument(
            "--unique-scope", choices=SCOPES, help="How long the key is held (default unfinished)."
        )
        parser.add_argument("--unique-seconds", type=float, help="Length of the window.")
        parser.add_argument(
            "--unique-policy", choices=POLICIES, help="When another job has the key (default return)."
        )
        _with_json(parser)

    def _add_list(self, parser: CommandParser) -> None:
        parser.add_argument("--state", choices=[state.value for state in State])
        parser.add_argument("--kind")
        parser.add_argument("--queue")
        parser.add_argument("--limit", type=int, default=20, help=f"1..{_MAX_LIST} (default 20).")
        _with_json(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        act: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['action'].replace('-', '_')}")
        try:
            reading.refuse_other_than_utf8(options)
            act(options)
        except (InvalidSubmission, ConfigurationError) as error:
            raise CommandError(str(error), returncode=2) from None
        except (ActionRefused, NotFound) as error:
            raise CommandError(str(error), returncode=1) from None
        finally:
            # The bell rings from a thread that ends with this process.
            doorbell.close()

    # -- the actions -------------------------------------------------------------------------------------------------

    def _submit(self, options: dict[str, Any]) -> None:
        spec = JobSpec(
            kind=options["kind"],
            payload=reading.payload(options["payload"]),
            queue=options["queue"],
            priority=options["priority"],
            max_attempts=options["max_attempts"],
            scheduled_at=None if options["at"] is None else reading.time(options["at"]),
            timeout=options["timeout"],
            expires_at=None
            if options["expires_at"] is None
            else reading.time(options["expires_at"], "--expires-at"),
            deadline=None if options["deadline"] is None else reading.deadline(options["deadline"]),
            concurrency_key=options["concurrency_key"],
            unique_key=reading.unique(options),
        )
        placed = steering.submit(Actor(), [spec])[0]
        if options["json"]:
            self._dump(tables.submitted(placed))
            return
        self.stdout.write(str(placed.id))
        if placed.duplicate:
            self.stderr.write(placed.sentence)

    def _list(self, options: dict[str, Any]) -> None:
        if not 1 <= options["limit"] <= _MAX_LIST:
            raise InvalidSubmission("--limit", f"must be within 1..{_MAX_LIST}, not {options['limit']}")
        found = Job.objects.order_by("-pk")
        if options["state"]:
            found = queries.with_state(found, State(options["state"]))
        for name in ("kind", "queue"):
            if options[name] is not None:
                found = found.filter(**{name: options[name]})
        jobs = list(found[: options["limit"]])
        if options["json"]:
            self._dump([tables.summary(job) for job in jobs])
        else:
            tables.show_list(self.stdout, jobs)

    def _show(self, options: dict[str, Any]) -> None:
        job = Job.objects.filter(pk=options["id"]).first()
        if job is None:
            raise NotFound(f"There is no job {options['id']}.")
        if options["json"]:
            self._dump(tables.details(job))
        else:
            tables.show_job(self.stdout, job)

    def _cancel(self, options: dict[str, Any]) -> None:
        self._report(control.cancel(Actor(), options["ids"], reason=options["reason"]), "cancelled", options)

    def _replay(self, options: dict[str, Any]) -> None:
        self._report(control.replay(Actor(), options["ids"], reason=options["reason"]), "replayed", options)

    def _discard(self, options: dict[str, Any]) -> None:
        self._report(control.discard(Actor(), options["ids"], reason=options["reason"]), "discarded", options)

    def _release_key(self, options: dict[str, Any]) -> None:
        freed = releasing.release_key(Actor(), options["ids"], reason=options["reason"])
        self._report(freed, "has no unique key any more", options)

    def _run_now(self, options: dict[str, Any]) -> None:
        made = control.run_now(Actor(), options["ids"], reason=options["reason"])
        self._report(made, "is available", options)

    def _priority(self, options: dict[str, Any]) -> None:
        priority = options["priority"]
        result = control.set_priority(Actor(), options["ids"], priority, reason=options["reason"])
        self._report(result, f"has priority {priority}", options)

    def _pause(self, options: dict[str, Any]) -> None:
        self._tell_queue(steering.pause_queue(Actor(), options["queue"], reason=options["reason"]), options)

    def _resume(self, options: dict[str, Any]) -> None:
        self._tell_queue(steering.resume_queue(Actor(), options["queue"], reason=options["reason"]), options)

    def _pause_kind(self, options: dict[str, Any]) -> None:
        steering.pause_kind(Actor(), options["kind"], reason=options["reason"])
        self.stdout.write(placing.told_kind(options, "paused"))
        if options["kind"] not in registry:
            self.stderr.write("No handler here has that kind; is it another deployment's, or mistyped?")

    def _resume_kind(self, options: dict[str, Any]) -> None:
        steering.resume_kind(Actor(), options["kind"], reason=options["reason"])
        self.stdout.write(placing.told_kind(options, "resumed"))

    def _explain(self, options: dict[str, Any]) -> None:
        self.stdout.write(placing.explain(options["id"], as_json=options["json"]))

    def _move(self, options: dict[str, Any]) -> None:
        result = rearranging.move(Actor(), options["ids"], options["queue"], reason=options["reason"])
        self._report(result, f"moved to {options['queue']}", options)

    def _reschedule(self, options: dict[str, Any]) -> None:
        at = reading.time(options["at"])
        result = rearranging.reschedule(Actor(), options["ids"], at, reason=options["reason"])
        self._report(result, f"starts at {at.isoformat()} or later", options)

    def _limit(self, options: dict[str, Any]) -> None:
        settings = placing.settings(options)
        name, reason = options["queue"], options["reason"]
        if options["new"]:
            queue = steering.create_queue(Actor(), name, reason=reason, **settings)
        elif settings:
            queue = steering.change_queue(Actor(), name, reason=reason, **settings)
        elif reason:
            raise InvalidSubmission("--reason", "goes with a change, and none was given")
        else:
            queue = placing.found(name)
        self.stdout.write(placing.told(queue, as_json=options["json"]))

    # -- answers -----------------------------------------------------------------------------------------------------

    def _report(self, result: ActionResult, done: str, options: dict[str, Any]) -> None:
        if options["json"]:
            refused = [{"id": one.id, "reason": one.reason} for one in result.refused]
            self._dump({"done": result.done, "requested": result.requested, "refused": refused})
        else:
            for job in result.done:
                self.stdout.write(f"job {job} {done}")
            for job in result.requested:
                self.stdout.write(f"job {job} runs; its worker was asked to stop it")
        if result.refused:
            raise CommandError("\n".join(refusal.reason for refusal in result.refused), returncode=1)

    def _tell_queue(self, queue: Any, options: dict[str, Any]) -> None:
        if options["json"]:
            self._dump(model_to_dict(queue, fields=["name", "paused_at"]))
        else:
            self.stdout.write(f'queue "{queue.name}" {"paused" if queue.paused_at else "resumed"}')

    def _dump(self, value: Any) -> None:
        self.stdout.write(json_text(value))


def _with_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
