"""How handlers are run, one module for each way: `threads`, `coroutines`, `atomic`, `processes`.

What they share is in `attempts`.
`jobs/executor.py` puts them together and is what the rest of the app talks to. Only `atomic` writes to a job: its
completion, through the store, in the transaction of its handler.
"""
