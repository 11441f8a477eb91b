"""``python -m deploy`` writes every generated file; with ``--check`` it only says which of them differ."""

import sys

from deploy.composed import ROOT
from deploy.generate import files


def main(*, check: bool) -> int:
    """Return the exit status: 1 when ``check`` found a difference."""
    differing = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    for path, text in differing.items():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(check and bool(differing))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
