"""How handlers are run, one module for each way: `threads`, `coroutines`; what they share is in `attempts`.

`jobs/executor.py` puts them together and is what the rest of the app talks to. Nothing here writes to a job.
"""
