"""Sends the image that is served to a registry, or builds the shipped service's there for several platforms.

The last line names what came there, by its digest. Standard library only.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import building, environment, images
from scripts.build import NONE, Version, as_arguments, commit
from scripts.commands import ROOT, CommandError, checked, run, say
from scripts.preflight import refusal
from scripts.sbom import served

NAME = re.compile(r"(?:[a-z0-9][a-z0-9.-]*(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?")
PLATFORMS = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/v\d+)?(?:,[a-z0-9]+/[a-z0-9]+(?:/v\d+)?)*")


class PushError(Exception):
    """Why nothing was sent, for people."""


def main() -> int:
    """Send it.

    Returns:
        0; 1 with the reason on stderr; 2 where the names are none.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", help="its name there, with a tag")
    parser.add_argument("--platforms", default="", help="build it for these: linux/amd64,linux/arm64")
    options = parser.parse_args()
    for name, value, allowed, expected in (
        ("IMAGE", options.image, NAME, "a name and tag of a registry's, such as registry/team/app:1.2"),
        ("PLATFORMS", options.platforms or "linux/amd64", PLATFORMS, "such as linux/amd64,linux/arm64"),
    ):
        if not allowed.fullmatch(value):
            print(refusal(name, value, expected), file=sys.stderr)
            return 2
    try:
        sent = build_there(options.image, options.platforms) if options.platforms else send(options.image)
    except (PushError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    print(sent)
    return 0


def send(image: str) -> str:
    """Send the image that is served, under another name.

    Raises:
        PushError: none is built.
        CommandError: the registry does not take it.

    """
    own = served()
    if run("docker", "image", "inspect", own).returncode != 0:
        raise PushError(f"{own}: not built yet; run: make build")
    checked("docker", "tag", own, image)
    checked("docker", "push", "--quiet", image)
    digest = images.digest(image)
    return f"{images.repository(image)}@{digest}" if digest else image


def build_there(image: str, platforms: str) -> str:
    """Build the shipped service for several platforms, into the registry, with BuildKit's SBOM and SLSA provenance.

    Raises:
        CommandError: it failed; Docker's own builder takes one platform alone (docker buildx create --use).

    """
    given = environment.read("PYTHON_IMAGE", "CA_BUNDLE", "PIP_CONFIG_FILE")
    arguments = as_arguments(commit(ROOT) or Version())
    if "PYTHON_IMAGE" in given:
        arguments["PYTHON_IMAGE"] = given["PYTHON_IMAGE"]
    with tempfile.NamedTemporaryFile() as metadata:
        command = (
            "docker", "buildx", "build", f"--platform={platforms}", f"--tag={image}", "--push", "--sbom=true",
            "--provenance=mode=max", f"--metadata-file={metadata.name}", "--progress=plain",
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            f"--secret=id=ca_bundle,src={given.get('CA_BUNDLE') or NONE}",
            f"--secret=id=pip_conf,src={given.get('PIP_CONFIG_FILE') or NONE}", ".",
        )  # fmt: skip
        building.run(command, say)
        digest = json.loads(Path(metadata.name).read_text())["containerimage.digest"]
    return f"{images.repository(image)}@{digest}"


if __name__ == "__main__":
    sys.exit(main())
