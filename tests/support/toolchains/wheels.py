"""Tiny wheels, built in place, for installing without a network."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path


def make_wheel(directory: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a pure-Python wheel with these files (path: text); returns its path."""
    info = f"{name}-{version}.dist-info"
    contents = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_record_digest(text)},{len(text.encode())}" for path, text in contents.items()]
    record = "\n".join([*rows, f"{info}/RECORD,,", ""])
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in (contents | {f"{info}/RECORD": record}).items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), text)
    return wheel


def make_source(directory: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a source distribution with these files (path: text); returns its path."""
    top = f"{name}-{version}"
    contents = files | {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    archive = directory / f"{top}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path, text in contents.items():
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive


def simple_index(directory: Path, files: Iterable[Path]) -> str:
    """Write a package index ("simple" API, as files) that serves these; returns its address."""
    for file in files:
        folder = directory / file.name.partition("-")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(file.read_bytes())
        (folder / "index.html").write_text(
            f'<!DOCTYPE html><html><body><a href="{file.name}">{file.name}</a></body></html>'
        )
    return directory.as_uri()


def lock_line(wheel: Path) -> str:
    """The line of a lock that pins this wheel with its hash."""
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _record_digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
