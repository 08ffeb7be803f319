"""Callers of the API: an operator, a viewer, a stranger, each with a client that sees a failing view as a 500."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from jobs.registry import JobKind, job, registry
from jobs.roles import OPERATORS, VIEWERS

V1 = "/api/v1"
Submit = Callable[..., int]


class Caller(APIClient):
    """Speaks JSON with a token. A view that fails answers 500 here as it would in production."""

    def __init__(self, token: str | None = None, **more: Any) -> None:
        super().__init__(raise_request_exception=False, **more)
        self.token = token
        if token:
            self.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        data = "" if body is None else json.dumps(body)
        return self.generic(method, V1 + path, data, content_type="application/json", **more)

    def raw(self, path: str, data: bytes, content_type: str = "application/json", **more: Any) -> Any:
        sent: Any = data  # bytes are sent as they are; the stubs only know texts
        return self.generic("POST", V1 + path, sent, content_type=content_type, **more)


def person(name: str, *groups: str, **fields: Any) -> User:
    user = User.objects.create_user(name, **fields)
    user.groups.set(group(title) for title in groups)
    return user


def group(title: str) -> Group:
    """The group as the migration made it; a test with real commits has emptied the tables of those after it."""
    found, new = Group.objects.get_or_create(name=title)
    if new:
        granted = Permission.objects.filter(content_type__app_label="jobs")
        found.permissions.set(granted.filter(codename__startswith="view_") if title == VIEWERS else granted)
    return found


def calling(user: User) -> Caller:
    return Caller(Token.objects.get_or_create(user=user)[0].key)


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def field_of(answer: Any) -> str:
    assert answer.status_code == 400, answer.content
    return str(answer.json()["errors"][0]["field"])


@pytest.fixture
def operator(db: None) -> Caller:
    return calling(person("olga", OPERATORS))


@pytest.fixture
def viewer(db: None) -> Caller:
    return calling(person("vera", VIEWERS))


@pytest.fixture
def anonymous(db: None) -> Caller:
    return Caller()


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds of these tests alone."""
    known: dict[str, JobKind] = dict(registry._kinds)
    monkeypatch.setattr(registry, "_kinds", known)
    job("api.note", queue="notes")(lambda ctx, payload: None)
    job("api.other", queue="others", max_attempts=3)(lambda ctx, payload: None)


@pytest.fixture
def submit(operator: Caller) -> Submit:
    """Submit over REST; the id."""

    def one(kind: str = "api.note", **fields: Any) -> int:
        answer = operator.ask("POST", "/jobs", {"kind": kind, **fields})
        assert answer.status_code == 201, answer.content
        return int(answer.json()["id"])

    return one
