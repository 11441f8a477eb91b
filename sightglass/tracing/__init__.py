"""Spans of requests, and their way to the collector. OpenTelemetry is imported by these modules alone."""
