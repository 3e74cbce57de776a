"""Trees that a stand-in of a tool made: tests look at them, and nothing else may come of them.

A tool that needs a GPU is exercised on other hosts by a stand-in at the process boundary. What it writes has
the format of an engine and computes nothing, so `engine.json` says `stand_in: true`, and every way from a
tree to a verdict, a release or a serving host asks here first.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from artifacts.errors import NoSuchFile, StandInRefused
from artifacts.hosts.engine import ENGINE_FILE

if TYPE_CHECKING:
    from artifacts.store import Store


class _Mark(BaseModel):
    """What of `engine.json` decides; the rest may be of another version of enginery."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    stand_in: bool = False


def refuse_stand_in(store: "Store", tree: str, purpose: str) -> None:
    """Raise StandInRefused where `engine.json` of a tree in the store says that a stand-in made it.

    A tree without `engine.json` is a checkpoint or a report, and passes. Reads the listing and that one file.

    Args:
        store: where the tree is kept.
        tree: digest of the tree.
        purpose: what it was about to be, as in "measured" or "published".

    Raises:
        StandInRefused: it is a stand-in's.
        IntegrityError: `engine.json`, or the listing, is damaged or cannot be read.
        NotFound: the store has no such tree.
    """
    try:
        mark = store.read_document(tree, ENGINE_FILE, _Mark)
    except NoSuchFile:
        return
    if mark.stand_in:
        raise StandInRefused(
            f"tree {tree} was made by a stand-in of the engine's tool, and was to be {purpose}",
            where=f"{store.bucket}, {ENGINE_FILE} of that tree: stand_in",
            fix="build the engine with the tool itself, on a host that has it (`enginery toolchain list`)",
        )
