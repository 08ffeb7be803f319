"""manage.py with a worker that takes the time of its statements: a part of `benchmarks.microseconds`.

When it ends, it writes calls and seconds by statement into the file that BENCH_TIMED names.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["main"]

_told: dict[str, dict[str, float]] = defaultdict(lambda: {"calls": 0, "seconds": 0.0})


def _tell() -> None:
    Path(os.environ["BENCH_TIMED"]).write_text(json.dumps(_told))


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
    import django

    django.setup()
    import psycopg
    from django.core.management import execute_from_command_line

    from benchmarks.microseconds import named

    names: dict[str, str] = {}
    last: dict[int, str] = {}  # by cursor: whose rows are fetched

    def timed(method: Any, name_of: Any) -> Any:
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(self, *arguments, **options)
            finally:
                spent = time.perf_counter() - began
                _told[name_of(self, *arguments)]["seconds"] += spent

        return call

    def executed(cursor: Any, query: Any, *_: Any) -> str:
        text = query if isinstance(query, str) else str(query)
        name = names.get(text) or names.setdefault(text, named(text))
        last[id(cursor)] = name
        _told[name]["calls"] += 1
        return name

    psycopg.Cursor.execute = timed(psycopg.Cursor.execute, executed)  # type: ignore[method-assign]
    psycopg.Cursor.fetchall = timed(  # type: ignore[method-assign]
        psycopg.Cursor.fetchall, lambda cursor: last.get(id(cursor), "fetch")
    )
    atexit.register(_tell)
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
