"""Documents redacted in the background, by worker processes of their own."""
