"""Fetches Grafana's plugin for VictoriaLogs, for which Grafana itself has no way out: one version, by its checksum.

Standard library only: this runs before anything is installed.
"""

import hashlib
import http.client
import io
import shutil
import urllib.request
import zipfile
from pathlib import Path

from scripts.commands import ROOT

NAME = "victoriametrics-logs-datasource"
VERSION = "0.29.0"
ADDRESS = f"https://grafana.com/api/plugins/{NAME}/versions/{VERSION}/download"
SHA256 = "cd3651502586c09d36fe17b02443dc95f1169536105348d4503cb1b919324470"
DIRECTORY = Path(".build/grafana-plugins")
"""Below the repository; what Grafana gets as its directory of plugins."""
TIMEOUT_SECONDS = 30.0  # without any answer


class PluginError(Exception):
    """Why the plugin cannot be had, for people."""


def fetch(root: Path = ROOT, address: str = ADDRESS, checksum: str = SHA256) -> Path:
    """Make the plugin present.

    Returns:
        The directory of plugins, relative to the repository.

    Raises:
        PluginError: it cannot be fetched, or is not what it was when its checksum was pinned.

    """
    directory = root / DIRECTORY
    seal = directory / f".{NAME}"
    if seal.is_file() and seal.read_text() == checksum:
        return DIRECTORY
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the address is ours
            content: bytes = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise PluginError(f"{address}: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise PluginError(f"{address}: its SHA-256 is {found}, not {checksum}")
    shutil.rmtree(directory, ignore_errors=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, directory))
            # Grafana's user reads it and starts its program; the archive's own modes are in the upper half.
            path.chmod(0o755 if path.is_dir() or member.external_attr >> 16 & 0o111 else 0o644)
    seal.write_text(checksum)
    return DIRECTORY
