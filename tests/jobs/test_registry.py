"""Kinds: declared once, checked when declared, found by name and never by path."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import registry as module
from jobs.core.backoff import Exponential, Fixed
from jobs.errors import ConfigurationError, UnknownKind
from jobs.registry import JobKind, Registry, job


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry that `@job` fills during this test."""
    made = Registry()
    monkeypatch.setattr(module, "registry", made)
    return made


def handler(ctx: Any, payload: dict[str, Any]) -> None:
    """Sends one mail.

    And says nothing more in the list of kinds.
    """


async def later(ctx: Any, payload: dict[str, Any]) -> None: ...


def test_a_kind_keeps_what_it_was_declared_with(own: Registry) -> None:
    declared = job(
        "mail.send", queue="mail", priority=7, max_attempts=3, backoff=Fixed(seconds=2), timeout=30
    )(handler)
    assert declared is handler
    kind = own.get("mail.send")
    assert (kind.fn, kind.queue, kind.priority, kind.max_attempts) == (handler, "mail", 7, 3)
    assert (kind.backoff, kind.timeout, kind.is_async) == (Fixed(seconds=2), 30, False)
    assert kind.description == "Sends one mail."


def test_a_kind_has_defaults(own: Registry) -> None:
    job("later")(later)
    kind = own.get("later")
    assert (kind.queue, kind.priority, kind.max_attempts, kind.timeout) == ("default", 0, 5, None)
    assert isinstance(kind.backoff, Exponential)
    assert kind.is_async
    assert kind.description == ""


def test_the_same_function_may_be_declared_again_but_no_other(own: Registry) -> None:
    """A module that is imported under a reload declares its kinds again; two functions for one kind are a mistake."""
    job("mail.send")(handler)
    job("mail.send", priority=3)(handler)
    assert own.get("mail.send").priority == 3
    with pytest.raises(ConfigurationError, match=r"declared twice: .*handler and .*later"):
        job("mail.send")(later)
    assert own.get("mail.send").fn is handler


def test_an_unknown_kind_is_refused_with_the_nearest_name(own: Registry) -> None:
    job("mail.send")(handler)
    with pytest.raises(UnknownKind, match=r'Did you mean "mail\.send"') as caught:
        own.get("mail.sent")
    assert caught.value.suggestion == "mail.send"
    with pytest.raises(UnknownKind) as caught:
        own.get("zzz")
    assert caught.value.suggestion is None
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", ["os.system\n", "", " mail", "a b", "ü", "x" * 101, "-a", "a/b", "a\x00"])
def test_a_name_that_is_none_is_refused(own: Registry, name: str) -> None:
    with pytest.raises(ConfigurationError, match="kind"):
        job(name)
    with pytest.raises(ConfigurationError, match="queue"):
        job("fine", queue=name)
    assert own.names() == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 7 * 86400 + 1}, "timeout"),
    ],
)
def test_an_option_out_of_range_is_refused_where_it_stands(
    own: Registry, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        job("mail.send", **options)
    assert "mail.send" not in own


def test_kinds_come_in_the_order_of_their_names(own: Registry) -> None:
    for name in ("b", "c", "a"):
        job(name)(handler)
    assert own.names() == ["a", "b", "c"]
    assert [kind.name for kind in own] == ["a", "b", "c"]
    assert all(isinstance(kind, JobKind) for kind in own)


def test_a_lookup_never_imports() -> None:
    with pytest.raises(UnknownKind):
        module.registry.get("this.module.does.not.exist.function")
    with pytest.raises(UnknownKind):
        module.registry.get("os.system")


def test_handlers_are_found_in_installed_apps_and_named_modules(settings: Any) -> None:
    settings.OPSCHED = {"HANDLER_MODULES": ["tests.jobs.kinds"]}
    module.autodiscover()
    assert {"http.request", "command.run", "django.call_command", "test.echo"} <= set(module.registry.names())


def test_a_named_module_that_is_missing_is_loud(settings: Any) -> None:
    settings.OPSCHED = {"HANDLER_MODULES": ["tests.jobs.no_such_module"]}
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        module.autodiscover()
