"""Output as log lines: whole, bounded, clean, and honest about what was dropped."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.handlers.output import Limits, LineSink, LogLines

Logged = list[tuple[str, str]]


def lines_of(*pieces: bytes, limits: Limits | None = None, longest: int = 100) -> list[str]:
    logged: Logged = []
    lines = LogLines(lambda line, level: logged.append((level, line)), limits)
    sink = LineSink(lines, "info", longest=longest)
    for piece in pieces:
        sink.feed(piece)
    sink.close()
    lines.finish()
    return [line for _, line in logged]


def test_lines_are_put_together_across_pieces() -> None:
    assert lines_of(b"on", b"e\ntw", b"o\r\n\nend") == ["one", "two", "", "end"]


def test_nothing_gives_no_line() -> None:
    assert lines_of() == []
    assert lines_of(b"") == []


def test_a_character_in_two_pieces_stays_one() -> None:
    assert lines_of("ü".encode()[:1], "ü".encode()[1:]) == ["ü"]


def test_what_cannot_be_stored_is_replaced_or_removed() -> None:
    assert lines_of(b"a\xffb\x00c\x1b[31md\x7f\n\xc3") == [
        "a\N{REPLACEMENT CHARACTER}bc[31md",
        "\N{REPLACEMENT CHARACTER}",
    ]


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    assert lines_of(b"10 %\r50 %\r100 %\r\nnext") == ["100 %", "next"]


def test_a_long_line_is_cut_and_says_so() -> None:
    assert lines_of(b"x" * 60, b"x" * 60 + b"\ny\n") == ["x" * 100 + " … 20 characters dropped", "y"]


def test_the_first_and_the_last_lines_are_kept_and_the_gap_is_named() -> None:
    limits = Limits(lines=2, tail=3)
    kept = lines_of(b"".join(b"%d\n" % number for number in range(10)), limits=limits)
    assert kept == ["0", "1", "… 5 lines of output dropped …", "7", "8", "9"]


def test_no_gap_is_named_where_none_is() -> None:
    assert lines_of(b"0\n1\n2\n3\n4\n", limits=Limits(lines=2, tail=3)) == ["0", "1", "2", "3", "4"]
    assert lines_of(b"0\n1\n", limits=Limits(lines=2, tail=3)) == ["0", "1"]


def test_characters_are_bounded_as_lines_are() -> None:
    kept = lines_of(b"aaaa\nbbbb\ncccc\ndddd\n", limits=Limits(chars=9, tail=1))
    assert kept == ["aaaa", "bbbb", "… 1 lines of output dropped …", "dddd"]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 6), st.integers(1, 4))
def test_every_line_is_kept_in_order_or_counted(pieces: list[bytes], head: int, tail: int) -> None:
    whole = lines_of(b"".join(pieces), limits=Limits(lines=10_000))
    kept = lines_of(*pieces, limits=Limits(lines=head, tail=tail))
    if len(whole) <= head + tail:
        assert kept == whole
    else:
        gap = len(whole) - head - tail
        assert kept == [*whole[:head], f"… {gap} lines of output dropped …", *whole[-tail:]]
