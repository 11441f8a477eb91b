"""A Flask application as its tutorial makes one: a factory, a blueprint, bodies read as they come."""

import hashlib
import itertools
import logging
import os
import time
from collections.abc import Iterator
from xml.etree import ElementTree

from flask import Blueprint, Flask, Response, request

notes = Blueprint("notes", __name__, url_prefix="/notes")


@notes.get("/<int:number>")
def note(number: int) -> dict[str, int]:
    return {"number": number}


@notes.route("/files/<path:name>", methods=["GET", "POST"])
def file(name: str) -> dict[str, str]:
    return {"name": name}


@notes.put("/digest")
def digest() -> dict[str, object]:
    found, size = hashlib.sha256(), 0
    while chunk := request.stream.read(65536):
        found.update(chunk)
        size += len(chunk)
    return {"sha256": found.hexdigest(), "size": size}


@notes.put("/xml")
def elements() -> dict[str, int]:
    found, text = 0, 0
    for _, element in ElementTree.iterparse(request.stream):
        found += 1
        text += len(element.text or "")
        element.clear()
    return {"elements": found, "text": text}


@notes.put("/lines")
def lines() -> dict[str, int]:
    return {"lines": sum(1 for _ in request.stream)}


@notes.get("/endless")
def endless() -> Iterator[str]:
    def numbers() -> Iterator[str]:
        try:
            yield from (f"{number}\n" * 1000 for number in itertools.count())
        finally:
            logging.getLogger("notes").warning("nobody listens")

    return numbers()


@notes.get("/broken")
def broken() -> str:
    raise RuntimeError("broken")


@notes.get("/refused")
def refused() -> Response:
    return Response(("x" for _ in range(50)), headers={"content-length": "1"})


@notes.get("/slow")
def slow() -> str:
    time.sleep(1)
    return "at last"


@notes.get("/variables")
def variables() -> dict[str, str]:
    return {name: os.environ.get(name, "absent") for name in request.args.getlist("name")}


def create_app() -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.register_blueprint(notes)
    return app
