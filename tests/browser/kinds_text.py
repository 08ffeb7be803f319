"""What the tests and the kinds both know, without declaring the kinds in the tests' own process."""

from __future__ import annotations

__all__ = ["HOSTILE"]

HOSTILE = '<img src=x onerror="window.hacked = true">\'); alert(1) //'
