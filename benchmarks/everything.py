"""`make bench`: every benchmark, one after the other; docs/performance.json, and the table in docs/performance.md.

    python -m benchmarks.everything [--quick] [--only floor,peers] [--rounds 1] [--peers PYTHON] [--no-table]

What is not run keeps the figures of its last run, with their date. Each benchmark is a command of its own
(`python -m benchmarks.NAME --help`) with a database of its own, which ends with it. One that fails is told and does not
stop the others; the exit code is 1 then. `--quick`: sizes that only show that everything runs; their figures mean
nothing and are not kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.ground import ROOT
from benchmarks.report import say

__all__: list[str] = []

PAGE = ROOT / "docs" / "performance.md"
KEPT = PAGE.with_suffix(".json")
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"

# Name, arguments of `--quick`. Without it each has its own defaults, which are the sizes of the bars.
PLAN: dict[str, Sequence[str]] = {
    "floor": ("--jobs", "10000", "--rounds", "1"),
    "peers": ("--jobs", "50000", "--rounds", "1"),
    "events": ("--jobs", "10000", "--rounds", "1"),
    "latency": ("--starts", "100", "--seconds", "3"),
    "scaling": ("--jobs", "10000", "--rounds", "1"),
    "backlog": (
        *("--ready", "50000", "--scheduled", "50000", "--finished", "100000"),
        *("--drained", "5000", "--rounds", "1"),
    ),
    "horizon": ("--seconds", "12"),
    "lateness": ("--rate", "200", "--seconds", "3"),
    "resources": ("--jobs", "50000", "--idle", "5"),
    "structures": ("--sizes", "10000", "--rounds", "1"),
    "microseconds": ("--jobs", "10000"),
}


PLACES = ("--python", "--packages", "--py-spy")


def arguments_of(name: str, *, quick: bool, rounds: int | None, python: str) -> list[str]:
    arguments = [*PLAN[name]] if quick else []
    if rounds is not None and "--rounds" in PLAN[name]:
        arguments += ["--rounds", str(rounds)]
    if name == "peers":
        arguments += ["--python", python]
    if name == "microseconds":
        arguments += ["--py-spy", os.path.join(os.path.dirname(python), "py-spy")]  # noqa: PTH118, PTH120 - a venv's link is not followed
    if name == "structures":
        arguments += ["--packages", _packages(python)]
    return arguments


def _packages(python: str) -> str:
    """Where the peers' pure Python packages lie."""
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def measured(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Its last line, with how long it took; or the exit code of one that failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    say(f"== {name} {' '.join(arguments)}")
    loaded, began = os.getloadavg()[0], time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = round(time.monotonic() - began)
    say(f"== {name}: {seconds} s, exit code {done.returncode}")
    ground = {
        "benchmark": name,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "load": round(loaded, 1),
        "seconds": seconds,
        "sizes": sizes_in(arguments),
    }
    if done.returncode:
        return ground | {"failed": done.returncode, "rows": []}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | ground


def sizes_in(arguments: Sequence[str]) -> str:
    """What was given in place of the sizes of the bars; where other programs lie is nobody's concern."""
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return " ".join(f"{name} {value}" for name, value in pairs if name not in PLACES)


def kept(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """These results and the last ones of all other benchmarks, in the order of the plan; written to the file."""
    last = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    newest = {result["benchmark"]: result for result in [*last, *results]}
    found = [newest[name] for name in PLAN if name in newest]
    KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"Written by `make bench` on {os.cpu_count()} cores; every round is in `docs/performance.json`.",
        "Ratios are taken within a round; `median (min to max)`.",
        "",
        "| what | figure | bar | |",
        "|---|---|---|---|",
    ]
    for result in results:
        ground = f"{result['date']}, Python {result['python']}, {result['seconds']} s, load {result['load']} before"
        ground += f", `{result['sizes']}`" if result.get("sizes") else ""
        lines.append(f"| **{result['benchmark']}** ({ground}) | {_failure(result)} | | |")
        lines += [
            f"| {row['what']} | {row['figure']} | {row['bar']} | {_met(row['met'])} |"
            for row in result["rows"]
        ]
    return "\n".join(lines)


def _failure(result: dict[str, Any]) -> str:
    return f"failed with {result['failed']}" if "failed" in result else ""


def _met(met: bool | None) -> str:
    return {True: "met", False: "**not met**", None: ""}[met]


def write(text: str) -> None:
    """Between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise AssertionError(f"{PAGE.name} has lost its marks {BEGIN} and {END}")
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it all run?")
    parser.add_argument("--only", default=",".join(PLAN), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, help="instead of the default of those that go in rounds")
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers" / "bin" / "python"), help="their Python")
    parser.add_argument("--no-table", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(PLAN):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    results = [
        measured(name, arguments_of(name, quick=options.quick, rounds=options.rounds, python=options.peers))
        for name in names
    ]
    if not options.quick and not options.no_table:
        write(table(kept(results)))
    else:
        say(table(results))
    print(json.dumps(results))
    return 1 if any("failed" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
