"""A Django project of few files: paths with converters, an included urlconf, a regular expression."""
