"""A client of a database that dies under it: submits jobs one by one, prints the id of each that was acknowledged.

Run as `python -m tests.crash.submitter HISTORY COUNT`. What failed may or may not be there; it goes on with the next.
"""

from __future__ import annotations

import sys
import time

import django

django.setup()

from django.db import InterfaceError, OperationalError, connection  # noqa: E402 - needs the settings

from jobs.handlers.trace import sign_history  # noqa: E402
from jobs.submit import submit  # noqa: E402

history, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    task = f"t{number}"
    try:
        placed = submit(
            "workflow.task", {"task": task, "seconds": 0.01, "history": sign_history(history, task)}
        )
    except (OperationalError, InterfaceError) as error:
        print("refused", task, str(error).strip().partition("\n")[0], flush=True)  # noqa: T201 - the protocol
        connection.close()
        time.sleep(0.2)  # as a client would before its next request
    else:
        print("acknowledged", task, placed.id, flush=True)  # noqa: T201
