"""What `create_app` put into the app's state, for its routes.

All are coroutines, though none waits: FastAPI sends plain functions through a thread.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from api.privacy.clients import client_at
from api.privacy.inference import Inference
from api.privacy.jobs.ids import Ids
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.store import JobStore
from api.privacy.keys import ApiKeys
from api.settings import Settings


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


async def _store(request: Request) -> JobStore:
    store: JobStore = request.app.state.jobs
    return store


async def _ids(request: Request) -> Ids:
    ids: Ids = request.app.state.ids
    return ids


async def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


async def _owner(request: Request) -> str | None:
    """Give whose API key the request carries, None when the service asks for none. Raises a 401, or 503."""
    keys: ApiKeys | None = request.app.state.keys
    return keys.owner(request.headers.get("authorization")) if keys else None


async def _client(request: Request, owner: "OwnerOf") -> str:
    """Give who the request is from, for what is shared out: the key's owner, or else the client's address."""
    return owner or client_at(request.client.host if request.client else "")


class AuthorizedRoute(APIRoute):
    """Asks for the key before anything else of a request is looked at: FastAPI reads bodies before dependencies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the question before what FastAPI does."""
        handle = super().get_route_handler()

        async def authorized(request: Request) -> Response:
            await _owner(request)
            return await handle(request)

        return authorized


SettingsOf = Annotated[Settings, Depends(_settings)]
InferenceOf = Annotated[Inference, Depends(_inference)]
StoreOf = Annotated[JobStore, Depends(_store)]
IdsOf = Annotated[Ids, Depends(_ids)]
QueueOf = Annotated[Queue, Depends(_queue)]
OwnerOf = Annotated[str | None, Depends(_owner)]
ClientOf = Annotated[str, Depends(_client)]
described_as_authorized = Depends(HTTPBearer(auto_error=False, description="A key of `API_KEYS_FILE`."))
"""Puts the keys into the OpenAPI description; checks nothing."""
