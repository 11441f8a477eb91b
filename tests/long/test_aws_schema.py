"""The kept schema is what the package of the provider's bindings has."""

import subprocess
import sys
from pathlib import Path

from tests.support.aws_schema import KEPT, PACKAGE, schema, text


def test_the_kept_schema_agrees_with_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), PACKAGE]
    subprocess.run(command, check=True, timeout=900)
    (wheel,) = tmp_path.glob("*.whl")
    assert text(schema(wheel)) == KEPT.read_text()
