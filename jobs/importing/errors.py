"""What can be wrong with a workflow file. One class: whoever gets it shows the place and the reason."""

from __future__ import annotations

from jobs.errors import JobsError

__all__ = ["WorkflowFileError"]


class WorkflowFileError(JobsError):
    """The file cannot be played. `place`: line and column, or a path such as `workflow.tasks[3].parents[0]`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason
