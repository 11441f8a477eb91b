"""Commands of the Makefile that need more than a shell line."""
