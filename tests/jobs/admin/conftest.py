"""People with different permissions, logged in, and the world they look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from jobs.roles import OPERATORS, VIEWERS
from tests.jobs.admin.world import World, make


def _person(name: str, *groups: str) -> User:
    user = User.objects.create_user(username=name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.fixture
def operator(db: None) -> User:
    return _person("olga", OPERATORS)


@pytest.fixture
def viewer(db: None) -> User:
    return _person("vera", VIEWERS)


@pytest.fixture
def stranger(db: None) -> User:
    """May enter the admin, and nothing else."""
    return _person("sam")


@pytest.fixture
def login() -> Callable[[User], Client]:
    def entered(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return entered


@pytest.fixture
def as_operator(operator: User, login: Callable[[User], Client]) -> Client:
    return login(operator)


@pytest.fixture
def as_viewer(viewer: User, login: Callable[[User], Client]) -> Client:
    return login(viewer)


@pytest.fixture
def world(operator: User) -> World:
    return make(operator)
