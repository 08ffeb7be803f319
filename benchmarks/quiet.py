"""manage.py with a worker that appends no events: the other half of `benchmarks.events`, and nothing else's.

The product has no such switch. Here the names by which the store tells the log are replaced, in this process and the
worker processes it forks.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["main"]


def _nothing(*_: Any, **__: Any) -> None:
    """Tell nobody."""


def _no_text(*_: Any, **__: Any) -> tuple[list[str], str]:
    return [], "[]"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
    import django

    django.setup()
    from django.core.management import execute_from_command_line

    from jobs.store import claiming, ending

    for module in (claiming, ending):
        for name, silent in (("append_encoded", _nothing), ("encode_jobs", _no_text)):
            if not hasattr(module, name):
                raise AssertionError(f"{module.__name__} tells the log in another way: it has no {name}")
            setattr(module, name, silent)
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
