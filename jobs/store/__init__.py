"""Everything that changes a job. Each function works in the caller's transaction and appends the events of its change.

`submitting` puts jobs in, `claiming` takes them, `ending` records how attempts end, `moving` is for jobs nobody runs,
`workers` for heartbeat and rescue, `workflows` for children and counts, `telling` for log lines and
progress, `effects` for what `ctx.once` did.
"""
