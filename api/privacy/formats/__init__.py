"""Documents as streams of bytes: what in them is text to search, and how to put other text in its place."""
