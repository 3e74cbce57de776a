"""What is installed on a serving host.

ROOT/<name>/<version>/<variant>/                 exactly the tree; nothing is added to it
ROOT/<name>/<version>/.enginery/<variant>.json   its record, written before the directory appears
ROOT/<name>/<version>/.enginery/release.json     the release
ROOT/<name>/<version>/.enginery/partial/         a download under way; the next pull goes on from it
ROOT/<name>/current                              link to what was pulled last: <version>/<variant>
"""

from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from artifacts.disk import disk_errors
from artifacts.engine import ServeRecipe
from artifacts.errors import IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.releases import Release, VariantRelease
from artifacts.trees import REINSTALL, Listing, compare, verify

RECORDS = ".enginery"
CURRENT = "current"
RecordT = TypeVar("RecordT", bound=BaseModel)


class InstallRecord(Frozen):
    """`ROOT/<name>/<version>/.enginery/<variant>.json`."""

    name: str = Field(description="Name of the release.")
    version: str = Field(description="Version of the release.")
    variant: str = Field(description="Name of the variant.")
    verdict: str = Field(description="compile or stay-on-vllm.")
    serve: ServeRecipe = Field(description="The command that serves the directory.")
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
            "The record is damaged.", where=str(path), fix="Remove it and pull again."
        ) from error
