"""The priority queue and the timing wheel against the designs that lost and the packages others use.

    python -m benchmarks.structures [--sizes 100000,1000000] [--rounds 3] [--packages FOLDER] [--clock wall|cpu]

Thousands of operations a second for each size, structure and operation, best of the rounds; the last line is JSON.
pqdict, HeapDict and sortedcontainers take part when they are installed, or found in the folder given. `--clock cpu`
counts processor time: steadier where the machine has other work.
"""

from __future__ import annotations

import argparse
import gc
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any

from benchmarks.report import Row, finish, say
from benchmarks.rivals import QUEUES, TIMERS
from jobs.core.priority_queue import IndexedPriorityQueue
from jobs.core.timing_wheel import SLOT_US, SLOTS, TimingWheel

HOUR_US = SLOTS * SLOT_US
NOW_US = 1_800_000_000 * SLOT_US

Case = list[tuple[str, int, Callable[[], object]]]


def seeded() -> Random:
    return Random(1)  # noqa: S311  # keys, not secrets


class QueueRun:
    """Push all, change a half, remove a half, pop the rest. Keys as the scheduler has them."""

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        rng = seeded()
        self.queue = make()
        self.size = size
        self.first, self.second = keys(size, rng), keys(size, rng)
        shuffled = list(range(size))
        rng.shuffle(shuffled)
        self.changed, self.removed = shuffled[: size // 2], shuffled[size // 4 : size // 4 * 3]

    def case(self) -> Case:
        left = self.size - len(self.removed)
        return [
            ("push", self.size, self.push),
            ("update", len(self.changed), self.update),
            ("remove", len(self.removed), self.remove),
            ("pop", left, lambda: self.pop(left)),
        ]

    def mixed_case(self) -> Case:
        """Fill and empty at once, where sorting shows whoever pays for it; then full again, one out and one in."""
        return [
            ("push+pop", self.size, lambda: (self.push(), self.pop(self.size))),
            ("refill", self.size, self.push),
            ("hold", self.size, self.hold),
        ]

    def push(self) -> None:
        put = self.queue.push
        for item, key in enumerate(self.first):
            put(item, key)

    def update(self) -> None:
        change, second = self.queue.update, self.second
        for item in self.changed:
            change(item, second[item])

    def hold(self) -> None:
        put, take = self.queue.push, self.queue.pop
        for key in self.second:
            put(take(), key)

    def remove(self) -> None:
        drop = self.queue.remove
        for item in self.removed:
            drop(item)

    def pop(self, count: int) -> None:
        take = self.queue.pop
        for _ in range(count):
            take()


def queue_case(make: Callable[[], Any], size: int) -> Case:
    return QueueRun(make, size).case()


def mixed_case(make: Callable[[], Any], size: int) -> Case:
    return QueueRun(make, size).mixed_case()


def keys(size: int, rng: Random) -> list[tuple[float, int, int, int]]:
    return [(rng.random() * 1e9, rng.getrandbits(40), rng.getrandbits(40), item) for item in range(size)]


def timer_case(make: Callable[[int], Any], size: int) -> Case:
    """Schedule over the coming hour, cancel a half, then let the hour pass second by second."""
    rng, timers = seeded(), make(NOW_US)
    due = [NOW_US + rng.randrange(HOUR_US) for _ in range(size)]
    cancelled = rng.sample(range(size), size // 2)

    def schedule() -> None:
        insert = timers.insert
        for timer, at in enumerate(due):
            insert(timer, at)

    def cancel() -> None:
        forget = timers.cancel
        for timer in cancelled:
            forget(timer)

    def fire() -> None:
        fired = sum(len(timers.advance(NOW_US + second * SLOT_US)) for second in range(1, SLOTS + 1))
        if fired != size - len(cancelled):
            raise AssertionError(f"{fired} timers fired, {size - len(cancelled)} were due")

    return [
        ("schedule", size, schedule),
        ("cancel", len(cancelled), cancel),
        ("fire", size - len(cancelled), fire),
    ]


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(
    case: Callable[[], Case], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, int]:
    """Thousands of operations a second, best of `rounds`; the collector runs before, not during."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, count, run in case():
            gc.collect()
            started = clock()
            run()
            rate = count / (clock() - started) / 1_000
            best[name] = max(best.get(name, 0.0), rate)
    return {name: round(rate) for name, rate in best.items()}


def bytes_per_timer(size: int) -> int:
    """What a resident timer takes, without the id, which is the caller's."""
    ids = list(range(size))
    rng = seeded()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    wheel: TimingWheel[int] = TimingWheel(NOW_US)
    for timer in ids:
        wheel.insert(timer, NOW_US + rng.randrange(HOUR_US))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) // len(wheel)


def queues(*, whole: bool = False) -> dict[str, Callable[[], Any]]:
    """Ours first, then the rivals that are installed; `whole`: all of them are to be."""
    found: dict[str, Callable[[], Any]] = {"IndexedPriorityQueue": IndexedPriorityQueue}
    for name, (package, make) in QUEUES.items():
        if package is None:
            found[name] = make
        elif find_spec(package):
            found[name] = partial(make, import_module(package))
        elif whole:
            raise AssertionError(f"{package} is not installed there: who is ahead of whom cannot be said")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="100000,1000000", help="how many entries, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packages", default="", help="a folder with pqdict, heapdict, sortedcontainers")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    if options.packages:
        sys.path.append(options.packages)
    rows: list[Row] = []
    result: dict[str, Any] = {}
    for size in map(int, options.sizes.split(",")):
        queue = {
            name: both_cases(make, size, options)
            for name, make in queues(whole=bool(options.packages)).items()
        }
        timers = {
            name: measure(partial(timer_case, make, size), options.rounds, CLOCKS[options.clock])
            for name, make in ({"TimingWheel": TimingWheel} | TIMERS).items()
        }
        resident = bytes_per_timer(size)
        say(size, queue, timers, resident)
        result[str(size)] = {"queue": queue, "timers": timers, "bytes_per_timer": resident}
        rows += rows_of(size, "IndexedPriorityQueue", queue, ("runs, flat entries",))
        rows += rows_of(size, "TimingWheel", timers, ("bare hashed wheel",))
        rows.append(
            Row(
                what=f"{size:,} resident timers, B each",
                figure=str(resident),
                bar="at most 400",
                met=resident <= 400,
            )
        )
    finish("structures", rows, python=platform.python_version(), unit="1000 operations/s", **result)


def both_cases(make: Callable[[], Any], size: int, options: argparse.Namespace) -> dict[str, int]:
    clock = CLOCKS[options.clock]
    return measure(partial(queue_case, make, size), options.rounds, clock) | measure(
        partial(mixed_case, make, size), options.rounds, clock
    )


def rows_of(size: int, ours: str, found: dict[str, dict[str, int]], left_out: tuple[str, ...]) -> list[Row]:
    """Ours beside the fastest other one, operation by operation.

    Left out: our own other design, and what does less than is promised here. The JSON and the text above have them.
    """
    rows = []
    for operation, mine in found[ours].items():
        if operation == "refill":
            continue
        others = {name: rates[operation] for name, rates in found.items() if name not in (ours, *left_out)}
        best = max(others, key=lambda name: others[name])
        rows.append(
            Row(
                what=f"{ours}, {operation} at {size:,}, k/s",
                figure=f"{mine:,} against {others[best]:,} ({best})",
                bar="ahead of every one",
                met=mine >= others[best],
            )
        )
    return rows


if __name__ == "__main__":
    main()
