"""Prices in a customer's own way of writing them."""

from babel.numbers import format_currency
from fastapi import FastAPI

app = FastAPI(title="Shop")


@app.get("/prices/{item_id}")
async def price(item_id: int, locale: str = "en_GB") -> dict[str, str]:
    """Return one item's price."""
    return {"price": format_currency(item_id * 1.25, "EUR", locale=locale)}
