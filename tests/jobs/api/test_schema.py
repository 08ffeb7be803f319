"""The description: complete, without warnings, true to what the API does, with a page that needs no Internet."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from jobs.api import examples
from jobs.errors import InvalidSubmission
from jobs.registry import registry

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(request=None, public=True))


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, told)
        for path, methods in schema["paths"].items()
        for method, told in methods.items()
        if path.startswith("/api/v1/") and method in METHODS
    ]


def test_it_is_valid_and_made_without_warnings(schema: dict[str, Any], tmp_path: Any) -> None:
    validate_schema(schema)
    call_command("spectacular", fail_on_warn=True, validate=True, file=str(tmp_path / "schema.yml"))


def test_every_operation_is_described_with_examples_and_errors(schema: dict[str, Any]) -> None:
    found = operations(schema)
    assert len(found) > 35
    assert len({told["operationId"] for _, _, told in found}) == len(found)
    for path, method, told in found:
        where = f"{method} {path}"
        assert told["summary"], where
        assert told["description"], where
        assert told["security"], where
        problems = {"400", "401", "403", "406"} | ({"404"} if "{" in path else set())
        problems |= {"409", "413", "415"} if method != "get" else set()
        assert problems <= set(told["responses"]), where
        for status in problems:
            assert "application/problem+json" in told["responses"][status]["content"], where
        good = next(
            told["responses"][status] for status in ("200", "201", "204") if status in told["responses"]
        )
        assert method == "delete" or good["content"]["application/json"]["examples"], where
        if "requestBody" in told:
            assert told["requestBody"]["content"]["application/json"]["examples"], where


def test_every_action_names_its_permission(schema: dict[str, Any]) -> None:
    for path, method, told in operations(schema):
        if path not in ("/api/v1/", "/api/v1/events"):
            assert re.search(r"Permission: `jobs\.\w+`", told["description"]), (method, path)


def test_filters_and_pages_are_in_the_description(schema: dict[str, Any]) -> None:
    told = schema["paths"]["/api/v1/jobs"]["get"]["parameters"]
    assert {"state", "kind", "queue", "workflow", "created_after", "cursor", "page_size"} <= {
        p["name"] for p in told
    }
    log = {p["name"] for p in schema["paths"]["/api/v1/jobs/{id}/log"]["get"]["parameters"]}
    assert log == {"id", "cursor", "page_size"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", examples.JOB_REQUEST),
        ("/jobs/bulk", {"jobs": [examples.JOB_REQUEST]}),
        ("/workflows", examples.WORKFLOW_REQUEST),
        ("/schedules", examples.SCHEDULE_REQUEST),
    ],
)
def test_the_examples_of_requests_work(operator: Any, path: str, body: Any) -> None:
    made = operator.ask("POST", path, body)
    assert made.status_code == 201, made.content


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/jobs", examples.JOB),
        ("/jobs/{}", examples.JOB_DETAIL),
        ("/workflows", examples.WORKFLOW),
        ("/schedules", examples.SCHEDULE),
        ("/queues", examples.QUEUE),
        ("/kinds", examples.KIND),
        ("/jobs/{}/explain", examples.EXPLANATION),
        ("/dead-letter-runs", examples.RUN),
    ],
)
def test_the_examples_of_answers_have_the_keys_of_real_ones(operator: Any, path: str, shown: Any) -> None:
    job = operator.ask("POST", "/jobs", examples.JOB_REQUEST).json()["id"]
    operator.ask("POST", "/workflows", examples.WORKFLOW_REQUEST)
    operator.ask("POST", "/schedules", examples.SCHEDULE_REQUEST)
    operator.ask("POST", "/dead-letter-runs/replay", {})
    real = operator.ask("GET", path.format(job)).json()
    assert set(real["results"][0] if "results" in real else real) == set(shown)


def test_the_example_kind_is_one_that_every_installation_has() -> None:
    try:
        registry.get(examples.JOB_REQUEST["kind"])
    except InvalidSubmission as error:
        pytest.fail(str(error))


def test_strangers_get_neither_the_description_nor_the_page(client: Any, db: None) -> None:
    refused = client.get("/api/schema/")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Token")
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == 401
    assert client.get("/api/docs/")["Location"] == "/admin/login/?next=/api/docs/"


def test_the_page_to_try_it_needs_nothing_from_elsewhere(client: Any, operator: Any) -> None:
    client.force_login(User.objects.get(username="olga"))
    page = client.get("/api/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "'self'" in page["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/")), address
    told = client.get("/api/schema/", headers={"accept": "application/json"})
    assert told.status_code == 200
