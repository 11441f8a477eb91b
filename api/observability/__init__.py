"""What makes an ASGI application observable: metrics, logs, traces, health."""

from api.observability.health import health

__all__ = ["health"]
