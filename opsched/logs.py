"""What the log leaves out: tracebacks of requests that were refused on purpose.

Django hands the exception of a 403 or a 400 to the log as if it were a crash; sixty lines for each of them hide the
lines that matter. The line itself stays.
"""

from __future__ import annotations

import logging

__all__ = ["NoTracebackOfRefusals"]


class NoTracebackOfRefusals(logging.Filter):
    """Drops the traceback of records about answers below 500, which Django marks with `status_code`."""

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", None)
        if isinstance(status, int) and status < 500:
            record.exc_info = None
        return True
