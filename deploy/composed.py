"""The services of docker-compose.prod.yml, in the terms of a cluster."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docker-compose.prod.yml"

_WITH_DEFAULT = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::([-+])([^${}]*))?\}")


@dataclass(frozen=True)
class Setting:
    """A variable whose value is the one that `.env` has under a name; unset where it has none."""

    name: str


@dataclass(frozen=True)
class Probe:
    """An HTTP request that a healthy container answers with 200."""

    port: int
    path: str
    seconds_between: int
    seconds_allowed: int
    failures: int


class Service:
    """One service, as Compose has it when `.env` is empty."""

    def __init__(self, name: str, file: Path = FILE) -> None:
        self.name = name
        given = (_file() if file == FILE else _load(file))["services"][name]
        extended = given["extends"]
        hardened = _load(file.parent / extended["file"])["services"][extended["service"]]
        self._whole: dict[str, Any] = {**hardened, **given}
        self._healthcheck = {**hardened.get("healthcheck", {}), **given.get("healthcheck", {})}

    @property
    def image(self) -> str:
        """The image's name."""
        return _text(self._whole["image"])

    @property
    def entrypoint(self) -> list[str] | None:
        """What takes the place of the image's entry point, which Kubernetes calls its command."""
        return self._whole.get("entrypoint")

    @property
    def command(self) -> list[str] | None:
        """What takes the place of the image's command, which Kubernetes calls its arguments."""
        command = self._whole.get("command")
        return command and [part.replace("$$", "$") for part in command]

    @property
    def user(self) -> tuple[int, int]:
        """The numbers of user and group, the service's or its image's."""
        user, group = re.findall(r"[0-9]+", self._whole.get("user") or _image_user())
        return int(user), int(group)

    @property
    def environment(self) -> dict[str, str | Setting]:
        """Each variable's value, or which setting it has."""
        found: dict[str, str | Setting] = {}
        for name, value in self._whole["environment"].items():
            match = None if value is None else re.match(r"\$\{([A-Z][A-Z0-9_]*)(:[-+].*)?\}\Z", str(value))
            if value is None:
                found[name] = Setting(name)
            elif match:
                found[name] = Setting(match[1])
            else:
                found[name] = str(value)
        return found

    @property
    def defaults(self) -> dict[str, str]:
        """What Compose sets where `.env` does not."""
        values = {n: str(v) for n, v in self._whole["environment"].items() if v is not None}
        texts = {name: _text(value) for name, value in values.items() if value.startswith("${")}
        return {name: text for name, text in texts.items() if text}

    @property
    def ports(self) -> list[int]:
        """The container's ports that are published."""
        return [int(port.rpartition(":")[2]) for port in self._whole.get("ports", [])]

    @property
    def cpus(self) -> str:
        """Processors it may use, as a quantity."""
        return f"{float(_text(self._limits['cpus'])):g}"

    @property
    def memory(self) -> str:
        """Memory it may use, as a quantity."""
        return quantity(_text(self._limits["memory"]))

    @property
    def temporary(self) -> str | None:
        """How large its /tmp in memory may be; None where that is on disk."""
        for one in self._whole.get("tmpfs", []):
            return quantity(re.findall(r"size=([0-9]+[kmg])", one)[0])
        return None

    @property
    def grace_seconds(self) -> int:
        """How long it may take to end."""
        return int(_text(self._whole["stop_grace_period"]).removesuffix("s"))

    @property
    def start_seconds(self) -> int:
        """How long it may take until its probe is answered."""
        return _seconds(self._healthcheck["start_period"])

    @property
    def hardening(self) -> tuple[bool, list[str], list[str]]:
        """Whether its root is read-only, what capabilities are dropped, and its security options."""
        return self._whole["read_only"], self._whole["cap_drop"], self._whole["security_opt"]

    @property
    def networks(self) -> set[str]:
        """The networks it is on."""
        return set(self._whole["networks"])

    @property
    def mounts(self) -> dict[str, str]:
        """What of the host, or which volume, is mounted where."""
        found = {}
        for volume in self._whole["volumes"]:
            source, target = (volume["source"], volume["target"]) if isinstance(volume, dict) else _parts(volume)
            found[target] = source
        return found

    @property
    def probe(self) -> Probe:
        """The health check as a request, the service's or its image's."""
        test = self._healthcheck.get("test") or _image_probe()
        words = " ".join(test[1:])
        url = re.search(r"http://127\.0\.0\.1:([0-9]+)(/\S*)", words)
        script = re.search(r"healthcheck\.py(?: ([0-9]+) (/\S*))?", words)
        if url:
            port, path = url.groups()
        elif script:
            port, path = script[1] or "8000", script[2] or "/ready"
        else:
            raise ValueError(f"{self.name}: not a request: {words}")
        check = self._healthcheck
        return Probe(int(port), path, _seconds(check["interval"]), _seconds(check["timeout"]), check["retries"])

    @property
    def _limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = self._whole["deploy"]["resources"]["limits"]
        return limits


def quantity(size: str) -> str:
    """Give Docker's size (RAM in binary units) as a quantity of Kubernetes."""
    return re.sub("[kmg]", lambda unit: {"k": "Ki", "m": "Mi", "g": "Gi"}[unit[0]], size)


def _parts(volume: str) -> tuple[str, str]:
    source, _, rest = volume.partition(":")
    return (source, rest.partition(":")[0]) if rest else ("", source)


def _seconds(duration: str) -> int:
    return int(_text(duration).removesuffix("s"))


def _text(value: str) -> str:
    """Give a value as it is with an empty `.env`: `${A:-b}` is b, `${A:+b}` and `${A}` are nothing."""
    text, before = str(value), ""
    while text != before:
        before = text
        text = _WITH_DEFAULT.sub(lambda found: (found[3] or "") if found[2] == "-" else "", text)
    return text


@cache
def _file() -> dict[str, Any]:
    return _load(FILE)


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@cache
def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def _image_user() -> str:
    user: str = re.findall(r"^USER (\S+)$", _dockerfile(), re.MULTILINE)[-1]
    return user


def _image_probe() -> list[str]:
    instruction = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", _dockerfile(), re.MULTILINE)[-1]
    words: list[str] = yaml.safe_load(instruction)
    return ["CMD", *words]


def exposed() -> list[int]:
    """Return the ports that the image names: the application's and the metrics'."""
    return [int(port) for port in re.findall(r"^EXPOSE (.*)$", _dockerfile(), re.MULTILINE)[-1].split()]
