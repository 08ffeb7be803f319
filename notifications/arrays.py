"""Arrays as PostgreSQL reads them: `'{1,2}'`, for parameters that the statement casts (`%(ids)s::bigint[]`).

The driver's own way from a list asks every element what it is; for a batch of 500 that took longer than the statement
that used it. Must be given nothing but numbers, or nothing but texts and None.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["numbers", "texts"]


def numbers(values: Sequence[int]) -> str:
    """An array of whole numbers."""
    return f"{{{str(list(values))[1:-1]}}}"


def texts(values: Sequence[str | None]) -> str:
    """An array of texts; None is NULL. A text must not hold NUL, which PostgreSQL refuses."""
    if not values:
        return "{}"
    if None not in values:
        joined = '","'.join(values)  # type: ignore[arg-type]  # there is no None among them
        # The usual case, for which no single text has to be looked at: the only quotes are those just set.
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return f'{{"{joined}"}}'
    return f"{{{','.join(map(_quoted, values))}}}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
