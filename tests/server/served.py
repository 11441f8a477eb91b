"""The app the workers serve: it imports nothing of ours."""

import asyncio
import os
import time

from fastapi import FastAPI
from prometheus_client import Counter

JOBS = Counter("jobs", "Jobs done.")
app = FastAPI()


@app.get("/items/{item}")
async def get_item(item: int) -> int:
    JOBS.inc()
    return item


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.get("/wait/{seconds}")
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.get("/burn/{seconds}")
async def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@app.get("/hang")
async def hang() -> int:
    return sum(range(10**13))  # one call into C that keeps the interpreter lock
