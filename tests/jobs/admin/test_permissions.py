"""Who may do what: every address of the admin is called by people who must not be able to change anything.

The addresses are read from the URL configuration, so that a new page is in the walk without being named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver

from jobs import letter_runs
from jobs.admin.base import SteeredAdmin
from jobs.database import django_cursor
from tests.jobs.admin.world import KIND, PAUSED, World, schedule_fields, snapshot

Login = Callable[[User], Client]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One address. `acts`: names of the bulk actions when it is a list of ours."""

    url: str
    model: str
    name: str
    acts: tuple[str, ...] = ()


def steered() -> list[SteeredAdmin]:
    return [found for found in admin.site._registry.values() if isinstance(found, SteeredAdmin)]


def key_of(world: World, model: str) -> Any:
    return {
        "job": world.available,
        "deadletter": world.dead,
        "workflow": world.workflow,
        "schedule": world.schedule,
        "queue": world.queue,
        "workerprocess": world.worker,
        "operatoraction": world.action,
        "pausedkind": PAUSED,
        "deadlettergroup": world.group,
        "deadletterrun": world.run,
        "uniquekey": world.unique,
        "idempotencykey": world.idempotency,
    }.get(model, 1)


def pages(world: World) -> list[Page]:
    """Every address of the admin, with keys of things that exist."""
    found = [page for pattern in admin.site.get_urls() for page in _expand(pattern, "/admin/", world)]
    assert len([page for page in found if page.model in {a.opts.model_name for a in steered()}]) > 50
    return found


def _expand(pattern: URLPattern | URLResolver, prefix: str, world: World) -> Iterator[Page]:
    if isinstance(pattern, URLResolver):
        for inner in pattern.url_patterns:
            yield from _expand(inner, prefix + str(pattern.pattern), world)
        return
    route = prefix + str(pattern.pattern)
    parts = route.split("/")
    model = parts[3] if len(parts) > 4 and parts[2] == "jobs" else ""
    acts = tuple(act.name for own in steered() if own.opts.model_name == model for act in own.acts)
    if "act/<slug:name>" in route:
        for act in acts:
            yield Page(url=route.replace("<slug:name>", act), model=model, name=act)
        return
    key = str(key_of(world, model))
    for placeholder in (
        "<path:object_id>",
        "<int:job_id>",
        "<int:workflow_id>",
        "<int:schedule_id>",
        "<str:name>",
        "<str:fingerprint>",
        "<int:run_id>",
    ):
        route = route.replace(placeholder, key)
    if any(mark in route for mark in "<(^"):
        return  # three of Django's own that are patterns: app index, catch-all, view on site
    yield Page(url=route, model=model, name=parts[-2], acts=acts if route.endswith(f"/jobs/{model}/") else ())


def bodies(page: Page, world: World) -> list[dict[str, Any]]:
    """What to POST: everything that any form here could want, and each bulk action of a list."""
    key = key_of(world, page.model)
    if page.model == "job" and page.name == "run_now":
        key = world.scheduled
    if page.model == "job" and page.name in ("replay", "discard"):
        key = world.dead
    whole = {"confirmed": "yes", "keys": key, "reason": "because", "priority": "7", "attempts": "2"}
    whole |= {"description": "changed", "ageing_seconds": "5", "post": "yes", "_save": "Save"}
    whole |= {"max_attempts": "", "timeout": "", "scheduled_at": ""} | schedule_fields(
        name="another", priority="7"
    )
    if page.name in ("move", "reschedule"):
        whole |= {"queue": "elsewhere", "scheduled_at": "2035-01-01T00:00:00"}
    chosen = [
        {**whole, "action": act, "_selected_action": key, "index": "0", "select_across": across}
        for act in (*page.acts, "delete_selected")
        for across in ("0", "1")
    ]
    return [whole, *(chosen if page.acts else [])]


def call_everything(client: Client, world: World) -> list[tuple[Page, str, Any]]:
    """GET and POST every address, the one that logs out last."""
    answers = []
    for page in sorted(pages(world), key=lambda page: page.name == "logout"):
        answers.append((page, "GET", client.get(page.url, {"keys": key_of(world, page.model)})))
        answers += [(page, "POST", client.post(page.url, body)) for body in bodies(page, world)]
    return answers


