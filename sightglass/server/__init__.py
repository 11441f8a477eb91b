"""The server: gunicorn around whatever ``APP`` names, instrumented."""
