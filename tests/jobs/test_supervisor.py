"""Real processes: children are started again when they crash, and end with their parent however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("supervised.py")


class Family:
    """A supervisor's process and the pids its children wrote down."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), mode],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def born(self) -> dict[int, int]:
        """pid: number of every child that ever began."""
        return {
            int(path.name.split("-")[1]): int(path.name.split("-")[0]) for path in self.folder.glob("?-*")
        }

    def children(self, count: int) -> list[int]:
        eventually(lambda: len(self.born()) >= count, timeout=20)
        return sorted(self.born())

    def ends(self, *, timeout: float = 10) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, errors


@pytest.fixture
def families(tmp_path: Path) -> Iterator[list[Family]]:
    made: list[Family] = []
    yield made
    for family in made:
        family.process.kill()
        for pid in family.born():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        family.process.wait(10)
        assert family.process.stderr is not None
        family.process.stderr.close()


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def gone(*pids: int) -> bool:
    return not any(alive(pid) for pid in pids)


def start(families: list[Family], folder: Path, mode: str = "polite") -> Family:
    families.append(Family(folder, mode))
    return families[-1]


def test_a_child_that_crashes_is_started_again_and_one_that_is_done_is_not(
    families: list[Family], tmp_path: Path
) -> None:
    family = start(families, tmp_path)
    first, second = family.children(2)
    os.kill(first, signal.SIGKILL)
    children = family.children(3)
    (third,) = set(children) - {first, second}
    assert (
        family.born()[third] == family.born()[first]
    )  # the same number: the same name in the list of workers
    os.kill(second, signal.SIGTERM)  # ends on purpose, with 0
    eventually(lambda: gone(second))
    os.kill(third, signal.SIGTERM)
    code, errors = family.ends()
    assert code == 0
    assert len(family.born()) == 3
    assert f"worker process {first} ended with -9; starting another" in errors


def test_term_ends_the_whole_family(families: list[Family], tmp_path: Path) -> None:
    family = start(families, tmp_path)
    children = family.children(2)
    family.process.send_signal(signal.SIGTERM)
    assert family.ends()[0] == 0
    assert gone(*children)
    assert len(family.born()) == 2


def test_the_second_term_is_passed_on_too(families: list[Family], tmp_path: Path) -> None:
    family = start(families, tmp_path, "stubborn")
    children = family.children(2)
    family.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        family.ends(timeout=0.4)
    assert not gone(*children)
    family.process.send_signal(signal.SIGTERM)
    assert family.ends()[0] == 0
    assert gone(*children)


def test_children_end_when_their_parent_is_killed(families: list[Family], tmp_path: Path) -> None:
    """Nobody can tell them: they see that the pipe has closed."""
    family = start(families, tmp_path)
    children = family.children(2)
    family.process.kill()
    eventually(lambda: gone(*children))


def test_children_that_keep_dying_stop_the_supervisor_and_say_why(
    families: list[Family], tmp_path: Path
) -> None:
    family = start(families, tmp_path, "hopeless")
    code, errors = family.ends(timeout=20)
    assert code == 1
    assert "worker processes keep dying; stopping" in errors
    assert "RuntimeError: no way to start" in errors


def test_children_that_are_killed_again_and_again_do_not_make_it_give_up(
    families: list[Family], tmp_path: Path
) -> None:
    """More often than errors at the start would be borne: whoever is killed would have gone on."""
    family = start(families, tmp_path)
    family.children(2)
    for killed in range(6):
        newest = max(family.folder.glob("?-*"), key=lambda path: path.stat().st_mtime_ns)
        os.kill(int(newest.name.split("-")[1]), signal.SIGKILL)
        family.children(3 + killed)
    family.process.send_signal(signal.SIGTERM)
    code, errors = family.ends()
    assert code == 0
    assert "keep dying" not in errors


def test_children_that_die_together_are_started_together(families: list[Family], tmp_path: Path) -> None:
    """With a pause for each the second would come two seconds after the first, as each pause takes two here."""
    family = start(families, tmp_path, "slow")
    for pid in family.children(2):
        os.kill(pid, signal.SIGKILL)
    family.children(4)
    born = sorted(path.stat().st_mtime for path in family.folder.glob("?-*"))
    assert born[3] - born[2] < 1.0
    assert sorted(family.born().values()) == [0, 0, 1, 1]


def test_term_while_it_waits_to_start_a_child_again_starts_none(
    families: list[Family], tmp_path: Path
) -> None:
    """The signal came between the crash and the restart: the new child would never have heard of it."""
    family = start(families, tmp_path, "slow")
    first, second = family.children(2)
    os.kill(first, signal.SIGKILL)
    parent = psutil.Process(family.process.pid)
    eventually(lambda: first not in [one.pid for one in parent.children()])  # reaped: the wait has begun
    family.process.send_signal(signal.SIGTERM)
    assert family.ends()[0] == 0
    assert gone(second)
    assert len(family.born()) == 2


def test_term_right_after_the_start_is_never_lost(families: list[Family], tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        family = start(families, folder)
        process = psutil.Process(family.process.pid)
        # Somewhere between its first fork and its first child's first line.
        eventually(process.children, interval=0.0005, timeout=20)
        family.process.send_signal(signal.SIGTERM)
        assert family.ends()[0] == 0
        assert gone(*family.born())
