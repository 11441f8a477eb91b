"""Routers in routers: ``/api/v1/items/{item_id}/parts/{part}``."""

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel

router = APIRouter()
v1 = APIRouter(prefix="/v1")
items = APIRouter(prefix="/items", tags=["items"])


class Item(BaseModel):
    name: str
    price: float


@items.get("/{item_id}")
async def read_item(item_id: int) -> Item:
    if item_id > 1000:
        raise HTTPException(404, "no such item")
    return Item(name=f"item {item_id}", price=item_id / 4)


@items.post("", status_code=201)
async def create_item(item: Item) -> Item:
    return item


@items.delete("/{item_id}", status_code=204)
async def delete_item(item_id: int) -> Response:
    return Response(status_code=204, headers={"x-deleted": str(item_id)})


@items.get("/{item_id}/parts/{part:path}")
def read_part(item_id: int, part: str) -> dict[str, str | int]:
    return {"item_id": item_id, "part": part}


@items.get("/{item_id}/price")
async def read_price(item_id: int, response: Response) -> dict[str, float]:
    """A GET that caches may keep."""
    response.headers["cache-control"] = "public, max-age=60"
    return {"price": item_id / 4}


v1.include_router(items)
router.include_router(v1)
