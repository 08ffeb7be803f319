"""The product's settings with short times, so that the live tests need not wait half a minute for a ping."""

from __future__ import annotations

from opsched.settings import *  # noqa: F403
from opsched.settings import OPSCHED as _OPSCHED

OPSCHED: dict[str, object] = {  # type: ignore[no-redef]
    **_OPSCHED,
    "EVENTS": {"PING_SECONDS": 1, "STALL_SECONDS": 3, "RECHECK_SECONDS": 1},
}
