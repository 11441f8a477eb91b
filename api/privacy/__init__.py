"""The shipped service: finds and redacts personal data."""
