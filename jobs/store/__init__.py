"""Everything that changes a job. Each function works in the caller's transaction and appends the events of its change.

`submitting` puts jobs in, with unique keys through `uniqueness`; `claiming` takes them, under limits `limiting`;
`ending` records how attempts end; `moving`, `rearranging` and `timing` are for jobs nobody runs, `letters` and `runs`
for dead letters, `workers` for heartbeat and rescue, `workflows` for children and counts, `telling` for log lines and
progress, `effects` for what `ctx.once` did, `idempotency` for answers to requests.
"""
