"""What an image's files tell of its packages; tests/e2e/test_image.py asks it of a real one."""

from functools import partial
from typing import Any

import pytest
from packageurl import PackageURL

from scripts import sbom
from scripts.sbom import Found

DPKG = """Package: libssl3t64
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.5.1-1+deb13u1

Package: util-linux
Status: install ok installed
Architecture: amd64
Source: util-linux-src (1:2.41)
Version: 1:2.41-5
Description: several
 lines of it

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
APK = """C:Q1
P:musl
V:1.2.5-r9
A:x86_64
o:musl

P:busybox
V:1.37.0-r12
A:x86_64
"""
LIBRARIES = "opt/venv/lib/python3.13/site-packages"


def listed(**files: str) -> dict[str, dict[str, Any]]:
    found = Found()
    for name, text in files.items():
        sbom.note(found, name, partial(str, text))
    return {one["bom-ref"]: one for one in sbom.components(found)}


def metadata(*lines: str) -> str:
    return "Metadata-Version: 2.4\n" + "\n".join(lines) + "\n\nWhat it is.\nName: not-this\n"


def test_a_python_package_by_the_name_its_index_knows() -> None:
    text = metadata("Name: Typing_Extensions", "Version: 4.15.0", "License-Expression: PSF-2.0")
    assert listed(**{f"{LIBRARIES}/typing_extensions-4.15.0.dist-info/METADATA": text}) == {
        "pkg:pypi/typing-extensions@4.15.0": {
            "type": "library",
            "bom-ref": "pkg:pypi/typing-extensions@4.15.0",
            "name": "Typing_Extensions",
            "version": "4.15.0",
            "purl": "pkg:pypi/typing-extensions@4.15.0",
            "licenses": [{"expression": "PSF-2.0"}],
        }
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"srv/app/shop.egg-info/PKG-INFO": metadata("Name: shop", "Version: 1")}, ["pkg:pypi/shop@1"]),
        ({f"{LIBRARIES}/shop-1.dist-info/METADATA": metadata("Name: shop")}, []),
        # Installed from a directory or a repository: no index has it, and none can be asked about it.
        (
            {
                f"{LIBRARIES}/shop-1+local.dist-info/direct_url.json": "{}",
                f"{LIBRARIES}/shop-1+local.dist-info/METADATA": metadata("Name: shop", "Version: 1+local"),
            },
            ["pkg:generic/shop@1%2Blocal"],
        ),
        # Debian's own package of it is listed as Debian's.
        ({"usr/lib/python3/dist-packages/x.egg-info/PKG-INFO": metadata("Name: x", "Version: 1")}, []),
        (
            {"usr/local/include/python3.13/patchlevel.h": '#define PY_VERSION  "3.13.15"\n'},
            ["pkg:generic/python@3.13.15"],
        ),
        ({"etc/os-release": 'ID=debian\nVERSION_ID="13"\n'}, ["os:debian"]),
        ({"etc/os-release": "ID=debian\n", "var/lib/dpkg/status.d/base.md5sums": DPKG}, ["os:debian"]),
        ({"srv/app/METADATA": metadata("Name: x", "Version: 1"), "srv/app/var/lib/dpkg/status": DPKG}, []),
    ],
)
def test_what_counts_as_a_package(files: dict[str, str], expected: list[str]) -> None:
    assert list(listed(**files)) == expected


@pytest.mark.parametrize("path", ["var/lib/dpkg/status", "var/lib/dpkg/status.d/base"])
def test_debians_packages_with_their_source_which_advisories_name(path: str) -> None:
    found = listed(**{"usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n', path: DPKG})
    assert list(found) == [
        "os:debian",
        "pkg:deb/debian/libssl3t64@3.5.1-1%2Bdeb13u1?arch=amd64&distro=debian-13&upstream=openssl",
        "pkg:deb/debian/util-linux@1:2.41-5?arch=amd64&distro=debian-13&upstream=util-linux-src%401:2.41",
    ]


def test_alpines_packages() -> None:
    found = listed(**{"etc/os-release": "ID=alpine\nVERSION_ID=3.22.1\n", "lib/apk/db/installed": APK})
    assert list(found) == [
        "os:alpine",
        "pkg:apk/alpine/busybox@1.37.0-r12?arch=x86_64&distro=alpine-3.22.1",
        "pkg:apk/alpine/musl@1.2.5-r9?arch=x86_64&distro=alpine-3.22.1&upstream=musl",
    ]


@pytest.mark.parametrize("version", ["1.0", "1:2.41-5", "3.5.1-1+deb13u1", "1.0~rc1", "2!1.0", "1.0 beta"])
def test_package_urls_are_canonical(version: str) -> None:
    purl = sbom.component("pkg:deb/debian/x", "x", version, {"arch": "all", "upstream": f"y@{version}"})["purl"]
    parsed = PackageURL.from_string(purl)
    assert (parsed.version, parsed.to_string()) == (version, purl)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("License: MIT", [{"license": {"name": "MIT"}}]),
        ("License: UNKNOWN", []),
        ("License: Copyright somebody\n        all of it", []),
        ("License: " + "x" * 61, []),
        ("Author: somebody", []),
    ],
)
def test_a_licence_that_is_no_expression(line: str, expected: list[dict[str, Any]]) -> None:
    (one,) = listed(**{f"{LIBRARIES}/x.dist-info/METADATA": metadata("Name: x", "Version: 1", line)}).values()
    assert one.get("licenses", []) == expected
