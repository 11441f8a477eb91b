"""``python -m monitoring`` writes every generated file; with ``--check`` it only says which of them differ."""

import sys
from pathlib import Path

from monitoring.generate import files
from monitoring.slo import load


def main(root: Path, *, check: bool) -> int:
    """Return the exit status: 1 when ``check`` found a difference."""
    differing = {
        path: text for path, text in files(root, load()).items() if not path.exists() or path.read_text() != text
    }
    for path, text in differing.items():
        sys.stdout.write(f"{path.relative_to(root)}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(check and bool(differing))


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1], check="--check" in sys.argv[1:]))
