"""What is installed on a serving host.

ROOT/<name>/<version>/<variant>/                 exactly the tree; nothing is added to it
ROOT/<name>/<version>/.enginery/<variant>.json   its record, written before the directory appears
ROOT/<name>/<version>/.enginery/release.json     the release
ROOT/<name>/<version>/.enginery/partial/         a download under way; the next pull goes on from it
ROOT/<name>/current                              link to what was pulled last: <version>/<variant>

Invariants:
- Whatever stands there without a record was made by somebody else, and is left alone.
- A recorded version never changes: the release and the tree that the store names later are those recorded.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from artifacts.disk import disk_errors, write_atomically
from artifacts.errors import IntegrityError, InTheWay, NotFound, NothingFits
from artifacts.frozen import Frozen
from artifacts.hosts import ServeCommand
from artifacts.releases.releases import VERSION_PATTERN, Release, VariantRelease
from artifacts.store import REINSTALL, Listing, compare, verify

RECORDS = ".enginery"
CURRENT = "current"
# Names that an install has for itself; specs refuse them, too (`engine_specs.reading.names`).
RESERVED_VARIANTS = (CURRENT, "lock", "partial", "release", "replaced")
RecordT = TypeVar("RecordT", bound=BaseModel)


class InstallRecord(Frozen):
    """`ROOT/<name>/<version>/.enginery/<variant>.json`."""

    name: str = Field(description="Name of the release.")
    version: str = Field(description="Version of the release.")
    variant: str = Field(description="Name of the variant.")
    verdict: str = Field(description="compile or stay-on-vllm.")
    serve: ServeCommand = Field(description="The command that serves the directory.")
    listing: Listing = Field(description="The tree that the directory is.")
    reason: str = Field(description="Why this variant was picked for this host.")
    installed_at: AwareDatetime = Field(description="When, with its time zone.")


class InstallPaths:
    """Where a variant of a release stands below a root."""

    def __init__(self, root: Path, name: str, version: str, variant: str) -> None:
        self.directory = root / name / version / variant
        self.records = root / name / version / RECORDS
        self.record = self.records / f"{variant}.json"
        self.release = self.records / "release.json"
        self.lock = self.records / "lock"
        self.replaced = self.records / "replaced"
        self.current = root / name / CURRENT
        self.current_target = Path(version) / variant

    def partial(self, tree: str) -> Path:
        """Where a tree is downloaded to."""
        return self.records / "partial" / tree


def refuse_reserved(release: Release, variant: str) -> None:
    """Raise NothingFits where a variant has a name that this layout needs for itself."""
    if variant in RESERVED_VARIANTS or re.fullmatch(VERSION_PATTERN, variant):
        raise NothingFits(
            f"Variant {variant!r} of {release.name}@{release.version} cannot be installed: an install keeps "
            f"records under the names {', '.join(RESERVED_VARIANTS)}, and versions are directories of it.",
            where=f"{release.name}@{release.version}, variant {variant}",
            fix="Give the variant another name in its spec, and publish it again.",
        )


def refuse_other_hands(paths: InstallPaths) -> None:
    """Raise InTheWay where something stands in the places of an install that no pull made."""
    fix = "Move it away, or pull to another directory."
    if os.path.lexists(paths.directory) and not paths.record.exists():
        what = f"{paths.directory} was not made by a pull: there is no record of it."
        raise InTheWay(what, where=str(paths.record), fix=fix)
    if os.path.lexists(paths.current) and not paths.current.is_symlink():
        what = f"{paths.current} was not made by a pull: it is no link."
        raise InTheWay(what, where=str(paths.current), fix=fix)


def refuse_change(paths: InstallPaths, release: Release, tree: str) -> None:
    """Raise IntegrityError where this host recorded another release, or another tree, under that version.

    A record that cannot be read says nothing, and is written again.
    """
    recorded, installed = _recorded(paths.release, Release), _recorded(paths.record, InstallRecord)
    changed = list(_changes(recorded, release)) if recorded else []
    if installed and installed.listing.digest != tree:
        changed.append(f"the tree of variant {installed.variant}, from {installed.listing.digest} to {tree}")
    if changed:
        raise IntegrityError(
            f"{release.name}@{release.version} is not what this host recorded; changed: "
            f"{', '.join(changed)}.",
            where=str(paths.records),
            fix="A published version never changes: find out who changed the store before you trust it. "
            f"Where the store was made anew on purpose, remove {paths.records.parent} and pull again.",
        )


def record_release(paths: InstallPaths, release: Release) -> None:
    """Write the record of a release where there is none that can be read."""
    if _recorded(paths.release, Release) != release:
        write_atomically(paths.release, release.model_dump_json(indent=2).encode())


def _recorded(path: Path, model: type[RecordT]) -> RecordT | None:
    try:
        return read_local(path, model)
    except (NotFound, IntegrityError):
        return None


def _changes(recorded: Release, release: Release) -> Iterator[str]:
    """What of a release differs from what was recorded: fields, and variants by name."""
    for field in Release.model_fields:
        if field != "variants" and getattr(recorded, field) != getattr(release, field):
            yield field
    before, now = ({one.name: one for one in each.variants} for each in (recorded, release))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"variant {name}"


def is_install(directory: Path) -> bool:
    """Whether a pull installed a directory, links such as `current` followed."""
    directory = directory.resolve()
    return (directory.parent / RECORDS / f"{directory.name}.json").is_file()


def read_install(directory: Path) -> InstallRecord:
    """The record of an installed directory, links such as `current` followed; raises NotFound."""
    directory = directory.resolve()
    return read_local(directory.parent / RECORDS / f"{directory.name}.json", InstallRecord)


def installed_variant(directory: Path) -> VariantRelease:
    """The variant that a directory was installed as, from its release; raises NotFound."""
    directory = directory.resolve()
    release = read_local(directory.parent / RECORDS / "release.json", Release)
    return release.variant(read_install(directory).variant)


def require_whole(directory: Path) -> None:
    """Raise IntegrityError where a file of an installed directory is missing, truncated or too many.

    Compares names and sizes; `verify_install` reads every byte.
    """
    directory = directory.resolve()
    if difference := compare(directory, read_install(directory).listing):
        raise IntegrityError(difference, where=str(directory), fix=REINSTALL)


def verify_install(directory: Path) -> None:
    """Read every byte of an installed directory and compare it with the release that it came from.

    Raises IntegrityError naming what differs, NotFound where nothing was installed.
    """
    directory = directory.resolve()
    record = read_install(directory)
    if installed_variant(directory).tree != record.listing.digest:
        raise IntegrityError(
            f"The record of {record.variant} lists another tree than its release.",
            where=str(directory.parent / RECORDS),
            fix=REINSTALL,
        )
    with disk_errors(directory):
        verify(directory, record.listing)


def read_local(path: Path, model: type[RecordT]) -> RecordT:
    """A record of this host; raises NotFound, and IntegrityError where it cannot be read."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"{path.parent.parent} holds nothing that was pulled here: {path.name} is missing.",
            where=str(path),
            fix="Name ROOT/<name>/<version>/<variant> or ROOT/<name>/current of an `enginery pull`.",
        ) from error
    except ValidationError as error:
        raise IntegrityError(
            "The record is damaged.", where=str(path), fix="Pull again: it is written anew."
        ) from error
