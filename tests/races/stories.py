"""Short stories that between them run every statement that writes; each is told again with one of its writes failing.

`act` is repeated after a lost connection, as whoever calls it does: the worker's loops, an operator, a client. What
`facts` asserts holds in the end, whichever write failed and however. A statement that no story runs makes
`test_write_faults.py` fail: add it to the story it belongs to.
"""

from __future__ import annotations

from tests.races.stories_bounds import BOUNDS
from tests.races.stories_clients import CLIENTS
from tests.races.stories_letters import LETTERS
from tests.races.stories_loops import LOOPS
from tests.races.stories_operators import OPERATORS
from tests.races.stories_workers import WORKERS

__all__ = ["STORIES"]

STORIES = [*CLIENTS, *WORKERS, *LOOPS, *OPERATORS, *LETTERS, *BOUNDS]
