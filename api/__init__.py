"""The shipped service: finds and removes personal data."""
