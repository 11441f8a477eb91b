"""The application by itself, for servers that know no factories."""

from notes import create_app

app = create_app()
