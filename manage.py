#!/usr/bin/env python
"""The command line of opsched: Django's, with mistakes of the surroundings said in one sentence.

A missing database, a full disk or a wrong environment variable is the operator's to mend, and a traceback hides
how. Everything else keeps its traceback.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsched.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        print(
            "Django is not installed for this Python: run `make setup`, or use .venv/bin/python.",
            file=sys.stderr,
        )
        return 1
    from opsched.sentences import one_sentence

    try:
        execute_from_command_line(sys.argv)
    except Exception as error:  # the boundary of the program: what has no sentence is raised again unchanged
        sentence = one_sentence(error)
        if sentence is None or "--traceback" in sys.argv:
            raise
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
