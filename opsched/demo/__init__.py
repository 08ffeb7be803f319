"""What `manage.py demo` shows: its kinds of jobs, its first workload, and the processes it runs. Not for production."""
