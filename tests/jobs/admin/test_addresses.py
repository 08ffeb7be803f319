"""What an address asks for that is not there: nothing is found, and it is said; never the whole list under a filter."""

from __future__ import annotations

import html

import pytest
from django.test import Client

from tests.jobs.admin.world import World

NO_VALUES = [
    ("job", "state", "bogus"),
    ("job", "workflow", "abc"),
    ("job", "queue", "\x00"),
    ("workflow", "state", "bogus"),
    ("workerprocess", "state", "bogus"),
    ("deadlettergroup", "letters", "bogus"),
    ("deadlettergroup", "owner", "bogus"),
    ("deadlettergroup", "error", "Value\x00"),
    ("deadletter", "fingerprint", "\x00"),
    ("deadletter", "fingerprint", " "),
    ("deadletter", "error", "\t"),
    ("deadletter", "error", "\x00"),
    ("operatoraction", "target", "bogus"),
    ("operatoraction", "target", "schedule:\x00"),
    ("operatoraction", "actor", "\x00"),
    ("idempotencykey", "user", "\x00"),
]


@pytest.mark.parametrize(("model", "name", "value"), NO_VALUES)
def test_a_value_that_no_row_can_have_finds_nothing(
    model: str, name: str, value: str, world: World, as_operator: Client
) -> None:
    assert as_operator.get(f"/admin/jobs/{model}/").context["cl"].result_list
    answer = as_operator.get(f"/admin/jobs/{model}/", {name: value})
    assert answer.status_code == 200
    assert list(answer.context["cl"].result_list) == []
    assert "Nothing found" in answer.content.decode()


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("job", "state", ""),
        ("workerprocess", "state", "living"),
        ("workerprocess", "state", "live"),
        ("workflow", "state", "running"),
        ("deadlettergroup", "letters", ""),
        ("deadlettergroup", "letters", "some"),
        ("deadlettergroup", "owner", "nobody"),
        ("deadletter", "error", "Value"),
        ("operatoraction", "actor", "olga"),
        ("idempotencykey", "user", "olga"),
    ],
)
def test_values_that_rows_have_find_them(
    model: str, name: str, value: str, world: World, as_operator: Client
) -> None:
    assert as_operator.get(f"/admin/jobs/{model}/", {name: value}).context["cl"].result_list


@pytest.mark.parametrize(("name", "module"), [("queue", "known_queues"), ("kind", "registry.names")])
def test_a_filter_that_has_nothing_to_choose_from_still_filters(
    name: str, module: str, world: World, as_operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a web process that knows no handlers, or when the last queue was deleted and its letters were not."""
    monkeypatch.setattr(f"jobs.admin.joblist.{module}", list)
    for model in ("job", "deadletter"):
        assert as_operator.get(f"/admin/jobs/{model}/").context["cl"].result_list
        answer = as_operator.get(f"/admin/jobs/{model}/", {name: "nowhere"})
        assert list(answer.context["cl"].result_list) == []


def test_a_search_without_a_result_says_what_was_searched_and_leads_back(
    world: World, as_operator: Client
) -> None:
    page = html.unescape(as_operator.get("/admin/jobs/job/", {"q": "zzz", "queue": "other"}).content.decode())
    assert "No job fits “zzz” and the filters" in page
    assert "number, kind, task or unique key." in page
    assert '<a class="jb-button" href="?">Show all</a>' in page


def test_an_address_with_a_bad_place_shows_the_whole_list_and_says_so(
    world: World, as_operator: Client
) -> None:
    answer = as_operator.get("/admin/jobs/job/", {"before": "abc"}, follow=True)
    assert "was not understood" in answer.content.decode()
    assert "was not understood" not in as_operator.get("/admin/jobs/job/").content.decode()


def test_an_address_with_a_filter_that_does_not_exist_is_refused_in_words(
    world: World, as_operator: Client
) -> None:
    answer = as_operator.get("/admin/jobs/job/", {"nonsense": "1"})
    assert answer.status_code == 400
    assert "leave out what stands after the question mark" in answer.content.decode()


@pytest.mark.parametrize("name", ["error", "kind", "queue", "fingerprint", "workflow"])
def test_a_blank_filter_leads_to_no_set(name: str, world: World, as_operator: Client) -> None:
    """To the form that freezes a set it would be no filter at all: the set would be every letter."""
    assert as_operator.get("/admin/jobs/deadletter/", {name: "x"}).context["cl"].ways
    page = as_operator.get("/admin/jobs/deadletter/", {name: " "})
    assert list(page.context["cl"].result_list) == []
    assert page.context["cl"].ways == []
