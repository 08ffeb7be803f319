"""Which function runs a kind: filled by `@job`, read by submission and by the workers.

A kind is a name, never an import path, so that nothing in the database can choose code. Handlers are found in
`handlers.py` of every installed app and in the modules named by `OPSCHED["HANDLER_MODULES"]`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.utils.module_loading import autodiscover_modules
from pydantic import BaseModel

from jobs import conf
from jobs.core.backoff import Backoff, Exponential
from jobs.errors import ConfigurationError, UnknownKind

__all__ = ["NAME", "JobKind", "Registry", "autodiscover", "job", "registry"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z")
Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """A kind as declared: its function and the defaults of its jobs. `timeout` in seconds, None for no limit.

    `atomic`: its writes and its completion are one transaction.
    isolation: "thread", or "process" for a child that can be killed; memory_mb limits the latter.
    """

    name: str
    fn: Callable[..., Any]
    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff
    timeout: float | None
    payload_model: type[BaseModel] | None
    is_async: bool
    description: str
    atomic: bool = False
    isolation: str = "thread"
    memory_mb: int | None = None
    retry: Mapping[str, Backoff | None] = field(default_factory=dict)


class Registry:
    """A set of kinds by name. The module's `registry` is the process's; tests may make their own."""

    def __init__(self) -> None:
        self._kinds: dict[str, JobKind] = {}

    def add(self, kind: JobKind) -> None:
        known = self._kinds.get(kind.name)
        if known is not None and _where(known.fn) != _where(kind.fn):
            raise ConfigurationError(
                f'kind "{kind.name}" is declared twice: {_where(known.fn)} and {_where(kind.fn)}'
            )
        self._kinds[kind.name] = kind

    def get(self, name: str) -> JobKind:
        """The kind of that name. Raises UnknownKind with the nearest name."""
        found = self._kinds.get(name)
        if found is None:
            near = difflib.get_close_matches(name, list(self._kinds), n=1, cutoff=0.5)
            raise UnknownKind(name, near[0] if near else None)
        return found

    def names(self) -> list[str]:
        return sorted(self._kinds)

    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[JobKind]:
        return iter([self._kinds[name] for name in self.names()])


registry = Registry()


def _where(fn: Callable[..., Any]) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


def job(
    kind: str,
    *,
    queue: str = "default",
    priority: int = 0,
    max_attempts: int = 5,
    backoff: Backoff | None = None,
    timeout: float | None = None,
    payload_model: type[BaseModel] | None = None,
    atomic: bool = False,
    isolation: str = "thread",
    memory_mb: int | None = None,
    retry: Mapping[type[BaseException], Backoff | None] | None = None,
) -> Callable[[Handler], Handler]:
    """Declare the handler of a kind: `fn(ctx, payload)`, sync or async, returning JSON or an outcome.

    queue, priority (-100..100, higher first), max_attempts (1..1000), backoff (`jobs.core.backoff`), timeout (seconds)
    are defaults of its jobs. With `payload_model` (pydantic) a payload that does not fit is refused at submission.
    With `atomic` what the handler writes to the default database commits together with its completion, or not at all.
    isolation "process" runs the handler in a child process that is killed when its time is up and gets no more memory
    than memory_mb. `retry` says by class of exception what follows: a backoff, or None for
    a dead letter at once. Raises ConfigurationError where an option is out of range.
    """
    _check_options(kind, queue=queue, priority=priority, max_attempts=max_attempts, timeout=timeout)
    _check_isolation(kind, isolation, memory_mb)
    policies = _policies(kind, retry or {})

    if atomic and isolation == "process":
        raise ConfigurationError(
            f'kind "{kind}": atomic=True needs isolation="thread": its worker records its end'
        )

    def declare(fn: Handler) -> Handler:
        if atomic and inspect.iscoroutinefunction(fn):
            raise ConfigurationError(
                f'kind "{kind}": atomic=True needs a sync handler, since a transaction of Django\'s belongs to a thread'
            )
        registry.add(
            JobKind(
                name=kind,
                fn=fn,
                queue=queue,
                priority=priority,
                max_attempts=max_attempts,
                backoff=backoff or Exponential(),
                timeout=timeout,
                payload_model=payload_model,
                is_async=inspect.iscoroutinefunction(fn),
                description=(inspect.getdoc(fn) or "").split("\n", 1)[0],
                atomic=atomic,
                isolation=isolation,
                memory_mb=memory_mb,
                retry=policies,
            )
        )
        return fn

    return declare


def _check_options(kind: str, *, queue: str, priority: int, max_attempts: int, timeout: float | None) -> None:
    for what, value in (("kind", kind), ("queue", queue)):
        if not NAME.match(value):
            raise ConfigurationError(f'{what} "{value}": 1 to 100 letters, digits, "_", ".", ":" or "-"')
    if not -100 <= priority <= 100:
        raise ConfigurationError(f'kind "{kind}": priority {priority} is not within -100..100')
    if not 1 <= max_attempts <= 1000:
        raise ConfigurationError(f'kind "{kind}": max_attempts {max_attempts} is not within 1..1000')
    if timeout is not None and not 0 < timeout <= 7 * 86400:
        raise ConfigurationError(f'kind "{kind}": timeout {timeout} is not within 0..604800 seconds')


def _policies(kind: str, retry: Mapping[type[BaseException], Backoff | None]) -> dict[str, Backoff | None]:
    for cls, policy in retry.items():
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ConfigurationError(f'kind "{kind}": retry has {cls!r}, which is no class of exceptions')
        if policy is not None and not isinstance(policy, Backoff):
            raise ConfigurationError(
                f'kind "{kind}": retry for {cls.__name__} must be one of jobs.core.backoff, or None for a dead letter'
            )
    return {f"{cls.__module__}.{cls.__qualname__}": policy for cls, policy in retry.items()}


def _check_isolation(kind: str, isolation: str, memory_mb: int | None) -> None:
    if isolation not in ("thread", "process"):
        raise ConfigurationError(f'kind "{kind}": isolation "{isolation}" is neither "thread" nor "process"')
    if memory_mb is None:
        return
    if isolation != "process":
        raise ConfigurationError(f'kind "{kind}": memory_mb needs isolation="process"')
    if not 1 <= memory_mb <= 1024 * 1024:
        raise ConfigurationError(f'kind "{kind}": memory_mb {memory_mb} is not within 1..1048576')


def autodiscover() -> None:
    """Import every place handlers are declared. Called once when the apps are ready; makes no query."""
    autodiscover_modules("handlers")
    for name in conf.get().HANDLER_MODULES:
        importlib.import_module(name)
