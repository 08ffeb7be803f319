"""What the code says about itself must stay true: statements and callers, tables in docs, who may write what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.events import EventKind
from jobs.states import MOVES

ROOT = Path(__file__).resolve().parent.parent
APPS = ("jobs", "notifications")
PACKAGES = (*APPS, "opsched")
MOST_LINES = 300
TEXTS = {".py", ".sql", ".md", ".toml", ".txt", ".html", ".js", ".css", ".yml", ".yaml", ".conf", ".service"}

# Position of the statement's name among the arguments of each function that runs one.
_RUNS = {"rows": 1, "execute": 1, "statement": 0}
_ORM_WRITES = {
    *(
        "save",
        "delete",
        "create",
        "update",
        "bulk_create",
        "bulk_update",
        "get_or_create",
        "update_or_create",
    ),
    *("asave", "adelete", "acreate", "aupdate", "abulk_create", "abulk_update"),
}


def modules(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert found
    return [path for path in found if "migrations" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def statements_run(path: Path) -> set[str]:
    """Names of the SQL files a module runs."""
    found = set()
    for call in calls(path):
        place = _RUNS.get(getattr(call.func, "id", ""))
        if place is None or len(call.args) <= place:
            continue
        name = call.args[place]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            found.add(name.value)
    return found


def words_in(path: Path) -> set[str]:
    """Every string of a module: a loop may go through the names of several statements."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def without_comments(sql: str) -> str:
    return re.sub(r"--.*", "", sql)


def sql_files(app: str) -> dict[str, str]:
    found = {
        path.stem: without_comments(path.read_text("utf-8")) for path in (ROOT / app / "sql").glob("*.sql")
    }
    assert found
    return found


def table_in(page: str, *columns: str) -> list[list[str]]:
    """The rows under the header with these columns in a page of docs/."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    start = lines.index(f"| {' | '.join(columns)} |") + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return table


# -- SQL ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_every_statement_is_run_and_every_run_has_its_statement(app: str) -> None:
    run = set().union(*(statements_run(path) for path in modules(app)))
    assert run <= set(sql_files(app))
    assert set(sql_files(app)) - run <= set().union(*(words_in(path) for path in modules(app)))


@pytest.mark.parametrize("app", APPS)
def test_no_value_is_put_between_quotes(app: str) -> None:
    quoted = {
        name: literal
        for name, sql in sql_files(app).items()
        for literal in re.findall(r"'[^']*'", sql)
        if "%(" in literal
    }
    assert not quoted


@pytest.mark.parametrize("app", APPS)
def test_each_file_holds_one_statement(app: str) -> None:
    assert [name for name, sql in sql_files(app).items() if ";" in sql.strip()] == []


# -- pages -------------------------------------------------------------------------------------------------------------


def test_the_page_of_states_has_the_moves_of_the_code() -> None:
    shown = {
        move: (
            frozenset(filter(None, re.split(r"[,\s]+", before))),
            frozenset(re.split(r"[,\s]+", after)),
            why,
        )
        for move, before, after, why in table_in("states.md", "move", "from", "to", "why")
    }
    meant = {
        move.name: (frozenset(map(str, move.sources)), frozenset(map(str, move.targets)), move.meaning)
        for move in MOVES.values()
    }
    assert shown == meant


def test_the_page_of_events_has_the_kinds_of_the_code() -> None:
    shown = [row[0] for row in table_in("events.md", "event", "topics", "when")]
    assert sorted(shown) == sorted(kind.value for kind in EventKind)


# -- directions and sizes ----------------------------------------------------------------------------------------------


def test_the_directions_between_the_packages_hold() -> None:
    # In a process of its own: it looks at every module that is loaded, and Django's lazy ones do not like that.
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_no_module_grows_out_of_a_reviewers_head() -> None:
    sizes = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in modules(*PACKAGES)}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def test_the_environment_is_read_in_the_composition_root_alone() -> None:
    readers = [
        name_of(path)
        for path in modules(*APPS)
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text("utf-8"))
    ]
    # Programs that jobs start get an environment made from a few names of the worker's, child processes the whole.
    assert [name for name in readers if not name.startswith(("jobs/handlers/", "jobs/running/"))] == []


# -- who writes --------------------------------------------------------------------------------------------------------


def test_nothing_but_the_store_changes_a_job_through_the_orm() -> None:
    """What else is written through models is listed here: operators' own objects, and what they did."""
    written = set()
    for path in modules("jobs"):
        for call in calls(path):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in _ORM_WRITES:
                continue
            receiver = ast.unparse(call.func.value)
            if ".objects" in receiver or call.func.attr in ("save", "delete"):
                written.add((name_of(path), f"{receiver.split('.filter')[0]}.{call.func.attr}"))
    assert written == {
        ("jobs/acting.py", "OperatorAction.objects.create"),
        ("jobs/acting.py", "OperatorAction.objects.bulk_create"),
        ("jobs/control.py", "Workflow.objects.update"),  # cancelled_at alone; the counts are the store's
        ("jobs/deadletter_steering.py", "group.save"),  # owner and note alone; the counts are the store's
        ("jobs/roles.py", "group_model.objects.using(using).get_or_create"),
        ("jobs/queue_steering.py", "queue.save"),
        ("jobs/queue_steering.py", "PausedKind.objects.get_or_create"),
        ("jobs/queue_steering.py", "paused.delete"),
        ("jobs/steering.py", "schedule.save"),
        ("jobs/steering.py", "schedule.delete"),
    }


def test_nothing_but_the_store_runs_a_statement_that_changes_a_job() -> None:
    changes = re.compile(
        r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+jobs_(?!schedule\b|slot\b|workerprocess\b|cancelrequest\b)"
    )
    changing = {name for name, sql in sql_files("jobs").items() if changes.search(sql)}
    assert {"claim", "complete", "close", "rescue"} <= changing
    elsewhere = {
        (name_of(path), name)
        for path in modules("jobs")
        if "store" not in path.parts
        for name in statements_run(path) & changing
    }
    assert elsewhere == {
        ("jobs/retention.py", "delete_jobs"),
        ("jobs/retention.py", "delete_workflow"),
        ("jobs/queue_steering.py", "rank_queue_anew"),
    }


def test_no_sql_that_writes_stands_in_python() -> None:
    writes = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE)\s+(jobs|notifications)_\w+")
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not writes.search(node.value), f"{name_of(path)}:{node.lineno}"


# -- what a reader elsewhere cannot use --------------------------------------------------------------------------------


def shipped() -> Iterator[Path]:
    for folder in (*PACKAGES, "tests", "docs", "benchmarks", "constraints", "templates", "deploy"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS)
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXTS or path.name == "Makefile")


def test_nothing_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # A home folder, or the folder this very copy lies in.
    home = re.compile(r"(?<![\w.:/}])/(?:home|Users)/\w+|" + re.escape(f"{ROOT}/"))
    for path in shipped():
        if path.resolve() != Path(__file__).resolve():
            assert not home.search(path.read_text("utf-8", "replace")), name_of(path)


def test_the_pinned_requirements_name_no_index() -> None:
    for path in (ROOT / "constraints").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text), path.name
