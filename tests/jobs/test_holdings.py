"""What a worker holds: grows after a claim committed, shrinks after an end did, and knows when a claim is used up."""

from __future__ import annotations

from jobs.holdings import Holdings
from jobs.states import State
from jobs.store.values import ClaimedJob, Transition


def claimed(number: int, *, claim: int = 1, attempt: int = 1) -> ClaimedJob:
    return ClaimedJob(
        id=number,
        kind="k",
        queue="q",
        attempt=attempt,
        max_attempts=5,
        payload="{}",
        options=None,
        workflow_id=None,
        task="",
        claim_id=claim,
    )


def ended(*jobs: ClaimedJob) -> list[Transition]:
    return [Transition(job=job, target=State.COMPLETED) for job in jobs]


def test_a_claim_is_finished_with_the_last_of_its_jobs() -> None:
    a, b, c = claimed(1), claimed(2), claimed(3, claim=2)
    held = Holdings()
    held.add([a, b, c], 5.0)
    assert (len(held), sorted(held.claims())) == (3, [1, 2])
    assert held.finished_claims(ended(a)) == []
    held.forget(ended(a))
    assert held.finished_claims(ended(b)) == [1]
    assert sorted(held.finished_claims(ended(b, c))) == [1, 2]
    held.forget(ended(b, c))
    assert (len(held), held.claims(), held.jobs()) == (0, [], [])


def test_asking_what_would_be_finished_changes_nothing() -> None:
    a = claimed(1)
    held = Holdings()
    held.add([a], 5.0)
    assert held.finished_claims(ended(a)) == held.finished_claims(ended(a)) == [1]


def test_a_later_claim_of_the_same_job_is_another_holding() -> None:
    """After being declared lost, a worker may claim the very job an old thread still runs."""
    old, new = claimed(1), claimed(1, claim=2, attempt=2)
    held = Holdings()
    held.add([old], 5.0)
    held.clear()
    held.add([new], 6.0)
    assert old not in held
    assert new in held
    assert held.by_age([old, new], 7.0) == ([new], [])


def test_forgetting_twice_is_forgetting_once() -> None:
    a, b = claimed(1), claimed(2)
    held = Holdings()
    held.add([a, b], 5.0)
    held.forget(ended(a))
    held.forget(ended(a))
    assert held.finished_claims(ended(b)) == [1]


def test_the_old_are_told_from_the_young_and_strangers_are_dropped() -> None:
    held = Holdings()
    a, b, stranger = claimed(1), claimed(2), claimed(3)
    held.add([a], 5.0)
    held.add([b], 7.0)
    assert held.by_age([stranger, b, a], 6.0) == ([a], [b])
    held.forget(ended(a))
    assert held.by_age([a, b], 6.0) == ([], [b])
