"""From an outcome to a transition: a table of examples, and the bounds that no handler can pass."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jobs import Cancel, Completed, Discard, Reject, Retry, Snooze
from jobs.completion import backoff_from, decide, failure, outcome_of
from jobs.core.backoff import Fixed
from jobs.errors import JobCancelled, PermanentError
from jobs.outcomes import Failed, GiveBack, Outcome
from jobs.states import MOVES, State
from jobs.store.values import ClaimedJob, Transition


def job(*, attempt: int = 1, max_attempts: int = 3) -> ClaimedJob:
    return ClaimedJob(
        id=1,
        kind="k",
        queue="q",
        attempt=attempt,
        max_attempts=max_attempts,
        payload="{}",
        options=None,
        workflow_id=None,
        task="",
    )


def decided(outcome: Outcome, **of: int) -> Transition:
    return decide(job(**of), outcome, backoff=lambda: Fixed(seconds=8), max_result=100, rng=random.Random(1))


@pytest.mark.parametrize(
    ("outcome", "target", "delay", "refund"),
    [
        (Completed(None), State.COMPLETED, 0, False),
        (Completed({"a": 1}), State.COMPLETED, 0, False),
        (Retry(after=5), State.RETRYABLE, 5, False),
        (Retry(after=None), State.RETRYABLE, 8, False),
        (Retry(after=-5), State.RETRYABLE, 0, False),
        (Retry(after=float("inf")), State.RETRYABLE, 365 * 86400, False),
        (Reject(["a"]), State.RETRYABLE, 8, False),
        (Failed(error_class="E", message="m"), State.RETRYABLE, 8, False),
        (Failed(error_class="E", message="m", permanent=True), State.DEAD, 0, False),
        (Snooze(20), State.SCHEDULED, 20, True),
        (Snooze(-3), State.SCHEDULED, 0, True),
        (Snooze(1e300), State.SCHEDULED, 365 * 86400, True),
        (GiveBack("stop"), State.AVAILABLE, 0, True),
        (Discard("no"), State.DISCARDED, 0, False),
        (Cancel("no"), State.CANCELLED, 0, False),
    ],
)
def test_each_outcome_has_its_transition(outcome: Outcome, target: State, delay: float, refund: bool) -> None:
    found = decided(outcome)
    assert (found.target, found.delay, found.refund) == (target, delay, refund)
    assert any(State.RUNNING in move.sources and target in move.targets for move in MOVES.values())


@pytest.mark.parametrize("outcome", [Retry(after=1), Reject(["a"]), Failed(error_class="E", message="m")])
def test_the_last_attempt_ends_as_a_dead_letter(outcome: Outcome) -> None:
    found = decided(outcome, attempt=3, max_attempts=3)
    assert found.target is State.DEAD
    assert found.error is not None
    assert len(found.error.fingerprint) == 32


def test_a_result_that_cannot_be_kept_is_said_and_not_lost() -> None:
    for result in ({1, 2}, "x" * 200, float("nan"), "\x00"):
        found = decided(Completed(result))
        assert found.target is State.DEAD
        assert found.error is not None
        assert found.error.error_class == "InvalidResult"


def _raised(number: int, *, elsewhere: bool = False) -> Outcome:
    def here() -> None:
        raise ValueError(f"order {number} of 'someone' failed at 0x7f{number:x}")

    def there() -> None:
        raise ValueError(f"order {number} of 'someone' failed at 0x7f{number:x}")

    try:
        (there if elsewhere else here)()
    except ValueError as error:
        return failure(error)
    raise AssertionError


def fingerprint(outcome: Outcome) -> str:
    error = decided(outcome).error
    assert error is not None
    return error.fingerprint


def test_the_same_error_at_the_same_place_has_one_fingerprint() -> None:
    assert fingerprint(_raised(1)) == fingerprint(_raised(9999))
    assert fingerprint(_raised(1)) != fingerprint(_raised(1, elsewhere=True))


def test_what_a_handler_raises_is_bounded_and_storable() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("x\x00\ud800" * 10_000)

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is the nonsense under test
        deep(200)
    outcome = failure(caught.value)
    assert isinstance(outcome, Failed)
    assert len(outcome.message) <= 4_000
    assert len(outcome.traceback) <= 20_100
    assert "\x00" not in outcome.message + outcome.traceback
    (outcome.message + outcome.traceback).encode("utf-8")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Snooze(1), Snooze),
        (JobCancelled("x"), Cancel),
        (PermanentError("x"), Failed),
        (KeyError("x"), Failed),
    ],
)
def test_what_is_raised_becomes_an_outcome(error: BaseException, kind: type[Outcome]) -> None:
    assert isinstance(failure(error), kind)


@pytest.mark.parametrize("value", [None, 5, {"a": 1}, [1]])
def test_what_is_returned_becomes_completed(value: Any) -> None:
    found = outcome_of(value)
    assert isinstance(found, Completed)
    assert found.result == value


def test_an_outcome_cannot_be_changed_but_can_be_raised() -> None:
    outcome = Retry(after=5)
    with pytest.raises(AttributeError):
        outcome.after = 6
    with pytest.raises(Retry) as caught:
        raise outcome
    assert caught.value.after == 5


def test_a_job_may_have_its_own_backoff() -> None:
    default = Fixed(seconds=1)
    assert backoff_from(None, default) is default
    assert backoff_from('{"timeout": 3}', default) is default
    assert backoff_from('{"backoff": {"type": "fixed", "seconds": 9, "jitter": "none"}}', default) == Fixed(
        seconds=9
    )


def test_errors_that_were_given_as_one_text_are_told_as_one() -> None:
    for given in ("too long", ["too long"]):
        found = decided(Reject(given))  # type: ignore[arg-type]
        assert found.error is not None
        assert found.error.message == "too long"


_WRONG: Any = ["soon", None, 5]


def test_a_failure_whose_classes_cannot_be_read_ends_its_attempt_and_not_the_worker() -> None:
    """A handler may raise one of its own making."""
    outcome = Failed(error_class="E", message="m", classes=_WRONG[2])
    found = decide(
        job(), outcome, backoff=lambda: Fixed(seconds=8), max_result=100, rng=random.Random(1), policies=dict
    )
    assert found.target is State.DEAD
    assert found.error is not None
    assert found.error.error_class == "InvalidOutcome"


@pytest.mark.parametrize(
    "outcome",
    [
        Snooze(_WRONG[0]),
        Snooze(_WRONG[1]),
        Snooze(float("nan")),
        Retry(after=_WRONG[0]),
        Retry(after=float("nan")),
        Discard(_WRONG[1]),
        Cancel(_WRONG[2]),
        Reject(_WRONG[2]),
    ],
)
def test_a_malformed_outcome_ends_its_attempt_and_not_the_worker(outcome: Outcome) -> None:
    found = decided(outcome)
    assert found.target is State.DEAD
    assert found.error is not None
    assert found.error.error_class == "InvalidOutcome"
