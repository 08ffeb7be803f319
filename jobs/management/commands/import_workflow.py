"""`manage.py import_workflow`: play a recorded workflow (WfCommons WfFormat) back as one workflow of jobs."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.errors import ConfigurationError, InvalidSubmission
from jobs.importing.errors import WorkflowFileError
from jobs.importing.playing import play
from jobs.importing.reading import read_document
from jobs.importing.waiting import WaitedTooLong, failures, wait_for
from jobs.importing.wfformat import parse
from jobs.models import Workflow
from notifications import doorbell

__all__ = ["Command"]

_INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Read a recorded workflow (WfCommons WfFormat 1.4 or 1.5, JSON or gzip) and submit it as one workflow: each "
        "task becomes a job that takes the task's recorded runtime times --time-scale. Exit code 2: the file or an "
        "option is wrong and nothing was submitted. With --wait 0: completed, 1: not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The recorded workflow.")
        parser.add_argument(
            "--time-scale", type=_factor, default=1.0, help="Factor for runtimes (default 1)."
        )
        parser.add_argument("--history", help="Each job appends a line here when it starts and when it ends.")
        parser.add_argument("--wait", action="store_true", help="End when the workflow does.")
        parser.add_argument("--watch", action="store_true", help="Wait, and show progress.")
        parser.add_argument(
            "--timeout", type=_seconds, help="Wait at most this many seconds; the workflow goes on."
        )
        parser.add_argument("--queue", help="Queue of the jobs (default: the kind's).")
        parser.add_argument("--name", default="", help="Name of the workflow (default: the file's).")

    def handle(self, *_: Any, **options: Any) -> None:
        workflow_id, told = self._submit(options)
        try:
            self.stdout.write(told)
            self.stdout.flush()  # into a file or a pipe it would stand there only when the wait is over
            # The bell rings from a thread that ends with this process.
            doorbell.close()
            if options["wait"] or options["watch"]:
                self._wait(workflow_id, watch=options["watch"], timeout=options["timeout"])
        except KeyboardInterrupt:
            self.stderr.write(f"Not waiting any more; workflow {workflow_id} goes on.")
            raise SystemExit(_INTERRUPTED) from None

    def _submit(self, options: dict[str, Any]) -> tuple[int, str]:
        try:
            trace = parse(read_document(options["file"]))
            history = None if options["history"] is None else _history_file(options["history"])
            workflow_id = play(
                trace,
                time_scale=options["time_scale"],
                name=options["name"],
                queue=options["queue"],
                history=history,
            )
        except WorkflowFileError as error:
            raise CommandError(f"{options['file']}: {error}", returncode=2) from None
        except (InvalidSubmission, ConfigurationError) as error:
            raise CommandError(str(error), returncode=2) from None
        name = options["name"] or trace.name
        told = f'workflow {workflow_id} "{name}": {len(trace.tasks):,} jobs, {trace.edges:,} edges'
        return workflow_id, told

    def _wait(self, workflow_id: int, *, watch: bool, timeout: float | None) -> None:
        try:
            with _bar(watch=watch) as bar:
                workflow = wait_for(workflow_id, timeout=timeout, seen=bar.show)
        except WaitedTooLong:
            raise CommandError(f"Not ended after {timeout:g} s; workflow {workflow_id} goes on.") from None
        self._tell(workflow)

    def _tell(self, workflow: Workflow) -> None:
        told = f"workflow {workflow.pk} {workflow.state}: {workflow.completed:,} of {workflow.total:,} jobs completed"
        if workflow.finished_at is not None:
            told += f", {(workflow.finished_at - workflow.created_at).total_seconds():.1f} s"
        if workflow.state == "completed":
            self.stdout.write(told)
            return
        left = workflow.total - workflow.completed - workflow.dead - workflow.closed
        told += f", {workflow.dead:,} dead, {workflow.closed:,} cancelled or skipped, {left:,} not run"
        raise CommandError("\n  ".join([told, *failures(workflow)]))


class _Bar:
    """The progress of one workflow on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def show(self, workflow: Workflow) -> None:
        ended = workflow.completed + workflow.closed
        running = f"{workflow.state}, {workflow.active:,} active" + (
            f", [red]{workflow.dead:,} dead[/]" if workflow.dead else ""
        )
        self._progress.update(self._task, completed=ended, total=workflow.total, description=running)


class _Quiet:
    """Nothing to show."""

    def show(self, workflow: Workflow) -> None:
        """The wait itself is all that was asked for."""


class _Watching(AbstractContextManager[_Bar]):
    """A rich progress bar on standard error, so that standard output stays for programs."""

    def __enter__(self) -> _Bar:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._progress.start()
        return _Bar(self._progress)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _bar(*, watch: bool) -> AbstractContextManager[_Bar | _Quiet]:
    return _Watching() if watch else nullcontext(_Quiet())


def _history_file(given: str) -> Path:
    """The absolute path, made if missing: a worker runs elsewhere, and a wrong path should be known before jobs are."""
    path = Path(os.path.realpath(given))
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise CommandError(f"--history: {path} cannot be written ({error.strerror})", returncode=2) from None
    return path


def _factor(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1e6:
        raise ArgumentTypeError(f"{text!r} is not within 0..1000000")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
