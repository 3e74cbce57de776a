"""Channels: named pointers to releases (`nightly`, `stable`), moved by promotion and rollback.

Invariants:
- A channel is replaced only with If-Match on what was read, so that no move is lost between two that race.
- `sequence` grows by one with each move and `history` keeps every move, the newest last.
"""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from artifacts.frozen import Frozen
from artifacts.releases import NAME_PATTERN, VERSION_PATTERN, Release

if TYPE_CHECKING:
    from artifacts.store import Store


class Move(Frozen):
    """One move of a channel."""

    id: str = Field(description="Unique; tells a repeated write of the same move from another move.")
    version: str = Field(pattern=VERSION_PATTERN, description="Version that it pointed to from then on.")
    at: AwareDatetime = Field(description="When, with its time zone.")
    reason: str = Field(description="Why it was moved.")


class Channel(Frozen):
    """`channels/<name>/<channel>.json`."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the spec whose releases it points to.")
    channel: str = Field(pattern=NAME_PATTERN, description="Name of the channel, such as stable.")
    sequence: int = Field(ge=1, description="Count of moves so far.")
    version: str = Field(pattern=VERSION_PATTERN, description="Version that it points to now.")
    history: tuple[Move, ...] = Field(min_length=1, description="All moves, the newest last.")


def read_channel(store: "Store", name: str, channel: str) -> Channel:
    """The channel as it is now; raises NotFound."""
    raise NotImplementedError


def list_channels(store: "Store", name: str) -> tuple[Channel, ...]:
    """All channels of a name, sorted by channel."""
    raise NotImplementedError


def move_channel(store: "Store", channel: str, release: Release, reason: str) -> Channel:
    """Point a channel to a published release; a channel that points there already stays as it is."""
    raise NotImplementedError
