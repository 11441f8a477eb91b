"""The API's image: what is in it, what is not, and what it says of itself."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.stack import ROOT, Stack, docker

GOALS = {"runtime": 40, "service": 270}  # MB on top of Python's own image
DEFAULT_PYTHON = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def certificates(bundle: str) -> set[str]:
    return set(re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)\n", bundle))


@pytest.mark.parametrize("target", GOALS)
def test_the_images_are_small_and_say_what_they_are(stack: Stack, target: str) -> None:
    settings = dict(re.findall(r"^(PYTHON_IMAGE|CA_BUNDLE)=(.+)$", stack.env_file.read_text(), re.MULTILINE))
    tag = f"{stack.project}-{target}"
    base = ["--build-arg", f"PYTHON_IMAGE={settings['PYTHON_IMAGE']}"] if "PYTHON_IMAGE" in settings else []
    bundle = stack.directory / settings.get("CA_BUNDLE", "docker/build/none")
    labels = {"VERSION": "1.2.3", "REVISION": "abc", "CREATED": "2026-01-01T00:00:00Z"}
    try:
        docker(
            "buildx", "build", "--load", "--quiet", "--target", target, "--tag", tag, *base,
            "--secret", f"id=ca_bundle,src={bundle}",
            *(f"--build-arg={name}={value}" for name, value in labels.items()), str(stack.directory),
        )  # fmt: skip
        (image,) = json.loads(docker("image", "inspect", tag))
        python = settings.get("PYTHON_IMAGE") or DEFAULT_PYTHON
        (below,) = json.loads(docker("image", "inspect", python))
        assert image["Size"] - below["Size"] <= GOALS[target] * 10**6
        said = image["Config"]["Labels"]
        assert [said[f"org.opencontainers.image.{name.lower()}"] for name in labels] == list(labels.values())
        assert image["Config"]["User"] == "10001:10001"
    finally:
        subprocess.run(["docker", "image", "rm", tag], capture_output=True, check=False)


def test_the_hosts_ca_bundle_is_not_in_the_image(stack: Stack) -> None:
    lent = (stack.directory / ".build" / "ca-certificates.crt").read_text()
    own = stack.compose("exec", "-T", "api", "cat", BUNDLE).stdout
    # Certificates that only this machine trusts; without a TLS-inspecting proxy there is none to look for.
    if only_here := certificates(lent) - certificates(own):
        grep = ["exec", "-T", "api", "grep", "-rqsFf", "-", "/app", "/etc", "/opt", "/srv", "/usr"]
        command = [*stack.containers.compose_command_property, *grep]
        found = subprocess.run(command, cwd=stack.directory, input="\n".join(only_here), text=True, check=False)
        assert found.returncode != 0
    assert stack.compose("exec", "-T", "api", "sh", "-c", "ls -A /run/secrets || true").stdout == ""


def test_without_root_and_docker_the_commands_to_run_are_said() -> None:
    nobody = 65534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="engine-") as directory:
        script = Path(directory, "engine.sh")
        script.write_bytes((ROOT / "scripts" / "engine.sh").read_bytes())
        for path in (script, script.parent):
            path.chmod(0o755)
        result = subprocess.run(
            ["bash", str(script)],
            env={"PATH": "/usr/bin:/bin", "DOCKER_HOST": f"unix://{directory}/none"},
            capture_output=True,
            text=True,
            check=False,
            user=nobody,
            group=nobody,
        )
    assert result.returncode == 1
    assert "As root, run:" in result.stderr
    assert f"    {directory}/engine.sh\n" in result.stderr
    assert "usermod -aG docker" in result.stderr


def test_what_it_is_made_of_is_written_down(stack: Stack) -> None:
    assert stack.run("make", "sbom").returncode == 0
    text = (stack.directory / ".build" / "sbom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == stack.project
    listed = {one["name"].lower(): one for one in document["components"]}
    ask = "from importlib.metadata import *; print(*(f'{d.name}=={d.version}' for d in distributions()), sep='\\n')"
    own = stack.compose("exec", "-T", "api", "python", "-c", ask).stdout.split()
    assert len(own) > 20
    for name, version in (line.split("==") for line in own):
        assert listed[name.lower()]["version"] == version
        assert listed[name.lower()]["purl"].startswith("pkg:pypi/")
    system = stack.compose(
        "exec", "-T", "api", "dpkg-query", "-W", "-f", "${Package} ${Version}\\n"
    ).stdout.splitlines()
    assert len(system) > 20
    for name, version in (line.split() for line in system):
        assert listed[name]["version"] == version
        assert listed[name]["purl"].startswith("pkg:deb/debian/")
    # The same image, the same document; and no container is left.
    assert stack.run("make", "sbom").returncode == 0
    assert (stack.directory / ".build" / "sbom.json").read_text() == text
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={stack.project}", "--filter", "status=created") == ""


def test_of_an_image_that_is_not_here_nothing_is_written(stack: Stack) -> None:
    result = stack.run("make", "sbom", IMAGE="team/none:1")
    assert result.returncode != 0
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert line.startswith("IMAGE=team/none:1: not allowed; expected an image that is here")
