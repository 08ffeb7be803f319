"""Nothing that is put into a field can become another field, or another event, for the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import framing

nasty = st.lists(st.sampled_from(["\r", "\n", "\x00", ":", " ", "a", "é", "\u2028", "data: ", "id"])).map(
    "".join
)


def _parse(wire: bytes) -> list[tuple[str | None, str | None, str | None]]:
    """The algorithm of the HTML standard, written down from it: (id, event, data) of each dispatched event."""
    text = wire.decode().replace("\r\n", "\n").replace("\r", "\n")
    events: list[tuple[str | None, str | None, str | None]] = []
    fields: dict[str, str] = {}
    data: list[str] = []
    for line in text.split("\n"):
        if not line:
            if data:
                events.append((fields.get("id"), fields.get("event"), "\n".join(data)))
            fields, data = {}, []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name:
            fields[name] = value
    return events


@given(nasty)
def test_data_comes_back_as_one_event_whatever_is_in_it(data: str) -> None:
    expected = data.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")
    assert _parse(framing.event(data=data, name="n", id="1")) == [("1", "n", expected)]


@given(nasty)
def test_a_comment_never_becomes_an_event(text: str) -> None:
    assert _parse(framing.comment(text) + framing.event(data="x")) == [(None, None, "x")]


@pytest.mark.parametrize("evil", ["a\nb", "a\rb", "a\x00b", "\n", "1\r\ndata: forged"])
@pytest.mark.parametrize("field", ["id", "name"])
def test_a_break_in_a_field_is_refused(field: str, evil: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        framing.event(data="x", **{field: evil})


def test_a_comment_ends_no_event() -> None:
    """Readers that dispatch on every blank line would report an empty event for each ping."""
    assert framing.comment("ping") == b": ping\n"


def test_the_retry_time_is_a_number() -> None:
    assert framing.retry(2000) == b"retry: 2000\n"
