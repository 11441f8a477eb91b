"""Sightglass: serve a FastAPI app in production and see into it."""
