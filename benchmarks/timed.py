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


def _name_of(query: Any) -> str:
    from jobs.store.statements import _FOLDER, statement

    for path in _FOLDER.glob("*.sql"):
        if query is statement(path.stem):
            return path.stem
    return " ".join(str(query).split())[:40]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
    import django

    django.setup()
    import psycopg
    from django.core.management import execute_from_command_line

    plain = psycopg.Cursor.execute
    names: dict[int, str] = {}

    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return plain(self, query, params, **options)
        finally:
            name = names.get(id(query)) or names.setdefault(id(query), _name_of(query))
            told = _told[name]
            told["calls"] += 1
            told["seconds"] += time.perf_counter() - began

    psycopg.Cursor.execute = execute  # type: ignore[method-assign]
    atexit.register(_tell)
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
