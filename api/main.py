"""The shipped service: finds and removes personal data."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.privacy import predict, process
from api.privacy.dependencies import described_as_authorized
from api.privacy.findings import Model, load_model
from api.privacy.inference import Inference
from api.privacy.jobs import routes as jobs
from api.privacy.jobs import upkeep
from api.privacy.jobs.ids import Ids
from api.privacy.jobs.queue import open_queue
from api.privacy.jobs.store import JobStore
from api.privacy.keys import ApiKeys
from api.privacy.quality.metrics import tell_quality
from api.privacy.size_limit import RequestSizeLimit
from api.problem_answers import install_problem_handlers
from api.settings import Settings, load_settings
from sightglass import health

EXPOSED = ("Content-Disposition", "Location", "Retry-After", "X-Request-ID", "X-Trace-ID")
"""Headers of an answer that a page of another origin may read, beside those that it always may (Fetch, 2.2)."""

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    load: Callable[[Path | None], Model] = load_model,
    watch: Callable[[JobStore], Awaitable[None]] | None = None,
) -> FastAPI:
    """Build the app; the model loads in the background once it is started, as does `watch`, until the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        inference.start()
        try:
            await asyncio.to_thread(app.state.jobs.take_over)
        except OSError as error:  # a job process tries again
            logger.error("the jobs of an older version stay where they are: %s", error.strerror)
        watching = asyncio.ensure_future(watch(app.state.jobs)) if watch else None
        yield
        if watching:
            watching.cancel()
        inference.stop()

    inference = Inference(
        partial(load, settings.model_path),
        texts=settings.inference_concurrency,
        documents=settings.document_concurrency,
    )
    health.add_check("model", inference.check)
    app = FastAPI(
        title=settings.app_name,
        description="Finds and removes personal data in texts and documents.",
        version=settings.app_version,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.inference = inference
    app.state.jobs = JobStore(settings)
    app.state.ids = Ids(app.state.jobs.secret)
    app.state.queue = open_queue(settings)
    app.state.keys = ApiKeys(settings.api_keys_file) if settings.api_keys_file else None
    health.add_check("keys", app.state.keys.check if app.state.keys else lambda: None)
    tell_quality(settings.runs_dir)
    install_problem_handlers(app)
    jobs.install_away_handler(app)
    app.add_middleware(
        RequestSizeLimit,
        default=settings.max_request_size_bytes,
        paths={predict.PATH: predict.body_limit(settings)},
        directory=settings.runs_dir,
    )
    dependencies = [described_as_authorized] if app.state.keys else []
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=settings.cors_origins != ("*",),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    for router in (predict.router, process.router, jobs.router):
        app.include_router(router, dependencies=dependencies)
    return app


app = create_app(load_settings(), watch=upkeep.look_after)
