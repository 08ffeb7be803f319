"""Kinds that run in a child process, most of them to its harm; the child imports this module by its name."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from jobs import Completed, Discard, Snooze, job
from jobs.context import JobContext
from jobs.core.backoff import Fixed

__all__: list[str] = []

LATER = Fixed(seconds=60)


def isolated(name: str, **options: Any) -> Any:
    return job(f"isolated.{name}", queue="test", backoff=LATER, isolation="process", **options)


@isolated("who")
def who(ctx: JobContext, payload: dict[str, Any]) -> Any:
    ctx.log("here")
    ctx.progress(0.5, "half")
    score = int(Path("/proc/self/oom_score_adj").read_text())
    return {
        "pid": os.getpid(),
        "oom": score,
        "parent": os.getppid(),
        "key": ctx.idempotency_key,
        "payload": payload,
    }


@isolated("brisk", timeout=1.0)
def brisk(ctx: JobContext, payload: dict[str, Any]) -> float | None:
    return ctx.seconds_left()


@isolated("parents")
def parents(ctx: JobContext, payload: dict[str, Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone()
    return {"parents": ctx.parents(), "database": name}


@isolated("once")
def once(ctx: JobContext, payload: dict[str, Any]) -> Any:
    return ctx.once("isolated", lambda: {"job": ctx.job_id})


@isolated("leave")
def leave(ctx: JobContext, payload: dict[str, Any]) -> None:
    os._exit(payload["code"])


@isolated("crash")
def crash(ctx: JobContext, payload: dict[str, Any]) -> None:
    ctypes.string_at(0)


@isolated("loop", timeout=0.4)
def loop(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Blocks every signal, then keeps the interpreter to itself in C."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    re.match(r"(a+)+b", "a" * 60)


@isolated("endless")
def endless(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Never looks, keeps the interpreter to itself, and has started a program."""
    program = subprocess.Popen(["sleep", "600"])
    ctx.log(f"{os.getpid()} {program.pid}")
    re.match(r"(a+)+b", "a" * 60)


@isolated("hungry", memory_mb=100)
def hungry(ctx: JobContext, payload: dict[str, Any]) -> int:
    if payload.get("slowly"):
        return sum(len(part) for part in [bytearray(1024 * 1024) for _ in range(4096)])
    return len(bytearray(4 * 1024**3))


@isolated("modest", memory_mb=100)
def modest(ctx: JobContext, payload: dict[str, Any]) -> int:
    return len(bytearray(50 * 1024**2))


@isolated("leak")
def leak(ctx: JobContext, payload: dict[str, Any]) -> int:
    globals()["kept"] = bytearray(100 * 1024**2)
    return os.getpid()


@isolated("obedient", timeout=30)
def obedient(ctx: JobContext, payload: dict[str, Any]) -> None:
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.log(f"told: {ctx.cancel_reason}")
    ctx.raise_if_cancelled()


@isolated("later", timeout=30)
async def later(ctx: JobContext, payload: dict[str, Any]) -> str:
    await asyncio.sleep(payload.get("seconds", 0))
    return "awaited"


@isolated("late", timeout=0.2)
def late(ctx: JobContext, payload: dict[str, Any]) -> str:
    while not ctx.timed_out:
        time.sleep(0.01)
    return "too late"


@isolated("answer")
def answer(ctx: JobContext, payload: dict[str, Any]) -> Any:
    match payload["how"]:
        case "snooze":
            return Snooze(9)
        case "nonsense":
            return Snooze("soon")  # type: ignore[arg-type]
        case "unkeepable":
            return Completed({1, 2})
        case "large":
            return "x" * 300_000
        case "verbose":
            return Discard("x" * 5_000_000)
        case "exit":
            raise SystemExit(3)
        case _:
            raise ValueError("boom in a child")


@isolated("untidy")
def untidy(ctx: JobContext, payload: dict[str, Any]) -> bool:
    """Leaves a transaction open; says whether it found one."""
    found = connection.in_atomic_block
    transaction.atomic().__enter__()
    return found


@isolated("dies_talking")
def dies_talking(ctx: JobContext, payload: dict[str, Any]) -> bytes:
    """Ends in the middle of a long word."""
    threading.Timer(0.1, os._exit, (7,)).start()
    while True:
        ctx.log("x" * 4000)


@isolated("forks")
def forks(ctx: JobContext, payload: dict[str, Any]) -> Any:
    """Forks, and the copy comes back as well: it returns, exits or fails where the handler does."""
    copy = os.fork()
    ctx.log("x" * 4000)
    if not copy:
        match payload["copy"]:
            case "returns":
                return "from the copy"
            case "exits":
                sys.exit(5)
        raise ValueError("in the copy")
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])


@isolated("babbles")
def babbles(ctx: JobContext, payload: dict[str, Any]) -> str:
    """Writes into every socket it finds, one of which is the pipe to its worker; and on its output, which is none."""
    print("garbage\x00\x1b[2J", flush=True)  # noqa: T201 - what is tried here
    data = bytes.fromhex(payload["hex"])
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, data)
        except OSError:
            continue
    return "nobody has noticed"


@isolated("unsettles")
def unsettles(ctx: JobContext, payload: dict[str, Any]) -> list[int]:
    """Leaves something in its process that the next handler would find. Its own id, and that of a program."""
    program = 0
    match payload["how"]:
        case "folder":
            os.chdir(tempfile.gettempdir())
        case "environment":
            os.environ["TZ"] = "Pacific/Apia"
        case "alarm":
            signal.alarm(1)
        case "mask":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        case "handler":
            signal.signal(signal.SIGUSR1, lambda *_: None)
        case "program":
            program = subprocess.Popen(["sleep", "600"]).pid
    return [os.getpid(), program]


@job("threaded.holds_the_interpreter", queue="test")
def holds_it_in_a_thread(ctx: JobContext, payload: dict[str, Any]) -> list[float]:
    """When a loop in C began and ended that gives the interpreter back at its end only; half a second or more."""
    began = time.monotonic()
    re.match(r"(a+)+b", "a" * 23)
    return [began, time.monotonic()]


STAMPS: list[float] = []


@job("threaded.stamps", queue="test")
def stamps(ctx: JobContext, payload: dict[str, Any]) -> None:
    time.sleep(0.01)
    STAMPS.append(time.monotonic())
