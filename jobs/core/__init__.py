"""The pure core: ordering, time, retries, graphs and cron as plain values.

Nothing here knows Django, does I/O or reads a clock: whoever calls passes `now`. That is why every promise in this
package can be tested against a model of a few lines. It must not import anything but the standard library and croniter.
"""

from __future__ import annotations
