"""Images of the tests' own servers, on the Debian of the stand-ins."""

from pathlib import Path

from scripts import images
from tests.stack import docker


def image_of(directory: Path, name: str, recipe: str, *arguments: str) -> str:
    """Build a directory's Dockerfile where it is not yet, with these arguments of the build; returns its name."""
    tag = f"sightglass-test-{name}:{recipe}"

    def build() -> None:
        base = ("--build-arg", f"DEBIAN_IMAGE={images.debian()}")
        docker("buildx", "build", "--load", "--quiet", *base, *arguments, "--tag", tag, str(directory))

    images.once(tag, build)
    return tag
