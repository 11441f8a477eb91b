"""The app: ``APP=sample_app.main:app``."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from . import items, streams, trouble

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    logger.info("sample app started")
    yield
    logger.info("sample app stopped")


app = FastAPI(title="Sample", lifespan=lifespan)
app.include_router(items.router, prefix="/api")
app.include_router(streams.router)
app.include_router(trouble.router, prefix="/trouble")

admin = FastAPI(title="Sample administration")
app.mount("/admin", admin)


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "world"}


@app.get("/old")
async def moved() -> RedirectResponse:
    return RedirectResponse("/", status_code=308)


@admin.get("/users/{user_id}")
def user(user_id: int) -> dict[str, int]:
    return {"user_id": user_id}