def test_a_viewer_changes_nothing_whatever_is_called(viewer: User, world: World, login: Login) -> None:
    before = snapshot()
    answers = call_everything(login(viewer), world)
    assert snapshot() == before
    assert [(page.url, how) for page, how, answer in answers if answer.status_code >= 500] == []


def test_a_viewer_sees_every_list_and_page_but_no_form(viewer: User, world: World, login: Login) -> None:
    client = login(viewer)
    for own in steered():
        name = own.opts.model_name
        key = key_of(world, name)
        assert client.get(f"/admin/jobs/{name}/").status_code == 200
        assert client.get(f"/admin/jobs/{name}/{key}/change/", follow=True).status_code == 200
        for act in own.acts:
            assert client.get(f"/admin/jobs/{name}/_act/{act.name}/?keys={key}").status_code == 403
    for form in (
        "job/submit",
        "schedule/new",
        "queue/new",
        f"schedule/{world.schedule}/edit",
        "queue/admintest/edit",
    ):
        assert client.get(f"/admin/jobs/{form}/").status_code == 403


def test_staff_without_permissions_see_and_change_nothing(stranger: User, world: World, login: Login) -> None:
    before = snapshot()
    answers = call_everything(login(stranger), world)
    assert snapshot() == before
    seen = [
        (page.url, how)
        for page, how, answer in answers
        if page.model and answer.status_code not in (403, 302)
    ]
    assert seen == []
    redirected = {
        answer["Location"] for page, _, answer in answers if page.model and answer.status_code == 302
    }
    assert all(place.startswith("/admin/") and "submit" not in place for place in redirected)


def test_nobody_enters_without_login(world: World) -> None:
    before = snapshot()
    for page, how, answer in call_everything(Client(), world):
        if page.name in ("login", "logout", "jsi18n") or page.url == "/admin/logout/":
            continue
        assert answer.status_code in (302, 403), (page.url, how)
        if answer.status_code == 302:
            assert answer["Location"].startswith(("/admin/login/", "/admin/")), (page.url, how)
    assert snapshot() == before


def test_a_get_changes_nothing_even_for_an_operator(operator: User, world: World, login: Login) -> None:
    before = snapshot()
    client = login(operator)
    for page in pages(world):
        for query in ({}, {"keys": key_of(world, page.model), "confirmed": "yes", "reason": "because"}):
            assert client.get(page.url, query).status_code < 500, page.url
    assert snapshot() == before


@pytest.mark.parametrize(
    ("model", "act"), [(own.opts.model_name, act.name) for own in steered() for act in own.acts]
)
def test_the_calls_of_the_walk_do_change_something_for_an_operator(
    model: str, act: str, world: World, as_operator: Client
) -> None:
    """The negative control: were the bodies of the walk wrong, it would prove nothing."""
    page = Page(url=f"/admin/jobs/{model}/_act/{act}/", model=model, name=act)
    body = bodies(page, world)[0]
    if act == "resume":
        as_operator.post(page.url.replace("resume", "pause"), body)
    if act == "undo":
        with django_cursor() as cursor:
            letter_runs.advance_next(cursor)
    before = snapshot()
    assert as_operator.post(page.url, body).status_code == 302
    assert snapshot() != before


def test_forms_without_their_token_are_refused(operator: User, world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    before = snapshot()
    for page in pages(world):
        if page.model:
            assert client.post(page.url, bodies(page, world)[0]).status_code == 403, page.url
    assert snapshot() == before


def test_every_act_declares_its_permission(operator: User) -> None:
    for own in steered():
        for act in own.acts:
            assert act.permissions
            assert all(operator.has_perm(permission) for permission in act.permissions), act.name
        for action in own.actions:
            assert action.allowed_permissions


def test_the_machinery_of_django_is_closed_for_superusers_too(world: World, login: Login) -> None:
    root = User.objects.create_superuser("root")
    client = login(root)
    before = snapshot()
    for own in steered():
        name, key = own.opts.model_name, key_of(world, own.opts.model_name)
        assert client.get(f"/admin/jobs/{name}/add/").status_code == 403
        assert client.post(f"/admin/jobs/{name}/{key}/delete/", {"post": "yes"}).status_code == 403
        assert client.post(f"/admin/jobs/{name}/{key}/change/", {"kind": KIND}).status_code in (302, 405)
        client.post(
            f"/admin/jobs/{name}/",
            {"action": "delete_selected", "_selected_action": key, "index": "0", "post": "yes"},
        )
    assert snapshot() == before
