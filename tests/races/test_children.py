"""Parents that end at the same moment: their child is let go once, never not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from jobs.models import Job, Ready, Workflow
from jobs.submit import JobSpec, submit_workflow
from tests.races.harness import KIND, Hand, dead, together
from tests.support_consistency import assert_consistent, disagreements

pytestmark = pytest.mark.django_db(transaction=True)

Hands = Callable[..., Hand]


def submit_fan(width: int, children: int = 1) -> list[int]:
    """Parents first; each child waits for all of them."""
    parents = [f"p{number}" for number in range(width)]
    specs = [JobSpec(kind=KIND, key=key, payload={"task": key, "seconds": 0}) for key in parents]
    specs += [
        JobSpec(kind=KIND, key=f"c{number}", parents=parents, payload={"task": "c", "seconds": 0})
        for number in range(children)
    ]
    return [one.id for one in submit_workflow("fan", specs)[1]]


def end_both_at_once(hand: Hands, behind: Any) -> int:
    """Two parents of one child: the second completes while the first has not committed. The child's id."""
    *parents, child = submit_fan(2)
    one, other = hand("one"), hand("other")
    (first,), (second,) = one.claim(parents[:1]), other.claim(parents[1:])
    one.connection.execute("BEGIN")
    assert one.complete(first).released == 0
    told = behind(lambda: one.connection.execute("COMMIT"), lambda: other.complete(second))
    assert told.recorded == parents[1:]
    return child


def test_two_parents_completing_at_once_release_their_child_once(hand: Hands, behind: Any) -> None:
    child = end_both_at_once(hand, behind)
    assert Job.objects.get(pk=child).state == "available"
    assert Ready.objects.filter(job_id=child).count() == 1
    assert Workflow.objects.get().active == 1
    assert_consistent(connection.cursor())


NAIVE = """
SELECT d.child_id FROM jobs_dependency d
WHERE d.parent_id = ANY(%(parents)s::bigint[]) AND NOT EXISTS (
    SELECT 1 FROM jobs_dependency o JOIN jobs_job p ON p.id = o.parent_id
    WHERE o.child_id = d.child_id AND p.state <> 'completed'
)
GROUP BY d.child_id
"""


def test_asking_whether_all_parents_have_completed_loses_the_child(
    hand: Hands, spoilt: Any, behind: Any
) -> None:
    """The negative control: each of the two sees the other as running. They still meet at the workflow's counts, after
    both have looked."""
    spoilt("lower_pending", whole=NAIVE)
    child = end_both_at_once(hand, behind)
    assert Job.objects.get(pk=child).state == "blocked"
    assert any(str(child) in one for one in disagreements(connection.cursor()))


@pytest.mark.parametrize("seed", range(3))
def test_many_parents_in_many_hands_release_all_children_once(hand: Hands, seed: int) -> None:
    """Parents are spread over the hands at random and completed one by one: children share all of them."""
    import random

    ids = submit_fan(40, children=10)
    parents = ids[:40]
    random.Random(seed).shuffle(parents)
    hands = [hand(name) for name in "abcd"]
    shares = [one.claim(parents[number::4]) for number, one in enumerate(hands)]

    def complete_all(number: int) -> int:
        return sum(hands[number].complete(job).released for job in shares[number])

    released = together(*(lambda number=number: complete_all(number) for number in range(4)))
    assert sum(released) == 10
    assert Ready.objects.count() == 10
    assert_consistent(connection.cursor())


def test_a_parent_that_dies_while_another_completes_keeps_the_child_waiting(hand: Hands, behind: Any) -> None:
    *parents, child = submit_fan(2)
    one, other = hand("one"), hand("other")
    (first,), (second,) = one.claim(parents[:1]), other.claim(parents[1:])
    one.connection.execute("BEGIN")
    one.complete(first)
    behind(lambda: one.connection.execute("COMMIT"), lambda: other.end(dead(second)))
    assert Job.objects.get(pk=child).state == "blocked"
    assert Workflow.objects.get().state == "failed"
    assert_consistent(connection.cursor())
