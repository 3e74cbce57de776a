"""References to releases: `name`, `name@1.4`, `name@1.4.2`, `name:channel`.

`name` means `name:stable`. `name@1.4` is the newest published patch of 1.4; `name@1.4.2` is exactly that.
"""

import re
from typing import TYPE_CHECKING

from pydantic import Field

from artifacts.channels import list_channels, read_channel
from artifacts.errors import BadReference, NotFound
from artifacts.frozen import Frozen
from artifacts.releases import Release, list_names, published_versions, read_release

if TYPE_CHECKING:
    from artifacts.store import Store

DEFAULT_CHANNEL = "stable"
PATTERN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)"
    r"(@(?P<version>(0|[1-9]\d*)\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?)|:(?P<channel>[a-z0-9][a-z0-9._-]*))?"
)


class Reference(Frozen):
    """A reference, read: a version or a channel of a name."""

    name: str = Field(description="Name of the spec.")
    version: str | None = Field(description="major.minor or major.minor.patch; none for a channel.")
    channel: str | None = Field(description="Channel; none for a version.")


def parse_reference(text: str) -> Reference:
    """Read a reference; raises BadReference."""
    match = PATTERN.fullmatch(text)
    if match is None:
        raise BadReference(
            f"{text!r} is not a reference to a release.",
            fix="Write name, name:channel, name@1.4 or name@1.4.2, such as demo:nightly.",
        )
    version = match["version"]
    return Reference(
        name=match["name"],
        version=version,
        channel=None if version else match["channel"] or DEFAULT_CHANNEL,
    )


def resolve(store: "Store", text: str) -> Release:
    """The release that a reference means; raises BadReference, or NotFound, which says what there is."""
    reference = parse_reference(text)
    try:
        return read_release(store, reference.name, _version(store, reference))
    except NotFound as error:
        raise _explained(store, reference, text) from error


def _version(store: "Store", reference: Reference) -> str:
    if reference.channel:
        return read_channel(store, reference.name, reference.channel).version
    version = reference.version or ""
    if version.count(".") == 2:
        return version
    patches = [
        known for known in published_versions(store, reference.name) if known.startswith(f"{version}.")
    ]
    if not patches:
        raise NotFound(f"There is no release {version}.")
    return patches[-1]


def _explained(store: "Store", reference: Reference, text: str) -> NotFound:
    """The error for what does not exist, with what there is and what to type."""
    versions = published_versions(store, reference.name)
    if not versions:
        names = ", ".join(list_names(store)) or "none at all"
        return NotFound(
            f"There is no release of {reference.name!r}.",
            where=f"{store.bucket}; names there: {names}",
            fix=f"Publish one (`enginery build {reference.name}`), or ask for a name that exists.",
        )
    channels = list_channels(store, reference.name)
    newest = f"{reference.name}@{versions[-1]}"
    choices = [f"{reference.name}:{channel.channel}" for channel in channels] + [newest]
    missing = f"channel {reference.channel!r}" if reference.channel else f"version {reference.version}"
    pointers = ", ".join(f"{channel.channel} -> {channel.version}" for channel in channels) or "none"
    return NotFound(
        f"{reference.name} has no {missing} ({text}).",
        where=f"{store.bucket}; channels: {pointers}; versions: {', '.join(versions)}",
        fix=f"Ask for {' or '.join(choices)}.",
    )
