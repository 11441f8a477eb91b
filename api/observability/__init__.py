"""What makes an ASGI application observable: metrics, logs, traces, health."""
