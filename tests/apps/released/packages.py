"""pypiserver, over a directory of the image."""

from pathlib import Path

import pypiserver

app = pypiserver.app(root=[str(Path(__file__).with_name("wheels"))])
