"""The shipped service as a container can be told to serve it, its model one that looks for a word and costs nothing."""

import os
import re
import sys
from collections.abc import Sequence

# Where an application is mounted, the shipped service is in nobody's way.
sys.path.append(os.environ["SIGHTGLASS_APP_FALLBACK_DIR"])

from api.main import create_app
from api.privacy.findings import Finding
from api.settings import load_settings_or_exit


class WordModel:
    """Finds Zaphod."""

    name = "stub"
    version = "1"
    languages: Sequence[str] = ("en",)

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        return [Finding(match.start(), match.end(), "WORD", 1.0) for match in re.finditer("Zaphod", text)]


app = create_app(load_settings_or_exit(), lambda _: WordModel())
