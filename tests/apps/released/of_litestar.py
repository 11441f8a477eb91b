"""An application of Litestar's."""

from litestar import Litestar, Router, get


@get("/orders/{order:int}")
async def order(order: int) -> dict[str, int]:
    """Return an order."""
    return {"order": order}


app = Litestar([Router("/shop", route_handlers=[order])])
