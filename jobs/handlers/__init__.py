"""The handlers that come with opsched. Importing this package declares their kinds; autodiscovery does that.

Each module may be imported by itself; none of them touches the network, starts a program or makes a query on
import.
"""

from __future__ import annotations

from jobs.handlers import commands, http, management, trace

__all__ = ["commands", "http", "management", "trace"]
