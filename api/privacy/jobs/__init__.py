"""Documents redacted in the background, by processes of their own."""
