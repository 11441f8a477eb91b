"""simple-repository-server, over a directory of the image."""

from pathlib import Path

from fastapi import FastAPI
from simple_repository_server.__main__ import create_app as create


def create_app() -> FastAPI:
    """Make the application."""
    app: FastAPI = create([str(Path(__file__).with_name("wheels"))])
    return app
