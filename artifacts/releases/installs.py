"""The layout of what is installed on a serving host.

ROOT/<name>/<version>/<variant>/                 exactly the tree; nothing is added to it
ROOT/<name>/<version>/.enginery/<variant>.json   its record, written before the directory appears
ROOT/<name>/<version>/.enginery/release.json     the release
ROOT/<name>/<version>/.enginery/partial/         an unfinished download, which the next pull resumes
ROOT/<name>/current                              link to what was pulled last: <version>/<variant>

Invariants:
- Whatever is there without a record was made by somebody else, and is left alone; so is a `current` that no
  pull can have made.
- A recorded version never changes: the store must later name the same release and the same tree.
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
# Names that an install needs itself; specs refuse them, too (`engine_specs.reading.names`).
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
    installed_at: AwareDatetime = Field(description="When it was installed, with time zone.")


class InstallPaths:
    """Where a variant of a release is installed below a root."""

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
        """Return where a tree is downloaded to."""
        return self.records / "partial" / tree


def refuse_reserved(release: Release, variant: str) -> None:
    """Raise NothingFits if a variant has a name that this layout needs itself."""
    if variant in RESERVED_VARIANTS or re.fullmatch(VERSION_PATTERN, variant):
        raise NothingFits(
            f"variant {variant!r} of {release.name}@{release.version} cannot be installed: an install uses "
            f"the names {', '.join(RESERVED_VARIANTS)} itself, and names directories after versions",
            where=f"{release.name}@{release.version}, variant {variant}",
            fix="give the variant another name in its spec, and publish it again",
        )


def refuse_foreign(paths: InstallPaths) -> None:
    """Raise InTheWay if something that no pull made occupies the place of an install."""
    fix = "move it away, or pull to another directory"
    if os.path.lexists(paths.directory) and not paths.record.exists():
        what = f"{paths.directory} was not made by a pull: there is no record of it"
        raise InTheWay(what, where=str(paths.record), fix=fix)
    if os.path.lexists(paths.current) and (why := _why_foreign(paths.current)):
        what = f"{paths.current} was not made by a pull: {why}"
        raise InTheWay(what, where=str(paths.current), fix=fix)


def _why_foreign(current: Path) -> str:
    """Say why no pull can have made what is named `current`; empty if one can.

    A pull links to <version>/<variant>, which has a record or, where somebody has removed that version
    since, does not exist.
    """
    if not current.is_symlink():
        return "it is not a link"
    target, name = current.readlink(), current.parent
    if len(target.parts) != 2 or not re.fullmatch(VERSION_PATTERN, target.parts[0]):
        return f"it links to {target}, and a pull links to VERSION/VARIANT"
    linked = InstallPaths(name.parent, name.name, *target.parts)
    if os.path.lexists(linked.directory) and not linked.record.exists():
        return f"it links to {target}, of which there is no record"
    return ""


def refuse_change(paths: InstallPaths, release: Release, tree: str) -> None:
    """Raise IntegrityError if this host recorded another release, or another tree, for this version.

    A record that cannot be read is ignored, and written again.
    """
    recorded, installed = _recorded(paths.release, Release), _recorded(paths.record, InstallRecord)
    changed = list(_changes(recorded, release)) if recorded else []
    if installed and installed.listing.digest != tree:
        changed.append(f"the tree of variant {installed.variant}, from {installed.listing.digest} to {tree}")
    if changed:
        raise IntegrityError(
            f"{release.name}@{release.version} is not what this host recorded; changed: {', '.join(changed)}",
            where=str(paths.records),
            fix="find out who changed the store before you trust it, as a published version never changes; "
            f"if the store was recreated on purpose, remove {paths.records.parent} and pull again",
        )


def record_release(paths: InstallPaths, release: Release) -> None:
    """Write the record of a release unless it is there already."""
    if _recorded(paths.release, Release) != release:
        write_atomically(paths.release, release.model_dump_json(indent=2).encode())


def _recorded(path: Path, model: type[RecordT]) -> RecordT | None:
    try:
        return read_local(path, model)
    except (NotFound, IntegrityError):
        return None


def _changes(recorded: Release, release: Release) -> Iterator[str]:
    """Name what differs between a release and its record: fields, and variants by name."""
    for field in Release.model_fields:
        if field != "variants" and getattr(recorded, field) != getattr(release, field):
            yield field
    before, now = ({one.name: one for one in each.variants} for each in (recorded, release))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"variant {name}"


def is_install(directory: Path) -> bool:
    """Whether a pull installed a directory; links such as `current` are followed."""
    directory = directory.resolve()
    return (directory.parent / RECORDS / f"{directory.name}.json").is_file()


def read_install(directory: Path) -> InstallRecord:
    """Return the record of an installed directory, following links such as `current`; raises NotFound."""
    directory = directory.resolve()
    return read_local(directory.parent / RECORDS / f"{directory.name}.json", InstallRecord)


def installed_variant(directory: Path) -> VariantRelease:
    """Return the variant that a directory was installed as, from its release; raises NotFound."""
    directory = directory.resolve()
    release = read_local(directory.parent / RECORDS / "release.json", Release)
    return release.variant(read_install(directory).variant)


def require_whole(directory: Path) -> None:
    """Raise IntegrityError if a file of an installed directory is missing, truncated or unexpected.

    Compares names and sizes; `verify_install` reads every byte.
    """
    directory = directory.resolve()
    if difference := compare(directory, read_install(directory).listing):
        raise IntegrityError(difference, where=str(directory), fix=REINSTALL)


def verify_install(directory: Path) -> None:
    """Read every byte of an installed directory and compare it with the release that it came from.

    Raises IntegrityError naming what differs, NotFound if nothing was installed.
    """
    directory = directory.resolve()
    record = read_install(directory)
    if installed_variant(directory).tree != record.listing.digest:
        raise IntegrityError(
            f"the record of {record.variant} lists a different tree than its release",
            where=str(directory.parent / RECORDS),
            fix=REINSTALL,
        )
    with disk_errors(directory):
        verify(directory, record.listing)


def read_local(path: Path, model: type[RecordT]) -> RecordT:
    """Read a record of this host; raises NotFound, and IntegrityError if it is damaged."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"{path.parent.parent} holds nothing that was pulled: {path.name} is missing",
            where=str(path),
            fix="name ROOT/<name>/<version>/<variant> or ROOT/<name>/current of an `enginery pull`",
        ) from error
    except ValidationError as error:
        raise IntegrityError(
            "the record is damaged", where=str(path), fix="pull again, which writes it anew"
        ) from error
