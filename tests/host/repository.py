"""Debian packages as small as they can be, and a repository of them in a directory."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A package: what is in it, its configuration files and its scripts, each by its name."""

    name: str
    version: str
    files: Mapping[str, str] = {}
    conffiles: tuple[str, ...] = ()
    scripts: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}


def publish(place: Path, *packages: Package) -> None:
    """Build the packages into the directory, with the index that apt reads from it."""
    place.mkdir(parents=True)
    stanzas: list[str] = []
    for package in packages:
        tree = place / "tree"
        for path, text in package.files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        control = _control(package)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        if package.conffiles:
            (tree / "DEBIAN" / "conffiles").write_text("".join(f"/{path}\n" for path in package.conffiles))
        for script, text in package.scripts.items():
            (tree / "DEBIAN" / script).write_text(f"#!/bin/sh\n{text}\n")
            (tree / "DEBIAN" / script).chmod(0o755)
        file = place / f"{package.name}_{package.version}.deb"
        build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(file)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        tree.rename(place / f"tree.{len(stanzas)}")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        size = file.stat().st_size
        stanzas.append(f"{control}Filename: ./{file.name}\nSize: {size}\nSHA256: {digest}\n")
    (place / "Packages").write_text("\n".join(stanzas))


def _control(package: Package) -> str:
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": "all",
        "Maintainer": "Nobody <nobody@example.com>",
        "Description": "made by a test",
    } | dict(package.fields)
    return "".join(f"{name}: {value}\n" for name, value in fields.items())
