"""Metrics that stay exact with several processes: counted, kept, gathered, exposed (docs/metrics-design.md)."""
