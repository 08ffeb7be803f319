"""What can be done to a run over dead letters that was confirmed: pause, resume, stop, undo.

Each needs the permission for what the run does, which its page and `jobs.deadletters.held_run` ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobs import deadletter_steering as steering
from jobs.admin.confirmed import Act, for_one
from jobs.admin.forms import ReasonForm
from jobs.control import ActionResult, Actor
from jobs.models import DeadLetterItem, DeadLetterRun

__all__ = ["PAUSE", "RESUME", "STOP", "UNDO"]


def _undo(actor: Actor, keys: Sequence[int], *, reason: str) -> ActionResult:
    return steering.undo(actor, keys[0], reason=reason)


def _only(*states: str) -> Callable[[DeadLetterRun], str]:
    return lambda run: "" if run.state in states else f"is {run.state}"


def _undo_refusal(run: DeadLetterRun) -> str:
    if run.state == "previewed":
        return "was not confirmed"
    left = DeadLetterItem.objects.filter(run=run, state="done").exists()
    return "" if left else "has nothing left that could be taken back"


ANY = ("jobs.view_deadletterrun",)
PAUSE = Act(
    name="pause",
    label="Pause",
    permissions=ANY,
    consequence="It stands still until it is resumed. Jobs that were replayed go on.",
    run=for_one(steering.pause, "The run is paused."),
    refusal=_only("running"),
    icon="pause",
    bulk=False,
)
RESUME = Act(
    name="resume",
    label="Resume",
    permissions=ANY,
    consequence="It goes on where it stood. If the error comes back once more, it halts again; "
    "a canary that failed is not asked for again.",
    run=for_one(steering.resume, "The run goes on."),
    refusal=_only("paused", "halted"),
    bulk=False,
)
STOP = Act(
    name="stop",
    label="Stop",
    permissions=ANY,
    consequence="It ends here. The letters it did not come to stay dead letters.",
    run=for_one(steering.stop, "The run was stopped."),
    refusal=_only("running", "paused", "halted"),
    icon="stop",
    form=ReasonForm,
    danger=True,
    bulk=False,
)
UNDO = Act(
    name="undo",
    label="Undo",
    permissions=ANY,
    consequence="What has not started becomes a dead letter again, with its error as it was; discarded jobs too, "
    "and what was skipped with them waits again. A run that still goes on is stopped.",
    run=_undo,
    refusal=_undo_refusal,
    icon="undo",
    form=ReasonForm,
    bulk=False,
)
