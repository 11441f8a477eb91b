"""Datasette, over a table that is made with the image."""

from pathlib import Path

from datasette.app import Datasette

app = Datasette([], immutables=[str(Path(__file__).with_name("library.db"))]).app()
