"""Who may listen to a stream, over HTTP from a real Daphne: refused with a reason, and revoked within five seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from rest_framework.authtoken.models import Token

from tests.notifications.daphne import Daphne, Person, next_event, person

REVOKED_WITHIN = 5.0

REFUSALS: list[tuple[dict[str, Any], int]] = [
    ({"headers": {}}, 401),
    ({"headers": {"Authorization": "Token wrong"}}, 401),
    ({"headers": {"Authorization": "Basic YTpi"}}, 401),
    ({"headers": {"Cookie": "sessionid=wrong"}}, 401),
    ({"topics": "secret:1"}, 403),
    ({"topics": "unknown"}, 403),
    ({"topics": ""}, 400),
    ({"topics": "a b"}, 400),
    ({"topics": ",".join(f"test:{n}" for n in range(51))}, 400),
]


def test_refusals_are_problems_with_a_reason(daphne: Daphne, ada: Person) -> None:
    for change, status in REFUSALS:
        response = daphne.get(**{"headers": ada.by_token, **change})
        assert response.status_code == status, change
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status
        if status == 403:
            assert change["topics"] in problem["detail"]


def test_a_flood_of_parameters_is_refused_like_bad_topics(daphne: Daphne, ada: Person) -> None:
    address = f"{daphne.url}/notifications/stream?topics=test:1" + "&a=1" * 200
    response = httpx.get(address, headers=ada.by_token)
    assert response.status_code == 400
    assert "200 parameters" in response.json()["detail"]


def test_a_stream_is_only_read(daphne: Daphne, ada: Person) -> None:
    for method in ("HEAD", "POST", "DELETE"):
        address = f"{daphne.url}/notifications/stream?topics=test:1"
        response = httpx.request(method, address, headers=ada.by_token)
        assert response.status_code == 405
        assert response.headers["allow"] == "GET"


def test_an_inactive_user_is_not_let_in(daphne: Daphne, ada: Person) -> None:
    get_user_model().objects.update(is_active=False)
    assert daphne.get(headers=ada.by_token).status_code == 401
    assert daphne.get(headers=ada.by_session).status_code == 401


def _may(user: Any) -> None:
    group = Group.objects.create(name=user.username)
    group.permissions.add(Permission.objects.get(codename="view_group"))
    user.groups.add(group)


def _lose_permission(ada: Person) -> None:
    Group.objects.get(name=ada.user.username).permissions.clear()


def _log_out(ada: Person) -> None:
    Session.objects.filter(pk=ada.session).delete()


def _change_password(ada: Person) -> None:
    ada.user.set_password("another")
    ada.user.save()


def _deactivate(ada: Person) -> None:
    get_user_model().objects.filter(pk=ada.user.pk).update(is_active=False)


def _drop_token(ada: Person) -> None:
    Token.objects.filter(key=ada.token).delete()


REVOCATIONS: list[tuple[str, Callable[[Person], None]]] = [
    ("by_session", _log_out),
    ("by_session", _change_password),
    ("by_session", _lose_permission),
    ("by_token", _deactivate),
    ("by_token", _drop_token),
    ("by_token", _lose_permission),
]


def test_revoked_means_revoked_within_five_seconds(
    daphne: Daphne, transactional_db: None, stack: ExitStack
) -> None:
    """In each of six ways; and nobody else loses a stream by it."""
    other = person("other", is_superuser=True)
    theirs = stack.enter_context(daphne.stream(other.by_token, "secret:1,test:figures"))
    cases = []
    for number, (how, revoke) in enumerate(REVOCATIONS):
        one = person(f"user{number}")
        _may(one.user)
        events = stack.enter_context(daphne.stream(getattr(one, how), "secret:1"))
        assert next(events).event == "subscribed"
        cases.append((one, revoke, events))
    assert daphne.registry()["connections"] == len(cases) + 1
    begun = time.monotonic()
    for one, revoke, _ in cases:
        revoke(one)
    for _, _, events in cases:
        assert {event.event for event in events} <= {"position"}
    assert time.monotonic() - begun < REVOKED_WITHIN
    assert daphne.registry()["connections"] == 1
    assert next_event(theirs, "test:figures").data
