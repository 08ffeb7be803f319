"""What has a sentence gets one; what is a fault of the program keeps its traceback."""

from __future__ import annotations

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError

from opsched.embedded.errors import DatabaseUnavailable
from opsched.sentences import one_sentence


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_the_innermost_sentence_wins() -> None:
    inner = caused(psycopg.OperationalError("outer"), DatabaseUnavailable("The disk is full: free some."))
    assert one_sentence(caused(OperationalError("outermost"), inner)) == "The disk is full: free some."


def test_a_wrong_setting_is_said_as_it_is() -> None:
    assert one_sentence(ImproperlyConfigured("X is 'y': use 1.")) == "X is 'y': use 1."


def test_a_server_that_never_answered_is_named_without_its_password() -> None:
    said = one_sentence(
        caused(OperationalError("connection failed: refused\nmore"), psycopg.OperationalError())
    )
    assert said is not None
    assert "cannot be reached (refused)" in said
    assert "\n" not in said


def test_a_full_disk_under_a_statement() -> None:
    said = one_sentence(caused(OperationalError("could not extend file"), psycopg.errors.DiskFull()))
    assert said is not None
    assert said.startswith("The disk of the database is full")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("ours"),
        caused(OperationalError("deadlock"), psycopg.errors.DeadlockDetected()),
        caused(ProgrammingError("no such column"), psycopg.errors.UndefinedColumn()),
    ],
)
def test_everything_else_keeps_its_traceback(error: Exception) -> None:
    assert one_sentence(error) is None
