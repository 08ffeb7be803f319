"""Fingerprints: what of an error makes a group of dead letters, and what does not."""

from __future__ import annotations

import time

import pytest

from jobs.fingerprints import fingerprint

FRAMES = 'Traceback\n  File "/srv/releases/{release}/shop/orders.py", line {line}, in charge\n    pay()\n'


def of(
    message: str, *, error: str = "ValueError", release: str = "1", line: int = 7, name: str = "charge"
) -> str:
    frames = FRAMES.format(release=release, line=line).replace("charge", name)
    return fingerprint(error, message, frames)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 12 failed", "order 9001 failed"),
        ("<Order object at 0x7f12ab>", "<Order object at 0x10ff00ee>"),
        ("no user 'ada'", "no user 'grace'"),
        ('no user "ada"', 'no user "grace"'),
        ("key 6f1c9a52-93b5-4b0e-8f3d-0a1b2c3d4e5f", "key 00000000-93b5-4b0e-8f3d-ffffffffffff"),
        ("object 507f1f77bcf86cd799439011 is gone", "object 5f3ab0c1d2e3f4a5b6c7d8e9 is gone"),
        (
            "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "commit a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
        ),
        ("order ord_8f14e45fce lost", "order ord_c9f0f895fb lost"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BX5ZZKBKACTAV9WEVGEMMVS0"),
        ("mail to ada@example.org refused", "mail to grace.h+x@mail.example refused"),
        ("connect to 10.0.0.1:5432", "connect to 192.168.17.4:6432"),
        ("connect to fe80::1ff:fe23:4567:890a", "connect to 2001:db8::8a2e:370:7334"),
        ("at 2030-01-31T12:00:00+01:00", "at 2031-11-02T23:59:59+02:00"),
    ],
)
def test_what_the_message_is_about_makes_no_other_group(one: str, other: str) -> None:
    assert of(one) == of(other)


def test_neither_another_line_nor_another_release_of_the_same_code_makes_another_group() -> None:
    assert of("x", release="20260101120000", line=7) == of("x", release="20261122034500", line=9)
    assert of("x", release="9fceb02d0ae5") == of("x", release="a94a8fe5ccb1")


def test_another_error_function_or_message_makes_another_group() -> None:
    different = [
        of("the disk is full"),
        of("the mail server is away"),
        of("the disk is full", error="OSError"),
        of("the disk is full", name="refund"),
        fingerprint("ValueError", "the disk is full", ""),
    ]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize(
    "hostile", ["a" * 100_000, "a-" * 50_000, "'" * 99_999, "a:" * 50_000, "1" * 100_000, "@." * 50_000]
)
def test_no_message_holds_the_worker_up(hostile: str) -> None:
    began = time.process_time()
    assert len(of(hostile)) == 32
    assert time.process_time() - began < 0.5
