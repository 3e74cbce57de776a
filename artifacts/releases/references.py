"""References to releases: `name`, `name@1.4`, `name@1.4.2`, `name:channel`.

`name` means `name:stable` or, if nothing was ever promoted to stable, the newest release. `name@1.4` is the
newest published patch of 1.4; `name@1.4.2` is exactly that.
"""

import re
from typing import TYPE_CHECKING

from pydantic import Field

from artifacts.errors import BadReference, NotFound
from artifacts.frozen import Frozen
from artifacts.releases.channels import list_channels, read_channel
from artifacts.releases.releases import Release, list_names, published_versions, read_release

if TYPE_CHECKING:
    from artifacts.store import Store

DEFAULT_CHANNEL = "stable"
PATTERN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)"
    r"(@(?P<version>(0|[1-9]\d*)\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?)|:(?P<channel>[a-z0-9][a-z0-9._-]*))?"
)


class Reference(Frozen):
    """A parsed reference: a version or a channel of a name."""

    name: str = Field(description="Name of the spec.")
    version: str | None = Field(description="major.minor or major.minor.patch; none for a channel.")
    channel: str | None = Field(description="Channel; none for a version, and for a name alone.")


class Resolved(Frozen):
    """What a reference means in a store now."""

    release: Release = Field(description="The release.")
    reason: str = Field(
        description="Which release was chosen, and why; empty if the reference gave the whole version."
    )


def parse_reference(text: str) -> Reference:
    """Parse a reference; raises BadReference."""
    match = PATTERN.fullmatch(text)
    if match is None:
        raise BadReference(
            f"{text!r} is not a reference to a release",
            fix="write name, name:channel, name@1.4 or name@1.4.2, such as demo:nightly",
        )
    return Reference(name=match["name"], version=match["version"], channel=match["channel"])


def resolve(store: "Store", text: str) -> Resolved:
    """Return the release that a reference means; raises BadReference, or NotFound, which says what exists."""
    reference = parse_reference(text)
    try:
        version, reason = _version(store, reference)
        release = read_release(store, reference.name, version)
    except NotFound as error:
        raise _not_found(store, reference, text) from error
    meaning = f"{text} means {reference.name}@{version}: {reason}" if reason else ""
    return Resolved(release=release, reason=meaning)


def _version(store: "Store", reference: Reference) -> tuple[str, str]:
    """Return the version, and why it was chosen; raises NotFound."""
    if reference.channel:
        found = read_channel(store, reference.name, reference.channel).version
        return found, f"its channel {reference.channel} points there"
    if reference.version is None:
        return _default_version(store, reference.name)
    if reference.version.count(".") == 2:
        return reference.version, ""
    newest = _newest(store, reference.name, reference.version)
    return newest, f"the newest release of {reference.version}"


def _default_version(store: "Store", name: str) -> tuple[str, str]:
    try:
        version = read_channel(store, name, DEFAULT_CHANNEL).version
    except NotFound:
        return _newest(store, name), f"its newest release, as it has no channel {DEFAULT_CHANNEL}"
    return version, f"its channel {DEFAULT_CHANNEL} points there"


def _newest(store: "Store", name: str, of: str = "") -> str:
    versions = [
        known for known in published_versions(store, name) if known.startswith(f"{of}." if of else "")
    ]
    if not versions:
        raise NotFound(f"there is no release of {of or name}")
    return versions[-1]


def _not_found(store: "Store", reference: Reference, text: str) -> NotFound:
    """Make the error for what does not exist, with what exists and what to type."""
    versions = published_versions(store, reference.name)
    if not versions:
        names = ", ".join(list_names(store)) or "none at all"
        return NotFound(
            f"there is no release of {reference.name!r}",
            where=f"{store.bucket}; names there: {names}",
            fix=f"publish one (`enginery build {reference.name}`), or ask for a name that exists",
        )
    channels = list_channels(store, reference.name)
    newest = f"{reference.name}@{versions[-1]}"
    choices = [f"{reference.name}:{channel.channel}" for channel in channels] + [newest]
    missing = f"channel {reference.channel!r}" if reference.channel else f"version {reference.version}"
    pointers = ", ".join(f"{channel.channel} -> {channel.version}" for channel in channels) or "none"
    return NotFound(
        f"{reference.name} has no {missing} ({text})",
        where=f"{store.bucket}; channels: {pointers}; versions: {', '.join(versions)}",
        fix=f"ask for {' or '.join(choices)}",
    )
