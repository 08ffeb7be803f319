"""After a test that commits, the next one finds what migrate left, in whatever order they run."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import TransactionTestCase

from jobs.roles import OPERATORS, VIEWERS

pytestmark = pytest.mark.django_db(transaction=True)


def _permissions() -> dict[str, int]:
    return {group.name: group.permissions.count() for group in Group.objects.all()}


def _end_of_a_test() -> None:
    TransactionTestCase()._fixture_teardown()  # type: ignore[attr-defined]


def test_what_a_test_wrote_is_gone_and_the_groups_stay() -> None:
    before = _permissions()
    assert before[OPERATORS] > before[VIEWERS] > 0
    User.objects.create_user("olga").groups.add(Group.objects.get(name=OPERATORS))
    _end_of_a_test()
    assert not User.objects.exists()
    assert _permissions() == before


def test_what_a_test_took_of_what_migrate_left_comes_back() -> None:
    before, permissions = _permissions(), Permission.objects.count()
    Group.objects.filter(name=VIEWERS).delete()
    Permission.objects.filter(codename="view_job").delete()
    Group.objects.create(name="Night watch")
    _end_of_a_test()
    assert _permissions() == before
    assert Permission.objects.count() == permissions
