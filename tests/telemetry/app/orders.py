"""The shipped service, and beside it somebody's route that fails for want of what it looks up."""

import logging

from opentelemetry import trace

from api.main import app

PRICES = {"tea": 4}
log = logging.getLogger("orders")


@app.get("/orders/{item}")
async def order(item: str) -> dict[str, int]:
    """Return what an item costs.

    Raises:
        KeyError: it has no price.

    """
    log.info("an order comes in")
    return {"price": price(item)}


def price(item: str) -> int:
    """Look the price up, in a span of its own."""
    with trace.get_tracer("orders").start_as_current_span("price"):
        return PRICES[item]
