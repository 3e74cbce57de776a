"""Channels: named pointers to releases (`nightly`, `stable`), moved by promotion and rollback.

Invariants:
- A channel is replaced only with If-Match on what was read, so that no move is lost if two race.
- A channel holds its own name: one stored under another key is an integrity error.
- `sequence` grows by one with each move and `history` keeps every move, the newest last.
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pydantic import AwareDatetime, Field, model_validator

from artifacts.canonical import canonical_bytes
from artifacts.errors import Conflict, NotFound
from artifacts.frozen import Frozen
from artifacts.releases.releases import NAME_PATTERN, VERSION_PATTERN, Release
from artifacts.store import warn_skipped

if TYPE_CHECKING:
    from artifacts.store import Store


MOVE_ATTEMPTS = 64
KEY_PATTERN = re.compile(rf"{NAME_PATTERN[1:-1]}\.json")


class Move(Frozen):
    """One move of a channel."""

    id: str = Field(description="Unique; distinguishes a repeated write of this move from another move.")
    version: str = Field(pattern=VERSION_PATTERN, description="Version that it pointed to from then on.")
    at: AwareDatetime = Field(description="When it was moved, with time zone.")
    reason: str = Field(description="Why it was moved.")


class Channel(Frozen):
    """`channels/<name>/<channel>.json`."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the spec whose releases it points to.")
    channel: str = Field(pattern=NAME_PATTERN, description="Name of the channel, such as stable.")
    sequence: int = Field(ge=1, description="Count of moves so far.")
    version: str = Field(pattern=VERSION_PATTERN, description="Version that it points to now.")
    history: tuple[Move, ...] = Field(min_length=1, description="All moves, the newest last.")

    @model_validator(mode="after")
    def _matches_its_history(self) -> Self:
        if self.sequence != len(self.history):
            raise ValueError(f"sequence {self.sequence} is not the count of its {len(self.history)} moves")
        if self.version != (last := self.history[-1].version):
            raise ValueError(f"it points to {self.version}, but its last move to {last}")
        return self


def read_channel(store: "Store", name: str, channel: str) -> Channel:
    """Return the channel as it is now; raises NotFound, and IntegrityError if it is another one."""
    return store.read_record(_key(name, channel), Channel, _key_of)


def list_channels(store: "Store", name: str) -> tuple[Channel, ...]:
    """Return all channels of a name, sorted; other objects are skipped with a warning."""
    prefix = f"channels/{name}/"
    keys: list[str] = []
    for key in store.bucket.keys(prefix):
        if KEY_PATTERN.fullmatch(key.removeprefix(prefix)):
            keys.append(key)
        else:
            warn_skipped(store.bucket, key, "it is not a channel")
    return store.read_records(keys, Channel, _key_of)


def move_channel(
    store: "Store",
    channel: str,
    release: Release,
    reason: str,
    *,
    leave: Callable[[Channel], bool] = lambda _channel: False,
) -> Channel:
    """Point a channel to a published release; a channel that already points there stays as it is.

    So does one for which `leave` is true; it is asked about every state that the move would replace. Returns
    the channel as it is then. Raises Conflict if other movers win again and again.
    """
    key = _key(release.name, channel)
    move = Move(id=uuid.uuid4().hex, version=release.version, at=datetime.now(UTC), reason=reason)
    for _attempt in range(MOVE_ATTEMPTS):
        before, etag = _current(store, key)
        if before and (_has_move(before, move) or leave(before)):
            return before
        after = _moved(before, release.name, channel, move)
        try:
            store.bucket.put(key, canonical_bytes(after), if_absent=before is None, if_match=etag)
        except Conflict:
            continue
        return after
    raise Conflict(f"channel {channel} was moved by others {MOVE_ATTEMPTS} times", where=key, fix="try again")


def _current(store: "Store", key: str) -> tuple[Channel | None, str | None]:
    """Return the channel and its ETag, or (None, None) if it does not exist yet."""
    try:
        channel, etag = store.read_record_and_etag(key, Channel, _key_of)
    except NotFound:
        return None, None
    return channel, etag


def _has_move(channel: Channel, move: Move) -> bool:
    """Whether nothing is left to do: a write whose answer was lost counts, whatever came after it."""
    return channel.version == move.version or any(past.id == move.id for past in channel.history)


def _moved(before: Channel | None, name: str, channel: str, move: Move) -> Channel:
    history = before.history if before else ()
    sequence = before.sequence if before else 0
    return Channel(
        name=name, channel=channel, sequence=sequence + 1, version=move.version, history=(*history, move)
    )


def _key_of(channel: Channel) -> str:
    return _key(channel.name, channel.channel)


def _key(name: str, channel: str) -> str:
    return f"channels/{name}/{channel}.json"
