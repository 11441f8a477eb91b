"""The pull path against a real registry, with each of its faults: which images come, and what is remembered."""

import pytest

from scripts.images import recipe_id
from tests.images.machine import SERVICES, Machine
from tests.images.registry import OTHER_ARCHITECTURE, Registry

ALL = list(SERVICES)
FIRST, *OTHERS = ALL
# Some engines ask twice about a manifest, and all by themselves again for a layer; how often this program does is in
# tests/scripts/test_images.py.
PASSING = [(503, "manifests", 2), (500, "manifests", 2), (401, "manifests", 2), (429, "manifests", 2),
           (503, "blobs", 1), ("drop", "blobs", 1)]  # fmt: skip


def stand_in(name: str) -> str:
    return f"{name.upper()}_IMAGE=sightglass-local/{name}:{recipe_id()}\n"


def test_everything_is_pulled_and_nothing_is_remembered(machine: Machine) -> None:
    result = machine.images()
    assert result.returncode == 0, result.stderr
    assert machine.present() == ALL
    assert machine.env_file.read_text() == machine.told


@pytest.mark.parametrize(("kind", "part", "times"), PASSING)
def test_a_fault_that_passes_leaves_nothing(
    machine: Machine, registry: Registry, kind: int | str, part: str, times: int
) -> None:
    registry.fail(machine.repository(FIRST), kind, times, part)
    result = machine.images()
    assert result.returncode == 0, result.stderr
    assert machine.attempts(result)[1:] == [1, 1]
    assert machine.present() == ALL
    assert machine.env_file.read_text() == machine.told


@pytest.mark.parametrize("kind", [503, 401, 403, 429])
def test_a_fault_that_stays_is_one_images_alone_and_gone_with_it(
    machine: Machine, registry: Registry, kind: int
) -> None:
    registry.fail(machine.repository(FIRST), kind)
    result = machine.images()
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{FIRST}: {machine.refs[FIRST]} cannot be pulled: ")
    assert line.endswith("; try again: make images")
    assert machine.attempts(result) == [4, 1, 1]
    assert machine.present() == OTHERS
    assert machine.env_file.read_text() == machine.told

    registry.heal()
    assert machine.images().returncode == 0
    assert machine.present() == ALL


def test_make_up_takes_a_stand_in_for_this_run_alone(machine: Machine, registry: Registry) -> None:
    registry.fail(machine.repository("nginx"), 503)
    result = machine.images(passing=True)
    assert result.returncode == 0, result.stderr
    assert machine.present() == ["alertmanager", "prometheus"]
    assert machine.this_run.read_text() == stand_in("nginx")
    assert machine.env_file.read_text() == machine.told


@pytest.mark.parametrize("missing", ["absent", "architecture"])
def test_an_image_that_is_not_there_has_a_stand_in_until_it_is(
    machine: Machine, registry: Registry, missing: str
) -> None:
    if missing == "architecture":
        machine.offer("nginx", architecture=OTHER_ARCHITECTURE)
    else:
        registry.fail(machine.repository("nginx"), 404)
    result = machine.images()
    assert result.returncode == 0, result.stderr
    assert machine.attempts(result) == [1, 1, 1]
    assert machine.present() == ["alertmanager", "prometheus"]
    assert machine.env_file.read_text() == machine.told + stand_in("nginx")

    registry.heal()
    machine.offer("nginx")
    assert machine.images().returncode == 0
    assert machine.present() == ALL
    assert machine.env_file.read_text() == machine.told


def test_a_registry_nobody_answers_at_is_gone_until_it_is_asked_again(machine: Machine, registry: Registry) -> None:
    port = registry.address.rpartition(":")[2]
    gone = "127.0.0.1:9"  # the discard service, which nobody runs
    machine.env_file.write_text(machine.told.replace(registry.address, gone))
    result = machine.images()
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("pulling ") == 2  # the first image; the others are not asked for
    assert machine.env_file.read_text().endswith("".join(stand_in(name) for name in ALL))

    machine.env_file.write_text(machine.env_file.read_text().replace(gone, f"127.0.0.1:{port}"))
    assert machine.images().returncode == 0
    assert machine.env_file.read_text() == machine.told


@pytest.mark.parametrize("by_tag_too", [True, False])
def test_a_digest_is_held_to(machine: Machine, registry: Registry, by_tag_too: bool) -> None:
    for name, digest in machine.digests.items():
        machine.offer(name)  # the tag is another image now
        machine.refs[name] = registry.ref(machine.repository(name), f"1@{digest}" if by_tag_too else f"@{digest}")
    machine.tell()
    result = machine.images()
    assert result.returncode == 0, result.stderr
    assert machine.present() == ALL
    assert not [path for path in registry.asked if path.endswith("/manifests/1")]
    asked = len(registry.asked)
    assert machine.images().returncode == 0
    assert len(registry.asked) == asked


def test_a_digest_the_registry_does_not_have_is_not_replaced_by_the_tags_image(
    machine: Machine, registry: Registry
) -> None:
    machine.refs["nginx"] = registry.ref(machine.repository("nginx"), f"1@sha256:{'0' * 64}")
    machine.tell()
    assert machine.images().returncode == 0
    assert machine.env_file.read_text() == machine.told + stand_in("nginx")


def test_a_slow_line_is_waited_for_and_a_still_one_is_not(machine: Machine, registry: Registry) -> None:
    registry.fail(machine.repository("alertmanager"), "slow", part="blobs")
    registry.fail(machine.repository("nginx"), "stall", times=1, part="blobs")
    result = machine.images("--standstill", "6")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"pulling {machine.refs['alertmanager']} (given up after 6 s without progress)") == 1
    assert result.stdout.count("no progress for 6 s; again in 0 s") == 1
    assert machine.present() == ALL


def test_a_registry_that_takes_calls_and_says_nothing_is_gone(machine: Machine, registry: Registry) -> None:
    registry.fail(machine.repository("alertmanager"), "silent")
    result = machine.images("--standstill", "2")
    assert result.returncode == 0, result.stderr
    assert machine.env_file.read_text() == machine.told + "".join(stand_in(name) for name in ALL)
