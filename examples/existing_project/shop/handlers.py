"""Found by opsched because it is called `handlers` and stands in an installed app."""

from __future__ import annotations

from typing import Any

from jobs import job
from jobs.context import JobContext
from shop.models import Invoice


@job("shop.invoice", queue="shop", max_attempts=3, timeout=30)
def write_invoice(ctx: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Write the invoice of one order."""
    invoice, created = Invoice.objects.get_or_create(order=payload["order"], defaults={"job": ctx.job_id})
    ctx.log(f"{invoice} {'written' if created else 'was there already'}")
    return {"invoice": invoice.pk}
