"""Spans of sampled requests, and their way to the collector."""
