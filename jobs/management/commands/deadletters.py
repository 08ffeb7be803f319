"""`manage.py deadletters …`: groups of dead letters, and runs over many of them, from the server's command line.

A thin face over `jobs.deadletters`. Without `--yes` a replay or discard only says what would happen. Exit codes: 0
done, 1 refused (the state does not allow it, or there is nothing), 2 wrong input, of which nothing was stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import deadletter_steering as steering
from jobs import deadletters
from jobs.acting import Actor, checked_reason
from jobs.errors import ActionRefused, InvalidSubmission, NotFound
from jobs.letter_preview import describe
from jobs.management import reading
from jobs.management.plain import plain
from jobs.models import DeadLetterRun
from jobs.queries import groups
from notifications import doorbell

__all__ = ["Command"]

_MOST = 1_000
_SAID = 20
"""Refusals that are told one by one; JSON has them all."""


class Command(BaseCommand):
    help = "Groups of dead letters; replay and discard many of them, with preview, canary, pace and undo."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listed = actions.add_parser("groups", help="Errors with their letters, newest death first.")
        listed.add_argument("--limit", type=int, default=20, help=f"1..{_MOST} (default 20).")
        _with_json(listed)
        _with_json(actions.add_parser("recount", help="Count all groups anew, after repairs by hand."))
        for action, text in (
            ("replay", "Replay the letters that fit."),
            ("discard", "Discard the letters that fit."),
        ):
            self._add_set(actions.add_parser(action, help=text), action)
        for verb, text in (
            ("show", "How far a run is."),
            ("pause", "Let a run stand still."),
            ("resume", "Let a paused or halted run go on."),
            ("stop", "End a run."),
            ("undo", "Take back what a run did and has not started."),
        ):
            one = actions.add_parser(verb, help=text)
            one.add_argument("run", type=reading.whole_id)
            if verb != "show":
                one.add_argument(
                    "--reason", default="", required=verb == "undo", help="Recorded with the action."
                )
            _with_json(one)

    def _add_set(self, parser: CommandParser, action: str) -> None:
        for name in ("fingerprint", "error-class", "kind", "queue"):
            parser.add_argument(f"--{name}")
        parser.add_argument("--workflow", type=reading.whole_id)
        parser.add_argument("--died-after", help="Such as 2030-01-31T08:00:00+01:00.")
        parser.add_argument("--died-before", help="Likewise.")
        parser.add_argument("--reason", default="", help="Recorded with the action; --yes needs one.")
        parser.add_argument(
            "--yes", action="store_true", help="Do it; without this it is only said what would happen."
        )
        if action == "replay":
            parser.add_argument("--attempts", type=int, default=1)
            parser.add_argument(
                "--canary", action="store_true", help="One job goes first, the rest when it completed."
            )
            parser.add_argument(
                "--per-minute", type=int, help="Pace of the workers; stops when the error comes back."
            )
        _with_json(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        act: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['action']}", self._steer)
        try:
            reading.refuse_other_than_utf8(options)
            act(options)
        except InvalidSubmission as error:
            raise CommandError(str(error), returncode=2) from None
        except (ActionRefused, NotFound) as error:
            raise CommandError(str(error), returncode=1) from None
        finally:
            # The bell rings from a thread that ends with this process.
            doorbell.close()

    def _groups(self, options: dict[str, Any]) -> None:
        if not 1 <= options["limit"] <= _MOST:
            raise InvalidSubmission("--limit", f"must be within 1..{_MOST}, not {options['limit']}")
        for group in groups().select_related("owner")[: options["limit"]]:
            told = {
                "fingerprint": group.pk,
                "letters": max(0, group.letters),
                "error_class": group.error_class,
                "kinds": group.kinds,
                "first_seen": group.first_seen.isoformat(),
                "last_seen": group.last_seen.isoformat(),
                "owner": "" if group.owner is None else group.owner.get_username(),
                "note": group.note,
                "message": group.message,
            }
            words = [", ".join(value) if isinstance(value, list) else str(value) for value in told.values()]
            line = "  ".join(plain(word.splitlines()[0]) if word else "-" for word in words)
            self.stdout.write(json.dumps(told) if options["json"] else line)

    def _recount(self, options: dict[str, Any]) -> None:
        wrong = steering.recount(Actor())
        for fingerprint, before, after in wrong:
            told = {"fingerprint": fingerprint, "before": before, "after": after}
            line = f"{fingerprint}  {before} -> {after}"
            self.stdout.write(json.dumps(told) if options["json"] else line)
        if not wrong and not options["json"]:
            self.stdout.write("Every count is right.")

    def _replay(self, options: dict[str, Any]) -> None:
        deadletters.check_how(attempts=options["attempts"], per_minute=options["per_minute"])
        how = {name: options[name] for name in ("attempts", "canary", "per_minute")}
        self._set(options, "replay", how)

    def _discard(self, options: dict[str, Any]) -> None:
        self._set(options, "discard", {})

    def _set(self, options: dict[str, Any], action: str, how: dict[str, Any]) -> None:
        if options["yes"] and not options["reason"].strip():
            raise InvalidSubmission("--reason", "is missing: why is it done?")
        checked_reason(options["reason"])  # before there is a run
        names = ("fingerprint", "error_class", "kind", "queue", "workflow")
        chosen = {name: options[name] for name in names}
        for name in ("died_after", "died_before"):
            if options[name] is not None:
                chosen[name] = reading.time(options[name], f"--{name.replace('_', '-')}")
        run = deadletters.preview(Actor(), action, chosen)
        if not options["json"]:
            for sentence in describe(run).sentences:
                self.stdout.write(sentence)
        if options["yes"]:
            run = deadletters.confirm(Actor(), run.pk, digest=run.digest, reason=options["reason"], **how)
        elif not options["json"]:
            self.stdout.write("Nothing was done: say --yes to do it.")
        if options["yes"] or options["json"]:
            self._tell(run, options)

    def _show(self, options: dict[str, Any]) -> None:
        run = DeadLetterRun.objects.filter(pk=options["run"]).first()
        if run is None:
            raise NotFound(f"There is no run {options['run']}.")
        self._tell(run, options)

    def _steer(self, options: dict[str, Any]) -> None:
        change = {"pause": steering.pause, "resume": steering.resume, "stop": steering.stop}[
            options["action"]
        ]
        self._tell(change(Actor(), options["run"], reason=options["reason"]), options)

    def _undo(self, options: dict[str, Any]) -> None:
        result = steering.undo(Actor(), options["run"], reason=options["reason"])
        told = {
            "done": result.done,
            "refused": [{"id": one.id, "reason": one.reason} for one in result.refused],
        }
        lines = [f"{len(result.done):,} taken back, {len(result.refused):,} left alone"]
        lines += [one.reason for one in result.refused[:_SAID]]
        self.stdout.write(json.dumps(told) if options["json"] else "\n".join(lines))

    def _tell(self, run: DeadLetterRun, options: dict[str, Any]) -> None:
        names = ("action", "state", "total", "done", "refused", "returned", "undone", "why")
        told = {"run": run.pk, **{name: getattr(run, name) for name in names}}
        far = f"{run.done:,} of {run.total:,} done, {run.refused:,} left alone"
        text = f"run {run.pk} ({run.action}): {run.state}, {far}" + (f"; {run.why}" if run.why else "")
        self.stdout.write(json.dumps(told) if options["json"] else text)


def _with_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="Answer with JSON, one object a line.")
