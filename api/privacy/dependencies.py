"""What `create_app` put into the app's state, for its routes."""

from typing import Annotated

from fastapi import Depends, Request

from api.privacy.inference import Inference
from api.settings import Settings


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


SettingsOf = Annotated[Settings, Depends(_settings)]
InferenceOf = Annotated[Inference, Depends(_inference)]
