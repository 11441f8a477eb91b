"""The binaries: built from their Go modules, or taken out of Debian's packages; kept by what describes them."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.cluster.layout import CACHE, HERE
from scripts.commands import CommandError, checked, say, step

KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36 "
    f"-X {_VERSION}.gitCommit=unknown -X {_VERSION}.gitTreeState=clean -X {_VERSION}.buildDate=2026-11-26T00:00:00Z"
)
_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

# By module (parts/): the packages that are built in it, and further flags of the linker. One module for all fails: the
# versions of what they share clash.
MODULES: dict[str, tuple[tuple[str, ...], str]] = {
    "kubernetes": (tuple(f"k8s.io/kubernetes/cmd/{program}" for program in _PROGRAMS), _KUBERNETES_FLAGS),
    "coredns": (("github.com/coredns/coredns",), ""),
    "helm": (("helm.sh/helm/v4/cmd/helm",), ""),
    "metrics-server": (("sigs.k8s.io/metrics-server/cmd/metrics-server",), ""),
    "kube-router": (("github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",), ""),
    "keda": (("github.com/kedacore/keda/v2/cmd/operator", "github.com/kedacore/keda/v2/cmd/adapter"), ""),
    "pause": ((".",), ""),
    "tofu": (("github.com/opentofu/opentofu/cmd/tofu",), ""),
    "kubectl-provider": (("github.com/gavinbunney/terraform-provider-kubectl",), ""),
}
MANIFESTS = {"keda": ("github.com/kedacore/keda/v2", "config")}
"""By part: the module whose directory of manifests is kept beside the binaries."""
DEBIAN = {
    "forky": ("etcd-server", "containerd", "containernetworking-plugins", "kubectl"),
    "bookworm": ("ipset", "libipset13"),  # linked against a C library: the oldest that will do
}
"""By suite. They run on bookworm and later."""

# The definitions of objects that operators bring, by the module that has them.
DEFINITIONS = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases",
    "github.com/cert-manager/cert-manager@v1.21.0": "deploy/crds",
    "sigs.k8s.io/gateway-api@v1.6.0": "config/crd/standard",
    "github.com/external-secrets/external-secrets@v1.3.2": "config/crds/bases/external-secrets.io_externalsecrets.yaml",
}


def key(name: str) -> str:
    """Name what a module's binaries are made of."""
    digest = hashlib.sha256(repr(MODULES[name]).encode())
    digest.update("".join(MANIFESTS.get(name, ())).encode())
    for path in sorted((HERE / "parts" / name).iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def directory(name: str) -> Path:
    """Return where a module's binaries are."""
    return CACHE / f"{name}-{key(name)}"


def debian() -> Path:
    """Return where the packages are unpacked."""
    return CACHE / f"debian-{hashlib.sha256(repr(DEBIAN).encode()).hexdigest()[:16]}"


def libraries() -> Path:
    """Return where the packages' shared libraries are."""
    return next((debian() / "usr/lib").glob("*/libipset.so.*")).parent


def definitions() -> Path:
    """Return where the definitions are."""
    return CACHE / f"definitions-{hashlib.sha256(repr(DEFINITIONS).encode()).hexdigest()[:16]}"


def search_path() -> str:
    """Return a PATH by which every part is found before the system's own."""
    places = [debian() / "usr/bin", debian() / "usr/sbin", *(directory(name) for name in MODULES)]
    return ":".join([*map(str, places), os.environ["PATH"]])


def get() -> None:
    """Make every part present, telling what goes on.

    Raises:
        CommandError: something could not be built or fetched.

    """
    CACHE.mkdir(parents=True, exist_ok=True)
    if not debian().exists():
        _into(debian(), _unpack)
    for name in MODULES:
        if not directory(name).exists():
            _into(directory(name), partial(_build, name))
    if not definitions().exists():
        _into(definitions(), _collect)


def _into(place: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory that is there as a whole or not at all."""
    made = Path(tempfile.mkdtemp(dir=CACHE, prefix=".new-"))
    try:
        fill(made)
        made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unpack(place: Path) -> None:
    for suite, packages in DEBIAN.items():
        step(f"Debian {suite}'s packages: {' '.join(packages)}")
        with tempfile.TemporaryDirectory() as work:
            checked(str(HERE / "packages.sh"), suite, work, *packages)
            for package in sorted(Path(work).glob("*.deb")):
                checked("dpkg", "-x", str(package), str(place))


def _build(name: str, place: Path) -> None:
    packages, flags = MODULES[name]
    for package in packages:
        program = name if package == "." else package.rpartition("/")[2]
        step(f"building {program}")
        begun = time.monotonic()
        _go(
            HERE / "parts" / name,
            "build",
            "-trimpath",
            "-gcflags=all=-dwarf=false",  # the linker would throw it away: a tenth of the work
            "-ldflags",
            f"-s -w {flags}",
            "-o",
            str(place / program),
            package,
        )
        say(f"{time.monotonic() - begun:.0f} s, {(place / program).stat().st_size / 1e6:.0f} MB")
    if name in MANIFESTS:
        module, where = MANIFESTS[name]
        there = _go(HERE / "parts" / name, "list", "-m", "-f", "{{.Dir}}", module).strip()
        shutil.copytree(Path(there) / where, place / where)


def _go(module: Path, *arguments: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    command = ("go", *arguments)
    result = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CommandError(command, result.stderr or result.stdout)
    return result.stdout


def _collect(place: Path) -> None:
    for module, where in DEFINITIONS.items():
        step(f"definitions of {module}")
        found = json.loads(_go(HERE / "parts" / "pause", "mod", "download", "-json", module))
        there = Path(found["Dir"]) / where
        for path in [there] if there.is_file() else sorted(there.glob("*.yaml")):
            if path.name != "kustomization.yaml":
                (place / f"{module.rpartition('/')[2].partition('@')[0]}-{path.name}").write_bytes(path.read_bytes())
