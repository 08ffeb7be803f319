"""opsched beside the task queues others use, on the same machine, in turn."""
