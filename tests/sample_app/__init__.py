"""Any app: an ordinary FastAPI service that knows nothing of what serves it."""
