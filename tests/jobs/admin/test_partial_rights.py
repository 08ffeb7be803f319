"""People with some permissions: each is offered what they may do, no way ends at a refusal.

And a refusal says what is missing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from jobs import control, deadletters, steering
from jobs.control import Actor
from jobs.models import DeadLetter, DeadLetterRun
from tests.jobs.admin.world import PAUSED, World, dead_job

pytestmark = pytest.mark.django_db

Login = Callable[[User], Client]
MODELS = (
    "job", "workflow", "deadletter", "deadlettergroup", "deadletterrun", "schedule", "queue", "pausedkind",
    "workerprocess", "operatoraction", "uniquekey", "idempotencykey",
)  # fmt: skip
LINKED = ("job", "workflow", "deadlettergroup", "deadletterrun", "queue", "schedule")
LINKING = ("workflow", "deadletter", "deadlettergroup", "deadletterrun", "operatoraction", "uniquekey")
ALL = tuple(f"view_{model}" for model in MODELS)


def person(*permissions: str) -> User:
    user = User.objects.create_user(username="pat", is_staff=True)
    found = Permission.objects.filter(content_type__app_label="jobs", codename__in=permissions)
    assert found.count() == len(set(permissions))
    user.user_permissions.set(found)
    return user


def own_pages(world: World) -> dict[str, str]:
    keys = {
        "job": world.available, "workflow": world.workflow, "deadletter": world.dead, "deadlettergroup": world.group,
        "deadletterrun": world.run, "schedule": world.schedule, "queue": world.queue, "pausedkind": PAUSED,
        "workerprocess": world.worker, "operatoraction": world.action, "uniquekey": world.unique,
        "idempotencykey": world.idempotency,
    }  # fmt: skip
    return {model: f"/admin/jobs/{model}/{key}/change/" for model, key in keys.items()}


def ways_from(client: Client, start: str) -> set[str]:
    """Where the links of a page lead, inside the admin; a list with filters is the same list."""
    answer = client.get(start, follow=True)
    assert answer.status_code == 200, start
    found = set()
    for href in re.findall(r'href="([^"]+)"', answer.content.decode()):
        way = urlsplit(urljoin(f"http://testserver{start}", html.unescape(href)))
        if way.netloc == "testserver" and way.path.startswith("/admin/jobs/"):
            found.add(f"{way.path}?{way.query}" if "/_act/" in way.path else way.path)
    return found


@pytest.mark.parametrize("missing", [*LINKED, ""])
def test_no_link_ends_at_a_refusal(missing: str, world: World, login: Login) -> None:
    """For somebody who may see all but one kind of thing, and for people who may each see one of them alone."""
    control.discard(Actor(), [dead_job()], reason="the record has something about a job")
    steering.pause_queue(Actor(), world.queue, reason="and about a queue")
    acts = ("replay_deadletter", "discard_deadletter", "cancel_job", "pause_queue")
    views = [tuple(set(ALL) - {f"view_{missing}"})] if missing else [(f"view_{model}",) for model in LINKING]
    for granted in views:
        client = login(person(*granted, *acts))
        seen = [model for model in MODELS if f"view_{model}" in granted]
        pages = [page for model in seen for page in (f"/admin/jobs/{model}/", own_pages(world)[model])]
        ways = set().union(*(ways_from(client, page) for page in pages))
        assert [way for way in sorted(ways) if client.get(way).status_code == 403] == []
        User.objects.get(username="pat").delete()


def test_the_walk_finds_a_link_to_what_is_hidden(world: World, login: Login) -> None:
    """The negative control: the same pages do lead there for somebody who may see it."""
    client = login(person(*ALL))
    assert own_pages(world)["workflow"] in ways_from(client, "/admin/jobs/job/")
    assert f"/admin/jobs/job/{world.dead}/change/" in ways_from(client, own_pages(world)["deadlettergroup"])


@pytest.mark.parametrize(
    ("granted", "labels"),
    [
        (("view_job",), []),
        (("view_job", "cancel_job"), ["Cancel", "Release key"]),
        (("view_job", "move_job", "reprioritise_job"), ["Change priority", "Move to queue"]),
    ],
)
def test_exactly_what_is_permitted_is_offered(
    granted: tuple[str, ...], labels: list[str], world: World, login: Login
) -> None:
    client = login(person(*granted))
    answer = client.get(f"/admin/jobs/job/{world.available}/change/")
    assert [button["label"] for button in answer.context["buttons"]] == labels


@pytest.mark.parametrize(
    ("granted", "address", "lacks"),
    [
        ((), "/admin/jobs/job/", "jobs.view_job"),
        ((), "/admin/jobs/queue/admintest/change/", "jobs.view_queue"),
        ((), "/admin/operations/", "jobs.view_job"),
        (("cancel_job",), "/admin/jobs/job/_act/cancel/?keys=1", "jobs.view_job"),
        (("view_job",), "/admin/jobs/job/_act/cancel/?keys=1", "jobs.cancel_job"),
        (("view_queue",), "/admin/jobs/queue/admintest/edit/", "jobs.change_queue"),
        (("view_schedule",), "/admin/jobs/schedule/1/edit/", "jobs.change_schedule"),
        (("view_job",), "/admin/jobs/job/submit/", "jobs.submit_job"),
        (("submit_job",), "/admin/jobs/job/submit/", "jobs.view_job"),
        (("view_queue",), "/admin/jobs/queue/new/", "jobs.change_queue"),
        (("view_schedule",), "/admin/jobs/schedule/new/", "jobs.add_schedule"),
        (("view_pausedkind",), "/admin/jobs/pausedkind/pause/", "jobs.pause_kind"),
        (("view_deadletterrun",), "/admin/jobs/deadletterrun/new/", "jobs.replay_deadletter"),
        (("view_deadlettergroup",), "/admin/jobs/deadlettergroup/x/edit/", "jobs.change_deadlettergroup"),
        (("view_deadletter", "replay_deadletter"), "/admin/jobs/deadletter/1/edit/", "jobs.view_job"),
    ],
)
def test_a_refusal_names_the_permission_that_is_missing(
    granted: tuple[str, ...], address: str, lacks: str, world: World, login: Login
) -> None:
    answer = login(person(*granted)).get(address)
    assert answer.status_code == 403
    assert f"lacks the permission {lacks}." in html.unescape(answer.content.decode())


def test_a_form_whose_token_is_gone_says_to_reload(operator: User, world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    answer = client.post("/admin/jobs/job/_act/cancel/", {"keys": world.available, "confirmed": "yes"})
    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()


def test_the_start_page_is_not_empty_for_somebody_who_may_not_see_jobs(login: Login) -> None:
    page = login(person("view_queue")).get("/admin/").content.decode()
    assert "jobs.view_job" in page
    assert "Nothing to see yet" not in page


def test_a_group_whose_letters_are_hidden_does_not_say_that_there_are_none(
    world: World, login: Login
) -> None:
    hidden = login(person("view_deadlettergroup")).get(own_pages(world)["deadlettergroup"]).content.decode()
    assert "No letter of this group waits" not in hidden
    assert "jobs.view_deadletter" in hidden
    User.objects.get(username="pat").delete()
    DeadLetter.objects.all().delete()
    shown = login(person(*ALL)).get(own_pages(world)["deadlettergroup"]).content.decode()
    assert "No letter of this group waits" in shown


def test_a_page_that_cannot_follow_says_so_and_does_not_try(world: World, login: Login) -> None:
    without = login(person("view_workflow")).get(own_pages(world)["workflow"]).content.decode()
    assert "jobs.view_job" in without
    assert "data-live-stream" not in without
    User.objects.get(username="pat").delete()
    assert (
        "data-live-stream"
        in login(person("view_workflow", "view_job")).get(own_pages(world)["workflow"]).content.decode()
    )


def test_the_way_back_from_a_set_leads_where_one_may_go(world: World, login: Login) -> None:
    user = person("view_deadletterrun", "discard_deadletter")
    DeadLetterRun.objects.all().delete()
    run = deadletters.preview(Actor.of(user), "discard", {"fingerprint": world.group})
    client = login(user)
    for address in ("/admin/jobs/deadletterrun/new/", f"/admin/jobs/deadletterrun/{run.pk}/change/"):
        assert client.get(address).context["back"] == "/admin/jobs/deadletterrun/"


def test_the_operations_page_leads_where_one_may_go(login: Login) -> None:
    links = login(person("view_job")).get("/admin/operations/").context["config"]["links"]
    assert links["workflow"] == ""
    assert links["dead"] == links["job"]
    User.objects.get(username="pat").delete()
    links = login(person(*ALL)).get("/admin/operations/").context["config"]["links"]
    assert "/workflow/" in links["workflow"]
    assert "/deadletter/" in links["dead"]
