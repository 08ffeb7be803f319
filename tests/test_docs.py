"""The pages keep up with the code: settings and variables are all there, links lead somewhere, examples are Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import load_command_class
from pydantic import BaseModel

from jobs.conf import JobsSettings
from notifications.conf import EventSettings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(page for folder in ("", "docs", "deploy") for page in (ROOT / folder).glob("*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE_SPAN = re.compile(r"`[^`\n]*`")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def rows_under(page: Path, *columns: str) -> list[list[str]]:
    """The rows of the table with this header, code marks taken off."""
    lines = text_of(page).splitlines()
    start = lines.index(f"| {' | '.join(columns)} |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def anchors_of(page: Path) -> set[str]:
    """The names that headings get: lower case, without punctuation, spaces as dashes."""
    prose = _FENCE.sub("", text_of(page))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> Iterator[str]:
    """Relative links, those in code left out."""
    prose = _CODE_SPAN.sub("", _FENCE.sub("", text_of(page)))
    return (link for link in _LINK.findall(prose) if not re.match(r"[a-z]+:", link))


@pytest.mark.parametrize(
    ("columns", "model"),
    [
        (("key", "default", "range", "meaning"), JobsSettings),
        (("key of `EVENTS`", "default", "range", "meaning"), EventSettings),
    ],
)
def test_every_setting_is_on_the_page_with_its_default(
    columns: tuple[str, ...], model: type[BaseModel]
) -> None:
    shown = {key: default for key, default, *_ in rows_under(ROOT / "docs" / "operations.md", *columns)}
    meant = {key: field.get_default(call_default_factory=True) for key, field in model.model_fields.items()}
    assert list(shown) == list(meant)
    for key, default in meant.items():
        told = shown[key].replace(",", "")
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(told) == default, key
        else:
            assert told == str(default), key


def test_every_variable_of_the_environment_is_in_the_readme() -> None:
    source = text_of(ROOT / "opsched" / "settings.py")
    read = set(re.findall(r"_env(?:\.get\(|, )\"([A-Z_]+)\"", source))
    shown = {row[0] for row in rows_under(ROOT / "README.md", "variable", "default", "meaning")}
    assert "DATABASE_URL" in read
    assert shown == read


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_in_python_compile(page: Path) -> None:
    for number, (language, code) in enumerate(_FENCE.findall(text_of(page)), 1):
        if language == "python":
            compile(code, f"{page.name}, example {number}", "exec")


@pytest.mark.parametrize("command", ["jobs", "deadletters"])
def test_every_action_that_a_page_names_is_one_of_the_command(command: str) -> None:
    parser = load_command_class("jobs", command).create_parser("manage.py", command)
    (actions,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    named = {name for page in PAGES for name in re.findall(rf"manage\.py {command} ([a-z-]+)", text_of(page))}
    assert named
    assert named <= set(actions)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in links_of(index)}
    assert listed >= {page for page in (ROOT / "docs").glob("*.md") if page != index}
