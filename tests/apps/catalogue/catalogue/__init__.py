"""A FastAPI application of two years ago, with modules called as some of ours."""
