"""What happened to a request, put together from what is kept of it; standard library only."""
