"""What every container of the stack is held to, whatever it runs."""

from typing import Any


def assert_hardened(container: dict[str, Any]) -> None:
    """Look at what `docker inspect` shows of a container; as whom it runs is another question."""
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert not host["Privileged"]
    assert host["NanoCpus"] > 0
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"]["max-size"]
