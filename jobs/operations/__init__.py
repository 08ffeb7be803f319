"""The operations page of the admin: what goes on right now, live, and the few actions that cannot wait."""
