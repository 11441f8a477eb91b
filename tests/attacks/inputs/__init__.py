"""What is sent, by class. Only data: who sends it and what must come of it is in the tests beside."""

from tests.attacks.inputs.documents import BODIES, BOMBS
from tests.attacks.inputs.frames import FLOODS, FRAMES
from tests.attacks.inputs.guesses import GUESSES
from tests.attacks.inputs.heads import HEADS
from tests.attacks.inputs.names import NAMES
from tests.attacks.inputs.pages import DOCUMENTS, PAGES
from tests.attacks.inputs.spellings import SPELLINGS
from tests.attacks.inputs.spoofs import SPOOFS
from tests.attacks.inputs.texts import TEXTS

COUNTS = {
    "HTTP/1.1 that is smuggled, cut or broken": len(HEADS),
    "HTTP/2 that is no request, or more than one": len(FRAMES),
    "spellings of `/metrics` and of what else is inside": len(SPELLINGS),
    "headers that claim to be somebody, somewhere or something": len(SPOOFS),
    "names of jobs, files, parameters, methods": len(NAMES),
    "XML, CSV, NDJSON, JSON, forms, media types": len(BODIES),
    "gzip and deflate": len(BOMBS),
    "texts that are costly to search": len(TEXTS),
    "guessed keys": len(GUESSES),
    "floods of frames": len(FLOODS),
    "scripts of a page in an operator's browser": len(PAGES),
    "documents whose result would run in a browser": len(DOCUMENTS),
}
"""How many inputs there are of each class."""
