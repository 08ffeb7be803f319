"""What the shop keeps."""

from __future__ import annotations

from django.db import models


class Invoice(models.Model):
    """One for each order: the unique key makes the handler safe to run twice."""

    order = models.IntegerField(unique=True)
    job = models.BigIntegerField()

    def __str__(self) -> str:
        return f"invoice of order {self.order}"
