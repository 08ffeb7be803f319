"""docs/api.md and the API agree about what there is."""

from __future__ import annotations

import re
from pathlib import Path

from drf_spectacular.generators import SchemaGenerator

from jobs.api.filters import JobFilters
from jobs.api.jobs import _SCAN
from jobs.api.pagination import DEFAULT_PAGE, MAX_PAGE

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def test_every_address_is_on_the_page() -> None:
    text = PAGE.read_text()
    for path in SchemaGenerator().get_schema(request=None, public=True)["paths"]:
        words = [word for word in path.removeprefix("/api/v1/").split("/") if word and "{" not in word]
        if path.startswith("/api/v1/"):
            assert all(re.search(rf"[`/…]{re.escape(word)}\b", text) for word in words), path


def test_filters_and_bounds_are_on_the_page() -> None:
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in JobFilters.base_filters)
    assert f"1 to {MAX_PAGE} ({DEFAULT_PAGE})" in text
    assert f"{_SCAN:,}" in text
