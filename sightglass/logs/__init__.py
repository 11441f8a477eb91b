"""Log lines: what they say, how they look, how they leave the process."""
