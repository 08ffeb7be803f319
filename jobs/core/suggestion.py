"""The nearest allowed word to a wrong one, for the sentence "did you mean …?".

Used by every refusal that names an unknown thing. It promises to be quick on hostile input: long words get no
suggestion, and of very many choices only the first few thousand are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

__all__ = ["did_you_mean", "nearest"]

_LONGEST_WORD = 100
_MOST_CHOICES = 2_000


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like `word`, whatever its case, or None when nothing is close."""
    if len(word) > _LONGEST_WORD:
        return None
    by_folded = {choice.casefold(): choice for choice in islice(choices, _MOST_CHOICES)}
    found = get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def did_you_mean(suggestion: str | None) -> str:
    """The end of an error sentence: `"; did you mean 'x'?"`, or nothing."""
    return f"; did you mean {suggestion!r}?" if suggestion else ""
