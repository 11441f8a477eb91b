"""The threads in which the event loop has others wait for what keeps the jobs.

Its own: where a database or a bucket is away, those who wait for it fill these, and texts, documents and metrics go on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST = 16
"""Of a process."""

_THREADS = ThreadPoolExecutor(MOST, "jobs")  # each is started when it is needed, which is after any fork


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that blocks, as `asyncio.to_thread` does."""
    call = partial(copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
