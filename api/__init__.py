"""Sightglass: serve a FastAPI app in production and see into it."""

from pkgutil import extend_path

# The served app may be a package of the same name elsewhere on sys.path: `APP=api.shop:app`.
__path__ = extend_path(__path__, __name__)
