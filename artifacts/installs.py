"""What is installed on a serving host: the record beside each installed directory, and its verification."""

from pathlib import Path

from pydantic import AwareDatetime, Field

from artifacts.engine import ServeRecipe
from artifacts.frozen import Frozen
from artifacts.trees import Listing


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


def read_install(directory: Path) -> InstallRecord:
    """The record of an installed directory, `current` links followed; raises NotFound."""
    raise NotImplementedError


def verify_install(directory: Path) -> None:
    """Read every byte of an installed directory; raises IntegrityError naming what differs."""
    raise NotImplementedError
