"""The wheelhouse: a directory of wheels that are on no package index, with the digest of each.

It is named by `ENGINERY_WHEELHOUSE` and holds the wheels and a file `SHA256SUMS`, as `sha256sum *.whl` prints
it. It may hold wheels for several machine types, Python versions and toolchains.

Invariants:
- Only wheels are taken, never sources. What a package index offers as sources of these distributions are
  stubs, which fetch whatever wheel they find elsewhere when they are built.
- A wheel that SHA256SUMS does not list counts as missing. One whose bytes differ from the listed digest is
  refused as corrupt, before uv sees it; uv is given the same digests and checks them again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pydantic import Field

from artifacts.canonical import Digest, sha256_file
from artifacts.frozen import Frozen
from tasks.errors import ToolchainCorrupt, ToolchainUnavailable
from tasks.toolchains.declarations import Declaration, WheelRequirement
from tasks.toolchains.host_checks import Obstacle

SUMS = "SHA256SUMS"
SUMS_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>[^/]+)")
SETTING = "ENGINERY_WHEELHOUSE"


class Wheel(Frozen):
    """One wheel that was chosen from the wheelhouse."""

    name: str = Field(description="Normalised name of its distribution.")
    version: str
    path: Path
    sha256: Digest = Field(description="What SHA256SUMS lists.")


class Chosen(Frozen):
    """The wheelhouse has everything that a toolchain needs."""

    wheels: tuple[Wheel, ...] = Field(description="In the order of the declaration.")

    def requirements(self) -> str:
        """A requirements file of exactly these wheels."""
        return "".join(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in self.wheels)

    def size_bytes(self) -> int:
        """Size of the wheels, packed, in bytes."""
        return sum(each.path.stat().st_size for each in self.wheels)


class Lacking(Frozen):
    """The wheelhouse is missing, or lacks something."""

    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True)
class Unfit:
    """Why a file of the wheelhouse is not taken."""

    why: str


def choose_wheels(declared: Declaration, directory: Path | None) -> Chosen | Lacking:
    """The wheels of a toolchain: the newest version of each that the declaration accepts.

    Bytes are not read: `require_intact` does that.
    """
    if not declared.wheelhouse:
        return Chosen(wheels=())
    if directory is None or not (directory / SUMS).is_file():
        return Lacking(obstacles=(_no_wheelhouse(declared, directory),))
    try:
        listed = read_sums(directory / SUMS)
    except ToolchainUnavailable as error:
        return Lacking(obstacles=(Obstacle(reason=error.what, fix=error.fix),))
    tags = frozenset(_tags(declared))
    found = [_choose(each, directory, listed, tags, declared) for each in declared.wheelhouse]
    if lacking := tuple(each for each in found if isinstance(each, Obstacle)):
        return Lacking(obstacles=lacking)
    return Chosen(wheels=tuple(each for each in found if isinstance(each, Wheel)))


def require_intact(chosen: Chosen) -> None:
    """Read the wheels; raises ToolchainCorrupt for the first whose bytes are not those listed."""
    for wheel in chosen.wheels:
        if (found := sha256_file(wheel.path)) != wheel.sha256:
            raise ToolchainCorrupt(
                f"{wheel.path.name} has the digest {found}, and {SUMS} lists {wheel.sha256}",
                where=str(wheel.path),
                fix="get it again from its source; list its new digest only if you know why it changed",
            )


def read_sums(path: Path) -> dict[str, str]:
    """The digests that a SHA256SUMS lists, by file name; raises ToolchainUnavailable if it is invalid."""
    listed = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not (found := SUMS_LINE.fullmatch(line)):
            raise ToolchainUnavailable(
                f"line {number} of {path} is not a digest and the name of a file next to it: {line!r}",
                fix=f"write it again: cd {path.parent} && sha256sum *.whl > {SUMS}",
            )
        listed[found["name"]] = found["sha256"]
    return listed


def _no_wheelhouse(declared: Declaration, directory: Path | None) -> Obstacle:
    wanted = ", ".join(f"{each.name} {each.version} ({each.source})" for each in declared.wheelhouse)
    why = f"{SETTING} is not set" if directory is None else f"{directory} is not a directory with a {SUMS}"
    reason = f"wheels that are on no package index are needed, and {why}"
    fix = (
        f"put these wheels for Python {declared.python} on {declared.machine} into one directory: {wanted}; "
        f"check their digests against those of their sources; run sha256sum *.whl > {SUMS} there; "
        f"set {SETTING} to the directory"
    )
    return Obstacle(reason=reason, fix=fix)


def _choose(
    wanted: WheelRequirement,
    directory: Path,
    listed: dict[str, str],
    tags: frozenset[Tag],
    declared: Declaration,
) -> Wheel | Obstacle:
    fitting: list[tuple[Version, Path]] = []
    unfit: list[str] = []
    for path in _candidates(wanted.name, directory):
        match _judge(path, wanted, tags, listed):
            case Unfit(why=why):
                unfit.append(f"{path.name} {why}")
            case version:
                fitting.append((version, path))
    if fitting:
        version, path = max(fitting)
        return Wheel(name=wanted.name, version=str(version), path=path, sha256=listed[path.name])
    platform = f"Python {declared.python} on {declared.machine}"
    there = "; ".join(unfit) or f"no file of {wanted.name}"
    reason = (
        f"the wheelhouse {directory} has no wheel of {wanted.name} {wanted.version} for {platform}: {there}"
    )
    return Obstacle(reason=reason, fix=f"put it there and list it in {SUMS}; source: {wanted.source}")


def _candidates(name: str, directory: Path) -> Iterator[Path]:
    """All files that are named after this distribution, wheels or not."""
    for path in sorted(directory.iterdir()):
        stem = re.split(r"-\d", path.name, maxsplit=1)[0]
        if path.is_file() and canonicalize_name(stem) == name:
            yield path


def _judge(
    path: Path, wanted: WheelRequirement, tags: frozenset[Tag], listed: Mapping[str, str]
) -> Version | Unfit:
    """The version of a wheel that can be taken, or the reason why it cannot."""
    if path.suffix != ".whl":
        return Unfit(
            "is not a wheel (its sources fetch other packages when they are built, and are never used)"
        )
    try:
        _, version, _, its_tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        return Unfit("has an invalid name for a wheel")
    if not wanted.specifier.contains(version, prereleases=True):
        return Unfit("has another version")
    if not its_tags & tags:
        return Unfit("is for another Python or machine")
    return version if path.name in listed else Unfit(f"is not listed in {SUMS}")


def _tags(declared: Declaration) -> Iterator[Tag]:
    """The tags of wheels that its interpreter takes on its machine type, up to its C library's version."""
    _, _, minor = declared.glibc.partition(".")
    platforms = [f"manylinux_2_{number}_{declared.machine}" for number in range(int(minor), 4, -1)]
    platforms += [f"{older}_{declared.machine}" for older in ("manylinux2014", "manylinux2010", "linux")]
    version = tuple(int(part) for part in declared.python.split("."))
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{''.join(map(str, version))}", platforms)


def named(wheels: Sequence[Wheel]) -> dict[str, str]:
    """The versions of wheels by normalised name."""
    return {each.name: each.version for each in wheels}
