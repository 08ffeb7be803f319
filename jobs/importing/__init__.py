"""Recorded workflows from files: bytes to JSON (`reading`), JSON to tasks (`wfformat`), tasks to jobs (`playing`).

Used by `manage.py import_workflow`. A file is refused whole, with the place, before a row is written.
"""
